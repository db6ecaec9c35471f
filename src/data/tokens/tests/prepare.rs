//! Whole folders: what is made of texts, and what is refused.

use std::fs;
use std::path::Path;

use super::{prose, *};
use crate::error::Result;

fn prepare(folder: &Path, options: &TextOptions) -> Result<Prepared> {
    tokenize(options, &TokenizerSource::Train(280), &folder.join("out"))
}

/// The text of a token file, documents in brackets.
pub(super) fn text_of(made: &Prepared, path: &Path) -> String {
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
    assert!(
        message("cut.zst", &zstd::encode_all(&b"some text"[..], 3).unwrap()[..12]).contains("cannot be read further")
    );
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
    let mut told: Vec<PassProgress> = Vec::new();
    tokenize_with(&options, &TokenizerSource::Train(280), folder.path(), &mut |reading| told.push(reading)).unwrap();
    let texts: u64 = contents.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let all = texts + objects.1.len() as u64;
    let passes: Vec<_> = told.chunk_by(|a, b| a.pass == b.pass).collect();
    assert!(passes.iter().all(|pass| pass.is_sorted_by_key(|reading| reading.bytes)), "{told:?}");
    let ends: Vec<_> = passes.iter().map(|pass| *pass.last().unwrap()).collect();
    let want = [("measuring", texts), ("counting words", all), ("learning", 0), ("encoding", all)];
    assert_eq!(ends, want.map(|(pass, bytes)| PassProgress { pass, bytes, of: bytes }));
}

/// Names and contents of the files in `folder`.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut contents: Vec<_> = names.map(|name| (name.clone(), fs::read(folder.join(name)).unwrap())).collect();
    contents.sort();
    contents
}

#[test]
fn an_old_set_is_replaced_as_a_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let file = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name)
    };
    let [text, other, empty] = [("a.txt", prose()), ("b.txt", prose().to_uppercase()), ("empty.txt", String::new())]
        .map(|(name, text)| file(name, &text));
    let options = |text: &PathBuf, valid: &[&PathBuf], valid_share| TextOptions {
        files: vec![text.clone()],
        valid: valid.iter().map(|&path| path.clone()).collect(),
        valid_share,
        field: "text".into(),
        ..TextOptions::default()
    };
    let made = prepare(folder.path(), &options(&text, &[], 0.25)).unwrap();
    let before = contents(&out);
    assert_eq!(before.iter().map(|(name, _)| name).collect::<Vec<_>>(), [TOKENIZER, "train.tokens", "valid.tokens"]);

    let kept = |options: &TextOptions, code: u8| {
        let error = prepare(folder.path(), options).unwrap_err();
        assert_eq!(error.exit_code(), code, "{error}");
        assert!(contents(&out) == before, "{error}");
        error.to_string()
    };
    // The old validation text would be taken for that of the new training text.
    let stays = kept(&options(&other, &[], 0.0), 2);
    assert!(stays.contains("valid.tokens exists and would not be replaced: remove it"), "{stays}");
    let nothing = kept(&options(&other, &[&empty], 0.0), 4);
    assert!(nothing.ends_with("empty.txt: there is no text for validation"), "{nothing}");
    // No object is drawn.
    let object = file("c.jsonl", "{\"text\": \"one\"}\n");
    let nothing = kept(&options(&object, &[], 1e-6), 2);
    assert!(nothing.ends_with("valid_share: 0.000001 leaves no text for validation"), "{nothing}");

    let new = prepare(folder.path(), &options(&other, &[&empty, &text], 0.0)).unwrap();
    assert_ne!(new.tokenizer_hash, made.tokenizer_hash);
    assert_eq!(text_of(&new, &new.train), format!("[{}]", prose().to_uppercase()));
    assert_eq!(text_of(&new, new.valid.as_ref().unwrap()), format!("[{}]", prose()));
    assert_eq!(contents(&out).len(), 3);

    fs::remove_file(out.join("valid.tokens")).unwrap();
    assert_eq!(prepare(folder.path(), &options(&text, &[], 0.0)).unwrap().valid, None);
    fs::remove_file(out.join(TOKENIZER)).unwrap();
    fs::create_dir(out.join(TOKENIZER)).unwrap();
    let before = fs::read(out.join("train.tokens")).unwrap();
    let error = prepare(folder.path(), &options(&other, &[], 0.0)).unwrap_err().to_string();
    assert!(error.ends_with("tokenizer.json is a folder, where a file is to be written"), "{error}");
    assert_eq!(fs::read(out.join("train.tokens")).unwrap(), before);
}
