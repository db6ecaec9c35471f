//! The machine: CPU, caches, memory, huge pages, and how much memory this process may have.
//!
//! Reports show it. Plans are compared with [`Limits`] before they allocate.

mod limits;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use limits::Limits;

/// The machine, as the operating system describes it. What the system does not say is `None` or empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The CPU's name; `unknown` if the system does not say.
    pub cpu: String,
    /// Logical CPUs that this process may use.
    pub cores: usize,
    /// The caches of the first CPU.
    pub caches: Vec<Cache>,
    /// Main memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Main memory that this process may have, in bytes. It is less than `memory_bytes` in a container with a limit
    /// (cgroup v1, v2) or under `ulimit -v`.
    #[serde(default)]
    pub memory_limit_bytes: Option<u64>,
    /// The mode of transparent huge pages: `always`, `madvise` or `never`.
    pub huge_pages: Option<String>,
}

/// One cache of a CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// 1 is nearest to the core.
    pub level: u32,
    /// `data`, `instruction` or `unified`.
    pub kind: String,
    /// Size in bytes.
    pub bytes: u64,
}

impl Machine {
    /// Asks the operating system.
    ///
    /// ```
    /// assert!(hotrow::machine::Machine::read().cores >= 1);
    /// ```
    pub fn read() -> Machine {
        Machine {
            cpu: read("/proc/cpuinfo").and_then(|text| cpu_name(&text)).unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get()),
            caches: caches(Path::new("/sys/devices/system/cpu/cpu0/cache")),
            memory_bytes: read("/proc/meminfo").and_then(|text| memory(&text)),
            memory_limit_bytes: Limits::read().bytes(),
            huge_pages: read("/sys/kernel/mm/transparent_hugepage/enabled").and_then(|text| chosen(&text)),
        }
    }
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The value of the first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name))
        .map(|(_, value)| value.trim())
}

/// x86 gives the name as a string, aarch64 gives numbers only.
fn cpu_name(cpuinfo: &str) -> Option<String> {
    let numbers =
        || Some(format!("implementer {} part {}", field(cpuinfo, "CPU implementer")?, field(cpuinfo, "CPU part")?));
    field(cpuinfo, "model name").map(str::to_owned).or_else(numbers)
}

fn memory(meminfo: &str) -> Option<u64> {
    size(field(meminfo, "MemTotal")?)
}

/// The bytes that `48K`, `2 M` or `24 kB` means.
fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match text[digits..].trim().chars().next() {
        None => 1,
        Some('K' | 'k') => 1 << 10,
        Some('M') => 1 << 20,
        Some('G') => 1 << 30,
        Some(_) => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// The word in brackets, as in `always [madvise] never`.
fn chosen(modes: &str) -> Option<String> {
    modes.split_once('[')?.1.split_once(']').map(|(mode, _)| mode.to_owned())
}

/// Reads one folder a cache, with the files `level`, `type` and `size`.
fn caches(folder: &Path) -> Vec<Cache> {
    let mut caches: Vec<Cache> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let file = |name| read(entry.path().join(name)).map(|text| text.trim().to_lowercase());
            Some(Cache { level: file("level")?.parse().ok()?, kind: file("type")?, bytes: size(&file("size")?)? })
        })
        .collect();
    caches.sort_by(|a, b| (a.level, &a.kind).cmp(&(b.level, &b.kind)));
    caches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_named_by_words_or_by_numbers_or_not_at_all() {
        let x86 =
            "processor\t: 0\nmodel\t\t: 17\nmodel name\t: Some CPU @ 2.0\nflags\t\t: fpu\n\nmodel name\t: Other\n";
        assert_eq!(cpu_name(x86).as_deref(), Some("Some CPU @ 2.0"));
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(cpu_name(arm).as_deref(), Some("implementer 0x41 part 0xd0c"));
        assert_eq!(cpu_name("processor: 0\n"), None);
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        for (text, bytes) in [("48K", 48 << 10), ("2M", 2 << 20), ("24 kB", 24 << 10), ("64", 64), ("1g", 0), ("", 0)] {
            assert_eq!(size(text).unwrap_or(0), bytes, "{text}");
        }
        assert_eq!(size("99999999999999999999K"), None);
        assert_eq!(memory("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2 << 20));
    }

    #[test]
    fn the_mode_of_huge_pages_is_the_one_in_brackets() {
        assert_eq!(chosen("always [madvise] never\n").as_deref(), Some("madvise"));
        assert_eq!(chosen("always madvise never"), None);
    }

    #[test]
    fn a_missing_folder_has_no_caches() {
        assert_eq!(caches(Path::new("no/such/folder")), []);
    }
}
