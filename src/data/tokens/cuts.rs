//! Places where a text can be cut so that its tokens stay those of the whole, whatever the text.

use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::classes::{Kind, kind};

/// Bytes of a piece: small enough for its working memory to stay in the cache, large enough for calls to cost nothing. Encoding
/// takes up to two hundred bytes of memory for each byte of a piece.
const PIECE: usize = 1 << 14;

/// Bytes of a piece where the pattern is not known, so that most documents are one: 50 MB of memory for each thread.
const UNKNOWN_PIECE: usize = 1 << 18;

/// A run of characters that a pattern may not divide is divided behind so many bytes all the same. No language has such words,
/// and rulers and encoded pictures are mostly shorter; without a limit, memory would grow with the text.
const LONGEST: usize = 1 << 16;

/// What the tokenizer itself is shown on both sides of a place, if its pattern is not known.
const SHOWN: usize = 512;

/// Places that the tokenizer is asked about before a text is cut where it must not be.
const ASKED: usize = 64;

/// Characters among which a run is divided, so that no mark is cut.
const FORCED: usize = 1024;

/// Patterns that the rule of [`divides`] was proved for, beside those of `ByteLevel`: GPT-2's; that of GPT-4 (cl100k) and Llama 3,
/// and a newer writing of it; Qwen 2's; GPT-4o's (o200k).
pub(super) const KNOWN: [&str; 5] = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
];

/// Whether every pattern of [`KNOWN`] ends a word between `left` and `right`, and ends the same words before it if there is nothing
/// behind them.
///
/// The words of a text are the matches of a pattern, one after the other from its beginning, and no pattern looks back. So it is
/// enough that no alternative takes `left` and `right` together, nor is changed by taking the end of the text for `right`:
///
/// - *Behind a letter*, alternatives go on with letters only (GPT-4o's: with marks, or an apostrophe). What else stands there ends
///   the run of letters as the end of the text does.
/// - *Behind a number* they go on with numbers only; three at a time are counted from the beginning of the run.
/// - *Behind anything else that is no white space*, they go on with the same (one sign may belong to letters that follow), then
///   with line breaks. Other white space, and numbers, end them.
/// - *White space* itself is looked at from both sides (`\s+(?!\S)`), so there is no place behind it.
///
/// `(?!\S)` is only asked behind white space, so it never sees these places. No place is before a mark: normalisation to NFC or NFD
/// changes only what stands together with marks (or Korean letters, which are not divided).
fn divides(left: char, right: char) -> bool {
    match (kind(left), kind(right)) {
        (_, Kind::Mark) | (Kind::Letter, Kind::Letter) | (Kind::Number, Kind::Number) => false,
        (Kind::Letter, _) => right != '\'',
        (Kind::Number, _) | (Kind::Mark | Kind::Other, Kind::Number | Kind::Space) => true,
        _ => false,
    }
}

/// What decides about words.
#[derive(Clone, Debug)]
enum Words {
    /// One of the patterns of [`KNOWN`].
    Known,
    /// Something else, which is asked about each place.
    Asked(Box<PreTokenizerWrapper>),
    /// Nothing: all of a text is one word.
    One,
}

/// Where texts are cut.
#[derive(Clone, Debug)]
pub(crate) struct Cuts {
    /// Nothing is cut in these texts or beside them: added tokens, which are found before words are, and marks.
    whole: Vec<String>,
    words: Words,
    /// Text is normalised in a way that makes other classes of characters.
    changes: bool,
    piece: usize,
    longest: usize,
}

impl Cuts {
    /// For GPT-2's pattern.
    pub fn known() -> Self {
        Self { whole: Vec::new(), words: Words::Known, changes: false, piece: PIECE, longest: LONGEST }
    }

    /// For a tokenizer that does not find special tokens in text.
    ///
    /// Where its pattern is none of those in [`KNOWN`], documents are encoded as a whole up to [`UNKNOWN_PIECE`] bytes. Longer ones
    /// are cut at places of the same rule that the pre-tokenizer divides at, too, when it is shown [`SHOWN`] bytes around
    /// them: it may still be one that sees farther.
    pub fn of(inner: &tokenizers::Tokenizer) -> Self {
        let mut cuts = Self::known();
        let added = inner.get_added_tokens_decoder();
        if added.values().any(|token| !token.special) {
            // Special ones, too: the search for others goes on behind them.
            cuts.whole.extend(added.values().map(|token| token.content.clone()).filter(|text| !text.is_empty()));
            cuts.whole.sort();
        }
        cuts.changes =
            !matches!(inner.get_normalizer(), None | Some(NormalizerWrapper::NFC(_) | NormalizerWrapper::NFD(_)));
        cuts.words = match inner.get_pre_tokenizer() {
            Some(known) if is_known(known) => Words::Known,
            Some(other) => Words::Asked(Box::new(other.clone())),
            None => Words::One,
        };
        if !matches!(cuts.words, Words::Known) {
            (cuts.piece, cuts.longest) = (UNKNOWN_PIECE, UNKNOWN_PIECE);
        }
        cuts
    }

    /// The same, but it does not cut at `text` either.
    pub fn around(mut self, text: Option<&str>) -> Self {
        self.whole.extend(text.filter(|text| !text.is_empty()).map(str::to_owned));
        self
    }

    /// The same with pieces of about `piece` bytes.
    pub fn with_piece(mut self, piece: usize) -> Self {
        self.piece = piece.max(1);
        self.longest = self.longest.max(piece);
        self
    }

    /// The last place of `bytes` to cut at, neither the beginning nor the end.
    pub fn last(&self, bytes: &[u8]) -> Option<usize> {
        let mut right = None;
        let mut tries = ASKED;
        for at in (0..bytes.len()).rev() {
            // Within a character.
            if bytes[at] & 0xc0 == 0x80 {
                continue;
            }
            let left = first(&bytes[at..]);
            let place = at + left.map_or(1, char::len_utf8);
            if let (Some(left), Some(right)) = (left, right)
                && divides(left, right)
                && (!self.changes || right.is_ascii() || right.is_whitespace())
                && !self.whole.iter().any(|text| touches(bytes, place, text))
            {
                if self.divided(bytes, place) {
                    return Some(place);
                }
                tries -= 1;
                if tries == 0 {
                    return None;
                }
            }
            right = left;
        }
        None
    }

    /// The place where a block of a file ends: the last one, or, in a long run without one, the end of its last character.
    pub fn end_of_block(&self, bytes: &[u8]) -> Option<usize> {
        self.last(bytes).or_else(|| (bytes.len() >= self.longest).then(|| self.forced(bytes)))
    }

    /// The last character's beginning, or the last that no text lies over that is to stay whole.
    fn forced(&self, bytes: &[u8]) -> usize {
        let mut places = (1..bytes.len()).rev().filter(|&at| bytes[at] & 0xc0 != 0x80);
        let free = |at: &usize| !self.whole.iter().any(|text| touches(bytes, *at, text));
        let found = places.clone().take(FORCED).find(free);
        found.or_else(|| places.next()).unwrap_or(bytes.len())
    }

    /// The pieces of `text`, of about [`PIECE`] bytes, or more where there is no place to cut.
    pub fn pieces<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let mut rest = text;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let mut window = self.piece;
            let cut = loop {
                if rest.len() <= window {
                    break rest.len();
                }
                let seen = &rest.as_bytes()[..window];
                if let Some(cut) = self.last(seen) {
                    break cut;
                }
                if window >= self.longest {
                    break self.forced(seen);
                }
                window = (2 * window).min(self.longest);
            };
            let (piece, after) = rest.split_at(cut);
            rest = after;
            Some(piece)
        })
    }

    /// Whether the tokenizer, if it has to be asked, divides at a place.
    fn divided(&self, bytes: &[u8], place: usize) -> bool {
        let asked = match &self.words {
            Words::Known => return true,
            Words::One => return false,
            Words::Asked(asked) => asked,
        };
        let begins = |&at: &usize| bytes[at] & 0xc0 != 0x80;
        let from = (place.saturating_sub(SHOWN)..place).find(begins).unwrap_or(place);
        let to = (place + 1..bytes.len().min(place + SHOWN)).rev().find(begins).unwrap_or(bytes.len());
        let [left, right, whole] = [from..place, place..to, from..to]
            .map(|range| std::str::from_utf8(&bytes[range]).ok().and_then(|text| words(asked, text)));
        whole.is_some() && whole == left.zip(right).map(|(left, right)| [left, right].concat())
    }
}

/// The words of a text.
fn words(of: &PreTokenizerWrapper, text: &str) -> Option<Vec<String>> {
    let mut words = PreTokenizedString::from(text);
    of.pre_tokenize(&mut words).ok()?;
    let splits = words.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Some(splits.into_iter().map(|(word, ..)| word.to_owned()).collect())
}

/// Whether a pre-tokenizer has a known pattern. Digits may be split off before: whether that divides at a place depends on the two
/// characters there alone, so it does the same on both sides of a cut, and the rule holds for the parts.
fn is_known(pre_tokenizer: &PreTokenizerWrapper) -> bool {
    // As its file says it: the crate gives no other access to all parts.
    let Ok(value) = serde_json::to_value(pre_tokenizer) else { return false };
    let parts = match value["pretokenizers"].as_array() {
        Some(parts) => parts.as_slice(),
        None => std::slice::from_ref(&value),
    };
    let Some((last, before)) = parts.split_last() else { return false };
    let before = match before {
        [digits, before @ ..] if digits["type"] == "Digits" => before,
        before => before,
    };
    let split = |part: &serde_json::Value| {
        // Every character is of a word, so words are what is kept, one way or the other.
        let keeps = (part["behavior"].as_str(), part["invert"].as_bool());
        part["type"] == "Split"
            && matches!(keeps, (Some("Isolated"), Some(false)) | (Some("Removed"), Some(true)))
            && part["pattern"]["Regex"].as_str().is_some_and(|regex| KNOWN.contains(&regex))
    };
    // A space in front of the text would come in front of each piece.
    last["type"] == "ByteLevel"
        && last["add_prefix_space"] == false
        && match before {
            [] => last["use_regex"] != false,
            [only] => last["use_regex"] == false && split(only),
            _ => false,
        }
}

/// The first character, if it is whole.
fn first(bytes: &[u8]) -> Option<char> {
    let byte = *bytes.first()?;
    if byte < 0x80 {
        return Some(char::from(byte));
    }
    let length = (1..=bytes.len().min(4)).find(|&length| std::str::from_utf8(&bytes[..length]).is_ok())?;
    std::str::from_utf8(&bytes[..length]).ok()?.chars().next()
}

/// Whether `text` may stand at a place of `bytes`, or up to two bytes before it: it may go on behind what has been read.
fn touches(bytes: &[u8], place: usize, text: &str) -> bool {
    let near = &bytes[place.saturating_sub(text.len() + 2)..bytes.len().min(place + text.len())];
    let unknown = place + text.len() > bytes.len();
    unknown || near.windows(text.len()).any(|window| window == text.as_bytes())
}
