mod cuts;
mod dirty;
mod end_of_text;
mod names;
mod prepare;
mod shares;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// Learnt from itself; enough for words of several letters.
static TOKENIZER_300: LazyLock<Tokenizer> = LazyLock::new(|| Tokenizer::train_on(&prose(), 300).unwrap());

fn prose() -> String {
    "It was the best of times, it was the worst of times;\n\n  it was the age of wisdom.\n".repeat(30)
}

fn written(folder: &Path, tokens: &[u32], vocabulary: usize) -> PathBuf {
    let path = folder.join("some.tokens");
    let mut writer = TokenWriter::create(&path, vocabulary, Some(0), 7).unwrap();
    writer.append(tokens, 9).unwrap();
    writer.finish().unwrap();
    path
}

#[track_caller]
fn refused(path: &Path) -> String {
    let error = TokenFile::open(path).unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
    error.to_string()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(tokens in prop::collection::vec(0_u32..70_000, 0..200), wide: bool) {
        let vocabulary = if wide { 70_000 } else { 65_536 };
        let tokens: Vec<u32> = tokens.into_iter().map(|token| token % vocabulary as u32).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &tokens, vocabulary);
        let file = TokenFile::open(&path).unwrap();
        prop_assert_eq!(file.summary().width(), if wide { 4 } else { 2 });
        let mut read = vec![0; tokens.len()];
        file.read(0, &mut read);
        prop_assert_eq!(&read, &tokens);
        prop_assert_eq!(read_tokens(&fs::read(&path).unwrap()).unwrap(), tokens);
    }

    #[test]
    fn every_text_comes_back_to_the_byte(text in "[a-z \\n\\t.,'é€\u{3000}\u{85}\u{1f600}0-9]{0,80}") {
        prop_assert_eq!(TOKENIZER_300.bytes(&TOKENIZER_300.encode(&text).unwrap()), text.into_bytes());
    }

    #[test]
    fn text_in_pieces_of_any_length_is_the_same_text(bytes in prop::collection::vec(any::<u8>(), 0..40), text: String, cut in 1_usize..5) {
        for bytes in [bytes.as_slice(), text.as_bytes()] {
            let mut stream = Utf8Stream::default();
            let mut got: String = bytes.chunks(cut).map(|piece| stream.push(piece)).collect();
            got += &stream.finish();
            prop_assert_eq!(got, String::from_utf8_lossy(bytes));
        }
    }
}

#[test]
fn every_changed_bit_and_every_other_length_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &[1, 2, 3, 299], 300);
    let good = fs::read(&path).unwrap();
    for bit in 0..8 * good.len() {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bad).unwrap();
        refused(&path);
    }
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        let message = refused(&path);
        assert!(message.contains(if length < 128 { "shorter than a header" } else { "is truncated" }), "{message}");
    }
    fs::write(&path, [&good[..], b"x"].concat()).unwrap();
    assert!(refused(&path).contains("is too long: 9 bytes of tokens, where its header says 8"));
    fs::write(&path, good).unwrap();
    assert_eq!(TokenFile::open(&path).unwrap().len(), 4);
}

#[test]
fn what_a_header_says_wrong_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read(written(folder.path(), &[1, 2], 300)).unwrap();
    let message = |word: usize, value: u64| {
        let mut bad = good.clone();
        bad[8 * word..8 * word + 8].copy_from_slice(&value.to_ne_bytes());
        read_tokens(&bad).unwrap_err().to_string()
    };
    assert!(message(0, 5).contains("is no token file"));
    assert!(message(1, 2).contains("of version 2, not 1"));
    assert!(message(2, 4).contains("tokens of 4 bytes, not 2"));
    assert!(message(3, u64::MAX).contains("is truncated"));
    assert!(message(4, 0).contains("vocabulary of 0"));
    assert!(message(4, 2).contains("token 1 is 2, which is not below the vocabulary, 2"));
    assert!(message(7, 300).contains("end-of-text token 300"));
}

#[test]
fn an_unfinished_file_vanishes_and_an_old_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &[1], 300);
    let mut writer = TokenWriter::create(&path, 300, None, 7).unwrap();
    writer.append(&[2, 2], 2).unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(TokenFile::open(&path).unwrap().len(), 1);
}

#[test]
fn what_killed_programs_left_goes_and_what_others_write_stays() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let dead = [".tmp-0000000000000001-some.tokens", ".tmp-0000000000000002-some.tokens"];
    let others = [
        ".tmp-0000000000000001-other.tokens",
        ".tmp-0000000000000001-an-some.tokens",
        ".tmp-some.tokens",
        "x-1-some.tokens",
    ];
    for name in dead.iter().chain(&others) {
        fs::write(place(name), name).unwrap();
    }
    // As from a container whose processes are not seen here.
    let lock = File::open(place(dead[1])).unwrap();
    lock.try_lock().unwrap();
    written(folder.path(), &[1], 300);
    let there = |name: &&str| place(name).exists();
    assert_eq!(dead.each_ref().map(there), [false, true]);
    assert!(others.iter().all(there));
}

#[test]
fn a_complete_file_is_another_until_it_is_renamed() {
    let folder = tempfile::tempdir().unwrap();
    let path = written(folder.path(), &[1], 300);
    let complete = || {
        let mut writer = TokenWriter::create(&path, 300, None, 7).unwrap();
        writer.append(&[2, 2], 2).unwrap();
        writer.complete().unwrap().0
    };
    drop(complete());
    assert_eq!(TokenFile::open(&path).unwrap().len(), 1);
    let replacement = complete();
    assert_eq!(TokenFile::open(&path).unwrap().len(), 1);
    replacement.rename().unwrap();
    assert_eq!(TokenFile::open(&path).unwrap().len(), 2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_tokenizer_is_learnt_the_same_on_any_number_of_threads_and_found_again() {
    let json = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Tokenizer::train_on(&prose(), 280).unwrap().json().to_vec())
    };
    let one = json(1);
    assert_eq!(json(3), one);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(TOKENIZER), &one).unwrap();
    let loaded = Tokenizer::load(folder.path()).unwrap();
    let learnt = Tokenizer::train_on(&prose(), 280).unwrap();
    assert_eq!((loaded.hash(), loaded.vocabulary()), (learnt.hash(), 280));
    assert_eq!(loaded.encode("the times").unwrap(), learnt.encode("the times").unwrap());
    assert_ne!(Tokenizer::train_on(&prose(), 279).unwrap().hash(), loaded.hash());
    // The same contents in another layout are the same tokenizer.
    let value: serde_json::Value = serde_json::from_slice(&one).unwrap();
    assert_eq!(Tokenizer::from_json(value.to_string().into_bytes()).unwrap().hash(), loaded.hash());
}

#[test]
fn special_tokens_in_text_are_text() {
    let tokens = TOKENIZER_300.encode("a<|endoftext|>b").unwrap();
    assert!(!tokens.contains(&TOKENIZER_300.end_of_text().unwrap()));
    assert_eq!(TOKENIZER_300.bytes(&tokens), b"a<|endoftext|>b");
    assert!(TOKENIZER_300.bytes_of(TOKENIZER_300.end_of_text().unwrap()).is_empty());
}

#[test]
fn what_is_no_byte_level_tokenizer_is_refused() {
    let message = |json: &[u8]| Tokenizer::from_json(json.to_vec()).unwrap_err();
    assert!(message(b"{").starts_with("is no JSON"));
    assert!(message(b"{}").starts_with("is no tokenizer"));
    let mut value: serde_json::Value = serde_json::from_slice(TOKENIZER_300.json()).unwrap();
    let vocabulary = value["model"]["vocab"].as_object_mut().unwrap();
    let id = vocabulary.remove("z").unwrap();
    assert!(message(value.to_string().as_bytes()).contains("no token for the byte 0x7a"));
    value["model"]["vocab"].as_object_mut().unwrap().insert("\u{4e00}".into(), id);
    assert!(message(value.to_string().as_bytes()).contains("characters that are no bytes"));
    // One that changes text is found out when it does.
    let mut value: serde_json::Value = serde_json::from_slice(TOKENIZER_300.json()).unwrap();
    value["normalizer"] = serde_json::json!({ "type": "Lowercase" });
    let lowercase = Tokenizer::from_json(value.to_string().into_bytes()).unwrap();
    assert!(lowercase.encode("times").is_ok());
    assert!(lowercase.encode("Times").unwrap_err().to_string().contains("does not give back the text"));
}

#[test]
fn a_file_that_was_taken_for_a_tokenizer_is_told_what_tokenizers_are() {
    let folder = tempfile::tempdir().unwrap();
    let message = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let error = Tokenizer::load(&path).unwrap_err();
        assert_eq!(error.exit_code(), 4, "{error}");
        error.to_string()
    };
    let kinds =
        "is no tokenizer.json, and no vocab.bpe (or merges.txt) of GPT-2's beside its encoder.json (or vocab.json): ";
    let text = message("text.txt", "It was the best of times");
    assert!(text.contains(&format!("text.txt: {kinds}")), "{text}");
    assert!(text.ends_with("has none of encoder.json, vocab.json"), "{text}");
    assert!(message("a.json", "It was").contains(&format!("a.json: {kinds}is no JSON: expected value at line 1")));
    let encoder = message("encoder.json", "{\"!\": 0, \"a\": 1}");
    assert!(encoder.contains(&format!("encoder.json: {kinds}is no tokenizer: ")), "{encoder}");
    // With what belongs beside it, it is the merges that are wrong.
    assert!(message("text.txt", "It was the best of times").contains("not the merges of a BPE tokenizer with"));
}
