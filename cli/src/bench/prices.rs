//! The price of a machine, from a list that the user keeps.

use std::path::Path;

use serde::Deserialize;

use super::outcome::Cost;
use hotrow::error::{Error, Result};
use hotrow::files;

/// A price list: entries `[[price]]` with `machine` (part of the CPU's name), `per_hour`, `currency` and perhaps
/// `name`.
///
/// ```
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("prices.toml");
/// std::fs::write(&path, "[[price]]\nmachine = \"EPYC\"\nper_hour = 2.0\ncurrency = \"EUR\"\n").unwrap();
/// let prices = hotrow_cli::bench::Prices::read(&path)?;
/// let cost = prices.cost("AMD EPYC 9R14", 1800.0);
/// assert_eq!((cost.amount, cost.currency.as_str()), (Some(1.0), "EUR"));
/// assert_eq!(prices.cost("another", 1800.0).amount, None);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    #[serde(default)]
    price: Vec<Price>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    machine: String,
    per_hour: f64,
    currency: String,
    #[serde(default)]
    name: String,
}

impl Prices {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read; [`Error::Config`] if it is no price list.
    pub fn read(path: &Path) -> Result<Prices> {
        let text = files::read_settings(path)?;
        let wrong = |message: String| Error::config(path.display().to_string(), message);
        let prices: Prices = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
        match prices.price.iter().find(|price| !price.per_hour.is_finite() || price.per_hour < 0.0) {
            Some(price) => Err(wrong(format!("per_hour: {} is not at least 0", price.per_hour))),
            None => Ok(prices),
        }
    }

    /// The price of `seconds` on a machine with this CPU, by the first entry that matches.
    pub fn cost(&self, cpu: &str, seconds: f64) -> Cost {
        let Some(price) = self.price.iter().find(|price| cpu.contains(&price.machine)) else { return Cost::default() };
        let name = if price.name.is_empty() { &price.machine } else { &price.name };
        Cost {
            amount: Some(price.per_hour * seconds / 3600.0),
            currency: price.currency.clone(),
            price_per_hour: Some(price.per_hour),
            price: Some(name.clone()),
        }
    }
}
