//! Every kernel against the ceiling that this machine sets it, each answer checked before it is timed.
//!
//! `cargo bench -p hotrow-kernels-bench` runs all, `-- rows_dot` those whose name contains the filter, `-- --test` each once on
//! small tables. With `HOTROW_BENCH_JSON=path` the figures are written to that file; `benches/table.py` makes the table
//! of `kernels/README.md` from it.
//!
//! Names are `kernel/level/place/shape/weights`: `rows_dot/avx512/dram/a4096_d512/bf16`.
//!
//! A figure is a share of a ceiling, and both move with the clock, the neighbours and the weather of a shared machine.
//! So a line times the kernel, the loops that set its ceilings and its rivals *in turn*, round after round, and reports
//! the median over the rounds: see [`measure`].
#![allow(clippy::print_stdout)] // a program whose output is its purpose
#![allow(clippy::print_stderr)]

mod answers;
mod batch;
mod elementwise;
mod gemm;
mod hash;
mod measure;
mod memory;
mod optim;
mod report;
mod roofline;
mod rows;

use measure::Bench;

fn main() {
    let mut bench = Bench::from_args();
    roofline::run(&mut bench);
    rows::run(&mut bench);
    batch::run(&mut bench);
    gemm::run(&mut bench);
    hash::run(&mut bench);
    optim::run(&mut bench);
    elementwise::run(&mut bench);
    bench.finish();
}
