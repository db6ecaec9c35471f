//! How a run begins on its files, and measuring on a file.

use std::path::Path;
use std::time::Instant;

use super::begin::{check_can_start, check_resumed, sequences, steps};
use super::task::LanguageModel;
use super::{Files, Trainer, files, try_evaluate_with};
use crate::checkpoint::{Loaded, write_tensors};
use crate::config::lm::Lm;
use crate::data::tokens::TokenFile;
use crate::error::{Error, Result};
use crate::kernels::Level;
use crate::run::{Observer, Seconds, Summary};
use crate::tensor::{Elements, Tensor};
use crate::train::network::{Plan, Schedule};
use crate::train::start::{FromFiles, Inputs, Options};

impl FromFiles for Lm {
    type Data = Files;
    type Task = LanguageModel;

    fn seed(&self) -> u64 {
        self.train.seed
    }

    fn read(self, _: &Path, inputs: &Inputs, loaded: Option<&Loaded>, _: &Options) -> Result<(Self, Files, u64)> {
        let tokenizer = inputs.tokenizer.as_ref().ok_or_else(|| Error::config("tokenizer", "is not named"))?;
        let files = Files::open(tokenizer, &inputs.train, inputs.valid.as_deref())?;
        let config = files.resolve(self)?;
        let steps = steps(&config, &files)?;
        loaded.map_or(Ok(()), |loaded| check_resumed(loaded, &config, &files, steps))?;
        Ok((config, files, steps))
    }

    fn plan(&self, _: &Files, steps: u64) -> Plan {
        let train = &self.train;
        let train = Schedule {
            steps,
            log_every: train.log_every,
            eval_every: train.eval_every,
            save_every: train.save_every,
            keep: train.keep,
            snapshot_bytes: train.snapshot_bytes,
            seed: train.seed,
        };
        Plan { optim: self.optim.clone(), train }
    }

    fn task(
        self,
        files: Files,
        steps: u64,
        loaded: Option<&Loaded>,
        level: Level,
        _: &mut dyn Observer,
    ) -> Result<LanguageModel> {
        check_can_start(&self, &files, level)?;
        let (sequences, hot) = (sequences(&self, &files)?, files.hot(&self));
        let trainer = match loaded {
            None => Trainer::new(self, hot, steps, level)?,
            Some(loaded) => {
                let mut trainer = Trainer::to_restore(self, hot, steps, level)?;
                trainer.restore(loaded)?;
                trainer
            }
        };
        Ok(LanguageModel { files, sequences, trainer })
    }

    fn write_order(task: &mut LanguageModel, folder: &Path) -> Result<()> {
        let (steps, per_step) = (task.trainer.total_steps, task.trainer.config.sequences());
        let starts: Vec<u64> = (0..steps).flat_map(|step| task.sequences.starts(step)).collect();
        let shape = vec![steps as usize, per_step];
        let starts = Tensor { name: "starts".to_owned(), shape, elements: Elements::U64(&starts) };
        write_tensors(folder, "order.safetensors", &[starts])
    }
}

/// What an evaluation reads, and in which windows.
#[derive(Clone, Copy, Debug)]
pub struct Measure<'a> {
    /// A token file, or a text file of one document.
    pub file: &'a Path,
    /// Whether it is a text file.
    pub text: bool,
    /// Tokens of a window; those of training if not said.
    pub context: Option<usize>,
    /// Tokens from the beginning of one window to that of the next; a window's length if not said.
    pub stride: Option<usize>,
}

/// Measures the last checkpoint of a run (or the checkpoint `path`) on a file.
///
/// # Errors
///
/// If the checkpoint or the file is bad, or they do not belong together; [`Error::Config`] if there are no such windows.
pub fn evaluate_file(path: &Path, measure: &Measure, options: &Options) -> Result<Summary> {
    let started = Instant::now();
    let (mut trainer, tokenizer) = Trainer::open(path, options.level)?;
    let file = if measure.text {
        let text = String::from_utf8(crate::files::read(measure.file)?);
        let text = text.map_err(|error| Error::data(measure.file, 0, 0, format!("is no text: {error}")))?;
        TokenFile::of_text(&text, &tokenizer)?
    } else {
        files::open(measure.file, &tokenizer)?
    };
    let load = started.elapsed().as_secs_f64();
    let start = Instant::now();
    let context = measure.context.unwrap_or(trainer.config.context());
    let stride = measure.stride.unwrap_or(context);
    trainer.settle();
    let evaluation = try_evaluate_with(&mut trainer.network, &mut trainer.work, &file, context, stride)?;
    let eval = start.elapsed().as_secs_f64();
    let rate = evaluation.tokens as f64 / eval;
    Ok(Summary {
        task: "eval lm".to_owned(),
        seconds: Seconds { total: started.elapsed().as_secs_f64(), load, eval, ..Seconds::default() },
        samples_per_second: rate / context as f64,
        tokens_per_second: Some(rate),
        metrics: evaluation.metrics(),
        active_share: 1.0,
        union_rows: trainer.network.vocabulary() as f64,
        ..trainer.view().summary(options.threads)
    })
}
