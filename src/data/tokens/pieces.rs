//! Cutting text where its tokens are cut anyway, so that pieces can be encoded one by one.

/// Bytes of a piece: small enough for its working memory to stay in the cache, large enough for calls to cost nothing.
const PIECE: usize = 1 << 14;

/// The last place in front of a line break that something visible follows.
///
/// GPT-2's pattern (`\s+(?!\S)|\s+`) divides white space there: all of a run but its last character is one word, and that
/// last one, if no space, is another. So the words on both sides are those of the whole text. Other patterns may keep a few line
/// breaks together that are cut here, one in many thousand bytes.
pub(super) fn last_cut(bytes: &[u8]) -> Option<usize> {
    let breaks = bytes.iter().enumerate().rev().filter(|&(_, &byte)| byte == b'\n');
    breaks.map(|(at, _)| at).find(|&at| visible(&bytes[at + 1..]))
}

/// Whether the first character is there and is no white space.
fn visible(bytes: &[u8]) -> bool {
    let first = (1..=bytes.len().min(4)).find_map(|length| std::str::from_utf8(&bytes[..length]).ok());
    first.and_then(|text| text.chars().next()).is_some_and(|first| !first.is_whitespace())
}

/// The pieces of `text`, of about [`PIECE`] bytes, or more where there is no place to cut.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut window = PIECE;
        let cut = loop {
            let seen = &rest.as_bytes()[..window.min(rest.len())];
            if seen.len() == rest.len() {
                break rest.len();
            }
            if let Some(cut) = last_cut(seen).filter(|&cut| cut > 0) {
                break cut;
            }
            window *= 2;
        };
        let (piece, after) = rest.split_at(cut);
        rest = after;
        Some(piece)
    })
}
