//! One product: shapes, strides, gathers, precisions, special numbers and wrong calls.

use super::*;
use crate::{Level, MatMut, RowIds, UniqueRowIds};
use proptest::prelude::*;

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
        let scale = if seed.is_multiple_of(5) { -0.75 } else { 1.0 };
        Case { m, n, k, transposed, precision, gap, gathered: seed & 8 == 8, scale, add: seed.is_multiple_of(7), seed }
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

#[test]
fn shapes_beyond_one_pass_are_the_sum_of_products() {
    for (m, n, k) in [(5, 37, 767), (9, 50, 769), (33, 49, 1537), (127, 9, 20), (129, 97, 33), (260, 100, 70)] {
        Case::plain(m, n, k).check::<f32, f32>();
        Case { precision: Precision::Bf16, add: true, ..Case::plain(m, n, k) }.check::<bf16, f32>();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_product_is_the_sum_of_products(
        (m, n, k) in (0usize..70, 0usize..110, 0usize..90),
        (left, right, gathered, add, rounded) in any::<(bool, bool, bool, bool, bool)>(),
        gap in 0usize..5,
        scale in -2.0f32..2.0,
        seed: u32,
    ) {
        let precision = if rounded { Precision::Bf16 } else { Precision::F32 };
        let case = Case { m, n, k, transposed: (left, right), precision, gap, gathered, scale, add, seed: seed as u64 };
        case.check::<f32, f32>();
        case.check::<bf16, f32>();
        case.check::<f32, bf16>();
    }
}

/// `a` (m, k) times `b` (k, n) at one level.
fn plain<A: Weight, B: Weight>(level: Level, precision: Precision, a: MatRef<A>, b: MatRef<B>) -> Vec<f32> {
    let (mut left, mut right, mut out) = (PackedPanel::new(), PackedPanel::new(), vec![f32::NAN; a.rows() * b.cols()]);
    left.pack_left(level, precision, Operand::new(a));
    right.pack_right(level, precision, Operand::new(b));
    gemm(level, Output::new(MatMut::new(&mut out, a.rows(), b.cols())), &left, &right);
    out
}

fn bits(xs: &[f32]) -> Vec<u32> {
    xs.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn bf16_precision_is_the_product_of_rounded_factors_to_the_bit() {
    let (a, b) = (numbers(21 * 75, 1), numbers(75 * 53, 2));
    let halves = |xs: &[f32]| -> Vec<bf16> { xs.iter().map(|&x| bf16::from_f32(x)).collect() };
    let (a_half, b_half) = (halves(&a), halves(&b));
    let widened = |xs: &[bf16]| -> Vec<f32> { xs.iter().map(|x| x.to_f32()).collect() };
    let (a_wide, b_wide) = (widened(&a_half), widened(&b_half));
    at_every_level(|level| {
        let from_f32 = plain(level, Precision::Bf16, MatRef::new(&a, 21, 75), MatRef::new(&b, 75, 53));
        let from_bf16 = plain(level, Precision::Bf16, MatRef::new(&a_half, 21, 75), MatRef::new(&b_half, 75, 53));
        assert_eq!(bits(&from_f32), bits(&from_bf16));
        let wide = plain(level, Precision::F32, MatRef::new(&a_wide, 21, 75), MatRef::new(&b_wide, 75, 53));
        let half = plain(level, Precision::F32, MatRef::new(&a_half, 21, 75), MatRef::new(&b_half, 75, 53));
        assert_eq!(bits(&wide), bits(&half), "bf16 storage is exact at f32 precision");
        if level.tiles().is_none() {
            assert_eq!(bits(&wide), bits(&from_f32), "without tiles it is the f32 product");
        }
    });
}

#[test]
fn a_row_of_the_product_depends_on_no_other_row() {
    let (w, x) = (numbers(40 * 33, 3), numbers(33 * 50, 4));
    let (w, x) = (MatRef::new(&w, 40, 33), MatRef::new(&x, 33, 50));
    let order: Vec<u32> = (0..37).map(|i| i * 11 % 40).collect();
    for precision in [Precision::F32, Precision::Bf16] {
        at_every_level(|level| {
            let all = plain(level, precision, w, x);
            let (mut left, mut right, mut out) = (PackedPanel::new(), PackedPanel::new(), vec![0.0; 37 * 50]);
            left.pack_left(level, precision, Operand::gathered(w, RowIds::new(&order, 40).unwrap()));
            right.pack_right(level, precision, Operand::new(x));
            gemm(level, Output::new(MatMut::new(&mut out, 37, 50)), &left, &right);
            for (row, &id) in out.chunks(50).zip(&order) {
                assert_eq!(bits(row), bits(&all[id as usize * 50..][..50]));
            }
        });
    }
}

#[test]
fn nan_and_infinities_reach_their_row_or_column_and_no_other() {
    // The last row and column of every kind of block: padding beside them must not turn them into anything else's NaN.
    for (m, n, k) in [(9, 17, 5), (33, 49, 33), (8, 48, 32)] {
        let (a, b) = (vec![1.0f32; m * k], vec![1.0f32; k * n]);
        for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (mut left, mut right) = (a.clone(), b.clone());
            left[m * k - 1] = special;
            right[k * n - 1] = special;
            let want_row = special as f64;
            // Infinity times infinity of the same sign is +infinity.
            let want_corner = want_row * want_row + (k - 1) as f64;
            for precision in [Precision::F32, Precision::Bf16] {
                at_every_level(|level| {
                    let out = plain(level, precision, MatRef::new(&left, m, k), MatRef::new(&right, k, n));
                    for (at, &got) in out.iter().enumerate() {
                        let want = match (at / n == m - 1, at % n == n - 1) {
                            (true, true) => want_corner,
                            (false, false) => k as f64,
                            _ => want_row,
                        };
                        assert_within(got, want, 0.0, format!("{special} in {m} {n} {k} at {at}"));
                    }
                });
            }
        }
    }
}

#[test]
fn denormal_factors_count_within_a_denormal_step_of_their_product() {
    // Powers of two are exact in bf16; 2^-130 is denormal in both formats.
    let (tiny, one) = (vec![2.0f32.powi(-130); 9 * 40], vec![1.0f32; 40 * 17]);
    let want = 40.0 * 2.0f64.powi(-130);
    for precision in [Precision::F32, Precision::Bf16] {
        at_every_level(|level| {
            for got in plain(level, precision, MatRef::new(&tiny, 9, 40), MatRef::new(&one, 40, 17)) {
                // The tile unit takes denormals as zero; each of 40 terms then lacks less than one MIN_POSITIVE.
                let bound = if level.tiles().is_some() { sum_bound(40, want) } else { 0.0 };
                assert_within(got, want, bound, format!("{precision:?}"));
            }
        });
    }
}

#[test]
fn a_product_over_nothing_is_zero_and_written() {
    for precision in [Precision::F32, Precision::Bf16] {
        at_every_level(|level| {
            let out = plain::<f32, f32>(level, precision, MatRef::new(&[], 9, 0), MatRef::new(&[], 0, 35));
            assert!(out.iter().all(|&x| x == 0.0));
            let (mut left, mut right, mut out) = (PackedPanel::new(), PackedPanel::new(), vec![2.0; 9 * 35]);
            left.pack_left(level, precision, Operand::new(MatRef::<f32>::new(&[], 9, 0)));
            right.pack_right(level, precision, Operand::new(MatRef::<f32>::new(&[], 0, 35)));
            gemm(level, Output::new(MatMut::new(&mut out, 9, 35)).added(), &left, &right);
            assert!(out.iter().all(|&x| x == 2.0));
        });
    }
}

#[test]
fn scattered_rows_are_written_and_the_others_stay() {
    let (a, b) = (numbers(5 * 7, 1), numbers(7 * 19, 2));
    let (a, b) = (MatRef::new(&a, 5, 7), MatRef::new(&b, 7, 19));
    let ids = [1, 2, 5, 8, 10];
    at_every_level(|level| {
        let want = plain(level, Precision::F32, a, b);
        let (mut left, mut right, mut out) = (PackedPanel::new(), PackedPanel::new(), vec![-1.0; 11 * 19]);
        left.pack_left(level, Precision::F32, Operand::new(a));
        right.pack_right(level, Precision::F32, Operand::new(b));
        let rows = UniqueRowIds::new(&ids, 11).unwrap();
        gemm(level, Output::scattered(MatMut::new(&mut out, 11, 19), rows), &left, &right);
        for (r, row) in out.chunks(19).enumerate() {
            match ids.iter().position(|&id| id as usize == r) {
                Some(i) => assert_eq!(bits(row), bits(&want[i * 19..][..19])),
                None => assert!(row.iter().all(|&x| x == -1.0), "row {r}"),
            }
        }
    });
}

#[test]
fn a_panel_with_capacity_does_not_move_when_packed() {
    for level in Level::available() {
        for precision in [Precision::F32, Precision::Bf16] {
            let mut panel = PackedPanel::with_capacity(50, 70);
            let before = panel.address();
            panel.pack_right(level, precision, Operand::new(MatRef::new(&[1.0; 50 * 70], 70, 50)));
            panel.pack_left(level, precision, Operand::new(MatRef::new(&[1.0; 50 * 70], 50, 70)));
            assert_eq!(panel.address(), before, "{level}");
        }
    }
}

fn two_panels(level: Level, k: (usize, usize), precision: (Precision, Precision)) -> (PackedPanel, PackedPanel) {
    let (mut left, mut right) = (PackedPanel::new(), PackedPanel::new());
    left.pack_left(level, precision.0, Operand::new(MatRef::new(&vec![1.0; 2 * k.0], 2, k.0)));
    right.pack_right(level, precision.1, Operand::new(MatRef::new(&vec![1.0; 2 * k.1], k.1, 2)));
    (left, right)
}

const BOTH: (Precision, Precision) = (Precision::F32, Precision::F32);

#[test]
#[should_panic(expected = "differ in depth (K)")]
fn panels_of_different_depth_panic() {
    let (left, right) = two_panels(Level::PORTABLE, (3, 4), BOTH);
    gemm(Level::PORTABLE, Output::new(MatMut::new(&mut [0.0; 4], 2, 2)), &left, &right);
}

#[test]
#[should_panic(expected = "the right panel was packed for the other side")]
fn panels_of_the_same_side_panic() {
    let (left, _) = two_panels(Level::PORTABLE, (3, 3), BOTH);
    gemm(Level::PORTABLE, Output::new(MatMut::new(&mut [0.0; 4], 2, 2)), &left, &left);
}

#[test]
#[should_panic(expected = "differ in precision")]
fn panels_of_different_precision_panic() {
    let (left, right) = two_panels(Level::PORTABLE, (3, 3), (Precision::F32, Precision::Bf16));
    gemm(Level::PORTABLE, Output::new(MatMut::new(&mut [0.0; 4], 2, 2)), &left, &right);
}

#[test]
#[should_panic(expected = "the output and the right panel differ in columns (N)")]
fn an_output_of_another_shape_panics() {
    let (left, right) = two_panels(Level::PORTABLE, (3, 3), BOTH);
    gemm(Level::PORTABLE, Output::new(MatMut::new(&mut [0.0; 6], 2, 3)), &left, &right);
}

#[test]
fn a_panel_of_another_level_panics_and_names_both() {
    for level in Level::available().filter(|&level| level != Level::PORTABLE) {
        let (left, right) = two_panels(level, (3, 3), BOTH);
        let call = || gemm(Level::PORTABLE, Output::new(MatMut::new(&mut [0.0; 4], 2, 2)), &left, &right);
        let panic = std::panic::catch_unwind(call).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("portable") && message.contains(level.name()), "{message}");
    }
}
