//! Runs workloads: variants and seeds in turns, each in a process of its own, with a result file for each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::outcome::{Host, Outcome};
use super::prices::Prices;
use super::probe::{self, EnergyMeter, load_average};
use super::read;
use super::workload::{Task, Variant, Workload, digest, file_digest};
use hotrow::data::tokens::{TextOptions, TokenizerSource, tokenize};
use hotrow::error::{Error, Result};
use hotrow::files::{self, Rollback, Temporary};
use hotrow::machine::Machine;
use hotrow::provenance;
use hotrow::run::{Observer, Signals};

/// The fewest seeds that can show a difference.
pub const LEAST_RUNS: usize = 3;

/// The name of the runs' temporary folders.
const RUN: &str = "run";

/// The time between two checks on a run.
const POLL: Duration = Duration::from_millis(20);

/// Options of a series of runs.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The `hotrow` program that trains.
    pub program: PathBuf,
    /// Name of the instruction set.
    pub level: String,
    /// Threads of each run.
    pub threads: usize,
    /// The folder for the results.
    pub out: PathBuf,
    /// The names of the variants to run; all if empty.
    pub variants: Vec<String>,
    /// Seeds to run; those of the workload if empty.
    pub seeds: Vec<u64>,
    /// Only the first so many seeds.
    pub rounds: Option<usize>,
    /// Whether fewer than three seeds are allowed. Results then say so.
    pub few: bool,
    /// The price list.
    pub prices: Prices,
    /// The command that repeats the series.
    pub command: Vec<String>,
}

/// The results of a series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Finished {
    /// The results in the order of the runs, with those that existed before.
    pub outcomes: Vec<Outcome>,
    /// How many of them existed before.
    pub skipped: usize,
    /// Whether a signal ended the series early.
    pub stopped: bool,
}

/// Checks workloads and options, then runs each workload: all variants with the first seed, then with the second, and
/// so on. Nothing is measured before every checksum is right. Existing results of the same workload (by hash), commit,
/// level and number of threads are not measured again.
///
/// # Errors
///
/// [`Error::Config`] for fewer than three seeds without `few`, and for unknown variants; [`Error::Data`] for wrong
/// checksums; and the error of any run, except divergence, which is a result.
pub fn run(
    workloads: &[Workload],
    options: &RunOptions,
    signals: &Signals,
    observer: &mut dyn Observer,
) -> Result<Finished> {
    let mut plans = Vec::new();
    for workload in workloads {
        plans.push((workload, seeds(workload, options)?, variants(workload, options)?));
        workload.check_data()?;
    }
    let made = Rollback::folder(&options.out)?;
    // Folders of runs whose program was killed.
    files::sweep(&options.out, |name| name == RUN);
    for (workload, seeds, variants) in &plans {
        let names: Vec<_> = variants.iter().map(|variant| variant.name.as_str()).collect();
        observer.note(&format!(
            "workload {} {}: target {} {}, variants {}, seeds {seeds:?}",
            workload.name,
            workload.hash,
            workload.target.metric,
            workload.target.value,
            names.join(" ")
        ));
    }
    let mut series = Series { options, signals, bandwidth: 0.0, place: 0, finished: Finished::default() };
    for (workload, seeds, variants) in &plans {
        let mut tokens = None;
        for &seed in seeds {
            for &variant in variants {
                if signals.requested() {
                    series.finished.stopped = true;
                    made.keep();
                    return Ok(series.finished);
                }
                let few = seeds.len() < LEAST_RUNS;
                series.next(workload, variant, (seed, few), &mut tokens, observer)?;
                series.place += 1;
            }
        }
    }
    made.keep();
    Ok(series.finished)
}

fn seeds(workload: &Workload, options: &RunOptions) -> Result<Vec<u64>> {
    let given = if options.seeds.is_empty() { &workload.seeds } else { &options.seeds };
    let seeds = given[..options.rounds.unwrap_or(given.len()).min(given.len())].to_vec();
    let different: BTreeSet<u64> = seeds.iter().copied().collect();
    if different.len() < seeds.len() {
        return Err(Error::config("--seeds", format!("{seeds:?}: a seed comes twice")));
    }
    if seeds.len() < LEAST_RUNS && !options.few {
        let count = seeds.len();
        let message = format!(
            "{count} of workload {} cannot tell a difference from chance: give {LEAST_RUNS} seeds or more, or --few, which \
             marks the results",
            workload.name
        );
        return Err(Error::config("--seeds", message));
    }
    Ok(seeds)
}

fn variants<'a>(workload: &'a Workload, options: &RunOptions) -> Result<Vec<&'a Variant>> {
    if options.variants.is_empty() {
        return Ok(workload.variants.iter().collect());
    }
    let find = |name: &String| {
        let missing = || {
            let names: Vec<_> = workload.variants.iter().map(|variant| variant.name.as_str()).collect();
            let message =
                format!("{name:?} is no variant of workload {}, which has {}", workload.name, names.join(", "));
            Error::config("--variants", message)
        };
        workload.variants.iter().find(|variant| variant.name == *name).ok_or_else(missing)
    };
    options.variants.iter().map(find).collect()
}

/// The files that a run reads, as flags and paths, and the digests of those that were made.
type Inputs = (Vec<(&'static str, PathBuf)>, BTreeMap<String, String>);

struct Series<'a> {
    options: &'a RunOptions,
    signals: &'a Signals,
    bandwidth: f64,
    place: u64,
    finished: Finished,
}

impl Series<'_> {
    /// One run, or its existing result.
    fn next(
        &mut self,
        workload: &Workload,
        variant: &Variant,
        (seed, few): (u64, bool),
        inputs: &mut Option<Inputs>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let options = self.options;
        let mut outcome = Outcome {
            workload: workload.name.clone(),
            workload_hash: workload.hash.clone(),
            task: workload.task,
            division: workload.division_of(variant),
            variant: variant.name.clone(),
            precision: workload.precision(variant)?.to_owned(),
            seed,
            place: self.place,
            runs_few: few,
            command: options.command.clone(),
            ..Outcome::default()
        };
        let title = format!("{} {} seed {seed}", workload.name, variant.name);
        let path = options.out.join(outcome.file_name());
        if let Some(before) = path.is_file().then(|| Outcome::read(&path)).transpose()? {
            if before.workload_hash == workload.hash && self.is_ours(&before) {
                observer.note(&format!("{title}: skipped, {} has its result", path.display()));
                self.finished.outcomes.push(before);
                self.finished.skipped += 1;
                return Ok(());
            }
            observer.note(&format!("{title}: {} is of another workload, commit or machine setting", path.display()));
        }
        if self.bandwidth == 0.0 {
            self.bandwidth = probe::bandwidth();
        }
        if inputs.is_none() {
            *inputs = Some(files(workload, &options.out)?);
        }
        let (files, made) = inputs.as_ref().expect("made just now");
        outcome.data = made.clone();
        outcome.machine = self.machine();
        let folder = Temporary::folder(&options.out, RUN)?;
        outcome.started = probe::now();
        let (load, energy, start) = (load_average(), EnergyMeter::start(), Instant::now());
        let code = self.child(workload, variant, seed, files, folder.path())?;
        let process = start.elapsed().as_secs_f64();
        outcome.energy = energy.stop();
        (outcome.machine.load_average_before, outcome.machine.load_average_after) = (load, load_average());
        let Some(code) = code else {
            self.finished.stopped = true;
            return Ok(());
        };
        match code {
            0 => read::fill(&mut outcome, &folder.path().join("run"), &workload.target, process, false)?,
            3 => read::fill(&mut outcome, &folder.path().join("run"), &workload.target, process, true)?,
            code => return Err(failure(code, &title, &folder.path().join("stderr"))),
        }
        outcome.cost = options.prices.cost(&outcome.machine.cpu, outcome.seconds.total);
        outcome.write(&options.out)?;
        // Whatever fails later, this is worth keeping.
        files::keep(&options.out);
        observer.note(&format!("{title}: {}", headline(&outcome)));
        self.finished.outcomes.push(outcome);
        Ok(())
    }

    fn is_ours(&self, before: &Outcome) -> bool {
        let commit = before.software.get("commit").map(String::as_str);
        let machine = (before.machine.level.as_str(), before.machine.threads);
        commit == Some(provenance::COMMIT) && machine == (self.options.level.as_str(), self.options.threads)
    }

    fn machine(&self) -> Host {
        let machine = Machine::read();
        Host {
            cpu: machine.cpu,
            cores: machine.cores,
            memory_bytes: machine.memory_bytes.unwrap_or(0),
            level: self.options.level.clone(),
            threads: self.options.threads,
            bandwidth_bytes_per_second: self.bandwidth,
            system: probe::system(),
            ..Host::default()
        }
    }

    /// Trains in a process of its own, below `folder`. Returns its exit code, or `None` after a signal.
    fn child(
        &self,
        workload: &Workload,
        variant: &Variant,
        seed: u64,
        files: &[(&str, PathBuf)],
        folder: &Path,
    ) -> Result<Option<i32>> {
        let (config, errors) = (folder.join("workload.toml"), folder.join("stderr"));
        fs::write(&config, workload.config_text()).map_err(Error::io(&config))?;
        let mut command = Command::new(&self.options.program);
        command.args(["--level", &self.options.level, "train", workload.task.name(), "--json"]);
        command.arg("--threads").arg(self.options.threads.to_string());
        command.arg("--config").arg(&config).arg("--out").arg(folder.join("run"));
        for (flag, path) in files {
            command.arg(flag).arg(path);
        }
        for set in workload.sets(variant, seed) {
            command.args(["--set", &set]);
        }
        let file = fs::File::create(&errors).map_err(Error::io(&errors))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        // The child ends first, and its folder goes with it.
        let _polled = self.signals.polled();
        let mut child = KilledOnDrop(command.spawn().map_err(Error::io(&self.options.program))?);
        loop {
            if let Some(status) = child.0.try_wait().map_err(Error::io(&self.options.program))? {
                // A process ended by a signal has no code. If the signal came from the keyboard, it was meant for this
                // program too.
                let interrupted = self.signals.requested() && !status.success();
                return Ok(if interrupted { None } else { Some(status.code().unwrap_or(-1)) });
            }
            if self.signals.requested() {
                return Ok(None);
            }
            std::thread::sleep(POLL);
        }
    }
}

/// A process that is killed when this value is dropped.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        // It has ended already, or its result is of no use.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The files that a run reads. Text is made into tokens first, once for all runs.
fn files(workload: &Workload, out: &Path) -> Result<Inputs> {
    let data = &workload.data;
    let absolute =
        |names: &str| names.split(',').map(|name| workload.root.join(name).display().to_string()).collect::<Vec<_>>();
    if workload.task == Task::Xmc {
        let path = |names: &str| PathBuf::from(absolute(names).join(","));
        return Ok((vec![("--train", path(&data.train)), ("--valid", path(&data.valid))], BTreeMap::new()));
    }
    let folder = out.join(".cache").join(format!("{}-{}", workload.name, &digest(workload.hash.as_bytes())[..8]));
    Rollback::folder(&folder)?.keep();
    let paths = |names: &str| absolute(names).into_iter().map(PathBuf::from).collect();
    let options = TextOptions {
        files: paths(&data.train),
        valid: if data.valid.is_empty() { Vec::new() } else { paths(&data.valid) },
        field: if data.field.is_empty() { "text".to_owned() } else { data.field.clone() },
        valid_share: data.valid_share,
        seed: 1,
        ..TextOptions::default()
    };
    let source = match data.vocabulary {
        0 => TokenizerSource::Load(workload.root.join(&data.tokenizer)),
        tokens => TokenizerSource::Train(tokens),
    };
    let made = tokenize(&options, &source, &folder)?;
    let valid = made.valid.ok_or_else(|| Error::config("data.valid", "there is nothing for validation"))?;
    let files = vec![("--train", made.train), ("--valid", valid), ("--tokenizer", made.tokenizer)];
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let digests = files.iter().map(|(_, path)| Ok((name(path), file_digest(path)?))).collect::<Result<_>>()?;
    Ok((files, digests))
}

/// A line about a result.
fn headline(outcome: &Outcome) -> String {
    let mut line = Vec::new();
    let metric = &outcome.target.metric;
    let value = outcome.metrics.get(metric).map_or("unknown".to_owned(), |value| format!("{value:.4}"));
    let _ = write!(line, "{}, {metric} {value}, {:.1} s", outcome.status, outcome.seconds.total);
    if let Some(seconds) = outcome.target.seconds {
        let _ = write!(line, ", target after {seconds:.1} s");
    }
    String::from_utf8_lossy(&line).into_owned()
}

/// The error of a run that ended with `code`, with its own message, and the same exit code if possible.
fn failure(code: i32, title: &str, stderr: &Path) -> Error {
    let text = fs::read_to_string(stderr).unwrap_or_default();
    let said = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing was said");
    let said = said.strip_prefix("error: ").unwrap_or(said);
    match code {
        2 => Error::config(title, said),
        4 => Error::data(title, 0, 0, said),
        _ => Error::io(title)(std::io::Error::other(format!("ended with code {code}: {said}"))),
    }
}
