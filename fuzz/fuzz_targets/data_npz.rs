//! Pairs of npz files: samples, or an error. The files are arbitrary, or good ones with some bytes changed.
#![no_main]

use hotrow::config::{Data, Format};
use hotrow::data::read_bytes;
use hotrow_fuzz::changed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    let (features, labels): (&[u8], &[u8]) =
        (include_bytes!("../../tests/data/features-stored.npz"), include_bytes!("../../tests/data/labels.npz"));
    let config = Data { format: Format::Npz, ..Data::default() };
    let result = match first % 4 {
        0 => read_bytes(&[bytes, labels], &config),
        1 => read_bytes(&[features, &changed(labels, bytes)], &config),
        _ => read_bytes(&[&changed(features, bytes), labels], &config),
    };
    if let Ok((batch, summary)) = result {
        assert_eq!(batch.len() as u64, summary.samples);
        assert!(batch.features.values().iter().all(|value| value.is_finite()));
    }
});
