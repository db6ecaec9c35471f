//! Measures how the time of products and of training steps grows with one quantity.

use rand::RngExt;
use serde::Serialize;

use super::products::{Shape, contest};
use super::timing::{Contender, Effort, Heading, measure};
use hotrow::checkpoint;
use hotrow::config::{Config, IndexName};
use hotrow::data::Batch;
use hotrow::error::{Error, Result};
use hotrow::kernels::Level;
use hotrow::kernels::gemm::Precision;
use hotrow::module::Module;
use hotrow::rng::rng;
use hotrow::train::xmc::Trainer;

/// One value of one quantity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepRow {
    /// The quantity: `density`, `row length`, `batch`, `labels`, `rows`, `threads`.
    pub axis: String,
    /// Its value.
    pub value: f64,
    /// What was measured.
    pub contender: String,
    /// Instruction set.
    pub level: String,
    /// What stays the same.
    pub setting: String,
    /// Median time of three products (`sweep`) or of a training step (`scale`), in seconds.
    pub seconds: f64,
    /// The time of each turn.
    pub all_seconds: Vec<f64>,
}

/// The whole measurement.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// Machine, versions, command.
    #[serde(flatten)]
    pub heading: Heading,
    /// All that was measured.
    pub rows: Vec<SweepRow>,
}

/// Times the methods for an output layer's products over density, row length, batch and labels, varying one at a time.
/// It uses one thread, f32, and the last of the levels.
///
/// # Panics
///
/// If a kernel gives a wrong answer, or `effort` has no level.
///
/// ```no_run
/// use hotrow::kernels::Level;
/// use hotrow_cli::bench::{Effort, sweep};
/// let effort = Effort { repeats: 5, quick: false, levels: vec![Level::detect()], command: Vec::new() };
/// assert!(sweep(&effort).rows.iter().any(|row| row.axis == "density"));
/// ```
pub fn sweep(effort: &Effort) -> Sweep {
    let mut heading = Heading::new("sweep", effort);
    let level = *effort.levels.last().expect("there is a level");
    let base = match effort.quick {
        true => Shape { labels: 128, batch: 16, dim: 32 },
        false => Shape { labels: 4096, batch: 128, dim: 128 },
    };
    let density = 0.05;
    let mut points: Vec<(&str, f64, Shape, f64)> = Vec::new();
    let densities: &[f64] = if effort.quick { &[0.05, 0.5] } else { &[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8] };
    points.extend(densities.iter().map(|&density| ("density", density, base, density)));
    for factor in [0.25, 0.5, 1.0, 2.0, 4.0] {
        let of = |size: usize| (size as f64 * factor) as usize;
        points.push(("row length", of(base.dim) as f64, Shape { dim: of(base.dim), ..base }, density));
        points.push(("batch", of(base.batch) as f64, Shape { batch: of(base.batch), ..base }, density));
        points.push(("labels", of(base.labels) as f64, Shape { labels: of(base.labels), ..base }, density));
    }
    let mut rows = Vec::new();
    for (axis, value, shape, density) in points {
        let found = contest(level, Precision::F32, shape, density, effort.repeats);
        rows.extend(found.timings.into_iter().map(|timing| SweepRow {
            axis: axis.to_owned(),
            value,
            contender: timing.name,
            level: level.name().to_owned(),
            setting: format!("{shape}, density {density}, f32, one thread"),
            seconds: timing.median,
            all_seconds: timing.all,
        }));
    }
    heading.end();
    Sweep { heading, rows }
}

/// The setting of a training step.
struct Setting {
    labels: usize,
    /// The number of active rows; all if `None`.
    active: Option<usize>,
    batch: usize,
}

const FEATURES: usize = 4096;

impl Setting {
    fn trainer(&self, level: Level) -> Result<Trainer> {
        let mut config = Config::default();
        config.sparse.index = if self.active.is_some() { IndexName::Random } else { IndexName::All };
        config.sparse.active = self.active.unwrap_or(0);
        config.train.batch_size = self.batch;
        Trainer::new(config, FEATURES, self.labels, 1 << 20, level)
    }

    /// Samples of twenty features and three labels.
    fn data(&self) -> Batch {
        let mut rng = rng(3, "bench", self.labels as u64);
        let mut batch = Batch::new(FEATURES);
        let mut some = |count: usize, below: usize| {
            let mut ids: Vec<u32> = (0..count).map(|_| rng.random_range(0..below as u32)).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        for _ in 0..self.batch {
            let features = some(20, FEATURES);
            batch.features.push(&features, &vec![1.0; features.len()]).expect("increasing, below the dimension");
            batch.labels.push(some(3, self.labels));
        }
        batch
    }

    fn title(&self) -> String {
        let active = self.active.map_or("all rows".to_owned(), |active| format!("{active} rows"));
        format!("{} labels, {active}, batch {}, width 128", self.labels, self.batch)
    }
}

/// Times whole training steps over labels, active rows and threads: `sparse` with random rows, `dense` with all. A step
/// chooses rows, computes products and loss, and updates.
///
/// # Errors
///
/// [`Error::Io`] if threads cannot be started.
///
/// # Panics
///
/// If the number of threads changes the weights after a step, or `effort` has no level.
///
/// ```no_run
/// use hotrow::kernels::Level;
/// use hotrow_cli::bench::{Effort, scale};
/// let effort = Effort { repeats: 5, quick: false, levels: vec![Level::detect()], command: Vec::new() };
/// assert!(scale(&effort)?.rows.iter().any(|row| row.axis == "threads"));
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub fn scale(effort: &Effort) -> Result<Sweep> {
    let mut heading = Heading::new("scale", effort);
    let level = *effort.levels.last().expect("there is a level");
    let (few, many, active, batch) = if effort.quick { (100, 400, 40, 16) } else { (5_000, 80_000, 2048, 256) };
    let most = rayon::current_num_threads();
    let mut rows = Vec::new();
    let mut turn = |axis: &str, value: f64, settings: &[(&str, Setting)], threads: usize| -> Result<()> {
        let pool = pool(threads)?;
        let mut trainers = Vec::new();
        for (name, setting) in settings {
            trainers.push((*name, setting.trainer(level)?, setting.data()));
        }
        let contenders = trainers.iter_mut().map(|(name, trainer, data)| {
            let pool = &pool;
            Contender::new(*name, move || {
                let report = pool.install(|| trainer.step(data));
                assert!(report.is_ok_and(|report| report.loss.is_finite()), "the step diverged");
            })
        });
        let timings = measure(contenders.collect(), effort.repeats);
        rows.extend(timings.into_iter().zip(settings).map(|(timing, (_, setting))| SweepRow {
            axis: axis.to_owned(),
            value,
            contender: timing.name,
            level: level.name().to_owned(),
            setting: format!("{}, {threads} threads", setting.title()),
            seconds: timing.median,
            all_seconds: timing.all,
        }));
        Ok(())
    };
    let pair = |labels: usize, active: usize| {
        let setting = |active| Setting { labels, active, batch };
        [("sparse", setting(Some(active))), ("dense", setting(None))]
    };
    let mut labels = few;
    while labels <= many {
        turn("labels", labels as f64, &pair(labels, active.min(labels / 4)), most)?;
        labels *= 2;
    }
    for rows in [active / 4, active / 2, active, 2 * active, 4 * active] {
        turn("rows", rows as f64, &pair(many, rows)[..1], most)?;
    }
    let threads: Vec<usize> = (0..).map(|power| 1 << power).take_while(|&threads| threads < most).collect();
    let threads: Vec<usize> = threads.into_iter().chain([most]).collect();
    check_threads(&pair(few, active.min(few / 4)), &threads, level)?;
    for &threads in &threads {
        turn("threads", threads as f64, &pair(many, active), threads)?;
    }
    heading.end();
    Ok(Sweep { heading, rows })
}

fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| Error::config("--threads", error.to_string()))
}

/// The reference of a step with several threads is the same step with one.
fn check_threads(settings: &[(&str, Setting)], threads: &[usize], level: Level) -> Result<()> {
    for (name, setting) in settings {
        let mut digests = Vec::new();
        for &threads in threads.iter().chain([&1, &3]) {
            let pool = pool(threads)?;
            let (mut trainer, data) = (setting.trainer(level)?, setting.data());
            pool.install(|| trainer.step(&data))?;
            digests.push(checkpoint::digest(&trainer.network.weight_tensors()));
        }
        assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "{name}: weights depend on the number of threads");
    }
    Ok(())
}
