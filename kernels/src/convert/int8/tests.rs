use super::*;
use crate::testing::*;

fn quantised(level: Level, x: MatRef<f32>, key: Option<RandomKey>) -> (Vec<i8>, Vec<f32>) {
    let (rows, cols) = (x.rows(), x.cols());
    let (mut codes, mut scales) = (Misaligned::new(&vec![99; rows * cols], 1), vec![f32::NAN; rows]);
    match key {
        None => i8_rows_from_f32(level, MatMut::new(&mut codes, rows, cols), &mut scales, x),
        Some(key) => i8_rows_from_f32_stochastic(level, MatMut::new(&mut codes, rows, cols), &mut scales, x, key),
    }
    (codes.to_vec(), scales)
}

/// The definition. `as` cuts to the range of `i8`, which the definition never leaves.
fn reference(row: &[f32]) -> (Vec<i8>, f32) {
    let largest = row.iter().fold(0.0f32, |a, x| a.max(x.abs()));
    let scale = if largest > 0.0 { (largest / 127.0).max(f32::MIN_POSITIVE) } else { 0.0 };
    let code = |x: &f32| if scale > 0.0 { (x / scale).round_ties_even() as i8 } else { 0 };
    (row.iter().map(code).collect(), scale)
}

#[test]
fn codes_and_scales_are_those_of_the_definition_at_every_length() {
    for cols in lengths() {
        let x = Misaligned::new(&numbers(3 * cols, cols as u64), 1);
        let x = MatRef::new(&x, 3, cols);
        at_every_level(|level| {
            let (codes, scales) = quantised(level, x, None);
            for (r, scale) in scales.iter().enumerate() {
                let want = reference(x.row(r));
                assert_eq!((&codes[r * cols..][..cols], *scale), (&want.0[..], want.1));
            }
        });
    }
}

/// Half a step, and the rounding of the quotient (at most 127 in size) and of the product: each at most `127 eps / 2` steps.
#[test]
fn reading_back_is_within_half_a_step() {
    for (cols, factor) in [(1, 1.0), (37, 1e-3), (130, 3e38), (64, 1e-38), (64, 1e-44), (20, 0.0)] {
        let x: Vec<f32> = numbers(cols, 4).iter().map(|x| x * factor).collect();
        let x = MatRef::new(&x, 1, cols);
        at_every_level(|level| {
            for key in [None, Some(RandomKey { seed: 1, step: 2, row: 3 })] {
                let (codes, scales) = quantised(level, x, key);
                let mut back = vec![f32::NAN; cols];
                f32_rows_from_i8(level, MatMut::new(&mut back, 1, cols), MatRef::new(&codes, 1, cols), &scales);
                let steps = if key.is_some() { 1.0 } else { 0.5 };
                let bound = scales[0] as f64 * (steps + 127.0 * f32::EPSILON as f64 + 2f64.powi(-17));
                for (back, &x) in back.iter().zip(x.row(0)) {
                    assert_within(*back, x as f64, bound, format!("cols {cols}, factor {factor}"));
                }
                assert!(codes.iter().all(|&q| q != i8::MIN));
            }
        });
    }
}

#[test]
fn a_row_with_a_nan_or_an_infinity_reads_back_as_nan_and_its_neighbours_do_not() {
    for fault in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 16, 20] {
            let mut x = numbers(3 * 21, 9);
            x[21 + at] = fault;
            at_every_level(|level| {
                let (codes, scales) = quantised(level, MatRef::new(&x, 3, 21), None);
                assert!(scales[1].is_nan() && codes[21..42].iter().all(|&q| q == 0));
                assert!(scales[0].is_finite() && scales[2].is_finite());
                let mut back = vec![0.0; 63];
                f32_rows_from_i8(level, MatMut::new(&mut back, 3, 21), MatRef::new(&codes, 3, 21), &scales);
                assert!(back[21..42].iter().all(|x| x.is_nan()) && back[..21].iter().all(|x| x.is_finite()));
            });
        }
    }
}

/// `n` draws of a two-valued number with variance `p (1 - p)` have a mean within five times `sqrt(p (1 - p) / n)` of `p`, but once
/// in two million; the fixed point adds 2^-17.
#[test]
fn stochastic_codes_have_the_mean_of_the_number() {
    let n = 1 << 16;
    for (row, y) in [0.25f32, -0.25, 3.9, -126.5, 126.999, 0.001].into_iter().enumerate() {
        let mut x = vec![y; n + 1];
        x[n] = 127.0;
        let key = RandomKey { seed: 3, step: 0, row: row as u64 };
        let (codes, scales) = quantised(Level::detect(), MatRef::new(&x, 1, n + 1), Some(key));
        assert_eq!((scales[0], codes[n]), (1.0, 127));
        let (y, floor) = (y as f64, y.floor() as i8);
        assert!(codes[..n].iter().all(|&q| q == floor || q == floor + 1));
        let mean = codes[..n].iter().map(|&q| q as f64).sum::<f64>() / n as f64;
        let p = y - y.floor();
        let bound = 5.0 * (p * (1.0 - p) / n as f64).sqrt() + 2f64.powi(-17);
        assert!((mean - y).abs() <= bound, "{mean} is not {y}");
    }
}

#[test]
fn the_largest_element_never_carries_past_127() {
    for seed in 0..2000 {
        let x: Vec<f32> = numbers(4, seed).iter().flat_map(|&x| [x, -x]).collect();
        at_every_level(|level| {
            let key = RandomKey { seed, ..RandomKey::default() };
            let (codes, _) = quantised(level, MatRef::new(&x, 1, 8), Some(key));
            for (x, q) in x.iter().zip(&codes) {
                assert!(*q == 0 || (*q > 0) == (*x > 0.0), "{x} became {q}");
                assert_ne!(*q, i8::MIN);
            }
        });
    }
}

proptest::proptest! {
    #[test]
    fn every_level_gives_the_same_codes_for_any_bits(
        bits in proptest::collection::vec(proptest::num::u32::ANY, 0..150), seed: u64,
    ) {
        // Half of the cases keep to finite numbers: random bits are NaN or infinite once in 128.
        let finite = |x: f32| if x.is_finite() { x } else { 0.0 };
        let xs = bits.into_iter().map(f32::from_bits);
        let xs: Vec<f32> = if seed % 2 == 0 { xs.map(finite).collect() } else { xs.collect() };
        let x = MatRef::new(&xs, 1, xs.len());
        for key in [None, Some(RandomKey { seed, step: 1, row: 1 })] {
            let want = quantised(Level::PORTABLE, x, key);
            at_every_level(|level| {
                let got = quantised(level, x, key);
                assert_eq!(got.0, want.0);
                assert_eq!(got.1[0].to_bits(), want.1[0].to_bits());
            });
        }
    }

    #[test]
    fn dot_is_that_of_the_scaled_rows(cols in 0usize..200, ids in proptest::collection::vec(0u32..4, 0..9), seed: u32) {
        let x = numbers(cols, seed as u64);
        let source = numbers(4 * cols, seed as u64 + 1);
        let (codes, scales) = quantised(Level::PORTABLE, MatRef::new(&source, 4, cols), None);
        let (codes, x) = (Misaligned::new(&codes, 3), Misaligned::new(&x, 1));
        at_every_level(|level| {
            let mut out = vec![f32::NAN; ids.len()];
            let active = RowIds::new(&ids, 4).unwrap();
            rows_dot_i8(level, &mut out, active, MatRef::new(&codes, 4, cols), &scales, &x);
            for (out, &id) in out.iter().zip(&ids) {
                let terms = || codes[id as usize * cols..][..cols].iter().zip(&*x);
                let scale = scales[id as usize] as f64;
                let want = scale * terms().map(|(&q, &x)| q as f64 * x as f64).sum::<f64>();
                let size = scale * terms().map(|(&q, &x)| (q as f64 * x as f64).abs()).sum::<f64>();
                assert_within(*out, want, sum_bound(cols + 1, size), format!("row {id} of {cols}"));
            }
        });
    }
}

#[test]
#[should_panic(expected = "scales and the rows of the matrix differ in number")]
fn a_missing_scale_is_a_wrong_call() {
    i8_rows_from_f32(Level::PORTABLE, MatMut::new(&mut [0; 2], 2, 1), &mut [0.0], MatRef::new(&[0.0; 2], 2, 1));
}
