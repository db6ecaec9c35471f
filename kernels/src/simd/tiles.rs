//! The matrix unit of a level, if it has one: products of bf16 blocks, accumulated in f32.

use half::bf16;
use std::cell::Cell;
use std::marker::PhantomData;

#[cfg(target_arch = "x86_64")]
use super::{Amx, Avx512, Bf16Pairs};
#[cfg(not(target_arch = "x86_64"))]
use absent::Unit;
#[cfg(target_arch = "x86_64")]
use present::Unit;

/// A matrix unit that multiplies 32 x 32 blocks of bf16: AMX, or AVX-512 registers where the CPU multiplies bf16 pairs
/// faster than f32. The type exists on every architecture. A value exists only where
/// [`Level::tiles`](crate::Level::tiles) found the unit.
///
/// # Layout
///
/// The inner dimension is cut into *steps* of [`Tiles::DEPTH`] = 32, padded with zeros. For one step either operand is
/// [`Tiles::STEP`] = 1024 numbers, two tiles of 16 x 32:
///
/// - left: row `r` of tile `t` holds the 32 inner values of row `16 t + r` of the block:
///   `a[step * 1024 + t * 512 + r * 32 + k] = A[16 t + r, step * 32 + k]`;
/// - right: row `p` of tile `t` holds, for each of the 16 columns `16 t + j`, the pair of inner values `2p, 2p + 1`:
///   `b[step * 1024 + t * 512 + p * 32 + 2 j + i] = B[step * 32 + 2 p + i, 16 t + j]`;
/// - result: 32 x 32 f32, row-major.
///
/// ```
/// use hotrow_kernels::{Level, bf16, simd::Tiles};
///
/// // The unit matrix times a matrix of twos, on top of ones.
/// let (mut a, b) = ([bf16::ZERO; Tiles::STEP], [bf16::from_f32(2.0); Tiles::STEP]);
/// for row in 0..Tiles::SIDE {
///     a[row * Tiles::DEPTH + row] = bf16::ONE;
/// }
/// let mut c = [1.0; Tiles::SIDE * Tiles::SIDE];
/// if let Some(tiles) = Level::detect().tiles() {
///     tiles.configured(|unit| unit.tile_block(&a, &b, &mut c));
///     assert_eq!(c, [3.0; Tiles::SIDE * Tiles::SIDE]);
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles(Unit);

impl Tiles {
    /// Rows and columns of a block.
    pub const SIDE: usize = 32;
    /// Inner values of one step.
    pub const DEPTH: usize = 32;
    /// Numbers of either operand in one step.
    pub const STEP: usize = Self::SIDE * Self::DEPTH;

    /// The tile unit behind a level's token.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn of(amx: Amx) -> Self {
        Self(Unit::Amx(amx))
    }

    /// Vector registers as a matrix unit, if that pays on this CPU.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn of_vectors(avx512: Avx512) -> Option<Self> {
        Bf16Pairs::detect(avx512).map(|pairs| Self(Unit::Pairs(pairs)))
    }

    /// Runs `work` with the unit configured, and releases it afterwards, also when `work` panics.
    ///
    /// Starting and ending cost about 0.15 us, as much as several steps of a block. Enter once a product, not once a
    /// block. Nesting is allowed and free: the outermost scope of a thread configures and releases. What `work` is
    /// given stays on this thread; another thread enters its own scope. `work` must not call code that configures or
    /// releases tiles by other means (another library's AMX kernels). The next block would end the process by SIGILL.
    ///
    /// See [`Tiles`] for an example.
    pub fn configured<R>(self, work: impl FnOnce(&ConfiguredTiles) -> R) -> R {
        work(&ConfiguredTiles::new(self.0))
    }
}

/// Memory that is asked for while a block is computed; nothing by default. Changes no result.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ahead<'a> {
    /// A piece of the next strip of a packed factor.
    pub strip: &'a [f32],
    /// The rows that the block's sums will be written to.
    pub rows: [&'a [f32]; Tiles::SIDE],
}

#[cfg(target_arch = "x86_64")]
impl Ahead<'_> {
    /// Asks for part `i` of `parts` of all lines.
    #[inline(always)]
    pub(super) fn ask(&self, i: usize, parts: usize) {
        let part = |len: usize, unit: usize| {
            let each = len.div_ceil(parts * unit) * unit;
            (i * each).min(len)..((i + 1) * each).min(len)
        };
        super::avx2::prefetch(&self.strip[part(self.strip.len(), LINE)]);
        for row in &self.rows[part(Tiles::SIDE, 1)] {
            super::avx2::prefetch(row);
        }
    }
}

/// f32 of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 16;

thread_local! {
    /// How many scopes of [`Tiles::configured`] this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// The matrix unit inside [`Tiles::configured`]. It cannot leave the scope or the thread, because the configuration is
/// a register of the thread.
///
/// ```compile_fail,E0277
/// fn on_another_thread(tiles: hotrow_kernels::simd::Tiles) {
///     tiles.configured(|unit| {
///         std::thread::scope(|scope| {
///             scope.spawn(|| unit.tile_block(&[], &[], &mut [0.0; 1024]));
///         })
///     });
/// }
/// ```
#[derive(Debug)]
pub struct ConfiguredTiles {
    unit: Unit,
    // Neither Send nor Sync.
    thread: PhantomData<*mut ()>,
}

impl ConfiguredTiles {
    fn new(unit: Unit) -> Self {
        DEPTH.with(|depth| {
            if depth.get() == 0 {
                unit.configure();
            }
            depth.set(depth.get() + 1);
        });
        Self { unit, thread: PhantomData }
    }

    /// `c += A B` for one 32 x 32 block. `a` and `b` are in the layout of [`Tiles`] and have the same number of steps.
    /// `c` is row-major. Any alignment is allowed; multiples of 64 bytes are fastest. No steps leave `c` as it is.
    ///
    /// Sums are f32, rounded to nearest even, in an order of the unit's own. `c` differs from the exact result by at
    /// most `(n + 1) * eps * (|c| + sum |a||b|)` for `n` inner values. Denormal inputs, `c` among them, count as zero,
    /// and denormal results become zero.
    ///
    /// # Panics
    ///
    /// If `a` and `b` differ in length or are no multiple of [`Tiles::STEP`] long.
    ///
    /// ```
    /// use hotrow_kernels::{Level, bf16, simd::Tiles};
    /// if let Some(tiles) = Level::detect().tiles() {
    ///     let ones = [bf16::ONE; 2 * Tiles::STEP];
    ///     let mut c = [0.0; 1024];
    ///     tiles.configured(|unit| unit.tile_block(&ones, &ones, &mut c));
    ///     assert_eq!(c, [64.0; 1024]);
    /// }
    /// ```
    #[track_caller]
    #[inline]
    pub fn tile_block(&self, a: &[bf16], b: &[bf16], c: &mut [f32; 1024]) {
        self.tile_block_ahead(a, b, c, &Ahead::default());
    }

    /// The same, and asks for memory that will be needed next. The requests are spread over the products where the
    /// unit's instructions allow it, because a CPU waits when it is asked for more lines than it can await.
    ///
    /// # Panics
    ///
    /// As [`tile_block`](Self::tile_block).
    ///
    /// ```
    /// use hotrow_kernels::{Level, bf16, simd::{Ahead, Tiles}};
    /// if let Some(tiles) = Level::detect().tiles() {
    ///     let (ones, mut c, next) = ([bf16::ONE; 2 * Tiles::STEP], [0.0; 1024], [0.0; 100]);
    ///     let ahead = Ahead { strip: &next, ..Ahead::default() };
    ///     tiles.configured(|unit| unit.tile_block_ahead(&ones, &ones, &mut c, &ahead));
    ///     assert_eq!(c, [64.0; 1024]);
    /// }
    /// ```
    #[track_caller]
    #[inline]
    pub fn tile_block_ahead(&self, a: &[bf16], b: &[bf16], c: &mut [f32; 1024], ahead: &Ahead) {
        assert_eq!(a.len(), b.len(), "a and b differ in length");
        assert!(a.len().is_multiple_of(Tiles::STEP), "a and b hold {} numbers, not whole steps of 1024", a.len());
        // SAFETY: the lengths were checked, and `self` exists, on this thread only, between `configure` and `release`.
        unsafe { self.unit.block(a, b, c, ahead) }
    }

    /// Steps of one pass over the inner dimension: longer passes write the sums less often, shorter ones find their strips in a
    /// nearer cache.
    #[inline]
    pub(crate) fn pass(&self) -> usize {
        self.unit.pass()
    }
}

impl Drop for ConfiguredTiles {
    fn drop(&mut self) {
        DEPTH.with(|depth| {
            depth.set(depth.get() - 1);
            if depth.get() == 0 {
                self.unit.release();
            }
        });
    }
}

#[cfg(target_arch = "x86_64")]
mod present {
    use super::super::{Amx, Bf16Pairs};
    use super::Ahead;
    use half::bf16;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Unit {
        Amx(Amx),
        Pairs(Bf16Pairs),
    }

    impl Unit {
        pub fn configure(self) {
            if let Unit::Amx(amx) = self {
                amx.configure();
            }
        }

        pub fn release(self) {
            if let Unit::Amx(amx) = self {
                amx.release();
            }
        }

        /// A tile unit reads both strips at the speed of the first-level cache, which should hold one of them: 32 KiB. Vectors take
        /// 16 cycles for a line of the right strip, and the second-level cache serves them (Zen 4: 199 GFLOP/s a core with 16 steps,
        /// 209 with 32, at 128 x 768 x 3072).
        pub fn pass(self) -> usize {
            match self {
                Unit::Amx(_) => 16,
                Unit::Pairs(_) => 32,
            }
        }

        /// # Safety
        ///
        /// `a` and `b` must be of one length, a multiple of a step; tiles must be configured on this thread.
        #[inline]
        pub unsafe fn block(self, a: &[bf16], b: &[bf16], c: &mut [f32; 1024], ahead: &Ahead) {
            // SAFETY: the contract is that of both.
            unsafe {
                match self {
                    Unit::Amx(amx) => {
                        // Its loop is one piece of assembly.
                        ahead.ask(0, 1);
                        amx.block(a, b, c);
                    }
                    Unit::Pairs(pairs) => pairs.block(a, b, c, ahead),
                }
            }
        }
    }
}

/// Architectures without a matrix unit that this crate knows.
#[cfg(not(target_arch = "x86_64"))]
mod absent {
    use half::bf16;

    /// Has no value. That its field is private keeps the callers free of warnings about code that cannot be reached.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Unit(Never);

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Never {}

    impl Unit {
        pub fn configure(self) {
            match self.0 {}
        }

        pub fn release(self) {
            match self.0 {}
        }

        pub fn pass(self) -> usize {
            match self.0 {}
        }

        /// # Safety
        ///
        /// There is no value to call it with.
        pub unsafe fn block(self, _: &[bf16], _: &[bf16], _: &mut [f32; 1024], _: &super::Ahead) {
            match self.0 {}
        }
    }
}

#[cfg(test)]
mod tests;
