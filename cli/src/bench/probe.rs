//! Measures the machine around a run: memory bandwidth, load, energy, time of day.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;

use super::outcome::Energy;
use hotrow::machine::Machine;

/// Bytes that one thread reads at a time.
const PIECE: usize = 1 << 20;

/// The rate at which the pool's threads read main memory, in bytes a second: the best of five passes over a buffer. The
/// buffer is four times the last cache and at least 256 MiB, but at most a quarter of this process's memory.
///
/// ```no_run
/// assert!(hotrow_cli::bench::bandwidth() > 1e6);
/// ```
pub fn bandwidth() -> f64 {
    let machine = Machine::read();
    let last = machine.caches.iter().map(|cache| cache.bytes).max().unwrap_or(0);
    let most = machine.memory_limit_bytes.map_or(u64::MAX, |bytes| bytes / 4);
    let bytes = (4 * last).max(256 << 20).min(most).max(1 << 20) as usize;
    let words = vec![1_u64; bytes / 8];
    let pass = || {
        let start = Instant::now();
        // Whole numbers, so the order of additions changes nothing.
        let sum = |piece: &[u64]| piece.iter().fold(0_u64, |sum, &word| sum.wrapping_add(word));
        black_box(black_box(&words).par_chunks(PIECE / 8).map(sum).reduce(|| 0, u64::wrapping_add));
        start.elapsed().as_secs_f64()
    };
    let best = (0..5).map(|_| pass()).fold(f64::INFINITY, f64::min);
    (8 * words.len()) as f64 / best
}

/// Runnable programs over the last 1, 5 and 15 minutes; zeros if the system does not say.
///
/// ```
/// assert!(hotrow_cli::bench::load_average().iter().all(|&load| load >= 0.0));
/// ```
pub fn load_average() -> [f64; 3] {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap_or(0.0));
    [(); 3].map(|()| numbers.next().unwrap_or(0.0))
}

/// Name and release of the operating system.
pub(super) fn system() -> String {
    let part = |name: &str| fs::read_to_string(format!("/proc/sys/kernel/{name}")).unwrap_or_default();
    let name = format!("{} {}", part("ostype").trim(), part("osrelease").trim());
    if name.trim().is_empty() { std::env::consts::OS.to_owned() } else { name }
}

/// The time in UTC: `2026-11-22T18:00:00Z`.
pub(super) fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let (mut year, mut left) = (1970, day);
    while left >= 365 + u64::from(leap(year)) {
        left -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 0;
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while left >= lengths[month] {
        left -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", month + 1, left + 1)
}

/// The energy counters of the CPU packages (RAPL), if they can be read.
pub(super) struct EnergyMeter {
    /// Each counter with the value at which it wraps, and its value at the start.
    counters: Vec<(PathBuf, u64, u64)>,
}

impl EnergyMeter {
    pub fn start() -> EnergyMeter {
        EnergyMeter::at(Path::new("/sys/class/powercap"))
    }

    fn at(folder: &Path) -> EnergyMeter {
        let packages = fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| {
            // `intel-rapl:0` is a package, `intel-rapl:0:0` a part of it.
            entry.file_name().to_str().is_some_and(|name| {
                name.strip_prefix("intel-rapl:").is_some_and(|number| number.parse::<u32>().is_ok())
            })
        });
        let counter = |entry: fs::DirEntry| {
            let range = number(&entry.path().join("max_energy_range_uj"))?;
            let path = entry.path().join("energy_uj");
            let start = number(&path)?;
            Some((path, range, start))
        };
        EnergyMeter { counters: packages.filter_map(counter).collect() }
    }

    /// The energy used since the start.
    pub fn stop(self) -> Energy {
        let used = |(path, range, start): &(PathBuf, u64, u64)| {
            let end = number(path)?;
            Some(if end >= *start { end - start } else { range - start + end })
        };
        let all: Option<Vec<u64>> = self.counters.iter().map(used).collect();
        match all.filter(|all| !all.is_empty()) {
            None => Energy::default(),
            Some(all) => Energy {
                joules: Some(all.iter().sum::<u64>() as f64 * 1e-6),
                method: "rapl: CPU packages of the whole machine".to_owned(),
            },
        }
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_is_that_of_packages_and_goes_on_after_the_counter_starts_again() {
        let folder = tempfile::tempdir().unwrap();
        let write = |zone: &str, name: &str, value: u64| {
            fs::create_dir_all(folder.path().join(zone)).unwrap();
            fs::write(folder.path().join(zone).join(name), format!("{value}\n")).unwrap();
        };
        for (zone, energy) in [("intel-rapl:0", 900), ("intel-rapl:1", 100), ("intel-rapl:0:0", 5)] {
            write(zone, "max_energy_range_uj", 1000);
            write(zone, "energy_uj", energy);
        }
        let meter = EnergyMeter::at(folder.path());
        write("intel-rapl:0", "energy_uj", 50);
        write("intel-rapl:1", "energy_uj", 400);
        write("intel-rapl:0:0", "energy_uj", 999);
        let energy = meter.stop();
        assert!((energy.joules.unwrap() - 450e-6).abs() < 1e-12, "{energy:?}");
        assert_eq!(EnergyMeter::at(Path::new("no/such/folder")).stop(), Energy::default());
    }

    #[test]
    fn now_is_a_moment_that_sorts_as_text() {
        let now = now();
        assert_eq!((now.len(), &now[4..5], &now[10..11], &now[19..]), (20, "-", "T", "Z"));
        assert!(now.as_str() > "2025-01-01T00:00:00Z");
    }
}
