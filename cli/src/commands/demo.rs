//! `hotrow demo`: one network, dense and sparse, and memories in its place, on real data inside the program.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use hotrow::config::{Config, Format, IndexName};
use hotrow::error::{Error, Result};
use hotrow::files::{self, Rollback};
use hotrow::kernels::Level;
use hotrow::run::{Observer, Signals, restart_peak_memory};
use hotrow::train::xmc::Mixed;
use hotrow::train::{Inputs, Options, start};
use hotrow_cli::{Progress, report};

use super::{Failure, Threads};

const TRAIN: &[u8] = include_bytes!("../../../data/demo/train.tsv.zst");
const VALID: &[u8] = include_bytes!("../../../data/demo/valid.tsv.zst");

#[derive(Args)]
pub struct Arguments {
    /// Folder for the three runs and the report; it must not exist [default: the first of hotrow-demo, hotrow-demo-2, ...
    /// that does not]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Passes of the networks over the 60 000 titles
    #[arg(long, value_name = "N", default_value_t = 3)]
    epochs: u64,
    /// Sets one key of the networks, such as optim.lr=0.002, or of all runs (data.* and train.seed; repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    #[command(flatten)]
    threads: Threads,
}

pub fn run(arguments: &Arguments, level: Level, signals: &Signals, out: &mut impl Write) -> Result<(), Failure> {
    let threads = arguments.threads.start()?;
    let folder = folder(arguments.out.as_deref())?;
    let made = Rollback::folder(&folder)?;
    let data = folder.join("data");
    let inner = Rollback::folder(&data)?;
    for (name, bytes) in [("train.tsv.zst", TRAIN), ("valid.tsv.zst", VALID)] {
        let path = data.join(name);
        files::write(&path, bytes)?;
    }
    inner.keep();
    let (train, valid) = (data.join("train.tsv.zst"), Some(data.join("valid.tsv.zst")));
    let inputs = Inputs { train, valid, tokenizer: None };
    let cache = Some(data.join("cache"));
    let options = Options { level, threads, command: super::command_line(), cache, other_level: false };
    let mut progress = Progress::stderr();
    progress.note("60 000 paper titles: what are the key words of each, out of 35 686?");
    let mut runs = Vec::new();
    for (name, note, index) in [
        ("dense", "1 of 3: a network; every key word is computed in every step.", IndexName::All),
        ("sparse", "2 of 3: the same network; a step computes only the rows that an index names.", IndexName::Blocks),
    ] {
        progress.note(note);
        restart_peak_memory();
        let config = config(arguments, index)?;
        let run = folder.join(name);
        start(&run, &inputs, config, &options, signals, &mut progress)?;
        runs.push(run);
    }
    progress.note(
        "3 of 3: no network; counts, neighbours and linear rows, and a mixture of them (the default of train xmc).",
    );
    restart_peak_memory();
    let run = folder.join("mixture");
    start(&run, &inputs, mixture(arguments)?, &options, signals, &mut progress)?;
    runs.push(run);
    progress.finish();
    // A run that has started has kept it already.
    made.keep();
    let mut report = report::from_runs(&runs)?;
    report.title = "One network, dense and sparse, and memories in its place".to_owned();
    report.subtitle = "Titles of computer-science papers, and 35 686 key words to be found".to_owned();
    report.notes.push(
        "P@k: the share of the k best-scored key words that are right, on 2 000 papers that were not trained \
        on. Networks score every key word there, and the mixture those that its memories name. It is the one to take."
            .to_owned(),
    );
    let page = folder.join("report.html");
    report::write(&page, report::html(&report).as_bytes())?;
    writeln!(out, "{}\nreport: {}", report::table(&report), page.display())?;
    Ok(())
}

/// Where the columns are.
const COLUMNS: [&str; 2] = ["data.label=2", "data.text=3"];

/// The options of the mixture: all defaults.
fn mixture(arguments: &Arguments) -> Result<Mixed> {
    let for_all = |set: &&String| set.trim_start().starts_with("data.") || set.trim_start().starts_with("train.seed");
    let sets = COLUMNS.iter().map(|set| set.to_string()).chain(arguments.sets.iter().filter(for_all).cloned());
    let mut mixed = Mixed::load(None, &sets.collect::<Vec<_>>())?;
    mixed.0.data.format = Format::Tsv;
    Ok(mixed)
}

/// The options of both networks. They differ in `index` only.
fn config(arguments: &Arguments, index: IndexName) -> Result<Config> {
    let [label, text] = COLUMNS;
    let mut sets = vec![
        label.to_owned(),
        text.to_owned(),
        "data.word_ngrams=2".to_owned(),
        "data.hash_size=131072".to_owned(),
        // A sample has seven labels, so those of a batch alone are a thousand rows.
        "sparse.active=2560".to_owned(),
        "train.log_every=10".to_owned(),
        "sparse.inspect_every=50".to_owned(),
    ];
    sets.extend(arguments.sets.iter().cloned());
    let mut config = Config::load(None, &sets)?;
    (config.data.format, config.sparse.index, config.train.epochs) = (Format::Tsv, index, arguments.epochs);
    config.check()?;
    Ok(config)
}

/// A folder that does not exist yet.
fn folder(out: Option<&Path>) -> Result<PathBuf> {
    match out {
        Some(out) if out.symlink_metadata().is_ok() => {
            Err(Error::config("--out", format!("{} exists already", out.display())))
        }
        Some(out) => Ok(out.to_owned()),
        None => {
            let name =
                |n: u32| PathBuf::from(if n == 1 { "hotrow-demo".to_owned() } else { format!("hotrow-demo-{n}") });
            Ok((1..).map(name).find(|name| !name.exists()).expect("names do not end"))
        }
    }
}
