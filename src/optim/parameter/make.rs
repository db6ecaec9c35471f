//! How parameters come to be: from random numbers, or from numbers of somebody else.

use super::Parameter;
use crate::config::Storage;
use crate::error::{Error, Result};
use crate::kernels::MatRef;
use crate::optim::grad::Grad;
use crate::optim::rule::Rule;
use crate::optim::state::State;
use crate::optim::stored::{Init, Stored};

impl Parameter {
    /// `name` is that of its tensors and decides, with `seed`, which random numbers it starts as. `rule` moves it in every step; it is a
    /// [`Rule`], or the [`Optim`](crate::config::Optim) of a configuration.
    ///
    /// # Panics
    ///
    /// If the system refuses the memory, or there are more than 2^32 rows: see [`try_new`](Self::try_new).
    ///
    /// ```
    /// use hotrow::config::{Optim, Storage};
    /// use hotrow::optim::{Init, Parameter};
    /// let w = Parameter::new("output.weight", 10, 4, Storage::F32, &Optim::default(), Init::Normal(0.1), 7);
    /// assert_eq!((w.rows(), w.cols()), (10, 4));
    /// ```
    #[track_caller]
    pub fn new(
        name: &str,
        rows: usize,
        cols: usize,
        storage: Storage,
        rule: impl Into<Rule>,
        init: Init,
        seed: u64,
    ) -> Self {
        Self::try_new(name, rows, cols, storage, rule, init, seed).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`new`](Self::new).
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if the system refuses the memory, [`Error::Config`] if there are more than 2^32 rows or a constant of the rule
    /// cannot be.
    ///
    /// ```
    /// use hotrow::config::{Optim, Storage};
    /// use hotrow::optim::{Init, Parameter};
    /// let refused = Parameter::try_new("w", usize::MAX, 4, Storage::F32, &Optim::default(), Init::Zeros, 7);
    /// assert!(refused.unwrap_err().to_string().starts_with("w: the system refuses "));
    /// ```
    pub fn try_new(
        name: &str,
        rows: usize,
        cols: usize,
        storage: Storage,
        rule: impl Into<Rule>,
        init: Init,
        seed: u64,
    ) -> Result<Self> {
        let mut parameter = Self::zeros(name, (rows, cols), storage, rule.into(), false)?;
        parameter.stored.begin(init, name, seed);
        Ok(parameter)
    }

    /// A shape with its rule, without memory: see [`Scope::plan`](crate::optim::Scope::plan).
    pub(in crate::optim) fn planned(
        name: &str,
        rows: usize,
        cols: usize,
        storage: Storage,
        rule: Rule,
    ) -> Result<Self> {
        Self::zeros(name, (rows, cols), storage, rule, true)
    }

    fn zeros(name: &str, shape: (usize, usize), storage: Storage, rule: Rule, planned: bool) -> Result<Self> {
        rule.check()?;
        // All memory before any number, so that a refusal costs no time.
        let stored = Stored::try_zeros(name, shape, storage, planned)?;
        let state = State::try_new(name, &rule, shape, planned)?;
        if shape.0 as u64 > 1 << 32 {
            let message =
                format!("{} rows are more than the 4294967296 that row numbers of 32 bits tell apart", shape.0);
            return Err(Error::config(name, message));
        }
        Ok(Self { name: name.to_owned(), stored, rule, state, grad: Grad::Fused, frozen: false })
    }

    /// Weights from elsewhere: `numbers` (rows, D), rounded to nearest where `storage` is bf16, with an empty state.
    ///
    /// # Panics
    ///
    /// If the system refuses the memory.
    ///
    /// ```
    /// use hotrow::config::{Optim, Storage};
    /// use hotrow::{kernels::MatRef, optim::Parameter};
    /// let numbers = MatRef::new(&[1.0, 2.0, 3.0, 4.0], 2, 2);
    /// let w = Parameter::from_rows("w", numbers, Storage::F32, &Optim::default());
    /// assert_eq!(w.f32(), &[1.0, 2.0, 3.0, 4.0]);
    /// ```
    #[track_caller]
    pub fn from_rows(name: &str, numbers: MatRef<f32>, storage: Storage, rule: impl Into<Rule>) -> Self {
        let mut parameter = Self::new(name, numbers.rows(), numbers.cols(), storage, rule, Init::Zeros, 0);
        parameter.stored.copy_from(numbers);
        parameter
    }

    /// Writes `numbers` (rows, D) over the weights, rounded to nearest where they are stored as bf16. The state stays.
    ///
    /// # Panics
    ///
    /// If `numbers` have another shape than the weights.
    ///
    /// ```
    /// use hotrow::config::{Optim, Storage};
    /// use hotrow::{kernels::MatRef, optim::{Init, Parameter}};
    /// let mut w = Parameter::new("w", 1, 2, Storage::F32, &Optim::default(), Init::Zeros, 7);
    /// w.copy_from(MatRef::new(&[1.0, 2.0], 1, 2));
    /// assert_eq!(w.f32(), &[1.0, 2.0]);
    /// ```
    #[track_caller]
    pub fn copy_from(&mut self, numbers: MatRef<f32>) {
        let shape = (self.rows(), self.cols());
        assert_eq!((numbers.rows(), numbers.cols()), shape, "the numbers for {} have another shape", self.name);
        self.stored.copy_from(numbers);
    }
}
