//! The alphabet of byte-level BPE, and bytes that become text while they are still coming in.

/// The character that stands for each byte in the tokens of byte-level BPE (Radford et al. 2019): itself where it is visible,
/// one from U+0100 on where it is not.
pub(super) fn characters() -> [char; 256] {
    let mut invisible = 0x100..;
    std::array::from_fn(|byte| {
        let visible = matches!(byte as u8, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let code = if visible { Some(byte as u32) } else { invisible.next() };
        code.and_then(char::from_u32).expect("far below the surrogates")
    })
}

/// The bytes that `token` stands for, unless it has a character that stands for none.
pub(super) fn bytes_of(token: &str, characters: &[char; 256]) -> Option<Vec<u8>> {
    let byte = |c| characters.iter().position(|&other| other == c).map(|byte| byte as u8);
    token.chars().map(byte).collect()
}

/// Text out of bytes that come in pieces: a character is given out when its last byte is there.
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
    /// The text that is complete with `bytes`.
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

    /// What is left at the end: half a character, replaced.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.waiting)).into_owned()
    }
}

/// Whether more bytes could make a character of these.
fn unfinished(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
