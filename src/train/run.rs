//! The loop of every run: what is done after a step, how a run ends, and what it logs, keeps and sums up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::inspect::Health;
use super::plan::Plan;
use super::totals::{Counts, RunTotals, Sums};
use crate::checkpoint::{self, Contents, Loaded, Saver, TrainerState};
use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::files;
use crate::kernels::Level;
use crate::module::Module;
use crate::run::{
    Component, MetricsLog, Observer, Report, RunDir, Seconds, Signals, Summary, memory_bytes, peak_memory_bytes,
};
use crate::work::Workspace;

/// What is a task's own in a run.
pub trait Task {
    type Counts: Counts;
    /// The task's name in summaries.
    const NAME: &'static str;
    /// What it counts.
    const UNIT: &'static str = "samples";
    /// The mean loss of training among the metrics of a summary.
    const LOSS: &'static str = "train_loss";

    fn view(&self) -> View<'_>;
    fn work(&mut self) -> &mut Workspace;
    /// Brings all weights up to date, as an evaluation wants them. A second time in the same step it changes nothing.
    fn settle(&mut self);
    /// Waits for the next batch, where another thread makes it.
    fn fetch(&mut self) {}
    /// Steps between two looks; 0 is never.
    fn inspect_every(&self) -> u64 {
        0
    }
    /// Looks at what the next step will choose; nothing of the run changes by it. `None` if nothing is chosen.
    fn inspect(&mut self) -> Option<Health> {
        None
    }
    /// One step: the sum of its losses, and what it counts.
    fn step(&mut self, log: &mut MetricsLog) -> Result<(f64, Self::Counts)>;
    /// Completes a report and its event.
    fn report(&self, recent: &Sums<Self::Counts>, report: &mut Report, event: &mut Value);
    /// Measures; nothing if `stop` said so before the end.
    fn evaluate(&mut self, stop: &dyn Fn() -> bool) -> Result<Option<Evaluated>>;
    /// What a checkpoint holds now. `state` still needs the epoch and counters.
    fn contents(&self, state: TrainerState, total: &Self::Counts) -> Contents<'_>;
    /// Completes the summary.
    fn summary(&self, total: &Sums<Self::Counts>, summary: Summary) -> Summary;
}

/// What an evaluation has found. It is not logged if that is nothing.
#[derive(Default)]
pub struct Evaluated {
    pub metrics: BTreeMap<String, f64>,
    /// For whoever watches.
    pub note: Option<String>,
    /// What else is logged.
    pub more: Map<String, Value>,
}

/// A trainer of any kind, seen from outside.
pub struct View<'a> {
    pub network: &'a dyn Module,
    pub work: &'a Workspace,
    /// Steps done.
    pub steps: u64,
    pub seed: u64,
}

impl View<'_> {
    /// What every summary says of a network and of what its steps have cost.
    pub fn summary(&self, threads: usize) -> Summary {
        let (weights, state) = (self.network.weight_tensors(), self.network.state_tensors());
        let index = self.network.indexes().iter().map(|(_, index)| index.statistics().bytes as u64).sum();
        let mut summary = Summary {
            steps: self.steps,
            parameters: self.network.parameter_count(),
            seed: self.seed,
            components: Component::list(&weights, &state, index),
            peak_memory_bytes: peak_memory_bytes(),
            level: self.work.level.name().to_owned(),
            threads,
            digest: checkpoint::digest(&weights),
            ..Summary::default()
        };
        summary.set_costs(&self.work.costs);
        summary
    }
}

/// A run at work.
pub struct Run<T: Task> {
    pub dir: RunDir,
    pub task: T,
    plan: Plan,
    log: MetricsLog,
    totals: RunTotals<T::Counts>,
    started: Instant,
    threads: usize,
}

impl<T: Task> Run<T> {
    /// In its folder, at the step of `loaded`, which the task has taken up. `started` is when the program began to load.
    pub fn new(
        dir: RunDir,
        mut task: T,
        plan: Plan,
        loaded: Option<&Loaded>,
        threads: usize,
        started: Instant,
    ) -> Result<Self> {
        let mut totals = RunTotals::default();
        if let Some(loaded) = loaded {
            totals = RunTotals::recall(loaded)?;
            task.work().costs = totals.costs;
        }
        let step = task.view().steps;
        let log = dir.metrics(step)?;
        totals.recall_evaluation(&log, step)?;
        totals.seconds.load = started.elapsed().as_secs_f64();
        let mut run = Self { dir, task, plan, log, totals, started, threads };
        let folder = run.dir.path().to_owned();
        for (path, bytes) in run.contents().others.iter().map(|(name, bytes)| (folder.join(name), bytes)) {
            if loaded.is_none() || !path.exists() {
                files::write(&path, bytes)?;
            }
        }
        Ok(run)
    }

    /// Writes what a resumed run has otherwise than before. Only now is it known that it can continue so.
    pub fn continues<'a>(
        &self,
        config: &impl RunConfig,
        level: Level,
        moved: impl IntoIterator<Item = (&'a str, Option<&'a Path>)>,
    ) -> Result<()> {
        self.dir.write_config(config)?;
        let mut environment = self.dir.environment()?;
        if environment.record_resume(level, moved) {
            self.dir.write_environment(&environment)?;
        }
        Ok(())
    }

    /// Saves a run that does no step. Gives the checkpoint's folder.
    pub fn save_initial(&mut self) -> Result<PathBuf> {
        self.dir.keep();
        let (folder, keep) = (self.dir.path().to_owned(), self.plan.train.keep);
        checkpoint::save(&folder, &self.contents(), keep)
    }

    /// Continues to the last step, or to the first after a signal.
    ///
    /// A checkpoint that is due comes before the evaluation of the same step: whoever is killed while measuring has lost nothing. It
    /// remembers that the evaluation is due, and a resumed run makes up for it.
    pub fn go(mut self, signals: &Signals, observer: &mut dyn Observer) -> Result<Summary> {
        let _polled = signals.polled();
        let (warmup, total) = (self.plan.optim.warmup_steps, self.plan.train.steps);
        if warmup > total && self.done() < total {
            let note = format!(
                "optim.warmup_steps: {warmup} steps of warm-up are more than the {total} of the run: optim.lr is never reached"
            );
            observer.note(&note);
        }
        let train = &self.plan.train;
        // Dropped before the run, which holds the folder: nobody else comes in while a checkpoint is being written.
        let mut saver = Saver::new(self.dir.path(), train.keep, train.snapshot_bytes);
        self.dir.keep();
        if self.totals.owes_evaluation && !self.evaluate(signals, observer, &mut saver)? {
            return Err(self.stopped());
        }
        while self.done() < total {
            // A checkpoint that could not be written is told before more work is spent.
            saver.check()?;
            self.step().map_err(|error| self.diverged(&mut saver, error))?;
            let (step, train) = (self.done(), &self.plan.train);
            let last = step == total;
            let due = |every: u64| last || is_due(every, step);
            let (report, evaluate) = (due(train.log_every), due(train.eval_every));
            let stop = signals.should_stop(step) && !last;
            let saved = due(train.save_every) || stop;
            if report {
                self.report(observer)?;
            }
            if evaluate {
                self.task.settle();
                self.totals.owes_evaluation = true;
            }
            if saved {
                self.save(&mut saver)?;
            }
            let evaluated = !evaluate || !signals.requested() && self.evaluate(signals, observer, &mut saver)?;
            if !evaluated && !saved {
                self.save(&mut saver)?;
            }
            if !evaluated || stop {
                saver.finish()?;
                return Err(self.stopped());
            }
        }
        saver.finish()?;
        let summary = self.summary();
        self.dir.write_summary(&summary)?;
        Ok(summary)
    }

    /// Steps done.
    fn done(&self) -> u64 {
        self.task.view().steps
    }

    fn stopped(&self) -> Error {
        Error::Stopped { step: self.done(), run: self.dir.path().to_owned() }
    }

    fn step(&mut self) -> Result<()> {
        let start = Instant::now();
        self.task.fetch();
        let (waited, next) = (start.elapsed(), self.done() + 1);
        if is_due(self.task.inspect_every(), next) {
            let start = Instant::now();
            if let Some(health) = self.task.inspect() {
                // It is about the step that comes: a resumed run cuts its log behind the last step it keeps.
                self.log.write("index", next, &health)?;
            }
            self.totals.seconds.index += start.elapsed().as_secs_f64();
        }
        let start = Instant::now();
        let (loss, counts) = self.task.step(&mut self.log)?;
        let seconds = (waited + start.elapsed()).as_secs_f64();
        self.totals.seconds.train += seconds;
        self.totals.total.add(loss, seconds, counts);
        self.totals.recent.add(loss, seconds, counts);
        Ok(())
    }

    /// `more`, and what every event has. The clock does not count loading, but reading, evaluating and saving.
    fn event(&self, more: Map<String, Value>) -> Value {
        let mut event = Value::Object(more);
        event["seconds"] = json!(self.totals.seconds.train);
        event["clock"] = json!(self.started.elapsed().as_secs_f64() - self.totals.seconds.load);
        event["flops"] = json!(self.task.view().work.costs.total().flops);
        event[T::UNIT] = json!(self.totals.total.counts.samples());
        event
    }

    fn report(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let (step, recent) = (self.done(), std::mem::take(&mut self.totals.recent));
        let mut report = Report {
            step,
            steps: self.plan.train.steps,
            epoch: 0,
            loss: recent.mean_loss(),
            lr: f64::from(self.plan.course().lr(step)),
            rate: recent.counts.samples() as f64 / recent.seconds,
            unit: T::UNIT,
            active_share: None,
            memory_bytes: memory_bytes(),
            stage: None,
        };
        let mut event = self.event(Map::new());
        event["loss"] = json!(report.loss);
        event["lr"] = json!(report.lr);
        event["memory_bytes"] = json!(report.memory_bytes);
        event[format!("{}_per_second", T::UNIT)] = json!(report.rate);
        self.task.report(&recent, &mut report, &mut event);
        observer.step(&report);
        self.log.write("train", step, &event)
    }

    /// Measures, and whether that came to its end before a signal.
    fn evaluate(&mut self, signals: &Signals, observer: &mut dyn Observer, saver: &mut Saver) -> Result<bool> {
        let (start, costs) = (Instant::now(), self.task.work().costs);
        let evaluated = self.task.evaluate(&|| signals.requested());
        self.task.work().costs = costs;
        let Some(Evaluated { metrics, note, mut more }) = evaluated.map_err(|error| self.diverged(saver, error))?
        else {
            return Ok(false);
        };
        let step = self.done();
        if !metrics.is_empty() || !more.is_empty() {
            self.totals.seconds.eval += start.elapsed().as_secs_f64();
            note.iter().for_each(|note| observer.note(note));
            more.extend(metrics.iter().map(|(name, &value)| (name.clone(), json!(value))));
            self.totals.metrics = metrics;
            self.log.write("eval", step, &self.event(more))?;
        }
        self.totals.owes_evaluation = false;
        saver.prove(step);
        Ok(true)
    }

    /// The error with the checkpoint that one can go back to.
    fn diverged(&mut self, saver: &mut Saver, error: Error) -> Error {
        let Error::Diverged { step, layer, .. } = error else { return error };
        // If it cannot be written, the one before is the last good one; and so it is if an evaluation has found the break.
        let _ = if self.totals.owes_evaluation { saver.withdraw(step) } else { saver.finish() };
        // The log is for people; that it could not be written is not what they have to know first.
        let _ = self.log.write("diverged", step, &json!({ "layer": layer }));
        Error::Diverged { step, layer, last_good: checkpoint::last(self.dir.path()) }
    }

    fn save(&mut self, saver: &mut Saver) -> Result<()> {
        self.log.sync()?;
        match self.totals.owes_evaluation {
            true => saver.save_unproved(&self.contents()),
            false => saver.save(&self.contents()),
        }
    }

    fn contents(&mut self) -> Contents<'_> {
        self.totals.costs = self.task.work().costs;
        let View { steps, seed, .. } = self.task.view();
        let state = TrainerState { other: self.totals.to_json(), ..TrainerState::new(steps, 0, seed) };
        self.task.contents(state, &self.totals.total.counts)
    }

    fn summary(&self) -> Summary {
        let RunTotals { total, seconds, metrics, .. } = &self.totals;
        let mut metrics = metrics.clone();
        metrics.insert(T::LOSS.to_owned(), total.mean_loss());
        let summary = Summary {
            task: T::NAME.to_owned(),
            seconds: Seconds { total: self.started.elapsed().as_secs_f64(), ..*seconds },
            samples_per_second: total.counts.samples() as f64 / seconds.train,
            metrics,
            ..self.task.view().summary(self.threads)
        };
        self.task.summary(total, summary)
    }
}

/// Whether something is due after step `step` that comes every `every` steps; 0 is never.
fn is_due(every: u64, step: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}
