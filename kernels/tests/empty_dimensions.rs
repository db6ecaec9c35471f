//! Where a width is data, it may be 0: every kernel that takes a matrix does with one that has no rows or no columns what its
//! definition says, however that matrix was cut.

use hotrow_kernels::convert::{f32_rows_from_i8, i8_rows_from_f32, rows_dot_i8};
use hotrow_kernels::gemm::{
    Batch, BatchMut, BatchShape, Causal, GemmScratch, Operand, Output, PackedPanel, Precision, batched_gemm,
    gathered_backward_input, gathered_backward_weights, gathered_forward, gemm,
};
use hotrow_kernels::optim::{Adam, Moments, Momentum, RowGrads, RowwiseAdagrad, RowwiseRmsprop, Sgd, Weights};
use hotrow_kernels::rows::{RowBatch, row_gradients, rows_axpy, rows_dot, rows_gather_dot, rows_outer, sddmm, spmm};
use hotrow_kernels::{Level, MatMut, MatRef, RowIds, SparseRow, UniqueRowIds, optim};
use proptest::prelude::*;

/// How a matrix of `rows` x `cols` is cut from memory.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Dense,
    /// The columns from this one on of a matrix that has two more behind them.
    Window(usize),
    /// With so many elements more from row to row, in no more memory than needed.
    Stride(usize),
}

/// Memory of ones for a matrix, and how it is cut from it.
struct Ones {
    data: Vec<f32>,
    rows: usize,
    cols: usize,
    cut: Cut,
}

impl Ones {
    fn new(rows: usize, cols: usize, cut: Cut) -> Self {
        let len = match cut {
            Cut::Dense => rows * cols,
            Cut::Window(from) => rows * (from + cols + 2),
            Cut::Stride(gap) if cols > 0 => rows.saturating_sub(1) * (cols + gap) + if rows > 0 { cols } else { 0 },
            Cut::Stride(_) => 0,
        };
        Self { data: vec![1.0; len], rows, cols, cut }
    }

    fn view(&self) -> MatRef<'_, f32> {
        let &Self { ref data, rows, cols, cut } = self;
        match cut {
            Cut::Dense => MatRef::new(data, rows, cols),
            Cut::Window(from) => MatRef::new(data, rows, from + cols + 2).window(0..rows, from..from + cols),
            Cut::Stride(gap) => MatRef::with_stride(data, rows, cols, cols + gap),
        }
    }

    fn view_mut(&mut self) -> MatMut<'_, f32> {
        let &mut Self { ref mut data, rows, cols, cut } = self;
        match cut {
            Cut::Dense => MatMut::new(data, rows, cols),
            Cut::Window(from) => MatMut::new(data, rows, from + cols + 2).window(0..rows, from..from + cols),
            Cut::Stride(gap) => MatMut::with_stride(data, rows, cols, cols + gap),
        }
    }

    /// All rows are `want`, and the view has as many as it should.
    fn is(&self, want: f32) {
        for r in 0..self.rows {
            assert_eq!(self.view().row(r), vec![want; self.cols], "row {r} of {:?}", self.cut);
        }
    }
}

fn cut() -> impl Strategy<Value = Cut> {
    prop_oneof![Just(Cut::Dense), (0usize..4).prop_map(Cut::Window), (0usize..4).prop_map(Cut::Stride)]
}

/// 0 half of the time.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0usize), 1usize..20]
}

fn every_level(check: impl Fn(Level)) {
    Level::available().for_each(check);
}

proptest! {
    #[test]
    fn rows_of_any_view_can_be_read_and_cut_again(rows in size(), cols in size(), cut in cut(), split in 0usize..20) {
        let mut ones = Ones::new(rows, cols, cut);
        ones.is(1.0);
        let (row, col) = (split.min(rows), split.min(cols));
        for (rows, cols) in [(0..row, 0..col), (row..rows, col..cols), (0..rows, col..col)] {
            let window = ones.view().window(rows.clone(), cols.clone());
            prop_assert!((0..rows.len()).all(|r| window.row(r) == vec![1.0; cols.len()]));
            let mut window = ones.view_mut().window(rows.clone(), cols.clone());
            (0..rows.len()).for_each(|r| window.row_mut(r).fill(1.0));
        }
        let pieces: Vec<_> = ones.view_mut().into_chunks(3).map(|piece| (piece.rows(), piece.cols())).collect();
        prop_assert_eq!(pieces.iter().map(|piece| piece.0).sum::<usize>(), rows);
        prop_assert!(pieces.iter().all(|piece| piece.1 == cols));
    }

    #[test]
    fn products_over_row_lists_are_those_of_the_definition(rows in 1usize..9, cols in size(), cut in cut(), seed in any::<u32>()) {
        let ids: Vec<u32> = (0..7).map(|i| (seed.rotate_left(i) as usize % rows) as u32).collect();
        let active = RowIds::new(&ids, rows).unwrap();
        let w = Ones::new(rows, cols, cut);
        let half = vec![0.5; cols];
        let every: Vec<u32> = (0..cols as u32).collect();
        let x = SparseRow::new(&every, &half, cols).unwrap();
        let offsets: Vec<u32> = (0..=7).collect();
        let batch = RowBatch::new(active, &offsets, active).unwrap();
        let samples = Ones::new(rows, cols, cut);
        every_level(|level| {
            let (want, mut out) = ([0.5 * cols as f32; 7], [f32::NAN; 7]);
            rows_dot(level, &mut out, active, w.view(), &half);
            assert_eq!(out, want);
            rows_gather_dot(level, &mut out, active, w.view(), x);
            assert_eq!(out, want);
            sddmm(level, &mut out, batch, w.view(), samples.view());
            assert_eq!(out, [cols as f32; 7]);
            let mut y = vec![0.0; cols];
            rows_axpy(level, &mut y, active, &[1.0; 7], w.view());
            assert_eq!(y, vec![7.0; cols]);
            let mut dx = Ones::new(rows, cols, cut);
            spmm(level, dx.view_mut(), batch, &[0.0; 7], w.view());
            dx.is(1.0);
            rows_outer(level, dx.view_mut(), active, &[0.0; 7], &half);
            dx.is(1.0);
            let mut dw = Ones::new(7, cols, cut);
            row_gradients(level, dw.view_mut(), batch, &[2.0; 7], samples.view());
            dw.is(2.0);
        });
    }

    #[test]
    fn packed_products_with_an_empty_side_or_contraction_are_zero_and_written(
        m in size(), n in size(), k in size(), cut in cut(), bf16 in any::<bool>(),
    ) {
        let precision = if bf16 { Precision::Bf16 } else { Precision::F32 };
        let matrix = |rows, cols| Ones::new(rows, cols, cut);
        every_level(|level| {
            let mut scratch = GemmScratch::default();
            let (w, x) = (matrix(m, k), matrix(n, k));
            let mut c = matrix(m, n);
            gathered_forward(level, precision, &mut scratch, Output::new(c.view_mut()), Operand::new(w.view()), x.view());
            c.is(k as f32);

            let (mut dx, w, dc) = (matrix(n, m), matrix(k, m), matrix(k, n));
            let out = Output::new(dx.view_mut());
            gathered_backward_input(level, precision, &mut scratch, out, Operand::new(w.view()), dc.view());
            dx.is(k as f32);

            let (mut dw, dc, x) = (matrix(m, n), matrix(m, k), matrix(k, n));
            gathered_backward_weights(level, precision, &mut scratch, Output::new(dw.view_mut()), dc.view(), x.view());
            dw.is(k as f32);

            let (mut left, mut right) = (PackedPanel::new(), PackedPanel::new());
            left.pack_left(level, precision, Operand::new(dc.view()));
            right.pack_right(level, precision, Operand::new(x.view()));
            gemm(level, Output::new(dw.view_mut()).added(), &left, &right);
            dw.is(2.0 * k as f32);
        });
    }

    #[test]
    fn batched_products_may_be_empty_too(
        (count, m, n, k) in (size(), size(), size(), size()), heads in any::<bool>(), transposed in any::<bool>(),
    ) {
        let shape = |rows, cols| match heads {
            true => BatchShape::heads(count, rows, cols),
            false => BatchShape::dense(count, rows, cols),
        };
        let (left, right) = (vec![1.0; count * m * k], vec![1.0; count * k * n]);
        let left_shape = if transposed { shape(k, m) } else { shape(m, k) };
        let left = Batch::new(&left, left_shape);
        let left = if transposed { left.transposed() } else { left };
        every_level(|level| {
            let (mut out, mut scratch) = (vec![f32::NAN; count * m * n], GemmScratch::default());
            let to = BatchMut::new(&mut out, shape(m, n));
            batched_gemm(level, Precision::F32, &mut scratch, to, left, Batch::new(&right, shape(k, n)), Causal::Full);
            assert_eq!(out, vec![k as f32; count * m * n]);
        });
    }

    #[test]
    fn optimisers_and_int8_rows_take_empty_matrices(rows in size(), cols in size(), cut in cut()) {
        let grads = Ones::new(rows, cols, cut);
        let none = UniqueRowIds::new(&[], rows).unwrap();
        every_level(|level| {
            for grads in [RowGrads::all(grads.view()), RowGrads::new(none, MatRef::new(&[], 0, cols))] {
                let want = if grads.is_empty() { 1.0 } else { 0.5 };
                let mut w = Ones::new(rows, cols, cut);
                let sgd = Sgd { lr: 0.5, ..Sgd::default() };
                optim::sgd(level, Weights::F32(w.view_mut()), grads, &sgd, 1);
                w.is(want);
                let (mut w, mut u) = (Ones::new(rows, cols, cut), Ones::new(rows, cols, cut));
                let momentum = Momentum { lr: 0.5, momentum: 0.0, ..Momentum::default() };
                optim::momentum(level, Weights::F32(w.view_mut()), u.view_mut(), grads, &momentum, 1);
                w.is(want);
                let (mut w, mut state) = (Ones::new(rows, cols, cut), vec![0.0; rows]);
                let adagrad = RowwiseAdagrad { lr: 0.5, ..RowwiseAdagrad::default() };
                optim::rowwise_adagrad(level, Weights::F32(w.view_mut()), &mut state, grads, &adagrad, 1);
                w.is(want);
                let mut w = Ones::new(rows, cols, cut);
                let rmsprop = RowwiseRmsprop { lr: 0.5, alpha: 0.0, ..RowwiseRmsprop::default() };
                state.fill(0.0);
                optim::rowwise_rmsprop(level, Weights::F32(w.view_mut()), &mut state, grads, &rmsprop, 1);
                w.is(want);
                let mut w = Ones::new(rows, cols, cut);
                let (mut m, mut v, mut steps) = (Ones::new(rows, cols, cut), Ones::new(rows, cols, cut), vec![0; rows]);
                let moments = Moments::F32 { m: m.view_mut(), v: v.view_mut() };
                optim::adam_lazy(level, Weights::F32(w.view_mut()), moments, &mut steps, grads, &Adam::default());
                assert!(steps.iter().all(|&steps| steps == !grads.is_empty() as u32));
            }
            let (mut codes, mut scales) = (vec![1; rows * cols], vec![f32::NAN; rows]);
            i8_rows_from_f32(level, MatMut::new(&mut codes, rows, cols), &mut scales, grads.view());
            let (mut back, codes) = (Ones::new(rows, cols, cut), MatRef::new(&codes, rows, cols));
            f32_rows_from_i8(level, back.view_mut(), codes, &scales);
            back.is(127.0 * (1.0 / 127.0));
            let ids: Vec<u32> = (0..rows as u32).collect();
            let mut out = vec![f32::NAN; rows];
            rows_dot_i8(level, &mut out, RowIds::new(&ids, rows).unwrap(), codes, &scales, &vec![1.0; cols]);
            assert!(out.iter().all(|&dot| (dot - cols as f32).abs() < 1e-4 * cols as f32 + f32::MIN_POSITIVE));
        });
    }
}
