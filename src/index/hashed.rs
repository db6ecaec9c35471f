//! Hash indexes: rows that share buckets with the query, ranked by how many they share.

use std::cell::Cell;

use rayon::prelude::*;

use super::centre::Centre;
use super::collisions::Collisions;
use super::family::{Family, HashName, HashScratch};
use super::inserted::Inserted;
use super::saved::Saved;
use super::scan::{centred, check, each_query, scores};
use super::tables::{CHUNK, Tables};
use super::{Index, Rows, Statistics};
use crate::error::{Error, Result};
use crate::flops::Meter;
use crate::kernels::reduce::top_k;
use crate::kernels::{Level, MatRef, UniqueRowIds};
use crate::ragged::Ragged;
use crate::scratch::lend;
use crate::tensor::{Elements, Tensor};

/// The most rows from one bucket. A fuller bucket says little about its rows, and reading it would cost more than the
/// others together. While all rows are alike, one bucket holds them all.
const MOST_OF_BUCKET: usize = 256;

/// Candidates scored for each row asked for. Of the 16 best of 50 000 rows in clusters, 32 SimHash tables found 20 %
/// without scoring, 29 % with 4 candidates scored for each, and 37 % with 16. The last took twice as long.
const RESCORED: usize = 4;

/// The count of a bucket that a row was inserted into. It exceeds any number of tables, so inserted rows come first.
const INSERTED: u32 = 1 << 20;

/// The options of a hash index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashOptions {
    /// The hash function.
    pub hash: HashName,
    /// Codes of a bucket id (K). With 0, there are as many as give buckets of about 32 rows.
    pub codes: usize,
    /// The number of tables (L).
    pub tables: usize,
    /// Further buckets to look up in each table. Only cross-polytope hashing has any.
    pub probes: usize,
    /// Whether the best candidates by collisions, four times as many as asked for, are scored exactly. The best of
    /// these are then returned; otherwise the best by collisions are.
    pub rescore: bool,
}

impl Default for HashOptions {
    fn default() -> Self {
        Self { hash: HashName::SimHash, codes: 0, tables: 32, probes: 0, rescore: true }
    }
}

/// Hash tables over the rows (w, b), for queries (q, 1): the inner products are the scores. DWTA and MinHash go by the
/// order of coordinates and leave out the bias, because a 1 cannot be compared with the coordinates of a query.
///
/// - **Centring.** Rows are hashed without their mean. This changes all scores of a query equally. Hashes depend on
///   angles only, or on the order of coordinates, so nothing is scaled to length 1.
/// - **Candidates** are the rows in the query's bucket of each table, ranked by the number of tables (see
///   [`HashOptions::rescore`]). A fixed permutation of the row numbers breaks ties. A bucket of more than 256 rows
///   gives 256 consecutive ones, from a position drawn from the step, the table and the bucket.
/// - **Moved rows** are marked. The next rebuild hashes the marked rows and sorts the tables again. It hashes all rows if
///   the mean has moved by more than a tenth of the root mean square distance of rows from it.
/// - **Inserted rows** ([`Index::insert`]) stand beside the tables: at most four for each row and table; more are
///   ignored. While there are any, candidates are not rescored, and inserted rows come first.
///
/// ```
/// use hotrow::index::{Hashed, HashOptions, Index, Rows, WeightsRef};
/// use hotrow::kernels::{Level, MatRef};
/// let weights = MatRef::new(&[3.0, 0.0, 0.0, 3.0, -3.0, -3.0], 3, 2);
/// let rows = Rows { weights: WeightsRef::F32(weights), biases: &[0.0; 3], level: Level::detect() };
/// let mut index = Hashed::new(HashOptions::default(), 1, 3, 2, Level::detect())?;
/// index.rebuild(&rows);
/// let found = index.select(&rows, MatRef::new(&[1.0, 0.0], 1, 2), 1, 0);
/// assert_eq!(found.row(0), &[0]);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Hashed {
    options: HashOptions,
    family: Family,
    dim: usize,
    seed: u64,
    level: Level,
    tables: Tables,
    centre: Centre,
    /// One bit a row: whether its weights have changed since it was hashed.
    touched: Vec<u64>,
    inserted: Inserted,
    /// How often the tables were sorted.
    rebuilds: [u64; 1],
    meter: Meter,
}

#[derive(Debug, Default)]
struct Scratch {
    hash: HashScratch,
    x: Vec<f32>,
    ids: Vec<u32>,
    probes: Vec<u32>,
    /// The bucket, counted through all tables, and the range of its rows.
    buckets: Vec<(u32, (usize, usize))>,
    collisions: Collisions,
    candidates: Vec<u32>,
    scores: Vec<f32>,
    values: Vec<f32>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// The output function of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Hashed {
    /// An index over `rows` rows of length `dim`. The hash functions follow from `seed`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if there are too many codes or tables.
    ///
    /// ```
    /// use hotrow::index::{Hashed, HashOptions};
    /// let options = HashOptions { codes: 33, ..HashOptions::default() };
    /// let error = Hashed::new(options, 1, 1000, 64, hotrow::kernels::Level::detect()).unwrap_err();
    /// assert_eq!(error.to_string(), "sparse.codes: codes is 33, which is not in 1..=32");
    /// ```
    pub fn new(options: HashOptions, seed: u64, rows: usize, dim: usize, level: Level) -> Result<Self> {
        let family = Family::new(options.hash, seed, rows, dim, options.codes, options.tables).map_err(|error| {
            let key = if options.tables == 0 || error.to_string().starts_with("tables") { "tables" } else { "codes" };
            Error::config(format!("sparse.{key}"), error.to_string())
        })?;
        let slots = Tables::slots_for(rows, family.buckets().per_table());
        if rows >= 1 << 32 || options.tables.saturating_mul(slots) >= 1 << 32 {
            let message = format!("{} tables over {rows} rows are more than 2^32 buckets", options.tables);
            return Err(Error::config("sparse.tables", message));
        }
        Ok(Self {
            options,
            family,
            dim,
            seed,
            level,
            tables: Tables::new(rows, options.tables, slots),
            centre: Centre::new(dim + 1),
            touched: vec![0; rows.div_ceil(CHUNK) * (CHUNK / 64)],
            inserted: Inserted::default(),
            rebuilds: [0],
            meter: Meter::default(),
        })
    }

    /// The slot of a bucket id: the id itself, or a scrambled one cut to the table's slots.
    fn slot(&self, id: u32) -> u32 {
        if self.family.buckets().per_table() <= self.tables.slots as u64 {
            return id;
        }
        mix(id as u64) as u32 & (self.tables.slots as u32 - 1)
    }

    /// Writes the query's buckets, with those of its probes, to `scratch.buckets`.
    fn look_up(&self, query: &[f32], scratch: &mut Scratch) {
        let Scratch { hash, x, ids, probes, buckets, .. } = scratch;
        x.clear();
        x.extend(query);
        x.push(1.0);
        ids.resize(self.options.tables, 0);
        self.family.ids(self.level, ids, x, hash);
        self.meter.add(self.family.flops(self.dim));
        probes.resize(self.options.probes, 0);
        buckets.clear();
        for (table, &id) in ids.iter().enumerate() {
            let found = self.family.probes(self.level, probes, x, table, hash);
            for &id in [id].iter().chain(&probes[..found]) {
                let slot = self.slot(id);
                let bucket = table as u32 * self.tables.slots as u32 + slot;
                buckets.push((bucket, self.tables.range(table, slot)));
            }
        }
    }

    fn find(&self, rows: &Rows, step: u64, scratch: &mut Scratch, query: &[f32], out: &mut [u32]) -> usize {
        self.look_up(query, scratch);
        let Scratch { buckets, collisions, candidates, scores: line, values, .. } = scratch;
        let mut most = 0;
        for (bucket, range) in buckets.iter_mut() {
            let len = range.1 - range.0;
            if len > MOST_OF_BUCKET {
                let key = mix(self.seed ^ mix(step)) ^ *bucket as u64;
                let start = range.0 + (mix(key) % (len - MOST_OF_BUCKET + 1) as u64) as usize;
                *range = (start, start + MOST_OF_BUCKET);
            }
            most += range.1 - range.0;
        }
        let inserting = !self.inserted.is_empty();
        if inserting {
            most += buckets.iter().map(|&(bucket, _)| self.inserted.rows(bucket).count()).sum::<usize>();
        }
        collisions.reset(most);
        for &(bucket, range) in buckets.iter() {
            self.tables.items(range).iter().for_each(|&row| collisions.add(row, 1));
            if inserting {
                self.inserted.rows(bucket).for_each(|row| collisions.add(row, INSERTED));
            }
        }
        let rescore = self.options.rescore && !inserting;
        collisions.best(if rescore { out.len().saturating_mul(RESCORED) } else { out.len() }, candidates);
        let found = candidates.len().min(out.len());
        if !rescore {
            out[..found].copy_from_slice(candidates);
            return found;
        }
        line.resize(candidates.len(), 0.0);
        self.meter.add(2 * self.dim * candidates.len());
        scores(rows, query, candidates, line);
        values.resize(found, 0.0);
        top_k(rows.level, line, &mut out[..found], values);
        out[..found].iter_mut().for_each(|place| *place = candidates[*place as usize]);
        found
    }

    /// Hashes the marked rows and clears the marks.
    fn hash_touched(&mut self, rows: &Rows) {
        let Self { family, tables, centre, touched, meter, .. } = &mut *self;
        let (count, slots) = (tables.tables, tables.slots);
        let scrambled = family.buckets().per_table() > slots as u64;
        let chunks = tables.chosen.par_chunks_mut(count * CHUNK).zip(touched.par_chunks_mut(CHUNK / 64)).enumerate();
        chunks.for_each(|(c, (chosen, marks))| {
            lend(&SCRATCH, |Scratch { hash, x, ids, .. }| {
                x.resize(centre.mean().len(), 0.0);
                ids.resize(count, 0);
                for i in 0..CHUNK.min(rows.len() - c * CHUNK) {
                    if marks[i / 64] >> (i % 64) & 1 == 0 {
                        continue;
                    }
                    centred(rows, c * CHUNK + i, centre.mean(), x);
                    family.ids(rows.level, ids, x, hash);
                    meter.add(family.flops(rows.dim()));
                    for (table, &id) in ids.iter().enumerate() {
                        chosen[table * CHUNK + i] =
                            if scrambled { mix(id as u64) as u32 & (slots as u32 - 1) } else { id };
                    }
                }
            });
            marks.fill(0);
        });
    }
}

impl Index for Hashed {
    fn name(&self) -> &'static str {
        self.family.name()
    }

    fn select(&self, rows: &Rows, queries: MatRef<f32>, k: usize, step: u64) -> Ragged<u32> {
        check(rows, self.tables.rows, self.dim);
        assert_eq!(queries.cols(), self.dim, "queries and rows differ in length");
        let find = |scratch: &mut _, _, query: &[f32], out: &mut [u32]| self.find(rows, step, scratch, query, out);
        each_query(queries, k.min(rows.len()), &SCRATCH, find)
    }

    fn mark_moved(&mut self, rows: &Rows, touched: UniqueRowIds) {
        check(rows, self.tables.rows, self.dim);
        for &row in touched.as_slice() {
            self.touched[row as usize / 64] |= 1 << (row % 64);
        }
    }

    fn insert(&mut self, queries: MatRef<f32>, ids: &Ragged<u32>) {
        assert_eq!(queries.cols(), self.dim, "queries and rows differ in length");
        assert_eq!(queries.rows(), ids.len(), "queries and lists of ids differ in number");
        let mut fresh = Vec::new();
        lend(&SCRATCH, |scratch| {
            for (q, ids) in ids.iter().enumerate().filter(|(_, ids)| !ids.is_empty()) {
                self.look_up(queries.row(q), scratch);
                for &(bucket, _) in scratch.buckets.iter().step_by(1 + self.options.probes) {
                    for &id in ids {
                        assert!((id as usize) < self.tables.rows, "row {id} is not below {}", self.tables.rows);
                        let entry = (bucket as u64) << 32 | id as u64;
                        if !self.inserted.contains(entry) {
                            fresh.push(entry);
                        }
                    }
                }
            }
        });
        let most = (4 * self.tables.rows).saturating_mul(self.options.tables);
        fresh.truncate(most.saturating_sub(self.inserted.len()));
        self.inserted.add(fresh);
    }

    fn rebuild(&mut self, rows: &Rows) {
        check(rows, self.tables.rows, self.dim);
        if self.centre.follow(rows, &Vec::from_iter(0..rows.len() as u32)) {
            self.touched.fill(u64::MAX);
        }
        self.hash_touched(rows);
        self.inserted.clear();
        self.tables.build();
        self.rebuilds[0] += 1;
    }

    fn flops(&self) -> u64 {
        self.meter.total()
    }

    fn statistics(&self) -> Statistics {
        let tables = self.tables.statistics();
        let bytes = tables.bytes + size_of::<u64>() * (self.touched.len() + self.inserted.len());
        Statistics { bytes, rebuilds: self.rebuilds[0], ..tables }
    }

    fn state(&self) -> Vec<Tensor<'_>> {
        let chunks = self.tables.rows.div_ceil(CHUNK);
        let tensor =
            |name: &str, shape: Vec<usize>, elements| Tensor { name: format!("index.{name}"), shape, elements };
        let mut state = vec![
            tensor("buckets", vec![chunks, self.tables.tables, CHUNK], Elements::U32(&self.tables.chosen)),
            tensor("touched", vec![self.touched.len()], Elements::U64(&self.touched)),
            tensor("centre", vec![self.dim + 1], Elements::F32(self.centre.mean())),
            tensor("rebuilds", vec![1], Elements::U64(&self.rebuilds)),
        ];
        state.extend(self.inserted.tensors());
        state
    }

    fn restore(&mut self, state: &[Tensor]) -> Result<(), String> {
        let state = Saved(state);
        let chosen = state.u32s("index.buckets", self.tables.chosen.len())?;
        if let Some(slot) = chosen.iter().find(|&&slot| slot as usize >= self.tables.slots) {
            return Err(format!("index.buckets: bucket {slot} is not below {}", self.tables.slots));
        }
        let touched = state.u64s("index.touched", self.touched.len())?;
        let centre = state.f32s("index.centre", self.dim + 1)?;
        let rebuilds = state.u64s("index.rebuilds", 1)?;
        let buckets = (self.tables.tables * self.tables.slots) as u64;
        let inserted = Inserted::restored(state, buckets, self.tables.rows)?;

        self.tables.chosen.copy_from_slice(chosen);
        self.touched.copy_from_slice(touched);
        self.centre = Centre::at(centre.to_vec(), rebuilds[0] > 0);
        self.rebuilds = [rebuilds[0]];
        self.inserted = inserted;
        if self.rebuilds[0] > 0 {
            self.tables.build();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
