//! Checks that a machine can hold what the ids of a training file ask for, before anything of that size is made.

use super::Summary;
use crate::error::{Error, Result};
use crate::machine::Limits;
use std::path::Path;

/// Bytes of a label in any network: its count (8), one bf16 weight (2) and its bias (4).
const LABEL: u64 = 14;
/// Bytes of a feature: one weight.
const FEATURE: u64 = 2;
/// Bytes of a feature's count, for TF-IDF.
const FREQUENCY: u64 = 4;

/// Refuses `path` if its labels or features are too many for a process with these limits. A network with some width
/// needs far more; its own plan checks that.
pub(crate) fn check(path: &Path, summary: &Summary, tf_idf: bool, limits: &Limits) -> Result<()> {
    let Some(memory) = limits.bytes() else { return Ok(()) };
    let per_feature = FEATURE + if tf_idf { FREQUENCY } else { 0 };
    for (count, bytes, largest, why) in [
        (summary.labels, LABEL, summary.largest_label, summary.why_labels()),
        (summary.features, per_feature, summary.largest_feature, summary.why_features()),
    ] {
        let needed = count.saturating_mul(bytes);
        if needed > memory {
            let line = largest.filter(|largest| largest.id + 1 == count).map_or(0, |largest| largest.line);
            let message =
                format!("{why}: the smallest network for it takes {needed} bytes, and {} has {memory}", limits.name());
            return Err(Error::data(path, line, 0, message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Data;
    use crate::data::read_bytes;

    #[test]
    fn ids_that_a_machine_could_not_hold_are_named_with_their_line() {
        let read = |text: &str| read_bytes(&[text.as_bytes()], &Data::default()).unwrap().1;
        let machine = |bytes| Limits { main: Some(bytes), ..Limits::default() };
        let refused =
            |text: &str| check("a.svm".as_ref(), &read(text), false, &machine(8_000_000_000)).unwrap_err().to_string();
        assert_eq!(
            refused("0 1:1\n7,4006381333 0:1\n5 1:1\n"),
            "a.svm:2: label 4006381333 in line 2 is the largest: the smallest network for it takes 56089338676 bytes, and \
             this machine has 8000000000"
        );
        assert!(
            refused("0 1:1\n\n0 4294967294:1\n").starts_with("a.svm:3: feature 4294967294 in line 3 is the largest")
        );
        let header = refused("1 3 4000000000\n1 1:1\n");
        assert!(
            header.starts_with("a.svm: the file's header, its shape or data.hash_size asks for 4000000000 labels"),
            "{header}"
        );
        let large = read("0 1000000000:1\n");
        assert!(check("a.svm".as_ref(), &large, false, &machine(8_000_000_000)).is_ok());
        assert!(check("a.svm".as_ref(), &large, true, &machine(4_000_000_000)).is_err(), "the counts of TF-IDF");
        assert!(check("a.svm".as_ref(), &large, true, &Limits::default()).is_ok(), "nothing is known of the machine");
    }
}
