//! Products of gathered rows with a batch, and the two backward products, beside the `gemm` crate.

use std::hint::black_box;

use hotrow_kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use hotrow_kernels::{Level, MatMut, MatRef, RowIds, Weight, bf16};

use crate::answers::sum_is;
use crate::measure::{Bench, Contest, Target, Work};
use crate::memory::{Place, Turns, numbers, random_rows};
use crate::roofline::{against_multiplying, against_tiles, level_with_tiles};

/// Active rows, samples, and numbers of a row.
const ACTIVE: usize = 4096;
const BATCH: usize = 256;
const DIM: usize = 512;
const WORK: Work = Work { bytes: 0, flops: 2 * ACTIVE * BATCH * DIM };

/// The lines of this family; a line's name says where the gathered rows come from.
pub fn run(bench: &mut Bench) {
    let (best, quick) = (Level::detect(), bench.quick);
    let name = |kernel: &str, level: &str, place: &str, weights: &str| {
        format!("{kernel}/{level}{place}/a{ACTIVE}_b{BATCH}_d{DIM}/{weights}")
    };
    for level in Level::available() {
        let target = (level == best).then_some(Target::ShareAndRival(0.8, "the gemm crate", 1.0));
        bench.line(&name("gemm", level.name(), "/dram", "f32"), target, move || {
            let contest = Product::<f32>::new(level, Precision::F32, Place::Dram, quick).contest(Product::forward);
            let contest = match Level::available().take_while(|&other| other != level).last() {
                Some(below) => {
                    let mut product = Product::<f32>::new(below, Precision::F32, Place::Dram, quick);
                    contest.rival(below, move || product.forward())
                }
                None => contest,
            };
            against_multiplying(beside_the_gemm_crate(contest), level)
        });
    }
    for (kernel, place, call) in [
        ("gemm", Place::L3, Product::forward as fn(&mut Product<f32>)),
        ("gemm_packed_before", Place::L3, Product::multiply),
        ("gemm_dx", Place::Dram, Product::input_gradient),
        ("gemm_dw", Place::Dram, Product::row_gradients),
    ] {
        bench.line(&name(kernel, best.name(), &format!("/{}", place.name()), "f32"), None, move || {
            let contest = Product::<f32>::new(best, Precision::F32, place, quick).contest(call);
            against_multiplying(contest, best)
        });
    }
    let target = Some(Target::Share(0.55));
    match level_with_tiles() {
        Ok((level, tiles)) => bench.line(&name("gemm", level.name(), "/dram", "bf16"), target, move || {
            let contest = Product::<bf16>::new(level, Precision::Bf16, Place::Dram, quick).contest(Product::forward);
            against_tiles(contest, tiles)
        }),
        Err(reason) => {
            bench.absent(&name("gemm", "amx", "/dram", "bf16"), target, &reason);
            bench.line(&name("gemm", best.name(), "/dram", "bf16"), None, move || {
                let contest = Product::<bf16>::new(best, Precision::Bf16, Place::Dram, quick).contest(Product::forward);
                match best.tiles() {
                    Some(tiles) => against_tiles(contest, tiles),
                    None => against_multiplying(contest, best),
                }
            });
        }
    }
}

/// Active rows of a table, a batch and the gradient of their product, and room for each result.
struct Product<W: Weight> {
    level: Level,
    precision: Precision,
    w: MatRef<'static, W>,
    turns: std::rc::Rc<Turns<RowIds<'static>>>,
    active: RowIds<'static>,
    /// (B, D)
    x: Vec<f32>,
    /// (A, B): what `forward` writes and the backward products read.
    c: Vec<f32>,
    /// (B, D)
    dx: Vec<f32>,
    /// (A, D)
    dw: Vec<f32>,
    left: PackedPanel,
    right: PackedPanel,
}

impl<W: Weight> Product<W> {
    fn new(level: Level, precision: Precision, place: Place, quick: bool) -> Self {
        let table = place.table(quick);
        let w = MatRef::new(table, table.len() / DIM, DIM);
        let turns = Turns::new(random_rows(8, ACTIVE, w.rows()));
        let (left, right) = (PackedPanel::with_capacity(ACTIVE, DIM), PackedPanel::with_capacity(BATCH, DIM));
        let (x, c) = (numbers(BATCH * DIM, 3), vec![0.0; ACTIVE * BATCH]);
        let (dx, dw) = (vec![0.0; BATCH * DIM], vec![0.0; ACTIVE * DIM]);
        let mut product = Self { level, precision, w, active: turns.next(), turns, x, c, dx, dw, left, right };
        product.check();
        product
    }

    fn contest(mut self, call: impl Fn(&mut Self) + 'static) -> Contest
    where
        W: 'static,
    {
        Contest::of(WORK, move || call(&mut self))
    }

    /// `C = W[active, :] X^T`, rows that no cache has seen, packing included.
    fn forward(&mut self) {
        self.active = self.turns.next();
        self.left.pack_left(self.level, self.precision, Operand::gathered(self.w, self.active));
        let x = Operand::new(MatRef::new(&self.x, BATCH, DIM));
        self.right.pack_right(self.level, self.precision, x.transposed());
        self.multiply();
    }

    /// The same from the panels that the last `forward` packed.
    fn multiply(&mut self) {
        let out = Output::new(MatMut::new(&mut self.c, ACTIVE, BATCH));
        gemm(self.level, out, &self.left, &self.right);
        black_box(&self.c);
    }

    /// `dX = dC^T W[active, :]`, with `C` for `dC`.
    fn input_gradient(&mut self) {
        self.active = self.turns.next();
        let dc = Operand::new(MatRef::new(&self.c, ACTIVE, BATCH));
        self.left.pack_left(self.level, self.precision, dc.transposed());
        self.right.pack_right(self.level, self.precision, Operand::gathered(self.w, self.active));
        gemm(self.level, Output::new(MatMut::new(&mut self.dx, BATCH, DIM)), &self.left, &self.right);
        black_box(&self.dx);
    }

    /// `dW[active, :] = dC X`, with `C` for `dC`.
    fn row_gradients(&mut self) {
        self.left.pack_left(self.level, self.precision, Operand::new(MatRef::new(&self.c, ACTIVE, BATCH)));
        self.right.pack_right(self.level, self.precision, Operand::new(MatRef::new(&self.x, BATCH, DIM)));
        gemm(self.level, Output::new(MatMut::new(&mut self.dw, ACTIVE, DIM)), &self.left, &self.right);
        black_box(&self.dw);
    }

    /// Compares some entries of each product with the sums that define them; leaves the panels of `forward`.
    fn check(&mut self) {
        let precision = self.precision;
        let round = |x: f32| if precision == Precision::Bf16 { bf16::from_f32(x).to_f32() } else { x } as f64;
        let input = |this: &Self, b: usize, d: usize| round(this.x[b * DIM + d]);
        let output = |this: &Self, a: usize, b: usize| round(this.c[a * BATCH + b]);
        let weight = |this: &Self, a: usize, d: usize| {
            let row = this.active.as_slice()[a] as usize;
            round(this.w.row(row)[d].to_f32())
        };
        let places = (0..500).map(|i| (i * 37 % ACTIVE, i * 11 % BATCH, i * 7 % DIM));
        self.forward();
        for (a, b, _) in places.clone() {
            sum_is(self.c[a * BATCH + b], (0..DIM).map(|d| weight(self, a, d) * input(self, b, d)));
        }
        self.input_gradient();
        for (_, b, d) in places.clone() {
            sum_is(self.dx[b * DIM + d], (0..ACTIVE).map(|a| output(self, a, b) * weight(self, a, d)));
        }
        self.row_gradients();
        for (a, _, d) in places {
            sum_is(self.dw[a * DIM + d], (0..BATCH).map(|b| output(self, a, b) * input(self, b, d)));
        }
        self.forward();
    }
}

/// The same shape in the `gemm` crate, which cannot gather: its rows stand next to each other, in cache if they fit.
fn beside_the_gemm_crate(contest: Contest) -> Contest {
    let (w, x, mut c) = (numbers(ACTIVE * DIM, 5), numbers(BATCH * DIM, 6), vec![0.0_f32; ACTIVE * BATCH]);
    contest.rival("the gemm crate", move || {
        let (batch, dim) = (BATCH as isize, DIM as isize);
        // SAFETY: `c` is (A, B), `w` (A, D) and `x` (B, D), each row-major without gaps; `c` is not read.
        unsafe {
            gemm_f32::gemm::f32::get_gemm_fn()(
                ACTIVE,
                BATCH,
                DIM,
                c.as_mut_ptr(),
                1,
                batch,
                false,
                w.as_ptr(),
                1,
                dim,
                x.as_ptr(),
                dim,
                1,
                0.0,
                1.0,
                false,
                false,
                false,
                gemm_common::Parallelism::None,
            );
        }
        black_box(&c);
    })
}
