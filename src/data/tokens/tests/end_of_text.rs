//! Which token stands between documents.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::*;
use super::TOKENIZER_300;
use crate::error::Result;

/// A folder with a tokenizer whose end-of-text token has this name, and two documents.
fn folder(name: &str) -> (tempfile::TempDir, PathBuf, TextOptions) {
    let folder = tempfile::tempdir().unwrap();
    let (json, text) = (folder.path().join("tokenizer.json"), folder.path().join("d.jsonl"));
    fs::write(&json, String::from_utf8_lossy(TOKENIZER_300.json()).replace("<|endoftext|>", name)).unwrap();
    fs::write(&text, "{\"text\":\"ab\"}\n{\"text\":\"cd\"}\n").unwrap();
    let options = TextOptions { files: vec![text], field: "text".into(), ..TextOptions::default() };
    (folder, json, options)
}

fn made(folder: &Path, json: &Path, options: &TextOptions) -> Result<(Prepared, TokenSummary)> {
    let made = tokenize(options, &TokenizerSource::Load(json.to_owned()), &folder.join("out"))?;
    let summary = *TokenFile::open(&made.train).unwrap().summary();
    Ok((made, summary))
}

#[test]
fn documents_without_a_known_token_between_them_are_refused_until_it_is_named() {
    let (folder, json, mut options) = folder("[EOS]");
    let refused = made(folder.path(), &json, &options).unwrap_err();
    assert_eq!(refused.exit_code(), 2);
    let message = refused.to_string();
    assert!(message.starts_with("end_of_text: there are several documents"), "{message}");
    assert!(message.ends_with("its special tokens are [EOS]"), "{message}");

    options.end_of_text = EndOfText::Token("[EOS]".into());
    let (named, summary) = made(folder.path(), &json, &options).unwrap();
    assert_eq!((named.end_of_text.as_deref(), summary.end_of_text), (Some("[EOS]"), TOKENIZER_300.end_of_text()));
    assert_eq!((summary.tokens, summary.documents), (6, 2));
    options.end_of_text = EndOfText::Token("[END]".into());
    let message = made(folder.path(), &json, &options).unwrap_err().to_string();
    assert!(message.ends_with("has no token \"[END]\"; its special tokens are [EOS]"), "{message}");

    options.end_of_text = EndOfText::Absent;
    let (none, summary) = made(folder.path(), &json, &options).unwrap();
    assert_eq!((none.end_of_text, summary.end_of_text, summary.tokens), (None, None, 4));

    // One document needs none, be there validation or not.
    options.end_of_text = EndOfText::Detect;
    fs::write(&options.files[0], "{\"text\":\"ab\"}\n").unwrap();
    options.valid = options.files.clone();
    assert_eq!(made(folder.path(), &json, &options).unwrap().1.tokens, 2);
    options.files.push(options.files[0].clone());
    assert!(made(folder.path(), &json, &options).is_err());
}

#[test]
fn files_beside_a_tokenizer_name_its_end_of_text() {
    let (folder, json, options) = folder("[EOS]");
    let end = TOKENIZER_300.end_of_text().unwrap();
    let contents = [
        ("generation_config.json", format!("{{\"eos_token_id\": [{end}, 7]}}"), end),
        ("generation_config.json", "{\"eos_token_id\": 70}".to_owned(), 70),
        ("special_tokens_map.json", "{\"eos_token\": {\"content\": \"[EOS]\", \"lstrip\": false}}".to_owned(), end),
        ("tokenizer_config.json", "{\"eos_token\": \"t\"}".to_owned(), TOKENIZER_300.token("t").unwrap()),
        // The first file counts, if it names one.
        ("tokenizer_config.json", "{\"eos_token\": null}".to_owned(), end),
    ];
    for (name, content, token) in contents {
        fs::write(folder.path().join(name), &content).unwrap();
        assert_eq!(made(folder.path(), &json, &options).unwrap().1.end_of_text, Some(token), "{name}: {content}");
    }
    for (content, words) in [
        ("{\"eos_token\": \"[END]\"}", "names \"[END]\" as eos_token, which the tokenizer does not have"),
        ("{\"eos_token_id\": 300}", "names 300 as eos_token_id, which is no token"),
        ("{", "is no JSON"),
    ] {
        fs::write(folder.path().join("tokenizer_config.json"), content).unwrap();
        let error = made(folder.path(), &json, &options).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("tokenizer_config.json") && error.to_string().contains(words), "{error}");
    }
}

#[test]
fn only_a_special_token_is_known_by_its_name() {
    let mut value: serde_json::Value = serde_json::from_slice(TOKENIZER_300.json()).unwrap();
    let known = |value: &serde_json::Value| Tokenizer::from_json(value.to_string().into_bytes()).unwrap();
    assert!(known(&value).end_of_text().is_some());
    value["added_tokens"][0]["special"] = false.into();
    assert_eq!(known(&value).end_of_text(), None);
    // As versions did that kept no end of text.
    assert_eq!(known(&value).with_usual_end_of_text().end_of_text(), TOKENIZER_300.end_of_text());
}
