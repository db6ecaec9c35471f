//! What sections of tables have in common.

use crate::config::check::{number, wrong};
use crate::config::{Optim, OptimizerName};
use crate::error::Result;

/// The rule that moves the rows of a table.
pub(super) fn rule(name: OptimizerName, eight_bit: bool, weight_decay: f32) -> Optim {
    Optim { name, eight_bit: eight_bit && adam(name), weight_decay, ..Optim::default() }
}

fn adam(name: OptimizerName) -> bool {
    matches!(name, OptimizerName::Adam | OptimizerName::AdamLazy | OptimizerName::AdamDense)
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
