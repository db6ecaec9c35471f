//! Many products, causal or not.

use super::*;
use proptest::prelude::*;

/// Which terms of (row i of the output, contraction index k, column j of the output) a causal product has, as attention
/// defines it: a query sees the keys up to its own position.
fn counts(causal: Causal, i: usize, k: usize, j: usize) -> bool {
    match causal {
        Causal::Full => true,
        Causal::Output { offset } => j <= i + offset,
        Causal::Until { offset } => k <= i + offset,
        Causal::From { offset } => i <= k + offset,
    }
}

/// `count` products (m, k) x (k, n); where the left factor does not count it is NaN.
#[derive(Clone, Copy, Debug)]
struct Case {
    count: usize,
    m: usize,
    n: usize,
    k: usize,
    transposed: bool,
    heads: bool,
    causal: Causal,
    precision: Precision,
    add: bool,
}

impl Case {
    fn shape(&self, rows: usize, cols: usize) -> BatchShape {
        if self.heads { BatchShape::heads(self.count, rows, cols) } else { BatchShape::dense(self.count, rows, cols) }
    }

    fn check<W: Weight>(&self) {
        let Case { count, m, n, k, causal, .. } = *self;
        let at = |shape: BatchShape, b: usize, r: usize, c: usize| b * shape.batch_stride + r * shape.row_stride + c;
        let left_shape = if self.transposed { self.shape(k, m) } else { self.shape(m, k) };
        let (right_shape, out_shape) = (self.shape(k, n), self.shape(m, n));
        let rounded = |x: f32| if self.precision == Precision::Bf16 { bf16::from_f32(x).to_f32() } else { x };
        let to_weights = |xs: Vec<f32>| -> Vec<W> { xs.into_iter().map(W::from_f32).collect() };
        let mut left = to_weights(numbers(count * m * k, 1));
        let right = to_weights(numbers(count * k * n, 2));
        let left_at = |b, i, t| if self.transposed { at(left_shape, b, t, i) } else { at(left_shape, b, i, t) };
        if !matches!(causal, Causal::Output { .. }) {
            for (b, i, t) in (0..count * m * k).map(|x| (x / (m * k), x / k % m, x % k)) {
                if !counts(causal, i, t, 0) {
                    left[left_at(b, i, t)] = W::from_f32(f32::NAN);
                }
            }
        }
        let before = if self.add { 0.25 } else { f32::NEG_INFINITY };
        let factor = Batch::new(&left, left_shape);
        let factor = if self.transposed { factor.transposed() } else { factor };
        at_every_level(|level| {
            let (mut scratch, mut out) = (GemmScratch::default(), vec![before; count * m * n]);
            let to = BatchMut::new(&mut out, out_shape).scaled(0.5);
            let to = if self.add { to.added() } else { to };
            batched_gemm(level, self.precision, &mut scratch, to, factor, Batch::new(&right, right_shape), causal);
            for (b, i, j) in (0..count * m * n).map(|x| (x / (m * n), x / n % m, x % n)) {
                let got = out[at(out_shape, b, i, j)];
                if matches!(causal, Causal::Output { .. }) && !counts(causal, i, 0, j) {
                    assert_eq!(got, before, "{self:?}: written above the diagonal at ({i}, {j})");
                    continue;
                }
                let (mut sum, mut magnitude) = (0.0, 0.0);
                for t in (0..k).filter(|&t| counts(causal, i, t, j)) {
                    let a = rounded(left[left_at(b, i, t)].to_f32()) as f64;
                    let term = a * rounded(right[at(right_shape, b, t, j)].to_f32()) as f64;
                    (sum, magnitude) = (sum + term, magnitude + term.abs());
                }
                let start = if self.add { 0.25 } else { 0.0 };
                // Two roundings more: the scale and the addition to what stood there.
                let bound = sum_bound(k + 2, 0.5 * magnitude + start);
                assert_within(got, 0.5 * sum + start, bound, format!("{self:?}: {b} ({i}, {j})"));
            }
        });
    }
}

fn kinds(offset: usize) -> [Causal; 4] {
    [Causal::Full, Causal::Output { offset }, Causal::Until { offset }, Causal::From { offset }]
}

#[test]
fn every_kind_of_causal_product_sums_what_counts_and_writes_no_more() {
    // Several tokens, more than one block of 128 rows, and more keys than queries (a cache) and the reverse.
    for (m, n, k) in [(1, 1, 1), (5, 9, 7), (40, 33, 40), (150, 20, 150), (20, 140, 8), (300, 5, 17)] {
        for offset in [0, 1, 30, 200] {
            for causal in kinds(offset) {
                let precision = if offset % 2 == 0 { Precision::F32 } else { Precision::Bf16 };
                let case = Case {
                    count: 2,
                    m,
                    n,
                    k,
                    transposed: offset > 1,
                    heads: offset == 30,
                    causal,
                    precision,
                    add: false,
                };
                case.check::<f32>();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_batch_is_its_products(
        (count, m, n, k) in (0usize..4, 0usize..60, 0usize..60, 0usize..60),
        (transposed, heads, rounded, add) in any::<(bool, bool, bool, bool)>(),
        (kind, offset) in (0usize..4, 0usize..70),
    ) {
        let precision = if rounded { Precision::Bf16 } else { Precision::F32 };
        let case = Case { count, m, n, k, transposed, heads, causal: kinds(offset)[kind], precision, add };
        case.check::<f32>();
        case.check::<bf16>();
    }
}

/// With keys to the last, "causal" excludes nothing.
#[test]
fn an_offset_beyond_all_keys_is_the_full_product_to_the_bit() {
    let (q, k) = (numbers(3 * 20 * 16, 1), numbers(3 * 24 * 16, 2));
    let (q, k) = (Batch::new(&q, BatchShape::heads(3, 20, 16)), Batch::new(&k, BatchShape::heads(3, 24, 16)));
    at_every_level(|level| {
        let scores = |causal| {
            let (mut scratch, mut out) = (GemmScratch::default(), vec![0.0; 3 * 20 * 24]);
            let to = BatchMut::new(&mut out, BatchShape::dense(3, 20, 24));
            batched_gemm(level, Precision::F32, &mut scratch, to, q, k.transposed(), causal);
            out
        };
        assert_eq!(scores(Causal::Full), scores(Causal::Output { offset: usize::MAX }));
    });
}

#[test]
#[should_panic(expected = "does not fit into 23 elements")]
fn a_batch_beyond_its_slice_panics() {
    Batch::new(&[0.0; 23], BatchShape::heads(2, 3, 4));
}

#[test]
fn matrices_without_rows_need_no_memory() {
    let shape = BatchShape { count: 3, rows: 0, cols: 5, row_stride: 5, batch_stride: usize::MAX };
    at_every_level(|level| {
        let left = Batch::new(&[0.0f32; 0], shape);
        let right = Batch::new(&[1.0f32; 60], BatchShape::dense(3, 5, 4));
        let out = BatchShape { count: 3, rows: 0, cols: 4, row_stride: 4, batch_stride: 0 };
        batched_gemm(
            level,
            Precision::F32,
            &mut GemmScratch::default(),
            BatchMut::new(&mut [], out),
            left,
            right,
            Causal::Full,
        );
    });
}

#[test]
fn matrices_to_write_that_share_an_element_are_refused_and_no_others() {
    let shapes = (0..4usize).flat_map(|count| (0..4).flat_map(move |rows| (0..4).map(move |cols| (count, rows, cols))));
    for (count, rows, cols) in shapes {
        for (row_stride, batch_stride) in (cols..8).flat_map(|row| (0..20).map(move |batch| (row, batch))) {
            let shape = BatchShape { count, rows, cols, row_stride, batch_stride };
            let mut elements: Vec<usize> = (0..count * rows * cols)
                .map(|i| i / (rows * cols) * batch_stride + i / cols % rows * row_stride + i % cols)
                .collect();
            elements.sort_unstable();
            let shared = elements.windows(2).any(|pair| pair[0] == pair[1]);
            let mut data = vec![0.0; elements.last().map_or(0, |last| last + 1)];
            let made =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| BatchMut::new(&mut data, shape).count()));
            assert_eq!(made.is_err(), shared, "{shape:?}");
            // To read, the same matrices will do.
            assert_eq!(Batch::new(&data, shape).count(), count);
        }
    }
}
