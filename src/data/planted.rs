//! Planted data sets: learnable clones of large public ones in size and shape, to measure speed and compare methods.
//!
//! Labels are planted on three levels. A *topic* has about as many groups as there are topics. A *group* has sixteen
//! times as many labels as a sample. A sample belongs to one group, and nearly all of its labels come from it. The
//! popularity of groups, and of labels inside their group, follows Zipf's law. Half of the labels that shape a sample
//! are then struck out. Real sets lack true labels in the same way. So no method has a P@1 much above 0.5.
//!
//! Features come from four places: the *signatures* of the sample's labels (six features each), the words of its group,
//! the words of its topic, and noise from all features by Zipf's law. The words of a group, and half of each signature,
//! are words of the topic. So topics and groups overlap, and no single feature gives a label away. The value of a
//! feature is how often it was drawn.
//!
//! The topic alone says little, and [`Planted::topic_precision`] measures how little. The group says which few dozen
//! labels to expect. Only the signatures tell those apart.
//!
//! Sample `i` of a part is a function of the options and `i`. So training needs no file, and files have the same bytes
//! for any number of threads.

use crate::error::{Error, Result};
use crate::rng::rng;
use rand::RngExt;
use rand_distr::{Distribution, LogNormal, Poisson, Zipf};
use std::collections::BTreeMap;

mod options;
#[cfg(test)]
mod tests;
mod words;
mod write;

pub use options::{Options, PRESETS};
use words::Words;

/// The share of feature draws from the signatures of the sample's labels.
const FROM_LABELS: f64 = 0.4;
/// The share from the words of its group.
const FROM_GROUP: f64 = 0.32;
/// The share from the words of its topic. The rest is noise.
const FROM_TOPIC: f64 = 0.14;
/// Exponent of the popularity of groups. With 0.6 the most frequent of 670 091 labels has about 2 000 of 490 449 samples,
/// as in Amazon-670K (1 826).
const GROUP_EXPONENT: f64 = 0.6;
/// Exponent of the popularity of labels inside a group.
const LABEL_EXPONENT: f64 = 0.7;
/// The probability that a label which shaped the features is written down (the missing labels of Jain, Prabhu and
/// Varma, KDD 2016). Features do not tell which, so it bounds the P@1 of any method.
const WRITTEN: f64 = 0.5;
/// Exponent of the noise.
const NOISE_EXPONENT: f64 = 0.9;
/// The share of labels that come from any group.
const STRAYS: f64 = 0.05;
/// The spread of the logarithm of a sample's number of features.
const FEATURE_SPREAD: f64 = 0.4;

/// A part of the set. No sample is in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// To train on.
    Train,
    /// To validate on.
    Valid,
}

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The planted topic. No reader is told it.
    pub topic: usize,
    /// Strictly increasing; at least one.
    pub labels: Vec<u32>,
    /// Pairs of feature and value, by feature; at least one.
    pub features: Vec<(u32, f32)>,
}

/// A planted data set.
///
/// ```
/// use hotrow::data::planted::{Options, Part, Planted};
/// let set = Planted::new(Options::preset("small")?)?;
/// let sample = set.sample(Part::Train, 3);
/// assert!(sample.labels.iter().all(|&label| label < 1000));
/// assert_eq!(sample, set.sample(Part::Train, 3));
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Planted {
    options: Options,
    /// Labels of a group.
    group: usize,
    groups: usize,
    topics: usize,
    words: Words,
    label_ids: Scatter,
    feature_ids: Scatter,
    group_popularity: Zipf<f64>,
    label_popularity: Zipf<f64>,
    noise: Zipf<f64>,
    more_labels: Poisson<f64>,
    spread: LogNormal<f64>,
}

impl Planted {
    /// Draws the words of topics, groups and labels. They take 24 bytes a label.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] if an option is outside the limits given at the fields of [`Options`].
    ///
    /// ```
    /// use hotrow::data::planted::{Options, Planted};
    /// let error = Planted::new(Options { labels: 3, ..Options::preset("small").unwrap() }).unwrap_err();
    /// assert!(error.to_string().starts_with("labels: 3 "));
    /// ```
    pub fn new(options: Options) -> Result<Self> {
        options.check()?;
        let group = ((16.0 * options.labels_per_sample) as usize).clamp(8, options.labels / 2);
        let groups = options.labels.div_ceil(group);
        let topics = groups.isqrt();
        let law = |what: &str, n: usize, exponent| {
            Zipf::new(n as f64, exponent).map_err(|error| Error::config(what, error.to_string()))
        };
        let more = ((options.labels_per_sample - 1.0) / WRITTEN).max(f64::MIN_POSITIVE);
        let (sigma, mu) = (FEATURE_SPREAD, options.features_per_sample.ln() - FEATURE_SPREAD * FEATURE_SPREAD / 2.0);
        Ok(Self {
            group,
            groups,
            topics,
            words: Words::draw(&options, groups, topics),
            label_ids: Scatter::new(options.labels),
            feature_ids: Scatter::new(options.features),
            group_popularity: law("labels", groups, GROUP_EXPONENT)?,
            label_popularity: law("labels", group, LABEL_EXPONENT)?,
            noise: law("features", options.features, NOISE_EXPONENT)?,
            more_labels: Poisson::new(more).map_err(|e| Error::config("labels-per-sample", e.to_string()))?,
            spread: LogNormal::new(mu, sigma).map_err(|e| Error::config("features-per-sample", e.to_string()))?,
            options,
        })
    }

    /// The options that it was made from.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Number of topics.
    pub fn topics(&self) -> usize {
        self.topics
    }

    /// Number of samples of a part.
    pub fn len(&self, part: Part) -> usize {
        match part {
            Part::Train => self.options.train,
            Part::Valid => self.options.valid,
        }
    }

    /// Sample `i` of a part, for any `i`.
    ///
    /// ```
    /// use hotrow::data::planted::{Options, Part, Planted};
    /// let set = Planted::new(Options::preset("small")?)?;
    /// assert_ne!(set.sample(Part::Train, 0), set.sample(Part::Valid, 0));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn sample(&self, part: Part, i: u64) -> Sample {
        let purpose = match part {
            Part::Train => "planted/train",
            Part::Valid => "planted/valid",
        };
        let rng = &mut rng(self.options.seed, purpose, i);
        let group = self.draw_group(rng);
        let places = self.draw_places(group, rng);
        let features = self.draw_features(group, &places, rng);
        // The first is always written, so every sample has a label. The order is random.
        let mut labels = vec![self.label_ids.at(places[0])];
        labels.extend(places[1..].iter().filter(|_| rng.random_bool(WRITTEN)).map(|&place| self.label_ids.at(place)));
        labels.sort_unstable();
        Sample { topic: self.topic(group), labels, features }
    }

    fn topic(&self, group: usize) -> usize {
        topic_of(group, self.groups, self.topics)
    }

    fn draw_group(&self, rng: &mut impl RngExt) -> usize {
        rank(&self.group_popularity, rng)
    }

    /// Positions of labels: position `p` has rank `p / groups` in group `p % groups`.
    fn draw_places(&self, group: usize, rng: &mut impl RngExt) -> Vec<usize> {
        // Half of a group at most, so that the search for another label ends soon.
        let count = (1 + self.more_labels.sample(rng) as usize).min(self.group / 2);
        let mut places = Vec::with_capacity(count);
        while places.len() < count {
            let group = if rng.random_bool(STRAYS) { self.draw_group(rng) } else { group };
            // The last position of some groups is empty, unless the labels divide.
            let place = rank(&self.label_popularity, rng) * self.groups + group;
            if place < self.options.labels && !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    fn draw_features(&self, group: usize, places: &[usize], rng: &mut impl RngExt) -> Vec<(u32, f32)> {
        // A quarter of all at most, and four draws for each. A short sample with few words of its own ends sooner.
        let count = (self.spread.sample(rng).round() as usize).clamp(1, self.options.features / 4);
        let mut drawn = BTreeMap::new();
        for _ in 0..4 * count {
            let kind = rng.random::<f64>();
            let feature = if kind < FROM_LABELS {
                *pick(self.words.signature(*pick(places, rng)), rng)
            } else if kind < FROM_LABELS + FROM_GROUP {
                *pick(self.words.group(group), rng)
            } else if kind < FROM_LABELS + FROM_GROUP + FROM_TOPIC {
                *pick(self.words.topic(self.topic(group)), rng)
            } else {
                self.feature_ids.at(rank(&self.noise, rng))
            };
            *drawn.entry(feature).or_insert(0_u16) += 1;
            if drawn.len() == count {
                break;
            }
        }
        drawn.into_iter().map(|(feature, times)| (feature, f32::from(times))).collect()
    }

    /// The validation P@1 of an oracle that knows each sample's topic, and answers with that topic's most frequent
    /// label in the training part. A method below it has learnt nothing finer than topics.
    ///
    /// ```
    /// use hotrow::data::planted::{Options, Planted};
    /// let set = Planted::new(Options { train: 100, valid: 50, ..Options::preset("small")? })?;
    /// assert!(set.topic_precision() < 0.5);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn topic_precision(&self) -> f64 {
        let mut counts = BTreeMap::<(usize, u32), u32>::new();
        for i in 0..self.options.train as u64 {
            let sample = self.sample(Part::Train, i);
            for label in sample.labels {
                *counts.entry((sample.topic, label)).or_default() += 1;
            }
        }
        let mut best = vec![(0, 0); self.topics];
        for (&(topic, label), &count) in &counts {
            if count > best[topic].0 {
                best[topic] = (count, label);
            }
        }
        let hit = |i: &u64| {
            let sample = self.sample(Part::Valid, *i);
            sample.labels.binary_search(&best[sample.topic].1).is_ok()
        };
        (0..self.options.valid as u64).filter(hit).count() as f64 / self.options.valid.max(1) as f64
    }
}

/// Groups of like popularity share a topic, so that none of them stands for it.
fn topic_of(group: usize, groups: usize, topics: usize) -> usize {
    group * topics / groups
}

/// A rank, from 0.
fn rank(law: &Zipf<f64>, rng: &mut impl RngExt) -> usize {
    law.sample(rng) as usize - 1
}

fn pick<'a, T>(items: &'a [T], rng: &mut impl RngExt) -> &'a T {
    &items[rng.random_range(0..items.len())]
}

/// A permutation of `0..n`, so that an id does not give popularity away. Its steps are about the golden section of `n`
/// and have no divisor in common with it.
#[derive(Clone, Copy, Debug)]
struct Scatter {
    n: u64,
    step: u64,
}

impl Scatter {
    fn new(n: usize) -> Self {
        let n = n as u64;
        let mut step = (n as f64 * 0.618_033_988_75) as u64 | 1;
        while gcd(step, n) != 1 {
            step += 2;
        }
        Self { n, step }
    }

    /// Both factors are below 2^32.
    fn at(self, rank: usize) -> u32 {
        (rank as u64 * self.step % self.n) as u32
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
