//! Which files a path means, and what they hold.

use super::cache::Identity;
use super::ids;
use super::input::Input;
use super::lines::first_line;
use crate::config::Format;
use crate::error::{Error, Result};
use crate::files;
use std::path::{Path, PathBuf};

/// One file, or the two of a pair of arrays.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub paths: Vec<PathBuf>,
    pub format: Format,
}

impl Source {
    /// The files of `path` (two arrays have a comma between them), as `format` or as they look.
    pub fn find(path: &str, format: Format) -> Result<Self> {
        let paths: Vec<PathBuf> = match Path::new(path).exists() {
            true => vec![path.into()],
            false => path.split(',').map(PathBuf::from).collect(),
        };
        // Each is opened several times: for its kind, its first line, its labels, its samples.
        paths.iter().try_for_each(|path| files::regular(path))?;
        let format = if format == Format::Auto { detect(&paths[0])? } else { format };
        let (least, most) = if format == Format::Npz { (1, 2) } else { (1, 1) };
        if !(least..=most).contains(&paths.len()) {
            return Err(Error::data(path, 0, 0, format!("{} files, where {format:?} takes {most}", paths.len())));
        }
        Ok(Self { paths, format })
    }

    /// Where to read.
    pub fn inputs(&self) -> Vec<Input<'_>> {
        self.paths.iter().map(|path| Input::File(path)).collect()
    }

    /// Whether the files hold text.
    pub fn is_text(&self) -> bool {
        is_text(self.format)
    }

    /// What a cache is valid for.
    pub fn identity(&self) -> Result<Vec<Identity>> {
        self.paths.iter().map(|path| Identity::of(path)).collect()
    }
}

/// Whether files of `format` hold text.
pub(crate) fn is_text(format: Format) -> bool {
    matches!(format, Format::Tsv | Format::Jsonl)
}

fn detect(path: &Path) -> Result<Format> {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
    match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some("npz") => Ok(Format::Npz),
        Some("tsv") => Ok(Format::Tsv),
        Some("jsonl" | "ndjson" | "json") => Ok(Format::Jsonl),
        Some("svm" | "svmlight" | "libsvm") => Ok(Format::Svmlight),
        _ => by_first_line(Input::File(path)),
    }
}

/// What the first line looks like.
pub(crate) fn by_first_line(input: Input) -> Result<Format> {
    let line = first_line(input)?;
    if line.starts_with(b"PK\x03\x04") {
        Ok(Format::Npz)
    } else if line.trim_ascii_start().starts_with(b"{") {
        Ok(Format::Jsonl)
    } else if ids::header(&line).is_some() {
        Ok(Format::Xc)
    } else if line.contains(&b'\t') && !line.contains(&b':') {
        Ok(Format::Tsv)
    } else if line.contains(&b':') || line.starts_with(b"#") {
        Ok(Format::Svmlight)
    } else {
        Err(Error::data(input.path(), 1, 0, "the format cannot be told from this line; set data.format"))
    }
}
