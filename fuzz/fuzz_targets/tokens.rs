//! A token file, arbitrary or a good one with some bytes changed: every token of it, each below the vocabulary, or an error.
#![no_main]

use hotrow::data::tokens::{TokenWriter, read_tokens};
use hotrow_fuzz::changed;
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::sync::LazyLock;

const VOCABULARY: usize = 500;

/// The bytes of a token file.
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("hotrow-fuzz-{}.tokens", std::process::id()));
    let mut writer = TokenWriter::create(&path, VOCABULARY, Some(0), 7).unwrap();
    writer.append(&[0, 499, 3], 9).unwrap();
    writer.finish().unwrap();
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    bytes
});

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    // An arbitrary one with a fixed beginning, or nearly nothing would pass.
    let bytes = if first == 0 { [&GOOD[..16], bytes].concat() } else { changed(&GOOD, bytes) };
    let vocabulary = bytes.get(32..40).map(|word| u64::from_ne_bytes(word.try_into().unwrap()));
    if let Ok(tokens) = read_tokens(&bytes) {
        let vocabulary = vocabulary.expect("there is a header");
        assert!(tokens.iter().all(|&token| u64::from(token) < vocabulary));
    }
});
