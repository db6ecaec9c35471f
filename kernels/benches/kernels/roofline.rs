//! What the machine allows: loops that read, write or multiply and do nothing else.
//!
//! Each is measured as a line of its own, and again in turn with every kernel that it limits.

use std::hint::black_box;
use std::rc::Rc;

use hotrow_kernels::simd::Simd;
use hotrow_kernels::{Level, MatMut, MatRef, RowIds, dispatch};

use crate::measure::{Bench, Contest, Work};
use crate::memory::{self, Place, Turns};

/// What one call on DRAM reads: long enough that its first rows, which nothing prefetched, do not count.
pub const WINDOW: usize = 2 << 20;
/// What all windows together read before the first comes again: far above the last-level cache.
const POOL: usize = 256 << 20;
/// How far ahead a loop over rows may ask for them, in bytes; the best for the case at hand is its ceiling.
const AHEAD: [usize; 3] = [0, 4096, 16384];

/// Lists of random rows of `row_bytes` for a table at `place`.
pub fn rows_of(place: Place, row_bytes: usize, quick: bool) -> Rc<Turns<RowIds<'static>>> {
    let rows = place.bytes(quick) / row_bytes;
    Turns::new(match place {
        Place::Dram => memory::random_rows(if quick { 1 } else { POOL / WINDOW }, WINDOW / row_bytes, rows),
        Place::L2 | Place::L3 => vec![memory::shuffled_rows(rows)],
    })
}

/// The share of one row: how many rows ahead `bytes` are.
fn rows_ahead(bytes: usize, row_bytes: usize) -> usize {
    bytes.div_ceil(row_bytes)
}

/// Reads every row and combines what it read by one operation a vector.
#[inline(always)]
fn read_rows<S: Simd>(s: S, ids: &[u32], table: MatRef<u32>, ahead: usize) -> u32 {
    let mut acc = [s.splat_u32(0); 4];
    for (a, &id) in ids.iter().enumerate() {
        if ahead > 0
            && let Some(&next) = ids.get(a + ahead)
        {
            s.prefetch(table.row(next as usize));
        }
        let mut chunks = table.row(id as usize).chunks_exact(4 * S::LANES);
        for xs in &mut chunks {
            for (i, acc) in acc.iter_mut().enumerate() {
                *acc = s.or(*acc, s.load_u32(&xs[i * S::LANES..]));
            }
        }
        for xs in chunks.remainder().chunks_exact(S::LANES) {
            acc[0] = s.or(acc[0], s.load_u32(xs));
        }
    }
    let all = s.or(s.or(acc[0], acc[1]), s.or(acc[2], acc[3]));
    s.bits(s.eq_u32(all, s.splat_u32(0)))
}

/// Reads every row and writes it back with one bit changed.
#[inline(always)]
fn update_rows<S: Simd>(s: S, ids: &[u32], table: &mut MatMut<f32>, ahead: usize) {
    let flip = s.splat_u32(1);
    for (a, &id) in ids.iter().enumerate() {
        if ahead > 0
            && let Some(&next) = ids.get(a + ahead)
        {
            s.prefetch(table.as_ref().row(next as usize));
        }
        for xs in table.row_mut(id as usize).chunks_exact_mut(S::LANES) {
            s.store(s.from_bits(s.xor(s.to_bits(s.load(xs)), flip)), xs);
        }
    }
}

/// `steps` fused multiply-adds of each of `N` independent vectors, all in registers.
#[inline(always)]
fn multiply_add<S: Simd, const N: usize>(s: S, steps: usize) -> f32 {
    // The values settle at 2 and stay normal numbers.
    let (factor, summand) = (s.splat(black_box(0.5)), s.splat(black_box(1.0)));
    let mut acc = [s.splat(black_box(1.5)); N];
    for _ in 0..steps {
        for acc in &mut acc {
            *acc = s.mul_add(*acc, factor, summand);
        }
    }
    acc.into_iter().map(|acc| s.sum(acc)).sum()
}

/// A call that reads the next list of rows, and how it asks ahead, for each way to do it.
fn readers(
    level: Level,
    table: &'static [u32],
    row_bytes: usize,
    turns: &Rc<Turns<RowIds<'static>>>,
) -> Vec<(String, impl FnMut() + 'static)> {
    let table = MatRef::new(table, size_of_val(table) / row_bytes, row_bytes / 4);
    let reader = |ahead| {
        let (turns, ahead) = (turns.clone(), rows_ahead(ahead, row_bytes));
        let call = move || {
            let ids = turns.next().as_slice();
            black_box(dispatch!(level, s => read_rows(s, ids, table, ahead)));
        };
        (way(ahead), call)
    };
    AHEAD.into_iter().map(reader).collect()
}

fn way(ahead: usize) -> String {
    match ahead {
        0 => "no prefetch".to_owned(),
        _ => format!("prefetch {ahead} rows ahead"),
    }
}

/// The ceiling of a kernel that reads rows of `row_bytes` of the table at `place`.
pub fn against_reading(
    mut contest: Contest,
    level: Level,
    place: Place,
    row_bytes: usize,
    turns: &Rc<Turns<RowIds<'static>>>,
    quick: bool,
) -> Contest {
    let work = Work::bytes(turns.next().len() * row_bytes);
    for (way, call) in readers(level, place.table(quick), row_bytes, turns) {
        contest = contest.ceiling("random-row read", way, work, call);
    }
    contest
}

/// The ceiling of a kernel that multiplies and adds at `level`.
pub fn against_multiplying(contest: Contest, level: Level) -> Contest {
    const STEPS: usize = 2000;
    let contest = peak::<4>(contest, level, STEPS);
    let contest = peak::<8>(contest, level, STEPS);
    peak::<12>(contest, level, STEPS)
}

fn peak<const N: usize>(contest: Contest, level: Level, steps: usize) -> Contest {
    let work = Work::flops(2 * N * steps * level.lanes());
    contest.ceiling("FMA peak", format!("{N} accumulators"), work, move || {
        black_box(dispatch!(level, s => multiply_add::<_, N>(s, steps)));
    })
}

/// Lines of their own for every ceiling.
pub fn run(bench: &mut Bench) {
    let (best, quick) = (Level::detect(), bench.quick);
    for level in Level::available() {
        check(level);
        // The first way is the line, the others are ways to reach the same.
        bench.line(&format!("roofline/fma/{level}"), None, move || {
            let (steps, lanes) = (2000, level.lanes());
            let contest = Contest::of(Work::flops(2 * 12 * steps * lanes), move || {
                black_box(dispatch!(level, s => multiply_add::<_, 12>(s, steps)));
            });
            against_multiplying(contest, level)
        });
    }
    bench.line(&format!("roofline/read_stream/{best}/dram"), None, move || {
        let table: &[u32] = Place::Dram.table(quick);
        let rows = MatRef::new(table, table.len() / 1024, 1024);
        let ids: Vec<u32> = (0..rows.rows() as u32).collect();
        let lists = ids.leak().chunks(8 * WINDOW / 4096).map(|ids| RowIds::new(ids, rows.rows()).expect("in order"));
        let turns = Turns::new(lists.collect());
        line(Work::bytes(turns.next().len() * 4096), readers(best, table, 4096, &turns))
    });
    for place in Place::ALL {
        for row_bytes in [128, 256, 512, 1024, 2048, 4096] {
            bench.line(&format!("roofline/read_rows/{best}/{}/{row_bytes}b", place.name()), None, move || {
                let turns = rows_of(place, row_bytes, quick);
                let work = Work::bytes(turns.next().len() * row_bytes);
                line(work, readers(best, place.table(quick), row_bytes, &turns))
            });
        }
    }
}

/// A line about the last of some ways to do `work`, the others beside it.
fn line(work: Work, mut ways: Vec<(String, impl FnMut() + 'static)>) -> Contest {
    let (_, first) = ways.remove(1);
    ways.into_iter().fold(Contest::of(work, first), |contest, (way, call)| contest.ceiling("the same", way, work, call))
}

/// The loops do what they say: a ceiling that skipped its work would be none.
fn check(level: Level) {
    let table: Vec<u32> = (0..100 * 32).map(|i| i / 32).collect();
    let table = MatRef::new(&table, 100, 32);
    let lanes = (1u32 << level.lanes()) - 1;
    assert_eq!(dispatch!(level, s => read_rows(s, &[0], table, 0)), lanes, "row 0 holds zeros");
    assert_eq!(dispatch!(level, s => read_rows(s, &[0, 99], table, 1)), 0, "row 99 holds none");
    assert_eq!(dispatch!(level, s => multiply_add::<_, 4>(s, 100)), (4 * level.lanes()) as f32 * 2.0);
    let mut row = vec![1.0; 64];
    dispatch!(level, s => update_rows(s, &[0], &mut MatMut::new(&mut row, 1, 64), 1));
    assert!(row.iter().all(|&x| x != 1.0), "every number is written");
}
