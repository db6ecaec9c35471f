//! Ctrl-C and `kill`: the first asks, the second ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

/// Exit code of a program that was interrupted twice.
const INTERRUPTED: i32 = 130;

/// Whether the run shall stop after this step. The first SIGINT or SIGTERM asks for it; the second ends the process with
/// exit code 130 at once.
///
/// ```
/// let signals = hotrow::run::Signals::unconnected();
/// assert!(!signals.requested());
/// signals.request();
/// assert!(signals.requested());
/// ```
#[derive(Clone, Debug)]
pub struct Signals {
    asked: Arc<AtomicBool>,
    /// The step after which the run stops as if somebody had asked then.
    last: Option<u64>,
}

impl Signals {
    /// Listens to the signals of this process from now on. For the program; a library should leave them alone.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn install() -> io::Result<Signals> {
        let signals = Signals::unconnected();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down and raises it, the second finds it up.
            flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&signals.asked))?;
            flag::register(signal, Arc::clone(&signals.asked))?;
        }
        Ok(signals)
    }

    /// From now on a file that would grow beyond the limit of this process (`ulimit -f`) is an error of whoever writes it, where
    /// the system would end the program without a word. For the program; a library should leave signals alone.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn outlive_file_limit() -> io::Result<()> {
        flag::register(SIGXFSZ, Arc::default()).map(drop)
    }

    /// Listens to nothing but [`request`](Self::request).
    pub fn unconnected() -> Signals {
        Signals { asked: Arc::new(AtomicBool::new(false)), last: None }
    }

    /// The same, and the run stops after step `step`, counted from 1, as if somebody had asked then.
    ///
    /// ```
    /// let signals = hotrow::run::Signals::unconnected().stop_after(2);
    /// assert_eq!([1, 2, 3].map(|step| signals.stop(step)), [false, true, true]);
    /// ```
    pub fn stop_after(self, step: u64) -> Signals {
        Signals { last: Some(step), ..self }
    }

    /// Whether the run stops after step `step`, counted from 1.
    pub fn stop(&self, step: u64) -> bool {
        self.requested() || self.last.is_some_and(|last| step >= last)
    }

    /// Asks to stop, as the first signal does.
    pub fn request(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has asked to stop.
    pub fn requested(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::low_level::raise;

    const CHILD: &str = "HOTROW_TEST_SIGNALS";
    const NAME: &str = "run::signals::tests::the_first_signal_asks_and_the_second_ends_with_130";

    /// In a process of its own, which the second signal ends.
    #[test]
    fn the_first_signal_asks_and_the_second_ends_with_130() {
        if let Ok(order) = std::env::var(CHILD) {
            let signals = Signals::install().unwrap();
            let signal = |name| if name == "int" { SIGINT } else { SIGTERM };
            let (first, second) = order.split_once(' ').unwrap();
            assert!(!signals.requested());
            raise(signal(first)).unwrap();
            assert!(signals.requested());
            raise(signal(second)).unwrap();
            unreachable!("the second signal ends the process");
        }
        for order in ["int int", "term term", "int term", "term int"] {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            let output = child.args(["--exact", NAME, "--nocapture"]).env(CHILD, order).output().unwrap();
            assert_eq!(output.status.code(), Some(130), "{order}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
