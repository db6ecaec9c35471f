//! `sddmm`, `spmm` and `row_gradients`: a batch against rows, walked by row.

use std::rc::Rc;

use hotrow_kernels::rows::{RowBatch, row_gradients, sddmm, spmm};
use hotrow_kernels::{Level, MatMut, MatRef, RowIds, Weight, bf16};

use crate::answers::{product, sum_is};
use crate::measure::{Bench, Contest, Target, Work};
use crate::memory::{Place, Turns, numbers, random_rows, shuffled_rows};
use crate::roofline::against_multiplying;

/// Numbers of a row.
const DIM: usize = 512;
/// Samples that want a row, and samples of the batch: with 8 of 8 the batch lies in the first-level cache, with more in the second.
const SHAPES: [[usize; 2]; 5] = [[8, 8], [8, 64], [16, 64], [32, 32], [32, 64]];

pub fn run(bench: &mut Bench) {
    let best = Level::detect();
    for shape in SHAPES {
        for level in Level::available() {
            let target = (level == best).then_some(Target::Share(0.6));
            line::<f32>(bench, Kernel::Sddmm, level, shape, target);
        }
        line::<bf16>(bench, Kernel::Sddmm, best, shape, Some(Target::Share(0.6)));
    }
    for kernel in [Kernel::Spmm, Kernel::RowGradients] {
        line::<f32>(bench, kernel, best, [16, 64], None);
    }
    line::<bf16>(bench, Kernel::Spmm, best, [16, 64], None);
}

#[derive(Clone, Copy)]
enum Kernel {
    Sddmm,
    Spmm,
    RowGradients,
}

/// Rows of a call: few enough that a call is short, and with eight lists in turn the rows come from the third-level cache.
const ROWS: usize = 512;

/// Which rows, and which samples want each of them.
#[derive(Clone, Copy)]
struct Wanted {
    rows: RowIds<'static>,
    samples: RowIds<'static>,
    batch: RowBatch<'static>,
}

fn line<W: Weight>(bench: &mut Bench, kernel: Kernel, level: Level, shape: [usize; 2], target: Option<Target>) {
    let [samples, batch] = shape;
    let name = match kernel {
        Kernel::Sddmm => "sddmm",
        Kernel::Spmm => "spmm",
        Kernel::RowGradients => "row_gradients",
    };
    let name = format!("{name}/{level}/l3/r{ROWS}_s{samples}_b{batch}_d{DIM}/{}", W::NAME);
    let quick = bench.quick;
    bench.line(&name, target, move || {
        let table = Place::L3.table::<W>(quick);
        let w = MatRef::new(table, table.len() / DIM, DIM);
        let offsets: &[u32] = (0..=ROWS).map(|i| (i * samples) as u32).collect::<Vec<_>>().leak();
        let wanted = |rows| {
            let rows = RowIds::new(rows, w.rows()).expect("below, as all are");
            let samples = random_rows(1, ROWS * samples, batch)[0];
            Wanted { rows, samples, batch: RowBatch::new(rows, offsets, samples).expect("as many offsets as rows") }
        };
        let turns = Turns::new(shuffled_rows(w.rows()).as_slice().chunks_exact(ROWS).map(wanted).collect());
        let contest = Contest::of(Work::flops(2 * ROWS * samples * DIM), call(kernel, level, turns.clone(), w));
        let contest = match Level::available().take_while(|&other| other != level).last() {
            Some(below) => contest.rival(below, call(kernel, below, turns, w)),
            None => contest,
        };
        against_multiplying(contest, level)
    });
}

/// The call to time, after its first answer was checked.
fn call<W: Weight>(kernel: Kernel, level: Level, turns: Rc<Turns<Wanted>>, w: MatRef<'static, W>) -> Box<dyn FnMut()> {
    let Wanted { rows, samples, batch } = turns.next();
    let (x, c) = (numbers(samples.limit() * DIM, 1), numbers(batch.entries(), 2));
    let (per_row, batch_len) = (batch.entries() / rows.len(), samples.limit());
    let row = |i: usize| w.row(rows.as_slice()[i] as usize);
    let sample = |e: usize| samples.as_slice()[e] as usize;
    match kernel {
        Kernel::Sddmm => {
            let mut out = vec![f32::NAN; batch.entries()];
            sddmm(level, &mut out, batch, w, MatRef::new(&x, batch_len, DIM));
            for (e, &got) in out.iter().enumerate().step_by(7) {
                sum_is(got, row(e / per_row).iter().zip(&x[sample(e) * DIM..]).map(product));
            }
            Box::new(move || sddmm(level, &mut out, turns.next().batch, w, MatRef::new(&x, batch_len, DIM)))
        }
        Kernel::Spmm => {
            let mut dx = vec![0.0; batch_len * DIM];
            spmm(level, MatMut::new(&mut dx, batch_len, DIM), batch, &c, w);
            for at in (0..batch_len * DIM).step_by(61) {
                let entries = (0..batch.entries()).filter(|&e| sample(e) == at / DIM);
                sum_is(dx[at], entries.map(|e| product((&row(e / per_row)[at % DIM], &c[e]))));
            }
            Box::new(move || spmm(level, MatMut::new(&mut dx, batch_len, DIM), turns.next().batch, &c, w))
        }
        Kernel::RowGradients => {
            let mut dw = vec![0.0; ROWS * DIM];
            row_gradients(level, MatMut::new(&mut dw, ROWS, DIM), batch, &c, MatRef::new(&x, batch_len, DIM));
            for at in (0..dw.len()).step_by(61) {
                let entries = at / DIM * per_row..(at / DIM + 1) * per_row;
                sum_is(dw[at], entries.map(|e| product((&c[e], &x[sample(e) * DIM + at % DIM]))));
            }
            Box::new(move || {
                let dw = MatMut::new(&mut dw, ROWS, DIM);
                row_gradients(level, dw, turns.next().batch, &c, MatRef::new(&x, batch_len, DIM));
            })
        }
    }
}
