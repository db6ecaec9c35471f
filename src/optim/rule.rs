//! The rule that moves a parameter, with its constants.

use std::fmt;

use crate::config::{Optim, OptimizerName};
use crate::error::Result;

/// The rule of one parameter: its name, its constants, and what sets this parameter apart from the others of a network. A parameter
/// is made for one rule and keeps it, so a step needs none.
///
/// ```
/// use hotrow::{config::Optim, optim::Rule};
/// let optim = Optim { weight_decay: 0.1, ..Optim::default() };
/// let (all, gains) = (Rule::from(&optim), Rule::from(&optim).without_decay().times(2.0));
/// assert_ne!(all, gains);
/// assert_eq!(gains.to_string(), "rowwise-adagrad");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    pub(super) name: OptimizerName,
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    pub(super) eps: f32,
    pub(super) weight_decay: f32,
    /// Only averages of Adam have a form of 8 bits.
    pub(super) eight_bit: bool,
    /// The step's learning rate times this is the parameter's.
    pub(super) lr_factor: f32,
}

impl From<&Optim> for Rule {
    fn from(optim: &Optim) -> Self {
        let &Optim { name, beta1, beta2, eps, weight_decay, eight_bit, .. } = optim;
        let adam = matches!(name, OptimizerName::Adam | OptimizerName::AdamLazy | OptimizerName::AdamDense);
        Self { name, beta1, beta2, eps, weight_decay, eight_bit: eight_bit && adam, lr_factor: 1.0 }
    }
}

impl Rule {
    /// The same with `factor` times the learning rate.
    pub fn times(self, factor: f32) -> Self {
        Self { lr_factor: self.lr_factor * factor, ..self }
    }

    /// The same without weight decay: for gains and biases.
    pub fn without_decay(self) -> Self {
        Self { weight_decay: 0.0, ..self }
    }

    /// An error if a constant is out of its range.
    pub(super) fn check(&self) -> Result<()> {
        let &Self { name, beta1, beta2, eps, weight_decay, .. } = self;
        Optim { name, beta1, beta2, eps, weight_decay, ..Optim::default() }.check_rule()
    }

    /// Whether rows without a gradient move too, and make up for it later: then weights are settled before they are read as a whole.
    pub fn defers(&self) -> bool {
        self.name == OptimizerName::Adam
    }
}

/// As configurations write it.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = serde_json::to_value(self.name).expect("a name without data");
        write!(f, "{}{}", name.as_str().expect("a string"), if self.eight_bit { " in 8 bits" } else { "" })
    }
}
