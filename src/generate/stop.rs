//! Finds stop texts while the text is still coming.

/// Holds back text that could be the beginning of a stop text.
#[derive(Debug)]
pub(super) struct Stop<'a> {
    texts: &'a [String],
    held: String,
}

impl<'a> Stop<'a> {
    /// Empty stop texts are ignored.
    pub fn new(texts: &'a [String]) -> Self {
        Self { texts, held: String::new() }
    }

    /// Takes more text. Returns what can be given out now, and whether a stop text ended it.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        self.held += text;
        let found = self.texts.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| self.held.find(stop.as_str()));
        if let Some(at) = found.min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let could_begin = |at: &usize| self.texts.iter().any(|stop| stop.starts_with(&self.held[*at..]));
        let places = self.held.char_indices().map(|(at, _)| at);
        let kept = places.into_iter().find(could_begin).unwrap_or(self.held.len());
        let rest = self.held.split_off(kept);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back and began no stop text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}
