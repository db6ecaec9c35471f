//! Tables on huge pages, and lists of rows that no cache has seen.

use std::sync::OnceLock;

use bytemuck::Pod;
use hotrow_kernels::{MatMut, RowIds, UniqueRowIds};
use memmap2::MmapMut;

/// Where a table lies, by its size.
#[derive(Clone, Copy, PartialEq)]
pub enum Place {
    /// Half a MiB: half of the smallest second-level cache of current server cores.
    L2,
    /// Eight MiB: above every second-level cache, inside the third.
    L3,
    /// Two GiB on huge pages.
    Dram,
}

impl Place {
    pub const ALL: [Place; 3] = [Place::L2, Place::L3, Place::Dram];

    pub fn name(self) -> &'static str {
        match self {
            Place::L2 => "l2",
            Place::L3 => "l3",
            Place::Dram => "dram",
        }
    }

    pub fn bytes(self, quick: bool) -> usize {
        match self {
            Place::L2 => 512 << 10,
            Place::L3 => 8 << 20,
            Place::Dram if quick => 16 << 20,
            Place::Dram => 2 << 30,
        }
    }

    /// The read-only table of this place, filled when first asked for and shared by all lines.
    pub fn table<T: Pod>(self, quick: bool) -> &'static [T] {
        static TABLES: [OnceLock<&[u8]>; 3] = [const { OnceLock::new() }; 3];
        // Never unmapped: the lines that share it run to the end of the process.
        let table = TABLES[self as usize].get_or_init(|| Box::leak(Box::new(weights(self.bytes(quick)))));
        bytemuck::cast_slice(table)
    }
}

/// Memory on huge pages where the system grants them, zeroed.
fn huge(bytes: usize) -> MmapMut {
    let mut map = MmapMut::map_anon(bytes).expect("the machine has the memory");
    #[cfg(target_os = "linux")]
    if let Err(error) = map.advise(memmap2::Advice::HugePage) {
        eprintln!("huge pages refused ({error}): random rows will be slower");
    }
    // The first write of each page is what makes the system find it: it must not be part of a measurement.
    map.fill(0);
    map
}

/// Bytes that are numbers of either sign and of magnitude [0.5, 1) whether they are read as bf16 or, two by two, as f32.
fn weights(bytes: usize) -> MmapMut {
    let mut table = huge(bytes);
    let mut random = Random(7);
    let pattern: Vec<u16> = (0..1 << 19).map(|_| 0x3f00 | (random.next() as u16 & 0x807f)).collect();
    for chunk in table.chunks_mut(1 << 20) {
        chunk.copy_from_slice(&bytemuck::cast_slice(&pattern)[..chunk.len()]);
    }
    table
}

/// A matrix that a line owns and writes.
pub struct Table {
    map: MmapMut,
    row_bytes: usize,
}

impl Table {
    pub fn of_zeros(rows: usize, row_bytes: usize) -> Table {
        Table { map: huge(rows * row_bytes), row_bytes }
    }

    /// As [`Place::table`] is filled.
    pub fn of_weights(rows: usize, row_bytes: usize) -> Table {
        Table { map: weights(rows * row_bytes), row_bytes }
    }

    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    pub fn numbers<T: Pod>(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.map)
    }

    pub fn matrix<T: Pod>(&mut self) -> MatMut<'_, T> {
        let (rows, cols) = (self.map.len() / self.row_bytes, self.row_bytes / size_of::<T>());
        MatMut::new(self.numbers(), rows, cols)
    }
}

/// `count` lists of `len` rows, each row random below `rows`.
pub fn random_rows(count: usize, len: usize, rows: usize) -> Vec<RowIds<'static>> {
    let mut random = Random(11);
    let ids: Vec<u32> = (0..count * len).map(|_| random.below(rows)).collect();
    ids.leak().chunks(len).map(|ids| RowIds::new(ids, rows).expect("all are below")).collect()
}

/// `count` lists of `len` different rows in rising order, random below `rows`.
pub fn random_unique_rows(count: usize, len: usize, rows: usize) -> Vec<UniqueRowIds<'static>> {
    let mut random = Random(13);
    let list = || {
        let mut ids = std::collections::BTreeSet::new();
        while ids.len() < len {
            ids.insert(random.below(rows));
        }
        UniqueRowIds::new(Vec::leak(ids.into_iter().collect()), rows).expect("a set is sorted")
    };
    std::iter::repeat_with(list).take(count).collect()
}

/// Every row once, in random order: what stays in a cache is read as a whole.
pub fn shuffled_rows(rows: usize) -> RowIds<'static> {
    let (mut random, mut ids) = (Random(17), (0..rows as u32).collect::<Vec<_>>());
    for i in (1..rows).rev() {
        ids.swap(i, random.below(i + 1) as usize);
    }
    RowIds::new(ids.leak(), rows).expect("all are below")
}

/// `len` numbers in [-1, 1).
pub fn numbers(len: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..len).map(|_| (random.next() >> 8) as f32 / (1 << 23) as f32 - 1.0).collect()
}

/// A linear congruential generator: any numbers do, but the same in every run.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 32) as u32
    }

    fn below(&mut self, n: usize) -> u32 {
        ((self.next() as u64 * n as u64) >> 32) as u32
    }
}

/// Takes the lists in turn, forever: each call of a line gets rows that no call of late has touched.
pub struct Turns<T>(Vec<T>, std::cell::Cell<usize>);

impl<T: Copy> Turns<T> {
    pub fn new(lists: Vec<T>) -> std::rc::Rc<Turns<T>> {
        std::rc::Rc::new(Turns(lists, Default::default()))
    }

    pub fn next(&self) -> T {
        let turn = self.1.get();
        self.1.set(turn + 1);
        self.0[turn % self.0.len()]
    }
}
