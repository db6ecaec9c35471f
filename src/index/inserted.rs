//! Rows inserted into buckets, beside the tables.

use super::saved::Saved;
use crate::tensor::{Elements, Tensor};

/// Sorted runs of `bucket << 32 | row`; `bucket` counts through all tables. A run less than twice as long as the next
/// is merged with it. So an entry moves as often as its run can double, and there are few runs to search.
#[derive(Debug, Default)]
pub(super) struct Inserted {
    runs: Vec<Vec<u64>>,
}

impl Inserted {
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    pub fn len(&self) -> usize {
        self.runs.iter().map(Vec::len).sum()
    }

    pub fn clear(&mut self) {
        self.runs.clear();
    }

    /// Whether the entry is there.
    pub fn contains(&self, entry: u64) -> bool {
        self.runs.iter().any(|run| run.binary_search(&entry).is_ok())
    }

    /// The rows of a bucket: increasing within a run, none twice.
    pub fn rows(&self, bucket: u32) -> impl Iterator<Item = u32> {
        let of = move |run: &'_ Vec<u64>| run.partition_point(|&entry| entry >> 32 < bucket as u64);
        self.runs.iter().flat_map(move |run| {
            run[of(run)..].iter().take_while(move |&&entry| entry >> 32 == bucket as u64).map(|&entry| entry as u32)
        })
    }

    /// Adds the entries that are not there yet. Duplicates among them count once.
    pub fn add(&mut self, mut entries: Vec<u64>) {
        entries.sort_unstable();
        entries.dedup();
        while let Some(run) = self.runs.pop_if(|run| run.len() < 2 * entries.len()) {
            entries.extend(run);
            // This sort merges the two sorted runs that it finds.
            entries.sort();
        }
        if !entries.is_empty() {
            self.runs.push(entries);
        }
    }

    /// The tensors that a checkpoint keeps.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.runs.iter().enumerate().map(|(i, run)| Tensor {
            name: format!("index.inserted.{i}"),
            shape: vec![run.len()],
            elements: Elements::U64(run),
        })
    }

    /// Takes the tensors of [`Inserted::tensors`], for this many buckets and rows.
    pub fn restored(state: Saved, buckets: u64, rows: usize) -> Result<Self, String> {
        let mut runs = Vec::new();
        while let Some(name) = state.has(format!("index.inserted.{}", runs.len())) {
            let run = state.u64s(&name, None)?;
            if !run.is_sorted_by(|a, b| a < b) {
                return Err(format!("{name}: entries do not increase"));
            }
            if let Some(entry) = run.iter().find(|&&entry| entry >> 32 >= buckets || entry as u32 as usize >= rows) {
                return Err(format!("{name}: row {} in bucket {} of {buckets}", *entry as u32, entry >> 32));
            }
            runs.push(run.to_vec());
        }
        Ok(Self { runs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_bucket_gives_what_was_added_to_it(steps in prop::collection::vec(
            prop::collection::vec((0_u32..5, 0_u32..30), 0..20), 0..20,
        )) {
            let (mut inserted, mut want) = (Inserted::default(), std::collections::BTreeSet::new());
            for step in steps {
                let entries = step.iter().map(|&(bucket, row)| (bucket as u64) << 32 | row as u64);
                let fresh: Vec<u64> = entries.filter(|&entry| !inserted.contains(entry)).collect();
                inserted.add(fresh);
                want.extend(step);
            }
            prop_assert_eq!(inserted.len(), want.len());
            for bucket in 0..5 {
                let mut got: Vec<u32> = inserted.rows(bucket).collect();
                got.sort();
                let want: Vec<u32> = want.iter().filter(|entry| entry.0 == bucket).map(|entry| entry.1).collect();
                prop_assert_eq!(got, want);
            }
            prop_assert!(inserted.runs.windows(2).all(|pair| pair[0].len() >= 2 * pair[1].len()));
        }
    }
}
