//! What may change when a run is taken up.

use super::{Config, Data, Sparse};
use crate::error::{Error, Result};

impl Config {
    /// An error if a run that began with this configuration cannot go on with `new`: its checkpoints would not fit, or its
    /// samples would be others.
    ///
    /// ```
    /// use hotrow::config::Config;
    /// let (old, mut new) = (Config::default(), Config::default());
    /// new.train.epochs += 1;
    /// assert!(old.check_resumed(&new).is_ok());
    /// new.model.hidden = vec![64];
    /// assert!(old.check_resumed(&new).unwrap_err().to_string().starts_with("model: "));
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the keys at fault.
    pub fn check_resumed(&self, new: &Config) -> Result<()> {
        let index = |s: &Sparse| (s.index, s.tables, s.codes, s.probes, s.block);
        // A set of half of the rows or more is computed as all of them, without an index.
        let sizes = |s: &Sparse| (s.active, s.hidden_active);
        // A file of texts may have moved; whoever reads it compares what it holds.
        let data = |data: &Data| match data.has_text_file() {
            true => Data { label_texts: "/".to_owned(), ..data.clone() },
            false => data.clone(),
        };
        for (key, changed) in [
            ("model", self.model != new.model),
            ("data", data(&self.data) != data(&new.data)),
            ("train.seed", self.train.seed != new.train.seed),
            ("train.batch_size", self.train.batch_size != new.train.batch_size),
            ("train.budget_bytes", self.train.budget_bytes != new.train.budget_bytes),
            ("optim.name", self.optim.name != new.optim.name),
            ("optim.eight_bit", self.optim.eight_bit != new.optim.eight_bit),
            ("sparse.index, .tables, .codes, .probes, .block", index(&self.sparse) != index(&new.sparse)),
            ("sparse.active, .hidden_active", sizes(&self.sparse) != sizes(&new.sparse)),
        ] {
            if changed {
                return Err(Error::config(key, "cannot change when a run is resumed"));
            }
        }
        Ok(())
    }
}
