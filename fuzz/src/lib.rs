//! What the fuzz targets share: how bytes become cases, and when two answers count as the same.

use arbitrary::Unstructured;
use hotrow_kernels::{Level, MatMut, MatRef, Weight};

/// The bytes of one case. Past their end everything reads as zero, so that every input is a case.
pub struct Input<'a>(Unstructured<'a>);

impl<'a> Input<'a> {
    /// Starts at the first byte.
    pub fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    /// A number up to and including `max`.
    pub fn up_to(&mut self, max: usize) -> usize {
        self.0.int_in_range(0..=max).unwrap_or(0)
    }

    /// A truth value.
    pub fn flag(&mut self) -> bool {
        self.up_to(1) == 1
    }

    /// Any bits.
    pub fn bits(&mut self) -> u32 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// One of three kinds of number: sixteenths (exact, so that equal sums are equal), powers of two of any size, and any
    /// bit pattern, NaN and infinities among them.
    pub fn float(&mut self, kind: Kind) -> f32 {
        let byte = |input: &mut Self| input.0.arbitrary::<i8>().unwrap_or(0);
        match kind {
            Kind::Sixteenths => byte(self) as f32 / 16.0,
            Kind::Powers => f32::from_bits((byte(self) as u8 as u32) << 23).copysign(byte(self) as f32),
            Kind::AnyBits => f32::from_bits(self.bits()),
        }
    }

    /// `len` numbers of one kind.
    pub fn floats(&mut self, len: usize) -> Vec<f32> {
        let kind = self.kind();
        (0..len).map(|_| self.float(kind)).collect()
    }

    /// Which kind of number comes next.
    pub fn kind(&mut self) -> Kind {
        [Kind::Sixteenths, Kind::Powers, Kind::AnyBits][self.up_to(2)]
    }

    /// Up to `max` numbers in any order, mostly below `limit`.
    pub fn ids(&mut self, limit: usize, max: usize) -> Vec<u32> {
        let above = if self.up_to(15) == 15 { 2 } else { 0 };
        let last = (limit + above).saturating_sub(1);
        (0..self.up_to(max)).map(|_| self.up_to(last) as u32).collect()
    }

    /// Some of the numbers below `limit`, increasing.
    pub fn increasing_ids(&mut self, limit: usize) -> Vec<u32> {
        (0..limit as u32).filter(|_| self.flag()).collect()
    }

    /// A matrix with a stride of its own, somewhere in its allocation.
    pub fn matrix<W: Weight>(&mut self, rows: usize, cols: usize) -> Matrix<W> {
        let (offset, stride) = (self.up_to(3), cols + self.up_to(3));
        let mut matrix = Matrix::filled(rows, cols, stride, offset, W::from_f32(GAP));
        let kind = self.kind();
        for row in 0..rows {
            for x in matrix.row_mut(row) {
                *x = W::from_f32(self.float(kind));
            }
        }
        matrix
    }
}

/// See [`Input::float`].
#[derive(Clone, Copy)]
pub enum Kind {
    /// -8, -7.9375, .., 7.9375
    Sixteenths,
    /// Zeros, powers of two up to 2^127, infinities.
    Powers,
    /// All there is.
    AnyBits,
}

/// What lies between the rows. Exact in bf16.
const GAP: f32 = 0.4375;

/// An owned matrix whose rows are `stride` apart, `offset` into the allocation.
#[derive(Clone)]
pub struct Matrix<W> {
    data: Vec<W>,
    rows: usize,
    cols: usize,
    stride: usize,
    offset: usize,
}

impl<W: Weight> Matrix<W> {
    fn filled(rows: usize, cols: usize, stride: usize, offset: usize, x: W) -> Self {
        // The last row has no gap after it: a kernel that reads one past the last column reads out of bounds.
        let len = if rows == 0 { 0 } else { (rows - 1) * stride + cols };
        Self { data: vec![x; offset + len], rows, cols, stride, offset }
    }

    fn row_mut(&mut self, row: usize) -> &mut [W] {
        &mut self.data[self.offset + row * self.stride..][..self.cols]
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// For kernels that read it.
    pub fn view(&self) -> MatRef<'_, W> {
        MatRef::with_stride(&self.data[self.offset..], self.rows, self.cols, self.stride)
    }

    /// For kernels that write it.
    pub fn view_mut(&mut self) -> MatMut<'_, W> {
        MatMut::with_stride(&mut self.data[self.offset..], self.rows, self.cols, self.stride)
    }

    /// Row `row`, as f64.
    pub fn exact(&self, row: usize) -> Vec<f64> {
        exact(self.view().row(row))
    }

    /// Asserts that what lies between the rows is as it was made.
    #[track_caller]
    pub fn assert_gaps_untouched(&self) {
        let gap = |i: &usize| *i < self.offset || (i - self.offset) % self.stride.max(1) >= self.cols;
        let touched = (0..self.data.len()).filter(gap).find(|&i| self.data[i].to_f32() != GAP);
        assert_eq!(touched, None, "written between the rows");
    }
}

/// As f64.
pub fn exact<W: Weight>(xs: &[W]) -> Vec<f64> {
    xs.iter().map(|x| x.to_f32() as f64).collect()
}

/// A sum of products in f64, and what bounds the f32 error of it.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    value: f64,
    /// The sum of the absolute values of all finite terms.
    magnitude: f64,
    terms: usize,
}

impl Sum {
    /// Adds the product `a * b`.
    pub fn add(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.value += product;
        self.magnitude += if product.is_finite() { product.abs() } else { 0.0 };
        self.terms += 1;
    }

    /// `start + <a, b>`
    pub fn of(start: f64, a: &[f64], b: &[f64]) -> Self {
        let mut sum = Sum::default();
        sum.add(start, 1.0);
        a.iter().zip(b).for_each(|(&a, &b)| sum.add(a, b));
        sum
    }

    /// One more rounding of the result, such as a factor.
    pub fn rounded_once_more(&mut self) {
        self.terms += 1;
    }

    /// Whether some order of additions could leave the range of f32.
    pub fn may_overflow(&self) -> bool {
        self.magnitude * (1.0 + (self.terms as f64 + 1.0) * f32::EPSILON as f64) >= f32::MAX as f64
    }

    /// Asserts that `got` is this sum, accumulated in f32 in some order: within `(n + 1) * eps * magnitude` and `n` steps of
    /// the smallest normal number, NaN where the exact sum is NaN, the same infinity where it is infinite. Nothing is asked
    /// where some order overflows and another does not.
    #[track_caller]
    pub fn assert_is(&self, got: f32, what: impl std::fmt::Display) {
        let steps = self.terms as f64 + 1.0;
        if self.may_overflow() {
            return;
        }
        assert_close(got, self.value, steps * (f32::EPSILON as f64 * self.magnitude + f32::MIN_POSITIVE as f64), what);
    }
}

/// Asserts `|got - want| <= bound`, with NaN equal to NaN and an infinity to itself.
#[track_caller]
pub fn assert_close(got: f32, want: f64, bound: f64, what: impl std::fmt::Display) {
    let same = if want.is_finite() { (got as f64 - want).abs() <= bound } else { same(got, want as f32) };
    assert!(same, "{what}: {got:e} is not {want:e} within {bound:e}");
}

/// Whether two numbers are the same: equal bits, or both NaN (whose payload is no result).
pub fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Asserts that two results are the same number by number.
#[track_caller]
pub fn assert_same<W: Weight>(got: &[W], want: &[W], what: impl std::fmt::Display) {
    assert_eq!(got.len(), want.len(), "{what}");
    let differs = got.iter().zip(want).position(|(a, b)| !same(a.to_f32(), b.to_f32()));
    if let Some(i) = differs {
        panic!("{what}: element {i} is {:e}, not {:e}", got[i].to_f32(), want[i].to_f32());
    }
}

/// Whether `f` panics. libFuzzer's hook ends the process at the first panic, so it is put aside meanwhile.
pub fn panics<R>(f: impl FnOnce() -> R) -> bool {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    std::panic::set_hook(hook);
    outcome.is_err()
}

/// The levels whose multiply-add is fused, so that elementwise results are the same to the bit.
pub fn fused_levels() -> impl Iterator<Item = Level> {
    Level::available().filter(|&level| level != Level::PORTABLE)
}

/// Whether a number is too small to have all of its bits. Tile units take it for zero.
pub fn is_subnormal<W: Weight>(x: W) -> bool {
    x.to_f32().is_subnormal()
}

/// `good` with a byte changed for each three bytes of `edits`: two say where, one says what is there instead. A last one
/// or two say where the file is cut off.
pub fn changed(good: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let (edits, cut) = edits.as_chunks::<3>();
    for &[low, high, byte] in edits {
        bytes[u16::from_le_bytes([low, high]) as usize % good.len()] = byte;
    }
    if !cut.is_empty() {
        bytes.truncate(cut.iter().fold(0, |at, &byte| at << 8 | byte as usize) % good.len());
    }
    bytes
}
