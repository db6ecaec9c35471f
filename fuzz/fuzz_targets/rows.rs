//! Row kernels: every level against f64 sums; row lists and shapes are accepted exactly when they fit.
#![no_main]

use hotrow_fuzz::{Input, Sum, assert_same, exact, fused_levels, panics};
use hotrow_kernels::reduce::top_k;
use hotrow_kernels::rows::{
    RowBatch, clear_marked, gather_dot, marks, row_gradients, rows_axpy, rows_dot, rows_gather_dot, rows_outer,
    scatter_axpy, scatter_axpy_marked, sddmm, sparse_dot, spmm, top_k_marked, top_k_scratch,
};
use hotrow_kernels::{Level, MatRef, RowIds, SparseRow, UniqueRowIds, Weight, bf16};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    match input.up_to(6) {
        0 => lists_and_shapes_are_accepted_exactly_when_they_fit(&mut input),
        1 => one_vector::<bf16>(&mut input),
        2 => one_vector::<f32>(&mut input),
        3 => batch::<bf16>(&mut input),
        4 => batch::<f32>(&mut input),
        5 => sparse::<bf16>(&mut input),
        _ => sparse::<f32>(&mut input),
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
    let mut first = None;
    for level in fused_levels() {
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
    if W::IS_F32 {
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

fn batch<W: Weight>(input: &mut Input) {
    let (rows, samples, cols) = (input.up_to(6), input.up_to(6), input.up_to(150));
    let (ids, sample_ids) = (input.ids(rows, 8), input.ids(samples, 24));
    let (Ok(active), Ok(taken)) = (RowIds::new(&ids, rows), RowIds::new(&sample_ids, samples)) else { return };

    // The ends of the rows' entries: usually in order, sometimes anything.
    let mut offsets = vec![0u32];
    offsets.extend((0..ids.len()).map(|_| input.up_to(sample_ids.len()) as u32));
    if input.up_to(7) < 7 {
        offsets.sort_unstable();
        offsets[ids.len()] = if ids.is_empty() { 0 } else { sample_ids.len() as u32 };
    }
    let valid = offsets[ids.len()] as usize == sample_ids.len() && offsets.is_sorted();
    let batch = RowBatch::new(active, &offsets, taken);
    assert_eq!(batch.is_ok(), valid, "{offsets:?} for {} entries", sample_ids.len());
    let Ok(batch) = batch else { return };

    let (w, x, dx) =
        (input.matrix::<W>(rows, cols), input.matrix::<f32>(samples, cols), input.matrix::<f32>(samples, cols));
    let c = input.floats(sample_ids.len());
    let entries = |i: usize| offsets[i] as usize..offsets[i + 1] as usize;

    for level in Level::available() {
        let mut out = vec![f32::NAN; sample_ids.len()];
        sddmm(level, &mut out, batch, w.view(), x.view());
        for (i, &id) in ids.iter().enumerate() {
            for e in entries(i) {
                let want = Sum::of(0.0, &w.exact(id as usize), &x.exact(sample_ids[e] as usize));
                want.assert_is(out[e], format_args!("{level} sddmm, entry {e}"));
            }
        }
    }

    let mut want: Vec<Vec<Sum>> =
        (0..samples).map(|r| dx.exact(r).iter().map(|&x| Sum::of(x, &[], &[])).collect()).collect();
    for (i, &id) in ids.iter().enumerate() {
        for e in entries(i) {
            let sums = &mut want[sample_ids[e] as usize];
            sums.iter_mut().zip(w.exact(id as usize)).for_each(|(sum, w)| sum.add(c[e] as f64, w));
        }
    }
    for level in Level::available() {
        let mut got = dx.clone();
        spmm(level, got.view_mut(), batch, &c, w.view());
        got.assert_gaps_untouched();
        for (r, sums) in want.iter().enumerate() {
            for (&got, sum) in got.view().row(r).iter().zip(sums) {
                sum.assert_is(got, format_args!("{level} spmm, sample {r}"));
            }
        }
    }

    let dw = input.matrix::<f32>(ids.len(), cols);
    for level in Level::available() {
        let mut got = dw.clone();
        row_gradients(level, got.view_mut(), batch, &c, x.view());
        got.assert_gaps_untouched();
        for i in 0..ids.len() {
            let mut sums = vec![Sum::default(); cols];
            for e in entries(i) {
                sums.iter_mut().zip(x.exact(sample_ids[e] as usize)).for_each(|(sum, x)| sum.add(c[e] as f64, x));
            }
            for (&got, sum) in got.view().row(i).iter().zip(&sums) {
                sum.assert_is(got, format_args!("{level} row_gradients, row {i}"));
            }
        }
    }
}

fn sparse<W: Weight>(input: &mut Input) {
    let (rows, dim) = (input.up_to(5), input.up_to(150));
    let (indices, others) = (input.increasing_ids(dim), input.increasing_ids(dim));
    let (values, other_values) = (input.floats(indices.len()), input.floats(others.len()));
    let x = SparseRow::new(&indices, &values, dim).expect("increasing and in range");
    let other = SparseRow::new(&others, &other_values, dim).expect("increasing and in range");
    let w = input.matrix::<W>(rows, dim);
    let ids = input.ids(rows, 8);
    let Ok(active) = RowIds::new(&ids, rows) else { return };

    let sum_with = |row: &[f64]| {
        let mut sum = Sum::default();
        x.indices().iter().zip(x.values()).for_each(|(&i, &value)| sum.add(row[i as usize], value as f64));
        sum
    };
    for level in Level::available() {
        let mut out = vec![f32::NAN; ids.len()];
        rows_gather_dot(level, &mut out, active, w.view(), x);
        for (&got, &id) in out.iter().zip(&ids) {
            let row = w.exact(id as usize);
            sum_with(&row).assert_is(got, format_args!("{level} rows_gather_dot, row {id}"));
            sum_with(&row)
                .assert_is(gather_dot(level, x, w.view().row(id as usize)), format_args!("{level} gather_dot"));
        }
    }

    let mut sum = Sum::default();
    for (&i, &value) in indices.iter().zip(&values) {
        if let Ok(at) = others.binary_search(&i) {
            sum.add(value as f64, other_values[at] as f64);
        }
    }
    sum.assert_is(sparse_dot(x, other), "sparse_dot");
    marked(x, input.up_to(40), input.floats(1)[0]);

    let (mut y, c) = (input.floats(dim), input.floats(1));
    let before = y.clone();
    scatter_axpy(&mut y, c[0], x);
    for (i, (&got, &before)) in y.iter().zip(&before).enumerate() {
        match indices.binary_search(&(i as u32)) {
            Ok(at) => Sum::of(before as f64, &[c[0] as f64], &[values[at] as f64]).assert_is(got, "scatter_axpy"),
            Err(_) => assert_same(&[got], &[before], "scatter_axpy, index not in x"),
        }
    }
}

/// Marked sums are those without marks, and the best of them are those of the numbers that are not 0.
fn marked(x: SparseRow, k: usize, c: f32) {
    let (mut y, mut want) = (vec![0.0; x.dim()], vec![0.0; x.dim()]);
    let mut marked = vec![0; marks(x.dim())];
    scatter_axpy_marked(&mut y, &mut marked, c, x.indices(), x.values());
    scatter_axpy(&mut want, c, x);
    assert_same(&y, &want, "scatter_axpy_marked");
    let (places, numbers): (Vec<u32>, Vec<f32>) = (0..).zip(&y).filter(|(_, y)| **y != 0.0).unzip();
    for level in Level::available() {
        let (mut ids, mut values) = (vec![0; k], vec![0.0; k]);
        let mut scratch = vec![0; top_k_scratch(k)];
        let found = top_k_marked(level, &y, &marked, &mut ids, &mut values, &mut scratch);
        let (mut best, mut want) = (vec![0; k], vec![0.0; k]);
        assert_eq!(found, top_k(level, &numbers, &mut best, &mut want), "{level} top_k_marked");
        let best: Vec<u32> = best[..found].iter().map(|&at| places[at as usize]).collect();
        assert_eq!(ids[..found], best, "{level} top_k_marked");
        assert_same(&values[..found], &want[..found], "top_k_marked");
    }
    clear_marked(&mut y, &mut marked);
    assert!(y.iter().all(|&y| y == 0.0) && marked.iter().all(|&mark| mark == 0), "clear_marked");
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
    // Rows without columns fit anywhere.
    let needed = if rows == 0 || cols == 0 { 0 } else { (rows as u128 - 1) * stride as u128 + cols as u128 };
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
