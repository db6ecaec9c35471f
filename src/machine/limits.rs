//! How much memory this process may have.

use std::fs;
use std::path::Path;

use super::{memory, size};
use crate::error::{Error, Result};

/// The limits on this process's memory, in bytes; `None` where there is no limit.
///
/// ```
/// use hotrow::machine::Limits;
/// let limits = Limits { main: Some(24 << 30), container: Some(1 << 30), address_space: None };
/// assert_eq!(limits.bytes(), Some(1 << 30));
/// assert!(limits.check("model.hidden", "the network", 2 << 30, "the output layer").is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Main memory of the machine.
    pub main: Option<u64>,
    /// The smallest limit of the control groups around this process (cgroup v1 and v2). The system kills a process that
    /// exceeds it.
    pub container: Option<u64>,
    /// The rest of the address space (`ulimit -v`). The system refuses more.
    pub address_space: Option<u64>,
}

/// A plan may exceed the limit by this factor. Plans of language models were within 2 % of what runs took, and rows of
/// a table that no step touches take no memory.
const SLACK: f64 = 1.05;

impl Limits {
    /// Asks the operating system.
    ///
    /// ```
    /// assert!(hotrow::machine::Limits::read().bytes().is_none_or(|bytes| bytes > 1 << 20));
    /// ```
    pub fn read() -> Self {
        Self::under(Path::new("/"))
    }

    /// The limits of the system whose `/proc` and `/sys` are below `root`.
    fn under(root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(root.join(path)).ok();
        let main = read("proc/meminfo").and_then(|text| memory(&text));
        let groups = read("proc/self/cgroup").unwrap_or_default();
        let container = groups.lines().filter_map(|line| group_limit(root, line)).min();
        let address_space = read("proc/self/limits").and_then(|text| address_space(&text));
        let used = || read("proc/self/status").and_then(|text| size(super::field(&text, "VmSize")?)).unwrap_or(0);
        Self {
            main,
            // Version 1 writes "no limit" as a number that no machine has.
            container: container.filter(|&bytes| main.is_none_or(|main| bytes < main)),
            address_space: address_space.map(|bytes| bytes.saturating_sub(used())),
        }
    }

    /// The smallest limit.
    pub fn bytes(&self) -> Option<u64> {
        [self.main, self.container, self.address_space].into_iter().flatten().min()
    }

    /// Whether a plan of so many bytes is within the limits, with a little slack.
    ///
    /// ```
    /// use hotrow::machine::Limits;
    /// assert!(Limits::default().can_hold(1 << 60)); // nothing is known
    /// assert!(!Limits { main: Some(1 << 30), ..Limits::default() }.can_hold(2 << 30));
    /// ```
    pub fn can_hold(&self, bytes: u64) -> bool {
        self.bytes().is_none_or(|limit| bytes as f64 <= SLACK * limit as f64)
    }

    /// What has the smallest limit: `this machine`, `this container`, `the address space`.
    pub(crate) fn name(&self) -> &'static str {
        let least = self.bytes();
        if least == self.address_space {
            "what is left of the address space (ulimit -v)"
        } else if least == self.container {
            "this container"
        } else {
            "this machine"
        }
    }

    /// Refuses `what` if its `bytes` exceed the limit. `largest` takes most of them; `key` is the option to change.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with both numbers.
    pub fn check(&self, key: &str, what: &str, bytes: u64, largest: &str) -> Result<()> {
        match self.bytes() {
            Some(limit) if !self.can_hold(bytes) => {
                let (bytes, has, name) = (gib(bytes), gib(limit), self.name());
                let message =
                    format!("{what} takes about {bytes} of memory, most of it for {largest}; {name} has {has}");
                Err(Error::config(key, message))
            }
            _ => Ok(()),
        }
    }
}

/// `5.4 GiB`
fn gib(bytes: u64) -> String {
    let gib = bytes as f64 / (1_u64 << 30) as f64;
    if gib < 0.1 { format!("{:.1} MiB", 1024.0 * gib) } else { format!("{gib:.1} GiB") }
}

/// The smallest limit of a control group and the groups around it. `line` is one of `/proc/self/cgroup`: `0::/a/b` for
/// version 2, `9:memory:/a/b` for version 1.
fn group_limit(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
    let (folders, file): (&[&str], _) = match controllers {
        "" => (&["sys/fs/cgroup", "sys/fs/cgroup/unified"], "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => {
            (&["sys/fs/cgroup/memory"], "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let group = Path::new(group.trim_start_matches('/'));
    // A container may see its own group as the outermost one, while `line` names it as seen from outside.
    let limit = |folder: &str| {
        let groups = group.ancestors().map(|group| root.join(folder).join(group).join(file));
        groups.filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok()).min()
    };
    folders.iter().filter_map(|folder| limit(folder)).min()
}

/// The soft limit in `/proc/self/limits`; `None` for `unlimited`.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of 8 GiB, with these files besides.
    fn limits(files: &[(&str, &str)]) -> Limits {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [("proc/meminfo", "MemTotal: 8388608 kB\n")].iter().chain(files) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Limits::under(root.path())
    }

    #[test]
    fn without_limits_the_machine_is_the_limit() {
        assert_eq!(limits(&[]).bytes(), Some(8 << 30));
        let unlimited = limits(&[
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "max\n"),
            ("proc/self/limits", "Limit Soft Hard Units\nMax address space         unlimited   unlimited   bytes\n"),
        ]);
        assert_eq!(unlimited, Limits { main: Some(8 << 30), container: None, address_space: None });
    }

    #[test]
    fn the_least_limit_of_all_groups_around_the_process_counts_in_version_2() {
        let nested = |inner: &str, outer: &str| {
            limits(&[
                ("proc/self/cgroup", "0::/a/b\n"),
                ("sys/fs/cgroup/a/b/memory.max", inner),
                ("sys/fs/cgroup/a/memory.max", outer),
            ])
        };
        assert_eq!(nested("max\n", "1258291200\n").container, Some(1200 << 20));
        assert_eq!(nested("1048576\n", "1258291200\n").container, Some(1 << 20));
        // Inside a container the group is the outermost one that is seen.
        let inside = limits(&[("proc/self/cgroup", "0::/docker/f00\n"), ("sys/fs/cgroup/memory.max", "4096\n")]);
        assert_eq!(inside.container, Some(4096));
    }

    #[test]
    fn version_1_has_a_folder_of_its_own_and_says_a_huge_number_without_a_limit() {
        let one = |limit: &str| {
            limits(&[
                ("proc/self/cgroup", "9:cpu,memory:/pod\n3:pids:/pod\n0::/\n"),
                ("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", limit),
            ])
        };
        assert_eq!(one("1258291200\n").bytes(), Some(1200 << 20));
        assert_eq!(one("9223372036854771712\n").container, None);
    }

    #[test]
    fn what_is_used_already_of_the_address_space_is_not_left() {
        let limited = limits(&[
            ("proc/self/limits", "Max address space         1536000000   unlimited   bytes\n"),
            ("proc/self/status", "VmSize:\t  500000 kB\n"),
        ]);
        assert_eq!(limited.address_space, Some(1_536_000_000 - 512_000_000));
        let message = limited.check("model", "the run", 3 << 30, "activations").unwrap_err().to_string();
        assert_eq!(
            message,
            "model: the run takes about 3.0 GiB of memory, most of it for activations; what is left of the address space (ulimit -v) has \
             1.0 GiB"
        );
    }

    #[test]
    fn a_plan_may_exceed_the_limit_a_little() {
        let limits = Limits { main: Some(1 << 30), ..Limits::default() };
        assert!(limits.can_hold((1 << 30) + (1 << 25)));
        assert!(!limits.can_hold((1 << 30) + (1 << 27)));
        assert!(limits.check("model", "the run", 1 << 30, "x").is_ok());
    }
}
