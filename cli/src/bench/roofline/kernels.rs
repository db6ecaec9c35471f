//! The kernels that are measured: one or more of every family, on tables larger than the caches.

use rand::RngExt;

use super::families::{convert, gemm, hash, optim, reduce};
use hotrow::kernels::rows::{rows_axpy, rows_dot, rows_outer};
use hotrow::kernels::{Level, MatMut, MatRef, RowIds, Weight, bf16};
use hotrow::rng::rng;

/// How large everything is.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    /// Rows of a table.
    pub rows: usize,
    /// Rows that are active.
    pub active: usize,
    pub batch: usize,
    pub dim: usize,
}

impl Sizes {
    pub const FULL: Sizes = Sizes { rows: 1 << 17, active: 4096, batch: 256, dim: 128 };
    pub const QUICK: Sizes = Sizes { rows: 512, active: 64, batch: 16, dim: 64 };
}

/// A call at a level, which hands out some of its answers if it is asked to.
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
    /// How far the answers of two levels may be from each other.
    bound: f64,
    /// What the portable level answers to the first call.
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

/// The makers of cases, a family each.
pub(super) const ALL: &[fn(Sizes) -> Vec<Case>] = &[rows, gemm, hash, optim, reduce, convert];

/// How many answers are compared.
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

/// The first numbers of `from`.
pub(super) fn tell<T: Copy + Into<f64>>(answers: Option<&mut Vec<f64>>, from: &[T]) {
    if let Some(answers) = answers {
        answers.extend(from.iter().take(ANSWERS).map(|&x| x.into()));
    }
}

/// How far two sums of `terms` products of numbers below 1 can be apart: each is within `n eps` of the sum of magnitudes,
/// which is at most `n`.
pub(super) fn sums(terms: usize) -> f64 {
    2.0 * (terms * terms) as f64 * f64::from(f32::EPSILON)
}

pub(super) struct Naming<'a> {
    pub family: &'static str,
    pub name: &'static str,
    pub dtype: &'static str,
    pub shape: &'a str,
}

/// `make` makes the data and the call; it is called twice, because calls change their data.
pub(super) fn case(naming: Naming, (flops, bytes): (usize, usize), bound: f64, make: impl Fn() -> Call) -> Case {
    let mut reference = Vec::new();
    make()(Level::PORTABLE, Some(&mut reference));
    let Naming { family, name, dtype, shape } = naming;
    Case { family, name, dtype, shape: shape.to_owned(), flops, bytes, call: make(), bound, reference }
}

fn rows(sizes: Sizes) -> Vec<Case> {
    let f32 = rows_of("f32", sizes, |w| w);
    let bf16 = rows_of("bf16", sizes, |w| w.iter().map(|&w| bf16::from_f32(w)).collect());
    [f32, bf16].into_iter().flatten().collect()
}

/// The three kernels on rows that are stored as `W`.
fn rows_of<W: Weight + Into<f64>>(dtype: &'static str, sizes: Sizes, store: fn(Vec<f32>) -> Vec<W>) -> Vec<Case> {
    let Sizes { rows, active, dim, .. } = sizes;
    let shape = format!("{active} rows of {dim}, of {rows}");
    let naming = |name| Naming { family: "rows", name, dtype, shape: &shape };
    let (flops, bytes) = (2 * active * dim, active * dim * size_of::<W>());
    let table = move || store(numbers(rows * dim, 1));
    // What is stored in bf16 is rounded to 8 bits.
    let stored = if size_of::<W>() == 2 { 2.0_f64.powi(-7) } else { f64::from(f32::EPSILON) * 4.0 };
    vec![
        case(naming("rows_dot"), (flops, bytes), sums(dim), || {
            let (w, x, ids, mut out) = (table(), numbers(dim, 2), some_rows(sizes), vec![0.0; active]);
            Box::new(move |level, answers| {
                let ids = RowIds::new(&ids, rows).expect("rows of the table");
                rows_dot(level, &mut out, ids, MatRef::new(&w, rows, dim), &x);
                tell(answers, &out);
            })
        }),
        case(naming("rows_axpy"), (flops, bytes), sums(active), || {
            let (w, c, ids, mut y) = (table(), numbers(active, 2), some_rows(sizes), vec![0.0; dim]);
            Box::new(move |level, answers| {
                y.fill(0.0);
                let ids = RowIds::new(&ids, rows).expect("rows of the table");
                rows_axpy(level, &mut y, ids, &c, MatRef::new(&w, rows, dim));
                tell(answers, &y);
            })
        }),
        case(naming("rows_outer"), (flops, 2 * bytes), stored, || {
            let (mut w, c, ids, x) = (table(), numbers(active, 2), some_rows(sizes), numbers(dim, 3));
            let small: Vec<f32> = c.iter().map(|c| 1e-3 * c).collect();
            Box::new(move |level, answers| {
                let listed = RowIds::new(&ids, rows).expect("rows of the table");
                rows_outer(level, MatMut::new(&mut w, rows, dim), listed, &small, &x);
                tell(answers, &w[ids[0] as usize * dim..][..dim]);
            })
        }),
    ]
}
