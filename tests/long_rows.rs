//! Rows of more numbers than 31 bits count.
#![allow(clippy::print_stderr)] // What could not be tried is said.

use hotrow::error::Error;
use hotrow::kernels::rows::{gather_dot, rows_gather_dot};
use hotrow::kernels::{Level, RowIds, SparseRow, Weight};
use hotrow::matrix::Matrix;

const LEN: usize = (1 << 31) + 64;

/// The row is mapped, and filled at a few places only: it costs what these cost.
fn indices_beyond_31_bits_are_read_as_they_are<W: Weight>() {
    let mut row = match Matrix::<W>::try_zeros("a long row", 1, LEN) {
        Ok(row) => row,
        Err(Error::Memory { what, bytes }) => return eprintln!("not tried: {what} of {bytes} bytes is refused here"),
        Err(error) => panic!("{error}"),
    };
    // Sixteen numbers on either side of 2^31, and the last ones of whole vectors of every level.
    let indices: Vec<u32> = (0..5).chain((1 << 31) - 20..(1 << 31) + 23).chain([LEN as u32 - 1]).collect();
    let values: Vec<f32> = (0..indices.len()).map(|i| 1.0 + (i % 7) as f32).collect();
    let mut want = 0.0;
    for (n, (&i, &value)) in indices.iter().zip(&values).enumerate() {
        let weight = 1.0 + (n % 5) as f32;
        row.as_mut_slice()[i as usize] = W::from_f32(weight);
        want += weight * value;
    }
    // At each length another part of a vector lies beyond.
    for from in 0..indices.len() {
        let x = SparseRow::new(&indices[from..], &values[from..], LEN).unwrap();
        let want: f32 = (from..indices.len()).map(|n| (1.0 + (n % 5) as f32) * values[n]).sum();
        for level in Level::available() {
            // Small integers: sums are exact in any order.
            assert_eq!(gather_dot(level, x, row.row(0)), want, "from {from} at {level}, {}", W::NAME);
            let mut out = [0.0; 2];
            rows_gather_dot(level, &mut out, RowIds::new(&[0, 0], 1).unwrap(), row.view(), x);
            assert_eq!(out, [want; 2], "from {from} at {level}, {}", W::NAME);
        }
    }
    assert!(want > 300.0);
}

#[test]
fn sparse_products_with_rows_beyond_2_to_the_31_are_right() {
    indices_beyond_31_bits_are_read_as_they_are::<f32>();
    indices_beyond_31_bits_are_read_as_they_are::<half::bf16>();
}
