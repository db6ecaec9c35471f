//! Row kernels: every level against f64 sums; row lists and shapes are accepted exactly when they fit.
#![no_main]

use hotrow_fuzz::{Input, Sum, assert_same, exact, panics};
use hotrow_kernels::rows::{rows_axpy, rows_dot, rows_outer};
use hotrow_kernels::{Level, MatRef, RowIds, UniqueRowIds, Weight, bf16};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    match input.up_to(3) {
        0 => lists_and_shapes_are_accepted_exactly_when_they_fit(&mut input),
        1 => one_vector::<bf16>(&mut input),
        _ => one_vector::<f32>(&mut input),
    }
});

fn one_vector<W: Weight>(input: &mut Input) {
    let (rows, cols) = (input.up_to(9), input.up_to(150));
    let ids = input.ids(rows, 12);
    let w = input.matrix::<W>(rows, cols);
    let (x, y, c) = (input.floats(cols), input.floats(cols), input.floats(ids.len()));
    let Ok(active) = RowIds::new(&ids, rows) else { return };

    let exact_x = exact(&x);
    for level in Level::available() {
        let mut out = vec![f32::NAN; ids.len()];
        rows_dot(level, &mut out, active, w.view(), &x);
        for (&got, &id) in out.iter().zip(&ids) {
            Sum::of(0.0, &w.exact(id as usize), &exact_x).assert_is(got, format_args!("{level} dot, row {id}"));
        }
    }

    let mut sums: Vec<Sum> = y.iter().map(|&y| Sum::of(y as f64, &[], &[])).collect();
    for (&c, &id) in c.iter().zip(&ids) {
        sums.iter_mut().zip(w.exact(id as usize)).for_each(|(sum, w)| sum.add(c as f64, w));
    }
    for level in Level::available() {
        let mut got = y.clone();
        rows_axpy(level, &mut got, active, &c, w.view());
        for (i, (&got, sum)) in got.iter().zip(&sums).enumerate() {
            sum.assert_is(got, format_args!("{level} axpy, element {i}"));
        }
    }

    // Each element is one multiply-add and one rounding per touch, in the order of the list, so levels that fuse agree to
    // the bit. Portable code may round the product first: once per level it is compared within its bound for f32.
    let fused: Vec<Level> = Level::available().filter(|&level| level != Level::PORTABLE).collect();
    let mut first = None;
    for level in fused {
        let mut got = w.clone();
        rows_outer(level, got.view_mut(), active, &c, &x);
        got.assert_gaps_untouched();
        let first = first.get_or_insert_with(|| got.clone());
        for row in 0..rows {
            assert_same(got.view().row(row), first.view().row(row), format_args!("{level} outer, row {row}"));
            if !ids.contains(&(row as u32)) {
                assert_same(got.view().row(row), w.view().row(row), format_args!("{level} outer, idle row {row}"));
            }
        }
    }
    let mut got = w.clone();
    rows_outer(Level::PORTABLE, got.view_mut(), active, &c, &x);
    got.assert_gaps_untouched();
    if W::NAME == "f32" {
        for row in 0..rows {
            let mut sums: Vec<Sum> = w.exact(row).iter().map(|&w| Sum::of(w, &[], &[])).collect();
            for (&c, _) in c.iter().zip(&ids).filter(|&(_, &id)| id as usize == row) {
                sums.iter_mut().zip(&exact_x).for_each(|(sum, &x)| sum.add(c as f64, x));
            }
            for (&got, sum) in got.view().row(row).iter().zip(&sums) {
                sum.assert_is(got.to_f32(), format_args!("portable outer, row {row}"));
            }
        }
    }
}

fn lists_and_shapes_are_accepted_exactly_when_they_fit(input: &mut Input) {
    let limit = input.up_to(8);
    let ids = input.ids(limit, 8);
    let in_range = ids.iter().all(|&id| (id as usize) < limit);
    assert_eq!(RowIds::new(&ids, limit).is_ok(), in_range, "{ids:?} below {limit}");
    let increasing = ids.windows(2).all(|pair| pair[0] < pair[1]);
    assert_eq!(UniqueRowIds::new(&ids, limit).is_ok(), in_range && increasing, "{ids:?} below {limit}");

    // Sizes of any magnitude: products must not wrap around.
    let any_size = |input: &mut Input| if input.flag() { input.up_to(6) } else { usize::MAX >> input.up_to(63) };
    let (len, rows, cols, stride) = (input.up_to(32), any_size(input), any_size(input), any_size(input));
    let data = vec![0.0f32; len];
    let needed = if rows == 0 { 0 } else { (rows as u128 - 1) * stride as u128 + cols as u128 };
    let fits = stride >= cols && needed <= len as u128;
    assert_eq!(panics(|| MatRef::with_stride(&data, rows, cols, stride)), !fits, "{rows} x {cols}, {stride}, {len}");
    assert_eq!(panics(|| MatRef::new(&data, rows, cols)), rows as u128 * cols as u128 != len as u128);

    // A kernel refuses vectors and lists that do not belong to its matrix.
    let cols = input.up_to(8);
    let w = input.matrix::<f32>(limit, cols);
    let Ok(active) = RowIds::new(&ids, limit) else { return };
    let (outputs, dim) = (input.up_to(8), input.up_to(8));
    let (mut out, x) = (vec![0.0; outputs], vec![0.0; dim]);
    let fits = outputs == ids.len() && dim == w.cols();
    assert_eq!(panics(|| rows_dot(Level::PORTABLE, &mut out, active, w.view(), &x)), !fits);
}
