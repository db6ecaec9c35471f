//! Packed products: every level against f64 sums, for gathered, transposed and strided factors and scattered results.
#![no_main]

use hotrow_fuzz::{Input, Matrix, Sum, assert_same, is_subnormal};
use hotrow_kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use hotrow_kernels::{Level, RowIds, UniqueRowIds, Weight, bf16};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    match input.up_to(3) {
        0 => product::<f32, f32>(&mut input),
        1 => product::<f32, bf16>(&mut input),
        2 => product::<bf16, f32>(&mut input),
        _ => product::<bf16, bf16>(&mut input),
    }
});

/// One factor: rows of a matrix, perhaps gathered, perhaps transposed.
struct Factor<W> {
    matrix: Matrix<W>,
    ids: Option<Vec<u32>>,
    transposed: bool,
}

impl<W: Weight> Factor<W> {
    /// A factor of `rows` x `cols`.
    fn new(input: &mut Input, rows: usize, cols: usize) -> Self {
        let transposed = input.flag();
        let (lines, width) = if transposed { (cols, rows) } else { (rows, cols) };
        if !input.flag() {
            return Self { matrix: input.matrix(lines, width), ids: None, transposed };
        }
        let stored = 1 + input.up_to(7);
        let ids = (0..lines).map(|_| input.up_to(stored - 1) as u32).collect();
        Self { matrix: input.matrix(stored, width), ids: Some(ids), transposed }
    }

    fn operand(&self) -> Operand<'_, W> {
        let operand = match &self.ids {
            Some(ids) => Operand::gathered(
                self.matrix.view(),
                RowIds::new(ids, self.matrix.rows()).expect("made to be in range"),
            ),
            None => Operand::new(self.matrix.view()),
        };
        if self.transposed { operand.transposed() } else { operand }
    }

    /// The number that multiplies, at (`r`, `c`).
    fn at(&self, r: usize, c: usize, precision: Precision) -> f32 {
        let (line, i) = if self.transposed { (c, r) } else { (r, c) };
        let line = self.ids.as_ref().map_or(line, |ids| ids[line] as usize);
        let x = self.matrix.view().row(line)[i].to_f32();
        if precision == Precision::Bf16 { bf16::from_f32(x).to_f32() } else { x }
    }
}

fn product<A: Weight, B: Weight>(input: &mut Input) {
    let (m, k, n) = (input.up_to(40), input.up_to(70), input.up_to(40));
    let precision = if input.flag() { Precision::Bf16 } else { Precision::F32 };
    let (a, b) = (Factor::<A>::new(input, m, k), Factor::<B>::new(input, k, n));
    let (add, scale) = (input.flag(), [1.0, 0.5, -2.0][input.up_to(2)]);

    // Rows of the result, perhaps some of a larger matrix.
    let stored = if input.flag() { m + input.up_to(3) } else { m };
    let ids: Vec<u32> = (0..m as u32).map(|i| i + (stored - m) as u32).collect();
    let before = input.matrix::<f32>(stored, n);

    let (mut left, mut right) = (PackedPanel::new(), PackedPanel::new());
    for level in Level::available() {
        left.pack_left(level, precision, a.operand());
        right.pack_right(level, precision, b.operand());
        let mut out = before.clone();
        let target = match stored == m {
            true => Output::new(out.view_mut()),
            false => Output::scattered(out.view_mut(), UniqueRowIds::new(&ids, stored).expect("increasing")),
        };
        let target = if add { target.scaled(scale).added() } else { target.scaled(scale) };
        gemm(level, target, &left, &right);
        out.assert_gaps_untouched();

        for row in 0..stored - m {
            assert_same(out.view().row(row), before.view().row(row), format_args!("{level}, idle row {row}"));
        }
        for i in 0..m {
            let row = ids[i] as usize;
            for j in 0..n {
                let start = if add { before.view().row(row)[j] } else { 0.0 };
                // Tile units take subnormal factors for zero.
                let tiles = level.tiles().is_some() && precision == Precision::Bf16;
                let (mut sum, mut plain, mut flushed) = (Sum::of(start as f64, &[], &[]), Sum::default(), false);
                for l in 0..k {
                    let (x, y) = (a.at(i, l, precision), b.at(l, j, precision));
                    flushed |= tiles && (is_subnormal(x) || is_subnormal(y));
                    plain.add(x as f64, y as f64);
                    sum.add(x as f64 * scale as f64, y as f64);
                }
                sum.rounded_once_more();
                if !flushed && !plain.may_overflow() {
                    let at = format_args!("{level} {precision:?} {m}x{k}x{n} at ({i}, {j})");
                    sum.assert_is(out.view().row(row)[j], at);
                }
            }
        }
    }
}
