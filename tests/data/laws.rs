//! What holds for all data: what is written is read back, whatever the packing and the number of threads.

use super::{Sample, all, file, options, samples};
use hotrow::config::{Data, Format};
use hotrow::data::{self, read_bytes};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use std::fmt::Write;

const FEATURES: u32 = 300;
const LABELS: u32 = 50;

fn some_samples() -> impl Strategy<Value = Vec<Sample>> {
    let value = prop_oneof![(0_u32..1000).prop_map(|count| count as f32), proptest::num::f32::NORMAL];
    let features = btree_map(0..FEATURES, value, 0..20).prop_map(|map| map.into_iter().collect());
    let labels = btree_set(0..LABELS, 1..5).prop_map(|set| set.into_iter().collect());
    vec((labels, features), 1..60)
}

/// The samples as text, without a header; ids in reverse order where `reversed` says so.
fn text(samples: &[Sample], reversed: bool) -> String {
    let mut text = String::new();
    for (labels, features) in samples {
        let (mut labels, mut features) = (labels.clone(), features.clone());
        if reversed {
            labels.reverse();
            features.reverse();
        }
        let labels: Vec<_> = labels.iter().map(u32::to_string).collect();
        text += &labels.join(",");
        features.iter().for_each(|(index, value)| write!(text, " {index}:{value:?}").unwrap());
        text.push('\n');
    }
    text
}

fn threads<T: Send>(count: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(count).build().unwrap().install(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn samples_written_as_text_are_read_back(want in some_samples(), reversed: bool) {
        let body = text(&want, reversed);
        let xc = format!("{} {FEATURES} {LABELS}\n{body}", want.len());
        for (text, format) in [(&xc, Format::Xc), (&xc, Format::Auto), (&body, Format::Svmlight)] {
            let (got, summary) = read_bytes(&[text.as_bytes()], &Data { format, ..Data::default() }).unwrap();
            prop_assert_eq!(&samples(&got), &want);
            prop_assert_eq!(summary.label_entries as usize, want.iter().map(|sample| sample.0.len()).sum::<usize>());
            prop_assert_eq!(summary.duplicate_labels + summary.skipped, 0);
        }
    }

    #[test]
    fn a_cache_has_the_samples_of_its_file(want in some_samples()) {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), "a.svm", text(&want, false));
        let sets = data::open(&path, Some(&path), &Data::default(), folder.path()).unwrap();
        prop_assert_eq!(&all(&sets.train), &want);
        prop_assert_eq!(&all(&sets.valid.unwrap()), &want);
    }

    #[test]
    fn one_byte_more_less_or_changed_is_data_or_a_fault_but_no_panic(
        want in some_samples(), at: prop::sample::Index, byte: u8, action in 0..3,
    ) {
        let mut bytes = format!("{} {FEATURES} {LABELS}\n{}", want.len(), text(&want, false)).into_bytes();
        let at = at.index(bytes.len());
        match action {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
        for format in [Format::Xc, Format::Svmlight, Format::Tsv, Format::Jsonl] {
            if let Err(error) = read_bytes(&[&bytes], &options(format)) {
                prop_assert_eq!(error.exit_code(), 4);
            }
        }
    }
}

#[test]
fn an_array_with_any_byte_changed_is_data_or_a_fault_but_no_panic() {
    let (features, labels): (&[u8], &[u8]) = (include_bytes!("features-stored.npz"), include_bytes!("labels.npz"));
    let npz = Data { format: Format::Npz, ..Data::default() };
    for at in 0..features.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut changed = features.to_vec();
            changed[at] ^= change;
            if let Err(error) = read_bytes(&[&changed, labels], &npz) {
                assert_eq!(error.exit_code(), 4, "byte {at}");
            }
        }
        assert!(read_bytes(&[&features[..at], labels], &npz).is_err(), "{at} bytes");
    }
}

/// Enough for several blocks.
fn long(names: bool) -> String {
    let mut text = String::new();
    for at in 0..150_000_u64 {
        let mix = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let name = if names { "n" } else { "" };
        writeln!(text, "w{} w{} w{at}\t{name}{},{name}{}", mix % 991, mix % 13, mix % 101, 101 + mix % 7).unwrap();
    }
    text
}

#[test]
fn samples_and_names_do_not_depend_on_the_number_of_threads() {
    for names in [false, true] {
        let text = long(names);
        let read = || read_bytes(&[text.as_bytes()], &options(Format::Tsv)).unwrap();
        let want = threads(1, read);
        assert_eq!(want.1.samples, 150_000);
        assert_eq!(threads(5, read), want);
    }
}

#[test]
fn the_first_fault_of_a_file_is_told_whatever_the_number_of_threads() {
    // Each line is in another block, the last in another group of blocks.
    let faults = [(300_000, "x 1:1"), (500_000, "1 1:x"), (2_999_999, "1 1")];
    let mut lines = vec!["1 1:0.50"; 3_000_000];
    faults.iter().for_each(|&(line, fault)| lines[line] = fault);
    for (line, want) in [
        (300_000, "300001:1: unexpected `x` where a label should be"),
        (500_000, "500001:5: value `x` is not a number"),
        (2_999_999, "3000000:4: feature 1 is not followed by `:` and a value"),
    ] {
        let text = lines.join("\n");
        for count in [1, 5] {
            let error = threads(count, || read_bytes(&[text.as_bytes()], &options(Format::Svmlight)).unwrap_err());
            assert_eq!(error.to_string(), format!("input:{want}"), "{count} threads");
        }
        lines[line] = "1 1:0.50";
    }
}
