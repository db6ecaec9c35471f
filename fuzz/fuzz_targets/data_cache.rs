//! A cache file, arbitrary or a good one with some bytes changed: every sample of it, or an error.
#![no_main]

use hotrow::config::Data;
use hotrow::data::{open, read_cache};
use hotrow_fuzz::changed;
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::sync::LazyLock;

/// The bytes of a cache.
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("hotrow-fuzz-{}", std::process::id()));
    let (train, cache) = (folder.join("train.svm"), folder.join("cache"));
    fs::create_dir_all(&cache).unwrap();
    fs::write(&train, "0,2 1:0.5 4:1\n1 0:2\n2\n").unwrap();
    open(train.to_str().unwrap(), None, &Data::default(), &cache).unwrap();
    let path = fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(path).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    bytes
});

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    // An arbitrary one with a fixed beginning, or nearly nothing would pass.
    let bytes = if first == 0 { [&GOOD[..16], bytes].concat() } else { changed(&GOOD, bytes) };
    if let Ok(batch) = read_cache(&bytes) {
        assert!(batch.labels.iter().all(|labels| labels.is_sorted_by(|a, b| a < b)));
    }
});
