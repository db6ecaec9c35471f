//! The product of two packed panels.

use super::output::Output;
use super::panel::PackedPanel;
use super::strips::{Layout, Side};
use super::window::Window;
use super::{micro, tiles};
use crate::{Level, dispatch};

/// `out = scale * left right` or `out += scale * left right`: `left` (M, K), `right` (K, N), `out` (M, N).
///
/// Each entry is summed in f32 in an order that only the shape and the level decide, so it differs from the exact one
/// by at most `(K + 1) * eps * sum |a||b|`, where bf16 panels hold rounded factors. NaN and infinities propagate as
/// in the definition, except that zeros of padding never meet them. With K = 0 the product is zero, and written.
///
/// # Panics
///
/// If a panel was packed at another level or for the other side, if the two differ in precision, or if the shapes
/// disagree.
///
/// ```
/// use hotrow_kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
/// use hotrow_kernels::{Level, MatMut, MatRef, RowIds, UniqueRowIds};
/// let level = Level::detect();
/// let w = MatRef::new(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, 2);
/// let x = MatRef::new(&[1.0, -1.0, 0.5, 2.0], 2, 2);
/// let (mut left, mut right) = (PackedPanel::new(), PackedPanel::new());
/// left.pack_left(level, Precision::F32, Operand::gathered(w, RowIds::new(&[2, 0], 3)?));
/// right.pack_right(level, Precision::F32, Operand::new(x).transposed());
/// let mut out = [0.0; 4];
/// gemm(level, Output::new(MatMut::new(&mut out, 2, 2)), &left, &right);
/// assert_eq!(out, [-1.0, 14.5, -1.0, 4.5]);
/// # Ok::<(), hotrow_kernels::IndexError>(())
/// ```
#[track_caller]
pub fn gemm(level: Level, mut out: Output, left: &PackedPanel, right: &PackedPanel) {
    assert_eq!(left.depth(), right.depth(), "the left and the right panel differ in depth (K)");
    product(level, &mut out, left, right, Window::FULL);
}

/// Checks and runs a product; the only place where it is instantiated for the levels. The right panel may be deeper
/// than the window that the left one is.
#[track_caller]
pub(super) fn product(level: Level, out: &mut Output, left: &PackedPanel, right: &PackedPanel, window: Window) {
    for (panel, side, name) in [(left, Side::Left, "left"), (right, Side::Right, "right")] {
        assert!(panel.side() == side, "the {name} panel was packed for the other side");
        let packed = panel.level();
        assert!(packed == level, "the {name} panel was packed at level {packed}, the product runs at {level}");
    }
    assert_eq!(left.precision(), right.precision(), "the left and the right panel differ in precision");
    assert_eq!(out.rows(), left.outer(), "the output and the left panel differ in rows (M)");
    assert_eq!(out.cols(), right.outer(), "the output and the right panel differ in columns (N)");
    match left.layout {
        Layout::Vectors => dispatch!(level, s => micro::multiply(s, out, left, right, window)),
        Layout::Tiles => {
            let unit = level.tiles().expect("panels in tile layout are packed at levels with tiles only");
            unit.configured(|unit| dispatch!(level, s => tiles::multiply(s, unit, out, left, right, window)));
        }
    }
}
