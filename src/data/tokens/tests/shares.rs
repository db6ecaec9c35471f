//! The share of a text that is for validation, and texts of several documents.

use std::fs;
use std::path::Path;

use super::super::*;
use super::prepare::text_of;
use super::prose;

fn made(folder: &Path, text: &str, options: TextOptions) -> (Prepared, [String; 2]) {
    let path = folder.join("a.txt");
    fs::write(&path, text).unwrap();
    let options = TextOptions { files: vec![path], ..options };
    let made = tokenize(&options, &TokenizerSource::Train(270), &folder.join("out")).unwrap();
    let texts = [Some(&made.train), made.valid.as_ref()].map(|path| path.map_or(String::new(), |p| text_of(&made, p)));
    (made, texts)
}

#[test]
fn a_text_is_cut_at_its_share_with_few_lines_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let share = |text: &str, valid_share: f64| {
        let (made, texts) = made(folder.path(), text, TextOptions { valid_share, ..TextOptions::default() });
        assert!(texts.concat().replace("][", "") == format!("[{text}]"));
        assert_eq!(made.valid_share, made.counts[1].source_bytes as f64 / text.len() as f64);
        (made.valid_share, texts)
    };
    let words = "one two three ".repeat(2000);
    let (reached, [train, valid]) = share(&words, 0.1);
    // To a word.
    assert!((reached - 0.1).abs() < 6.0 / 28_000.0, "{reached}");
    assert!(train.ends_with("e]") || train.ends_with("two]"), "{train}");
    assert!(valid.starts_with("[ "), "{valid}");
    // A line that is far from the place does not count, one that is near does.
    let two = format!("{}\n{}\n", &words[..14_000], &words[..14_000]);
    let (reached, _) = share(&two, 0.1);
    assert!((reached - 0.1).abs() < 6.0 / 28_000.0, "{reached}");
    let near = format!("{}\n{}", &words[..25_300], &words[..2_700]);
    assert!(share(&near, 0.1).1[0].ends_with("\n]"));
    // Without a word, to a character; whatever the size.
    for text in ["字".repeat(1000), "x".repeat(3_000_000), "ab".to_owned(), "0123456789".to_owned()] {
        let (reached, _) = share(&text, 0.5);
        assert!((reached - 0.5).abs() <= 2.0 / text.len() as f64, "{reached}");
    }
}

#[test]
fn a_mark_stands_between_the_documents_of_a_text_and_is_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let documents = |text: &str, mark: &str| {
        let options = TextOptions { document_separator: Some(mark.to_owned()), ..TextOptions::default() };
        let (made, [train, _]) = made(folder.path(), text, options);
        assert_eq!(made.left_out.end_of_text_names, 0);
        (made.counts[0].documents, made.counts[0].source_bytes, train)
    };
    let mark = "<|endoftext|>";
    assert_eq!(documents(&format!("one\n{mark}\ntwo\r\n{mark}\r\nthree"), mark).2, "[one\n][two\r\n][three]");
    assert_eq!(documents(&format!("one{mark}two {mark} three{mark}\n"), mark).2, "[one][two ][ three][\n]");
    assert_eq!(documents(&format!("{mark}{mark}\none\n{mark}\n{mark}\n"), mark), (1, 4, "[one\n]".to_owned()));
    assert_eq!(documents("ab--cd", "--"), (2, 4, "[ab][cd]".to_owned()));
    assert_eq!(documents("ab\ncd\n\nef\n", "\n\n").2, "[ab\ncd][ef\n]");
    // In blocks and pieces of any kind: none cuts a mark.
    let story = format!("{}\n{mark}\n", prose());
    let (count, bytes, text) = documents(&story.repeat(500), mark);
    assert_eq!((count, bytes), (500, 500 * (prose().len() as u64 + 1)));
    assert!(text == format!("[{}\n]", prose()).repeat(500));
    let (count, bytes, _) = documents(&"ab two words ".repeat(100_000), "two words");
    assert_eq!((count, bytes), (100_001, 100_000 * 4));
}

#[test]
fn a_share_of_documents_cuts_no_mark() {
    let folder = tempfile::tempdir().unwrap();
    for length in 1..20 {
        let text = format!("{} <mark of words> after it", "x".repeat(length));
        let options = TextOptions {
            document_separator: Some("<mark of words>".to_owned()),
            valid_share: 0.5,
            ..TextOptions::default()
        };
        let (made, texts) = made(folder.path(), &text, options);
        let all = format!("{} \0 after it", "x".repeat(length));
        assert_eq!(texts.concat().replace(['[', ']'], ""), all.replace('\0', ""), "{length}");
        assert!(made.counts.iter().all(|counts| counts.documents > 0 && counts.source_bytes > 0), "{length}");
    }
}

#[test]
fn the_name_of_the_end_of_text_in_a_text_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (made, [train, _]) = made(folder.path(), "a<|endoftext|>b\n<|endoftext|>\n", TextOptions::default());
    assert_eq!((made.left_out.end_of_text_names, train.as_str()), (2, "[a<|endoftext|>b\n<|endoftext|>\n]"));
}
