//! From files and `--set section.key=value` to a configuration, and back to a file with every default written out.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::Config;
use crate::error::{Error, Result};

/// The configuration of a kind of run: sections of keys, all of which have defaults.
pub trait RunConfig: Clone + Default + Serialize + DeserializeOwned {
    /// What it configures, as a command.
    const TASK: &'static str;

    /// Whether every value is in its range and no two contradict each other.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the first key that cannot be, its value and the limit.
    fn check(&self) -> Result<()>;

    /// An error if a run that began with this configuration cannot go on with `new`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] with the keys at fault.
    fn check_resumed(&self, new: &Self) -> Result<()>;
}

impl RunConfig for Config {
    const TASK: &'static str = "train xmc";

    fn check(&self) -> Result<()> {
        Config::check(self)
    }

    fn check_resumed(&self, new: &Self) -> Result<()> {
        Config::check_resumed(self, new)
    }
}

/// Keys of `[train]` that only networks have.
const EPOCHS: [&str; 4] = ["epochs", "batch_size", "log_every", "eval_every"];

/// Those of them that only a network by itself has.
const ALONE: [&str; 2] = ["log_every", "eval_every"];

impl Config {
    /// The first key that is not at its default and only concerns a network.
    pub(crate) fn key_of_network(&self) -> Option<String> {
        self.first_changed(|section, key| match section {
            "model" => key != "parts",
            "train" => EPOCHS.contains(&key),
            section => section != "data",
        })
    }

    /// The first key that is not at its default and only concerns a network by itself, or memories and linear rows without one.
    pub(crate) fn key_of_either(&self) -> Option<String> {
        self.first_changed(|section, key| section == "train" && (ALONE.contains(&key) || key.starts_with("budget_")))
    }

    fn first_changed(&self, concerns: impl Fn(&str, &str) -> bool) -> Option<String> {
        let (set, defaults) = (table_of(self), table_of(&Config::default()));
        let changed = keys(&set).into_iter().filter(|name| {
            let (section, key) = name.split_once('.').expect("section.key");
            concerns(section, key) && set[section][key] != defaults[section][key]
        });
        changed.into_iter().next()
    }

    /// A key that is not at its default and only concerns a model without a network.
    pub(crate) fn key_of_parts(&self) -> Option<&'static str> {
        let set = [
            ("train.budget_seconds", self.train.budget_seconds > 0.0),
            ("train.budget_bytes", self.train.budget_bytes > 0),
            ("data.label_texts", self.data.has_text_file() || self.data.label_texts == super::NAMES),
        ];
        set.into_iter().find(|key| key.1).map(|key| key.0)
    }

    /// The defaults, changed by `file` (TOML), then by each of `sets` (`section.key=value`, the last one wins), and
    /// [checked](Config::check). Values of `sets` are TOML; what is none is a string, so that names need no quotes.
    ///
    /// ```
    /// use hotrow::config::{Config, IndexName};
    /// let config = Config::load(None, &["sparse.index=simhash".into(), "model.hidden=[64, 32]".into()])?;
    /// assert_eq!((config.sparse.index, config.model.hidden), (IndexName::Simhash, vec![64, 32]));
    /// let error = Config::load(None, &["optim.lrr=1".into()]).unwrap_err();
    /// assert_eq!(error.to_string(), "optim.lrr: no such key; did you mean optim.lr?");
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the file cannot be read; [`Error::Config`] for what is no TOML (with line and column), for unknown
    /// sections and keys (with the nearest valid one), for values of the wrong type (with what is allowed), and for what
    /// `check` refuses.
    pub fn load(file: Option<&Path>, sets: &[String]) -> Result<Config> {
        load(Config::default(), file, sets)
    }

    /// Every key with its value, as a file that [`Config::load`] reads to an equal configuration.
    ///
    /// ```
    /// use hotrow::config::Config;
    /// let text = Config::default().to_toml();
    /// assert!(text.contains("[optim]\nname = \"rowwise-adagrad\"\nlr = 0.0\n"));
    /// ```
    ///
    /// # Panics
    ///
    /// If a number is above `i64::MAX`, the largest that TOML has ([`Config::check`] refuses it).
    pub fn to_toml(&self) -> String {
        to_toml(self)
    }

    /// All keys, as `section.key`, in alphabetical order.
    ///
    /// ```
    /// assert!(hotrow::config::Config::keys().contains(&"optim.lr".to_owned()));
    /// ```
    pub fn keys() -> Vec<String> {
        keys(&table_of(&Config::default()))
    }
}

/// `defaults`, changed by `file`, then by each of `sets`, and checked: see [`Config::load`].
pub(crate) fn load<C: RunConfig>(defaults: C, file: Option<&Path>, sets: &[String]) -> Result<C> {
    let config = read(defaults, file, sets)?;
    config.check()?;
    Ok(config)
}

/// The same, not checked as a whole.
pub(crate) fn read<C: RunConfig>(defaults: C, file: Option<&Path>, sets: &[String]) -> Result<C> {
    let mut table = table_of(&defaults);
    let defaults = table.clone();
    if let Some(path) = file {
        let text = crate::files::read_settings(path)?;
        let file = parse(path, &text)?;
        if let Some(task) = other_task(&file).filter(|task| *task != C::TASK) {
            let message = format!("is the configuration of `hotrow {task}`, not of `hotrow {}`", C::TASK);
            return Err(Error::config(path.display().to_string(), message));
        }
        for (section, keys) in file {
            let Value::Table(keys) = keys else {
                return Err(in_file(path, not_a_section(&table, &section)));
            };
            for (key, value) in keys {
                assign::<C>(&mut table, &section, &key, value).map_err(|error| in_file(path, error))?;
            }
        }
    }
    for set in sets {
        let Some((name, text)) = set.split_once('=') else {
            return Err(Error::config("set", format!("{set:?} is not section.key=value")));
        };
        let name = name.trim();
        let Some((section, key)) = name.split_once('.') else {
            return Err(unknown(&table, name, "", "section.key is expected"));
        };
        let value = value_of(&defaults, section, key, text.trim());
        assign::<C>(&mut table, section, key, value)?;
    }
    table.try_into().map_err(|error| Error::config("configuration", error.message()))
}

/// Every key with its value: see [`Config::to_toml`].
pub(crate) fn to_toml(config: &impl Serialize) -> String {
    toml::to_string(config).expect("a configuration that check accepts is TOML")
}

/// Kinds of runs, each with the sections that no other kind has.
pub(super) const KINDS: [(&str, &[&str]); 2] =
    [("train xmc", &["sparse"]), ("train lm", &["feed_forward", "head", "memory", "ngram"])];

/// The kind of run that a file is of, if it has sections of one kind alone.
fn other_task(file: &Table) -> Option<&'static str> {
    let mut kinds = KINDS.iter().filter(|(_, sections)| sections.iter().any(|name| file.contains_key(*name)));
    match (kinds.next(), kinds.next()) {
        (Some((task, _)), None) => Some(task),
        _ => None,
    }
}

fn table_of(config: &impl Serialize) -> Table {
    to_toml(config).parse().expect("what was written is TOML")
}

fn keys(table: &Table) -> Vec<String> {
    let keys_of = |(section, keys): (&String, &Value)| -> Vec<String> {
        keys.as_table().into_iter().flatten().map(|(key, _)| format!("{section}.{key}")).collect()
    };
    table.iter().flat_map(keys_of).collect()
}

fn parse(path: &Path, text: &str) -> Result<Table> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = &text[..error.span().map_or(0, |span| span.start.min(text.len()))];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |end| end + 1) + 1;
        Error::config(format!("{}:{line}:{column}", path.display()), error.message())
    })
}

fn in_file(path: &Path, error: Error) -> Error {
    match error {
        Error::Config { key, message } => Error::config(key, format!("{message} (in {})", path.display())),
        error => error,
    }
}

/// Where `table` has text, it needs no quotes even if it looks like something else (`data.text=3`).
fn value_of(table: &Table, section: &str, key: &str, text: &str) -> Value {
    let wants_text = table.get(section).and_then(|keys| keys.get(key)).is_some_and(Value::is_str);
    // One value: what has a line break in it could be several.
    let parsed = format!("value = {text}").parse::<Table>().ok().filter(|table| table.len() == 1);
    match parsed.and_then(|mut table| table.remove("value")) {
        Some(value) if value.is_str() || !wants_text => value,
        _ => Value::String(text.to_owned()),
    }
}

/// Sets a key that there is to a value that it can have.
fn assign<C: RunConfig>(table: &mut Table, section: &str, key: &str, value: Value) -> Result<()> {
    let name = format!("{section}.{key}");
    if !table.get(section).is_some_and(Value::is_table) {
        return Err(unknown(table, section, key, "no such section"));
    }
    if table[section].get(key).is_none() {
        return Err(unknown(table, section, key, "no such key"));
    }
    let alone =
        Table::from_iter([(section.to_owned(), Value::Table(Table::from_iter([(key.to_owned(), value.clone())])))]);
    alone.try_into::<C>().map_err(|error| Error::config(&name, error.message()))?;
    table[section][key] = value;
    Ok(())
}

fn unknown(table: &Table, section: &str, key: &str, what: &str) -> Error {
    let name = if key.is_empty() { section.to_owned() } else { format!("{section}.{key}") };
    Error::config(name, format!("{what}; {}", suggestion(table, section, key)))
}

fn not_a_section(table: &Table, name: &str) -> Error {
    let sections: Vec<_> = table.keys().map(|section| format!("[{section}]")).collect();
    Error::config(
        name,
        format!("keys stand in one of the sections {}; {}", sections.join(" "), suggestion(table, name, "")),
    )
}

/// Edits up to which a name is taken for a slip of the pen.
const SLIP: usize = 5;

/// What may have been meant: the key that takes the fewest insertions, deletions, replacements and swaps of neighbours, if they
/// are few, else what there is. The key itself counts double: it is remembered better than the section that it is in. A name
/// without a section may be either.
fn suggestion(table: &Table, section: &str, key: &str) -> String {
    let distance = |name: &String| {
        let (to_section, to_key) = name.split_once('.').expect("section.key");
        let edits = strsim::damerau_levenshtein;
        if key.is_empty() { 2 * edits(section, to_key) } else { edits(section, to_section) + 2 * edits(key, to_key) }
    };
    let nearest = keys(table).into_iter().min_by_key(distance).expect("there are keys");
    if distance(&nearest) <= SLIP {
        return format!("did you mean {nearest}?");
    }
    let list = |keys: &Table| keys.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match table.get(section).and_then(Value::as_table) {
        Some(keys) => format!("[{section}] has {}", list(keys)),
        None => format!("the sections are {}", list(table)),
    }
}
