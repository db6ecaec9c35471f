//! Readers of heavy formats are features: where one is left out, a file that needs it is refused with its name.

use std::fs;

use hotrow::config::{Data, Format};
use hotrow::data::read_bytes;
use hotrow::data::tokens::Tokenizer;

/// What is wrong with these bytes, read as `format`.
fn refused(inputs: &[&[u8]], format: Format) -> String {
    let error = read_bytes(inputs, &Data { format, ..Data::default() }).map(|_| ()).unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
    error.to_string()
}

#[test]
fn packed_files_are_refused_where_their_readers_are_left_out() {
    // `[]` packed by gzip 1.12 and by zstd 1.5.
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x8b\x8e\x05\0\x29\xbb\x4c\x0d\x02\0\0\0";
    let zstd = b"\x28\xb5\x2f\xfd\x04\x58\x11\0\0\x5b\x5d\x56\x1f\x7f\x61";
    for (packed, kind) in [(&gzip[..], "gzip"), (&zstd[..], "zstd")] {
        let error = refused(&[packed], Format::Svmlight);
        let says = error.contains(kind) && error.contains("feature `packed`");
        assert_eq!(says, cfg!(not(feature = "packed")), "{error}");
    }
}

#[test]
fn arrays_are_refused_where_their_reader_is_left_out() {
    let error = refused(&[b"PK\x03\x04", b"PK\x03\x04"], Format::Npz);
    assert_eq!(error.contains("feature `arrays`"), cfg!(not(feature = "arrays")), "{error}");
}

/// A tokenizer of single bytes and an end of text.
fn tokenizer() -> String {
    let visible = |byte: &u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let characters = (0..256).filter(visible).chain(0x100..).map(|code| char::from_u32(code).unwrap());
    let vocab: serde_json::Map<_, _> = characters
        .take(256)
        .enumerate()
        .map(|(id, c)| (c.to_string(), (id + 1).into()))
        .chain([("<|endoftext|>".to_owned(), 0.into())])
        .collect();
    serde_json::json!({
        "version": "1.0",
        "added_tokens": [{ "id": 0, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true }],
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    })
    .to_string()
}

#[test]
fn a_tokenizer_names_its_tokens_and_encodes_text_only_where_that_is_built_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    fs::write(&path, tokenizer()).unwrap();
    let tokenizer = Tokenizer::load(&path).unwrap();
    assert_eq!((tokenizer.vocabulary(), tokenizer.end_of_text()), (257, Some(0)));
    assert_eq!(tokenizer.name_of(0).as_deref(), Some("<|endoftext|>"));
    // The visible characters come first: `!` is 1.
    assert_eq!(tokenizer.bytes(&[u32::from(b'h') - 32, 0, u32::from(b'i') - 32]), b"hi");
    assert!(tokenizer.encode("").unwrap().is_empty());
    let encoded = tokenizer.encode("hi");
    assert_eq!(encoded.is_ok(), cfg!(feature = "text"));
    match encoded {
        Ok(tokens) => assert_eq!(tokenizer.bytes(&tokens), b"hi"),
        Err(error) => assert!(error.to_string().contains("feature `text`"), "{error}"),
    }
}
