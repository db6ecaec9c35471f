//! The log of a run: one JSON object a line.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Version of the lines.
const SCHEMA: u32 = 1;

/// The log `metrics.jsonl`. Every line has `schema`, `event` and `step`; steps never fall. If all events of a step are
/// logged before its checkpoint is saved, the log of a resumed run has every event once.
#[derive(Debug)]
pub struct MetricsLog {
    file: File,
    path: PathBuf,
}

#[derive(Serialize)]
struct Line<'a, T> {
    schema: u32,
    event: &'a str,
    step: u64,
    #[serde(flatten)]
    fields: &'a T,
}

impl MetricsLog {
    /// Opens or makes the log at `path`, and cuts off the events after `step` (0 for a new run). An unfinished line of
    /// a killed program goes too.
    ///
    /// ```
    /// use hotrow::run::MetricsLog;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("metrics.jsonl");
    /// let mut log = MetricsLog::open(&path, 0)?;
    /// log.write("train", 50, &serde_json::json!({"loss": 2.5}))?;
    /// log.write("train", 100, &serde_json::json!({"loss": 2.0}))?;
    /// MetricsLog::open(&path, 50)?;
    /// let text = std::fs::read_to_string(&path).unwrap();
    /// assert_eq!(text, "{\"schema\":1,\"event\":\"train\",\"step\":50,\"loss\":2.5}\n");
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn open(path: &Path, step: u64) -> Result<MetricsLog> {
        let open = || {
            let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
            let end = end_of(&file, step)?;
            file.set_len(end)?;
            file.seek(SeekFrom::Start(end))?;
            Ok(file)
        };
        Ok(MetricsLog { file: open().map_err(Error::io(path))?, path: path.to_owned() })
    }

    /// Adds an event. `fields` is a struct or a map. Numbers that are not finite become `null`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    ///
    /// # Panics
    ///
    /// If `fields` is neither a struct nor a map.
    pub fn write(&mut self, event: &str, step: u64, fields: &impl Serialize) -> Result<()> {
        let line = serde_json::to_vec(&Line { schema: SCHEMA, event, step, fields });
        let mut line = line.expect("the fields of an event are a struct or a map");
        line.push(b'\n');
        // One call a line: a kill leaves whole lines, except perhaps the last.
        self.file.write_all(&line).map_err(Error::io(&self.path))
    }

    /// The first event of this name at this step.
    ///
    /// ```
    /// use hotrow::run::MetricsLog;
    /// # let folder = tempfile::tempdir().unwrap();
    /// let mut log = MetricsLog::open(&folder.path().join("metrics.jsonl"), 0)?;
    /// log.write("eval", 50, &serde_json::json!({"loss": 2.5}))?;
    /// assert_eq!(log.find("eval", 50)?.unwrap()["loss"], 2.5);
    /// assert!(log.find("eval", 51)?.is_none() && log.find("train", 50)?.is_none());
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn find(&self, event: &str, step: u64) -> Result<Option<Map<String, Value>>> {
        let file = File::open(&self.path).map_err(Error::io(&self.path))?;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(Error::io(&self.path))?;
            let Ok(fields) = serde_json::from_str::<Map<String, Value>>(&line) else { continue };
            if fields.get("event").is_some_and(|name| name == event) && fields.get("step") == Some(&step.into()) {
                return Ok(Some(fields));
            }
        }
        Ok(None)
    }

    /// Waits until the log is on the disk.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }
}

/// The start of the first line that is no event, or is after `step`.
fn end_of(file: &File, step: u64) -> std::io::Result<u64> {
    #[derive(Deserialize)]
    struct Event {
        step: u64,
    }
    let (mut reader, mut line, mut end) = (BufReader::new(file), Vec::new(), 0);
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        let event = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Event>(line).ok());
        if event.is_none_or(|event| event.step > step) {
            return Ok(end);
        }
        end += line.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(log: &mut MetricsLog, steps: std::ops::RangeInclusive<u64>) {
        for step in steps {
            log.write("train", step, &json!({"loss": 1.0 / step as f64, "note": "a\nb"})).unwrap();
        }
    }

    #[test]
    fn a_log_that_was_cut_anywhere_and_resumed_is_that_of_an_undisturbed_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        write(&mut MetricsLog::open(&path, 0).unwrap(), 1..=6);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            // The checkpoint's step is one of which everything was logged.
            let logged = whole[..length].iter().filter(|&&byte| byte == b'\n').count() as u64;
            for step in 0..=logged {
                std::fs::write(&path, &whole[..length]).unwrap();
                write(&mut MetricsLog::open(&path, step).unwrap(), step + 1..=6);
                assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {length}, resumed at {step}");
            }
        }
    }

    #[test]
    fn what_is_no_event_is_cut_off_with_all_that_follows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let good = "{\"event\":\"start\",\"step\":0}\n";
        for bad in ["\n", "null\n", "{\"step\":-1}\n", "{\"step\":0\n", "\0\0\0\n"] {
            std::fs::write(&path, format!("{good}{bad}{good}")).unwrap();
            MetricsLog::open(&path, 9).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), good, "{bad:?}");
        }
    }
}
