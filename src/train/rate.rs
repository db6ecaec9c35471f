//! What plans of every task are made from.

use std::time::Instant;

use crate::kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use crate::kernels::{Level, MatMut, MatRef};

/// Bytes of the copy of a checkpoint that holds so many.
pub fn snapshot(bytes: u64, limit: u64) -> u64 {
    if bytes <= limit { bytes } else { 0 }
}

/// Operations a second of a product that fits the second-level cache, on one thread.
pub fn product_rate(level: Level, precision: Precision) -> f64 {
    let (rows, cols, depth) = (128, 512, 128);
    let (a, b, mut c) = (vec![0.5; rows * depth], vec![0.5; depth * cols], vec![0.0; rows * cols]);
    let (mut left, mut right) = (PackedPanel::new(), PackedPanel::new());
    left.pack_left(level, precision, Operand::new(MatRef::new(&a, rows, depth)));
    right.pack_right(level, precision, Operand::new(MatRef::new(&b, depth, cols)));
    let (mut best, flops) = (f64::INFINITY, (2 * rows * cols * depth) as f64);
    for _ in 0..20 {
        let start = Instant::now();
        gemm(level, Output::new(MatMut::new(&mut c, rows, cols)), &left, &right);
        best = best.min(start.elapsed().as_secs_f64());
    }
    flops / best
}
