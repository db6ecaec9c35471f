//! Lines of ids and of text, packed or not: samples that keep their promises, or an error about the data.
#![no_main]

use hotrow::config::{Data, Format, Labels, Unlabelled, Words};
use hotrow::data::read_bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    let formats = [Format::Auto, Format::Xc, Format::Svmlight, Format::Tsv, Format::Jsonl];
    let format = formats[first as usize % formats.len()];
    let (text, label) = if format == Format::Jsonl { ("t", "l") } else { ("1", "2") };
    let config = Data {
        format,
        text: text.into(),
        label: label.into(),
        word_ngrams: 2,
        char_ngrams: if first & 0x40 == 0 { vec![] } else { vec![1, 3] },
        unlabelled: if first & 0x80 == 0 { Unlabelled::Skip } else { Unlabelled::Refuse },
        labels: [Labels::Auto, Labels::Ids, Labels::Names][first as usize / 5 % 3],
        header: first & 0x20 != 0,
        words: if first & 0x10 == 0 { Words::Unicode } else { Words::Runs },
        skip_bad: u64::from(first & 0x08 != 0),
        ..Data::default()
    };
    match read_bytes(&[bytes], &config) {
        Ok((batch, summary)) => {
            assert_eq!((batch.len() as u64, batch.features.nnz() as u64), (summary.samples, summary.feature_entries));
            assert!(batch.features.values().iter().all(|value| value.is_finite()));
            let labels = || batch.labels.iter();
            assert!(labels().all(|labels| !labels.is_empty() && labels.is_sorted_by(|a, b| a < b)));
            assert!(labels().flatten().all(|&label| u64::from(label) < summary.labels));
        }
        Err(error) => assert_ne!(error.exit_code(), 3),
    }
});
