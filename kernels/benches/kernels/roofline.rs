//! What the machine allows: loops that read, write or multiply and do nothing else.
//!
//! Each is measured as a line of its own, and again in turn with every kernel that it limits.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use hotrow_kernels::simd::{Simd, Tiles};
use hotrow_kernels::{Level, MatMut, MatRef, RowIds, UniqueRowIds, bf16, dispatch};

use crate::measure::{Bench, Contest, Work};
use crate::memory::{self, Place, Table, Turns};

/// What one call on DRAM reads: long enough that its first rows, which nothing prefetched, do not count.
pub const WINDOW: usize = 2 << 20;
/// What all windows together read before the first comes again: far above the last-level cache.
const POOL: usize = 256 << 20;

/// How a loop over rows goes about them. The hardware follows several rows at once better than one, and starts to follow a
/// row by itself once its head was asked for; which way is best depends on the row, and the best is the ceiling.
#[derive(Clone, Copy)]
struct Way {
    /// Read four rows side by side.
    side_by_side: bool,
    /// Rows from the one at work to the one that is asked for; none if 0.
    ahead: usize,
    /// Elements of it that are asked for.
    head: usize,
}

impl Way {
    /// The ways for rows of `row_bytes`.
    fn all(row_bytes: usize) -> Vec<Way> {
        let way = |side_by_side, ahead, head| Way { side_by_side, ahead, head };
        let asking = |side_by_side| {
            let whole = |bytes: usize| way(side_by_side, bytes.div_ceil(row_bytes), row_bytes / 4);
            [way(side_by_side, 0, 0), whole(4096), whole(16384), way(side_by_side, 8, 64)]
        };
        [asking(false), asking(true)].concat()
    }

    #[inline(always)]
    fn prefetch<S: Simd>(self, s: S, ids: &[u32], at: usize, table: MatRef<u32>) {
        if self.ahead > 0
            && let Some(&next) = ids.get(at + self.ahead)
        {
            let row = table.row(next as usize);
            s.prefetch(&row[..row.len().min(self.head)]);
        }
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(if self.side_by_side { "four rows side by side" } else { "row by row" })?;
        match self.ahead {
            0 => f.write_str(", no prefetch"),
            ahead => write!(f, ", prefetch of {} B {ahead} rows ahead", 4 * self.head),
        }
    }
}

/// Lists of random rows of `row_bytes` for a table at `place`.
pub fn rows_of(place: Place, row_bytes: usize, quick: bool) -> Rc<Turns<RowIds<'static>>> {
    let rows = place.bytes(quick) / row_bytes;
    Turns::new(match place {
        Place::Dram => memory::random_rows(if quick { 1 } else { POOL / WINDOW }, WINDOW / row_bytes, rows),
        Place::L2 | Place::L3 => vec![memory::shuffled_rows(rows)],
    })
}

/// Reads every row and combines what it read by one operation a vector.
#[inline(always)]
fn read_rows<S: Simd>(s: S, ids: &[u32], table: MatRef<u32>, way: Way) -> u32 {
    let (mut acc, mut at) = (s.splat_u32(0), 0);
    while way.side_by_side && at + 4 <= ids.len() {
        for i in at..at + 4 {
            way.prefetch(s, ids, i, table);
        }
        let row = [0, 1, 2, 3].map(|i| table.row(ids[at + i] as usize));
        acc = s.or(acc, read(s, row));
        at += 4;
    }
    while at < ids.len() {
        way.prefetch(s, ids, at, table);
        acc = s.or(acc, read(s, [table.row(ids[at] as usize)]));
        at += 1;
    }
    s.bits(s.eq_u32(acc, s.splat_u32(0)))
}

/// The bits that any vector of the rows has. Four accumulators a row, or one for each of four.
#[inline(always)]
fn read<S: Simd, const R: usize>(s: S, mut rows: [&[u32]; R]) -> S::U32 {
    let len = rows[0].len();
    for row in &mut rows {
        *row = &row[..len];
    }
    let mut acc = [s.splat_u32(0); 4];
    let step = if R == 1 { 4 } else { 2 } * S::LANES;
    let whole = len - len % step;
    for at in (0..whole).step_by(step) {
        for (r, row) in rows.iter().enumerate() {
            for i in 0..step / S::LANES {
                let acc = &mut acc[if R == 1 { i } else { r % 4 }];
                *acc = s.or(*acc, s.load_u32(&row[at + i * S::LANES..]));
            }
        }
    }
    for row in rows {
        for xs in row[whole..].chunks_exact(S::LANES) {
            acc[0] = s.or(acc[0], s.load_u32(xs));
        }
    }
    s.or(s.or(acc[0], acc[1]), s.or(acc[2], acc[3]))
}

/// Reads row `ids[a]` of every table and writes it back with the bits of `flip` turned; reads row `a` of `grads`.
#[inline(always)]
fn update_rows<S: Simd>(s: S, ids: &[u32], tables: &mut [MatMut<u32>], grads: MatRef<u32>, way: Way, flip: u32) -> u32 {
    let (turn, mut read) = (s.splat_u32(flip), s.splat_u32(0));
    for (a, &id) in ids.iter().enumerate() {
        for table in tables.iter() {
            way.prefetch(s, ids, a, table.as_ref());
        }
        for table in tables.iter_mut() {
            let mut chunks = table.row_mut(id as usize).chunks_exact_mut(S::LANES);
            for xs in &mut chunks {
                s.store_u32(s.xor(s.load_u32(xs), turn), xs);
            }
            for x in chunks.into_remainder() {
                *x ^= flip;
            }
        }
        for xs in grads.row(a).chunks_exact(S::LANES) {
            read = s.or(read, s.load_u32(xs));
        }
    }
    s.bits(s.eq_u32(read, s.splat_u32(0)))
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
    let reader = |way: Way| {
        let turns = turns.clone();
        let call = move || {
            let ids = turns.next().as_slice();
            black_box(dispatch!(level, s => read_rows(s, ids, table, way)));
        };
        (way.to_string(), call)
    };
    Way::all(row_bytes).into_iter().map(reader).collect()
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

/// The ceiling of a kernel that reads and writes rows of several tables and reads a gradient (A, dim) for each.
pub fn against_updating(
    mut contest: Contest,
    level: Level,
    tables: Rc<RefCell<Vec<Table>>>,
    turns: Rc<Turns<UniqueRowIds<'static>>>,
    grads: Vec<f32>,
    dim: usize,
) -> Contest {
    let row_bytes: usize = tables.borrow().iter().map(Table::row_bytes).sum();
    let work = Work::bytes(turns.next().len() * 2 * row_bytes + size_of_val(&grads[..]));
    for (way, call) in updaters(level, &tables, &turns, &Rc::new(grads), dim) {
        contest = contest.ceiling("read and write", way, work, call);
    }
    contest
}

/// A call that reads and writes the next list of rows, and how it asks ahead, for each way to do it.
fn updaters(
    level: Level,
    tables: &Rc<RefCell<Vec<Table>>>,
    turns: &Rc<Turns<UniqueRowIds<'static>>>,
    grads: &Rc<Vec<f32>>,
    dim: usize,
) -> Vec<(String, impl FnMut() + 'static)> {
    let row_bytes = tables.borrow().iter().map(Table::row_bytes).sum();
    let updater = |way: Way| {
        let (tables, turns, grads) = (tables.clone(), turns.clone(), grads.clone());
        let call = move || {
            let (mut tables, ids) = (tables.borrow_mut(), turns.next().as_slice());
            let mut tables: Vec<_> = tables.iter_mut().map(Table::matrix).collect();
            let grads = MatRef::new(bytemuck::cast_slice(&grads), ids.len(), dim);
            // No bit is turned, which the compiler cannot know: the state stays what the optimiser made it.
            let flip = black_box(0);
            black_box(dispatch!(level, s => update_rows(s, ids, &mut tables, grads, way, flip)));
        };
        (way.to_string(), call)
    };
    Way::all(row_bytes).into_iter().filter(|way| !way.side_by_side).map(updater).collect()
}

/// The ceiling of a kernel that reads `read` bytes and writes `written`, each once and in order.
pub fn against_streaming(contest: Contest, level: Level, read: usize, written: usize) -> Contest {
    [64, 1024].into_iter().fold(contest, |contest, piece| {
        let (from, mut to) = (vec![0_u32; read / 4], vec![0_u32; written / 4]);
        let way = format!("pieces of {} B", 4 * piece);
        contest.ceiling("stream", way, Work::bytes(read + written), move || {
            black_box(dispatch!(level, s => stream(s, &from, &mut to, piece)));
        })
    })
}

/// Reads `from` and overwrites `to` in turn, `piece` elements of the longer at a time.
#[inline(always)]
fn stream<S: Simd>(s: S, from: &[u32], to: &mut [u32], piece: usize) -> u32 {
    let pieces = from.len().max(to.len()).div_ceil(piece).max(1);
    let of = |len: usize| len.div_ceil(pieces).next_multiple_of(S::LANES);
    let (mut from, mut to) = (from.chunks(of(from.len()).max(1)), to.chunks_mut(of(to.len()).max(1)));
    let (mut acc, value) = (s.splat_u32(0), s.splat_u32(black_box(1)));
    for _ in 0..pieces {
        acc = s.or(acc, read(s, [from.next().unwrap_or_default()]));
        for xs in to.next().unwrap_or_default().chunks_exact_mut(S::LANES) {
            s.store_u32(value, xs);
        }
    }
    s.bits(s.eq_u32(acc, s.splat_u32(0)))
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

/// The level with AMX and its unit, or why there is none.
pub fn level_with_tiles() -> Result<(Level, Tiles), String> {
    let level = Level::from_name("amx").map_err(|absent| absent.to_string())?;
    level.tiles().map(|tiles| (level, tiles)).ok_or("the level has no matrix unit".to_owned())
}

/// The ceiling of a product on tiles: blocks whose operands stay in the first-level cache.
pub fn against_tiles(contest: Contest, tiles: Tiles) -> Contest {
    let (work, call) = tile_blocks(tiles);
    contest.ceiling("matrix unit peak", "blocks in the first-level cache", work, call)
}

fn tile_blocks(tiles: Tiles) -> (Work, impl FnMut() + 'static) {
    // Eight steps of either operand are 32 KiB together: no more than the smallest first-level cache beside AMX.
    const STEPS: usize = 8;
    const BLOCKS: usize = 500;
    let operand = vec![bf16::from_f32(0.5); STEPS * Tiles::STEP];
    let mut c = Box::new([0.0; Tiles::SIDE * Tiles::SIDE]);
    let flops = BLOCKS * STEPS * 2 * Tiles::SIDE * Tiles::SIDE * Tiles::DEPTH;
    let call = move || tiles.configured(|unit| (0..BLOCKS).for_each(|_| unit.tile_block(&operand, &operand, &mut c)));
    (Work::flops(flops), call)
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
    match level_with_tiles() {
        Ok((level, tiles)) => bench.line(&format!("roofline/tiles/{level}"), None, move || {
            let (work, call) = tile_blocks(tiles);
            Contest::of(work, call)
        }),
        Err(reason) => {
            bench.absent("roofline/tiles/amx", None, &reason);
            if let Some(tiles) = best.tiles() {
                bench.line(&format!("roofline/tiles/{best}"), None, move || {
                    let (work, call) = tile_blocks(tiles);
                    Contest::of(work, call)
                });
            }
        }
    }
    bench.line(&format!("roofline/read_stream/{best}/dram"), None, move || {
        let table: &[u32] = Place::Dram.table(quick);
        let rows = MatRef::new(table, table.len() / 1024, 1024);
        let ids: Vec<u32> = (0..rows.rows() as u32).collect();
        let lists = ids.leak().chunks(8 * WINDOW / 4096).map(|ids| RowIds::new(ids, rows.rows()).expect("in order"));
        let turns = Turns::new(lists.collect());
        line(Work::bytes(turns.next().len() * 4096), readers(best, table, 4096, &turns))
    });
    for row_bytes in [512, 1024, 2048, 4096] {
        bench.line(&format!("roofline/read_write_rows/{best}/dram/{row_bytes}b"), None, move || {
            let rows = Place::Dram.bytes(quick) / row_bytes;
            let touched = WINDOW / row_bytes;
            let turns = Turns::new(memory::random_unique_rows(if quick { 1 } else { 64 }, touched, rows));
            let tables = Rc::new(RefCell::new(vec![Table::of_weights(rows, row_bytes)]));
            let work = Work::bytes(2 * touched * row_bytes);
            let calls = updaters(best, &tables, &turns, &Rc::new(vec![]), 0);
            line(work, calls)
        });
    }
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

/// A line about the first of some ways to do `work`, the others beside it.
fn line(work: Work, mut ways: Vec<(String, impl FnMut() + 'static)>) -> Contest {
    let (_, first) = ways.remove(0);
    ways.into_iter().fold(Contest::of(work, first), |contest, (way, call)| contest.ceiling("the same", way, work, call))
}

/// The loops do what they say: a ceiling that skipped its work would be none.
fn check(level: Level) {
    let table: Vec<u32> = (0..100 * 32).map(|i| i / 32).collect();
    let table = MatRef::new(&table, 100, 32);
    let lanes = (1u32 << level.lanes()) - 1;
    for way in Way::all(128) {
        assert_eq!(dispatch!(level, s => read_rows(s, &[0; 5], table, way)), lanes, "row 0 holds zeros");
        for place in 0..5 {
            let mut ids = [0; 5];
            ids[place] = 99;
            assert_eq!(dispatch!(level, s => read_rows(s, &ids, table, way)), 0, "row 99 holds none");
        }
    }
    assert_eq!(dispatch!(level, s => multiply_add::<_, 4>(s, 100)), (4 * level.lanes()) as f32 * 2.0);
    let mut written = vec![0; 4096];
    assert_eq!(dispatch!(level, s => stream(s, &[0; 8192], &mut written, 64)), lanes, "zeros are read");
    assert!(written.iter().all(|&x| x == 1), "everything is written");
    let (mut table, grads) = (vec![6; 2 * 65], vec![0; 64]);
    let grads = MatRef::new(&grads, 1, 64);
    dispatch!(level, s => update_rows(s, &[1], &mut [MatMut::new(&mut table, 2, 65)], grads, Way::all(260)[1], 1));
    assert!(table[..65].iter().all(|&x| x == 6) && table[65..].iter().all(|&x| x == 7), "row 1 is written");
}
