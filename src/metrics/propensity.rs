//! Propensities: the probability that a true label was recorded.

use std::ops::Deref;
use std::sync::Arc;

/// The inverse propensity of each label, and of a label that was never seen. Clones share the numbers.
///
/// ```
/// let inverse = hotrow::metrics::Inverse::new(vec![2.0, 1.5], 3.0);
/// assert_eq!((inverse[1], inverse.unseen()), (1.5, 3.0));
/// ```
#[derive(Clone, Debug)]
pub struct Inverse {
    labels: Arc<[f64]>,
    unseen: f64,
}

impl Inverse {
    /// From the numbers of labels 0, 1, .., and the number of every label beyond them.
    pub fn new(labels: Vec<f64>, unseen: f64) -> Self {
        Self { labels: labels.into(), unseen }
    }

    /// The inverse propensity of a label that the training set lacks.
    pub fn unseen(&self) -> f64 {
        self.unseen
    }
}

impl Deref for Inverse {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.labels
    }
}

impl PartialEq for Inverse {
    fn eq(&self, other: &Self) -> bool {
        // Most often both share one long list.
        self.unseen == other.unseen && (Arc::ptr_eq(&self.labels, &other.labels) || self.labels == other.labels)
    }
}

/// The model of missing labels of Jain, Prabhu and Varma, "Extreme Multi-label Loss Functions for Recommendation,
/// Tagging, Ranking & Other Missing Label Applications" (KDD 2016). Let label `l` occur in `N_l` of `N` training
/// samples. Where it is true, it is recorded with probability
///
/// ```text
/// p_l = 1 / (1 + C (N_l + B)^-A),   C = (ln N - 1) (B + 1)^A
/// ```
///
/// ```
/// use hotrow::metrics::Propensity;
/// let inverse = Propensity::AMAZON.inverse(490_449, &[1, 1000]);
/// assert!(inverse[0] > inverse[1] && inverse[1] > 1.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Propensity {
    /// Exponent.
    pub a: f64,
    /// What is added to each label's count.
    pub b: f64,
}

impl Default for Propensity {
    /// The constants for data without constants of its own.
    fn default() -> Self {
        Self { a: 0.55, b: 1.5 }
    }
}

impl Propensity {
    /// The constants of Amazon-670K and Amazon-3M.
    pub const AMAZON: Self = Self { a: 0.6, b: 2.6 };
    /// The constants of WikiLSHTC-325K and Wikipedia-500K.
    pub const WIKIPEDIA: Self = Self { a: 0.5, b: 0.4 };

    /// `1 / p_l` for each label. `samples` is the size of the training set; `counts[l]` is the number of its samples
    /// with label
    /// `l`. With fewer than three samples all are 1.
    ///
    /// ```
    /// use hotrow::metrics::Propensity;
    /// // C = ln 100 - 1 for a label that was seen once.
    /// let inverse = Propensity::default().inverse(100, &[1]);
    /// assert!((inverse[0] - 100_f64.ln()).abs() < 1e-12);
    /// ```
    pub fn inverse(&self, samples: u64, counts: &[u64]) -> Inverse {
        let c = ((samples as f64).ln() - 1.0).max(0.0) * (self.b + 1.0).powf(self.a);
        let of = |count: u64| 1.0 + c * (count as f64 + self.b).powf(-self.a);
        Inverse::new(counts.iter().map(|&count| of(count)).collect(), of(0))
    }
}

/// How often each of `labels` labels occurs in `items`: the counts that [`Propensity::inverse`] takes.
///
/// # Panics
///
/// If a label is not below `labels`.
///
/// ```
/// let rows: hotrow::ragged::Ragged<u32> = [vec![0, 2], vec![2]].into_iter().collect();
/// assert_eq!(hotrow::metrics::count_labels(3, rows.items()), [1, 0, 2]);
/// ```
#[track_caller]
pub fn count_labels<'a>(labels: usize, items: impl IntoIterator<Item = &'a u32>) -> Vec<u64> {
    let mut counts = vec![0; labels];
    for &label in items {
        assert!((label as usize) < labels, "label {label} is not below {labels}");
        counts[label as usize] += 1;
    }
    counts
}
