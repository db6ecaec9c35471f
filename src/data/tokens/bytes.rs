//! The alphabet of byte-level BPE, and UTF-8 decoding of a stream.

/// The character for each byte in the tokens of byte-level BPE (Radford et al. 2019): the byte itself if visible, else
/// a character from U+0100 on.
pub(super) fn characters() -> [char; 256] {
    let mut invisible = 0x100..;
    std::array::from_fn(|byte| {
        let visible = matches!(byte as u8, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let code = if visible { Some(byte as u32) } else { invisible.next() };
        code.and_then(char::from_u32).expect("far below the surrogates")
    })
}

/// The bytes of `token`; `None` if one of its characters stands for no byte.
pub(super) fn bytes_of(token: &str, characters: &[char; 256]) -> Option<Vec<u8>> {
    let byte = |c| characters.iter().position(|&other| other == c).map(|byte| byte as u8);
    token.chars().map(byte).collect()
}

/// Decodes UTF-8 that comes in pieces. A character is returned with its last byte.
///
/// ```
/// let mut stream = hotrow::data::tokens::Utf8Stream::default();
/// assert_eq!(stream.push(b"h\xc3"), "h");
/// assert_eq!(stream.push(b"\xa9"), "é");
/// assert_eq!(stream.push(b"\xff!"), "\u{fffd}!"); // no text: replaced at once
/// assert_eq!(stream.push(b"\xe2\x82"), "");
/// assert_eq!(stream.finish(), "\u{fffd}");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Utf8Stream {
    waiting: Vec<u8>,
}

impl Utf8Stream {
    /// The text that `bytes` completes.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.waiting.extend_from_slice(bytes);
        let mut text = String::new();
        let mut kept = 0;
        for chunk in self.waiting.utf8_chunks() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            let at_end = kept + chunk.valid().len() + invalid.len() == self.waiting.len();
            kept += chunk.valid().len();
            if invalid.is_empty() || (at_end && unfinished(invalid)) {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            kept += invalid.len();
        }
        self.waiting.drain(..kept);
        text
    }

    /// The replacement of an incomplete character at the end.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.waiting)).into_owned()
    }
}

/// Whether more bytes could complete a character.
fn unfinished(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
