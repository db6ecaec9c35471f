//! The command line: what to do, where results go, and how the program ends.
//!
//! Results go to standard output, everything else to standard error. `EXIT_CODES` in `error` has the exit codes.

mod arguments;
mod bench;
mod demo;
mod evaluate;
mod generate;
mod info;
mod make_data;
mod predict;
mod report;
mod tokenize;
mod train;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use hotrow::error::{EXIT_CODES, Error};
use hotrow::kernels::Level;
use hotrow::run::{Signals, is_run};

/// More threads would only get in each other's way.
const MOST_THREADS: usize = 512;

const LEVEL_VARIABLE: &str = "HOTROW_LEVEL";

#[derive(Parser)]
#[command(
    name = "hotrow",
    version,
    long_version = hotrow::provenance::LONG,
    about,
    after_help = exit_codes(),
    arg_required_else_help = true
)]
struct Cli {
    /// Instruction set to compute with: portable, avx2, avx512, amx or neon [default: the variable HOTROW_LEVEL, or the
    /// best of this machine]
    #[arg(long, global = true)]
    level: Option<String>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Describe this machine: CPU, memory, the instruction sets that hotrow can use, and why others are absent
    Info(info::Arguments),
    /// Train a network
    Train(train::Arguments),
    /// Evaluate a run on a file
    Eval(evaluate::Arguments),
    /// Print the best labels of each sample of a file, or of standard input
    Predict(predict::Arguments),
    /// Generate text with a language model
    Generate(generate::Arguments),
    /// Turn text into token files for language models, with a new tokenizer or a loaded one
    Tokenize(tokenize::Arguments),
    /// Make synthetic data sets that a network can learn
    #[command(alias = "gen")]
    MakeData(make_data::Arguments),
    /// Run benchmarks: workloads under fixed rules, comparisons of their results, kernels against the machine
    Bench(bench::Arguments),
    /// Draw runs and measurements (quality, time, operations, memory, cost) as one page, Markdown and pictures
    Report(report::Arguments),
    /// Train one network dense and sparse, on built-in data: a table and a report in about a minute
    Demo(demo::Arguments),
    /// List all commands and their paths, for a test that tries them
    #[command(hide = true)]
    Arguments,
}

/// The number of threads.
#[derive(Args)]
struct Threads {
    /// Threads to compute with. They change the time and no bit of the result [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// The variable that rayon reads if there is no `--threads`.
const THREADS_VARIABLE: &str = "RAYON_NUM_THREADS";

impl Threads {
    /// Starts the threads; returns their number.
    fn start(&self) -> Result<usize, Failure> {
        let variable = std::env::var(THREADS_VARIABLE).ok().and_then(|value| value.parse().ok());
        let asked = [("--threads", self.threads), (THREADS_VARIABLE, variable.filter(|&threads| threads > 0))];
        // The flag wins over the variable.
        if let Some((name, threads)) = asked.into_iter().find_map(|(name, threads)| Some((name, threads?)))
            && !(1..=MOST_THREADS).contains(&threads)
        {
            return Err(Failure::Usage(format!("{name}: {threads} is not in 1..={MOST_THREADS}")));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads.unwrap_or(0));
        pool.build_global().map_err(|error| Failure::Refused(format!("threads to compute with: {error}")))?;
        Ok(rayon::current_num_threads())
    }
}

/// Why the program ends early.
enum Failure {
    /// The user asked for something impossible.
    Usage(String),
    /// The system refused something that belongs to no file.
    Refused(String),
    /// Writing the result failed.
    Output(io::Error),
    /// A signal ended something that continues when it is started again.
    Stopped(String),
    /// An error about data, files or the run.
    Run(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Run(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    // Without it, only the message or the exit code differs.
    let _ = Signals::outlive_abort();
    let _ = Signals::outlive_file_limit();
    let cli = Cli::parse();
    let mut out = io::stdout().lock();
    match execute(&cli, &mut out).and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough (`hotrow info | head -1`).
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => fail(1, &format!("writing to standard output: {error}")),
        Err(Failure::Refused(message)) => fail(1, &message),
        Err(Failure::Usage(message)) => fail(2, &message),
        Err(Failure::Stopped(message)) => {
            // As it was asked to: no error.
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(75)
        }
        Err(Failure::Run(stopped @ Error::Stopped { .. })) => {
            // As it was asked to: no error.
            let _ = writeln!(io::stderr(), "{stopped}");
            ExitCode::from(stopped.exit_code())
        }
        Err(Failure::Run(error)) => {
            let code = error.exit_code();
            fail(code, &of_flag(error).to_string())
        }
    }
}

/// Options of the library and their flags.
const FLAGS: [&str; 10] = [
    "document_separator",
    "end_of_text",
    "out",
    "prompt",
    "resume",
    "set",
    "temperature",
    "top_p",
    "valid_share",
    "vocabulary",
];

/// The same error, naming the flag instead of the library's option.
fn of_flag(error: Error) -> Error {
    match error {
        Error::Config { key, message } if FLAGS.contains(&&*key) => {
            Error::config(format!("--{}", key.replace('_', "-")), message)
        }
        error => error,
    }
}

fn execute(cli: &Cli, out: &mut impl Write) -> Result<(), Failure> {
    let level = level(cli.level.as_deref())?;
    let signals =
        Signals::install(hotrow::files::remove_all).map_err(|error| Failure::Refused(format!("signals: {error}")))?;
    match &cli.command {
        Command::Info(arguments) => info::run(arguments, level, out),
        Command::Train(arguments) => train::run(arguments, level, signals, out),
        Command::Eval(arguments) => evaluate::run(arguments, level, out),
        Command::Predict(arguments) => predict::run(arguments, level, out),
        Command::Generate(arguments) => generate::run(arguments, level, out),
        Command::Tokenize(arguments) => tokenize::run(arguments, out),
        Command::MakeData(arguments) => make_data::run(arguments, out),
        Command::Bench(arguments) => bench::run(arguments, level, &signals, out),
        Command::Report(arguments) => report::run(arguments, out),
        Command::Demo(arguments) => demo::run(arguments, level, &signals, out),
        Command::Arguments => arguments::run(&Cli::command(), out),
    }
}

/// The table at the end of `--help`.
fn exit_codes() -> String {
    let line = |(code, name, rule): &(u8, &str, &str)| format!("  {code:>3}  {name}: {rule}\n");
    format!("Exit codes:\n{}", EXIT_CODES.iter().map(line).collect::<String>())
}

/// Refuses the folder that `flag` names unless it is a run or a checkpoint.
fn check_run(flag: &str, path: &Path) -> Result<(), Failure> {
    match is_run(path) {
        true => Ok(()),
        false => Err(Failure::Usage(format!("{flag}: there is no run in {}", path.display()))),
    }
}

/// The command line of this process, for the record.
fn command_line() -> Vec<String> {
    std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// The level that `--level` names, else the one in the environment, else the best. An empty variable counts as unset.
fn level(option: Option<&str>) -> Result<Level, Failure> {
    let variable = std::env::var_os(LEVEL_VARIABLE).unwrap_or_default();
    let (source, name) = match option {
        Some(name) => ("--level", name.to_owned()),
        None if variable.is_empty() => return Ok(Level::detect()),
        None => (LEVEL_VARIABLE, variable.to_string_lossy().into_owned()),
    };
    name.parse().map_err(|error| Failure::Usage(format!("{source}: {error}")))
}

fn fail(code: u8, message: &str) -> ExitCode {
    // A signal is ending the program, and has removed what the error is about.
    while hotrow::files::ending() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // If standard error is closed too, nobody reads this.
    let _ = writeln!(io::stderr(), "error: {message}");
    ExitCode::from(code)
}
