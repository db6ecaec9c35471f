//! The row kernels against their definitions in f64, on every level.

use proptest::prelude::*;

use super::*;
use crate::testing::*;
use crate::{Level, MatMut, MatRef, RowIds, SparseRow, Weight, bf16};

/// The definition: `sum a b`, and the `sum |a b|` of its error bound.
fn dot(a: &[impl Weight], b: &[impl Weight]) -> (f64, f64) {
    let products = exact(a).into_iter().zip(exact(b)).map(|(a, b)| a * b);
    (products.clone().sum(), products.map(f64::abs).sum())
}

fn stored<W: Weight>(len: usize, seed: u64) -> Vec<W> {
    numbers(len, seed).into_iter().map(W::from_f32).collect()
}

/// A matrix with a stride, misaligned.
struct Table<W>(Misaligned<W>, usize, usize, usize);

impl<W: Weight> Table<W> {
    fn new(rows: usize, cols: usize, seed: u64) -> Self {
        let stride = cols + seed as usize % 3;
        Table(Misaligned::new(&stored(rows * stride, seed), 1), rows, cols, stride)
    }
    fn view(&self) -> MatRef<'_, W> {
        MatRef::with_stride(&self.0, self.1, self.2, self.3)
    }
    fn view_mut(&mut self) -> MatMut<'_, W> {
        MatMut::with_stride(&mut self.0, self.1, self.2, self.3)
    }
}

fn check_vector_kernels<W: Weight>(dim: usize, ids: &[u32], rows: usize, seed: u64) {
    let table = Table::<W>::new(rows, dim, seed);
    let (w, x) = (table.view(), Misaligned::new(&numbers(dim, seed + 1), 3));
    let c = numbers(ids.len(), seed + 2);
    let active = RowIds::new(ids, rows).unwrap();
    at_every_level(|level| {
        let mut out = vec![f32::NAN; ids.len()];
        rows_dot(level, &mut out, active, w, &x);
        for (&got, &id) in out.iter().zip(ids) {
            let (want, magnitude) = dot(w.row(id as usize), &x);
            assert_within(got, want, sum_bound(dim, magnitude), format!("dot, dim {dim}, row {id}"));
        }

        let mut y = Misaligned::new(&x, 2);
        rows_axpy(level, &mut y, active, &c, w);
        for (j, &got) in y.iter().enumerate() {
            let column: Vec<W> = ids.iter().map(|&id| w.row(id as usize)[j]).collect();
            let (sum, magnitude) = dot(&column, &c);
            let (want, magnitude) = (sum + x[j] as f64, magnitude + x[j].abs() as f64);
            assert_within(got, want, sum_bound(ids.len(), magnitude), format!("axpy, dim {dim}, column {j}"));
        }

        let mut updated = Table::<W>::new(rows, dim, seed);
        rows_outer(level, updated.view_mut(), active, &c, &x);
        check_outer(dim, ids, &c, &x, w, updated.view());
    });
}

/// Each duplicate rounds the stored row once more, to the nearest of the storage type.
fn check_outer<W: Weight>(dim: usize, ids: &[u32], c: &[f32], x: &[f32], before: MatRef<W>, after: MatRef<W>) {
    let storage_eps = if W::IS_F32 { f32::EPSILON as f64 } else { 2f64.powi(-8) };
    for row in 0..before.rows() {
        for j in 0..dim {
            let mut want = before.row(row)[j].to_f32() as f64;
            let mut bound = 0.0;
            for (&id, &c) in ids.iter().zip(c) {
                if id as usize == row {
                    want += c as f64 * x[j] as f64;
                    bound += (storage_eps + 2.0 * f32::EPSILON as f64) * (want.abs() + bound + (c * x[j]).abs() as f64);
                }
            }
            assert_within(after.row(row)[j].to_f32(), want, bound, format!("outer, row {row}, column {j}"));
        }
    }
}

#[test]
fn vector_kernels_match_their_definitions_at_every_length() {
    for dim in lengths() {
        check_vector_kernels::<f32>(dim, &[2, 0, 2, 1, 3, 3, 0], 4, dim as u64);
        check_vector_kernels::<bf16>(dim, &[2, 0, 2, 1, 3, 3, 0], 4, dim as u64);
    }
}

#[test]
fn rows_longer_than_a_block_of_columns_are_summed_over_all_blocks() {
    for dim in [1023, 1024, 1025, 2100] {
        check_vector_kernels::<f32>(dim, &[1, 0, 1, 1, 0], 2, 5);
        check_vector_kernels::<bf16>(dim, &[1, 0, 1, 1, 0], 2, 5);
        check_batch_kernels::<f32>(dim, &[1, 0], &[0, 9, 10], &[0, 1, 1, 0, 0, 1, 1, 1, 0, 1], 5);
        check_batch_kernels::<bf16>(dim, &[1, 0], &[0, 9, 10], &[0, 1, 1, 0, 0, 1, 1, 1, 0, 1], 5);
    }
}

/// Rows that stand one after the other are read in another order.
#[test]
fn a_row_has_the_same_product_to_the_bit_wherever_it_stands_in_the_list() {
    fn check<W: Weight>(dim: usize) {
        let (table, x) = (Table::<W>::new(11, dim, 5), numbers(dim, 6));
        at_every_level(|level| {
            let products = |ids: &[u32]| {
                let mut out = vec![f32::NAN; ids.len()];
                rows_dot(level, &mut out, RowIds::new(ids, 11).unwrap(), table.view(), &x);
                out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let along = products(&Vec::from_iter(0..11));
            let against = products(&Vec::from_iter((0..11).rev()));
            assert!(along.iter().eq(against.iter().rev()), "dim {dim} of {} on {level:?}", W::NAME);
        });
    }
    for dim in (0..70).chain([1023, 1024, 1100, 2100]) {
        check::<f32>(dim);
        check::<bf16>(dim);
    }
}

fn check_batch_kernels<W: Weight>(dim: usize, rows: &[u32], offsets: &[u32], samples: &[u32], seed: u64) {
    let (table, inputs) = (Table::<W>::new(5, dim, seed), Table::<f32>::new(7, dim, seed + 1));
    let (w, x) = (table.view(), inputs.view());
    let c = numbers(samples.len(), seed + 2);
    let batch = RowBatch::new(RowIds::new(rows, 5).unwrap(), offsets, RowIds::new(samples, 7).unwrap()).unwrap();
    let row_of = |e: usize| rows[offsets.partition_point(|&o| o as usize <= e) - 1] as usize;
    at_every_level(|level| {
        let mut out = vec![f32::NAN; samples.len()];
        sddmm(level, &mut out, batch, w, x);
        for (e, &got) in out.iter().enumerate() {
            let (want, magnitude) = dot(w.row(row_of(e)), x.row(samples[e] as usize));
            assert_within(got, want, sum_bound(dim, magnitude), format!("sddmm, dim {dim}, entry {e}"));
        }

        let mut dx = Table::<f32>::new(7, dim, seed + 3);
        let before = Table::<f32>::new(7, dim, seed + 3);
        spmm(level, dx.view_mut(), batch, &c, w);
        let mut dw = Table::<f32>::new(rows.len(), dim, seed + 4);
        row_gradients(level, dw.view_mut(), batch, &c, x);
        for j in 0..dim {
            for sample in 0..7 {
                let (mut want, mut magnitude) = (before.view().row(sample)[j] as f64, 0.0);
                magnitude += want.abs();
                for e in (0..samples.len()).filter(|&e| samples[e] as usize == sample) {
                    let product = c[e] as f64 * w.row(row_of(e))[j].to_f32() as f64;
                    (want, magnitude) = (want + product, magnitude + product.abs());
                }
                let bound = sum_bound(samples.len(), magnitude);
                assert_within(dx.view().row(sample)[j], want, bound, format!("spmm, sample {sample}, column {j}"));
            }
            for i in 0..rows.len() {
                let entries = offsets[i] as usize..offsets[i + 1] as usize;
                let column: Vec<f32> = samples[entries.clone()].iter().map(|&s| x.row(s as usize)[j]).collect();
                let (want, magnitude) = dot(&column, &c[entries]);
                let bound = sum_bound(samples.len(), magnitude);
                assert_within(dw.view().row(i)[j], want, bound, format!("row gradient {i}, column {j}"));
            }
        }
    });
}

#[test]
fn batch_kernels_match_their_definitions_at_every_length() {
    let (rows, offsets) = ([4, 0, 4, 2], [0, 13, 13, 14, 19]);
    let samples = [0, 1, 2, 3, 4, 5, 6, 0, 1, 6, 6, 6, 2, 3, 5, 1, 0, 4, 4];
    for dim in lengths() {
        check_batch_kernels::<f32>(dim, &rows, &offsets, &samples, dim as u64);
        check_batch_kernels::<bf16>(dim, &rows, &offsets, &samples, dim as u64);
    }
}

fn sparse(dim: usize, keep: u64, seed: u64) -> (Vec<u32>, Vec<f32>) {
    let chosen = numbers(dim, seed + 9);
    let indices: Vec<u32> = (0..dim as u32).filter(|&i| (chosen[i as usize] + 1.0) * 50.0 < keep as f32).collect();
    let values = numbers(indices.len(), seed);
    (indices, values)
}

fn check_sparse_kernels<W: Weight>(dim: usize, keep: (u64, u64), seed: u64) {
    let (ai, av) = sparse(dim, keep.0, seed);
    let (bi, bv) = sparse(dim, keep.1, seed + 1);
    let (a, b) = (SparseRow::new(&ai, &av, dim).unwrap(), SparseRow::new(&bi, &bv, dim).unwrap());
    let dense = |x: SparseRow| {
        let mut out = vec![0.0; dim];
        x.indices().iter().zip(x.values()).for_each(|(&i, &v)| out[i as usize] = v);
        out
    };
    let (want, magnitude) = dot(&dense(a), &dense(b));
    assert_within(sparse_dot(a, b), want, sum_bound(a.nnz(), magnitude), format!("sparse x sparse, dim {dim}"));
    assert_eq!(sparse_dot(a, b).to_bits(), sparse_dot(b, a).to_bits());

    let mut y = numbers(dim, seed + 5);
    let before = y.clone();
    scatter_axpy(&mut y, 0.5, a);
    // Multiplying by a half is exact, so one rounding is left and the definition in f32 has the same bits.
    assert!(y.iter().zip(&before).zip(dense(a)).all(|((y, before), a)| *y == before + 0.5 * a));

    let table = Table::<W>::new(3, dim, seed);
    at_every_level(|level| {
        let mut out = [f32::NAN; 4];
        let ids = [2, 0, 1, 2];
        rows_gather_dot(level, &mut out, RowIds::new(&ids, 3).unwrap(), table.view(), a);
        for (&got, &id) in out.iter().zip(&ids) {
            let row = table.view().row(id as usize);
            let (want, magnitude) = dot(&dense(a), row);
            assert_within(got, want, sum_bound(a.nnz(), magnitude), format!("sparse x row {id}, dim {dim}"));
            assert_eq!(got.to_bits(), gather_dot(level, a, row).to_bits());
        }
    });
}

#[test]
fn sparse_kernels_match_their_definitions_at_every_length() {
    for dim in lengths() {
        for keep in [(100, 100), (50, 30), (2, 100), (100, 2), (0, 50)] {
            check_sparse_kernels::<f32>(dim, keep, dim as u64);
            check_sparse_kernels::<bf16>(dim, keep, dim as u64);
        }
    }
    check_sparse_kernels::<f32>(3000, (1, 90), 7);
}

proptest! {
    #[test]
    fn any_rows_samples_and_lengths_are_allowed(
        dim in 0usize..200,
        lists in proptest::collection::vec((0u32..5, proptest::collection::vec(0u32..7, 0..20)), 0..12),
        keep in (0u64..=100, 0u64..=100),
        seed: u32,
    ) {
        let rows: Vec<u32> = lists.iter().map(|(row, _)| *row).collect();
        let samples: Vec<u32> = lists.iter().flat_map(|(_, samples)| samples.clone()).collect();
        let mut offsets = vec![0];
        offsets.extend(lists.iter().scan(0, |end, (_, samples)| { *end += samples.len() as u32; Some(*end) }));
        let seed = seed as u64;
        check_vector_kernels::<f32>(dim, &rows, 5, seed);
        check_vector_kernels::<bf16>(dim, &rows, 5, seed);
        check_batch_kernels::<f32>(dim, &rows, &offsets, &samples, seed);
        check_batch_kernels::<bf16>(dim, &rows, &offsets, &samples, seed);
        check_sparse_kernels::<f32>(dim, keep, seed);
        check_sparse_kernels::<bf16>(dim, keep, seed);
    }

    /// `<c, W x> == <W^T c, x>`: the backward kernel is the adjoint of the forward one.
    #[test]
    fn axpy_is_the_adjoint_of_dot(dim in 1usize..150, ids in proptest::collection::vec(0u32..6, 0..30), seed: u32) {
        let table = Table::<f32>::new(6, dim, seed as u64);
        let (x, c) = (numbers(dim, 1), numbers(ids.len(), 2));
        let active = RowIds::new(&ids, 6).unwrap();
        at_every_level(|level| {
            let (mut forward, mut backward) = (vec![0.0; ids.len()], vec![0.0; dim]);
            rows_dot(level, &mut forward, active, table.view(), &x);
            rows_axpy(level, &mut backward, active, &c, table.view());
            let (left, _) = dot(&forward, &c);
            let (right, _) = dot(&backward, &x);
            // Every |w|, |x|, |c| is at most 1, so each side is a sum of at most A * D products of magnitude 1.
            let terms = (ids.len() * dim) as f64;
            let bound = (ids.len() + dim + 2) as f64 * f32::EPSILON as f64 * terms;
            assert_within(left as f32, right, bound + left.abs() * f32::EPSILON as f64, "adjoint");
        });
    }
}

#[test]
fn special_values_go_through_and_touch_no_other_output() {
    let tiny = f32::from_bits(1);
    let data = [f32::NAN, 1.0, f32::INFINITY, 1.0, tiny, tiny, -f32::INFINITY, 2.0];
    let w = MatRef::new(&data, 4, 2);
    let active = RowIds::new(&[0, 1, 2, 3], 4).unwrap();
    at_every_level(|level| {
        let mut out = [0.0; 4];
        rows_dot(level, &mut out, active, w, &[1.0, 1.0]);
        assert!(out[0].is_nan());
        assert_eq!(out[1], f32::INFINITY);
        assert_eq!(out[2], f32::from_bits(2), "denormals are not flushed");
        assert_eq!(out[3], -f32::INFINITY);
        rows_dot(level, &mut out, active, w, &[0.0, 1.0]);
        assert!(out[1].is_nan(), "infinity times zero");
        let mut y = [0.0; 2];
        rows_axpy(level, &mut y, RowIds::new(&[1, 3], 4).unwrap(), &[1.0, 1.0], w);
        assert!(y[0].is_nan(), "infinity minus infinity");
        assert_eq!(y[1], 3.0);
    });
}

#[test]
fn empty_lists_and_empty_rows_are_fine() {
    at_every_level(|level| {
        let none = RowIds::new(&[], 0).unwrap();
        rows_dot::<f32>(level, &mut [], none, MatRef::new(&[], 0, 3), &[1.0; 3]);
        let mut y = [1.0; 3];
        rows_axpy::<bf16>(level, &mut y, none, &[], MatRef::new(&[], 0, 3));
        assert_eq!(y, [1.0; 3]);
        let mut out = [f32::NAN];
        rows_dot::<f32>(level, &mut out, RowIds::new(&[0], 1).unwrap(), MatRef::new(&[], 1, 0), &[]);
        assert_eq!(out, [0.0]);
    });
}

fn message(wrong: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(wrong).expect_err("a wrong call must panic");
    panic.downcast_ref::<String>().cloned().unwrap_or_else(|| panic.downcast_ref::<&str>().unwrap().to_string())
}

#[test]
fn wrong_calls_panic_with_the_names_of_what_disagrees() {
    let level = Level::PORTABLE;
    let w = MatRef::new(&[0.0f32; 6], 2, 3);
    let active = RowIds::new(&[0], 2).unwrap();
    assert!(message(|| rows_dot(level, &mut [0.0; 2], active, w, &[0.0; 3])).contains("out and active"));
    assert!(message(|| rows_dot(level, &mut [0.0], active, w, &[0.0; 4])).contains("rows of w and the vector"));
    let other = RowIds::new(&[0], 3).unwrap();
    assert!(message(|| rows_dot(level, &mut [0.0], other, w, &[0.0; 3])).contains("matrix of 2 rows"));
    assert!(message(|| rows_axpy(level, &mut [0.0; 3], active, &[], w)).contains("c and active"));
    assert!(message(|| scatter_axpy(&mut [0.0; 2], 1.0, SparseRow::new(&[], &[], 3).unwrap())).contains("y and x"));
    assert!(
        message(|| {
            let _ = MatRef::with_stride(&[0.0f32; 5], 2, 3, 3);
        })
        .contains("do not fit")
    );
    assert!(
        message(|| {
            let _ = MatRef::with_stride(&[0.0f32; 5], usize::MAX, 3, 3);
        })
        .contains("do not fit")
    );
}

#[test]
fn bad_offsets_are_refused_with_their_place() {
    use crate::IndexError::*;
    let (rows, samples) = (RowIds::new(&[0, 1], 2).unwrap(), RowIds::new(&[0, 0, 0], 1).unwrap());
    let refused = |offsets| RowBatch::new(rows, offsets, samples).unwrap_err();
    assert!(matches!(refused(&[0, 3]), LengthMismatch { left_len: 2, right_len: 3, .. }));
    assert_eq!(refused(&[1, 2, 3]), BadOffset { position: 0, offset: 1, items: 3 });
    assert_eq!(refused(&[0, 2, 1]), BadOffset { position: 2, offset: 1, items: 3 });
    assert_eq!(refused(&[0, 2, 4]), BadOffset { position: 2, offset: 4, items: 3 });
    assert!(RowBatch::new(rows, &[0, 3, 3], samples).is_ok());
}
