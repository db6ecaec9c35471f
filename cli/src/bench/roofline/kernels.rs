//! The kernels to measure: one or more of every family, on tables larger than the caches.

use super::case::{Case, Naming, Sizes, case, hand_out, numbers, some_rows, sums};
use super::families::{convert, gemm, hash, optim, reduce};
use hotrow::kernels::rows::{rows_axpy, rows_dot, rows_outer};
use hotrow::kernels::{MatMut, MatRef, RowIds, Weight, bf16};

/// Makes the cases of each family.
pub(super) const ALL: &[fn(Sizes) -> Vec<Case>] = &[rows, gemm, hash, optim, reduce, convert];

fn rows(sizes: Sizes) -> Vec<Case> {
    let f32 = rows_of("f32", sizes, |w| w);
    let bf16 = rows_of("bf16", sizes, |w| w.iter().map(|&w| bf16::from_f32(w)).collect());
    [f32, bf16].into_iter().flatten().collect()
}

/// The three kernels on rows that are stored as `W`.
fn rows_of<W: Weight + Into<f64>>(dtype: &'static str, sizes: Sizes, store: fn(Vec<f32>) -> Vec<W>) -> Vec<Case> {
    let Sizes { rows, active, dim, .. } = sizes;
    let shape = format!("{active} rows of {dim}, of {rows}");
    let naming = |name| Naming { family: "rows", name, dtype, shape: &shape };
    let (flops, bytes) = (2 * active * dim, active * dim * size_of::<W>());
    let table = move || store(numbers(rows * dim, 1));
    // bf16 keeps 8 significant bits.
    let stored = if size_of::<W>() == 2 { 2.0_f64.powi(-7) } else { f64::from(f32::EPSILON) * 4.0 };
    vec![
        case(naming("rows_dot"), (flops, bytes), sums(dim), || {
            let (w, x, ids, mut out) = (table(), numbers(dim, 2), some_rows(sizes), vec![0.0; active]);
            Box::new(move |level, answers| {
                let ids = RowIds::new(&ids, rows).expect("rows of the table");
                rows_dot(level, &mut out, ids, MatRef::new(&w, rows, dim), &x);
                hand_out(answers, &out);
            })
        }),
        case(naming("rows_axpy"), (flops, bytes), sums(active), || {
            let (w, c, ids, mut y) = (table(), numbers(active, 2), some_rows(sizes), vec![0.0; dim]);
            Box::new(move |level, answers| {
                y.fill(0.0);
                let ids = RowIds::new(&ids, rows).expect("rows of the table");
                rows_axpy(level, &mut y, ids, &c, MatRef::new(&w, rows, dim));
                hand_out(answers, &y);
            })
        }),
        case(naming("rows_outer"), (flops, 2 * bytes), stored, || {
            let (mut w, c, ids, x) = (table(), numbers(active, 2), some_rows(sizes), numbers(dim, 3));
            let small: Vec<f32> = c.iter().map(|c| 1e-3 * c).collect();
            Box::new(move |level, answers| {
                let listed = RowIds::new(&ids, rows).expect("rows of the table");
                rows_outer(level, MatMut::new(&mut w, rows, dim), listed, &small, &x);
                hand_out(answers, &w[ids[0] as usize * dim..][..dim]);
            })
        }),
    ]
}
