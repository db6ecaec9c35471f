use super::*;
use crate::config::lm::head::HeadMode;
use crate::config::lm::model::Precision;
use crate::config::{IndexName, Optim};
use crate::layer::DenseHead;

const VOCABULARY: usize = 40;
const WIDTH: usize = 3;

fn config(active: usize, tail: f32) -> Head {
    Head { mode: HeadMode::Sampled, active, tail, index: IndexName::Random, chunk: 64, ..Head::default() }
}

fn head(config: &Head, vocabulary: usize, width: usize) -> SampledHead {
    let scope = Scope::of("head", &Optim::default(), 7);
    SampledHead::new(&scope, config, vec![0, 1], &weights(vocabulary, width)).unwrap()
}

fn weights(vocabulary: usize, width: usize) -> Dense {
    Dense::new(&Scope::of("head", &Optim::default(), 3), vocabulary, width, 1.0, Precision::F32).unwrap()
}

fn numbers(len: usize, salt: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + salt * 11) % 64) as f32 / 32.0 - 1.0).collect()
}

fn targets(count: usize, vocabulary: usize) -> Vec<u32> {
    (0..count).map(|i| (i * i * 7 % vocabulary) as u32).collect()
}

/// Loss, gradient of the input and of the weights.
fn run(head: &mut SampledHead, weights: &mut Dense, x: &[f32], targets: &[u32], draw: u64) -> (f64, Vec<f32>) {
    let (work, width) = (&mut Workspace::new(Level::detect()), weights.inputs());
    let mut dx = vec![f32::NAN; x.len()];
    let x = MatRef::new(x, targets.len(), width);
    let loss = head.accumulate(work, weights, x, targets, draw, MatMut::new(&mut dx, targets.len(), width));
    (loss, dx)
}

fn score(w: &[f32], x: &[f32]) -> f64 {
    w.iter().zip(x).map(|(&w, &x)| w as f64 * x as f64).sum()
}

/// Rounding of scores below 8 in magnitude and of sums of so many probabilities.
fn bound(active: usize) -> f64 {
    (active + 50) as f64 * 8.0 * f32::EPSILON as f64
}

#[test]
fn with_every_row_it_is_the_dense_head() {
    for vocabulary in [VOCABULARY, 1300] {
        let (count, mut ours, mut exact) = (150, weights(vocabulary, WIDTH), weights(vocabulary, WIDTH));
        let (x, targets) = (numbers(count * WIDTH, 1), targets(count, vocabulary));
        let (loss, dx) = run(&mut head(&config(vocabulary, 0.5), vocabulary, WIDTH), &mut ours, &x, &targets, 0);
        let (work, mut want) = (&mut Workspace::new(Level::detect()), vec![0.0; x.len()]);
        let (x, dwant) = (MatRef::new(&x, count, WIDTH), MatMut::new(&mut want, count, WIDTH));
        let all = DenseHead::default().accumulate(work, &mut exact, x, &targets, dwant);
        let bound = bound(vocabulary);
        assert!((loss - all).abs() <= bound * count as f64);
        assert!(dx.iter().zip(&want).all(|(a, b)| ((a - b) as f64).abs() <= 4.0 * bound));
        for row in 0..vocabulary {
            for (a, b) in ours.gradient().row(row).iter().zip(exact.gradient().row(row)) {
                assert!(((a - b) as f64).abs() <= count as f64 * bound, "row {row}: {a} is not {b}");
            }
        }
    }
}

/// Against the definition in f64 on the same sample, differentiated numerically; what stands in the weights' gradient, as that
/// of a tied token table may, is added to.
#[test]
fn gradients_of_a_sample_are_finite_differences() {
    let (count, mut weights, mut head) = (5, weights(VOCABULARY, WIDTH), head(&config(16, 0.5), VOCABULARY, WIDTH));
    let (x, targets) = (numbers(count * WIDTH, 1), targets(count, VOCABULARY));
    let work = &mut Workspace::new(Level::detect());
    let set = head.sample(work, &weights, MatRef::new(&x, count, WIDTH), &targets, 11);
    assert_eq!((set.len(), set.sources.tail), (16, 16 - set.sources.labels));
    weights.gradient_mut()[9 * WIDTH + 1] = 2.0;
    let (loss, dx) = run(&mut head, &mut weights, &x, &targets, 11);
    let of = |w: &[f64], x: &[f64]| -> f64 {
        let token = |t: usize| {
            let z = |row: u32| -> f64 { (0..WIDTH).map(|c| w[row as usize * WIDTH + c] * x[t * WIDTH + c]).sum() };
            let terms = set.listed().iter().zip(set.log_weights().unwrap());
            terms.map(|(&row, &by)| (z(row) + by as f64).exp()).sum::<f64>().ln() - z(targets[t])
        };
        (0..count).map(token).sum()
    };
    let wide = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| x as f64).collect() };
    let w: Vec<f64> = (0..VOCABULARY).flat_map(|row| wide(weights.weights().row(row))).collect();
    let x = wide(&x);
    let bound = count as f64 * bound(16);
    assert!((loss - of(&w, &x)).abs() <= bound, "{loss} is not {}", of(&w, &x));
    let h = 1e-5;
    let slope = |loss: &dyn Fn(f64) -> f64| (loss(h) - loss(-h)) / (2.0 * h);
    let moved = |v: &[f64], at: usize, by: f64| {
        let mut v = v.to_vec();
        v[at] += by;
        v
    };
    for at in 0..x.len() {
        let want = slope(&|by| of(&w, &moved(&x, at, by)));
        assert!((dx[at] as f64 - want).abs() <= 4.0 * bound, "input {at}: {} is not {want}", dx[at]);
    }
    for at in 0..w.len() {
        let (row, col) = (at / WIDTH, at % WIDTH);
        let want = slope(&|by| of(&moved(&w, at, by), &x)) + if (row, col) == (9, 1) { 2.0 } else { 0.0 };
        let got = weights.gradient().row(row)[col] as f64;
        assert!((got - want).abs() <= bound, "weight {at}: {got} is not {want}");
    }
}

/// Rows outside of the labels and hot rows have `r_j` summed over `m` random ones of `n` and multiplied by `n / m`: the mean is
/// the whole sum, the variance `n^2 (1 - m / n) S^2 / m` with the sample variance `S^2` (Cochran 1977, theorem 2.2). The mean of many
/// draws lies within six of its standard deviations but for one seed in 10^8.
///
/// With `Z` and `S` unbiased estimates, the gradient `S / Z` differs from `g` by `U / Z`, `U = S - g Z` having mean zero. Its
/// deviation is at most `sd(U) / min Z`, and its bias `E[U / Z] = -E[U (Z - EZ) / (Z EZ)]` at most `sd(U) sd(Z) / (EZ min Z)`.
#[test]
fn over_many_draws_the_partition_function_is_unbiased_and_the_gradient_close() {
    let (active, draws) = (14, 3000);
    let (mut weights, mut head) = (weights(VOCABULARY, WIDTH), head(&config(active, 0.5), VOCABULARY, WIDTH));
    let (x, target) = (numbers(WIDTH, 5), 7_u32);
    let w: Vec<Vec<f32>> = (0..VOCABULARY).map(|row| weights.weights().row(row).to_vec()).collect();
    let exp: Vec<f64> = w.iter().map(|w| score(w, &x).exp()).collect();
    let z: f64 = exp.iter().sum();
    let of_target = score(&w[target as usize], &x);
    let (mut sum_z, mut sum_s, mut sum_g) = (0.0, [0.0; WIDTH], [0.0; WIDTH]);
    for draw in 0..draws {
        let (loss, dx) = run(&mut head, &mut weights, &x, &[target], draw);
        let estimate = (loss + of_target).exp();
        sum_z += estimate;
        for c in 0..WIDTH {
            let g = dx[c] as f64 + w[target as usize][c] as f64;
            sum_g[c] += g;
            sum_s[c] += estimate * g;
        }
    }
    let others: Vec<usize> = (0..VOCABULARY).filter(|&row| ![0, 1, target as usize].contains(&row)).collect();
    let (n, m) = (others.len() as f64, (active - 3) as f64);
    let deviation = |r: &dyn Fn(usize) -> f64| {
        let mean = others.iter().map(|&row| r(row)).sum::<f64>() / n;
        let variance = others.iter().map(|&row| (r(row) - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (n * n * (1.0 - m / n) * variance / m).sqrt()
    };
    let least = z - others.iter().map(|&row| exp[row]).sum::<f64>()
        + n * others.iter().map(|&row| exp[row]).fold(f64::INFINITY, f64::min);
    let (count, rounding) = (draws as f64, bound(active));
    let close = |sum: f64, want: f64, limit: f64| {
        let mean = sum / count;
        assert!((mean - want).abs() <= limit + 4.0 * rounding * want.abs().max(z), "{mean} is not {want}");
    };
    let sd_z = deviation(&|row| exp[row]);
    close(sum_z, z, 6.0 * sd_z / count.sqrt());
    for c in 0..WIDTH {
        let weight = |row: usize| w[row][c] as f64;
        let s: f64 = (0..VOCABULARY).map(|row| exp[row] * weight(row)).sum();
        close(sum_s[c], s, 6.0 * deviation(&|row| exp[row] * weight(row)) / count.sqrt());
        let g = s / z;
        let sd_u = deviation(&|row| exp[row] * (weight(row) - g));
        close(sum_g[c], g, 6.0 * sd_u / least / count.sqrt() + sd_u * sd_z / (z * least));
    }
}

#[test]
fn the_number_of_threads_and_of_micro_batches_changes_nothing() {
    let (vocabulary, width, count) = (2500, 16, 192);
    let config = Head { index: IndexName::Blocks, hits: 4, ..config(1200, 0.3) };
    let (x, targets) = (numbers(count * width, 1), targets(count, vocabulary));
    let all = |threads: usize, parts: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (mut weights, mut head) = (weights(vocabulary, width), head(&config, vocabulary, width));
            head.rebuild(&mut Workspace::new(Level::detect()), &weights);
            let (mut losses, mut dx, part) = (Vec::new(), Vec::new(), count / parts);
            for (p, targets) in targets.chunks(part).enumerate() {
                let x = &x[p * part * width..(p + 1) * part * width];
                let (loss, d) = run(&mut head, &mut weights, x, targets, (p * part) as u64);
                losses.push(loss as f32);
                dx.extend(d);
            }
            assert!(head.sources.hits > 0);
            let gradient: Vec<f32> = (0..vocabulary).flat_map(|row| weights.gradient().row(row).to_vec()).collect();
            (losses.iter().sum::<f32>().to_bits(), dx, gradient)
        })
    };
    let one = all(1, 1);
    assert!(one == all(3, 1));
    let many = all(2, 3);
    assert!(one.1 == many.1 && one.2 == many.2);
}
