//! Times contenders in turns.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use super::compare::median;
use super::outcome::Host;
use super::probe::{self, load_average};
use hotrow::machine::Machine;
use hotrow::provenance;

/// The least time of a turn: the call is repeated, so that the clock's own time does not count.
const TURN: f64 = 2e-3;

/// The most calls in a turn.
const MOST_CALLS: usize = 10_000;

/// How thorough measurements of kernels are.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Turns of each contender.
    pub repeats: usize,
    /// Whether to use few and small shapes, only to see that everything works.
    pub quick: bool,
    /// The levels to measure.
    pub levels: Vec<hotrow::kernels::Level>,
    /// The command that repeats it.
    pub command: Vec<String>,
}

/// A call that can be repeated.
pub(super) struct Contender<'a> {
    pub name: String,
    pub call: Box<dyn FnMut() + 'a>,
}

impl<'a> Contender<'a> {
    pub fn new(name: impl Into<String>, call: impl FnMut() + 'a) -> Self {
        Self { name: name.into(), call: Box::new(call) }
    }
}

/// The times of one contender.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Timing {
    pub name: String,
    /// The median over the turns, for one call.
    pub median: f64,
    /// The time of one call in each turn.
    pub all: Vec<f64>,
}

/// Lets all contenders take turns, `repeats` times. Each round begins with another one, so that none always follows the
/// same other.
pub(super) fn measure(mut contenders: Vec<Contender>, repeats: usize) -> Vec<Timing> {
    let repeats = repeats.max(1);
    // The first call touches memory for the first time. The second tells how many make a turn.
    let calls: Vec<usize> = contenders
        .iter_mut()
        .map(|contender| {
            (contender.call)();
            let start = Instant::now();
            (contender.call)();
            let seconds = start.elapsed().as_secs_f64();
            ((TURN / seconds.max(1e-9)).ceil() as usize).clamp(1, MOST_CALLS)
        })
        .collect();
    let mut times = vec![Vec::with_capacity(repeats); contenders.len()];
    for round in 0..repeats {
        for turn in 0..contenders.len() {
            let at = (round + turn) % contenders.len();
            let start = Instant::now();
            for _ in 0..calls[at] {
                (contenders[at].call)();
            }
            times[at].push(start.elapsed().as_secs_f64() / calls[at] as f64);
        }
    }
    let timing = |(contender, all): (Contender, Vec<f64>)| Timing {
        name: contender.name,
        median: median(all.clone()).expect("there is a round"),
        all,
    };
    contenders.into_iter().zip(times).map(timing).collect()
}

/// The beginning of every file of measurements.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Heading {
    /// Version of the file.
    pub schema: u32,
    /// Its kind.
    pub kind: String,
    /// The machine. The bandwidth is that of all threads.
    pub machine: Host,
    /// Versions.
    pub software: BTreeMap<String, String>,
    /// The command that repeats it.
    pub command: Vec<String>,
    /// The start (UTC).
    pub started: String,
    /// Turns of each contender; times are medians.
    pub repeats: usize,
    /// Whether shapes were small, only to see that it works.
    pub quick: bool,
}

impl Heading {
    pub(super) fn new(kind: &str, effort: &Effort) -> Heading {
        let machine = Machine::read();
        let level = effort.levels.last().map_or("", |level| level.name());
        let versions = [("hotrow", provenance::VERSION), ("commit", provenance::COMMIT), ("rustc", provenance::RUSTC)];
        Heading {
            schema: super::workload::SCHEMA,
            kind: format!("hotrow-bench-{kind}"),
            machine: Host {
                cpu: machine.cpu,
                cores: machine.cores,
                memory_bytes: machine.memory_bytes.unwrap_or(0),
                level: level.to_owned(),
                threads: rayon::current_num_threads(),
                bandwidth_bytes_per_second: probe::bandwidth(),
                load_average_before: load_average(),
                system: probe::system(),
                ..Host::default()
            },
            software: versions.map(|(name, version)| (name.to_owned(), version.to_owned())).into(),
            command: effort.command.clone(),
            started: probe::now(),
            repeats: effort.repeats,
            quick: effort.quick,
        }
    }

    pub(super) fn end(&mut self) {
        self.machine.load_average_after = load_average();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn contenders_take_turns_and_begin_in_turn() {
        let order = RefCell::new(Vec::new());
        // Each call is a turn of its own.
        let contender = |name: &'static str| {
            let order = &order;
            Contender::new(name, move || {
                std::thread::sleep(std::time::Duration::from_millis(3));
                order.borrow_mut().push(name);
            })
        };
        let timings = measure(vec![contender("a"), contender("b")], 3);
        // Two calls to warm up.
        assert_eq!(order.borrow()[4..], ["a", "b", "b", "a", "a", "b"]);
        assert_eq!(timings[1].name, "b");
        assert!(timings.iter().all(|timing| timing.all.len() == 3 && timing.median >= 3e-3));
    }
}
