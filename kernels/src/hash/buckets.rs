//! How codes become bucket ids, and the interface that all bucket hashes share.

use crate::simd::{Simd, Weight};
use crate::{Level, MatMut, MatRef, RowIds, SparseRow, dispatch};

/// Parameters of a hash were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// A number lies outside of what it may be.
    #[error("{what} is {value}, which is not in {least}..={most}")]
    OutOfRange {
        /// The parameter.
        what: &'static str,
        /// Its value.
        value: usize,
        /// The smallest allowed value.
        least: usize,
        /// The largest allowed value.
        most: usize,
    },
    /// The codes of a table do not fit into a bucket id.
    #[error("{codes} codes of {bits} bits need more than the 32 bits of a bucket id")]
    TooManyBits {
        /// Codes per table.
        codes: usize,
        /// Bits of one code.
        bits: u32,
    },
    /// A number must be a power of two.
    #[error("{what} is {value}, which is not a power of two")]
    NotPowerOfTwo {
        /// The parameter.
        what: &'static str,
        /// Its value.
        value: usize,
    },
}

/// Checks `least <= value <= most`.
pub(super) fn in_range(what: &'static str, value: usize, least: usize, most: usize) -> Result<(), HashError> {
    match value {
        _ if (least..=most).contains(&value) => Ok(()),
        _ => Err(HashError::OutOfRange { what, value, least, most }),
    }
}

/// How a hash fills its buckets: `L` tables, `K` codes in each, a number of bits for each code.
///
/// Code `k` of a table stands in bits `k * bits .. (k + 1) * bits` of the bucket id. Nothing else does: two ids are
/// equal exactly if all `K` codes are.
///
/// ```
/// use hotrow_kernels::hash::{BucketHash, Dwta};
/// let buckets = Dwta::new(1, 100, 6, 50, 8)?.buckets();
/// assert_eq!((buckets.codes(), buckets.tables(), buckets.bits()), (6, 50, 3));
/// assert_eq!(buckets.per_table(), 1 << 18);
/// # Ok::<(), hotrow_kernels::hash::HashError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    codes: usize,
    tables: usize,
    bits: u32,
}

/// Most codes of all tables together: keeps every product of sizes far from overflow.
const MOST_CODES: usize = 1 << 24;

impl Buckets {
    /// Checks `codes` (K) and `tables` (L) for codes of `bits` bits.
    pub(super) fn new(codes: usize, tables: usize, bits: u32) -> Result<Self, HashError> {
        in_range("codes", codes, 1, 32)?;
        in_range("tables", tables, 1, MOST_CODES / codes)?;
        match codes as u32 * bits {
            0..=32 => Ok(Self { codes, tables, bits }),
            _ => Err(HashError::TooManyBits { codes, bits }),
        }
    }

    /// Codes in a bucket id (K).
    ///
    /// ```
    /// use hotrow_kernels::hash::{BucketHash, SimHash};
    /// assert_eq!(SimHash::new(1, 100, 9, 50)?.buckets().codes(), 9);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    pub fn codes(self) -> usize {
        self.codes
    }

    /// Tables, each with one bucket id for a vector (L).
    ///
    /// ```
    /// use hotrow_kernels::hash::{BucketHash, SimHash};
    /// assert_eq!(SimHash::new(1, 100, 9, 50)?.buckets().tables(), 50);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    pub fn tables(self) -> usize {
        self.tables
    }

    /// Bits of one code.
    ///
    /// ```
    /// use hotrow_kernels::hash::{BucketHash, SimHash};
    /// assert_eq!(SimHash::new(1, 100, 9, 50)?.buckets().bits(), 1);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    pub fn bits(self) -> u32 {
        self.bits
    }

    /// Buckets of one table: every id is below it. `2^(K * bits)`, at most `2^32`.
    ///
    /// ```
    /// use hotrow_kernels::hash::{BucketHash, SimHash};
    /// assert_eq!(SimHash::new(1, 100, 9, 50)?.buckets().per_table(), 512);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    pub fn per_table(self) -> u64 {
        1 << (self.codes as u32 * self.bits)
    }

    /// Codes of all tables, `K * L`.
    pub(super) fn all_codes(self) -> usize {
        self.codes * self.tables
    }

    /// Writes the bucket ids (L) from the codes (at least K * L) in the order of tables.
    #[inline(always)]
    pub(super) fn pack(self, out: &mut [u32], codes: &[u32]) {
        for (out, codes) in out.iter_mut().zip(codes.chunks_exact(self.codes)) {
            *out = codes.iter().rev().fold(0, |id, &code| shl(id, self.bits) | code);
        }
    }
}

/// `id << bits`, 0 from 32 bits on.
#[inline(always)]
fn shl(id: u32, bits: u32) -> u32 {
    ((id as u64) << bits) as u32
}

/// What a family implements; the checks and the dispatch stand once, in [`BucketHash`].
pub trait Family {
    fn layout(&self) -> Buckets;
    fn vector_len(&self) -> usize;
    fn scratch_words(&self) -> usize;
    /// `out` (L), `x` (vector_len), `scratch` (scratch_words, any content).
    fn hash_dense<S: Simd, W: Weight>(&self, s: S, out: &mut [u32], x: &[W], scratch: &mut [f32]);
    /// As `hash_dense`.
    fn hash_sparse<S: Simd>(&self, s: S, out: &mut [u32], x: SparseRow, scratch: &mut [f32]);
}

/// The functions of [`SimHash`](super::SimHash), [`CrossPolytope`](super::CrossPolytope), [`Dwta`](super::Dwta) and
/// [`MinHash`](super::MinHash). A vector gets one bucket id a table.
///
/// A dense vector and its sparse form have the same ids on every level. Hashing allocates nothing. `scratch` is working
/// space of at least [`BucketHash::scratch_len`] words; its content has no meaning before or after. The trait is
/// sealed.
///
/// ```
/// use hotrow_kernels::{Level, SparseRow, hash::{BucketHash, SimHash}};
/// let hash = SimHash::new(7, 6, 4, 3)?;
/// let mut scratch = vec![0.0; hash.scratch_len()];
/// let (mut dense, mut sparse) = ([0; 3], [0; 3]);
/// hash.dense(Level::detect(), &mut dense, &[0.0_f32, 0.5, 0.0, 0.0, -2.0, 0.0], &mut scratch);
/// let x = SparseRow::new(&[1, 4], &[0.5, -2.0], 6).unwrap();
/// hash.sparse(Level::PORTABLE, &mut sparse, x, &mut scratch);
/// assert_eq!(dense, sparse);
/// assert!(dense.iter().all(|&id| (id as u64) < hash.buckets().per_table()));
/// # Ok::<(), hotrow_kernels::hash::HashError>(())
/// ```
pub trait BucketHash: Family {
    /// Tables, codes and bits.
    ///
    /// ```
    /// use hotrow_kernels::hash::{BucketHash, SimHash};
    /// assert_eq!(SimHash::new(1, 100, 9, 50)?.buckets().tables(), 50);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    fn buckets(&self) -> Buckets {
        self.layout()
    }

    /// The length of the vectors to hash.
    ///
    /// ```
    /// use hotrow_kernels::hash::{BucketHash, SimHash};
    /// assert_eq!(SimHash::new(1, 100, 9, 50)?.dim(), 100);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    fn dim(&self) -> usize {
        self.vector_len()
    }

    /// Words of scratch that hashing needs, among them 15 to start at a whole cache line.
    ///
    /// ```
    /// use hotrow_kernels::hash::{BucketHash, SimHash};
    /// assert_eq!(SimHash::new(1, 100, 9, 50)?.scratch_len(), 128 + 15);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    fn scratch_len(&self) -> usize {
        self.scratch_words() + SKIPPED
    }

    /// The bucket ids `out` (L) of `x` (dim).
    ///
    /// # Panics
    ///
    /// If `out` has not one element for each table, `x` is not `dim` long, or `scratch` is too short.
    ///
    /// ```
    /// use hotrow_kernels::{Level, hash::{BucketHash, Dwta}};
    /// let hash = Dwta::new(1, 5, 2, 4, 4)?;
    /// let (mut once, mut scaled) = ([0; 4], [0; 4]);
    /// let mut scratch = vec![0.0; hash.scratch_len()];
    /// hash.dense(Level::detect(), &mut once, &[1.0_f32, 3.0, 2.0, 5.0, 4.0], &mut scratch);
    /// hash.dense(Level::detect(), &mut scaled, &[2.0_f32, 6.0, 4.0, 10.0, 8.0], &mut scratch);
    /// assert_eq!(once, scaled); // only the order of the coordinates counts
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    #[track_caller]
    fn dense<W: Weight>(&self, level: Level, out: &mut [u32], x: &[W], scratch: &mut [f32])
    where
        Self: Sized,
    {
        let scratch = check(self, out.len(), x.len(), scratch);
        dispatch!(level, s => self.hash_dense(s, out, x, scratch))
    }

    /// The bucket ids `out` (L) of the sparse `x` (dim): the same as of its dense form.
    ///
    /// # Panics
    ///
    /// As [`BucketHash::dense`].
    ///
    /// ```
    /// use hotrow_kernels::{Level, SparseRow, hash::{BucketHash, MinHash}};
    /// let hash = MinHash::new(1, 1_000_000, 4, 2, 8)?;
    /// let (mut one, mut other) = ([0; 2], [0; 2]);
    /// let mut scratch = vec![0.0; hash.scratch_len()];
    /// let indices = [3, 700_000, 999_999];
    /// let x = SparseRow::new(&indices, &[1.0, 2.0, 3.0], 1_000_000).unwrap();
    /// let y = SparseRow::new(&indices, &[5.0, 5.0, 5.0], 1_000_000).unwrap();
    /// hash.sparse(Level::detect(), &mut one, x, &mut scratch);
    /// hash.sparse(Level::detect(), &mut other, y, &mut scratch);
    /// assert_eq!(one, other); // only the set of indices counts
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    #[track_caller]
    fn sparse(&self, level: Level, out: &mut [u32], x: SparseRow, scratch: &mut [f32])
    where
        Self: Sized,
    {
        let scratch = check(self, out.len(), x.dim(), scratch);
        dispatch!(level, s => self.hash_sparse(s, out, x, scratch))
    }

    /// `out[r, :]` (L) = the bucket ids of `w[rows[r], :]` (dim), for each of `rows`.
    ///
    /// # Panics
    ///
    /// If `out` has not one row for each of `rows` and one column for each table, the rows of `w` are not `dim` long,
    /// `rows` was checked for more rows than `w` has, or `scratch` is too short.
    ///
    /// ```
    /// use hotrow_kernels::{Level, MatMut, MatRef, RowIds, hash::{BucketHash, SimHash}};
    /// let w = MatRef::new(&[1.0_f32, -2.0, 0.5, 0.0, 3.0, 1.0], 3, 2);
    /// let hash = SimHash::new(1, 2, 8, 2)?;
    /// let (mut ids, mut scratch) = ([0; 4], vec![0.0; hash.scratch_len()]);
    /// let rows = RowIds::new(&[2, 0], w.rows()).unwrap();
    /// hash.rows(Level::detect(), MatMut::new(&mut ids, 2, 2), w, rows, &mut scratch);
    /// let mut alone = [0; 2];
    /// hash.dense(Level::detect(), &mut alone, w.row(2), &mut scratch);
    /// assert_eq!(ids[..2], alone);
    /// # Ok::<(), hotrow_kernels::hash::HashError>(())
    /// ```
    #[track_caller]
    fn rows<W: Weight>(&self, level: Level, mut out: MatMut<u32>, w: MatRef<W>, rows: RowIds, scratch: &mut [f32])
    where
        Self: Sized,
    {
        assert_eq!(out.rows(), rows.len(), "out and rows differ in length");
        assert!(rows.limit() <= w.rows(), "rows below {} for a matrix of {} rows", rows.limit(), w.rows());
        let scratch = check(self, out.cols(), w.cols(), scratch);
        dispatch!(level, s => {
            let ids = rows.as_slice();
            for (r, &id) in ids.iter().enumerate() {
                if let Some(&next) = ids.get(r + 1) {
                    s.prefetch(w.row(next as usize));
                }
                self.hash_dense(s, out.row_mut(r), w.row(id as usize), scratch);
            }
        })
    }
}

impl<H: Family> BucketHash for H {}

/// Bytes of a cache line, the widest vector of any level.
pub(super) const CACHE_LINE: usize = 64;

/// Words of scratch that may be skipped to reach a whole cache line.
pub(super) const SKIPPED: usize = CACHE_LINE / size_of::<f32>() - 1;

/// The part of `scratch` that starts at a whole cache line: stores that cross two are slow. Changes no result.
#[inline(always)]
pub(super) fn from_cache_line(scratch: &mut [f32]) -> &mut [f32] {
    let skipped = scratch.as_ptr().align_offset(CACHE_LINE).min(SKIPPED);
    &mut scratch[skipped..]
}

/// Checks the lengths and cuts `scratch` to what the family asked for.
#[track_caller]
fn check<'a>(hash: &impl Family, out: usize, dim: usize, scratch: &'a mut [f32]) -> &'a mut [f32] {
    assert_eq!(out, hash.layout().tables, "out and the tables differ in number");
    assert_eq!(dim, hash.vector_len(), "the vector and dim differ in length");
    let words = hash.scratch_words();
    let needed = words + SKIPPED;
    assert!(scratch.len() >= needed, "scratch of {} words where {needed} are needed", scratch.len());
    &mut from_cache_line(scratch)[..words]
}
