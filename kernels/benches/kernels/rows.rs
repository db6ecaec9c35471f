//! `rows_dot`, `rows_axpy` and `rows_outer` on random rows.

use std::rc::Rc;

use hotrow_kernels::rows::{rows_axpy, rows_dot};
use hotrow_kernels::{Level, MatRef, RowIds, Weight, bf16};

use crate::answers::{product, sum_is};
use crate::measure::{Bench, Contest, Target, Work};
use crate::memory::{Place, Turns, numbers};
use crate::roofline::{against_multiplying, against_reading, rows_of};

pub fn run(bench: &mut Bench) {
    let best = Level::detect();
    for row_bytes in [512, 1024, 2048, 4096] {
        one::<f32>(bench, best, Place::Dram, row_bytes / 4, Target::Share(0.9));
        one::<bf16>(bench, best, Place::Dram, row_bytes / 2, Target::Share(0.9));
    }
    for level in Level::available() {
        one::<f32>(bench, level, Place::L2, 512, Target::Share(0.75));
        one::<bf16>(bench, level, Place::L2, 512, Target::Share(0.75));
    }
}

fn one<W: Weight>(bench: &mut Bench, level: Level, place: Place, dim: usize, target: Target) {
    let quick = bench.quick;
    let shape = move |count: usize| format!("{level}/{}/a{count}_d{dim}/{}", place.name(), W::NAME);
    let count = rows_of(place, dim * size_of::<W>(), true).next().len();
    // The target is for the best level.
    let target = (level == Level::detect()).then_some(target);
    bench.line(&format!("rows_dot/{}", shape(count)), target, move || {
        contest::<W>(level, place, dim, quick, |level, w, turns| {
            check_dot(level, w, turns.next());
            let (x, mut out) = (numbers(dim, 1), vec![0.0; count]);
            Box::new(move || rows_dot(level, &mut out, turns.next(), w, &x))
        })
    });
    bench.line(&format!("rows_axpy/{}", shape(count)), target, move || {
        contest::<W>(level, place, dim, quick, |level, w, turns| {
            check_axpy(level, w, turns.next());
            let (c, mut y) = (numbers(count, 2), vec![0.0; dim]);
            Box::new(move || rows_axpy(level, &mut y, turns.next(), &c, w))
        })
    });
}

/// Lists of rows, handed out in turn.
type Lists = Rc<Turns<RowIds<'static>>>;

/// The kernel that `make` makes, its read ceiling, and from a cache also its multiply ceiling and the level below.
fn contest<W: Weight>(
    level: Level,
    place: Place,
    dim: usize,
    quick: bool,
    make: impl Fn(Level, MatRef<'static, W>, Lists) -> Box<dyn FnMut()>,
) -> Contest {
    let (table, row_bytes) = (place.table::<W>(quick), dim * size_of::<W>());
    let w = MatRef::new(table, table.len() / dim, dim);
    let turns = rows_of(place, row_bytes, quick);
    let elements = turns.next().len() * dim;
    let work = Work::bytes(elements * size_of::<W>()).and_flops(2 * elements);
    let contest = Contest::of(work, make(level, w, turns.clone()));
    let contest = against_reading(contest, level, place, row_bytes, &turns, quick);
    if place == Place::Dram {
        return contest;
    }
    let below = Level::available().take_while(|&other| other != level).last();
    let contest = match below {
        Some(below) => contest.rival(below, make(below, w, turns)),
        None => contest,
    };
    against_multiplying(contest, level)
}

fn check_dot<W: Weight>(level: Level, w: MatRef<W>, active: RowIds) {
    let (x, mut out) = (numbers(w.cols(), 1), vec![f32::NAN; active.len()]);
    rows_dot(level, &mut out, active, w, &x);
    for (&got, &id) in out.iter().zip(active.as_slice()) {
        sum_is(got, w.row(id as usize).iter().zip(&x).map(product));
    }
}

fn check_axpy<W: Weight>(level: Level, w: MatRef<W>, active: RowIds) {
    let (c, mut y) = (numbers(active.len(), 2), vec![0.0; w.cols()]);
    rows_axpy(level, &mut y, active, &c, w);
    for (i, &got) in y.iter().enumerate() {
        sum_is(got, active.as_slice().iter().zip(&c).map(|(&id, c)| product((&w.row(id as usize)[i], c))));
    }
}
