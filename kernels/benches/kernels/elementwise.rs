//! Reductions, norms and conversions: kernels whose data pass through once, against loops that only stream the same bytes.

use std::hint::black_box;

use hotrow_kernels::convert::{RandomKey, bf16_from_f32, bf16_from_f32_stochastic, f32_from_bf16};
use hotrow_kernels::reduce::{rms_norm, softmax_cross_entropy, squared_norm, top_k};
use hotrow_kernels::rows::{clear_marked, marks, scatter_axpy_marked, top_k_marked, top_k_scratch};
use hotrow_kernels::{Level, MatMut, MatRef, RowIds, bf16};

use crate::answers::{product, sum_is};
use crate::measure::{Bench, Contest, Work};
use crate::memory::numbers;
use crate::roofline::against_streaming;

/// Numbers in what lies in the second-level cache: a quarter of a MiB of f32.
const LEN: usize = 1 << 16;
/// Columns of the rows that are normalised.
const DIM: usize = 512;
/// Size of an active set.
const ACTIVE: usize = 4096;
/// Scores among which the best are sought: the labels of the largest public extreme-classification set.
const LABELS: usize = 670_091;
const BEST: usize = 64;
/// Sparse rows of a look-up, and numbers of each: the labels that came with the words of a title.
const ROWS: usize = 16;
const ROW: usize = 256;

pub fn run(bench: &mut Bench) {
    line(bench, "squared_norm", "l2/d65536/f32", 4 * LEN, 0, |level| {
        let x = numbers(LEN, 1);
        sum_is(squared_norm(level, &x), x.iter().zip(&x).map(product));
        Box::new(move || {
            black_box(squared_norm(level, &x));
        })
    });
    line(bench, "softmax_cross_entropy", "l1/a4096/f32", 4 * ACTIVE, 4 * ACTIVE, cross_entropy);
    line(bench, "top_k", "l3/d670091_k64/f32", 4 * LABELS, 0, best_labels);
    let (bytes, lines) = (ROWS * ROW * 8, ROWS * ROW * 64);
    line(bench, "marked_look_up", "l3/a16_n256_d670091_k64/f32", bytes + lines, lines, look_up);
    line(bench, "rms_norm", "l2/r128_d512/f32", 4 * LEN, 4 * LEN, norm);
    line(bench, "bf16_from_f32", "l2/d65536", 4 * LEN, 2 * LEN, |level| {
        let (x, mut out) = (numbers(LEN, 1), vec![bf16::ZERO; LEN]);
        bf16_from_f32(level, &mut out, &x);
        assert!(out.iter().zip(&x).all(|(&out, &x)| out == bf16::from_f32(x)));
        Box::new(move || bf16_from_f32(level, &mut out, &x))
    });
    line(bench, "bf16_from_f32_stochastic", "l2/d65536", 4 * LEN, 2 * LEN, |level| {
        let (x, mut out, key) = (numbers(LEN, 1), vec![bf16::ZERO; LEN], RandomKey { seed: 1, step: 2, row: 3 });
        bf16_from_f32_stochastic(level, &mut out, &x, key);
        let down = |x: f32| bf16::from_bits((x.to_bits() >> 16) as u16);
        let up = |x: f32| bf16::from_bits((x.to_bits() >> 16) as u16 + 1);
        assert!(out.iter().zip(&x).all(|(&out, &x)| out == down(x) || out == up(x)));
        Box::new(move || bf16_from_f32_stochastic(level, &mut out, &x, key))
    });
    line(bench, "f32_from_bf16", "l2/d65536", 2 * LEN, 4 * LEN, |level| {
        let (x, mut out) = (numbers(LEN, 1).into_iter().map(bf16::from_f32).collect::<Vec<_>>(), vec![0.0; LEN]);
        f32_from_bf16(level, &mut out, &x);
        assert!(out.iter().zip(&x).all(|(&out, x)| out == x.to_f32()));
        Box::new(move || f32_from_bf16(level, &mut out, &x))
    });
}

/// A line for each level about the call that `make` makes, which reads `read` bytes and writes `written`.
fn line(
    bench: &mut Bench,
    kernel: &str,
    shape: &str,
    read: usize,
    written: usize,
    make: impl Fn(Level) -> Box<dyn FnMut()>,
) {
    for level in Level::available() {
        bench.line(&format!("{kernel}/{level}/{shape}"), None, || {
            let contest = Contest::of(Work::bytes(read + written), make(level));
            let contest = match Level::available().take_while(|&other| other != level).last() {
                Some(below) => contest.rival(below, make(below)),
                None => contest,
            };
            against_streaming(contest, level, read, written)
        });
    }
}

fn cross_entropy(level: Level) -> Box<dyn FnMut()> {
    let (mut logits, targets) = (numbers(ACTIVE, 1), RowIds::new(&[17], ACTIVE).expect("below"));
    let exact: f64 = logits.iter().map(|&z| (z as f64).exp()).sum::<f64>().ln();
    let want = exact - logits[17] as f64;
    let loss = softmax_cross_entropy(level, &mut logits, None, targets, None).loss as f64;
    // The sum of exponentials is off by `A` additions and a few units for each exponential, relative to its size; its
    // logarithm by as much in absolute terms, and by its own rounding.
    let bound = (ACTIVE + 16) as f64 * f32::EPSILON as f64 * (1.0 + exact.abs());
    assert!((loss - want).abs() <= bound, "{level}: loss {loss} is not {want}");
    // Called on its own result again and again, the logits settle near 1 / A: normal numbers.
    Box::new(move || {
        black_box(softmax_cross_entropy(level, &mut logits, None, targets, None));
    })
}

/// Looks at the sums, the best ids and their sums.
type Check<'a> = &'a dyn Fn(&[f32], &[u32], &[f32]);

/// Sums of sparse rows over all labels, the best of them, and none again.
fn look_up(level: Level) -> Box<dyn FnMut()> {
    let values = numbers(ROWS * ROW, 1);
    let row = |r: usize| (0..ROW).map(move |i| ((i * 2617 + r * 40_503) * 97 % LABELS) as u32);
    let indices: Vec<u32> = (0..ROWS).flat_map(row).collect();
    let (mut sums, mut marked) = (vec![0.0; LABELS], vec![0; marks(LABELS)]);
    let (mut ids, mut best, mut scratch) = (vec![0; BEST], vec![0.0; BEST], vec![0; top_k_scratch(BEST)]);
    let mut add_and_find = move |check: Check| {
        for (indices, values) in indices.chunks(ROW).zip(values.chunks(ROW)) {
            scatter_axpy_marked(&mut sums, &mut marked, 0.5, indices, values);
        }
        let found = top_k_marked(level, &sums, &marked, &mut ids, &mut best, &mut scratch);
        check(&sums, &ids[..found], &best[..found]);
        clear_marked(&mut sums, &mut marked);
    };
    add_and_find(&|sums, ids, best| {
        assert!(ids.len() == BEST && ids.iter().zip(best).all(|(&id, &best)| sums[id as usize] == best));
        assert!(sums.iter().filter(|&&sum| sum > best[BEST - 1]).count() < BEST);
    });
    Box::new(move || {
        add_and_find(&|_, ids, _| {
            black_box(ids);
        })
    })
}

fn best_labels(level: Level) -> Box<dyn FnMut()> {
    let (scores, mut ids, mut values) = (numbers(LABELS, 1), vec![0; BEST], vec![0.0; BEST]);
    assert_eq!(top_k(level, &scores, &mut ids, &mut values), BEST);
    let mut sorted = scores.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    assert_eq!(values, sorted[..BEST]);
    assert!(ids.iter().zip(&values).all(|(&id, &value)| scores[id as usize] == value));
    Box::new(move || {
        black_box(top_k(level, &scores, &mut ids, &mut values));
    })
}

fn norm(level: Level) -> Box<dyn FnMut()> {
    const EPSILON: f32 = 1e-5;
    let rows = LEN / DIM;
    let (x, gain, mut y, mut rstd) = (numbers(LEN, 1), numbers(DIM, 2), vec![0.0; LEN], vec![0.0; rows]);
    let mut call = move || {
        let y = MatMut::new(&mut y, rows, DIM);
        rms_norm(level, y, MatRef::new(&x, rows, DIM), &gain, EPSILON, &mut rstd);
        black_box(&rstd)[rows - 1]
    };
    let last = numbers(LEN, 1)[(rows - 1) * DIM..].iter().map(|&x| x as f64 * x as f64).sum::<f64>();
    let want = 1.0 / (last / DIM as f64 + EPSILON as f64).sqrt();
    // A sum of squares, all of one sign, and a handful of operations on it.
    let bound = (DIM + 8) as f64 * f32::EPSILON as f64 * want;
    let got = call() as f64;
    assert!((got - want).abs() <= bound, "{level}: 1 / norm of the last row is {got}, not {want}");
    Box::new(move || {
        call();
    })
}
