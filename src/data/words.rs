//! Finds the words of a text.
//!
//! A word is what Unicode's default rules (UAX #29) hold together, with three differences for features:
//!
//! - Punctuation always cuts a word (`can't`, `3.14`, `foo_bar`, `end.Start`). So its parts are the features of the
//!   same parts elsewhere.
//! - Characters that only control display are dropped first: soft hyphens, zero-width spaces, marks of direction.
//!   Joiners stay, because they tell words apart in Persian.
//! - Text is brought to one form: NFKC and lower case. NFC would make another word of full-width letters or ligatures.
//!
//! By these rules each Chinese character and each Hiragana is a word. So is each cluster of Thai, Lao, Khmer and
//! Burmese, which have no blanks between words. `data.word_ngrams` makes features of their runs.
//!
//! The words of ASCII text are runs of letters and digits, which need none of this.

use std::ops::Range;
#[cfg(feature = "text")]
use {
    unicode_normalization::{UnicodeNormalization, char::is_combining_mark},
    unicode_segmentation::UnicodeSegmentation,
};

/// Writes ` word word ` in lower case to `lower`, and the ranges of the words to `words`.
#[cfg(feature = "text")]
pub(super) fn unicode(text: &str, lower: &mut String, words: &mut Vec<Range<usize>>) {
    start(lower, words);
    let mut folded = String::new();
    // Cutting at ASCII first keeps whole texts out of the slow path.
    for part in text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        if part.is_ascii() {
            push_ascii(part, lower, words);
            continue;
        }
        folded.clear();
        // Lower case may leave the normal form, for example with a j with caron.
        folded.extend(part.chars().filter(|&c| !is_hidden(c)).nfkc().flat_map(char::to_lowercase).nfkc());
        for word in folded.split_word_bounds().flat_map(|piece| piece.split(|c| !belongs(c))) {
            if word.contains(char::is_alphanumeric) {
                push(word, lower, words);
            }
        }
    }
}

/// The same with runs of letters and digits as words. Combining marks cut here.
pub(super) fn runs(text: &str, lower: &mut String, words: &mut Vec<Range<usize>>) {
    start(lower, words);
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        match word.is_ascii() {
            true => push_ascii(word, lower, words),
            false => push(&word.chars().flat_map(char::to_lowercase).collect::<String>(), lower, words),
        }
    }
}

fn start(lower: &mut String, words: &mut Vec<Range<usize>>) {
    lower.clear();
    words.clear();
    lower.push(' ');
}

fn push(word: &str, lower: &mut String, words: &mut Vec<Range<usize>>) {
    words.push(lower.len()..lower.len() + word.len());
    lower.push_str(word);
    lower.push(' ');
}

fn push_ascii(word: &str, lower: &mut String, words: &mut Vec<Range<usize>>) {
    words.push(lower.len()..lower.len() + word.len());
    lower.extend(word.bytes().map(|byte| byte.to_ascii_lowercase() as char));
    lower.push(' ');
}

/// Whether `c` may be part of a word.
#[cfg(feature = "text")]
fn belongs(c: char) -> bool {
    c.is_alphanumeric() || is_combining_mark(c) || matches!(c, '\u{200c}' | '\u{200d}')
}

/// Whether `c` is invisible and means nothing for its word.
#[cfg(feature = "text")]
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{2069}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

#[cfg(all(test, feature = "text"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words_of(text: &str) -> Vec<String> {
        let (mut lower, mut words) = (String::new(), Vec::new());
        unicode(text, &mut lower, &mut words);
        words.into_iter().map(|word| lower[word].to_owned()).collect()
    }

    fn runs_of(text: &str) -> Vec<String> {
        let (mut lower, mut words) = (String::new(), Vec::new());
        runs(text, &mut lower, &mut words);
        words.into_iter().map(|word| lower[word].to_owned()).collect()
    }

    #[test]
    fn words_are_lower_case_and_have_their_marks() {
        for (text, want) in [
            ("Über-Größe, \tx86 — ΣΊΣ!", &["über", "größe", "x86", "σίσ"][..]),
            ("हिन्दी", &["हिन्दी"]),
            ("తెలుగు భాష", &["తెలుగు", "భాష"]),
            ("cafe\u{301} CAFÉ", &["café", "café"]),
            ("zero\u{200b}width so\u{ad}ft", &["zerowidth", "soft"]),
            ("می\u{200c}خواهم", &["می\u{200c}خواهم"]),
            ("ﬁne Ｆｕｌｌ J\u{30c} ǰ", &["fine", "full", "ǰ", "ǰ"]),
            ("can't can’t 3.14 foo_bar end.Start", &["can", "t", "can", "t", "3", "14", "foo", "bar", "end", "start"]),
            ("漢字です カタカナ", &["漢", "字", "で", "す", "カタカナ"]),
            ("한국어 문서", &["한국어", "문서"]),
            ("👩\u{200d}💻 \u{301} ...", &[]),
        ] {
            assert_eq!(words_of(text), want, "{text}");
        }
    }

    #[test]
    fn a_thai_clause_is_cut_between_clusters_and_not_inside_them() {
        let words = words_of("ภาษาไทยไม่มีช่องว่าง");
        assert_eq!(words.concat(), "ภาษาไทยไม่มีช่องว่าง");
        assert!(words.len() > 4 && words.iter().all(|word| word.starts_with(char::is_alphanumeric)), "{words:?}");
    }

    #[test]
    fn hidden_characters_make_no_other_words() {
        for hidden in ['\u{ad}', '\u{200b}', '\u{200e}', '\u{2060}', '\u{feff}', '\u{fe0f}'] {
            assert_eq!(words_of(&format!("naïve sch{hidden}lüssel wo{hidden}rd")), ["naïve", "schlüssel", "word"]);
        }
    }

    proptest! {
        #[test]
        fn every_normal_form_of_a_text_has_the_same_words(text in "\\PC{0,30}") {
            let want = words_of(&text);
            prop_assert_eq!(&words_of(&text.nfc().collect::<String>()), &want);
            prop_assert_eq!(&words_of(&text.nfd().collect::<String>()), &want);
            prop_assert_eq!(&words_of(&text.nfkd().collect::<String>()), &want);
            prop_assert_eq!(&words_of(&want.join(" ")), &want);
        }

        #[test]
        fn words_of_ascii_text_are_runs_of_letters_and_digits(text in "[ -~\\t]{0,60}") {
            prop_assert_eq!(words_of(&text), runs_of(&text));
        }
    }
}
