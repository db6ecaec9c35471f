//! The progress bar.

use std::io::IsTerminal;

use hotrow::run::{Observer, Report};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error, if that is a terminal. Otherwise only notes are written, one a line.
///
/// ```
/// use hotrow::run::{Observer, Report};
/// use hotrow_cli::Progress;
/// let mut bar = Progress::hidden();
/// bar.step(&Report { step: 5, steps: 10, ..Report::default() });
/// bar.finish();
/// ```
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    notes: bool,
}

impl Progress {
    /// A bar on standard error.
    ///
    /// ```
    /// hotrow_cli::Progress::stderr().finish();
    /// ```
    pub fn stderr() -> Progress {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        Progress::on(target, true)
    }

    /// No bar, and no notes.
    ///
    /// ```
    /// hotrow_cli::Progress::hidden().finish();
    /// ```
    pub fn hidden() -> Progress {
        Progress::on(ProgressDrawTarget::hidden(), false)
    }

    fn on(target: ProgressDrawTarget, notes: bool) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(0), target);
        Progress { bar: bar.with_style(style("{bar:24} {pos}/{len} {msg} ETA {eta}")), notes }
    }

    /// Shows how many bytes of its files a pass has read. Each pass has a speed of its own, and so an ETA.
    ///
    /// ```
    /// let mut bar = hotrow_cli::Progress::hidden();
    /// bar.bytes("encoding", 1 << 20, 5 << 20);
    /// bar.finish();
    /// ```
    pub fn bytes(&mut self, pass: &'static str, done: u64, of: u64) {
        if self.bar.message() != pass {
            self.bar.set_style(style("{bar:24} {bytes}/{total_bytes} {msg} | {bytes_per_sec} | ETA {eta}"));
            self.bar.reset();
            self.bar.set_message(pass);
        }
        self.bar.set_length(of.max(done));
        self.bar.set_position(done);
    }

    /// Removes the bar.
    ///
    /// ```
    /// hotrow_cli::Progress::hidden().finish();
    /// ```
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn step(&mut self, report: &Report) {
        self.bar.set_length(report.steps);
        self.bar.set_position(report.step);
        self.bar.set_message(line(report));
    }

    fn note(&mut self, text: &str) {
        if self.notes {
            use std::io::Write;
            // If standard error is closed, nobody reads this.
            self.bar.suspend(|| drop(writeln!(std::io::stderr(), "{text}")));
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is right")
}

fn line(report: &Report) -> String {
    let &Report { epoch, loss, lr, rate, unit, active_share, memory_bytes, stage, .. } = report;
    let memory = memory_bytes.map(|bytes| format!(" | {:.2} GiB", bytes as f64 / (1 << 30) as f64)).unwrap_or_default();
    if let Some(stage) = stage {
        return format!("{stage}{memory} |");
    }
    let active = active_share.map(|share| format!(" | {:.2} % active", 100.0 * share)).unwrap_or_default();
    format!("epoch {epoch} | loss {loss:.4} | lr {lr:.2e} | {rate:.0} {unit}/s{active}{memory} |")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_loss_rate_speed_share_and_memory() {
        let report = Report {
            step: 5,
            steps: 10,
            epoch: 2,
            loss: 1.23456,
            lr: 0.001,
            rate: 12345.6,
            unit: "samples",
            active_share: Some(0.0061),
            memory_bytes: Some(3 << 29),
            stage: None,
        };
        assert_eq!(line(&report), "epoch 2 | loss 1.2346 | lr 1.00e-3 | 12346 samples/s | 0.61 % active | 1.50 GiB |");
        assert!(line(&Report { memory_bytes: None, ..report }).ends_with("active |"));
        let tokens = Report { unit: "tokens", active_share: None, memory_bytes: None, ..report };
        assert!(line(&tokens).ends_with("| 12346 tokens/s |"));
        assert_eq!(line(&Report { stage: Some("negatives"), ..report }), "negatives | 1.50 GiB |");
    }

    #[test]
    fn the_bar_goes_where_the_run_goes() {
        let mut bar = Progress::hidden();
        bar.step(&Report { step: 5, steps: 10, ..Report::default() });
        assert_eq!((bar.bar.position(), bar.bar.length()), (5, Some(10)));
        bar.note("an epoch is over");
        bar.finish();
        assert!(bar.bar.is_finished());
    }

    #[test]
    fn each_pass_over_files_begins_anew() {
        let mut bar = Progress::hidden();
        for (pass, done, of, length) in [("counting", 5, 5, 5), ("encoding", 1, 5, 5), ("encoding", 6, 5, 6)] {
            bar.bytes(pass, done, of);
            let shown = (bar.bar.message(), bar.bar.position(), bar.bar.length());
            assert_eq!(shown, (pass.to_owned(), done, Some(length)));
        }
    }
}
