//! Two npz files: samples, or an error. The first byte says where the second file begins.
#![no_main]

use hotrow::config::{Data, Format};
use hotrow::data::read_bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    let (features, labels) = match first {
        // The same file twice: one whole file is easier to find than two.
        0 => (bytes, bytes),
        first => bytes.split_at(bytes.len() * first as usize / 256),
    };
    let config = Data { format: Format::Npz, ..Data::default() };
    if let Ok((batch, summary)) = read_bytes(&[features, labels], &config) {
        assert_eq!(batch.len() as u64, summary.samples);
        assert!(batch.features.values().iter().all(|value| value.is_finite()));
    }
});
