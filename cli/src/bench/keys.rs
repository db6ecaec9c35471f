//! Checks the keys of workload files. An error names the nearest valid key.

use std::path::Path;

use toml::{Table, Value};

use hotrow::error::{Error, Result};

const TOP: &[&str] = &["schema", "name", "title", "task", "division", "seeds", "target", "data", "config", "variant"];
const TARGET: &[&str] = &["metric", "value"];
const DATA: &[&str] = &["train", "valid", "valid_share", "vocabulary", "tokenizer", "field", "xxh3"];
const VARIANT: &[&str] = &["name", "division", "set"];

/// Refuses the first unknown key of `table`, a workload. Keys of `config` are checked with the configuration.
pub(super) fn check(path: &Path, table: &Table) -> Result<()> {
    known(path, "", table, TOP)?;
    for (name, keys) in [("target", TARGET), ("data", DATA)] {
        if let Some(Value::Table(section)) = table.get(name) {
            known(path, &format!("{name}."), section, keys)?;
        }
    }
    let variants = table.get("variant").and_then(Value::as_array);
    for variant in variants.into_iter().flatten().filter_map(Value::as_table) {
        known(path, "variant.", variant, VARIANT)?;
    }
    Ok(())
}

fn known(path: &Path, prefix: &str, table: &Table, keys: &[&str]) -> Result<()> {
    let Some(wrong) = table.keys().find(|key| !keys.contains(&key.as_str())) else { return Ok(()) };
    let distance = |key: &&&str| strsim::damerau_levenshtein(wrong, key);
    let nearest = keys.iter().min_by_key(distance).expect("there are keys");
    let message = format!("no such key; did you mean {prefix}{nearest}? (in {})", path.display());
    Err(Error::config(format!("{prefix}{wrong}"), message))
}
