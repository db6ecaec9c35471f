//! Tokens by pieces against those of the whole text, which the crate `tokenizers` gives by itself.

use ahash::AHashMap;
use compact_str::CompactString;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::LazyLock;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::super::cuts::{Cuts, KNOWN};
use super::super::*;

const NOVEL: &str = include_str!("../../../../data/shakespeare/part.txt");

/// What patterns look at, and what stands on the border of what they do.
const FRAGMENTS: [&str; 56] = [
    " ",
    " ",
    " ",
    "  ",
    "     ",
    "\n",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\t",
    "\u{b}",
    "\u{a0}",
    "\u{85}",
    "\u{2028}",
    "\u{3000}",
    "a",
    "I",
    "word",
    "Word",
    "é",
    "e\u{301}",
    "\u{301}",
    "\u{93e}",
    "日本",
    "。",
    "，",
    "한국",
    "\u{1100}",
    "\u{1161}",
    "ſ",
    "ʰ",
    "1",
    "23",
    "4567",
    "²",
    "Ⅷ",
    "٣",
    "'s",
    "'LL",
    "'",
    "\u{2019}s",
    "!",
    "!!",
    "...",
    "?\n",
    ");\r\n",
    "/",
    "\u{1f600}",
    "\u{200d}",
    "_",
    "\0",
    "<tool_call>",
    "two words",
    "\u{212b}",
    "\u{ff9e}",
];

fn soup() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&FRAGMENTS[..]), 0..60).prop_map(|fragments| fragments.concat())
}

fn byte_level() -> Value {
    json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false })
}

fn split(regex: &str, behavior: &str, invert: bool) -> Value {
    json!({ "type": "Split", "pattern": { "Regex": regex }, "behavior": behavior, "invert": invert })
}

fn sequence(parts: &[Value]) -> Value {
    json!({ "type": "Sequence", "pretokenizers": parts })
}

/// A tokenizer with this pre-tokenizer and merges that were learnt from its words.
fn learnt(pre_tokenizer: &Value, change: impl Fn(&mut Value)) -> Tokenizer {
    let pre: PreTokenizerWrapper = serde_json::from_value(pre_tokenizer.clone()).unwrap();
    // All pairs of fragments, so that what stands together often is one token.
    let pairs = FRAGMENTS.iter().flat_map(|a| FRAGMENTS.iter().map(move |b| [a, *b, " ", a, b].concat()));
    let mut words = AHashMap::<CompactString, u64>::new();
    for text in pairs.chain([NOVEL[..20_000].to_owned()]) {
        let mut text = PreTokenizedString::from(text);
        pre.pre_tokenize(&mut text).unwrap();
        for (word, ..) in text.get_splits(OffsetReferential::Original, OffsetType::Byte) {
            *words.entry(word.into()).or_default() += 1;
        }
    }
    let alphabet = ByteLevel::alphabet().into_iter().collect();
    let trainer = BpeTrainer::builder().vocab_size(1000).show_progress(false).initial_alphabet(alphabet).build();
    let mut model = BPE::default();
    trainer.do_train(&words, &mut model).unwrap();
    let mut value: Value = serde_json::from_slice(Tokenizer::byte_level(model).unwrap().json()).unwrap();
    value["pre_tokenizer"] = pre_tokenizer.clone();
    change(&mut value);
    Tokenizer::from_json(value.to_string().into_bytes()).unwrap()
}

/// The tokenizer by itself.
fn alone(tokenizer: &Tokenizer) -> tokenizers::Tokenizer {
    let mut alone = tokenizers::Tokenizer::from_bytes(tokenizer.json()).unwrap();
    alone.set_encode_special_tokens(true);
    alone
}

struct Case {
    name: &'static str,
    tokenizer: Tokenizer,
    alone: tokenizers::Tokenizer,
}

fn case(name: &'static str, pre_tokenizer: &Value, change: impl Fn(&mut Value)) -> Case {
    let tokenizer = learnt(pre_tokenizer, change);
    let alone = alone(&tokenizer);
    Case { name, tokenizer, alone }
}

fn added(content: &str, id: usize, flag: &str) -> Value {
    let mut token = json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false,
    });
    if !flag.is_empty() {
        token[flag] = true.into();
    }
    token
}

/// Every known pattern as published files have it, and what may stand beside it.
static KNOWN_CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let [gpt2, llama3, newer, qwen2, o200k] = KNOWN.map(|regex| split(regex, "Isolated", false));
    let own = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    let digits = json!({ "type": "Digits", "individual_digits": true });
    let nfc = |value: &mut Value| value["normalizer"] = json!({ "type": "NFC" });
    let tokens = |value: &mut Value| {
        let size = value["model"]["vocab"].as_object().unwrap().len();
        let flags = [
            ("<tool_call>", ""),
            ("  ", ""),
            ("word", "single_word"),
            ("_", "rstrip"),
            ("/", "lstrip"),
            ("two words", ""),
        ];
        let new = flags.iter().enumerate().map(|(i, (content, flag))| added(content, size + 1 + i, flag));
        value["added_tokens"].as_array_mut().unwrap().extend(new);
    };
    vec![
        case("GPT-2", &own, |_| ()),
        case("GPT-2 as Split", &sequence(&[gpt2, byte_level()]), |_| ()),
        case("digits first", &sequence(&[digits, own.clone()]), |_| ()),
        case("GPT-4", &sequence(&[split(KNOWN[1], "Removed", true), byte_level()]), |_| ()),
        case("Llama 3", &sequence(&[llama3.clone(), byte_level()]), |_| ()),
        case("newer", &sequence(&[newer, byte_level()]), |_| ()),
        case("Qwen 2 without its normaliser", &sequence(&[qwen2.clone(), byte_level()]), |_| ()),
        case("Qwen 2", &sequence(&[qwen2, byte_level()]), nfc),
        case("GPT-4o", &sequence(&[o200k, byte_level()]), |_| ()),
        case("added tokens, GPT-2", &own, tokens),
        case("added tokens, Llama 3", &sequence(&[llama3, byte_level()]), tokens),
    ]
});

/// Patterns that nothing was proved for.
static UNKNOWN_CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let parts = [split(r"[\r\n]", "Isolated", false), split(r"\s?\p{L}+", "Isolated", false), byte_level()];
    let nfkc = |value: &mut Value| value["normalizer"] = json!({ "type": "NFKC" });
    vec![
        case("a sequence", &sequence(&parts), |_| ()),
        case("from letters to spaces", &sequence(&[split(r"\S+\s*", "Isolated", false), byte_level()]), |_| ()),
        case("two words", &sequence(&[split(r"\w+ \w+", "Isolated", false), byte_level()]), |_| ()),
        case(
            "NFKC",
            &json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true }),
            nfkc,
        ),
    ]
});

fn by_pieces_as_whole(case: &Case, text: &str, piece: usize) -> Result<(), TestCaseError> {
    let whole = case.alone.encode_fast(text, false).unwrap();
    match case.tokenizer.encode_in_pieces(text, piece) {
        Ok(tokens) => prop_assert_eq!(tokens, whole.get_ids(), "{}: {:?}", case.name, text),
        // Some added tokens take white space with them, and some texts are not in their normal form: both change the text.
        Err(error) => {
            let back = case.tokenizer.bytes(whole.get_ids());
            prop_assert!(back != text.as_bytes(), "{}: {:?}: {}", case.name, text, error);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn tokens_by_pieces_are_those_of_the_whole_text(text in soup(), piece in 1_usize..40) {
        for case in &*KNOWN_CASES {
            by_pieces_as_whole(case, &text, piece)?;
        }
    }

    #[test]
    fn a_pattern_that_is_not_known_is_asked_about_each_place(text in soup(), piece in 1_usize..40) {
        for case in &*UNKNOWN_CASES {
            by_pieces_as_whole(case, &text, piece)?;
        }
    }

    #[test]
    fn text_is_normalised_by_pieces_as_it_is_as_a_whole(text in soup(), piece in 1_usize..40) {
        for case in KNOWN_CASES.iter().chain(&*UNKNOWN_CASES).filter(|case| case.alone.get_normalizer().is_some()) {
            let normalizing = Tokenizer::from_json(case.tokenizer.json().to_vec()).unwrap().normalizing();
            let whole = case.alone.encode_fast(text.as_str(), false).unwrap();
            prop_assert_eq!(normalizing.encode_in_pieces(&text, piece).unwrap(), whole.get_ids(), "{}", case.name);
        }
    }
}

#[test]
fn a_novel_has_the_tokens_of_the_whole_text_whatever_its_pieces() {
    let paragraphs: String =
        (0..400).map(|i| format!("Paragraph {i} has some words in it, and ends here.\n\n")).collect();
    // Asking takes its time.
    let unknown = UNKNOWN_CASES.iter().map(|case| (case, &NOVEL[..20_000]));
    for (case, novel) in KNOWN_CASES.iter().map(|case| (case, NOVEL)).chain(unknown) {
        for text in [novel, &paragraphs] {
            let whole = case.alone.encode_fast(text, false).unwrap();
            for piece in [60, 1 << 14] {
                let tokens = case.tokenizer.encode_in_pieces(text, piece).unwrap();
                assert!(tokens == whole.get_ids(), "{}, pieces of {piece}", case.name);
            }
        }
    }
}

#[test]
fn a_file_in_blocks_has_the_tokens_of_the_whole_text() {
    // Four blocks.
    let text = NOVEL.repeat((3 << 20) / NOVEL.len() + 1).replace('\n', " \n");
    let folder = tempfile::tempdir().unwrap();
    let (path, json) = (folder.path().join("a.txt"), folder.path().join("tokenizer.json"));
    std::fs::write(&path, &text).unwrap();
    for case in KNOWN_CASES.iter().filter(|case| ["Llama 3", "GPT-2"].contains(&case.name)) {
        std::fs::write(&json, case.tokenizer.json()).unwrap();
        let options = TextOptions { files: vec![path.clone()], ..TextOptions::default() };
        let made = tokenize(&options, &TokenizerSource::Load(json.clone()), &folder.path().join("out")).unwrap();
        let file = TokenFile::open(&made.train).unwrap();
        let mut tokens = vec![0; file.len()];
        file.read(0, &mut tokens);
        assert!(tokens[1..] == case.tokenizer.encode_in_pieces(&text, 1 << 30).unwrap(), "{}", case.name);
    }
}

#[test]
fn no_text_makes_a_piece_that_is_much_longer_than_others() {
    let line = NOVEL.split_whitespace().collect::<Vec<_>>().join(" ");
    let cuts = Cuts::known();
    for text in [&line, &"字文字。".repeat(40_000), &"1234567 ".repeat(60_000)] {
        let longest = cuts.pieces(text).map(str::len).max().unwrap();
        assert!(longest <= 1 << 14, "{:?}: {longest}", &text[..12]);
        assert_eq!(cuts.pieces(text).collect::<String>(), *text);
    }
    // Where no place is one, a run is cut all the same.
    for text in ["x", " ", "\n", "字", "\u{1f600}", "=", "e\u{301}"].map(|c| c.repeat(300_000)) {
        let longest = cuts.pieces(&text).map(str::len).max().unwrap();
        assert!(longest <= 1 << 16, "{:?}: {longest}", text.chars().next());
        assert_eq!(cuts.pieces(&text).collect::<String>(), *text);
        assert!(cuts.end_of_block(text.as_bytes()).is_some_and(|at| at + 4 >= text.len()), "{:?}", text.chars().next());
    }
}
