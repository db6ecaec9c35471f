//! What a run trains: a network, or parts in its place.

use std::path::Path;

use super::Mixed;
use crate::config::{Config, PartName, RunConfig, read};
use crate::error::{Error, Result};

/// The configuration of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Of a network.
    Network(Config),
    /// Of memories and linear rows.
    Parts(Mixed),
}

impl Kind {
    /// The configuration of a new run: the defaults, changed by `file`, then by each of `sets`, as of [`Config::load`].
    ///
    /// If `model.parts` does not say what is trained, it is memories and linear rows (`auto`), unless some key is set that only
    /// concerns a network, such as `optim.lr`: then it is a network.
    ///
    /// ```
    /// use hotrow::train::xmc::Kind;
    /// let kind = |sets: &[&str]| Kind::load(None, &sets.iter().map(|set| set.to_string()).collect::<Vec<_>>());
    /// assert!(matches!(kind(&[])?, Kind::Parts(_)));
    /// assert!(matches!(kind(&["train.epochs=3"])?, Kind::Network(_)));
    /// assert!(matches!(kind(&["model.parts=network"])?, Kind::Network(_)));
    /// let error = kind(&["model.parts=counts", "optim.lr=0.1"]).unwrap_err();
    /// assert_eq!(error.to_string(), "optim.lr: is for a network, and model.parts names none");
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Self> {
        let (network, mut parts) = (Config::load(file, sets)?, read(Mixed::default(), file, sets)?);
        // Each has its own default.
        let unsaid = network.model.is_network() && parts.0.model.parts == [PartName::Auto];
        if network.model.is_network() && !(unsaid && network.key_of_network().is_none()) {
            return Self::of_network(network);
        }
        parts.check()?;
        parts.0.data.locate_texts();
        Ok(Self::Parts(parts))
    }

    /// The configuration of a run that has this `file`, changed by `sets`. One of an older version, which does not say what it trains,
    /// trains a network.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn resumed(file: &Path, sets: &[String]) -> Result<Self> {
        let config = Config::load(Some(file), sets)?;
        Ok(match config.model.is_network() {
            true => Self::of_network(config)?,
            // Its defaults are others. Whoever resumes it checks it, and looks at the folder first.
            false => Self::Parts(read(Mixed::default(), Some(file), sets)?),
        })
    }

    fn of_network(config: Config) -> Result<Self> {
        match config.key_of_parts() {
            Some(key) => Err(Error::config(key, "is for memories and linear rows, and this run is of a network")),
            None => Ok(Self::Network(config)),
        }
    }

    /// The configuration of either.
    pub fn config(&self) -> &Config {
        let (Self::Network(config) | Self::Parts(Mixed(config))) = self;
        config
    }
}
