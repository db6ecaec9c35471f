//! `ndarray`: an array in standard (row-major) order is a matrix for the kernels without a copy.

use hotrow_kernels::rows::rows_dot;
use hotrow_kernels::{Level, MatRef, RowIds};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::{Outcome, bound, numbers};

/// The same matrix for the kernels; `None` if the array is not in standard order (`as_standard_layout` copies it then).
fn matrix(array: ArrayView2<'_, f32>) -> Option<MatRef<'_, f32>> {
    let (rows, cols) = array.dim();
    array.to_slice().map(|data| MatRef::new(data, rows, cols))
}

pub fn run(level: Level) -> Outcome {
    let (rows, cols) = (50, 37);
    let w = Array2::from_shape_vec((rows, cols), numbers(rows * cols, 1))?;
    let x = numbers(cols, 2);
    let ids = [49, 3, 3, 17];
    let active = RowIds::new(&ids, rows)?;
    let gathered = w.select(Axis(0), &ids.map(|id| id as usize));

    let mut out = vec![0.0; ids.len()];
    rows_dot(level, &mut out, active, matrix(w.view()).ok_or("w is not in standard order")?, &x);
    assert_products(&out, &gathered, &x);

    assert!(matrix(w.t()).is_none(), "a transposed array is not taken for a row-major one");

    // A window of columns keeps the distance between rows: offset and stride say so, again without a copy.
    let (from, width) = (5, 16);
    let data = w.as_slice().ok_or("w is not in standard order")?;
    let window = MatRef::with_stride(&data[from..], rows, width, cols);
    rows_dot(level, &mut out, active, window, &x[..width]);
    assert_products(&out, &gathered.slice(s![.., from..from + width]).to_owned(), &x[..width]);
    Ok(())
}

/// `out = w x`, up to the order of additions.
fn assert_products(out: &[f32], w: &Array2<f32>, x: &[f32]) {
    let x = Array1::from(x.to_vec());
    let (want, magnitude) = (w.dot(&x), w.mapv(f32::abs).dot(&x.mapv(f32::abs)));
    for ((got, want), magnitude) in out.iter().zip(want).zip(magnitude) {
        assert!((got - want).abs() <= bound(x.len(), magnitude), "{got} is not {want}");
    }
}
