//! The features of a topic, a group and a label.

use super::{Options, pick, topic_of};
use crate::rng::rng;
use rand::RngExt;
use rayon::prelude::*;

/// Features of a label's signature.
pub(super) const SIGNATURE: usize = 6;
/// Features of a group.
const GROUP: usize = 24;
/// Rows drawn by one task.
const CHUNK: usize = 4096;

/// One row of features for each topic, group and label.
#[derive(Clone, Debug)]
pub(super) struct Words {
    topics: Vec<u32>,
    topic_words: usize,
    groups: Vec<u32>,
    labels: Vec<u32>,
}

impl Words {
    pub(super) fn draw(options: &Options, groups: usize, topics: usize) -> Self {
        // Each feature is a word of about three topics.
        let topic_words = (3 * options.features / topics).clamp(20, options.features / 2);
        let topic_table = table(options, "planted/topic", topics, topic_words, |_| &[]);
        let words_of = |topic: usize| &topic_table[topic * topic_words..][..topic_words];
        let group_table =
            table(options, "planted/group", groups, GROUP, |group| words_of(topic_of(group, groups, topics)));
        // Signatures stand by position: position p belongs to group p mod groups.
        let of_label = |place: usize| words_of(topic_of(place % groups, groups, topics));
        let label_table = table(options, "planted/label", options.labels, SIGNATURE, of_label);
        Self { topics: topic_table, topic_words, groups: group_table, labels: label_table }
    }

    pub(super) fn topic(&self, topic: usize) -> &[u32] {
        &self.topics[topic * self.topic_words..][..self.topic_words]
    }

    pub(super) fn group(&self, group: usize) -> &[u32] {
        &self.groups[group * GROUP..][..GROUP]
    }

    pub(super) fn signature(&self, place: usize) -> &[u32] {
        &self.labels[place * SIGNATURE..][..SIGNATURE]
    }
}

/// Rows of features. Every other feature comes from the `topic` of the row, unless that is empty.
fn table<'a>(
    options: &Options,
    purpose: &str,
    rows: usize,
    width: usize,
    topic: impl Fn(usize) -> &'a [u32] + Sync,
) -> Vec<u32> {
    let mut table = vec![0; rows * width];
    table.par_chunks_mut(CHUNK * width).enumerate().for_each(|(chunk, table)| {
        let rng = &mut rng(options.seed, purpose, chunk as u64);
        for (i, row) in table.chunks_exact_mut(width).enumerate() {
            let topic = topic(chunk * CHUNK + i);
            for (slot, word) in row.iter_mut().enumerate() {
                *word = if slot % 2 == 0 && !topic.is_empty() {
                    *pick(topic, rng)
                } else {
                    rng.random_range(0..options.features as u32)
                };
            }
        }
    });
    table
}
