//! `hotrow bench sweep`, `roofline`, `breakeven` and `scale`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use hotrow::files;
use hotrow::kernels::Level;
use hotrow_cli::bench::{self, BreakEven, Effort, Roofline, Sweep};
use serde::Serialize;

use super::super::{Failure, Threads};

/// Where results go.
#[derive(Args)]
pub struct Output {
    /// Also writes the JSON object to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Arguments {
    /// Turns of each contender; times are medians
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeats: u16,
    /// Uses small shapes, only to see that it works
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    threads: Threads,
}

impl Arguments {
    /// `best` is the requested level. Those below it are measured too.
    fn effort(&self, best: Level) -> Result<Effort, Failure> {
        self.threads.start()?;
        let mut levels: Vec<Level> = Level::available().take_while(|level| level.name() != best.name()).collect();
        levels.push(best);
        Ok(effort(self.repeats.into(), self.quick, levels))
    }
}

/// The command is this one.
pub fn effort(repeats: usize, quick: bool, levels: Vec<Level>) -> Effort {
    let command = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    Effort { repeats, quick, levels, command }
}

impl Output {
    /// Prints the object if `--json` asks for it, else the table.
    pub fn finish(&self, object: &impl Serialize, table: String, out: &mut impl Write) -> Result<(), Failure> {
        let mut json = serde_json::to_string_pretty(object).expect("names and numbers are JSON");
        json.push('\n');
        if let Some(path) = &self.out {
            files::write(path, json.as_bytes())?;
        }
        Ok(out.write_all(if self.json { json.as_bytes() } else { table.as_bytes() })?)
    }
}

pub fn sweep(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    let sweep = bench::sweep(&arguments.effort(level)?);
    arguments.output.finish(&sweep, sweep_table(&sweep), out)
}

pub fn scale(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    let sweep = bench::scale(&arguments.effort(level)?)?;
    arguments.output.finish(&sweep, sweep_table(&sweep), out)
}

pub fn roofline(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    let roofline = bench::roofline(&arguments.effort(level)?);
    arguments.output.finish(&roofline, roofline_table(&roofline), out)
}

pub fn breakeven(arguments: &Arguments, level: Level, out: &mut impl Write) -> Result<(), Failure> {
    let found = bench::breakeven(&arguments.effort(level)?);
    arguments.output.finish(&found, breakeven_table(&found), out)
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.3} ms", 1e3 * seconds)
}

/// A line for each value, a column for each contender.
fn sweep_table(sweep: &Sweep) -> String {
    let mut lines: Vec<(String, BTreeMap<&str, f64>)> = Vec::new();
    for row in &sweep.rows {
        let name = format!("{:<12} {:>10}", row.axis, row.value);
        match lines.last_mut().filter(|(last, _)| *last == name) {
            Some((_, cells)) => drop(cells.insert(&row.contender, row.seconds)),
            None => lines.push((name, BTreeMap::from([(row.contender.as_str(), row.seconds)]))),
        }
    }
    let cells = |cells: &BTreeMap<&str, f64>| {
        cells.iter().map(|(name, seconds)| format!("   {name} {}", milliseconds(*seconds))).collect::<String>()
    };
    lines.iter().map(|(name, row)| format!("{name}{}\n", cells(row))).collect()
}

fn roofline_table(roofline: &Roofline) -> String {
    let mut text = format!("one thread reads {:.1} GB/s\n", roofline.bandwidth_bytes_per_second / 1e9);
    for peak in &roofline.peak {
        text += &format!("{:<9} {:<5} {:>8.1} GFLOP/s at most\n", peak.level, peak.dtype, peak.gflops);
    }
    for kernel in &roofline.kernels {
        text += &format!(
            "{:<26} {:<9} {:<5} {:>8.1} GFLOP/s {:>7.1} GB/s   {}\n",
            kernel.name, kernel.level, kernel.dtype, kernel.gflops, kernel.gbytes, kernel.shape
        );
    }
    text
}

fn breakeven_table(found: &BreakEven) -> String {
    let share = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{share:.3}"));
    let mut text = "sampled products beat, below a density of\n".to_owned();
    text += &format!(
        "{:<9} {:<5} {:<34} {:>8} {:>8} {:>15}\n",
        "level", "dtype", "shape", "dense", "matmul", "packed (fill)"
    );
    for crossing in &found.crossings {
        text += &format!(
            "{:<9} {:<5} {:<34} {:>8} {:>8} {:>15}\n",
            crossing.level,
            crossing.dtype,
            crossing.shape,
            share(crossing.sampled_beats_dense_below),
            share(crossing.sampled_beats_matmul_below),
            share(crossing.sampled_beats_packed_below_fill)
        );
    }
    let rule = &found.rule;
    let measured = rule.measured.map_or("nothing".to_owned(), |[least, most]| format!("{least:.3} to {most:.3}"));
    let verdict = if rule.agrees { "agrees" } else { "does not agree" };
    text + &format!(
        "training packs from a fill of {}: {verdict} with {measured}; at worst it costs {:.2} times the better way\n",
        rule.packed_from, rule.worst_factor
    )
}
