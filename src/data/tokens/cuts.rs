//! Finds places to cut any text so that the tokens of the parts are those of the whole.

use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};

use super::classes::{Kind, kind};

/// Bytes of a piece. Its working memory stays in the cache, and calls cost nothing beside it. Encoding takes up to two
/// hundred bytes of memory for each byte of a piece.
const PIECE: usize = 1 << 14;

/// Bytes of a piece if the pattern is unknown. Most documents then are one piece; a thread needs 50 MB.
const UNKNOWN_PIECE: usize = 1 << 18;

/// A run of characters without a place to cut is cut after this many bytes. No language has such words, and rulers and
/// encoded pictures are mostly shorter. Without a limit, memory would grow with the text.
const LONGEST: usize = 1 << 16;

/// Bytes on both sides of a place that the tokenizer sees, if its pattern is unknown.
const SHOWN: usize = 512;

/// Places to ask the tokenizer about before a text is cut at a wrong one.
const ASKED: usize = 64;

/// Characters among which a run is cut, so that no mark is separated.
const FORCED: usize = 1024;

/// Patterns that the rule of [`divides`] was proved for, beside those of `ByteLevel`: those of GPT-2; of GPT-4 (cl100k)
/// and Llama 3, with a newer spelling; of Qwen 2; of GPT-4o (o200k).
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

/// Whether every pattern of [`KNOWN`] ends a word between `left` and `right`, and finds the same words before that
/// place if the text ends there.
///
/// The words of a text are the successive matches of a pattern, and no pattern looks back. So two conditions are
/// enough. No alternative takes `left` and `right` together, and none changes if the text ends in place of `right`:
///
/// - *After a letter*, alternatives continue with letters only (GPT-4o's also with marks or an apostrophe). Anything
///   else ends the run of letters as the end of the text does.
/// - *After a number*, they continue with numbers only. Groups of three count from the beginning of the run.
/// - *After anything else but white space*, they continue with the same (one sign may belong to letters that follow),
///   then with line breaks. Other white space, and numbers, end them.
/// - *White space* is matched with a look-ahead (`\s+(?!\S)`), so no place follows it.
///
/// `(?!\S)` is tried after white space only, so it never sees these places. No place is before a mark, because NFC and
/// NFD change only what stands with marks, or Korean letters, which are not divided.
fn divides(left: char, right: char) -> bool {
    match (kind(left), kind(right)) {
        (_, Kind::Mark) | (Kind::Letter, Kind::Letter) | (Kind::Number, Kind::Number) => false,
        (Kind::Letter, _) => right != '\'',
        (Kind::Number, _) | (Kind::Mark | Kind::Other, Kind::Number | Kind::Space) => true,
        _ => false,
    }
}

/// What divides a text into words.
#[derive(Clone, Debug)]
enum Words {
    /// A pattern of [`KNOWN`].
    Known,
    /// Something else. It is asked about each place.
    Asked(Box<PreTokenizerWrapper>),
    /// Nothing: the whole text is one word.
    One,
}

/// Where a tokenizer's texts can be cut.
#[derive(Clone, Debug)]
pub(crate) struct Cuts {
    /// Texts that are not cut, inside or at either end: marks, and added tokens, which are found before words.
    whole: Vec<String>,
    words: Words,
    /// Whether normalisation changes the classes of characters.
    changes: bool,
    piece: usize,
    longest: usize,
}

impl Cuts {
    /// The cuts of GPT-2's pattern.
    pub fn known() -> Self {
        Self { whole: Vec::new(), words: Words::Known, changes: false, piece: PIECE, longest: LONGEST }
    }

    /// The cuts of a tokenizer that does not find special tokens in text.
    ///
    /// If its pattern is not in [`KNOWN`], documents of up to [`UNKNOWN_PIECE`] bytes are encoded whole. Longer ones
    /// are cut at places of the same rule where the pre-tokenizer also divides, given [`SHOWN`] bytes on both sides. A
    /// pre-tokenizer that looks farther may still disagree.
    pub fn of(inner: &tokenizers::Tokenizer) -> Self {
        let mut cuts = Self::known();
        let added = inner.get_added_tokens_decoder();
        if added.values().any(|token| !token.special) {
            // Special ones too: the search for others continues after them.
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

    /// The same, but never cutting at `text`.
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

    /// The last place to cut `bytes`, other than its beginning and end.
    pub fn last(&self, bytes: &[u8]) -> Option<usize> {
        let mut right = None;
        let mut tries = ASKED;
        for at in (0..bytes.len()).rev() {
            // Inside a character.
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

    /// The end of a block of a file: the last place, or in a long run without one, the end of its last character.
    pub fn end_of_block(&self, bytes: &[u8]) -> Option<usize> {
        self.last(bytes).or_else(|| (bytes.len() >= self.longest).then(|| self.forced(bytes)))
    }

    /// The beginning of the last character, or of an earlier one so that no text of `whole` is cut.
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

    /// Whether the tokenizer divides at a place. A known pattern always does.
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

/// Whether a pre-tokenizer has a known pattern. It may split off digits first. That split depends on the two characters
/// at a place alone, so it is the same on both sides of a cut.
fn is_known(pre_tokenizer: &PreTokenizerWrapper) -> bool {
    // Through its file form: the crate gives no other access to all parts.
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
        // Every character belongs to a word, so both ways keep the words.
        let keeps = (part["behavior"].as_str(), part["invert"].as_bool());
        part["type"] == "Split"
            && matches!(keeps, (Some("Isolated"), Some(false)) | (Some("Removed"), Some(true)))
            && part["pattern"]["Regex"].as_str().is_some_and(|regex| KNOWN.contains(&regex))
    };
    // A space before the text would come before each piece.
    last["type"] == "ByteLevel"
        && last["add_prefix_space"] == false
        && match before {
            [] => last["use_regex"] != false,
            [only] => last["use_regex"] == false && split(only),
            _ => false,
        }
}

/// The first character, if it is complete.
fn first(bytes: &[u8]) -> Option<char> {
    let byte = *bytes.first()?;
    if byte < 0x80 {
        return Some(char::from(byte));
    }
    let length = (1..=bytes.len().min(4)).find(|&length| std::str::from_utf8(&bytes[..length]).is_ok())?;
    std::str::from_utf8(&bytes[..length]).ok()?.chars().next()
}

/// Whether `text` may stand at a position of `bytes`, or up to two bytes before it. It may continue after `bytes`.
fn touches(bytes: &[u8], place: usize, text: &str) -> bool {
    let near = &bytes[place.saturating_sub(text.len() + 2)..bytes.len().min(place + text.len())];
    let unknown = place + text.len() > bytes.len();
    unknown || near.windows(text.len()).any(|window| window == text.as_bytes())
}
