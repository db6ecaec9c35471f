//! `hotrow arguments`: every command with its path arguments, for the test that tries them all. Hidden.

use std::io::Write;

use clap::{Arg, Command, ValueHint};
use serde::Serialize;

use super::Failure;

/// Paths of these names are written; all others are read.
const WRITTEN: [&str; 4] = ["out", "markdown", "png", "cache"];

/// A command without subcommands.
#[derive(Serialize)]
struct Leaf {
    /// Its words: `["train", "xmc"]`.
    command: Vec<String>,
    paths: Vec<PathArgument>,
}

#[derive(Serialize)]
struct PathArgument {
    name: String,
    /// `--train`; `None` for a positional argument.
    flag: Option<String>,
    written: bool,
    required: bool,
}

pub fn run(command: &Command, out: &mut impl Write) -> Result<(), Failure> {
    let mut leaves = Vec::new();
    collect(command, &[], &mut leaves);
    Ok(writeln!(out, "{:#}", serde_json::to_value(leaves).expect("names are JSON"))?)
}

fn collect(command: &Command, words: &[String], leaves: &mut Vec<Leaf>) {
    let below: Vec<_> = command.get_subcommands().filter(|below| !below.is_hide_set()).collect();
    if below.is_empty() {
        let paths = command.get_arguments().filter(|argument| is_path(argument)).map(path_argument).collect();
        return leaves.push(Leaf { command: words.to_vec(), paths });
    }
    for command in below {
        collect(command, &[words, &[command.get_name().to_owned()]].concat(), leaves);
    }
}

/// Every argument that is parsed as a path is one.
fn is_path(argument: &Arg) -> bool {
    matches!(argument.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath)
}

fn path_argument(argument: &Arg) -> PathArgument {
    let name = argument.get_id().to_string();
    PathArgument {
        flag: argument.get_long().map(|long| format!("--{long}")),
        written: WRITTEN.contains(&name.as_str()),
        required: argument.is_required_set(),
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn whatever_is_called_a_file_or_a_folder_is_parsed_as_a_path() {
        fn check(command: &Command) {
            for argument in command.get_arguments() {
                let names = argument.get_value_names().unwrap_or_default();
                if names.iter().any(|name| ["FILE", "DIR", "PATH", "RUN"].contains(&name.as_str())) {
                    assert!(is_path(argument), "{} of {}", argument.get_id(), command.get_name());
                }
            }
            command.get_subcommands().for_each(check);
        }
        check(&super::super::Cli::command());
    }
}
