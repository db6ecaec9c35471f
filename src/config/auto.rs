//! What the size of the training set decides.

use super::Config;

/// A training set of fewer samples is small: in batches of 256, five passes would be a few hundred steps.
const SMALL: usize = 1 << 14;

/// Learning rate, samples of a batch, and passes.
type Choice = (f32, usize, u64);

/// P@1 of the second line beside the first at a constant rate, on a fifth of the training part that was held out, means of three seeds:
/// 58.7 and 51.1 on bibtex (4 000 samples), 66.7 and 64.9 on delicious (10 000), 26.7 and 25.5 on the first 2 000 titles of
/// gutenberg-subjects, 37.1 and 36.8 on the first 8 000 (`benches/xmc/small.py`). The choice was made on the same fifths with seed 1, so
/// these figures flatter it. The best of 36 combinations had 60.7 on bibtex and 68.4 on delicious there, the best of the 20 that were run
/// on the 2 000 titles 26.4 (`benches/results/xmc-small-grid.json`).
const LARGE_SET: Choice = (0.1, 256, 5);
const SMALL_SET: Choice = (0.05, 64, 10);

impl Config {
    /// The configuration of a run on `samples` training samples: a learning rate, batch size or number of passes that is 0 is
    /// chosen by their number. (A batch has `sparse.micro_batch` samples at least.)
    ///
    /// ```
    /// use hotrow::config::Config;
    /// let small = Config::default().resolved(2_000);
    /// assert_eq!((small.optim.lr, small.train.batch_size, small.train.epochs), (0.05, 64, 10));
    /// let large = Config::load(None, &["train.epochs=3".into()])?.resolved(2_000_000);
    /// assert_eq!((large.optim.lr, large.train.batch_size, large.train.epochs), (0.1, 256, 3));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    #[must_use]
    pub fn resolved(&self, samples: usize) -> Config {
        let (lr, batch_size, epochs) = if samples < SMALL { SMALL_SET } else { LARGE_SET };
        let mut config = self.clone();
        if config.optim.lr == 0.0 {
            config.optim.lr = lr;
        }
        if config.train.batch_size == 0 {
            config.train.batch_size = batch_size.max(config.sparse.micro_batch);
        }
        if config.train.epochs == 0 {
            config.train.epochs = epochs;
        }
        config
    }
}
