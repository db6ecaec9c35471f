//! The `hotrow` program.
#![forbid(unsafe_code)]

mod commands;

fn main() -> std::process::ExitCode {
    commands::run()
}
