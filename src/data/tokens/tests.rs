use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::pieces::{last_cut, pieces};
use super::*;
use crate::error::Result;

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

    /// The words on both sides of a cut are those of the whole.
    #[test]
    fn a_cut_changes_no_token(text in "[ab \\n\\r\\t.'é\u{3000}\u{85}]{0,40}") {
        if let Some(cut) = last_cut(text.as_bytes()) {
            let (before, after) = text.split_at(cut);
            let apart = [before, after].map(|part| TOKENIZER_300.encode(part).unwrap()).concat();
            prop_assert_eq!(apart, TOKENIZER_300.encode(&text).unwrap());
        }
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
fn pieces_are_the_whole_text_in_order() {
    for text in [prose().repeat(20), "x".repeat(100_000), String::new()] {
        assert_eq!(pieces(&text).collect::<String>(), text);
    }
    assert!(pieces(&prose().repeat(20)).count() > 1);
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

fn prepare(folder: &Path, options: &TextOptions) -> Result<Prepared> {
    tokenize(options, &TokenizerSource::Train(280), &folder.join("out"))
}

/// The text of a token file, documents in brackets.
fn text_of(made: &Prepared, path: &Path) -> String {
    let tokenizer = Tokenizer::load(&made.tokenizer).unwrap();
    let file = TokenFile::open(path).unwrap();
    assert_eq!(file.summary().tokenizer, tokenizer.hash());
    let mut tokens = vec![0; file.len()];
    file.read(0, &mut tokens);
    let documents = tokens.split(|&token| Some(token) == tokenizer.end_of_text());
    documents.skip(1).map(|tokens| format!("[{}]", String::from_utf8(tokenizer.bytes(tokens)).unwrap())).collect()
}

#[test]
fn texts_and_objects_packed_or_not_are_one_token_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).unwrap();
        folder.path().join(name)
    };
    let objects = "{\"body\": \"one\\n\"}\n\n{\"id\": 3, \"body\": \"two\"}\r\n{\"body\": \"\"}";
    let zstd = zstd::encode_all(objects.as_bytes(), 3).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, "three\r\n".as_bytes()).unwrap();
    let files = vec![file("a.txt", b"zero\n"), file("b.jsonl.zst", &zstd), file("c.gz", &gzip.finish().unwrap())];
    let valid = vec![file("v.ndjson", b"{\"body\": \"four\"}")];
    let options = TextOptions { files, valid, field: "body".into(), ..TextOptions::default() };
    let made = prepare(folder.path(), &options).unwrap();
    assert_eq!(text_of(&made, &made.train), "[zero\n][one\n][two][three\r\n]");
    assert_eq!(text_of(&made, made.valid.as_ref().unwrap()), "[four]");
    assert_eq!((made.counts[0].documents, made.counts[0].source_bytes), (4, 5 + 4 + 3 + 7));
    assert_eq!((made.counts[1].documents, made.counts[1].source_bytes), (1, 4));
}

#[test]
fn a_share_for_validation_is_the_end_of_a_text_and_any_of_the_objects() {
    let folder = tempfile::tempdir().unwrap();
    let text = (0..20_000).map(|i| format!("line {i}\n")).collect::<String>();
    let path = folder.path().join("a.txt");
    fs::write(&path, &text).unwrap();
    let options = TextOptions { files: vec![path.clone()], valid_share: 0.25, ..TextOptions::default() };
    let made = prepare(folder.path(), &options).unwrap();
    let [train, valid] = [&made.train, made.valid.as_ref().unwrap()].map(|path| text_of(&made, path));
    assert_eq!(train.replace(['[', ']'], "") + &valid.replace(['[', ']'], ""), text);
    let share = made.counts[1].source_bytes as f64 / text.len() as f64;
    // To a line.
    assert!((share - 0.25).abs() < 20.0 / text.len() as f64, "{share}");

    let objects = (0..2000).map(|i| format!("{{\"text\": \"line {i}\"}}\n")).collect::<String>();
    let path = folder.path().join("a.jsonl");
    fs::write(&path, &objects).unwrap();
    let options =
        TextOptions { files: vec![path], field: "text".into(), valid_share: 0.25, seed: 3, ..TextOptions::default() };
    let made = prepare(folder.path(), &options).unwrap();
    assert_eq!(made.counts.iter().map(|counts| counts.documents).sum::<u64>(), 2000);
    // 500 expected; six standard deviations of 19.
    assert!(made.counts[1].documents.abs_diff(500) < 6 * 19, "{:?}", made.counts);
    let again = prepare(folder.path(), &options).unwrap();
    assert_eq!(again, made);
}

#[test]
fn wrong_text_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let message = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let options = TextOptions { files: vec![path], field: "text".into(), ..TextOptions::default() };
        let error = prepare(folder.path(), &options).unwrap_err();
        assert_eq!(error.exit_code(), 4, "{error}");
        assert!(!folder.path().join("out/train.tokens").exists());
        error.to_string()
    };
    assert!(message("a.txt", b"one\ntw\xff\n").ends_with("a.txt:2:3: the text is not UTF-8"));
    assert!(message("a.jsonl", b"{\"text\": \"x\"}\n{\"text\": }\n").contains("a.jsonl:2:10: no object"));
    assert!(
        message("b.jsonl", b"\n{\"txt\": \"\"}\n").ends_with("b.jsonl:2: the object has no field \"text\", but txt")
    );
    assert!(message("c.jsonl", b"{\"text\": 3}\n").ends_with("c.jsonl:1: the field \"text\" is no text"));
    assert!(message("d.jsonl", b"[]\n").contains("d.jsonl:1:"));
    assert!(message("empty.txt", b"").ends_with("there is no text to train on"));
    assert!(message("cut.zst", &zstd::encode_all(&b"some text"[..], 3).unwrap()[..12]).contains("cannot be read on"));
}

#[test]
fn each_pass_tells_that_it_has_read_all_bytes_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packer, prose().as_bytes()).unwrap();
    let contents = [("a.txt", prose().into_bytes()), ("b.txt.gz", packer.finish().unwrap())];
    let objects = ("c.jsonl", b"{\"text\": \"It was\"}\n".to_vec());
    let files = contents.iter().chain([&objects]).map(|(name, bytes)| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    });
    let options = TextOptions { files: files.collect(), field: "text".into(), valid_share: 0.1, ..Default::default() };
    let mut told: Vec<Reading> = Vec::new();
    tokenize_with(&options, &TokenizerSource::Train(280), folder.path(), &mut |reading| told.push(reading)).unwrap();
    let texts: u64 = contents.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let all = texts + objects.1.len() as u64;
    let passes: Vec<_> = told.chunk_by(|a, b| a.pass == b.pass).collect();
    assert!(passes.iter().all(|pass| pass.is_sorted_by_key(|reading| reading.bytes)), "{told:?}");
    let ends: Vec<_> = passes.iter().map(|pass| *pass.last().unwrap()).collect();
    let want = [("measuring", texts), ("counting words", all), ("learning", 0), ("encoding", all)];
    assert_eq!(ends, want.map(|(pass, bytes)| Reading { pass, bytes, of: bytes }));
}
