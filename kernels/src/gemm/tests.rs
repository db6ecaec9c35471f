//! The product against its definition in f64, at every level, shape, layout and precision.

use super::*;
use crate::testing::*;
use crate::{Level, MatMut, MatRef, RowIds, UniqueRowIds, Weight, bf16};

/// A dense f64 matrix: what a factor means.
pub(super) struct Exact {
    pub rows: usize,
    pub cols: usize,
    pub data: Vec<f64>,
}

impl Exact {
    /// The factor that `operand` describes, entry by entry, rounded as `precision` says.
    pub fn of<W: Weight>(operand: &Operand<W>, transposed: bool, precision: Precision) -> Self {
        let (rows, cols) = (operand.rows(), operand.cols());
        let entry = |r: usize, c: usize| {
            let (line, at) = if transposed { (c, r) } else { (r, c) };
            let value = operand.line(line)[at].to_f32();
            (if precision == Precision::Bf16 { bf16::from_f32(value).to_f32() } else { value }) as f64
        };
        let data = (0..rows * cols).map(|i| entry(i / cols, i % cols)).collect();
        Self { rows, cols, data }
    }

    pub fn at(&self, r: usize, c: usize) -> f64 {
        self.data[r * self.cols + c]
    }
}

/// `sum_k a[i, k] b[k, j]` and the sum of magnitudes.
pub(super) fn entry(a: &Exact, b: &Exact, i: usize, j: usize) -> (f64, f64) {
    (0..a.cols).map(|k| a.at(i, k) * b.at(k, j)).fold((0.0, 0.0), |(sum, all), term| (sum + term, all + term.abs()))
}

/// `rows` x `cols` numbers with a stride beyond the columns, not aligned; what lies between rows is NaN.
pub(super) struct Strided<W> {
    data: Misaligned<W>,
    rows: usize,
    cols: usize,
    stride: usize,
}

impl<W: Weight> Strided<W> {
    pub fn new(rows: usize, cols: usize, gap: usize, seed: u64) -> Self {
        let stride = cols + gap;
        let mut data = vec![W::from_f32(f32::NAN); rows * stride];
        for (r, row) in numbers(rows * cols, seed).chunks(cols.max(1)).enumerate() {
            for (to, &x) in data[r * stride..].iter_mut().zip(row) {
                *to = W::from_f32(x);
            }
        }
        Self { data: Misaligned::new(&data, 1), rows, cols, stride }
    }

    pub fn view(&self) -> MatRef<'_, W> {
        MatRef::with_stride(&self.data, self.rows, self.cols, self.stride)
    }
}

/// How one product is asked for.
#[derive(Clone, Debug)]
struct Case {
    m: usize,
    n: usize,
    k: usize,
    transposed: (bool, bool),
    precision: Precision,
    gap: usize,
    /// Gather the memory rows of both factors in an order of its own, with duplicates.
    gathered: bool,
    scale: f32,
    add: bool,
    seed: u64,
}

impl Case {
    fn plain(m: usize, n: usize, k: usize) -> Self {
        let seed = (m * 1000 + n * 100 + k) as u64;
        let transposed = (seed & 1 == 1, seed & 2 == 2);
        let precision = if seed & 4 == 4 { Precision::Bf16 } else { Precision::F32 };
        let gap = (seed % 3) as usize;
        Case { m, n, k, transposed, precision, gap, gathered: seed & 8 == 8, scale: 1.0, add: false, seed }
    }

    fn check<A: Weight, B: Weight>(&self) {
        let Case { m, n, k, gap, seed, .. } = *self;
        let lines = |transposed: bool, rows: usize, cols: usize| if transposed { (cols, rows) } else { (rows, cols) };
        let (a_lines, a_length) = lines(self.transposed.0, m, k);
        let (b_lines, b_length) = lines(self.transposed.1, k, n);
        let a = Strided::<A>::new(a_lines + 3, a_length, gap, seed);
        let b = Strided::<B>::new(b_lines + 3, b_length, gap, seed + 1);
        let order = |lines: usize| -> Vec<u32> {
            (0..lines).map(|i| if self.gathered { (i * 7 + 5) % (lines + 3) } else { i } as u32).collect()
        };
        let (a_ids, b_ids) = (order(a_lines), order(b_lines));
        let (a_ids, b_ids) = (RowIds::new(&a_ids, a_lines + 3).unwrap(), RowIds::new(&b_ids, b_lines + 3).unwrap());
        let (mut left, mut right) = (Operand::gathered(a.view(), a_ids), Operand::gathered(b.view(), b_ids));
        if self.transposed.0 {
            left = left.transposed();
        }
        if self.transposed.1 {
            right = right.transposed();
        }
        let exact_left = Exact::of(&left, self.transposed.0, self.precision);
        let exact_right = Exact::of(&right, self.transposed.1, self.precision);
        at_every_level(|level| {
            let (mut left_panel, mut right_panel) = (used(level), used(level));
            left_panel.pack_left(level, self.precision, left);
            right_panel.pack_right(level, self.precision, right);
            let (stride, before) = (n + gap, if self.add { 0.5 } else { f32::NAN });
            let mut out = vec![before; m * stride];
            let output = Output::new(MatMut::with_stride(&mut out, m, n, stride)).scaled(self.scale);
            gemm(level, if self.add { output.added() } else { output }, &left_panel, &right_panel);
            for (i, row) in out.chunks(stride.max(1)).enumerate().take(m) {
                for (j, &got) in row[..n].iter().enumerate() {
                    let (sum, magnitude) = entry(&exact_left, &exact_right, i, j);
                    let scale = self.scale as f64;
                    let start = if self.add { 0.5 } else { 0.0 };
                    // One more addition (to what stood there) and one more rounding (of the scaled sum).
                    let bound = sum_bound(k + 2, magnitude * scale.abs() + start);
                    assert_within(got, sum * scale + start, bound, format!("{self:?}: ({i}, {j})"));
                }
                let outside = row[n..].iter().all(|x| x.to_bits() == before.to_bits());
                assert!(outside, "{self:?}: written between the rows");
            }
        });
    }
}

/// A panel that has held NaN in a larger shape: nothing of it may be read again.
fn used(level: Level) -> PackedPanel {
    let mut panel = PackedPanel::new();
    panel.pack_left(level, Precision::F32, Operand::new(MatRef::new(&vec![f32::NAN; 70 * 70], 70, 70)));
    panel
}

/// Sizes at, below and above every register block and strip, and 0.
const EDGES: [usize; 14] = [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 35];

#[test]
fn every_small_shape_is_the_sum_of_products() {
    for m in EDGES {
        for n in EDGES {
            for k in EDGES {
                let case = Case::plain(m, n, k);
                match case.seed / 16 % 3 {
                    0 => case.check::<f32, f32>(),
                    1 => case.check::<bf16, f32>(),
                    _ => case.check::<bf16, bf16>(),
                }
            }
        }
    }
}
