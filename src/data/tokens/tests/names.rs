//! Names of tokens as builds without the crate `tokenizers` read them, against that crate.

use serde_json::{Value, json};

use super::super::names::Names;
use super::*;

/// The tokenizer of the tests with these added tokens.
fn with(added: Value) -> String {
    let mut value: Value = serde_json::from_slice(TOKENIZER_300.json()).unwrap();
    value["added_tokens"] = added;
    value.to_string()
}

fn added(id: usize, content: &str, special: bool) -> Value {
    json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": special })
}

#[test]
fn names_and_numbers_are_those_of_the_crate() {
    let (end, size) = (added(0, "<|endoftext|>", true), TOKENIZER_300.vocabulary());
    // Of the model's tokens, behind them, and in an order of their own.
    let sets = [
        json!([]),
        json!([end]),
        json!([end, added(size, "<|im_end|>", true), added(size + 1, "word", false)]),
        json!([added(size, "x y", false), end, added(size + 1, "</s>", true)]),
    ];
    for set in sets {
        let json = with(set);
        let (names, crates) = (json.parse::<Names>().unwrap(), json.parse::<tokenizers::Tokenizer>().unwrap());
        let vocabulary = crates.get_vocab(true);
        assert_eq!(names.get_vocab(true), vocabulary);
        let of_crate =
            crates.get_added_tokens_decoder().into_iter().map(|(id, token)| (id, token.content, token.special));
        let mut of_crate: Vec<_> = of_crate.collect();
        of_crate.sort();
        let here = names.get_added_tokens_decoder().into_iter().map(|(id, token)| (id, token.content, token.special));
        assert_eq!(here.collect::<Vec<_>>(), of_crate);
        for (name, id) in vocabulary.into_iter().chain([("no such name".to_owned(), 9999)]) {
            assert_eq!(names.token_to_id(&name), crates.token_to_id(&name));
            assert_eq!(names.id_to_token(id), crates.id_to_token(id));
        }
    }
}

/// What the crate would renumber is not guessed.
#[test]
fn numbers_that_the_crate_would_change_are_refused() {
    let size = TOKENIZER_300.vocabulary();
    for set in [
        json!([added(7, "<|endoftext|>", true)]),
        json!([added(size + 2, "<|im_end|>", true)]),
        json!([added(size, "", true)]),
        json!([added(size, "b c", true), added(size, "b c", true)]),
    ] {
        let error = with(set.clone()).parse::<Names>().unwrap_err();
        assert!(error.contains("feature `text`"), "{set}: {error}");
    }
    let other = json!({ "model": { "type": "WordLevel", "vocab": { "a": 0 }, "unk_token": "a" } });
    let mut names = other.to_string().parse::<Names>().unwrap();
    assert!(!super::super::names::set_up(&mut names));
    assert!("{}".parse::<Names>().is_err());
}
