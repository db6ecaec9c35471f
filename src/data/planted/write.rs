//! Planted data as files, in the text format of the extreme-classification repository.

use super::{Part, Planted, Sample};
use crate::data::{Batch, Samples};
use crate::error::{Error, Result};
use crate::files::{Output, Rollback};
use rayon::prelude::*;
use std::io::{BufWriter, Write};
use std::path::Path;

/// The names of the two files.
const NAMES: [&str; 2] = ["train.txt", "valid.txt"];
/// Samples formatted by one task, and tasks at a time. Together they make at most 25 MB of text for sets like the
/// presets.
const CHUNK: u64 = 256;
const CHUNKS: u64 = 32;

impl Planted {
    /// Writes `train.txt` and `valid.txt` to `folder`, which is made if needed. `progress` gets the number of samples
    /// written, and their total.
    ///
    /// The files get their names when both are complete and on the disk. They replace existing files of these names, or
    /// those that links of these names lead to.
    ///
    /// # Errors
    ///
    /// If the folder or a file cannot be written. Then no new file or folder is left behind.
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
        let made = Rollback::folder(folder)?;
        let total = (self.options.train + self.options.valid) as u64;
        let mut done = 0;
        let mut advance = |more| {
            done += more;
            progress(done, total);
        };
        let [train, valid] = NAMES.map(|name| folder.join(name));
        let train = self.write_part(Part::Train, &train, &mut advance)?;
        let valid = self.write_part(Part::Valid, &valid, &mut advance)?;
        train.finish()?;
        // Half a data set is worse than none. If this fails, the first file goes too, unless it replaced another.
        valid.finish()?;
        made.keep();
        Ok(())
    }

    /// As [`write`](Self::write), but refuses a folder that holds one of the files.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`Error::Config`] if a file exists.
    ///
    /// ```
    /// use hotrow::data::planted::{Options, Planted};
    /// let folder = tempfile::tempdir().unwrap();
    /// let set = Planted::new(Options { train: 40, valid: 10, ..Options::preset("small")? })?;
    /// set.write_new(folder.path(), &mut |_, _| ())?;
    /// assert!(set.write_new(folder.path(), &mut |_, _| ()).is_err());
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn write_new(&self, folder: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
        // A link exists even if its target does not.
        match NAMES.map(|name| folder.join(name)).iter().find(|path| path.symlink_metadata().is_ok()) {
            Some(path) => Err(Error::config("out", format!("{} exists already", path.display()))),
            None => self.write(folder, progress),
        }
    }

    fn write_part(&self, part: Part, path: &Path, advance: &mut dyn FnMut(u64)) -> Result<Output> {
        let output = Output::create(path)?;
        output.sweep();
        let mut out = BufWriter::with_capacity(1 << 20, output.file());
        let failed = |source| Error::Io { path: path.to_owned(), source };
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
        out.flush().map_err(failed)?;
        drop(out);
        output.complete()?;
        Ok(output)
    }

    /// The samples of a part, to train on without files.
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
