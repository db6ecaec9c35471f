//! A text, encoded by small pieces and as a whole, with the patterns of GPT-2, Llama 3 (as GPT-4's), Qwen 2 and GPT-4o: the same tokens,
//! which give back the text.
#![no_main]

use hotrow::data::tokens::Tokenizer;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const PATTERNS: [&str; 3] = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
];

/// One for each pattern. What GPT-2's words do not have together has no token of its own, so words are told apart by merges
/// within them: these are learnt from a text of short ones.
static TOKENIZERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(|| {
    let text = "a aa  bb\n\n\n b 1 11 111 1111 !! !? ?! ..\n\n 's 'll éé 日日 ".repeat(20);
    let own = Tokenizer::train_on(&text, 320).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let with = |regex: &str| {
        let mut value: serde_json::Value = serde_json::from_slice(own.json()).unwrap();
        let split = serde_json::json!({ "type": "Split", "pattern": { "Regex": regex }, "behavior": "Isolated", "invert": false });
        value["pre_tokenizer"]["use_regex"] = false.into();
        let parts = [split, value["pre_tokenizer"].clone()];
        value["pre_tokenizer"] = serde_json::json!({ "type": "Sequence", "pretokenizers": parts });
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, value.to_string()).unwrap();
        Tokenizer::load(&path).unwrap()
    };
    let mut all: Vec<Tokenizer> = PATTERNS.iter().map(|regex| with(regex)).collect();
    all.push(own);
    all
});

fuzz_target!(|input: (u8, &str)| {
    let (piece, text) = input;
    for tokenizer in &*TOKENIZERS {
        let whole = tokenizer.encode_in_pieces(text, 1 << 30).unwrap();
        assert_eq!(tokenizer.bytes(&whole), text.as_bytes());
        assert_eq!(tokenizer.encode_in_pieces(text, usize::from(piece)).unwrap(), whole);
    }
});
