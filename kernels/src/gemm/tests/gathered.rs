//! The three products of a layer.

use super::*;
use crate::{Level, MatMut, RowIds, UniqueRowIds};

/// A layer: `w` (rows, D), the active rows, `x` (B, D), `dc` (U, B).
struct Layer {
    w: Strided<f32>,
    ids: Vec<u32>,
    x: Strided<f32>,
    dc: Strided<f32>,
}

impl Layer {
    fn new(rows: usize, active: usize, batch: usize, dim: usize) -> Self {
        // Strictly increasing, so that the same list serves for writing.
        let ids: Vec<u32> = (0..active).map(|i| (i * rows / active) as u32).collect();
        Self {
            w: Strided::new(rows, dim, 3, 1),
            ids,
            x: Strided::new(batch, dim, 1, 2),
            dc: Strided::new(active, batch, 2, 3),
        }
    }

    fn active(&self) -> Operand<'_, f32> {
        Operand::gathered(self.w.view(), RowIds::new(&self.ids, self.w.rows).unwrap())
    }

    fn forward(&self, level: Level, precision: Precision) -> Vec<f32> {
        let (u, b) = (self.ids.len(), self.x.rows);
        let (mut scratch, mut out) = (GemmScratch::default(), vec![f32::NAN; u * b]);
        let output = Output::new(MatMut::new(&mut out, u, b));
        gathered_forward(level, precision, &mut scratch, output, self.active(), self.x.view());
        out
    }

    fn backward_input(&self, level: Level, precision: Precision) -> Vec<f32> {
        let (b, d) = (self.x.rows, self.w.cols);
        let (mut scratch, mut out) = (GemmScratch::default(), vec![f32::NAN; b * d]);
        let output = Output::new(MatMut::new(&mut out, b, d));
        gathered_backward_input(level, precision, &mut scratch, output, self.active(), self.dc.view());
        out
    }

    fn backward_weights(&self, level: Level, precision: Precision) -> Vec<f32> {
        let (u, d) = (self.ids.len(), self.w.cols);
        let (mut scratch, mut out) = (GemmScratch::default(), vec![f32::NAN; u * d]);
        let output = Output::new(MatMut::new(&mut out, u, d));
        gathered_backward_weights(level, precision, &mut scratch, output, self.dc.view(), self.x.view());
        out
    }
}

fn assert_product(got: &[f32], a: &Exact, b: &Exact, what: &str) {
    assert_eq!(got.len(), a.rows * b.cols);
    for (at, &got) in got.iter().enumerate() {
        let (sum, magnitude) = entry(a, b, at / b.cols, at % b.cols);
        assert_within(got, sum, sum_bound(a.cols, magnitude), format!("{what} at {at}"));
    }
}

/// Active rows, batch and dimension: nothing, one, less than a block, and more rows than are packed at a time.
const LAYERS: [(usize, usize, usize); 7] =
    [(1, 1, 1), (7, 3, 10), (130, 20, 33), (513, 9, 17), (1030, 3, 5), (3, 0, 4), (4, 5, 0)];

#[test]
fn the_three_products_are_their_definitions() {
    for (active, batch, dim) in LAYERS {
        let layer = Layer::new(active * 3 + 2, active, batch, dim);
        for precision in [Precision::F32, Precision::Bf16] {
            let w = Exact::of(&layer.active(), false, precision);
            let (x, dc) = (Exact::whole(layer.x.view(), precision), Exact::whole(layer.dc.view(), precision));
            at_every_level(|level| {
                assert_product(&layer.forward(level, precision), &w, &x.transposed(), "forward");
                assert_product(&layer.backward_input(level, precision), &dc.transposed(), &w, "backward input");
                assert_product(&layer.backward_weights(level, precision), &dc, &x, "backward weights");
            });
        }
    }
}

/// The three are one trilinear form: `<dC, W X^T> = <dX, X> = <dW, W>`.
#[test]
fn the_backward_products_are_adjoint_to_the_forward_product() {
    let (active, batch, dim) = (140, 21, 45);
    let layer = Layer::new(500, active, batch, dim);
    for precision in [Precision::F32, Precision::Bf16] {
        let w = Exact::of(&layer.active(), false, precision);
        let (x, dc) = (Exact::whole(layer.x.view(), precision), Exact::whole(layer.dc.view(), precision));
        // The sum of |dc||w||x|: each of the three has at most (n + 1) eps of it as error, n its own contraction.
        let magnitude: f64 =
            (0..active * batch).map(|i| entry(&w, &x.transposed(), i / batch, i % batch).1 * dc.data[i].abs()).sum();
        at_every_level(|level| {
            let exact = |rows, cols, data: Vec<f32>| Exact { rows, cols, data: super::exact(&data) };
            let forward = exact(active, batch, layer.forward(level, precision)).dot(&dc);
            let input = exact(batch, dim, layer.backward_input(level, precision)).dot(&x);
            let weights = exact(active, dim, layer.backward_weights(level, precision)).dot(&w);
            let bound = |n: usize, m: usize| sum_bound(n, magnitude) + sum_bound(m, magnitude);
            assert!((forward - input).abs() <= bound(dim, active), "{forward} {input}");
            assert!((forward - weights).abs() <= bound(dim, batch), "{forward} {weights}");
        });
    }
}

#[test]
fn packing_a_block_at_a_time_gives_the_bits_of_packing_at_once() {
    let layer = Layer::new(1000, 300, 19, 40);
    at_every_level(|level| {
        let (mut left, mut right, mut out) = (PackedPanel::new(), PackedPanel::new(), vec![0.0; 300 * 19]);
        left.pack_left(level, Precision::F32, layer.active());
        right.pack_right(level, Precision::F32, Operand::new(layer.x.view()).transposed());
        gemm(level, Output::new(MatMut::new(&mut out, 300, 19)), &left, &right);
        assert_eq!(out, layer.forward(level, Precision::F32));
    });
}

#[test]
fn duplicate_and_unsorted_rows_may_be_read() {
    let w = Strided::<bf16>::new(9, 20, 1, 5);
    let x = Strided::<f32>::new(4, 20, 0, 6);
    let ids = [8, 0, 8, 8, 3, 0, 1];
    let active = Operand::gathered(w.view(), RowIds::new(&ids, 9).unwrap());
    let (w, exact_x) = (Exact::of(&active, false, Precision::F32), Exact::whole(x.view(), Precision::F32));
    at_every_level(|level| {
        let (mut scratch, mut out) = (GemmScratch::default(), [0.0; 28]);
        let output = Output::new(MatMut::new(&mut out, 7, 4));
        gathered_forward(level, Precision::F32, &mut scratch, output, active, x.view());
        assert_product(&out, &w, &exact_x.transposed(), "forward");
    });
}

#[test]
fn a_gradient_is_accumulated_into_the_rows_it_belongs_to() {
    let layer = Layer::new(400, 150, 6, 11);
    at_every_level(|level| {
        let want = layer.backward_weights(level, Precision::F32);
        let (mut scratch, mut dw) = (GemmScratch::default(), vec![0.0; 400 * 11]);
        for _ in 0..2 {
            let rows = UniqueRowIds::new(&layer.ids, 400).unwrap();
            let out = Output::scattered(MatMut::new(&mut dw, 400, 11), rows).added();
            gathered_backward_weights(level, Precision::F32, &mut scratch, out, layer.dc.view(), layer.x.view());
        }
        for (r, row) in dw.chunks(11).enumerate() {
            match layer.ids.iter().position(|&id| id as usize == r) {
                // Twice a float is a float.
                Some(i) => assert!(row.iter().zip(&want[i * 11..]).all(|(&got, &once)| got == 2.0 * once)),
                None => assert!(row.iter().all(|&x| x == 0.0), "row {r}"),
            }
        }
    });
}

#[test]
fn a_dense_layer_is_the_gathered_one_with_all_rows() {
    let layer = Layer::new(45, 45, 8, 30);
    at_every_level(|level| {
        let (mut scratch, mut out) = (GemmScratch::default(), vec![0.0; 45 * 8]);
        let output = Output::new(MatMut::new(&mut out, 45, 8));
        gathered_forward(level, Precision::F32, &mut scratch, output, Operand::new(layer.w.view()), layer.x.view());
        assert_eq!(out, layer.forward(level, Precision::F32));
    });
}
