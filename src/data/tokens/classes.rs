//! The character classes in the patterns of tokenizers.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// First and last characters, increasing.
type Ranges = Vec<(char, char)>;

/// The class that a pattern sees in a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `\p{L}`
    Letter,
    /// `\p{M}`
    Mark,
    /// `\p{N}`
    Number,
    /// `[\r\n]`
    Break,
    /// Any other `\s`.
    Space,
    /// Everything else.
    Other,
}

/// The class of a character, by the tables of the pattern's own engine: other versions of Unicode have other letters.
pub(super) fn kind(c: char) -> Kind {
    static TABLES: LazyLock<[(Kind, Ranges); 3]> = LazyLock::new(|| {
        [(Kind::Letter, r"\p{L}"), (Kind::Mark, r"\p{M}"), (Kind::Number, r"\p{N}")]
            .map(|(kind, of)| (kind, ranges(of)))
    });
    match c {
        'a'..='z' | 'A'..='Z' => Kind::Letter,
        '0'..='9' => Kind::Number,
        '\r' | '\n' => Kind::Break,
        // `\s` is this property. Unicode adds nothing to it any more.
        _ if c.is_whitespace() => Kind::Space,
        _ if c.is_ascii() => Kind::Other,
        _ => TABLES.iter().find(|(_, ranges)| holds(ranges, c)).map_or(Kind::Other, |&(kind, _)| kind),
    }
}

fn holds(ranges: &[(char, char)], c: char) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= c);
    after > 0 && c <= ranges[after - 1].1
}

/// The characters of a class, in order.
fn ranges(class: &str) -> Vec<(char, char)> {
    match regex_syntax::parse(class).map(|hir| hir.into_kind()) {
        Ok(HirKind::Class(Class::Unicode(class))) => class.iter().map(|range| (range.start(), range.end())).collect(),
        other => unreachable!("a class of characters is {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_of_the_class_that_unicode_gives_them() {
        let of = |kind: Kind, text: &str| text.chars().for_each(|c| assert_eq!(super::kind(c), kind, "{c:?}"));
        of(Kind::Letter, "azÀé日かㄱ\u{1100}ªʰ\u{1e900}");
        of(Kind::Mark, "\u{301}\u{93e}\u{20dd}");
        of(Kind::Number, "09²½Ⅷ٣①");
        of(Kind::Break, "\r\n");
        of(Kind::Space, " \t\u{b}\u{85}\u{a0}\u{2028}\u{3000}");
        of(Kind::Other, "'_$。\u{1f600}\u{200b}\0\u{10ffff}");
    }
}
