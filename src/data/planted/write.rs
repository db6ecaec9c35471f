//! Planted data as files, in the text format of the extreme-classification repository.

use super::{Part, Planted, Sample};
use crate::data::{Batch, Samples};
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Samples formatted by one task, and tasks at a time: 25 MB of text at most for sets of the presets' kinds.
const CHUNK: u64 = 256;
const CHUNKS: u64 = 32;

impl Planted {
    /// Writes `train.txt` and `valid.txt` to `folder`, which is made if it is not there. `progress` is told from time to
    /// time how many samples of how many are written.
    ///
    /// The files get their names when both are complete and on the disk.
    ///
    /// # Errors
    ///
    /// If the folder or a file cannot be written; then no file is left behind.
    ///
    /// ```
    /// use hotrow::data::planted::{Options, Planted};
    /// let folder = tempfile::tempdir().unwrap();
    /// let set = Planted::new(Options { train: 40, valid: 10, ..Options::preset("small")? })?;
    /// set.write(folder.path(), &mut |done, of| assert!(done <= of))?;
    /// let text = std::fs::read_to_string(folder.path().join("valid.txt")).unwrap();
    /// assert_eq!(text.lines().next(), Some("10 2000 1000"));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn write(&self, folder: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let total = (self.options.train + self.options.valid) as u64;
        let mut done = 0;
        let mut advance = |more| {
            done += more;
            progress(done, total);
        };
        let train = self.write_part(Part::Train, &folder.join("train.txt"), &mut advance)?;
        let valid = self.write_part(Part::Valid, &folder.join("valid.txt"), &mut advance)?;
        let first = train.name.clone();
        train.finish()?;
        // Half a data set is worse than none.
        valid.finish().inspect_err(|_| drop(fs::remove_file(first)))
    }

    fn write_part(&self, part: Part, path: &Path, advance: &mut dyn FnMut(u64)) -> Result<Partial> {
        let (partial, file) = Partial::create(path)?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let failed = |source| Error::Io { path: partial.path.clone(), source };
        let count = self.len(part) as u64;
        writeln!(out, "{count} {} {}", self.options.features, self.options.labels).map_err(failed)?;
        for wave in (0..count).step_by((CHUNK * CHUNKS) as usize) {
            let end = count.min(wave + CHUNK * CHUNKS);
            let starts: Vec<u64> = (wave..end).step_by(CHUNK as usize).collect();
            let texts: Vec<Vec<u8>> = starts
                .into_par_iter()
                .map(|start| {
                    let mut text = Vec::new();
                    (start..end.min(start + CHUNK)).for_each(|i| format(&self.sample(part, i), &mut text));
                    text
                })
                .collect();
            for text in texts {
                out.write_all(&text).map_err(failed)?;
            }
            advance(end - wave);
        }
        let file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        Ok(partial)
    }

    /// A part as samples to train on without files.
    ///
    /// ```
    /// use hotrow::data::{Batch, Samples, planted::{Options, Part, Planted}};
    /// let set = Planted::new(Options::preset("small")?)?;
    /// let mut batch = Batch::new(2000);
    /// set.samples(Part::Train).read(3, &mut batch);
    /// assert_eq!(batch.len(), 1);
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn samples(&self, part: Part) -> impl Samples {
        PlantedSamples { set: self, part }
    }
}

struct PlantedSamples<'a> {
    set: &'a Planted,
    part: Part,
}

impl Samples for PlantedSamples<'_> {
    fn len(&self) -> usize {
        self.set.len(self.part)
    }

    fn features(&self) -> usize {
        self.set.options.features
    }

    fn labels(&self) -> usize {
        self.set.options.labels
    }

    fn read(&self, sample: usize, batch: &mut Batch) {
        let sample = self.set.sample(self.part, sample as u64);
        let (indices, values): (Vec<u32>, Vec<f32>) = sample.features.into_iter().unzip();
        batch.features.push(&indices, &values).expect("drawn below the number of features, in order");
        batch.labels.push(sample.labels);
    }
}

/// `l1,l2 f:v f:v`, and a line end.
fn format(sample: &Sample, text: &mut Vec<u8>) {
    let labels = sample.labels.iter().enumerate();
    for (i, label) in labels {
        let comma = if i == 0 { "" } else { "," };
        write!(text, "{comma}{label}").expect("memory takes all");
    }
    for (feature, value) in &sample.features {
        write!(text, " {feature}:{value}").expect("memory takes all");
    }
    text.push(b'\n');
}

/// A file under a temporary name beside its own; removed unless it is finished.
struct Partial {
    path: PathBuf,
    name: PathBuf,
    finished: bool,
}

impl Partial {
    fn create(name: &Path) -> Result<(Self, File)> {
        let path = name.with_extension("txt.partial");
        let file = File::create(&path).map_err(Error::io(&path))?;
        Ok((Self { path, name: name.to_owned(), finished: false }, file))
    }

    fn finish(mut self) -> Result<()> {
        fs::rename(&self.path, &self.name).map_err(Error::io(&self.name))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing more can be done about a file that stays.
            let _ = fs::remove_file(&self.path);
        }
    }
}
