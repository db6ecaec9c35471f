//! Runs of the program that cannot hang a test.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No command of a fixture takes so long by itself; one that does waits for something.
pub const PATIENCE: Duration = Duration::from_secs(40);
/// How long a program may take to obey: a second is what the documents say, the rest is for a busy machine.
const OBEYED: Duration = Duration::from_secs(10);
/// Where something may wait for a pipe, it has until then to refuse it.
pub const REFUSED: Duration = Duration::from_secs(4);

/// How a run ended.
pub struct Outcome {
    command: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// Whether it had to be asked to end.
    pub asked: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}\nexit code {:?}, standard error: {}", self.command, self.code, self.stderr)
    }
}

impl Outcome {
    /// The exit code is a documented one, and nothing of a panic is shown.
    #[track_caller]
    pub fn assert_documented(&self) {
        let documented = hotrow::error::EXIT_CODES.iter().any(|(code, ..)| Some(i32::from(*code)) == self.code);
        assert!(documented, "{self}: the code is not documented");
        for word in ["panicked", "RUST_BACKTRACE", "stack backtrace", "thread '"] {
            assert!(!self.stderr.contains(word), "{self}: {word}");
        }
    }

    /// Standard error ends with an error of one line, which has one of `names` (any, if there are none).
    #[track_caller]
    pub fn assert_one_line(&self, names: &[&str]) {
        // The second is what the standard library says when even a little memory is refused.
        let is_error = |line: &&str| line.starts_with("error: ") || line.starts_with("memory allocation of ");
        let errors: Vec<&str> = self.stderr.lines().filter(is_error).collect();
        assert!(errors.len() == 1 && self.stderr.lines().last() == Some(errors[0]), "{self}: not one line of error");
        let named = names.is_empty() || names.iter().any(|name| errors[0].contains(name));
        assert!(named, "{self}: none of {names:?} is named");
    }
}

/// Runs to the end. What waits is asked to end after a long while.
pub fn run(command: Command) -> Outcome {
    signalled(command, PATIENCE)
}

/// Sends SIGTERM after some time.
pub fn signalled(mut command: Command, ask_after: Duration) -> Outcome {
    let shown = format!("{command:?}");
    // Who asks for a backtrace is shown one where memory is refused.
    command.env_remove("RUST_BACKTRACE");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
    let readers = [drain(child.stdout.take().unwrap()), drain(child.stderr.take().unwrap())];
    let early = wait(&mut child, ask_after);
    let asked = early.is_none();
    if asked {
        let told = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(told.success() || wait(&mut child, OBEYED).is_some());
    }
    let status = early.or_else(|| wait(&mut child, OBEYED));
    if status.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let [stdout, stderr] = readers.map(|reader| String::from_utf8_lossy(&reader.join().unwrap()).into_owned());
    assert!(status.is_some(), "{shown}: hangs, deaf to SIGTERM; it said {stderr}");
    Outcome { command: shown, code: status.flatten(), stdout, stderr, asked }
}

fn drain(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What cannot be read has not been said.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// The exit code, once there is one; `None` if the process has not ended by then.
fn wait(child: &mut Child, most: Duration) -> Option<Option<i32>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code());
        }
        if start.elapsed() >= most {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Makes a pipe (`p`) or a node of the null device (`null`), if this is allowed.
pub fn mknod(path: &Path, kind: &str) -> Option<()> {
    let mut command = Command::new("mknod");
    match kind {
        "p" => command.arg(path).arg("p"),
        _ => command.arg(path).args(["c", "1", "3"]),
    };
    let made = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    // Some places allow the node and forbid its use.
    (made && (kind == "p" || std::fs::write(path, "x").is_ok())).then_some(())
}
