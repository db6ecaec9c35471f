//! What decides the shape and the meaning of a parameter's state.

use std::fmt;

use crate::config::{Optim, OptimizerName};

/// The part of a rule that a state is made for. Its constants may change from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub name: OptimizerName,
    /// Only averages of Adam have a form of 8 bits.
    eight_bit: bool,
}

impl Rule {
    pub fn of(optim: &Optim) -> Self {
        let adam = matches!(optim.name, OptimizerName::Adam | OptimizerName::AdamLazy | OptimizerName::AdamDense);
        Self { name: optim.name, eight_bit: optim.eight_bit && adam }
    }
}

/// As configurations write it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = serde_json::to_value(self.name).expect("a name without data");
        write!(f, "{}{}", name.as_str().expect("a string"), if self.eight_bit { " in 8 bits" } else { "" })
    }
}
