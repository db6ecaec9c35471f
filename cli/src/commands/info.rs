//! `hotrow info`: the machine, its levels, and why others are absent.

use std::collections::BTreeMap;
use std::io::Write;

use hotrow::{kernels::Level, machine::Machine, provenance};
use serde::Serialize;

use super::Failure;

#[derive(clap::Args)]
pub struct Arguments {
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

/// The output. As JSON it is a contract: keys are added, never changed.
#[derive(Serialize)]
struct Info {
    /// Raised when a key is added.
    schema: u32,
    version: &'static str,
    commit: &'static str,
    rustc: &'static str,
    target: &'static str,
    opt_level: &'static str,
    #[serde(flatten)]
    machine: Machine,
    /// The level in use.
    level: &'static str,
    /// All levels of this machine, lowest first.
    levels: Vec<&'static str>,
    /// Name of every other level, and why it is absent.
    levels_absent: BTreeMap<&'static str, &'static str>,
}

pub fn run(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    let info = Info {
        schema: 1,
        version: provenance::VERSION,
        commit: provenance::COMMIT,
        rustc: provenance::RUSTC,
        target: provenance::TARGET,
        opt_level: provenance::OPT_LEVEL,
        machine: Machine::read(),
        level: level.name(),
        levels: Level::available().map(Level::name).collect(),
        levels_absent: Level::absent().collect(),
    };
    if arguments.json {
        serde_json::to_writer_pretty(&mut *out, &info).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&info, out)?;
    }
    Ok(())
}

fn print(info: &Info, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "hotrow {} (commit {})", info.version, info.commit)?;
    writeln!(out, "built with {} for {}, opt-level {}\n", info.rustc, info.target, info.opt_level)?;

    let machine = &info.machine;
    let caches: Vec<_> = machine.caches.iter().map(|c| format!("L{} {} {}", c.level, c.kind, bytes(c.bytes))).collect();
    let unknown = || "unknown".to_owned();
    let or_unknown = |text: String| if text.is_empty() { unknown() } else { text };
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<12}{value}");
    line("CPU", &machine.cpu)?;
    line("cores", &machine.cores.to_string())?;
    line("caches", &or_unknown(caches.join(", ")))?;
    line("memory", &machine.memory_bytes.map_or_else(unknown, bytes))?;
    line("huge pages", machine.huge_pages.as_deref().unwrap_or("unknown"))?;

    let best = info.levels.last() == Some(&info.level);
    line(
        "level",
        &format!("{}{}", info.level, if best { "" } else { " (not the best of this machine: it was asked for)" }),
    )?;
    line("levels", &info.levels.join(", "))?;
    for (i, (name, reason)) in info.levels_absent.iter().enumerate() {
        line(if i == 0 { "absent" } else { "" }, &format!("{name}: {reason}"))?;
    }
    Ok(())
}

/// In the largest binary unit that leaves at least 1.
fn bytes(n: u64) -> String {
    let (unit, name) = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
        .into_iter()
        .find(|&(unit, _)| n >= unit)
        .unwrap_or((1, "bytes"));
    let tenths = (n as u128 * 10 / unit as u128) as u64;
    match tenths % 10 {
        0 => format!("{} {name}", tenths / 10),
        tenth => format!("{}.{tenth} {name}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_are_shown_in_the_largest_unit_that_fits() {
        let cases =
            [(0, "0 bytes"), (1023, "1023 bytes"), (32 << 10, "32 KiB"), (3 << 19, "1.5 MiB"), (24 << 30, "24 GiB")];
        for (n, text) in cases {
            assert_eq!(super::bytes(n), text);
        }
    }
}
