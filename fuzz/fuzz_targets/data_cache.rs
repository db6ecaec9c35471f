//! A cache file: every sample of it, or an error.
#![no_main]

use hotrow::data::read_cache;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A fixed beginning, or nearly nothing would pass.
    let bytes = [b"hotrow\0d\x01\0\0\0\0\0\0\0", data].concat();
    if let Ok(batch) = read_cache(&bytes) {
        assert!(batch.labels.iter().all(|labels| labels.is_sorted_by(|a, b| a < b)));
    }
});
