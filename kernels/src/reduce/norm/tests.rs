use super::*;
use crate::bf16;
use crate::testing::*;

const EPS: f64 = f32::EPSILON as f64;

/// The definitions in f64, for one row. RMSNorm is LayerNorm with a mean of 0 (and no term for the mean in `dx`).
mod reference {
    pub fn mean(xs: impl ExactSizeIterator<Item = f64>) -> f64 {
        let n = xs.len().max(1) as f64;
        xs.sum::<f64>() / n
    }

    /// `(mean, rstd)`
    pub fn moments(x: &[f64], epsilon: f64, centered: bool) -> (f64, f64) {
        let center = if centered { mean(x.iter().copied()) } else { 0.0 };
        let variance = mean(x.iter().map(|x| (x - center).powi(2)));
        (center, 1.0 / (variance + epsilon).sqrt())
    }

    pub fn forward(x: &[f64], gain: &[f64], bias: &[f64], (center, rstd): (f64, f64)) -> Vec<f64> {
        x.iter().zip(gain).zip(bias).map(|((x, gain), bias)| (x - center) * rstd * gain + bias).collect()
    }

    /// `dx`, given the moments.
    pub fn backward(dy: &[f64], x: &[f64], gain: &[f64], moments: (f64, f64), centered: bool) -> Vec<f64> {
        let (h, n) = parts(dy, x, gain, moments);
        let mean_h = if centered { mean(h.iter().copied()) } else { 0.0 };
        let slope = mean(h.iter().zip(&n).map(|(h, n)| h * n));
        h.iter().zip(&n).map(|(h, n)| moments.1 * (h - mean_h - n * slope)).collect()
    }

    /// `h = gain * dy` and `n = (x - mean) * rstd`
    pub fn parts(dy: &[f64], x: &[f64], gain: &[f64], (center, rstd): (f64, f64)) -> (Vec<f64>, Vec<f64>) {
        let h = dy.iter().zip(gain).map(|(dy, gain)| dy * gain).collect();
        (h, x.iter().map(|x| (x - center) * rstd).collect())
    }
}

const ROWS: usize = 3;

struct Case<W> {
    dim: usize,
    stride: usize,
    x: Misaligned<f32>,
    dy: Misaligned<f32>,
    gain: Misaligned<W>,
    bias: Misaligned<W>,
}

impl<W: Weight> Case<W> {
    fn new(dim: usize, offset: f32, seed: u64) -> Self {
        let stride = dim + 2;
        let parameters = |seed| numbers(dim, seed).into_iter().map(W::from_f32).collect::<Vec<_>>();
        let x: Vec<f32> = numbers(ROWS * stride, seed).iter().map(|x| 3.0 * x + offset).collect();
        Self {
            dim,
            stride,
            x: Misaligned::new(&x, 1),
            dy: Misaligned::new(&numbers(ROWS * stride, seed + 1), 3),
            gain: Misaligned::new(&parameters(seed + 2), 1),
            bias: Misaligned::new(&parameters(seed + 3), 1),
        }
    }

    fn matrix<'a>(&self, data: &'a [f32]) -> MatRef<'a, f32> {
        MatRef::with_stride(data, ROWS, self.dim, self.stride)
    }

    fn matrix_mut<'a>(&self, data: &'a mut [f32]) -> MatMut<'a, f32> {
        MatMut::with_stride(data, ROWS, self.dim, self.stride)
    }

    /// How far the computed mean, and `rstd` relative to itself, can be off.
    ///
    /// The mean is a sum of `D` numbers and a division. Each deviation inherits that error and rounds once (`shift`); the
    /// mean of their squares then moves by `2 shift mean|c| + shift^2` and by `(D + 2) eps` of itself, and a reciprocal root
    /// halves a small relative error, adds two roundings, and is allowed the whole of it for the second order.
    fn moment_bounds(&self, x: &[f64], epsilon: f64, centered: bool) -> (f64, f64, f64) {
        let d = self.dim as f64;
        let (center, rstd) = reference::moments(x, epsilon, centered);
        let deviation = |x: &f64| (x - center).abs();
        let mean = if centered { (d + 2.0) * EPS * reference::mean(x.iter().map(|x| x.abs())) } else { 0.0 };
        let largest = x.iter().map(deviation).fold(0.0, f64::max);
        let shift = if centered { mean + EPS * largest } else { 0.0 };
        let moved = 2.0 * shift * reference::mean(x.iter().map(deviation)) + shift * shift;
        (mean, shift, moved * rstd * rstd + (d + 6.0) * EPS)
    }

    fn forward_agrees(&self, epsilon: f32, centered: bool) {
        at_every_level(|level| {
            let mut out = vec![7.0; self.x.len()];
            let mut moments = [Moments::default(); ROWS];
            if centered {
                let affine = Affine { gain: &self.gain, bias: &self.bias };
                layer_norm(level, self.matrix_mut(&mut out), self.matrix(&self.x), affine, epsilon, &mut moments);
            } else {
                let mut rstd = [0.0; ROWS];
                rms_norm(level, self.matrix_mut(&mut out), self.matrix(&self.x), &self.gain, epsilon, &mut rstd);
                moments = rstd.map(|rstd| Moments { mean: 0.0, rstd });
            }
            let gain = exact(&self.gain);
            let bias = if centered { exact(&self.bias) } else { vec![0.0; self.dim] };
            for r in 0..ROWS {
                let x = exact(self.matrix(&self.x).row(r));
                let (center, rstd) = reference::moments(&x, epsilon as f64, centered);
                let (mean_bound, shift, relative) = self.moment_bounds(&x, epsilon as f64, centered);
                assert_within(moments[r].mean, center, mean_bound, format_args!("mean of {}", self.dim));
                assert_within(moments[r].rstd, rstd, relative * rstd, format_args!("rstd of {}", self.dim));
                let want = reference::forward(&x, &gain, &bias, (center, rstd));
                for (i, &want) in want.iter().enumerate() {
                    let n = (x[i] - center).abs() * rstd;
                    // The deviation's error, the factor's, and three more roundings.
                    let bound = gain[i].abs() * (shift * rstd * (1.0 + relative) + n * (relative + 3.0 * EPS))
                        + EPS * (want.abs() + bias[i].abs());
                    assert_within(out[r * self.stride + i], want, bound, format_args!("{i} of {}", self.dim));
                }
                assert!(out[r * self.stride + self.dim..][..2].iter().all(|&gap| gap == 7.0));
            }
        });
    }

    fn backward_agrees(&self, centered: bool) {
        // Any numbers do as moments: the backward takes them as given.
        let moments = [0.5, 1.25, 3.0].map(|rstd| Moments { mean: if centered { rstd / 4.0 } else { 0.0 }, rstd });
        let gain = exact(&self.gain);
        let (dx_before, grad_before) = (numbers(self.x.len(), 11), numbers(2 * self.dim, 12));
        at_every_level(|level| {
            let (mut dx, mut grad) = (dx_before.clone(), grad_before.clone());
            let (dgain, dbias) = grad.split_at_mut(self.dim);
            let (x, dy) = (self.matrix(&self.x), self.matrix(&self.dy));
            if centered {
                let grad = AffineGrad { dgain, dbias };
                layer_norm_backward(level, self.matrix_mut(&mut dx), grad, dy, x, &self.gain, &moments);
            } else {
                let rstd = moments.map(|moments| moments.rstd);
                rms_norm_backward(level, self.matrix_mut(&mut dx), dgain, dy, x, &self.gain, &rstd);
            }
            let d = self.dim as f64;
            let before = exact(&grad_before);
            let mut want_grad = before.clone();
            let mut magnitude: Vec<f64> = before.iter().map(|x| x.abs()).collect();
            for (r, moments) in moments.iter().enumerate() {
                let (x, dy, moments) = (exact(x.row(r)), exact(dy.row(r)), (moments.mean as f64, moments.rstd as f64));
                let want = reference::backward(&dy, &x, &gain, moments, centered);
                let (h, n) = reference::parts(&dy, &x, &gain, moments);
                let mean_h = if centered { reference::mean(h.iter().map(|h| h.abs())) } else { 0.0 };
                let slope = reference::mean(h.iter().zip(&n).map(|(h, n)| (h * n).abs()));
                for i in 0..self.dim {
                    let at = r * self.stride + i;
                    // The two means are sums of D terms with at most five roundings in each term and the division; six
                    // more roundings follow, each of no more than all terms together.
                    let terms = h[i].abs() + mean_h + n[i].abs() * slope;
                    let bound = (d + 12.0) * EPS * moments.1 * terms + EPS * (want[i] + dx_before[at] as f64).abs();
                    let want = dx_before[at] as f64 + want[i];
                    assert_within(dx[at], want, bound, format_args!("dx {i} of {}", self.dim));
                    want_grad[i] += dy[i] * n[i];
                    magnitude[i] += (dy[i] * n[i]).abs();
                    if centered {
                        want_grad[self.dim + i] += dy[i];
                        magnitude[self.dim + i] += dy[i].abs();
                    }
                }
                assert_eq!(dx[r * self.stride + self.dim..][..2], dx_before[r * self.stride + self.dim..][..2]);
            }
            for (i, (&got, want)) in grad.iter().zip(want_grad).enumerate() {
                // One sum over the rows, each term with two roundings of its own.
                let bound = sum_bound(ROWS + 3, magnitude[i]);
                assert_within(got, want, bound, format_args!("parameter gradient {i} of {}", 2 * self.dim));
            }
        });
    }
}

fn all_agree<W: Weight>(dim: usize, offset: f32, seed: u64) {
    let case = Case::<W>::new(dim, offset, seed);
    for centered in [false, true] {
        case.forward_agrees(1e-5, centered);
        case.forward_agrees(0.5, centered);
        case.backward_agrees(centered);
    }
}

#[test]
fn norms_agree_with_their_definitions_at_every_length() {
    for dim in lengths() {
        all_agree::<f32>(dim, 0.0, dim as u64);
        all_agree::<bf16>(dim, 4.0, dim as u64);
    }
}

#[test]
fn the_reference_gradient_is_the_slope_of_the_reference_norm() {
    let (x, dy, gain) = (exact(&numbers(7, 1)), exact(&numbers(7, 2)), exact(&numbers(7, 3)));
    for centered in [false, true] {
        let loss = |x: &[f64]| -> f64 {
            let y = reference::forward(x, &gain, &[0.0; 7], reference::moments(x, 1e-2, centered));
            y.iter().zip(&dy).map(|(y, dy)| y * dy).sum()
        };
        let gradient = reference::backward(&dy, &x, &gain, reference::moments(&x, 1e-2, centered), centered);
        for i in 0..7 {
            let at = |step: f64| {
                let mut x = x.clone();
                x[i] += step;
                loss(&x)
            };
            // Central differences: step^2 times a third derivative below 30, and 1e-16 * |loss| / step for rounding.
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((slope - gradient[i]).abs() < 1e-8, "{i}: {slope} is not {}", gradient[i]);
        }
    }
}

#[test]
fn scaling_a_row_by_a_power_of_two_changes_no_bit_of_its_norm() {
    for dim in [1, 7, 33, 130] {
        let case = Case::<f32>::new(dim, 1.0, 5);
        let scaled: Vec<f32> = case.x.iter().map(|x| x * 16.0).collect();
        at_every_level(|level| {
            let norm = |x: &[f32]| {
                let (mut rms, mut layer) = (vec![0.0; x.len()], vec![0.0; x.len()]);
                let affine = Affine { gain: &case.gain, bias: &case.bias };
                rms_norm(level, case.matrix_mut(&mut rms), case.matrix(x), &case.gain, 0.0, &mut [0.0; ROWS]);
                let moments = &mut [Moments::default(); ROWS];
                layer_norm(level, case.matrix_mut(&mut layer), case.matrix(x), affine, 1e-30, moments);
                (rms, layer)
            };
            let (plain, scaled) = (norm(&case.x), norm(&scaled));
            assert_eq!(plain.0, scaled.0);
            // A single number is its own mean: its deviation is 0 either way.
            assert_eq!(plain.1, scaled.1);
        });
    }
}

#[test]
fn a_bad_row_touches_no_other() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut case = Case::<f32>::new(37, 0.0, 6);
        case.x[case.stride + 20] = bad;
        at_every_level(|level| {
            let (mut rms, mut layer) = (vec![0.0; case.x.len()], vec![0.0; case.x.len()]);
            let affine = Affine { gain: &case.gain, bias: &case.bias };
            let x = case.matrix(&case.x);
            rms_norm(level, case.matrix_mut(&mut rms), x, &case.gain, 1e-5, &mut [0.0; ROWS]);
            layer_norm(level, case.matrix_mut(&mut layer), x, affine, 1e-5, &mut [Moments::default(); ROWS]);
            let (rms, layer) = (case.matrix(&rms), case.matrix(&layer));
            assert!(rms.row(1)[20].is_nan() && layer.row(1).iter().all(|y| y.is_nan()));
            for r in [0, 2] {
                assert!(rms.row(r).iter().chain(layer.row(r)).all(|y| y.is_finite()));
            }
        });
    }
}

#[test]
fn a_row_of_zeros_and_one_of_denormals_stay_near_zero() {
    for value in [0.0, 1e-45, -1e-40] {
        let x = [value; 20];
        at_every_level(|level| {
            let mut out = [7.0; 20];
            let matrix = MatMut::new(&mut out, 1, 20);
            rms_norm(level, matrix, MatRef::new(&x, 1, 20), &[1.0f32; 20], 1e-6, &mut [0.0]);
            // rstd is 1e3 within rounding: the square of a denormal is 0.
            assert!(out.iter().all(|y| (y - value * 1e3).abs() <= 1e-42), "{out:?}");
        });
    }
}

#[test]
#[should_panic(expected = "out and x differ in shape")]
fn matrices_of_two_shapes_are_refused() {
    let (mut out, x) = ([0.0; 4], [0.0; 6]);
    let out = MatMut::new(&mut out, 2, 2);
    rms_norm(Level::PORTABLE, out, MatRef::new(&x, 2, 3), &[0.0f32; 3], 1e-5, &mut [0.0; 2]);
}

proptest::proptest! {
    #[test]
    fn any_dimension_and_offset(dim in 0usize..300, offset in -30.0f32..30.0, seed: u32) {
        all_agree::<f32>(dim, offset, seed as u64);
        all_agree::<bf16>(dim, offset, seed as u64);
    }
}
