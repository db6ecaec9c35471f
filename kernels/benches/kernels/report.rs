//! From times to figures: shares of ceilings, ratios to rivals, the lines on the terminal and in the JSON file.

use std::fmt;
use std::process::Command;

use serde_json::{Value, json};

use crate::measure::{Role, Target, Work};

/// A ceiling as measured, and how near the kernel came.
struct Ceiling {
    name: String,
    /// Which of the ways to write it was the fastest.
    way: String,
    rate: f64,
    unit: &'static str,
    /// Median over the rounds of (kernel's rate / ceiling's rate in the same round).
    share: f64,
    /// The kernel's best rate over the ceiling's best.
    share_of_best: f64,
    /// Median over the rounds of (kernel's time / time of the ceiling's loop).
    times: f64,
}

/// The figures of one line.
pub struct Line {
    name: String,
    target: Option<Target>,
    /// Median and best time of a job, in seconds.
    seconds: [f64; 2],
    /// Per job.
    work: Work,
    rounds: usize,
    ceilings: Vec<Ceiling>,
    /// Name, and median over the rounds of (rival's time / kernel's time).
    rivals: Vec<(String, f64)>,
    load: String,
}

impl Line {
    pub fn new<'a>(
        name: &str,
        target: Option<Target>,
        work: Work,
        jobs: usize,
        times: impl Iterator<Item = (&'a Role, &'a [f64])>,
    ) -> Line {
        let (mut kernel, mut ways, mut rivals) = (&[][..], vec![], vec![]);
        for (role, seconds) in times {
            match role {
                Role::Kernel => kernel = seconds,
                Role::Ceiling { name, way, work } => ways.push((name, way, *work, seconds)),
                Role::Rival(name) => rivals.push((name.clone(), seconds)),
            }
        }
        let mut ceilings: Vec<Ceiling> = vec![];
        for (name, way, ceiling, seconds) in ways {
            let (unit, amount, of) = match (ceiling.bytes, ceiling.flops) {
                (0, flops) => ("GFLOP/s", flops as f64, work.flops as f64),
                (bytes, _) => ("GB/s", bytes as f64, work.bytes as f64),
            };
            let measured = Ceiling {
                name: name.clone(),
                way: way.clone(),
                rate: amount / median(seconds) / 1e9,
                unit,
                share: of / amount * median_ratio(seconds, kernel),
                share_of_best: of / amount * best(seconds) / best(kernel),
                times: median_ratio(kernel, seconds),
            };
            match ceilings.iter_mut().find(|known| known.name == measured.name) {
                Some(known) if known.rate < measured.rate => *known = measured,
                Some(_) => {}
                None => ceilings.push(measured),
            }
        }
        Line {
            name: name.to_owned(),
            target,
            seconds: [median(kernel), best(kernel)].map(|seconds| seconds / jobs as f64),
            work: Work { bytes: work.bytes / jobs, flops: work.flops / jobs },
            rounds: kernel.len(),
            ceilings,
            rivals: rivals.into_iter().map(|(name, seconds)| (name, median_ratio(seconds, kernel))).collect(),
            load: load_average(),
        }
    }

    /// The ceiling that the kernel is nearest to: the one that limits it.
    fn binding(&self) -> Option<&Ceiling> {
        self.ceilings.iter().max_by(|a, b| a.share.total_cmp(&b.share))
    }

    /// Whether the target is met, if there is one.
    fn met(&self) -> Option<bool> {
        let share = |least: f64| self.binding().is_some_and(|ceiling| ceiling.share >= least);
        Some(match self.target? {
            Target::Share(least) => share(least),
            Target::ShareAndRival(least, rival, ratio) => {
                share(least) && self.rivals.iter().any(|(name, measured)| name == rival && *measured >= ratio)
            }
            Target::TimesCeiling(most) => self.binding().is_some_and(|ceiling| ceiling.times <= most),
        })
    }

    /// GFLOP/s and GB/s by the median and the best time; none where the work is not counted.
    fn rates(&self) -> impl Iterator<Item = (&'static str, [f64; 2])> {
        [("GFLOP/s", self.work.flops), ("GB/s", self.work.bytes)]
            .into_iter()
            .filter(|(_, work)| *work > 0)
            .map(|(unit, work)| (unit, self.seconds.map(|seconds| work as f64 / seconds / 1e9)))
    }

    pub fn to_json(&self) -> Value {
        let ceilings = self.ceilings.iter().map(|c| {
            json!({
                "name": c.name, "way": c.way, "rate": round(c.rate), "unit": c.unit,
                "share": round(c.share), "share_of_best": round(c.share_of_best), "times": round(c.times),
            })
        });
        let rivals = self.rivals.iter().map(|(name, ratio)| json!({ "name": name, "times_faster": round(*ratio) }));
        let rates = self
            .rates()
            .map(|(unit, [median, best])| json!({ "unit": unit, "median": round(median), "best": round(best) }));
        json!({
            "name": self.name,
            "nanoseconds": { "median": round(self.seconds[0] * 1e9), "best": round(self.seconds[1] * 1e9) },
            "rates": rates.collect::<Vec<_>>(),
            "rounds": self.rounds,
            "ceilings": ceilings.collect::<Vec<_>>(),
            "binding": self.binding().map(|ceiling| &ceiling.name),
            "rivals": rivals.collect::<Vec<_>>(),
            "target": self.target.map(|target| target.to_string()),
            "met": self.met(),
            "load_average": self.load,
        })
    }

    /// The record of a line that cannot run here.
    pub fn absent(name: &str, target: Option<Target>, reason: &str) -> Value {
        json!({ "name": name, "not_run": reason, "target": target.map(|target| target.to_string()) })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "    {:.0} ns", self.seconds[0] * 1e9)?;
        for (unit, [median, best]) in self.rates() {
            write!(f, " · {median:.1} {unit} (best {best:.1})")?;
        }
        for c in &self.ceilings {
            let (percent, best) = (100.0 * c.share, 100.0 * c.share_of_best);
            write!(
                f,
                "\n    {percent:.0} % (best by best {best:.0} %) of {}: {:.1} {} by {}",
                c.name, c.rate, c.unit, c.way
            )?;
        }
        for (name, ratio) in &self.rivals {
            write!(f, "\n    {ratio:.2} times as fast as {name}")?;
        }
        match (self.target, self.met()) {
            (Some(target), Some(met)) => write!(f, "\n    target {target}: {}", if met { "met" } else { "NOT met" }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Target::Share(least) => write!(f, "at least {:.0} % of the ceiling", 100.0 * least),
            Target::ShareAndRival(least, rival, ratio) => {
                write!(f, "at least {:.0} % of the ceiling and {ratio} times as fast as {rival}", 100.0 * least)
            }
            Target::TimesCeiling(most) => write!(f, "at most {most} times the time of the ceiling"),
        }
    }
}

/// All lines, and where and on what they were measured.
pub struct Report {
    lines: Vec<Value>,
    load_at_start: String,
}

impl Report {
    pub fn new() -> Report {
        Report { lines: vec![], load_at_start: load_average() }
    }

    pub fn push(&mut self, line: Value) {
        self.lines.push(line);
    }

    /// Writes the lines to the file that `HOTROW_BENCH_JSON` names, if it does and there are any.
    pub fn write(self) {
        let Some(path) = std::env::var_os("HOTROW_BENCH_JSON").filter(|_| !self.lines.is_empty()) else { return };
        let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
        let json = json!({
            "schema": 1,
            "machine": {
                "cpu": cpu(),
                "cores": std::thread::available_parallelism().map_or(0, usize::from),
                "levels": hotrow_kernels::Level::available().map(|level| level.name()).collect::<Vec<_>>(),
                "levels_absent": hotrow_kernels::Level::absent().collect::<std::collections::BTreeMap<_, _>>(),
            },
            "commit": output_of("git", &["describe", "--always", "--dirty", "--abbrev=12"]),
            "rustc": output_of("rustc", &["--version"]),
            "command": format!("cargo bench -p hotrow-kernels-bench -- {}", arguments.join(" ")).trim_end_matches([' ', '-']),
            "load_average": { "start": self.load_at_start, "end": load_average() },
            "lines": self.lines,
        });
        // Cargo runs a bench in the folder of its package; a relative path is meant from the root of the workspace.
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
        let text = serde_json::to_string_pretty(&json).expect("strings and numbers can be written");
        std::fs::write(&path, text + "\n").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        println!("figures written to {}", path.display());
    }
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        line.split_once(':').map(|(_, value)| value.trim())
    };
    match (field("model name"), field("cpu family"), field("model")) {
        (Some(name), Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => "unknown".to_owned(),
    }
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn output_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success());
    output.map_or("unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn median(xs: &[f64]) -> f64 {
    let mut sorted = xs.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn best(seconds: &[f64]) -> f64 {
    seconds.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The median over the rounds of `a / b`: what drifts during the run drifts in both.
fn median_ratio(a: &[f64], b: &[f64]) -> f64 {
    median(&a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>())
}

/// Four digits: more would be noise.
fn round(x: f64) -> f64 {
    format!("{x:.3e}").parse().unwrap_or(x)
}
