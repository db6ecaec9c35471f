//! The memory of this process, as the system counts it.

/// The most main memory that this process has used at once, in bytes; `None` if the system does not say.
///
/// ```
/// assert!(hotrow::run::peak_memory_bytes().is_none_or(|bytes| bytes > 1 << 16));
/// ```
pub fn peak_memory_bytes() -> Option<u64> {
    field(&status()?, "VmHWM:")
}

/// Counts the peak from now on, for a program that makes several runs. Has no effect if the system cannot.
pub fn restart_peak_memory() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The main memory that this process uses, in bytes; `None` if the system does not say.
///
/// ```
/// assert!(hotrow::run::memory_bytes().is_none_or(|bytes| bytes > 1 << 16));
/// ```
pub fn memory_bytes() -> Option<u64> {
    field(&status()?, "VmRSS:")
}

fn status() -> Option<String> {
    std::fs::read_to_string("/proc/self/status").ok()
}

/// The bytes in a line like `VmHWM:     2048 kB`.
fn field(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_kilobytes() {
        let status = "Name:\thotrow\nVmHWM:\t    2048 kB\nVmRSS:\t      12 kB\nThreads:\t1\n";
        assert_eq!((field(status, "VmHWM:"), field(status, "VmRSS:")), (Some(2 << 20), Some(12 << 10)));
        assert_eq!((field(status, "VmSwap:"), field("VmRSS: many kB", "VmRSS:")), (None, None));
    }

    #[test]
    fn the_peak_is_at_least_what_was_in_use_at_some_time() {
        let pages = vec![1_u8; 32 << 20];
        let Some(with) = memory_bytes() else { return };
        assert!(pages.iter().all(|&byte| byte == 1));
        drop(pages);
        assert!(with >= 32 << 20, "{with}");
        // The system counts pages a little late, a thread at a time.
        assert!(peak_memory_bytes().unwrap() + (1 << 20) >= with);
    }
}
