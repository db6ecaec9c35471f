//! Times the three products of an output layer with per-sample sets, by four methods.

use rand::RngExt;

use super::timing::{Contender, Timing, measure};
use hotrow::kernels::gemm::{
    GemmScratch, Operand, Output, PackedPanel, Precision, gathered_backward_input, gathered_backward_weights,
    gathered_forward, gemm,
};
use hotrow::kernels::rows::{RowBatch, row_gradients, sddmm, spmm};
use hotrow::kernels::{Level, MatMut, MatRef, RowIds, Weight, bf16};
use hotrow::rng::rng;

/// Rows of the layer, samples of a batch, numbers in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    pub labels: usize,
    pub batch: usize,
    pub dim: usize,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} rows of {}, {} samples", self.labels, self.dim, self.batch)
    }
}

/// The measurements at one density.
pub(super) struct Found {
    pub timings: Vec<Timing>,
    /// The number of rows that any sample wants.
    pub union: usize,
    /// The wanted share of the pairs of a sample and a row of the union. The rule of training uses it.
    pub fill: f64,
}

impl Found {
    /// The median time of a method.
    pub fn of(&self, name: &str) -> f64 {
        self.timings.iter().find(|timing| timing.name == name).map_or(f64::NAN, |timing| timing.median)
    }
}

/// The wanted pairs, by row.
struct Wanted {
    rows: Vec<u32>,
    offsets: Vec<u32>,
    samples: Vec<u32>,
}

impl Wanted {
    /// Wants each pair with probability `density`, and at least one.
    fn new(shape: Shape, density: f64) -> Wanted {
        let mut rng = rng(7, "bench", (density * 1e6) as u64);
        let mut wanted = Wanted { rows: Vec::new(), offsets: vec![0], samples: Vec::new() };
        for row in 0..shape.labels as u32 {
            let before = wanted.samples.len();
            wanted.samples.extend((0..shape.batch as u32).filter(|_| rng.random::<f64>() < density));
            if row == 0 && wanted.samples.is_empty() {
                wanted.samples.push(0);
            }
            if wanted.samples.len() > before {
                wanted.rows.push(row);
                wanted.offsets.push(wanted.samples.len() as u32);
            }
        }
        wanted
    }

    /// Row, number and sample of each pair.
    fn all(&self) -> impl Iterator<Item = (u32, usize, u32)> {
        self.rows.iter().zip(self.offsets.windows(2)).flat_map(move |(&row, ends)| {
            (ends[0] as usize..ends[1] as usize).map(move |entry| (row, entry, self.samples[entry]))
        })
    }

    fn batch(&self, shape: Shape) -> RowBatch<'_> {
        let rows = RowIds::new(&self.rows, shape.labels).expect("below the labels");
        let samples = RowIds::new(&self.samples, shape.batch).expect("below the batch");
        RowBatch::new(rows, &self.offsets, samples).expect("offsets go up")
    }
}

/// Numbers around zero.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = rng(seed, "bench", 0);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// The data of one setting, for all methods.
struct Problem<'a, W> {
    level: Level,
    precision: Precision,
    shape: Shape,
    /// (labels, dim)
    w: MatRef<'a, W>,
    /// (batch, dim)
    x: MatRef<'a, f32>,
    wanted: &'a Wanted,
    /// The gradient of each pair.
    dz: Vec<f32>,
}

/// Computes the wanted pairs only.
struct Sampled<'a, W> {
    problem: &'a Problem<'a, W>,
    z: Vec<f32>,
    dx: Vec<f32>,
    dw: Vec<f32>,
}

impl<'a, W: Weight> Sampled<'a, W> {
    fn new(problem: &'a Problem<'a, W>) -> Self {
        let Shape { batch, dim, .. } = problem.shape;
        let (entries, union) = (problem.dz.len(), problem.wanted.rows.len());
        Self { problem, z: vec![0.0; entries], dx: vec![0.0; batch * dim], dw: vec![0.0; union * dim] }
    }

    fn run(&mut self) {
        let Problem { level, shape, w, x, wanted, dz, .. } = self.problem;
        let pairs = wanted.batch(*shape);
        sddmm(*level, &mut self.z, pairs, *w, *x);
        self.dx.fill(0.0);
        spmm(*level, MatMut::new(&mut self.dx, shape.batch, shape.dim), pairs, dz, *w);
        row_gradients(*level, MatMut::new(&mut self.dw, wanted.rows.len(), shape.dim), pairs, dz, *x);
    }
}

/// Computes all pairs of a sample and one of `rows`.
struct Packed<'a, W> {
    problem: &'a Problem<'a, W>,
    rows: Vec<u32>,
    /// (rows, batch); zero for pairs that are not wanted.
    dc: Vec<f32>,
    c: Vec<f32>,
    dx: Vec<f32>,
    dw: Vec<f32>,
    scratch: GemmScratch,
}

impl<'a, W: Weight> Packed<'a, W> {
    fn new(problem: &'a Problem<'a, W>, rows: Vec<u32>) -> Self {
        let Shape { batch, dim, .. } = problem.shape;
        let mut dc = vec![0.0; rows.len() * batch];
        for (row, entry, sample) in problem.wanted.all() {
            dc[rows.binary_search(&row).expect("of the union") * batch + sample as usize] = problem.dz[entry];
        }
        let (c, dw) = (vec![0.0; rows.len() * batch], vec![0.0; rows.len() * dim]);
        Self { problem, rows, dc, c, dx: vec![0.0; batch * dim], dw, scratch: GemmScratch::default() }
    }

    fn run(&mut self) {
        let &Problem { level, precision, shape: Shape { labels, batch, dim }, w, x, .. } = self.problem;
        let (count, scratch) = (self.rows.len(), &mut self.scratch);
        let rows = Operand::gathered(w, RowIds::new(&self.rows, labels).expect("below the labels"));
        let dc = MatRef::new(&self.dc, count, batch);
        let out = Output::new(MatMut::new(&mut self.c, count, batch));
        gathered_forward(level, precision, scratch, out, rows, x);
        let out = Output::new(MatMut::new(&mut self.dx, batch, dim));
        gathered_backward_input(level, precision, scratch, out, rows, dc);
        let out = Output::new(MatMut::new(&mut self.dw, count, dim));
        gathered_backward_weights(level, precision, scratch, out, dc, x);
    }
}

/// Computes all pairs, from packed weights.
struct Matmul<'a, W> {
    /// Its arrays are used, its products are not.
    whole: Packed<'a, W>,
    /// `w` as the left factor of the forward product, and as the right factor of the backward one.
    forward: PackedPanel,
    backward: PackedPanel,
    left: PackedPanel,
    right: PackedPanel,
}

impl<'a, W: Weight> Matmul<'a, W> {
    fn new(problem: &'a Problem<'a, W>) -> Self {
        let [mut forward, mut backward, left, right] = [(); 4].map(|()| PackedPanel::new());
        forward.pack_left(problem.level, problem.precision, Operand::new(problem.w));
        backward.pack_right(problem.level, problem.precision, Operand::new(problem.w));
        let rows = (0..problem.shape.labels as u32).collect();
        Self { whole: Packed::new(problem, rows), forward, backward, left, right }
    }

    fn run(&mut self) {
        let Self { whole: Packed { problem, dc, c, dx, dw, .. }, forward, backward, left, right } = self;
        let &Problem { level, precision, shape: Shape { labels, batch, dim }, x, .. } = *problem;
        let dc = MatRef::new(dc, labels, batch);
        right.pack_right(level, precision, Operand::new(x).transposed());
        gemm(level, Output::new(MatMut::new(c, labels, batch)), forward, right);
        left.pack_left(level, precision, Operand::new(dc).transposed());
        gemm(level, Output::new(MatMut::new(dx, batch, dim)), left, backward);
        left.pack_left(level, precision, Operand::new(dc));
        right.pack_right(level, precision, Operand::new(x));
        gemm(level, Output::new(MatMut::new(dw, labels, dim)), left, right);
    }
}

/// Times the forward product, the product back to the input and the gradient of the weights at `density`, by each
/// method:
///
/// - `sampled` computes the wanted pairs only (SDDMM and its transposes);
/// - `packed` gathers and packs the rows that any sample wants, and computes all their pairs;
/// - `dense` computes all pairs in the same way;
/// - `matmul` computes all pairs from weights packed before the clock started, the best that a dense library does.
///
/// Answers are first compared with sums in f64.
///
/// # Panics
///
/// If an answer is wrong.
pub(super) fn contest(level: Level, precision: Precision, shape: Shape, density: f64, repeats: usize) -> Found {
    let w = numbers(shape.labels * shape.dim, 1);
    match precision {
        Precision::F32 => timed(level, precision, shape, density, repeats, &w),
        Precision::Bf16 => {
            let w: Vec<bf16> = w.iter().map(|&w| bf16::from_f32(w)).collect();
            timed(level, precision, shape, density, repeats, &w)
        }
    }
}

fn timed<W: Weight>(level: Level, precision: Precision, shape: Shape, density: f64, repeats: usize, w: &[W]) -> Found {
    let Shape { labels, batch, dim } = shape;
    let (wanted, x) = (Wanted::new(shape, density), numbers(batch * dim, 2));
    let (union, entries) = (wanted.rows.len(), wanted.samples.len());
    let (w, x, dz) = (MatRef::new(w, labels, dim), MatRef::new(&x, batch, dim), numbers(entries, 3));
    let problem = Problem { level, precision, shape, w, x, wanted: &wanted, dz };
    let mut sampled = Sampled::new(&problem);
    let mut packed = Packed::new(&problem, wanted.rows.clone());
    let mut dense = Packed::new(&problem, (0..labels as u32).collect());
    let mut matmul = Matmul::new(&problem);
    sampled.run();
    packed.run();
    dense.run();
    matmul.run();
    for (row, entry, sample) in wanted.all().take(CHECKED) {
        let want = problem.logit(row, sample);
        assert_near("sampled", sampled.z[entry], want);
        let of = |way: &Packed<W>| way.c[way.rows.binary_search(&row).expect("of it") * batch + sample as usize];
        for (name, way) in [("packed", &packed), ("dense", &dense), ("matmul", &matmul.whole)] {
            assert_near(name, of(way), want);
        }
    }
    for at in 0..dim.min(CHECKED) {
        let (row, want) = (wanted.rows[0], problem.weight_gradient(at));
        assert_near("sampled", sampled.dw[at], want);
        assert_near("packed", packed.dw[at], want);
        let want_dx = problem.input_gradient(at);
        assert_near("sampled", sampled.dx[at], want_dx);
        assert_near("packed", packed.dx[at], want_dx);
        for (name, way) in [("dense", &dense), ("matmul", &matmul.whole)] {
            assert_near(name, way.dw[row as usize * dim + at], want);
            assert_near(name, way.dx[at], want_dx);
        }
    }
    let contenders = vec![
        Contender::new("sampled", || sampled.run()),
        Contender::new("packed", || packed.run()),
        Contender::new("dense", || dense.run()),
        Contender::new("matmul", || matmul.run()),
    ];
    let timings = measure(contenders, repeats);
    Found { timings, union, fill: entries as f64 / (union * batch) as f64 }
}

/// The number of answers of each kind that are compared.
const CHECKED: usize = 64;

/// A sum in f64, and its allowed distance from an f32 answer.
type Want = (f64, f64);

#[track_caller]
fn assert_near(name: &str, got: f32, (want, bound): Want) {
    let error = (f64::from(got) - want).abs();
    assert!(error <= bound, "{name}: {got} is not {want}, the difference is above {bound}");
}

impl<W: Weight> Problem<'_, W> {
    /// The sum of `terms` products. The f32 sum errs by at most `n eps` of the sum of magnitudes, in any order. Factors
    /// rounded to bf16, with 8 significant bits, add `2^-8` each, and their product.
    fn sum(&self, terms: impl Iterator<Item = (f32, f32)>) -> Want {
        let (mut sum, mut magnitudes, mut count) = (0.0, 0.0, 1.0);
        for (a, b) in terms {
            let product = f64::from(a) * f64::from(b);
            (sum, magnitudes, count) = (sum + product, magnitudes + product.abs(), count + 1.0);
        }
        let rounding = if self.precision == Precision::Bf16 { 2.0_f64.powi(-7) + 2.0_f64.powi(-16) } else { 0.0 };
        (sum, magnitudes * (count * f64::from(f32::EPSILON) + rounding))
    }

    fn logit(&self, row: u32, sample: u32) -> Want {
        let (w, x) = (self.w.row(row as usize), self.x.row(sample as usize));
        self.sum(w.iter().zip(x).map(|(w, &x)| (w.to_f32(), x)))
    }

    /// Of column `at` of the union's first row.
    fn weight_gradient(&self, at: usize) -> Want {
        let first = self.wanted.all().take(self.wanted.offsets[1] as usize);
        self.sum(first.map(|(_, entry, sample)| (self.dz[entry], self.x.row(sample as usize)[at])))
    }

    /// Of column `at` of the first sample.
    fn input_gradient(&self, at: usize) -> Want {
        let own = self.wanted.all().filter(|&(_, _, sample)| sample == 0);
        self.sum(own.map(|(row, entry, _)| (self.dz[entry], self.w.row(row as usize)[at].to_f32())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_give_the_same_answers_at_every_level_and_density() {
        let shape = Shape { labels: 70, batch: 19, dim: 33 };
        for level in Level::available() {
            for precision in [Precision::F32, Precision::Bf16] {
                for density in [0.0, 0.03, 0.4, 1.0] {
                    let found = contest(level, precision, shape, density, 1);
                    assert_eq!(found.timings.len(), 4);
                    assert!(found.union <= 70 && found.fill <= 1.0);
                }
            }
        }
        let found = contest(Level::detect(), Precision::F32, shape, 1.0, 1);
        assert_eq!((found.union, found.fill), (70, 1.0));
    }
}
