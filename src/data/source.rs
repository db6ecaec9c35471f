//! Finds the files of a path, and their format.

use super::cache::Identity;
use super::ids;
use super::input::Input;
use super::lines::first_line;
use super::unpack::other_kind;
use crate::config::{self, Format};
use crate::error::{Error, Result};
use crate::files::regular;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// One file, or the two of a pair: features and labels.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub paths: Vec<PathBuf>,
    pub format: Format,
}

/// How much shorter packing makes a text, about.
const PACKED: u64 = 3;

impl Source {
    /// The files of `path` (the two of a pair with a comma between them), in the format that `config` names, or else in
    /// the one that they look like. A later file of text has the `trained` format, unless its name tells another.
    pub fn find(path: &OsStr, config: &config::Data, trained: Option<Format>) -> Result<Self> {
        let paths = files(path);
        // Each is opened several times: for its kind, its first line, its labels, its samples.
        paths.iter().try_for_each(|path| regular(path))?;
        let format = if config.format == Format::Auto { detect(&paths[0], config, trained)? } else { config.format };
        let most = if matches!(format, Format::Npz | Format::Xc) { 2 } else { 1 };
        if paths.len() > most {
            let message = format!("{} files, where {format:?} takes {most}", paths.len());
            return Err(Error::data(path, 0, 0, message));
        }
        Ok(Self { paths, format })
    }

    /// The files as inputs.
    pub fn inputs(&self) -> Vec<Input<'_>> {
        self.paths.iter().map(|path| Input::File(path)).collect()
    }

    /// Whether the files hold text.
    pub fn is_text(&self) -> bool {
        is_text(self.format)
    }

    /// About how many bytes there are once they are unpacked. A file that cannot be looked at has none: it will not be read either.
    pub fn bytes(&self) -> u64 {
        let bytes = |path: &PathBuf| {
            let packed = path.extension().is_some_and(|end| end == "gz" || end == "zst");
            std::fs::metadata(path).map_or(0, |file| file.len()) * if packed { PACKED } else { 1 }
        };
        self.paths.iter().map(bytes).sum()
    }

    /// The state of the files that a cache is valid for.
    pub fn identity(&self) -> Result<Vec<Identity>> {
        self.paths.iter().map(|path| Identity::of(path)).collect()
    }
}

/// The file `path`, or both files of a pair. A path may have more commas: the first one that stands between two
/// existing files separates them.
pub(crate) fn files(path: &OsStr) -> Vec<PathBuf> {
    let bytes = path.as_bytes();
    let commas = || bytes.iter().enumerate().filter(|&(_, &byte)| byte == b',').map(|(at, _)| at);
    if Path::new(path).exists() || commas().next().is_none() {
        return vec![path.into()];
    }
    let file = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    let mut cuts = commas().map(|at| vec![file(&bytes[..at]), file(&bytes[at + 1..])]);
    cuts.find(|pair| pair.iter().all(|path| path.exists()))
        .unwrap_or_else(|| bytes.split(|&byte| byte == b',').map(file).collect())
}

/// Whether files of `format` hold text.
pub(crate) fn is_text(format: Format) -> bool {
    matches!(format, Format::Tsv | Format::Jsonl)
}

/// The format that the name of a file tells.
pub(crate) fn by_name(path: &Path) -> Option<Format> {
    let name = path.to_string_lossy().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").or(name.strip_suffix(".zst")).unwrap_or(&name);
    match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some("npz") => Some(Format::Npz),
        Some("tsv") => Some(Format::Tsv),
        Some("jsonl" | "ndjson" | "json") => Some(Format::Jsonl),
        Some("svm" | "svmlight" | "libsvm") => Some(Format::Svmlight),
        _ => None,
    }
}

fn detect(path: &Path, config: &config::Data, trained: Option<Format>) -> Result<Format> {
    match (by_name(path), trained) {
        // Some call files of the repository .svm. No line of svmlight looks like their header.
        (Some(Format::Svmlight), _) if is_header(&first_line(Input::File(path))?) => Ok(Format::Xc),
        (Some(format), _) => Ok(format),
        (None, Some(trained)) if is_text(trained) => Ok(trained),
        _ => by_first_line(Input::File(path), config),
    }
}

/// Whether `line` is the header of a file of the extreme-classification repository.
pub(crate) fn is_header(line: &[u8]) -> bool {
    ids::header::<3>(line).is_some()
}

/// The format that the first line looks like. Options that name columns mean text.
pub(crate) fn by_first_line(input: Input, config: &config::Data) -> Result<Format> {
    let line = first_line(input)?;
    if line.starts_with(b"PK\x03\x04") {
        return Ok(Format::Npz);
    }
    if let Some(what) = other_kind(&line) {
        return Err(Error::data(input.path(), 1, 0, format!("looks like {what}")));
    }
    let columns = !config.text.is_empty() && !config.label.is_empty();
    if line.trim_ascii_start().starts_with(b"{") {
        Ok(Format::Jsonl)
    } else if columns && config.texts().all(|column| column.parse::<usize>().is_ok()) {
        Ok(Format::Tsv)
    } else if is_header(&line) || ids::header::<2>(&line).is_some() {
        Ok(Format::Xc)
    } else if line.contains(&b'\t') && !line.contains(&b':') {
        Ok(Format::Tsv)
    } else if line.contains(&b':') || line.starts_with(b"#") {
        Ok(Format::Svmlight)
    } else {
        Err(Error::data(input.path(), 1, 0, "this line does not show the format; set data.format"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_cut_at_the_comma_between_two_files_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a,b");
        std::fs::create_dir(&inner).unwrap();
        let (x, y) = (inner.join("X.npz"), inner.join("Y.npz"));
        std::fs::write(&x, "").unwrap();
        std::fs::write(&y, "").unwrap();
        let pair: OsString = [x.as_os_str(), ",".as_ref(), y.as_os_str()].into_iter().collect();
        assert_eq!(files(&pair), [x.clone(), y]);
        assert_eq!(files(x.as_os_str()), [x]);
        assert_eq!(files("no,such,file".as_ref()).len(), 3);
    }
}
