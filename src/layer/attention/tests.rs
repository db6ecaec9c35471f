use super::*;
use crate::kernels::gemm::Precision;
use rand::RngExt;

/// T, D.
struct Case {
    tokens: usize,
    head: usize,
    window: usize,
}

fn numbers(len: usize, salt: u64) -> Vec<f32> {
    let mut rng = crate::rng::rng(8, "attention", salt);
    (0..len).map(|_| rng.random_range(-1.5..1.5)).collect()
}

/// By the definition, in f64: outputs, log-sum-exps, and the gradients of queries, keys and values.
fn naive(case: &Case, scale: f64, [q, k, v, d_o]: [&[f32]; 4]) -> (Vec<f64>, Vec<f64>, [Vec<f64>; 3]) {
    let &Case { tokens, head, window } = case;
    let at = |m: &[f32], i: usize, c: usize| m[i * head + c] as f64;
    let (mut o, mut sums) = (vec![0.0; tokens * head], Vec::new());
    let mut d = [(); 3].map(|()| vec![0.0; tokens * head]);
    for i in 0..tokens {
        let seen: Vec<usize> = ((i + 1).saturating_sub(window)..=i).collect();
        let scores = seen.iter().map(|&j| scale * (0..head).map(|c| at(q, i, c) * at(k, j, c)).sum::<f64>());
        let exps: Vec<f64> = scores.map(f64::exp).collect();
        let sum: f64 = exps.iter().sum();
        sums.push(sum.ln());
        let p: Vec<f64> = exps.iter().map(|e| e / sum).collect();
        for (&j, p) in seen.iter().zip(&p) {
            (0..head).for_each(|c| o[i * head + c] += p * at(v, j, c));
        }
        let dp: Vec<f64> = seen.iter().map(|&j| (0..head).map(|c| at(d_o, i, c) * at(v, j, c)).sum()).collect();
        let mean: f64 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
        for ((&j, p), dp) in seen.iter().zip(&p).zip(&dp) {
            let ds = scale * p * (dp - mean);
            for c in 0..head {
                d[0][i * head + c] += ds * at(k, j, c);
                d[1][j * head + c] += ds * at(q, i, c);
                d[2][j * head + c] += p * at(d_o, i, c);
            }
        }
    }
    (o, sums, d)
}

#[test]
fn blocks_together_are_the_softmax_over_all_keys() {
    let whole = usize::MAX;
    for (tokens, head, window) in
        [(1, 2, whole), (7, 8, 3), (64, 16, whole), (129, 8, whole), (300, 12, 100), (257, 4, 1)]
    {
        let case = Case { tokens, head, window };
        let core = Core { level: Level::detect(), precision: Precision::F32, window, scale: 0.5 };
        let [q, k, v, d_o] = [0, 1, 2, 3].map(|salt| numbers(tokens * head, salt));
        let [q_view, k_view, v_view, do_view] = [&q, &k, &v, &d_o].map(|x| MatRef::new(x, tokens, head));
        let (mut o, mut sums, mut scratch) = (vec![f32::NAN; tokens * head], vec![0.0; tokens], Scratch::default());
        core.forward(&mut scratch, [q_view, k_view, v_view], MatMut::new(&mut o, tokens, head), &mut sums);
        let (want_o, want_sums, want_d) = naive(&case, 0.5, [&q, &k, &v, &d_o]);
        // Scores are sums of `head` terms of 0.5 * 1.5^2 at most, exponentials are off by as much as scores; `o` and the
        // gradients are sums of `tokens` terms of 2 head at most that are weighted by at most 1 in all.
        let n = (tokens + 4 * head) as f64;
        let bound = n * f32::EPSILON as f64 * 2.0 * 1.5 * 1.5 * head as f64;
        let close = |got: &[f32], want: &[f64], what: &str| {
            for (i, (&got, want)) in got.iter().zip(want).enumerate() {
                assert!((got as f64 - want).abs() <= bound, "{tokens} tokens, {what}[{i}]: {got} is not {want}");
            }
        };
        close(&o, &want_o, "o");
        close(&sums, &want_sums, "log sum");
        let mut d = [(); 3].map(|()| vec![f32::NAN; tokens * head]);
        let [dq, dk, dv] = d.each_mut().map(|d| MatMut::new(d, tokens, head));
        let o = MatRef::new(&o, tokens, head);
        core.backward(&mut scratch, [q_view, k_view, v_view], o, do_view, &sums, [dq, dk, dv]);
        d.iter().zip(&want_d).zip(["dq", "dk", "dv"]).for_each(|((d, want), what)| close(d, want, what));
    }
}
