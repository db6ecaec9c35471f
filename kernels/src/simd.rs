//! The SIMD token trait that every kernel is written over.
//!
//! A token ([`Portable`], `Avx2`, `Avx512`, `Neon`) is a zero-sized value that only detection can make. *Holding it is
//! the proof that the CPU has the instructions*. A kernel is one generic function over `S: Simd`, marked
//! `#[inline(always)]`. [`dispatch!`](crate::dispatch) instantiates it for each level at the edge of the crate, outside
//! loops.
//!
//! A vector has [`Simd::LANES`] lanes of 32 bits. Loads and stores take slices, check their length, and need no
//! alignment. The `_partial` forms take up to `LANES` elements and read zeros for the rest. So a tail is one more step
//! of the same loop.
//!
//! There is one trap. Do not hand a closure with these operations to a library function (`array::map`,
//! `array::from_fn`, `for_each`): it is compiled without the level's instructions and costs a call for each operation.
//! Kernels use plain loops. They mark closures for their own inlined functions `#[inline(always)]`.

mod detect;
mod portable;
mod tiles;
pub use detect::instruction_sets;
pub use portable::Portable;
pub use tiles::{Ahead, ConfiguredTiles, Tiles};

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod pairs;
#[cfg(target_arch = "x86_64")]
pub use {amx::Amx, avx2::Avx2, avx512::Avx512, pairs::Bf16Pairs};

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;

use half::bf16;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::bf16 {}
}
pub(crate) use sealed::Sealed;

/// Writes one `#[inline(always)]` method a line for a level's [`Simd`] implementation.
macro_rules! ops {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        #[allow(unused_unsafe)]
        fn $name(self, $($arg: $ty),*) $(-> $ret)? {
            // SAFETY: `self` exists, so the CPU has every instruction of this level; a slice is cut to the number of
            // elements that are read or written before its pointer is taken.
            unsafe { $body }
        }
    )*};
}
pub(crate) use ops;

/// One instruction set: vectors of `LANES` 32-bit lanes and about forty operations on them.
///
/// Sealed: the tokens of this crate are the only implementors, because a token is a safety argument.
///
/// ```
/// use hotrow_kernels::{Level, dispatch, simd::Simd};
///
/// #[inline(always)]
/// fn sum_of_squares<S: Simd>(s: S, xs: &[f32]) -> f32 {
///     let mut acc = s.splat(0.0);
///     for xs in xs.chunks(S::LANES) {
///         let x = s.load_partial(xs);
///         acc = s.mul_add(x, x, acc);
///     }
///     s.sum(acc)
/// }
///
/// for level in Level::available() {
///     assert_eq!(dispatch!(level, s => sum_of_squares(s, &[1.0, 2.0, 3.0])), 14.0);
/// }
/// ```
// `self` is the token: `from_bits` is an operation of the level, not a constructor of it.
#[allow(clippy::wrong_self_convention)]
pub trait Simd: Copy + Send + Sync + std::fmt::Debug + Sealed + 'static {
    /// Lanes of 32 bits in a vector.
    const LANES: usize;
    /// Architectural vector registers: what a register-blocked kernel may keep live.
    const REGISTERS: usize;
    /// A vector of `f32`.
    type F32: Copy;
    /// A vector of `u32`.
    type U32: Copy;
    /// One truth value a lane.
    type Mask: Copy;

    /// Runs `f` compiled with this level's instructions enabled. `f` must be inlined into this call
    /// (`#[inline(always)]` on the closure and on all it calls), otherwise it is right and slow.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::F32;
    /// The first `LANES` elements. Panics if there are fewer.
    fn load(self, xs: &[f32]) -> Self::F32;
    /// The first `min(LANES, len)` elements, then zeros.
    fn load_partial(self, xs: &[f32]) -> Self::F32;
    /// Writes `LANES` elements. Panics if `out` is shorter.
    fn store(self, v: Self::F32, out: &mut [f32]);
    /// Writes the first `min(LANES, len)` lanes.
    fn store_partial(self, v: Self::F32, out: &mut [f32]);
    /// `a + b`
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, fused where the level has it (all but x86 portable).
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `a > b ? a : b` in each lane, so `b` where either is NaN, on every level.
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a < b ? a : b` in each lane, so `b` where either is NaN, on every level.
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// Square root, correctly rounded.
    fn sqrt(self, a: Self::F32) -> Self::F32;
    /// The sum of all lanes; the order of additions differs between levels.
    fn sum(self, a: Self::F32) -> f32;
    /// `a > b` in each lane; false where either is NaN.
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `mask ? a : b`
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `out[i] = v[i ^ lanes]`, `lanes < LANES`: the partner of a Walsh-Hadamard butterfly.
    fn xor_lanes(self, v: Self::F32, lanes: usize) -> Self::F32;
    /// The even and the odd elements of the `2 * LANES` numbers `a` then `b`.
    fn deinterleave(self, a: Self::F32, b: Self::F32) -> (Self::F32, Self::F32);
    /// Inverse of [`Simd::deinterleave`].
    fn interleave(self, even: Self::F32, odd: Self::F32) -> (Self::F32, Self::F32);
    /// `table[index]` in each lane; 0 where `index` is not below `table.len()` (or not below 2^31). Never reads outside.
    fn gather(self, table: &[f32], index: Self::U32) -> Self::F32;

    /// `table[index % 8]` in each lane: one instruction on x86, where [`Simd::gather`] takes a load for each lane.
    #[inline(always)]
    fn lookup(self, table: &[f32; 8], index: Self::U32) -> Self::F32 {
        let (mut lanes, mut found) = ([0; MAX_LANES], [0.0; MAX_LANES]);
        self.store_u32(index, &mut lanes);
        for i in 0..Self::LANES {
            found[i] = table[lanes[i] as usize % 8];
        }
        self.load(&found)
    }

    /// The bits of each lane.
    fn to_bits(self, v: Self::F32) -> Self::U32;
    /// The float with these bits in each lane.
    fn from_bits(self, v: Self::U32) -> Self::F32;
    /// Each lane, read as `i32`, as the nearest float.
    fn from_i32(self, v: Self::U32) -> Self::F32;
    /// The nearest integer (ties to even) as `i32` bits. Unspecified outside of `i32` and for NaN.
    fn round_to_i32(self, v: Self::F32) -> Self::U32;

    /// All lanes `x`.
    fn splat_u32(self, x: u32) -> Self::U32;
    /// `0, 1, 2, ..`
    fn iota(self) -> Self::U32;
    /// The first `LANES` elements. Panics if there are fewer.
    fn load_u32(self, xs: &[u32]) -> Self::U32;
    /// Writes `LANES` elements. Panics if `out` is shorter.
    fn store_u32(self, v: Self::U32, out: &mut [u32]);
    /// The first `LANES` bytes, zero-extended. Panics if there are fewer.
    fn load_u8(self, xs: &[u8]) -> Self::U32;
    /// The low 8 bits of each lane. Panics if `out` is shorter than `LANES`.
    fn store_u8(self, v: Self::U32, out: &mut [u8]);
    /// `a & b`
    fn and(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a | b`
    fn or(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a ^ b`
    fn xor(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a + b`, wrapping.
    fn add_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// The low 32 bits of `a * b`.
    fn mul_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `v << n`, `n < 32`
    fn shl(self, v: Self::U32, n: u32) -> Self::U32;
    /// `v >> n`, `n < 32`, zeros shifted in.
    fn shr(self, v: Self::U32, n: u32) -> Self::U32;
    /// The smaller of two unsigned lanes.
    fn min_u32(self, a: Self::U32, b: Self::U32) -> Self::U32;
    /// `a == b` in each lane.
    fn eq_u32(self, a: Self::U32, b: Self::U32) -> Self::Mask;
    /// `mask ? a : b`
    fn select_u32(self, mask: Self::Mask, a: Self::U32, b: Self::U32) -> Self::U32;
    /// Lane `i` in bit `i`; the bits from `LANES` up are zero.
    fn bits(self, mask: Self::Mask) -> u32;

    /// The first `LANES` numbers, widened. Panics if there are fewer.
    fn load_bf16(self, xs: &[bf16]) -> Self::F32;
    /// The first `min(LANES, len)` numbers, widened, then zeros.
    fn load_bf16_partial(self, xs: &[bf16]) -> Self::F32;
    /// The even and the odd ones of the first `2 * LANES` numbers: two operations cheaper than two [`Simd::load_bf16`].
    fn load_bf16_pair(self, xs: &[bf16]) -> (Self::F32, Self::F32);
    /// The low 16 bits of each lane as bf16. Panics if `out` is shorter than `LANES`.
    fn store_bf16_bits(self, v: Self::U32, out: &mut [bf16]);
    /// The low 16 bits of the first `min(LANES, len)` lanes as bf16.
    fn store_bf16_bits_partial(self, v: Self::U32, out: &mut [bf16]);

    /// Asks for every cache line of `row` to be fetched into the first-level cache. Changes no result.
    fn prefetch<T>(self, row: &[T]);
}

/// The widest vector of any level, for scratch arrays.
pub(crate) const MAX_LANES: usize = 16;

/// How the numbers of a matrix are stored; arithmetic is always `f32`. Sealed, with two implementors: `f32` and
/// [`bf16`].
pub trait Weight: Copy + Default + Send + Sync + std::fmt::Debug + bytemuck::Pod + Sealed + 'static {
    /// Name in benches, messages and file headers.
    const NAME: &'static str;
    /// Whether the numbers are stored as they are computed with. [`Weight::load_pair`] gives them as they stand then.
    const IS_F32: bool;
    /// The stored value.
    fn to_f32(self) -> f32;
    /// The nearest stored value, ties to even.
    fn from_f32(x: f32) -> Self;
    /// See [`Simd::load`].
    fn load<S: Simd>(s: S, xs: &[Self]) -> S::F32;
    /// See [`Simd::load_partial`].
    fn load_partial<S: Simd>(s: S, xs: &[Self]) -> S::F32;
    /// The first `2 * LANES` numbers in the cheapest order: as they stand for `f32`, even then odd ones for `bf16`.
    fn load_pair<S: Simd>(s: S, xs: &[Self]) -> (S::F32, S::F32);
    /// Brings `2 * LANES` numbers that stand in order into the order of [`Weight::load_pair`].
    fn to_pair_order<S: Simd>(s: S, a: S::F32, b: S::F32) -> (S::F32, S::F32);
    /// Inverse of [`Weight::to_pair_order`].
    fn from_pair_order<S: Simd>(s: S, a: S::F32, b: S::F32) -> (S::F32, S::F32);
    /// See [`Simd::gather`].
    fn gather<S: Simd>(s: S, table: &[Self], index: S::U32) -> S::F32;
    /// Stores the nearest values, ties to even. Panics if `out` is shorter than `LANES`.
    fn store<S: Simd>(s: S, v: S::F32, out: &mut [Self]);
    /// Stores the nearest values of the first `min(LANES, len)` lanes.
    fn store_partial<S: Simd>(s: S, v: S::F32, out: &mut [Self]);
}

impl Weight for f32 {
    const NAME: &'static str = "f32";
    const IS_F32: bool = true;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn from_f32(x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, xs: &[f32]) -> S::F32 {
        s.load(xs)
    }
    #[inline(always)]
    fn load_partial<S: Simd>(s: S, xs: &[f32]) -> S::F32 {
        s.load_partial(xs)
    }
    #[inline(always)]
    fn load_pair<S: Simd>(s: S, xs: &[f32]) -> (S::F32, S::F32) {
        (s.load(xs), s.load(&xs[S::LANES..]))
    }
    #[inline(always)]
    fn to_pair_order<S: Simd>(_: S, a: S::F32, b: S::F32) -> (S::F32, S::F32) {
        (a, b)
    }
    #[inline(always)]
    fn from_pair_order<S: Simd>(_: S, a: S::F32, b: S::F32) -> (S::F32, S::F32) {
        (a, b)
    }
    #[inline(always)]
    fn gather<S: Simd>(s: S, table: &[f32], index: S::U32) -> S::F32 {
        s.gather(table, index)
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, v: S::F32, out: &mut [f32]) {
        s.store(v, out)
    }
    #[inline(always)]
    fn store_partial<S: Simd>(s: S, v: S::F32, out: &mut [f32]) {
        s.store_partial(v, out)
    }
}

impl Weight for bf16 {
    const NAME: &'static str = "bf16";
    const IS_F32: bool = false;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits((self.to_bits() as u32) << 16)
    }
    #[inline(always)]
    fn from_f32(x: f32) -> bf16 {
        bf16::from_f32(x)
    }
    #[inline(always)]
    fn load<S: Simd>(s: S, xs: &[bf16]) -> S::F32 {
        s.load_bf16(xs)
    }
    #[inline(always)]
    fn load_partial<S: Simd>(s: S, xs: &[bf16]) -> S::F32 {
        s.load_bf16_partial(xs)
    }
    #[inline(always)]
    fn load_pair<S: Simd>(s: S, xs: &[bf16]) -> (S::F32, S::F32) {
        s.load_bf16_pair(xs)
    }
    #[inline(always)]
    fn to_pair_order<S: Simd>(s: S, a: S::F32, b: S::F32) -> (S::F32, S::F32) {
        s.deinterleave(a, b)
    }
    #[inline(always)]
    fn from_pair_order<S: Simd>(s: S, a: S::F32, b: S::F32) -> (S::F32, S::F32) {
        s.interleave(a, b)
    }
    #[inline(always)]
    fn gather<S: Simd>(s: S, table: &[bf16], index: S::U32) -> S::F32 {
        // No instruction set gathers 16-bit numbers; 32-bit gathers would read past the last element.
        let mut lanes = [0; MAX_LANES];
        let mut found = [0.0; MAX_LANES];
        s.store_u32(index, &mut lanes);
        for (found, &i) in found.iter_mut().zip(&lanes).take(S::LANES) {
            *found = table.get(i as usize).map_or(0.0, |x| x.to_f32());
        }
        s.load(&found)
    }
    #[inline(always)]
    fn store<S: Simd>(s: S, v: S::F32, out: &mut [bf16]) {
        s.store_bf16_bits(nearest_bf16_bits(s, v), out)
    }
    #[inline(always)]
    fn store_partial<S: Simd>(s: S, v: S::F32, out: &mut [bf16]) {
        s.store_bf16_bits_partial(nearest_bf16_bits(s, v), out)
    }
}

/// The bf16 nearest to each lane (ties to even), in the low 16 bits. A NaN keeps its sign and upper payload and is made
/// quiet, as `half` does, so that truncating the payload cannot turn it into an infinity.
#[inline(always)]
pub(crate) fn nearest_bf16_bits<S: Simd>(s: S, v: S::F32) -> S::U32 {
    let bits = s.to_bits(v);
    let upper = s.shr(bits, 16);
    // Adding 0x7fff + (lowest kept bit) carries into the kept half exactly when the nearest-even rule rounds up.
    let even = s.add_u32(s.and(upper, s.splat_u32(1)), s.splat_u32(0x7fff));
    let rounded = s.shr(s.add_u32(bits, even), 16);
    s.select_u32(is_nan(s, v), s.or(upper, s.splat_u32(0x40)), rounded)
}

/// Which lanes are NaN.
#[inline(always)]
pub(crate) fn is_nan<S: Simd>(s: S, v: S::F32) -> S::Mask {
    // The bits of |v|, as an integer, are above those of infinity exactly for NaN.
    let first_nan = s.splat_u32(0x7f80_0001);
    let magnitude = s.and(s.to_bits(v), s.splat_u32(0x7fff_ffff));
    s.eq_u32(s.min_u32(magnitude, first_nan), first_nan)
}

#[cfg(test)]
mod tests;
