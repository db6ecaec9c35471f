//! What can be wrong with index lists that come from outside.

/// An index list was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// An index reaches past the end.
    #[error("position {position}: index {index} is not below {limit}")]
    OutOfRange {
        /// Where in the list.
        position: usize,
        /// What stands there.
        index: u32,
        /// The first index that is too large.
        limit: usize,
    },
    /// The list must be strictly increasing (so: sorted, without duplicates).
    #[error(
        "position {position}: index {index} does not exceed {previous} before it: indices are to be sorted, none twice"
    )]
    NotIncreasing {
        /// Where in the list.
        position: usize,
        /// What stands there.
        index: u32,
        /// What stands before it.
        previous: u32,
    },
    /// Two parallel lists differ in length.
    #[error("{left} has {left_len} elements, {right} has {right_len}")]
    LengthMismatch {
        /// The first list.
        left: &'static str,
        /// Its length.
        left_len: usize,
        /// The second list.
        right: &'static str,
        /// Its length.
        right_len: usize,
    },
    /// Offsets must start at 0, never decrease, and end at the number of items.
    #[error("offset {position} is {offset}: offsets start at 0, never decrease and end at {items}")]
    BadOffset {
        /// Which offset.
        position: usize,
        /// Its value.
        offset: u32,
        /// The number of items.
        items: usize,
    },
}
