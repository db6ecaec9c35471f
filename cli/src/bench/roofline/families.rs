//! Cases of every family but `rows`.

use super::case::{Call, Case, Naming, Sizes, case, hand_out, numbers, some_rows, sums};
use hotrow::kernels::convert::{bf16_from_f32, f32_from_bf16};
use hotrow::kernels::gemm::{
    GemmScratch, Operand, Output, Precision, gathered_backward_input, gathered_backward_weights, gathered_forward,
};
use hotrow::kernels::hash::{BucketHash, CrossPolytope, Dwta, SimHash};
use hotrow::kernels::optim::{
    Adam, Moments, RowGrads, RowwiseAdagrad, Sgd, Weights, adam_dense, adam_lazy, rowwise_adagrad, sgd,
};
use hotrow::kernels::reduce::{rms_norm, softmax_cross_entropy, top_k};
use hotrow::kernels::{Level, MatMut, MatRef, RowIds, UniqueRowIds, Weight, bf16};

/// The bound for a few elementwise operations on numbers of magnitude about 1.
const ELEMENTWISE: f64 = 1e-5;

pub(super) fn gemm(sizes: Sizes) -> Vec<Case> {
    let f32 = gemm_of("f32", Precision::F32, sizes, |w| w);
    let bf16 = gemm_of("bf16", Precision::Bf16, sizes, |w| w.iter().map(|&w| bf16::from_f32(w)).collect());
    f32.into_iter().chain(bf16).collect()
}

fn gemm_of<W: Weight>(
    dtype: &'static str,
    precision: Precision,
    sizes: Sizes,
    store: fn(Vec<f32>) -> Vec<W>,
) -> Vec<Case> {
    let Sizes { rows, active, batch, dim } = sizes;
    let shape = format!("{active} rows of {dim}, of {rows}, {batch} samples");
    let naming = |name| Naming { family: "gemm", name, dtype, shape: &shape };
    let flops = 2 * active * batch * dim;
    let (of_rows, of_x, of_c) = (active * dim * size_of::<W>(), 4 * batch * dim, 4 * active * batch);
    let table = move || store(numbers(rows * dim, 1));
    // Both levels round factors to the same bf16, so only the order of additions differs.
    vec![
        case(naming("gathered_forward"), (flops, of_rows + of_x + of_c), sums(dim), || {
            let (w, x, ids) = (table(), numbers(batch * dim, 2), some_rows(sizes));
            let (mut c, mut scratch) = (vec![0.0; active * batch], GemmScratch::default());
            Box::new(move |level, answers| {
                let factor = Operand::gathered(MatRef::new(&w, rows, dim), RowIds::new(&ids, rows).expect("rows"));
                let out = Output::new(MatMut::new(&mut c, active, batch));
                gathered_forward(level, precision, &mut scratch, out, factor, MatRef::new(&x, batch, dim));
                hand_out(answers, &c);
            })
        }),
        case(naming("gathered_backward_input"), (flops, of_rows + of_x + of_c), sums(active), || {
            let (w, dc, ids) = (table(), numbers(active * batch, 2), some_rows(sizes));
            let (mut dx, mut scratch) = (vec![0.0; batch * dim], GemmScratch::default());
            Box::new(move |level, answers| {
                let factor = Operand::gathered(MatRef::new(&w, rows, dim), RowIds::new(&ids, rows).expect("rows"));
                let out = Output::new(MatMut::new(&mut dx, batch, dim));
                gathered_backward_input(level, precision, &mut scratch, out, factor, MatRef::new(&dc, active, batch));
                hand_out(answers, &dx);
            })
        }),
        case(naming("gathered_backward_weights"), (flops, 4 * active * dim + of_x + of_c), sums(batch), || {
            let (x, dc) = (numbers(batch * dim, 1), numbers(active * batch, 2));
            let (mut dw, mut scratch) = (vec![0.0; active * dim], GemmScratch::default());
            Box::new(move |level, answers| {
                let out = Output::new(MatMut::new(&mut dw, active, dim));
                let (dc, x) = (MatRef::new(&dc, active, batch), MatRef::new(&x, batch, dim));
                gathered_backward_weights(level, precision, &mut scratch, out, dc, x);
                hand_out(answers, &dw);
            })
        }),
    ]
}

pub(super) fn hash(sizes: Sizes) -> Vec<Case> {
    let Sizes { batch, dim, .. } = sizes;
    let shape = format!("{batch} vectors of {dim}, 32 tables of 6 codes");
    let naming = |name| Naming { family: "hash", name, dtype: "f32", shape: &shape };
    // Bucket ids are equal on all levels, to the bit.
    fn of<H: BucketHash + 'static>(hash: H, batch: usize, dim: usize) -> Call {
        let (x, mut out, mut scratch) = (numbers(batch * dim, 1), vec![0; batch * 32], vec![0.0; hash.scratch_len()]);
        let ids: Vec<u32> = (0..batch as u32).collect();
        Box::new(move |level, answers| {
            let ids = RowIds::new(&ids, batch).expect("all rows");
            hash.rows(level, MatMut::new(&mut out, batch, 32), MatRef::new(&x, batch, dim), ids, &mut scratch);
            hand_out(answers, &out);
        })
    }
    let work = (0, 4 * batch * (dim + 32));
    vec![
        case(naming("simhash"), work, 0.0, || of(SimHash::new(1, dim, 6, 32).expect("it fits"), batch, dim)),
        case(naming("dwta"), work, 0.0, || of(Dwta::new(1, dim, 6, 32, 8).expect("it fits"), batch, dim)),
        case(naming("cross_polytope"), work, 0.0, || {
            of(CrossPolytope::new(1, dim, 3, 32, 16).expect("it fits"), batch, dim)
        }),
    ]
}

pub(super) fn optim(sizes: Sizes) -> Vec<Case> {
    let Sizes { rows, active, dim, .. } = sizes;
    let shape = format!("{active} rows of {dim}, of {rows}");
    let naming = |name| Naming { family: "optim", name, dtype: "f32", shape: &shape };
    let touched = active * dim;
    let new = || {
        let mut ids = some_rows(sizes);
        // A list of unique rows must increase.
        ids.sort_unstable();
        (numbers(rows * dim, 1), numbers(touched, 2), ids)
    };
    vec![
        case(naming("sgd"), (2 * touched, 12 * touched), ELEMENTWISE, || {
            let (mut w, grads, ids) = new();
            Box::new(move |level, answers| {
                let listed = UniqueRowIds::new(&ids, rows).expect("different rows");
                let grads = RowGrads::new(listed, MatRef::new(&grads, active, dim));
                sgd(level, Weights::F32(MatMut::new(&mut w, rows, dim)), grads, &Sgd::default(), 1);
                hand_out(answers, &w[ids[0] as usize * dim..][..dim]);
            })
        }),
        // Square and add; scale and subtract.
        case(naming("rowwise_adagrad"), (4 * touched, 12 * touched), ELEMENTWISE, || {
            let (mut w, grads, ids) = new();
            let mut sums = vec![0.0; rows];
            Box::new(move |level, answers| {
                let listed = UniqueRowIds::new(&ids, rows).expect("different rows");
                let grads = RowGrads::new(listed, MatRef::new(&grads, active, dim));
                let weights = Weights::F32(MatMut::new(&mut w, rows, dim));
                rowwise_adagrad(level, weights, &mut sums, grads, &RowwiseAdagrad::default(), 1);
                hand_out(answers, &w[ids[0] as usize * dim..][..dim]);
            })
        }),
        // Three for the first moment, four for the second, five for the step.
        case(naming("adam_lazy"), (12 * touched, 28 * touched), ELEMENTWISE, || {
            let (mut w, grads, ids) = new();
            let (mut m, mut v, mut steps) = (vec![0.0; rows * dim], vec![0.0; rows * dim], vec![0; rows]);
            Box::new(move |level, answers| {
                let listed = UniqueRowIds::new(&ids, rows).expect("different rows");
                let grads = RowGrads::new(listed, MatRef::new(&grads, active, dim));
                let moments = Moments::F32 { m: MatMut::new(&mut m, rows, dim), v: MatMut::new(&mut v, rows, dim) };
                let weights = Weights::F32(MatMut::new(&mut w, rows, dim));
                adam_lazy(level, weights, moments, &mut steps, grads, &Adam::default());
                hand_out(answers, &w[ids[0] as usize * dim..][..dim]);
            })
        }),
        case(naming("adam_dense"), (12 * touched, 28 * touched), ELEMENTWISE, || {
            let (mut w, grads) = (numbers(touched, 1), numbers(touched, 2));
            let (mut m, mut v) = (vec![0.0; touched], vec![0.0; touched]);
            Box::new(move |level, answers| {
                let matrix = |x| MatMut::new(x, active, dim);
                let moments = Moments::F32 { m: matrix(&mut m), v: matrix(&mut v) };
                let grads = RowGrads::all(MatRef::new(&grads, active, dim));
                adam_dense(level, Weights::F32(matrix(&mut w)), moments, grads, &Adam::default(), 1);
                hand_out(answers, &w);
            })
        }),
    ]
}

pub(super) fn reduce(sizes: Sizes) -> Vec<Case> {
    let Sizes { active, batch, dim, .. } = sizes;
    let scores = format!("{active} scores");
    let vectors = format!("{batch} vectors of {dim}");
    let naming = |name, shape| Naming { family: "reduce", name, dtype: "f32", shape };
    vec![
        // Maximum, difference, exponential, sum, quotient.
        case(naming("softmax_cross_entropy", &scores), (5 * active, 12 * active), ELEMENTWISE, || {
            let (fresh, mut logits) = (numbers(active, 1), vec![0.0; active]);
            Box::new(move |level, answers| {
                logits.copy_from_slice(&fresh);
                let targets = RowIds::new(&[0, 3], active).expect("below the scores");
                softmax_cross_entropy(level, &mut logits, None, targets, None);
                hand_out(answers, &logits);
            })
        }),
        case(naming("top_k", &scores), (0, 4 * active), 0.0, || {
            let (scores, mut ids, mut values) = (numbers(active, 1), vec![0; 16], vec![0.0; 16]);
            Box::new(move |level: Level, answers| {
                top_k(level, &scores, &mut ids, &mut values);
                hand_out(answers, &ids);
            })
        }),
        // Square and add; twice a product.
        case(naming("rms_norm", &vectors), (4 * batch * dim, 8 * batch * dim), ELEMENTWISE, || {
            let (x, gain, mut out) = (numbers(batch * dim, 1), numbers(dim, 2), vec![0.0; batch * dim]);
            let mut roots = vec![0.0; batch];
            Box::new(move |level, answers| {
                let out_matrix = MatMut::new(&mut out, batch, dim);
                rms_norm(level, out_matrix, MatRef::new(&x, batch, dim), &gain, 1e-6, &mut roots);
                hand_out(answers, &out);
            })
        }),
    ]
}

pub(super) fn convert(sizes: Sizes) -> Vec<Case> {
    let count = sizes.active * sizes.dim;
    let shape = format!("{count} numbers");
    let naming = |name| Naming { family: "convert", name, dtype: "bf16", shape: &shape };
    vec![
        case(naming("bf16_from_f32"), (0, 6 * count), 0.0, || {
            let (x, mut out) = (numbers(count, 1), vec![bf16::ZERO; count]);
            Box::new(move |level, answers| {
                bf16_from_f32(level, &mut out, &x);
                hand_out(answers, &out);
            })
        }),
        case(naming("f32_from_bf16"), (0, 6 * count), 0.0, || {
            let x: Vec<bf16> = numbers(count, 1).into_iter().map(bf16::from_f32).collect();
            let mut out = vec![0.0; count];
            Box::new(move |level, answers| {
                f32_from_bf16(level, &mut out, &x);
                hand_out(answers, &out);
            })
        }),
    ]
}
