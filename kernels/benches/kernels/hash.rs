//! Hashing vectors that lie in the second-level cache.

use hotrow_kernels::hash::{BucketHash, SimHash};
use hotrow_kernels::{Level, MatMut, MatRef, RowIds};

use crate::measure::{Bench, Contest, Target, Work};
use crate::memory::Turns;
use crate::memory::{Place, shuffled_rows};
use crate::roofline::against_reading;

/// Numbers of a vector, and bits of its hash: 32 tables of 16.
const DIM: usize = 512;
const CODES: usize = 16;
const TABLES: usize = 32;

pub fn run(bench: &mut Bench) {
    for level in Level::available() {
        for rounds in [1, 2] {
            // The target names no number of rounds; it is held against what `SimHash::new` gives.
            let target = (level == Level::detect() && rounds == 2).then_some(Target::TimesCeiling(5.0));
            let quick = bench.quick;
            let name = format!("simhash/{level}/l2/d{DIM}_bits{}_rounds{rounds}/f32", CODES * TABLES);
            bench.line(&name, target, move || simhash(level, rounds, quick));
        }
    }
}

/// Hashes every vector of a table once: a job is one vector.
fn simhash(level: Level, rounds: usize, quick: bool) -> Contest {
    let hash = SimHash::with_rounds(5, DIM, CODES, TABLES, rounds).expect("parameters in range");
    let table = Place::L2.table::<f32>(quick);
    let w = MatRef::new(table, table.len() / DIM, DIM);
    let rows = shuffled_rows(w.rows());
    check(&hash, level, w, rows);
    let work = Work::bytes(rows.len() * DIM * 4);
    let contest = Contest::of(work, call(hash.clone(), level, w, rows)).jobs(rows.len());
    let contest = match Level::available().take_while(|&other| other != level).last() {
        Some(below) => contest.rival(below, call(hash, below, w, rows)),
        None => contest,
    };
    against_reading(contest, level, Place::L2, DIM * 4, &Turns::new(vec![rows]), quick)
}

fn call(hash: SimHash, level: Level, w: MatRef<'static, f32>, rows: RowIds<'static>) -> impl FnMut() + 'static {
    let (mut scratch, mut out) = (vec![0.0; hash.scratch_len()], vec![0; rows.len() * TABLES]);
    move || hash.rows(level, MatMut::new(&mut out, rows.len(), TABLES), w, rows, &mut scratch)
}

/// The bits are those of the portable level, and those of the opposite vector are the opposite ones.
fn check(hash: &SimHash, level: Level, w: MatRef<f32>, rows: RowIds) {
    let (mut scratch, mut out) = (vec![0.0; hash.scratch_len()], vec![0; rows.len() * TABLES]);
    hash.rows(level, MatMut::new(&mut out, rows.len(), TABLES), w, rows, &mut scratch);
    let (mut same, mut opposite) = ([0; TABLES], [0; TABLES]);
    for (codes, &row) in out.chunks(TABLES).zip(rows.as_slice()) {
        let x = w.row(row as usize);
        let negative: Vec<f32> = x.iter().map(|x| -x).collect();
        hash.dense(Level::PORTABLE, &mut same, x, &mut scratch);
        hash.dense(level, &mut opposite, &negative, &mut scratch);
        assert_eq!(codes, same, "{level} and portable agree on row {row}");
        // A coordinate that is exactly zero has the same bit in both, and hardly any is.
        let differ: u32 = codes.iter().zip(opposite).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert!(differ as usize > CODES * TABLES * 9 / 10, "only {differ} bits of row {row} turn with its sign");
    }
}
