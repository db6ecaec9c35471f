//! Reads one sparse array, row by row.

use super::npy::Array;
use crate::data::ids::sort;
use crate::data::input::{Input, Seekable};
use crate::data::records::Entry;
use crate::error::{Error, Result};
use std::io::{self, Read};
use std::path::Path;
use zip::ZipArchive;

/// An npz file, opened once for each array that is read side by side.
pub(super) struct Archives<'a> {
    path: &'a Path,
    archives: [ZipArchive<Box<dyn Seekable + 'a>>; 3],
}

type Numbers<'a, T> = Box<dyn Iterator<Item = io::Result<T>> + 'a>;

/// A sparse array (rows, columns) in CSR form: the entries of row `r` are `indptr[r]..indptr[r + 1]`.
pub(super) struct Csr<'a> {
    path: &'a Path,
    pub rows: u64,
    pub columns: u64,
    indptr: Numbers<'a, i64>,
    indices: Numbers<'a, i64>,
    data: Numbers<'a, f64>,
    /// Entries in the array, and entries read.
    entries: i64,
    read: i64,
    row: u64,
}

impl<'a> Archives<'a> {
    pub fn open(input: &'a Input) -> Result<Self> {
        let open = || ZipArchive::new(input.seekable()?).map_err(|error| wrong(input.path(), error));
        Ok(Self { path: input.path(), archives: [open()?, open()?, open()?] })
    }

    /// The array, before its first row.
    pub fn csr(&mut self) -> Result<Csr<'_>> {
        let path = self.path;
        let [first, second, third] = &mut self.archives;
        if first.index_for_name("format.npy").is_none() {
            let names: Vec<&str> = first.file_names().take(4).collect();
            let arrays = names.iter().any(|name| name.ends_with(".npy"));
            let what = if arrays { "dense arrays" } else { "other files" };
            let message =
                format!("holds {what} ({}), not the sparse array that scipy.sparse.save_npz writes", names.join(", "));
            return Err(wrong(path, message));
        }
        let mut format = String::new();
        let name = array(path, first, "format")?.reader;
        name.take(16).read_to_string(&mut format).map_err(|error| wrong(path, error))?;
        // scipy writes text with 1 byte a character under Python 2, and with 4 under Python 3.
        let format = format.replace('\0', "");
        if format != "csr" {
            return Err(wrong(path, format!("is a `{}` array, not `csr`", format.escape_default())));
        }
        let shape = integers(path, array(path, first, "shape")?)?.take(3).collect::<io::Result<Vec<i64>>>();
        let [rows, columns] = shape.map_err(|error| wrong(path, error))?[..] else {
            return Err(wrong(path, "is not an array of two dimensions"));
        };
        let (Ok(rows), Ok(columns)) = (u64::try_from(rows), u64::try_from(columns)) else {
            return Err(wrong(path, format!("has the shape ({rows}, {columns})")));
        };
        let indptr = array(path, first, "indptr")?;
        if indptr.len() != rows.saturating_add(1) {
            return Err(wrong(path, format!("indptr has {} numbers, not one more than {rows} rows", indptr.len())));
        }
        let (indices, data) = (array(path, second, "indices")?, array(path, third, "data")?);
        if indices.len() != data.len() {
            return Err(wrong(path, format!("{} indices for {} data", indices.len(), data.len())));
        }
        let entries = i64::try_from(data.len()).map_err(|error| wrong(path, error))?;
        let mut indptr = integers(path, indptr)?;
        let start = indptr.next().transpose().map_err(|error| wrong(path, error))?;
        if start != Some(0) {
            return Err(wrong(path, "indptr does not begin with 0"));
        }
        let (indices, data) = (integers(path, indices)?, reals(path, data)?);
        Ok(Csr { path, rows, columns, indptr, indices, data, entries, read: 0, row: 0 })
    }
}

impl Csr<'_> {
    /// Reads the next row into `entries`, sorted. Values of equal indices are added; `twice` grows by the entries that
    /// this removes.
    pub fn row(&mut self, entries: &mut Vec<Entry>, twice: &mut u64) -> Result<()> {
        entries.clear();
        let row = self.row;
        let end = self.indptr.next().unwrap_or(Err(io::ErrorKind::UnexpectedEof.into()));
        let end = end.map_err(|error| self.wrong(error))?;
        if end < self.read || end > self.entries {
            let message = format!("row {row}: ends at {end}, which is not in {}..={}", self.read, self.entries);
            return Err(self.wrong(message));
        }
        for _ in self.read..end {
            let (Some(index), Some(value)) = (self.indices.next(), self.data.next()) else {
                return Err(self.wrong(format!("row {row}: the arrays are cut off")));
            };
            let cut = |error| self.wrong(format!("row {row}: {error}"));
            let (index, value) = (index.map_err(cut)?, value.map_err(cut)? as f32);
            match u32::try_from(index) {
                Ok(index) if u64::from(index) < self.columns => entries.push(Entry { index, value, column: 0 }),
                _ => return Err(self.wrong(format!("row {row}: index {index} is not below {}", self.columns))),
            }
            if !value.is_finite() {
                return Err(self.wrong(format!("row {row}: the value of index {index} is not finite")));
            }
        }
        (self.read, self.row) = (end, row + 1);
        sort(entries, "index", twice).map_err(|fault| self.wrong(format!("row {row}: {}", fault.message)))
    }

    /// Checks that nothing follows the last row.
    pub fn end(self) -> Result<()> {
        if self.read != self.entries {
            return Err(self.wrong(format!("the rows end at {}, the entries at {}", self.read, self.entries)));
        }
        Ok(())
    }

    pub fn wrong(&self, message: impl ToString) -> Error {
        wrong(self.path, message)
    }
}

fn wrong(path: &Path, message: impl ToString) -> Error {
    Error::data(path, 0, 0, message.to_string())
}

fn array<'a>(path: &Path, archive: &'a mut ZipArchive<Box<dyn Seekable + '_>>, name: &str) -> Result<Array<'a>> {
    let fault = |message: String| wrong(path, format!("{name}: {message}"));
    let part = archive.by_name(&format!("{name}.npy")).map_err(|error| fault(error.to_string()))?;
    Array::open(Box::new(part)).map_err(|error| fault(error.to_string()))
}

fn integers<'a>(path: &Path, array: Array<'a>) -> Result<Numbers<'a, i64>> {
    let kind = array.kind.clone();
    Ok(Box::new(array.integers().ok_or_else(|| not_taken(path, &kind))?))
}

fn reals<'a>(path: &Path, array: Array<'a>) -> Result<Numbers<'a, f64>> {
    let kind = array.kind.clone();
    Ok(Box::new(array.reals().ok_or_else(|| not_taken(path, &kind))?))
}

fn not_taken(path: &Path, kind: &str) -> Error {
    wrong(path, format!("numbers of type '{kind}' are not supported"))
}
