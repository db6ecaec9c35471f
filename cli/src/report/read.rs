//! Reads reports from folders of runs and from files of `hotrow bench`.

use std::fs;
use std::path::{Path, PathBuf};

use self::json::Object;
use super::Report;
use hotrow::error::{Error, Result};
use hotrow::files;

mod json;
mod measured;
mod result;
mod run;

/// Reads runs and measurements. A path is
///
/// - the folder of a finished or running run (`metrics.jsonl`, `summary.json`, `env.json`), which gives the run its
///   name,
/// - a file from `hotrow bench`: a result, a roofline, a break-even table or a sweep,
/// - or a folder of either.
///
/// Unknown keys are ignored. Missing keys and files leave their figures out.
///
/// ```
/// let folder = tempfile::tempdir().unwrap();
/// std::fs::write(folder.path().join("summary.json"), r#"{"task": "xmc", "metrics": {"p@1": 0.31}}"#).unwrap();
/// let report = hotrow_cli::report::from_runs(&[folder.path().to_path_buf()]).unwrap();
/// assert_eq!(report.runs[0].metrics, [("p@1".to_string(), 0.31)]);
/// ```
///
/// # Errors
///
/// [`Error::Io`] if a file cannot be read; [`Error::Data`] with file, line and column if one is not JSON, or not what
/// it claims to be, and for a folder without runs and results.
pub fn from_runs(paths: &[PathBuf]) -> Result<Report> {
    let mut reader = Reader::default();
    for path in paths {
        match fs::metadata(path).map_err(Error::io(path))?.is_dir() {
            true => reader.folder(path)?,
            false => reader.file(path, true)?,
        }
    }
    Ok(reader.finish())
}

/// As [`from_runs`], from the bytes of one file of `hotrow bench`. Messages name `path`.
///
/// ```
/// let error = hotrow_cli::report::from_json("a.json".as_ref(), b"{\"schema\": 7}").unwrap_err();
/// assert_eq!((error.to_string().as_str(), error.exit_code()), ("a.json: schema: is not 1, which is all that is known", 4));
/// ```
///
/// # Errors
///
/// As [`from_runs`].
pub fn from_json(path: &Path, bytes: &[u8]) -> Result<Report> {
    let mut reader = Reader::default();
    reader.json(path, &json::object(path, &json::text(path, bytes.to_vec())?)?, true)?;
    Ok(reader.finish())
}

/// A report under construction.
#[derive(Default)]
struct Reader {
    report: Report,
    /// The tasks, in the order of their first runs.
    tasks: Vec<String>,
    /// What is known of each run's machine.
    environments: Vec<(String, Object)>,
    passed_over: Vec<String>,
}

impl Reader {
    fn folder(&mut self, folder: &Path) -> Result<()> {
        if run::is_run(folder) {
            return self.run(folder);
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
            entries.push(entry.map_err(Error::io(folder))?.path());
        }
        entries.sort();
        let (folders, others): (Vec<PathBuf>, Vec<PathBuf>) = entries.into_iter().partition(|path| path.is_dir());
        let results = others.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        // What a killed program left begins with a dot.
        let visible = |path: &&PathBuf| path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
        let results: Vec<&PathBuf> = results.filter(visible).collect();
        let runs: Vec<&PathBuf> = folders.iter().filter(|folder| run::is_run(folder)).collect();
        if results.is_empty() && runs.is_empty() {
            let message =
                "has no metrics.jsonl, summary.json or env.json of a run, no folder of a run and no result (.json)";
            return Err(Error::data(folder, 0, 0, message));
        }
        results.into_iter().try_for_each(|file| self.file(file, false))?;
        runs.into_iter().try_for_each(|folder| self.run(folder))
    }

    /// Reads a file; `alone` if it was named itself, instead of found in a folder.
    fn file(&mut self, path: &Path, alone: bool) -> Result<()> {
        let text = json::text(path, files::read(path)?)?;
        self.json(path, &json::object(path, &text)?, alone)
    }

    fn json(&mut self, path: &Path, object: &Object, alone: bool) -> Result<()> {
        let wrong = |key: &str, message: &str| Err(Error::data(path, 0, 0, format!("{key}: {message}")));
        if object.get("schema").and_then(|schema| schema.as_u64()) != Some(1) {
            return wrong("schema", "is not 1, which is all that is known");
        }
        let Some(kind) = object.get("kind").and_then(|kind| kind.as_str()) else {
            return wrong("kind", "is missing: not a file of hotrow bench");
        };
        if object.get("quick").and_then(|quick| quick.as_bool()) == Some(true) {
            self.report.notes.push(format!("{} is a quick look at small shapes.", path.display()));
        }
        match kind {
            "hotrow-bench-result" => self.result(path, object),
            "hotrow-bench-roofline" => self.roofline(path, object),
            "hotrow-bench-breakeven" => self.breakeven(path, object),
            "hotrow-bench-sweep" | "hotrow-bench-scale" => self.sweep(path, object),
            // Folders may hold other measurements.
            other if !alone => {
                self.passed_over.push(format!("{} ({other})", path.display()));
                Ok(())
            }
            other => wrong("kind", &format!("{other:?} is not known")),
        }
    }

    fn finish(mut self) -> Report {
        let report = &mut self.report;
        report.title = match self.tasks.len() {
            0 if report.runs.is_empty() => "Measurements".to_string(),
            0 => "Training report".to_string(),
            _ => format!("Training report: {}", self.tasks.join(", ")),
        };
        let mut names: Vec<&str> = Vec::new();
        for run in &report.runs {
            let name = if run.contender.is_empty() { &run.name } else { &run.contender };
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        report.subtitle = names.join(" · ");
        report.environment = environment(&self.environments);
        if !self.passed_over.is_empty() {
            report.notes.push(format!("Ignored, because their kind is unknown: {}.", self.passed_over.join(", ")));
        }
        self.report
    }
}

/// The most values of a key that are listed. More are counted.
const MOST_VALUES: usize = 4;

/// A line for each key of any run. If runs differ, each value names its runs.
fn environment(runs: &[(String, Object)]) -> Vec<(String, String)> {
    let mut keys: Vec<&String> = Vec::new();
    runs.iter().flat_map(|(_, machine)| machine.keys()).for_each(|key| {
        if key != "command" && !keys.contains(&key) {
            keys.push(key);
        }
    });
    let line = |key: &String| {
        let mut values: Vec<(String, Vec<&str>)> = Vec::new();
        for (run, machine) in runs {
            let Some(value) = machine.get(key).map(json::plain) else { continue };
            match values.iter_mut().find(|(known, _)| *known == value) {
                Some((_, runs)) => runs.push(run),
                None => values.push((value, vec![run])),
            }
        }
        let text = match values.as_slice() {
            [(value, _)] => value.clone(),
            many if many.len() <= MOST_VALUES => {
                let each = many.iter().map(|(value, runs)| format!("{}: {value}", runs.join(", ")));
                each.collect::<Vec<_>>().join("; ")
            }
            many => {
                let first = many[..MOST_VALUES].iter().map(|(value, _)| value.as_str()).collect::<Vec<_>>();
                format!("{}; and {} other values", first.join("; "), many.len() - MOST_VALUES)
            }
        };
        (key.clone(), text)
    };
    keys.into_iter().map(line).collect()
}
