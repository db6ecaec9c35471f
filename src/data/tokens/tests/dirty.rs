//! Records that are not what they should be, and files that are not what their names say.

use std::fs;
use std::path::Path;

use super::super::*;
use super::TOKENIZER_300;
use super::prepare::text_of;
use crate::error::Result;

fn made(folder: &Path, name: &str, bytes: &[u8], options: &TextOptions) -> Result<(Prepared, String)> {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    let options = TextOptions { files: vec![path], field: "text".into(), ..options.clone() };
    let made = tokenize(&options, &TokenizerSource::Train(260), &folder.join("out"))?;
    let text = text_of(&made, &made.train);
    Ok((made, text))
}

const OBJECTS: &[u8] = b"{\"text\": \"one\"}\n{\"text\": \"cut\nnull\n{\"txt\": 3}\n{\"text\": 4}\n{\"text\": \"\\ud800\"}\n\n{\"text\": \"L\xe9\"}\n{\"text\": \"two\"}\n";

#[test]
fn as_many_bad_records_as_are_allowed_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let allowed = |skip_bad| TextOptions { skip_bad, ..TextOptions::default() };
    let (done, text) = made(folder.path(), "a.jsonl", OBJECTS, &allowed(6)).unwrap();
    assert_eq!((text.as_str(), done.left_out.bad_records, done.counts[0].documents), ("[one][two]", 6, 2));
    // The first that is too much is named.
    let places = [
        (0, "a.jsonl:2:13: no object: EOF while parsing a string"),
        (1, "a.jsonl:3:4: no object: invalid type: null"),
        (2, "a.jsonl:4: the object has no field"),
        (3, "a.jsonl:5: the field \"text\" is no text"),
        (4, "a.jsonl:6:"),
        (5, "a.jsonl:8:12: the text is not UTF-8"),
    ];
    for (skip_bad, words) in places {
        let error = made(folder.path(), "a.jsonl", OBJECTS, &allowed(skip_bad)).unwrap_err();
        assert!(error.exit_code() == 4 && error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("at line"), "{error}");
    }
}

#[test]
fn lines_of_a_text_that_are_not_utf_8_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let allowed = |skip_bad| TextOptions { skip_bad, ..TextOptions::default() };
    let bytes = b"one\ntw\xe9 and \xff\nthree\n\xff\nfour";
    let (done, text) = made(folder.path(), "a.txt", bytes, &allowed(2)).unwrap();
    assert_eq!((text.as_str(), done.left_out.bad_records), ("[one\nthree\nfour]", 2));
    let error = made(folder.path(), "a.txt", bytes, &allowed(1)).unwrap_err();
    assert!(error.to_string().ends_with("a.txt:4:1: the text is not UTF-8"), "{error}");
}

/// Places are told over blocks, and those that are left out do not depend on them.
#[test]
fn bad_records_of_large_files_are_counted_over_all_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("{{\"text\": \"{}\"}}\n", "some words ".repeat(100));
    let mut bytes = line.repeat(1000);
    bytes.push_str("{\n");
    let bytes = bytes.repeat(2);
    let options = TextOptions { skip_bad: 2, ..TextOptions::default() };
    let (done, _) = made(folder.path(), "a.jsonl", bytes.as_bytes(), &options).unwrap();
    assert_eq!((done.left_out.bad_records, done.counts[0].documents), (2, 2000));
    let options = TextOptions { skip_bad: 1, ..TextOptions::default() };
    let error = made(folder.path(), "a.jsonl", bytes.as_bytes(), &options).unwrap_err();
    assert!(error.to_string().contains("a.jsonl:2002:"), "{error}");
}

#[test]
fn json_under_another_name_is_refused_until_it_is_said_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, array) = ("{\"text\": \"one\"}\n{\"text\": \"two\"}\n", "\u{feff} [\n {\"text\": \"one\"}]");
    let with = |format| TextOptions { format, ..TextOptions::default() };
    let refused = |name: &str, text: &str, format| {
        let error = made(folder.path(), name, text.as_bytes(), &with(format)).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        error.to_string()
    };
    let message = refused("a", lines, TextFormat::ByName);
    assert!(message.contains("a:1: looks like JSON objects") && message.contains("--format jsonl"), "{message}");
    let message = refused("a.json", array, TextFormat::ByName);
    assert!(message.contains("looks like a JSON array") && message.contains("jq -c '.[]'"), "{message}");
    assert!(refused("a.jsonl", "[{}]", TextFormat::ByName).contains("jq -c '.[]'"));
    let (_, text) = made(folder.path(), "a", lines.as_bytes(), &with(TextFormat::Objects)).unwrap();
    assert_eq!(text, "[one][two]");
    let (_, text) = made(folder.path(), "a.jsonl", lines.as_bytes(), &with(TextFormat::Text)).unwrap();
    assert_eq!(text, format!("[{lines}]"));
    // What only begins like it is text.
    for text in ["{curly} words\n", "[1] A reference\n", "{\"text\": 1} and more\n"] {
        made(folder.path(), "a.txt", text.as_bytes(), &TextOptions::default()).unwrap();
    }
}

#[test]
fn text_is_normalised_if_that_is_asked_for_and_its_bytes_are_counted_behind_that() {
    let folder = tempfile::tempdir().unwrap();
    let (json, text) = (folder.path().join("tokenizer.json"), folder.path().join("a.txt"));
    let mut value: serde_json::Value = serde_json::from_slice(TOKENIZER_300.json()).unwrap();
    value["normalizer"] = serde_json::json!({ "type": "NFC" });
    fs::write(&json, value.to_string()).unwrap();
    fs::write(&text, "cafe\u{301} or \u{212b}").unwrap();
    let options = TextOptions { files: vec![text], ..TextOptions::default() };
    let source = TokenizerSource::Load(json);
    let error = tokenize(&options, &source, &folder.path().join("out")).unwrap_err().to_string();
    assert!(error.contains("to its normal form; --normalize does that first"), "{error}");
    let options = TextOptions { normalize: true, ..options };
    let made = tokenize(&options, &source, &folder.path().join("out")).unwrap();
    assert_eq!(text_of(&made, &made.train), "[café or \u{c5}]");
    assert_eq!(made.counts[0].source_bytes, "café or \u{c5}".len() as u64);
    // Nothing else that changes text is allowed so.
    value["normalizer"] = serde_json::json!({ "type": "Lowercase" });
    fs::write(folder.path().join("tokenizer.json"), value.to_string()).unwrap();
    let options = TextOptions { files: vec![folder.path().join("b.txt")], ..options };
    fs::write(&options.files[0], "Upper").unwrap();
    let error = tokenize(&options, &source, &folder.path().join("out")).unwrap_err().to_string();
    assert!(error.ends_with("it changes text"), "{error}");
}
