//! Where the parameters of a network come from, and which rule moves each of them.

use std::sync::Arc;

use bytemuck::Pod;

use super::{Init, Parameter, Rule};
use crate::config::{IndexOptions, Optim, OptimizerName, Storage};
use crate::error::Result;
use crate::index::{self, Index};
use crate::kernels::Level;
use crate::matrix::Matrix;

/// What the numbers of a parameter start as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// As each layer says, random numbers included.
    Fresh,
    /// Zeros, until a checkpoint fills them.
    Saved,
    /// No numbers and no memory: only names, shapes and rules.
    Plan,
}

/// What a pattern on names changes about parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Group {
    /// Another rule.
    Rule(Rule),
    /// This multiple of the learning rate.
    Times(f32),
    /// No weight decay.
    WithoutDecay,
    /// No step moves them.
    Frozen,
}

/// Makes the parameters of a network: a layer takes a scope, and the scope knows names, origin, rules, seed and level.
///
/// | origin | parameters | indexes |
/// |---|---|---|
/// | [`Scope::fresh`] | start as their layer says; random numbers follow from the seed and the name | built |
/// | [`Scope::saved`] | zeros, for a checkpoint to fill: nothing is drawn | empty, for a checkpoint to fill |
/// | [`Scope::plan`] | shapes without memory: the network can be walked and counted, not computed | as large as they would be |
///
/// Groups are patterns on full names, in which `*` stands for any characters. They apply in the order in which they were added.
/// Gains (`*.gain`) do not decay, unless a later group gives them another rule.
///
/// ```
/// use hotrow::config::{Optim, Storage};
/// use hotrow::kernels::Level;
/// use hotrow::optim::{Group, Init, Scope};
/// let scope = Scope::fresh(&Optim::default(), 7, Level::detect()).group("*.bias", Group::Frozen);
/// let layer = scope.child("output");
/// let weight = layer.parameter("weight", 10, 4, Storage::F32, Init::Normal(0.1))?;
/// let bias = layer.parameter("bias", 10, 1, Storage::F32, Init::Zeros)?;
/// assert_eq!((weight.name(), weight.is_frozen()), ("output.weight", false));
/// assert!(bias.is_frozen());
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scope {
    /// Empty, or the name of a layer with a dot at the end.
    prefix: String,
    origin: Origin,
    rule: Rule,
    groups: Arc<Vec<(String, Group)>>,
    seed: u64,
    level: Level,
}

impl Scope {
    /// A new network whose parameters `rule` moves; all that is random follows from `seed`. Indexes compute at `level`.
    pub fn fresh(rule: impl Into<Rule>, seed: u64, level: Level) -> Self {
        let groups = Arc::new(vec![("*.gain".to_owned(), Group::WithoutDecay)]);
        Self { prefix: String::new(), origin: Origin::Fresh, rule: rule.into(), groups, seed, level }
    }

    /// The same network, for a checkpoint to fill. `seed` is still that of the run: hash functions follow from it.
    pub fn saved(rule: impl Into<Rule>, seed: u64, level: Level) -> Self {
        Self { origin: Origin::Saved, ..Self::fresh(rule, seed, level) }
    }

    /// The same network without memory.
    ///
    /// ```
    /// use hotrow::config::{Optim, Storage};
    /// use hotrow::{kernels::Level, layer::Linear, module::Module, optim::Scope};
    /// let scope = Scope::plan(&Optim::default(), 7, Level::detect());
    /// let layer = Linear::new(&scope.child("output"), 1 << 31, 1 << 10, Storage::F32)?;
    /// assert_eq!(layer.parameter_count(), (1 << 31) * 1025);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn plan(rule: impl Into<Rule>, seed: u64, level: Level) -> Self {
        Self { origin: Origin::Plan, ..Self::fresh(rule, seed, level) }
    }

    /// The scope of the part called `name`: its parameters are called `name.weight` and the like.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// The same with `change` for all parameters whose full name fits `pattern`.
    #[must_use]
    pub fn group(mut self, pattern: &str, change: Group) -> Self {
        Arc::make_mut(&mut self.groups).push((pattern.to_owned(), change));
        self
    }

    /// As [`group`](Self::group), for what a network wants unless its user says otherwise: before all other groups.
    #[must_use]
    pub fn default_group(mut self, pattern: &str, change: Group) -> Self {
        Arc::make_mut(&mut self.groups).insert(0, (pattern.to_owned(), change));
        self
    }

    /// The name of the part that this is the scope of.
    pub fn name(&self) -> &str {
        self.prefix.strip_suffix('.').unwrap_or(&self.prefix)
    }

    /// What all random numbers and hash functions follow from.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What indexes compute with.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Whether layers build their indexes: those of a checkpoint and of a plan are not built.
    pub fn builds_indexes(&self) -> bool {
        self.origin == Origin::Fresh
    }

    /// A matrix of `rows` x `cols` weights, called `name` within this part.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::error::Error::Memory) if the system refuses the memory,
    /// [`Error::Config`](crate::error::Error::Config) if there are more than 2^32 rows or a constant of the rule cannot be.
    pub fn parameter(&self, name: &str, rows: usize, cols: usize, storage: Storage, init: Init) -> Result<Parameter> {
        let name = format!("{}{name}", self.prefix);
        let (mut rule, mut frozen) = (self.rule, false);
        for (_, change) in self.groups.iter().filter(|(pattern, _)| matches(pattern, &name)) {
            match *change {
                Group::Rule(other) => rule = other,
                Group::Times(factor) => rule = rule.times(factor),
                Group::WithoutDecay => rule = rule.without_decay(),
                Group::Frozen => frozen = true,
            }
        }
        let mut parameter = match self.origin {
            Origin::Fresh => Parameter::try_new(&name, rows, cols, storage, rule, init, self.seed)?,
            Origin::Saved => Parameter::try_new(&name, rows, cols, storage, rule, Init::Zeros, self.seed)?,
            Origin::Plan => Parameter::planned(&name, rows, cols, storage, rule)?,
        };
        if frozen {
            parameter.freeze(true);
        }
        Ok(parameter)
    }

    /// The same for weights that no rule moves, but their layer. A checkpoint has no state of them.
    ///
    /// # Errors
    ///
    /// As [`parameter`](Self::parameter).
    pub fn ruleless(&self, name: &str, rows: usize, cols: usize, init: Init) -> Result<Parameter> {
        let none = Rule::from(&Optim { name: OptimizerName::Sgd, ..Optim::default() });
        let scope = Self { rule: none, groups: Arc::default(), ..self.clone() };
        scope.parameter(name, rows, cols, Storage::F32, init)
    }

    /// Zeros that are no weights, for `what`: its name in the error.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`](crate::error::Error::Memory) if the system refuses the memory.
    pub fn zeros<T: Pod>(&self, what: &str, rows: usize, cols: usize) -> Result<Matrix<T>> {
        match self.origin {
            Origin::Plan => Matrix::planned(what, rows, cols),
            _ => Matrix::try_zeros(what, rows, cols),
        }
    }

    /// The index that `options` name, over `rows` rows of `cols` numbers. It knows no row before its first rebuild.
    ///
    /// # Errors
    ///
    /// See [`index::new`].
    pub fn index(&self, options: &IndexOptions, rows: usize, cols: usize) -> Result<Box<dyn Index>> {
        match self.origin {
            Origin::Plan => Ok(index::planned(options, rows, cols)),
            _ => index::new(options, self.seed, rows, cols, self.level),
        }
    }
}

#[cfg(test)]
impl Scope {
    /// The part called `name` of a new network, for tests.
    pub(crate) fn of(name: &str, rule: impl Into<Rule>, seed: u64) -> Self {
        Scope::fresh(rule, seed, Level::detect()).child(name)
    }
}

/// Whether `name` is `pattern` with something, or nothing, in place of each `*`.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            // The shortest stretch that lets the rest fit, among all.
            name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| matches(rest, &name[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule_of(scope: &Scope, name: &str) -> Rule {
        *scope.parameter(name, 1, 1, Storage::F32, Init::Zeros).unwrap().rule()
    }

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, want) in [
            ("*", "", true),
            ("output.weight", "output.weight", true),
            ("output", "output.weight", false),
            ("blocks.*.qkv.weight", "blocks.11.attention.qkv.weight", true),
            ("blocks.*.qkv.weight", "blocks.11.attention.qkv.weights", false),
            ("*.gain", "a.gain.gain", true),
            ("a*a", "a", false),
            ("a**é*", "aé", true),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }

    #[test]
    fn groups_apply_in_order_and_defaults_before_them() {
        let optim = Optim { weight_decay: 0.1, ..Optim::default() };
        let rule = Rule::from(&optim);
        let scope =
            Scope::fresh(&optim, 1, Level::PORTABLE).group("a.*", Group::Times(2.0)).group("a.b", Group::Times(3.0));
        let scope = scope.default_group("a.*", Group::WithoutDecay);
        assert_eq!(rule_of(&scope, "b"), rule);
        assert_eq!(rule_of(&scope, "a.c"), rule.without_decay().times(2.0));
        assert_eq!(rule_of(&scope.child("a"), "b"), rule.without_decay().times(2.0).times(3.0));
        assert_eq!(rule_of(&scope, "norm.gain"), rule.without_decay());
        let other = scope.default_group("a.*", Group::Rule(Rule::from(&Optim::default())));
        assert_eq!(rule_of(&other, "a.c"), Rule::from(&Optim::default()).without_decay().times(2.0));
    }

    #[test]
    fn a_plan_counts_what_no_machine_holds_and_refuses_what_cannot_be_counted() {
        let scope = Scope::plan(&Optim::default(), 1, Level::PORTABLE);
        let parameter = scope.parameter("w", 1 << 32, 1 << 20, Storage::Bf16, Init::Normal(1.0)).unwrap();
        // One accumulator a row.
        assert_eq!(parameter.bytes(), (1 << 32) * (2 * (1 << 20) + 4));
        let refused = scope.parameter("w", usize::MAX, 2, Storage::F32, Init::Zeros).unwrap_err().to_string();
        assert!(refused.starts_with("w: the system refuses "), "{refused}");
    }
}
