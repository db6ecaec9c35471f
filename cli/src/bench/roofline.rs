//! Measures what the machine allows, and what each family of kernels reaches of it on one thread (Williams, Waterman
//! and Patterson, "Roofline", CACM 2009).

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
    /// `f32` or `bf16`. Without a unit for bf16 products, the latter is the former.
    pub dtype: String,
    /// 10^9 floating-point operations a second, on one thread.
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
    /// Floating-point operations of a call; 0 for kernels of integers and comparisons.
    pub flops: u64,
    /// Bytes that a call must read or write.
    pub bytes: u64,
    /// Median time of a call, in seconds.
    pub seconds: f64,
    /// The time of each turn.
    pub all_seconds: Vec<f64>,
    /// Operations a byte.
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
    /// The rate at which one thread reads main memory, in bytes a second.
    pub bandwidth_bytes_per_second: f64,
    /// The kernels.
    pub kernels: Vec<KernelRate>,
}

/// Measures peaks and kernels at each level of `effort`.
///
/// # Panics
///
/// If a kernel's answer differs from the portable level's by more than the order of additions and rounding to bf16
/// allow. (The kernel crate's tests compare the portable level with sums in f64.)
///
/// ```no_run
/// use hotrow::kernels::Level;
/// use hotrow_cli::bench::{Effort, roofline};
/// let effort = Effort { repeats: 5, quick: false, levels: Level::available().collect(), command: Vec::new() };
/// assert!(!roofline(&effort).kernels.is_empty());
/// ```
pub fn roofline(effort: &Effort) -> Roofline {
    let mut heading = Heading::new("roofline", effort);
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    // If no thread can be started, the rate of all of them is the best guess.
    let bandwidth = one.map_or_else(|_| super::bandwidth(), |pool| pool.install(super::bandwidth));
    let sizes = if effort.quick { case::Sizes::QUICK } else { case::Sizes::FULL };
    let (mut peaks, mut rates) = (Vec::new(), Vec::new());
    for &level in &effort.levels {
        peaks.extend(peak::of(level, effort.repeats));
        for make in kernels::ALL {
            // One after the other: some machines could not hold all their tables together.
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
