//! Reductions, losses and activations: every level against f64, within the bounds that their documentation states.
#![no_main]

use hotrow_fuzz::{Input, Sum, assert_close, assert_same, exact, fused_levels, same};
use hotrow_kernels::reduce::{
    Activation, dot, log_sum_exp, max, softmax, softmax_cross_entropy, squared_norm, sum, top_k,
};
use hotrow_kernels::{Level, RowIds, Weight, bf16};
use libfuzzer_sys::fuzz_target;

const EPS: f64 = f32::EPSILON as f64;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    match input.up_to(4) {
        0 => sums::<f32>(&mut input),
        1 => sums::<bf16>(&mut input),
        2 => largest(&mut input),
        3 => losses(&mut input),
        _ => activations(&mut input),
    }
});

fn sums<W: Weight>(input: &mut Input) {
    let len = input.up_to(300);
    let a: Vec<W> = input.floats(len).into_iter().map(W::from_f32).collect();
    let b = input.floats(len);
    let (exact_a, exact_b, ones) = (exact(&a), exact(&b), vec![1.0; len]);
    let most = a
        .iter()
        .map(|x| x.to_f32())
        .fold(f32::NEG_INFINITY, |m, x| if m.is_nan() || x.is_nan() { f32::NAN } else { m.max(x) });
    for level in Level::available() {
        Sum::of(0.0, &exact_a, &ones).assert_is(sum(level, &a), format_args!("{level} sum"));
        Sum::of(0.0, &exact_a, &exact_b).assert_is(dot(level, &a, &b), format_args!("{level} dot"));
        Sum::of(0.0, &exact_a, &exact_a).assert_is(squared_norm(level, &a), format_args!("{level} squared_norm"));
        let got = max(level, &a);
        assert!(got == most || same(got, most), "{level}: max is {got:e}, not {most:e}");
    }
}

fn largest(input: &mut Input) {
    let (len, k) = (input.up_to(400), input.up_to(20));
    let scores = input.floats(len);
    // Descending, the lower position first among equals, NaN last.
    let key = |&id: &u32| {
        let x = scores[id as usize];
        (x.is_nan(), x)
    };
    let mut order: Vec<u32> = (0..len as u32).collect();
    order.sort_by(|a, b| {
        let ((a_nan, a), (b_nan, b)) = (key(a), key(b));
        a_nan.cmp(&b_nan).then(b.partial_cmp(&a).unwrap_or(std::cmp::Ordering::Equal))
    });
    for level in Level::available() {
        let (mut ids, mut values) = (vec![u32::MAX; k], vec![0.5; k]);
        let found = top_k(level, &scores, &mut ids, &mut values);
        assert_eq!(found, k.min(len));
        assert_eq!(ids[..found], order[..found], "{level}");
        let want: Vec<f32> = order[..found].iter().map(|&id| scores[id as usize]).collect();
        assert_same(&values[..found], &want, level);
        assert!(ids[found..].iter().all(|&id| id == u32::MAX), "{level}: written past the end");
    }
}

fn losses(input: &mut Input) {
    let len = input.up_to(200);
    let logits = input.floats(len);
    let weights = input.flag().then(|| input.floats(len));
    let weights = weights.as_deref();
    let targets = input.ids(len, 4);
    let Ok(positions) = RowIds::new(&targets, len) else { return };

    // The logits that count, rounded as the kernels add them.
    let z: Vec<f64> = match weights {
        Some(weights) => logits.iter().zip(weights).map(|(&z, &w)| (z + w) as f64).collect(),
        None => exact(&logits),
    };
    let most = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let ordinary = z.iter().all(|&z| z < f64::INFINITY) && most > f64::NEG_INFINITY;
    // From the largest one, because the logarithm of a sum next to a huge maximum has no digits left.
    let sum: f64 = z.iter().map(|z| (z - most).exp()).sum();
    let probability = |z: f64| (z - most).exp() / sum;
    let want = if z.iter().any(|z| z.is_nan()) {
        f64::NAN
    } else if !ordinary {
        most
    } else {
        most + sum.ln()
    };
    let n = len as f64;
    for level in Level::available() {
        let bound = (n + 8.0) * EPS + 2.0 * EPS * most.abs();
        assert_close(log_sum_exp(level, &logits, weights), want, bound, format_args!("{level} log_sum_exp"));

        let mut p = logits.clone();
        softmax(level, &mut p, weights);
        if !ordinary {
            assert!(p.iter().all(|p| p.is_nan()), "{level}: nothing to choose from, yet {p:?}");
        }
        for (&p, &z) in p.iter().zip(&z).filter(|_| ordinary) {
            let want = probability(z);
            let bound = (n + (z - most).abs().min(200.0) + 8.0) * EPS * want + f32::MIN_POSITIVE as f64;
            assert_close(p, want, bound, format_args!("{level} softmax"));
        }

        let mut d = logits.clone();
        let out = softmax_cross_entropy(level, &mut d, weights, positions, None);
        if targets.is_empty() {
            assert!(out.loss == 0.0 && d.iter().all(|&d| d == 0.0), "{level}: a loss without targets");
            continue;
        }
        if !ordinary {
            continue;
        }
        // A weight of 1 / T an entry; each difference of the loss is of numbers within the bound of `log_z`, and is rounded.
        let share = 1.0 / targets.len() as f64;
        let terms = targets.iter().map(|&t| (most - z[t as usize]) + sum.ln());
        let loss: f64 = terms.clone().sum::<f64>() * share;
        let size: f64 = terms.map(f64::abs).sum::<f64>() * share;
        if size < f32::MAX as f64 / 8.0 {
            let bound = bound * 2.0 + (targets.len() as f64 + 4.0) * EPS * size;
            assert_close(out.loss, loss, bound, format_args!("{level} loss"));
        }
        for (a, (&d, &z)) in d.iter().zip(&z).enumerate() {
            let p = probability(z);
            let hits = targets.iter().filter(|&&t| t as usize == a).count() as f64;
            // The probability's own error, and one rounding for the sum of weights and for each hit.
            let bound = (n + (z - most).abs().min(200.0) + 8.0 + targets.len() as f64) * EPS * p
                + (hits + 4.0) * EPS * (p + hits * share)
                + f32::MIN_POSITIVE as f64;
            assert_close(d, p - hits * share, bound, format_args!("{level} gradient {a}"));
        }
    }
}

fn activations(input: &mut Input) {
    let len = input.up_to(100);
    let (x, d) = (input.floats(len), input.floats(len));
    for activation in Activation::ALL {
        let mut first: Option<(Vec<f32>, Vec<f32>)> = None;
        for level in fused_levels() {
            let (mut y, mut dx) = (x.clone(), d.clone());
            activation.forward(level, &mut y);
            activation.backward(level, &mut dx, &x);
            let (first_y, first_dx) = first.get_or_insert_with(|| (y.clone(), dx.clone()));
            assert_same(&y, first_y, format_args!("{level} {activation:?}"));
            assert_same(&dx, first_dx, format_args!("{level} {activation:?} backward"));
            for (&x, &y) in x.iter().zip(&y) {
                assert_eq!(x.is_nan(), y.is_nan(), "{level} {activation:?} of {x:e} is {y:e}");
            }
        }
    }
}
