//! Ranking metrics of extreme classification: P@k, recall@k, nDCG@k and propensity-scored precision PSP@k over a whole set.
//!
//! For one sample with true labels `y` and the ranking `r_1 r_2 ..`, best first:
//!
//! ```text
//! P@k      = |{r_1 .. r_k} in y| / k
//! recall@k = |{r_1 .. r_k} in y| / |y|
//! nDCG@k   = sum_{i <= k, r_i in y} 1 / log2(i + 1)  /  sum_{i <= min(k, |y|)} 1 / log2(i + 1)
//! PSP@k    = sum_{i <= k, r_i in y} 1 / p(r_i)       /  the same sum for the best ranking there is
//! ```
//!
//! P@k, recall@k and nDCG@k are means over the samples. PSP@k is the quotient of two sums over all samples, as in the
//! extreme-classification repository and napkinXC. True labels that the training set lacks belong to `y`
//! ([`Ranking::add_with_missing`]). As in napkinXC and scikit-learn, a sample without true labels counts as 0, and adds
//! nothing to either sum of PSP. An empty set has 0 everywhere.

use std::collections::BTreeMap;

mod propensity;
#[cfg(test)]
mod tests;

pub use propensity::{Inverse, Propensity, count_labels};

/// The metrics of a set. It takes one ranking a sample.
///
/// Sums are kept in whole units of 2^-64. So they are the same bits however the set was cut into parts, and in whatever
/// order the parts were [merged](Self::merge).
///
/// ```
/// use hotrow::metrics::Ranking;
/// let mut ranking = Ranking::new(&[1, 3], None);
/// ranking.add(&[7, 2, 9], &[2, 7]); // both labels found, and first
/// ranking.add(&[4, 1, 8], &[8]); // found third
/// assert_eq!(ranking.precision(1), 0.5);
/// assert_eq!(ranking.recall(3), 1.0);
/// assert_eq!(ranking.ndcg(3), (1.0 + 0.5) / 2.0);
/// ```
#[derive(Clone, Debug)]
pub struct Ranking {
    ks: Vec<usize>,
    inverse: Option<Inverse>,
    samples: u64,
    /// `places[i]` holds the sums at k = i + 1.
    places: Vec<Sums>,
    /// Working memory for a sample's inverse propensities.
    scores: Vec<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    hits: u64,
    recall: Sum,
    ndcg: Sum,
    scored: Sum,
    best: Sum,
}

impl Ranking {
    /// Metrics of no samples yet. `ks` are the cut-offs that [`Self::metrics`] reports. `inverse` is the inverse
    /// propensity of each label ([`Propensity::inverse`]); with it, there is PSP too.
    ///
    /// # Panics
    ///
    /// If `ks` is empty or holds a 0.
    ///
    /// ```
    /// assert_eq!(hotrow::metrics::Ranking::new(&[5], None).metrics()["p@5"], 0.0);
    /// ```
    #[track_caller]
    pub fn new(ks: &[usize], inverse: Option<Inverse>) -> Self {
        assert!(!ks.is_empty() && !ks.contains(&0), "each k must be 1 or more, and there must be one: {ks:?}");
        let most = ks.iter().copied().max().unwrap_or(0);
        let places = vec![Sums::default(); most];
        Self { ks: ks.to_vec(), inverse, samples: 0, places, scores: Vec::new() }
    }

    /// The largest k: how many predictions of a sample count.
    ///
    /// ```
    /// assert_eq!(hotrow::metrics::Ranking::new(&[1, 5], None).places(), 5);
    /// ```
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// The number of samples added.
    ///
    /// ```
    /// assert_eq!(hotrow::metrics::Ranking::new(&[1], None).samples(), 0);
    /// ```
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Adds a sample: its `predicted` labels, best first and each once, and its `truth`, strictly increasing.
    /// Predictions after the largest k are ignored. Missing ones count as wrong.
    ///
    /// # Panics
    ///
    /// If a prediction comes twice, `truth` does not increase strictly, or a label has no propensity.
    ///
    /// ```
    /// let mut ranking = hotrow::metrics::Ranking::new(&[5], None);
    /// ranking.add(&[3], &[3, 4]);
    /// assert_eq!(ranking.precision(5), 0.2);
    /// ```
    #[track_caller]
    pub fn add(&mut self, predicted: &[u32], truth: &[u32]) {
        self.add_with_missing(predicted, truth, 0);
    }

    /// Adds a sample with `unseen` further true labels that the training set lacks, so no prediction can name them.
    /// They are part of `y` and lower recall, nDCG and PSP. The best ranking holds them, with the propensity of a label
    /// that was seen 0 times.
    ///
    /// # Panics
    ///
    /// As [`add`](Self::add).
    ///
    /// ```
    /// let mut ranking = hotrow::metrics::Ranking::new(&[1], None);
    /// ranking.add_with_missing(&[3], &[3], 1);
    /// assert_eq!((ranking.precision(1), ranking.recall(1)), (1.0, 0.5));
    /// ```
    #[track_caller]
    pub fn add_with_missing(&mut self, predicted: &[u32], truth: &[u32], unseen: u32) {
        assert!(truth.is_sorted_by(|a, b| a < b), "the true labels do not increase strictly: {truth:?}");
        let predicted = &predicted[..predicted.len().min(self.places.len())];
        for (i, label) in predicted.iter().enumerate() {
            assert!(!predicted[..i].contains(label), "label {label} is predicted twice");
        }
        self.samples += 1;
        let all = truth.len() + unseen as usize;
        if all == 0 {
            return;
        }
        if let Some(inverse) = &self.inverse {
            self.scores.clear();
            self.scores.extend(truth.iter().map(|&label| score(inverse, label)));
            self.scores.extend((0..self.places.len().min(unseen as usize)).map(|_| inverse.unseen()));
            self.scores.sort_unstable_by(|a, b| b.total_cmp(a));
        }
        let (mut hits, mut gain, mut ideal, mut scored, mut best) = (0, 0.0, 0.0, 0.0, 0.0);
        for (i, sums) in self.places.iter_mut().enumerate() {
            let discount = 1.0 / (i as f64 + 2.0).log2();
            if i < all {
                ideal += discount;
            }
            if let Some(label) = predicted.get(i).filter(|label| truth.binary_search(label).is_ok()) {
                hits += 1;
                gain += discount;
                scored += self.inverse.as_ref().map_or(0.0, |inverse| score(inverse, *label));
            }
            best += self.inverse.as_ref().and(self.scores.get(i)).unwrap_or(&0.0);
            sums.hits += hits;
            sums.recall.add(hits as f64 / all as f64);
            sums.ndcg.add(gain / ideal);
            sums.scored.add(scored);
            sums.best.add(best);
        }
    }

    /// Adds the samples of `other`.
    ///
    /// # Panics
    ///
    /// If they differ in k or in propensities.
    ///
    /// ```
    /// use hotrow::metrics::Ranking;
    /// let mut parts = [Ranking::new(&[1], None), Ranking::new(&[1], None)];
    /// parts[0].add(&[3], &[3]);
    /// parts[1].add(&[4], &[5]);
    /// let [mut whole, other] = parts;
    /// whole.merge(&other);
    /// assert_eq!(whole.precision(1), 0.5);
    /// ```
    #[track_caller]
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.ks, other.ks, "the parts differ in k");
        assert!(self.inverse == other.inverse, "the parts differ in propensities");
        self.samples += other.samples;
        for (sums, more) in self.places.iter_mut().zip(&other.places) {
            sums.hits += more.hits;
            for (sum, more) in [
                (&mut sums.recall, more.recall),
                (&mut sums.ndcg, more.ndcg),
                (&mut sums.scored, more.scored),
                (&mut sums.best, more.best),
            ] {
                sum.0 += more.0;
            }
        }
    }

    /// P@k, for any k up to the largest of `ks`.
    ///
    /// # Panics
    ///
    /// If k is 0 or larger than that. So do the other metrics.
    #[track_caller]
    pub fn precision(&self, k: usize) -> f64 {
        self.mean(self.at(k).hits as f64 / k as f64)
    }

    /// Recall@k.
    #[track_caller]
    pub fn recall(&self, k: usize) -> f64 {
        self.mean(self.at(k).recall.get())
    }

    /// nDCG@k.
    #[track_caller]
    pub fn ndcg(&self, k: usize) -> f64 {
        self.mean(self.at(k).ndcg.get())
    }

    /// PSP@k; `None` without propensities.
    #[track_caller]
    pub fn propensity_scored(&self, k: usize) -> Option<f64> {
        let Sums { scored, best, .. } = self.at(k);
        self.inverse.as_ref().map(|_| if best.0 == 0 { 0.0 } else { scored.get() / best.get() })
    }

    /// All metrics, under the program's names: `p@1`, `recall@5`, `ndcg@5`, `psp@3`.
    ///
    /// ```
    /// use hotrow::metrics::{Propensity, Ranking};
    /// let inverse = Propensity::default().inverse(100, &[50, 3]);
    /// let mut ranking = Ranking::new(&[1], Some(inverse));
    /// ranking.add(&[1], &[0, 1]); // the rarer of the two is worth more
    /// let metrics = ranking.metrics();
    /// assert_eq!(metrics.keys().map(String::as_str).collect::<Vec<_>>(), ["ndcg@1", "p@1", "psp@1", "recall@1"]);
    /// assert_eq!(metrics["psp@1"], 1.0);
    /// ```
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let mut metrics = BTreeMap::new();
        for &k in &self.ks {
            let scored = self.propensity_scored(k).map(|psp| ("psp", psp));
            let plain = [("p", self.precision(k)), ("recall", self.recall(k)), ("ndcg", self.ndcg(k))];
            metrics.extend(plain.into_iter().chain(scored).map(|(name, value)| (format!("{name}@{k}"), value)));
        }
        metrics
    }

    #[track_caller]
    fn at(&self, k: usize) -> &Sums {
        assert!((1..=self.places.len()).contains(&k), "k is {k}, and 1 to {} were counted", self.places.len());
        &self.places[k - 1]
    }

    fn mean(&self, sum: f64) -> f64 {
        if self.samples == 0 { 0.0 } else { sum / self.samples as f64 }
    }
}

#[track_caller]
fn score(inverse: &Inverse, label: u32) -> f64 {
    *inverse
        .get(label as usize)
        .unwrap_or_else(|| panic!("label {label} has no propensity: there are {}", inverse.len()))
}

/// A sum of non-negative numbers in units of 2^-64, so additions commute to the bit. Each term is rounded by at most
/// 2^-65. A sum of shares never reaches 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sum(u128);

impl Sum {
    const UNIT: f64 = (1_u128 << 64) as f64;

    fn add(&mut self, x: f64) {
        self.0 += (x * Self::UNIT) as u128;
    }

    fn get(self) -> f64 {
        self.0 as f64 / Self::UNIT
    }
}
