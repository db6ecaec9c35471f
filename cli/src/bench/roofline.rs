//! What the machine allows, and what every family of kernels reaches of it (Williams, Waterman and Patterson, "Roofline",
//! CACM 2009). One thread.

mod case;
mod families;
mod kernels;
mod peak;

use serde::Serialize;

use super::timing::{Effort, Heading, measure};
use hotrow::kernels::Level;

/// The most operations a second of one instruction set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PeakRate {
    /// Instruction set.
    pub level: String,
    /// `f32` or `bf16`; the latter is the former where products of bf16 have no unit of their own.
    pub dtype: String,
    /// 10^9 floating-point operations a second of one thread.
    pub gflops: f64,
}

/// One kernel on one shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KernelRate {
    /// The family of the kernel crate.
    pub family: String,
    /// The kernel.
    pub name: String,
    /// Instruction set.
    pub level: String,
    /// `f32` or `bf16`.
    pub dtype: String,
    /// In words.
    pub shape: String,
    /// Floating-point operations of a call; 0 for kernels of whole numbers and comparisons.
    pub flops: u64,
    /// Bytes that a call has to read or write.
    pub bytes: u64,
    /// Median time of a call.
    pub seconds: f64,
    /// Each turn's.
    pub all_seconds: Vec<f64>,
    /// Operations for each byte.
    pub flops_per_byte: f64,
    /// 10^9 floating-point operations a second.
    pub gflops: f64,
    /// 10^9 bytes a second.
    pub gbytes: f64,
}

/// The whole measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Roofline {
    /// Machine, versions, command.
    #[serde(flatten)]
    pub heading: Heading,
    /// Peaks of arithmetic.
    pub peak: Vec<PeakRate>,
    /// Rate at which one thread reads main memory.
    pub bandwidth_bytes_per_second: f64,
    /// The kernels.
    pub kernels: Vec<KernelRate>,
}

/// Measures peaks and kernels for each level that is asked for.
///
/// # Panics
///
/// If a kernel's answer is not that of the portable level, but for the order of additions and what rounding to bf16 may
/// change. (The portable level's answers are compared with sums in f64 by the tests of the kernel crate.)
///
/// ```no_run
/// use hotrow::kernels::Level;
/// use hotrow_cli::bench::{Effort, roofline};
/// let effort = Effort { repeats: 5, quick: false, levels: Level::available().collect(), command: Vec::new() };
/// assert!(!roofline(&effort).kernels.is_empty());
/// ```
pub fn roofline(effort: &Effort) -> Roofline {
    let mut heading = Heading::begin("roofline", effort);
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    // Without threads to be had, the rate of all of them is the best guess.
    let bandwidth = one.map_or_else(|_| super::bandwidth(), |pool| pool.install(super::bandwidth));
    let sizes = if effort.quick { case::Sizes::QUICK } else { case::Sizes::FULL };
    let (mut peaks, mut rates) = (Vec::new(), Vec::new());
    for &level in &effort.levels {
        peaks.extend(peak::of(level, effort.repeats));
        for make in kernels::ALL {
            // One after the other: their tables together would take the memory of some machines.
            rates.extend(make(sizes).into_iter().map(|case| rate(case, level, effort.repeats)));
        }
    }
    heading.end();
    Roofline { heading, peak: peaks, bandwidth_bytes_per_second: bandwidth, kernels: rates }
}

fn rate(mut case: case::Case, level: Level, repeats: usize) -> KernelRate {
    case.check(level);
    let case::Case { family, name, dtype, shape, flops, bytes, mut call, .. } = case;
    let timing = measure(vec![super::timing::Contender::new(name, || call(level, None))], repeats).remove(0);
    let seconds = timing.median;
    KernelRate {
        family: family.to_owned(),
        name: name.to_owned(),
        level: level.name().to_owned(),
        dtype: dtype.to_owned(),
        shape,
        flops: flops as u64,
        bytes: bytes as u64,
        seconds,
        all_seconds: timing.all,
        flops_per_byte: flops as f64 / bytes as f64,
        gflops: flops as f64 / seconds / 1e9,
        gbytes: bytes as f64 / seconds / 1e9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_gives_the_answers_of_the_portable_level() {
        for level in Level::available() {
            for make in kernels::ALL {
                make(case::Sizes::QUICK).iter_mut().for_each(|case| case.check(level));
            }
        }
    }

    #[test]
    fn every_family_is_on_it() {
        let names = kernels::ALL.iter().flat_map(|make| make(case::Sizes::QUICK)).map(|case| case.family);
        let mut families: Vec<_> = names.collect();
        families.dedup();
        assert_eq!(families, ["rows", "gemm", "hash", "optim", "reduce", "convert"]);
    }
}
