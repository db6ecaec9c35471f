//! One line of the benches: a kernel timed in turn with its ceilings and its rivals.

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};

use crate::report::{Line, Report};

/// What one call does, as far as it is counted.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// Bytes read plus bytes written.
    pub bytes: usize,
    /// Multiplications plus additions.
    pub flops: usize,
}

impl Work {
    pub fn bytes(bytes: usize) -> Work {
        Work { bytes, flops: 0 }
    }

    pub fn flops(flops: usize) -> Work {
        Work { bytes: 0, flops }
    }

    pub fn and_flops(self, flops: usize) -> Work {
        Work { flops, ..self }
    }
}

/// What an entrant is to the line.
#[derive(Clone, PartialEq)]
pub enum Role {
    /// What the line measures.
    Kernel,
    /// A loop that does what cannot be avoided and nothing else. Entrants with one name are ways to write one ceiling; the
    /// fastest counts.
    Ceiling { name: String, way: String, work: Work },
    /// Something else that does the same job: a lower level, another library, a simpler loop.
    Rival(String),
}

struct Entrant {
    role: Role,
    call: Box<dyn FnMut()>,
    seconds: Vec<f64>,
}

/// A kernel, its ceilings and its rivals.
pub struct Contest {
    work: Work,
    /// How often one call does the job: divides the time per call that a line in nanoseconds states.
    jobs: usize,
    entrants: Vec<Entrant>,
}

impl Contest {
    /// A contest about `kernel`, which does `work` in each call.
    pub fn of(work: Work, kernel: impl FnMut() + 'static) -> Contest {
        Contest { work, jobs: 1, entrants: vec![] }.with(Role::Kernel, kernel)
    }

    /// States that one call does the job `jobs` times.
    pub fn jobs(mut self, jobs: usize) -> Contest {
        self.jobs = jobs;
        self
    }

    /// Adds one way to reach the ceiling called `name`.
    pub fn ceiling(self, name: &str, way: impl ToString, work: Work, call: impl FnMut() + 'static) -> Contest {
        self.with(Role::Ceiling { name: name.to_owned(), way: way.to_string(), work }, call)
    }

    /// Adds something else that does the same job as the kernel.
    pub fn rival(self, name: impl ToString, call: impl FnMut() + 'static) -> Contest {
        self.with(Role::Rival(name.to_string()), call)
    }

    fn with(mut self, role: Role, call: impl FnMut() + 'static) -> Contest {
        self.entrants.push(Entrant { role, call: Box::new(call), seconds: vec![] });
        self
    }

    /// Calls every entrant once, starting with another one each round so that none always follows the same other, and
    /// returns the kernel's time.
    fn round(&mut self, round: usize) -> Duration {
        let mut kernel = Duration::ZERO;
        for i in 0..self.entrants.len() {
            let next = (round + i) % self.entrants.len();
            let entrant = &mut self.entrants[next];
            let start = Instant::now();
            (entrant.call)();
            let time = start.elapsed();
            entrant.seconds.push(time.as_secs_f64());
            if entrant.role == Role::Kernel {
                kernel = time;
            }
        }
        kernel
    }

    fn forget(&mut self) {
        self.entrants.iter_mut().for_each(|entrant| entrant.seconds.clear());
    }

    /// Of each role, the times of all rounds.
    fn times(&self) -> impl Iterator<Item = (&Role, &[f64])> {
        self.entrants.iter().map(|entrant| (&entrant.role, &entrant.seconds[..]))
    }
}

/// What the project promises of a line.
#[derive(Clone, Copy)]
pub enum Target {
    /// At least this share of the ceiling that binds: the one the kernel is nearest to.
    Share(f64),
    /// At least this many times as fast as the rival, and this share of the ceiling.
    ShareAndRival(f64, &'static str, f64),
    /// At most this many times the time of the ceiling's loop.
    TimesCeiling(f64),
}

/// Criterion, the figures so far, and whether this is a quick check without timing.
pub struct Bench {
    criterion: Criterion,
    report: Report,
    /// Each bench once, on small tables: what `cargo test` and `-- --test` ask for.
    pub quick: bool,
}

impl Bench {
    pub fn from_args() -> Bench {
        // The same rule as criterion's: `cargo bench` passes `--bench`, `cargo test` does not.
        let given = |flag: &str| std::env::args().any(|arg| arg == flag);
        let criterion = Criterion::default()
            .sample_size(20)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(1500))
            .without_plots()
            .configure_from_args();
        Bench { criterion, report: Report::new(), quick: given("--test") || !given("--bench") }
    }

    /// Measures the line `name`. `setup` makes the data, asserts that the kernel's answer is right, and is called only if
    /// the line was asked for.
    pub fn line(&mut self, name: &str, target: Option<Target>, setup: impl FnOnce() -> Contest) {
        let (mut setup, mut contest, mut warm) = (Some(setup), None, false);
        let (group, rest) = name.split_once('/').unwrap_or((name, ""));
        let mut group = self.criterion.benchmark_group(group);
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(rest, |bencher| {
            let contest: &mut Contest = contest.get_or_insert_with(|| setup.take().expect("called once")());
            bencher.iter_custom(|rounds| {
                let total = (0..rounds as usize).map(|round| contest.round(round)).sum();
                if !std::mem::replace(&mut warm, true) {
                    contest.forget();
                }
                total
            });
        });
        group.finish();
        if let (Some(contest), false) = (contest, self.quick) {
            let line = Line::new(name, target, contest.work, contest.jobs, contest.times());
            println!("{line}\n");
            self.report.push(line.to_json());
        }
    }

    /// Records that the line `name` cannot be measured here, and why.
    pub fn absent(&mut self, name: &str, target: Option<Target>, reason: &str) {
        if !self.quick {
            println!("{name}: not run: {reason}\n");
            self.report.push(Line::absent(name, target, reason));
        }
    }

    /// Prints criterion's summary and writes the figures where the environment says.
    pub fn finish(self) {
        self.criterion.final_summary();
        self.report.write();
    }
}
