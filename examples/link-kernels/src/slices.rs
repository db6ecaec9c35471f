//! Plain slices, f32 and bf16: one output layer of 5 neurons of which 3 are active, forward and backward.

use hotrow_kernels::rows::{rows_axpy, rows_dot, rows_outer};
use hotrow_kernels::{Level, MatMut, MatRef, RowIds, bf16};

use crate::Outcome;

pub fn run(level: Level) -> Outcome {
    let mut weights: Vec<f32> = (0..5).flat_map(|row| [row as f32, 1.0, -1.0]).collect();
    let x = [2.0, 3.0, 0.5];

    // Row numbers are data: they are checked once, and an error names the one at fault.
    let active = RowIds::new(&[4, 0, 2], 5)?;
    assert!(RowIds::new(&[4, 5], 5).is_err());

    let mut out = [0.0; 3];
    rows_dot(level, &mut out, active, MatRef::new(&weights, 5, 3), &x);
    assert_eq!(out, [10.5, 2.5, 6.5]);

    // The same from bf16: half of the bytes, and these values are exact in it.
    let halves: Vec<bf16> = weights.iter().map(|&w| bf16::from_f32(w)).collect();
    let mut out_bf16 = [0.0; 3];
    rows_dot(level, &mut out_bf16, active, MatRef::new(&halves, 5, 3), &x);
    assert_eq!(out_bf16, out);

    // Backward: to the input, and to the rows that took part. No other row is touched.
    let dout = [1.0, -1.0, 2.0];
    let mut dx = [0.0; 3];
    rows_axpy(level, &mut dx, active, &dout, MatRef::new(&weights, 5, 3));
    assert_eq!(dx, [8.0, 2.0, -2.0]);

    let before = weights.clone();
    rows_outer(level, MatMut::new(&mut weights, 5, 3), active, &dout, &x);
    for row in [1, 3] {
        assert_eq!(weights[row * 3..][..3], before[row * 3..][..3]);
    }
    assert_eq!(weights[12..], [6.0, 4.0, -0.5]);
    Ok(())
}
