//! Times a trained classifier that is asked for one sample after the other.

use std::path::Path;
use std::time::Instant;

use hotrow::data::{Batch, Samples};
use hotrow::error::{Error, Result};
use hotrow::kernels::Level;
use hotrow::train::xmc::{Predictor, Scored};
use serde::Serialize;

use super::timing::{Effort, Heading};

/// What [`ask`] is to do.
#[derive(Clone, Copy, Debug)]
pub struct Questions {
    /// Labels that are asked for.
    pub top: usize,
    /// Samples that are asked, spread over the file, at most.
    pub samples: usize,
    /// Samples of them for which all labels are scored too, at most.
    pub exhaustive: usize,
}

/// Times of a classifier, and how much it finds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Asked {
    /// Machine, versions, command.
    #[serde(flatten)]
    pub heading: Heading,
    /// Labels of the classifier.
    pub labels: usize,
    /// Labels that were asked for.
    pub top: usize,
    /// Samples that were asked, one at a time, by one thread, `repeats` times after once to warm up.
    pub samples: usize,
    /// The median time of one sample, from its parsed features to its best labels.
    pub microseconds: f64,
    /// 99 of 100 samples take less.
    pub microseconds_99: f64,
    /// Samples for which all labels were scored too.
    pub exhaustive_samples: usize,
    /// The median time of that.
    pub exhaustive_microseconds: f64,
    /// The share of the best labels of all that were found.
    pub found: f64,
}

/// Asks the run at `path` for samples of `file`, one at a time, as `predict` does.
///
/// # Errors
///
/// If the run or the file is bad, or the file has no sample.
pub fn ask(path: &Path, file: &Path, questions: &Questions, level: Level, effort: &Effort) -> Result<Asked> {
    let mut predictor = Predictor::open(path, level)?;
    let vocabulary = predictor.vocabulary().clone();
    let data = vocabulary.open_unkept(file, &predictor.run().join("cache"))?;
    if data.len() == 0 {
        return Err(Error::data(file, 0, 0, "there is no sample to ask for"));
    }
    let mut heading = Heading::new("ask", effort);
    let batch = |sample: usize| {
        let mut batch = Batch::new(data.features());
        data.read(sample, &mut batch);
        batch
    };
    let count = questions.samples.clamp(1, data.len());
    let samples: Vec<Batch> = (0..count).map(|at| batch(at * data.len() / count)).collect();
    let every = count.div_ceil(questions.exhaustive.clamp(1, count));
    let mut time = |sample: &Batch, scored: Scored| {
        let start = Instant::now();
        let best = predictor.best(sample, questions.top, scored);
        (1e6 * start.elapsed().as_secs_f64(), best)
    };
    let mut times = Vec::new();
    for round in 0..=effort.repeats {
        let of_round = samples.iter().map(|sample| time(sample, Scored::Usual).0);
        times.extend(of_round.filter(|_| round > 0));
    }
    let (mut exhaustive, mut found, mut all) = (Vec::new(), 0, 0);
    for sample in samples.iter().step_by(every) {
        let (microseconds, want) = time(sample, Scored::All);
        let (_, got) = time(sample, Scored::Usual);
        exhaustive.push(microseconds);
        all += want[0].len();
        found += want[0].iter().filter(|want| got[0].iter().any(|got| got.0 == want.0)).count();
    }
    heading.end();
    Ok(Asked {
        heading,
        labels: data.labels(),
        top: questions.top,
        samples: count,
        microseconds: quantile(&mut times, 0.5),
        microseconds_99: quantile(&mut times, 0.99),
        exhaustive_samples: exhaustive.len(),
        exhaustive_microseconds: quantile(&mut exhaustive, 0.5),
        found: found as f64 / all.max(1) as f64,
    })
}

/// The smallest number that so large a share of all is not above.
fn quantile(numbers: &mut [f64], share: f64) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[((share * numbers.len() as f64).ceil() as usize).clamp(1, numbers.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numbers_of_the_list() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&mut (1..=200).rev().map(f64::from).collect::<Vec<_>>(), 0.99), 198.0);
        assert_eq!(quantile(&mut [7.0], 0.99), 7.0);
    }
}
