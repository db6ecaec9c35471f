//! The error of every fallible function, and the exit codes of the program.

use std::io;
use std::path::{Path, PathBuf};

/// The exit codes of the program: number, name, and when it is used. `--help` and the documentation show this table.
pub const EXIT_CODES: [(u8, &str, &str); 7] = [
    (0, "done", "the answer is complete, or the reader of standard output has closed it"),
    (1, "failed at run time", "the system refused a file, memory, threads or room on a disk"),
    (2, "usage", "an option or a configuration is invalid, or its plan does not fit this machine; nothing was made"),
    (3, "diverged", "a number of the network is no longer finite; the message names the last good checkpoint"),
    (4, "bad data", "a file is invalid, has changed under a resumed run, or has ids that no machine could hold"),
    (
        75,
        "stopped",
        "a signal (or --stop-after) ended a run that is saved: the same command with --resume continues it",
    ),
    (
        130,
        "interrupted",
        "a signal came before there was anything to save, or a second one; nothing half-written is left",
    ),
];

/// The result of every function that can meet wrong data, files or options.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Wrong data, files or options, or a run that ended early. A wrong call panics instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A data file has wrong contents.
    #[error("{}{}: {message}", path.display(), place(*line, *column))]
    Data {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 if the file has no lines.
        line: u64,
        /// The byte of the line, from 1; 0 if it does not help.
        column: u64,
        /// What is wrong, with the number at fault and its limit.
        message: String,
    },
    /// An option is out of range, or contradicts another.
    #[error("{key}: {message}")]
    Config {
        /// `section.key`, or the name of the flag.
        key: String,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A checkpoint cannot be used.
    #[error("{}: {message}{}", path.display(), usable(previous.as_deref()))]
    Checkpoint {
        /// The checkpoint's folder, or the file in it.
        path: PathBuf,
        /// What is wrong.
        message: String,
        /// An older checkpoint that is complete.
        previous: Option<PathBuf>,
    },
    /// A number in the network is no longer finite.
    #[error("diverged at step {step}: {layer} is not finite{}", usable(last_good.as_deref()))]
    Diverged {
        /// The step, from 1.
        step: u64,
        /// The first layer in which it was found.
        layer: String,
        /// The latest checkpoint.
        last_good: Option<PathBuf>,
    },
    /// The system refused memory. A size that is known to be too large beforehand is a [`Config`](Self::Config) or
    /// [`Data`](Self::Data) error instead, and nothing is allocated.
    #[error("{what}: the system refuses {bytes} bytes of memory")]
    Memory {
        /// What the memory is for.
        what: String,
        /// The bytes that were asked for.
        bytes: u64,
    },
    /// A signal ended the program before there was anything to keep. Nothing is left behind.
    #[error("interrupted before there was anything to keep")]
    Interrupted,
    /// A signal asked the run to end. Its state is saved.
    #[error("stopped at step {step}; continue with --resume {}", run.display())]
    Stopped {
        /// Steps done.
        step: u64,
        /// The run's folder.
        run: PathBuf,
    },
}

impl Error {
    /// The same error about `section`: its options were copied to those of `[sparse]`.
    pub(crate) fn of_section(self, section: &str) -> Self {
        match self {
            Self::Config { key, message } if key.starts_with("sparse.") => {
                Self::Config { key: key.replacen("sparse", section, 1), message }
            }
            other => other,
        }
    }
}

fn place(line: u64, column: u64) -> String {
    match (line, column) {
        (0, _) => String::new(),
        (line, 0) => format!(":{line}"),
        (line, column) => format!(":{line}:{column}"),
    }
}

fn usable(path: Option<&Path>) -> String {
    path.map(|path| format!("; {} is complete", path.display())).unwrap_or_default()
}

impl Error {
    /// For `map_err`: turns an error of the system into one about `path`.
    ///
    /// ```
    /// use hotrow::error::Error;
    /// let error = std::fs::read("no/such/file").map_err(Error::io("no/such/file")).unwrap_err();
    /// assert!(error.to_string().starts_with("no/such/file: "));
    /// ```
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }

    /// An error about wrong data at a line and column. Both count from 1; 0 means none.
    ///
    /// ```
    /// let error = hotrow::error::Error::data("train.txt", 3, 7, "label 9 is not below 9");
    /// assert_eq!(error.to_string(), "train.txt:3:7: label 9 is not below 9");
    /// ```
    pub fn data(path: impl Into<PathBuf>, line: u64, column: u64, message: impl Into<String>) -> Error {
        Error::Data { path: path.into(), line, column, message: message.into() }
    }

    /// An error about a wrong option.
    ///
    /// ```
    /// let error = hotrow::error::Error::config("optim.lr", "-1 is not above 0");
    /// assert_eq!(error.to_string(), "optim.lr: -1 is not above 0");
    /// ```
    pub fn config(key: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Config { key: key.into(), message: message.into() }
    }

    /// The exit code of a program that ends with this error. See [`EXIT_CODES`].
    ///
    /// ```
    /// assert_eq!(hotrow::error::Error::config("optim.lr", "-1 is not above 0").exit_code(), 2);
    /// ```
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Io { .. } | Error::Memory { .. } => 1,
            Error::Config { .. } => 2,
            Error::Diverged { .. } => 3,
            Error::Data { .. } | Error::Checkpoint { .. } => 4,
            Error::Stopped { .. } => 75,
            Error::Interrupted => 130,
        }
    }
}
