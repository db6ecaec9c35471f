use super::*;
use crate::bf16;
use crate::reduce::math::reference::{cdf, density};
use crate::testing::*;

const EPS: f64 = f32::EPSILON as f64;

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn argument(x: f64) -> f64 {
    2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)
}

/// `f(x)` in f64, as the definition says it.
fn value(f: Activation, x: f64) -> f64 {
    match f {
        Activation::Relu => x.max(0.0),
        Activation::ReluSquared => x.max(0.0).powi(2),
        Activation::Silu => x * logistic(x),
        Activation::Gelu => x * cdf(x),
        Activation::GeluTanh => x * logistic(argument(x)),
    }
}

/// The two terms of `f'(x)`; only their sum means something, but each has its own rounding.
fn slope_terms(f: Activation, x: f64) -> [f64; 2] {
    match f {
        Activation::Relu => [if x > 0.0 { 1.0 } else { 0.0 }, 0.0],
        Activation::ReluSquared => [2.0 * x.max(0.0), 0.0],
        Activation::Silu => [logistic(x), x * logistic(x) * logistic(-x)],
        Activation::Gelu => [cdf(x), x * density(x)],
        Activation::GeluTanh => {
            let (u, slope) = (argument(x), 2.0 * (2.0 / std::f64::consts::PI).sqrt() * (1.0 + 3.0 * 0.044715 * x * x));
            [logistic(u), x * logistic(u) * logistic(-u) * slope]
        }
    }
}

/// Relative error of one term, in eps. The logistic function is within 3 ulp and the normal distribution within 12, and
/// up to seven further operations round by half each. The argument of the tanh form is wrong by 3 eps of itself, which the
/// logistic function turns into as many eps of its value (of both values, where their product is taken).
fn roundings(f: Activation, x: f64) -> f64 {
    match f {
        Activation::Relu | Activation::ReluSquared => 1.0,
        Activation::Silu => 11.0,
        Activation::Gelu => 16.0,
        Activation::GeluTanh => 14.0 + 6.0 * argument(x).abs(),
    }
}

fn agrees<W: Weight>(f: Activation, x: &[f32], stored: f64) {
    let x: Vec<W> = x.iter().map(|&x| W::from_f32(x)).collect();
    let x = Misaligned::new(&x, 1);
    let dy = Misaligned::new(&numbers(x.len(), 7), 3);
    let want: Vec<_> = exact(&x).iter().map(|&x| (x, value(f, x), slope_terms(f, x), roundings(f, x))).collect();
    at_every_level(|level| {
        let (mut y, mut d) = (Misaligned::new(&x, 1), Misaligned::new(&dy, 3));
        f.forward(level, &mut y);
        f.backward(level, &mut d, &x);
        for (i, &(x, value, [a, b], roundings)) in want.iter().enumerate() {
            // A denormal result, or factor of one, is wrong by up to one denormal step times the other factor.
            let denormal = 1.5e-45 * (x.abs() * roundings + 2.0);
            let bound = (roundings * EPS + stored) * value.abs() + denormal;
            assert_within(y[i].to_f32(), value, bound, format_args!("{f:?}({x})"));
            let bound = roundings * EPS * (a.abs() + b.abs()) * dy[i].abs() as f64 + denormal;
            assert_within(d[i], dy[i] as f64 * (a + b), bound, format_args!("{f:?}'({x})"));
        }
    });
}

#[test]
fn activations_agree_with_their_definitions_at_every_length() {
    for f in Activation::ALL {
        for n in lengths() {
            let x: Vec<f32> = numbers(n, n as u64).iter().map(|x| 6.0 * x).collect();
            agrees::<f32>(f, &x, 0.0);
            // bf16 keeps 8 bits: storing rounds by half of the last.
            agrees::<bf16>(f, &x, 1.0 / 256.0);
        }
    }
}

#[test]
fn the_tails_keep_their_relative_accuracy() {
    let x: Vec<f32> = (-12000..12000).map(|i| i as f32 / 97.0).collect();
    for f in Activation::ALL {
        agrees::<f32>(f, &x, 0.0);
        agrees::<f32>(f, &[0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 1e15, -1e15], 0.0);
    }
}

#[test]
fn the_reference_slope_is_that_of_the_reference_value() {
    for f in Activation::ALL {
        for i in -40..=40 {
            let x = i as f64 / 8.0 + 0.01;
            let difference = (value(f, x + 1e-5) - value(f, x - 1e-5)) / 2e-5;
            let [a, b] = slope_terms(f, x);
            // Central differences: step^2 times a third derivative below 6, and 1e-16 * |value| / step for rounding.
            assert!((difference - a - b).abs() < 1e-9, "{f:?}'({x}): {difference} is not {}", a + b);
        }
    }
}

#[test]
fn infinities_give_the_limits_and_nan_stays() {
    for f in Activation::ALL {
        at_every_level(|level| {
            let x = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN];
            let (mut y, mut d) = (x, [1.0; 5]);
            f.forward(level, &mut y);
            f.backward(level, &mut d, &x);
            assert_eq!((y[0], y[1], y[4]), (f32::INFINITY, 0.0, 0.0), "{f:?}");
            assert!(y[2].is_nan() && d[2].is_nan(), "{f:?}");
            assert_eq!((d[1], d[4]), (0.0, 0.0), "{f:?}'");
            let rising = if f == Activation::ReluSquared { f32::INFINITY } else { 1.0 };
            assert_eq!((d[0], d[3]), (rising, rising), "{f:?}'");
        });
    }
}

#[test]
fn levels_with_a_fused_multiply_add_agree_to_the_bit() {
    let x: Vec<f32> = (-4000..4000).map(|i| i as f32 / 97.0).collect();
    for f in Activation::ALL {
        let mut results = Level::available().filter(|&level| level != Level::PORTABLE).map(|level| {
            let (mut y, mut d) = (x.clone(), numbers(x.len(), 3));
            f.forward(level, &mut y);
            f.backward(level, &mut d, &x);
            (y, d)
        });
        let Some(first) = results.next() else { continue };
        assert!(results.all(|result| result == first), "{f:?}");
    }
}

#[test]
#[should_panic(expected = "d and x differ in length")]
fn gradients_of_another_length_are_refused() {
    Activation::Relu.backward(Level::PORTABLE, &mut [0.0; 2], &[0.0f32; 3]);
}

proptest::proptest! {
    #[test]
    fn any_numbers(x in proptest::collection::vec(-200.0f32..200.0, 0..300)) {
        for f in Activation::ALL {
            agrees::<f32>(f, &x, 0.0);
        }
    }
}
