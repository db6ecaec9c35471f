//! What sections of tables have in common.

use crate::config::check::{number, wrong};
use crate::config::{Optim, OptimizerName, Storage};
use crate::error::Result;
use crate::kernels::optim::BLOCK;

/// The rule that moves the rows of a table.
pub(super) fn rule(name: OptimizerName, eight_bit: bool, weight_decay: f32) -> Optim {
    Optim { name, eight_bit: eight_bit && adam(name), weight_decay, ..Optim::default() }
}

fn adam(name: OptimizerName) -> bool {
    matches!(name, OptimizerName::Adam | OptimizerName::AdamLazy | OptimizerName::AdamDense)
}

/// Bytes of `rows` rows of `cols` numbers with their state.
pub(super) fn bytes(rows: usize, cols: usize, storage: Storage, optim: &Optim) -> u64 {
    let weights = match storage {
        Storage::F32 => 4 * cols,
        Storage::Bf16 => 2 * cols,
        Storage::Bf16Master => 6 * cols,
    };
    let state = match optim.name {
        OptimizerName::Sgd => 0,
        OptimizerName::Momentum => 4 * cols,
        OptimizerName::RowwiseAdagrad | OptimizerName::RowwiseRmsprop => 4,
        _ if optim.eight_bit => 2 * cols + 8 * cols.div_ceil(BLOCK) + 4,
        _ => 8 * cols + 4,
    };
    rows as u64 * (weights + state) as u64
}

pub(super) fn check(
    section: &str,
    name: OptimizerName,
    eight_bit: bool,
    lr_factor: f32,
    weight_decay: f32,
) -> Result<()> {
    if eight_bit && !adam(name) {
        let limit = format_args!("for adam, adam-lazy and adam-dense only; {section}.optimizer is another");
        return Err(wrong(&format!("{section}.eight_bit"), "true", limit));
    }
    number(&format!("{section}.lr_factor"), lr_factor, lr_factor > 0.0, "not above 0")?;
    number(&format!("{section}.weight_decay"), weight_decay, weight_decay >= 0.0, "not at least 0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{Init, Parameter};

    #[test]
    fn bytes_are_those_that_a_parameter_takes() {
        let names = [
            OptimizerName::Sgd,
            OptimizerName::Momentum,
            OptimizerName::RowwiseAdagrad,
            OptimizerName::RowwiseRmsprop,
            OptimizerName::Adam,
            OptimizerName::AdamLazy,
        ];
        for storage in [Storage::F32, Storage::Bf16, Storage::Bf16Master] {
            for (name, eight_bit) in names.into_iter().flat_map(|name| [(name, false), (name, true)]) {
                let optim = rule(name, eight_bit, 0.0);
                let parameter = Parameter::new("rows", 7, 300, storage, &optim, Init::Zeros, 1);
                assert_eq!(bytes(7, 300, storage, &optim), parameter.bytes(), "{storage:?} {name:?} {eight_bit}");
            }
        }
    }
}
