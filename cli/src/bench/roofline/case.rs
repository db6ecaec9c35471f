//! A case: one kernel on one shape, its data, and the check of its answers.

use rand::RngExt;

use hotrow::kernels::Level;
use hotrow::rng::rng;

/// The sizes of all cases.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// Rows of a table.
    pub rows: usize,
    /// Active rows.
    pub active: usize,
    pub batch: usize,
    pub dim: usize,
}

impl Sizes {
    pub const FULL: Sizes = Sizes { rows: 1 << 17, active: 4096, batch: 256, dim: 128 };
    pub const QUICK: Sizes = Sizes { rows: 512, active: 64, batch: 16, dim: 64 };
}

/// A call at a level. It hands out some of its answers if asked to.
pub(super) type Call = Box<dyn FnMut(Level, Option<&mut Vec<f64>>)>;

/// One kernel on one shape, with its data.
pub(super) struct Case {
    pub family: &'static str,
    pub name: &'static str,
    pub dtype: &'static str,
    pub shape: String,
    pub flops: usize,
    pub bytes: usize,
    pub call: Call,
    /// How far the answers of two levels may differ.
    bound: f64,
    /// The portable level's answers to the first call.
    reference: Vec<f64>,
}

impl Case {
    /// Compares the answers of `level` with those of the portable level, both to the first call on the same data.
    #[track_caller]
    pub fn check(&mut self, level: Level) {
        let mut answers = Vec::new();
        (self.call)(level, Some(&mut answers));
        assert!(!answers.is_empty() && answers.len() == self.reference.len(), "{}: no answers", self.name);
        for (at, (answer, want)) in answers.iter().zip(&self.reference).enumerate() {
            let error = (answer - want).abs();
            assert!(error <= self.bound, "{} {level}: answer {at} is {answer}, not {want}", self.name);
        }
    }
}

/// The number of answers that are compared.
const ANSWERS: usize = 256;

/// Numbers of magnitude below 1.
pub(super) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = rng(seed, "bench", 1);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Different rows in random order.
pub(super) fn some_rows(sizes: Sizes) -> Vec<u32> {
    let mut rng = rng(5, "bench", 2);
    rand::seq::index::sample(&mut rng, sizes.rows, sizes.active).into_iter().map(|row| row as u32).collect()
}

/// Adds the first numbers of `from` to `answers`, if they are wanted.
pub(super) fn hand_out<T: Copy + Into<f64>>(answers: Option<&mut Vec<f64>>, from: &[T]) {
    if let Some(answers) = answers {
        answers.extend(from.iter().take(ANSWERS).map(|&x| x.into()));
    }
}

/// How far two sums of `terms` products of numbers below 1 may differ. Each is within `n eps` of the sum of magnitudes,
/// which is at most
/// `n`.
pub(super) fn sums(terms: usize) -> f64 {
    2.0 * (terms * terms) as f64 * f64::from(f32::EPSILON)
}

pub(super) struct Naming<'a> {
    pub family: &'static str,
    pub name: &'static str,
    pub dtype: &'static str,
    pub shape: &'a str,
}

/// A case. `make` makes the data and the call; it runs twice, because calls change their data.
pub(super) fn case(naming: Naming, (flops, bytes): (usize, usize), bound: f64, make: impl Fn() -> Call) -> Case {
    let mut reference = Vec::new();
    make()(Level::PORTABLE, Some(&mut reference));
    let Naming { family, name, dtype, shape } = naming;
    Case { family, name, dtype, shape: shape.to_owned(), flops, bytes, call: make(), bound, reference }
}
