//! Signals. The first asks a run to stop and ends any other program; the second ends everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
#[cfg(feature = "signals")]
use std::{io, thread::Builder};

#[cfg(feature = "signals")]
use signal_hook::{
    consts::{SIGABRT, SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    flag, iterator,
};

/// The exit code of an interrupted program.
#[cfg(feature = "signals")]
const INTERRUPTED: i32 = 130;

/// Whether a run is to stop after this step.
///
/// SIGINT and SIGTERM end the process with exit code 130 within a moment, whatever it does, after the cleaning given to
/// `install` (feature
/// `signals`). So does SIGHUP, unless it is ignored as under `nohup`. While somebody [polls](Self::polled), the first
/// signal only sets a flag, and the second ends the process.
///
/// ```
/// let signals = hotrow::run::Signals::unconnected();
/// assert!(!signals.requested());
/// signals.request();
/// assert!(signals.requested());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Signals {
    asked: Arc<AtomicBool>,
    /// How many poll now.
    polling: Arc<AtomicUsize>,
    /// The step after which the run stops as if asked.
    last: Option<u64>,
}

/// While it lives, the first signal sets a flag and does nothing else.
#[derive(Debug)]
pub struct Polling(Arc<AtomicUsize>);

impl Drop for Polling {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Signals {
    /// Handles the signals of this process from now on, in a thread of its own. That thread calls `clean` before it
    /// ends the process, to remove unfinished work. A program calls this; a library should leave signals alone.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    #[cfg(feature = "signals")]
    pub fn install(clean: impl Fn() + Send + 'static) -> io::Result<Signals> {
        let signals = Signals::unconnected();
        let ending: &[i32] = if ignores_hangup() { &[SIGINT, SIGTERM] } else { &[SIGINT, SIGTERM, SIGHUP] };
        // The handler itself sets the flag, so it is up when the signal has arrived.
        ending.iter().try_for_each(|&signal| flag::register(signal, Arc::clone(&signals.asked)).map(drop))?;
        let mut arrived = iterator::Signals::new(ending)?;
        let polling = Arc::clone(&signals.polling);
        let watch = move || {
            for (before, _) in arrived.forever().enumerate() {
                if polling.load(Ordering::SeqCst) == 0 || before > 0 {
                    clean();
                    std::process::exit(INTERRUPTED);
                }
            }
        };
        Builder::new().name("signals".to_owned()).spawn(watch)?;
        Ok(signals)
    }

    /// While the returned value lives, the first signal only sets the flag that [`requested`](Self::requested) and
    /// [`should_stop`](Self::should_stop) read.
    ///
    /// ```
    /// let signals = hotrow::run::Signals::unconnected();
    /// let polling = signals.polled();
    /// while !signals.requested() {
    ///     // ... a step ...
    ///     # signals.request();
    /// }
    /// drop(polling);
    /// ```
    #[must_use]
    pub fn polled(&self) -> Polling {
        self.polling.fetch_add(1, Ordering::SeqCst);
        Polling(Arc::clone(&self.polling))
    }

    /// Turns a write beyond the process's file limit (`ulimit -f`) into an error. Otherwise the system would end the
    /// program without a message. A program calls this; a library should leave signals alone.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    #[cfg(feature = "signals")]
    pub fn outlive_file_limit() -> io::Result<()> {
        flag::register(SIGXFSZ, Arc::default()).map(drop)
    }

    /// Makes the process end with exit code 1 where it would abort because the system refuses a little memory. The
    /// standard library has printed one line by then. A program calls this; a library should leave signals alone.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    #[cfg(feature = "signals")]
    pub fn outlive_abort() -> io::Result<()> {
        flag::register_conditional_shutdown(SIGABRT, 1, Arc::new(AtomicBool::new(true))).map(drop)
    }

    /// Handles no signal: only [`request`](Self::request) asks to stop.
    pub fn unconnected() -> Signals {
        Signals::default()
    }

    /// The same, but the run stops after step `step` (from 1) as if asked.
    ///
    /// ```
    /// let signals = hotrow::run::Signals::unconnected().stop_after(2);
    /// assert_eq!([1, 2, 3].map(|step| signals.should_stop(step)), [false, true, true]);
    /// ```
    pub fn stop_after(self, step: u64) -> Signals {
        Signals { last: Some(step), ..self }
    }

    /// The step given to [`stop_after`](Self::stop_after).
    pub fn last_step(&self) -> Option<u64> {
        self.last
    }

    /// Whether the run is to stop after step `step` (from 1).
    pub fn should_stop(&self, step: u64) -> bool {
        self.requested() || self.last.is_some_and(|last| step >= last)
    }

    /// Asks to stop, as the first signal does.
    pub fn request(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether a stop was asked for.
    pub fn requested(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}

/// Whether SIGHUP is ignored: the program is to outlive its terminal.
#[cfg(feature = "signals")]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (SIGHUP - 1) & 1 == 1)
}

#[cfg(all(test, feature = "signals"))]
mod tests {
    use super::*;
    use signal_hook::low_level::raise;
    use std::process::{Command, Output};
    use std::thread::sleep;
    use std::time::Duration;

    const CHILD: &str = "HOTROW_TEST_SIGNALS";

    /// The test `name` of this file, in a process of its own that signals may end.
    fn child(name: &str, order: &str) -> Output {
        let name = format!("run::signals::tests::{name}");
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", &name, "--nocapture"]).env(CHILD, order).output().unwrap()
    }

    fn signal(name: &str) -> i32 {
        [("int", SIGINT), ("term", SIGTERM), ("hup", SIGHUP)].iter().find(|(known, _)| *known == name).unwrap().1
    }

    /// Longer than any machine takes to end a process.
    fn wait_for_the_end() -> ! {
        sleep(Duration::from_secs(60));
        unreachable!("the signal ends the process");
    }

    #[test]
    fn where_it_is_polled_the_first_signal_asks_and_the_second_ends_with_130() {
        if let Ok(order) = std::env::var(CHILD) {
            let signals = Signals::install(|| ()).unwrap();
            let _polling = signals.polled();
            let (first, second) = order.split_once(' ').unwrap();
            assert!(!signals.requested());
            raise(signal(first)).unwrap();
            assert!(signals.requested());
            // Two signals of a kind that arrive together are one.
            sleep(Duration::from_millis(200));
            raise(signal(second)).unwrap();
            wait_for_the_end();
        }
        // Where these tests outlive their terminal, nobody is to listen.
        let hangup = (!ignores_hangup()).then_some("hup term");
        for order in ["int int", "term term", "int term", "term int"].into_iter().chain(hangup) {
            let name = "where_it_is_polled_the_first_signal_asks_and_the_second_ends_with_130";
            let output = child(name, order);
            assert_eq!(output.status.code(), Some(130), "{order}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }

    #[test]
    fn where_nobody_polls_any_more_the_first_signal_cleans_up_and_ends_with_130() {
        if let Ok(path) = std::env::var(CHILD) {
            let signals = Signals::install(move || std::fs::remove_file(&path).unwrap()).unwrap();
            drop(signals.polled());
            raise(SIGTERM).unwrap();
            wait_for_the_end();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = "where_nobody_polls_any_more_the_first_signal_cleans_up_and_ends_with_130";
        let output = child(name, file.path().to_str().unwrap());
        assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(!file.path().exists());
    }
}
