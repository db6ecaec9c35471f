//! Rows of different lengths: a batch, the active sets of a batch, the buckets of a hash table.
//!
//! ```text
//! offsets  0     2  2        5
//! items    a  b  |  c  d  e          row 0 = a b, row 1 is empty, row 2 = c d e
//! ```

/// Rows of different lengths, one after the other.
///
/// ```
/// use hotrow::ragged::Ragged;
/// let mut rows = Ragged::new();
/// rows.push([1, 2]);
/// rows.push([]);
/// assert_eq!((rows.len(), rows.row(0)), (2, &[1, 2][..]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ragged<T> {
    offsets: Vec<usize>,
    items: Vec<T>,
}

impl<T> Default for Ragged<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Ragged<T> {
    /// No rows.
    ///
    /// ```
    /// assert!(hotrow::ragged::Ragged::<u32>::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Self { offsets: vec![0], items: Vec::new() }
    }

    /// The rows `items[offsets[r]..offsets[r + 1]]`. `None` if the offsets do not start at 0, do not increase, or do
    /// not end at the number of items.
    ///
    /// ```
    /// use hotrow::ragged::Ragged;
    /// assert_eq!(Ragged::from_parts(vec![0, 1], vec![7]).unwrap().row(0), &[7]);
    /// assert!(Ragged::from_parts(vec![0, 2], vec![7]).is_none());
    /// ```
    pub fn from_parts(offsets: Vec<usize>, items: Vec<T>) -> Option<Self> {
        let right = offsets.first() == Some(&0) && offsets.last() == Some(&items.len()) && offsets.is_sorted();
        right.then_some(Self { offsets, items })
    }

    /// Number of rows.
    ///
    /// ```
    /// assert_eq!(hotrow::ragged::Ragged::<u32>::new().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there are no rows.
    ///
    /// ```
    /// assert!(hotrow::ragged::Ragged::<u32>::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row `r`.
    ///
    /// # Panics
    ///
    /// If `r` is not below the number of rows.
    ///
    /// ```
    /// let rows: hotrow::ragged::Ragged<u32> = [vec![1], vec![2, 3]].into_iter().collect();
    /// assert_eq!(rows.row(1), &[2, 3]);
    /// ```
    #[track_caller]
    pub fn row(&self, r: usize) -> &[T] {
        &self.items[self.offsets[r]..self.offsets[r + 1]]
    }

    /// The items of all rows, in order.
    ///
    /// ```
    /// let rows: hotrow::ragged::Ragged<u32> = [vec![1], vec![2, 3]].into_iter().collect();
    /// assert_eq!(rows.items(), &[1, 2, 3]);
    /// ```
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// Where each row begins, and where the last one ends.
    ///
    /// ```
    /// let rows: hotrow::ragged::Ragged<u32> = [vec![1], vec![2, 3]].into_iter().collect();
    /// assert_eq!(rows.offsets(), &[0, 1, 3]);
    /// ```
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The rows.
    ///
    /// ```
    /// let rows: hotrow::ragged::Ragged<u32> = [vec![1], vec![2, 3]].into_iter().collect();
    /// assert_eq!(rows.iter().map(<[u32]>::len).max(), Some(2));
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[T]> + Clone {
        self.offsets.windows(2).map(|range| &self.items[range[0]..range[1]])
    }

    /// Adds a row.
    ///
    /// ```
    /// let mut rows = hotrow::ragged::Ragged::new();
    /// rows.push([3, 4]);
    /// assert_eq!(rows.items(), &[3, 4]);
    /// ```
    pub fn push(&mut self, row: impl IntoIterator<Item = T>) {
        self.items.extend(row);
        self.offsets.push(self.items.len());
    }

    /// Removes all rows and keeps the memory.
    ///
    /// ```
    /// let mut rows = hotrow::ragged::Ragged::from_iter([vec![1]]);
    /// rows.clear();
    /// assert!(rows.is_empty());
    /// ```
    pub fn clear(&mut self) {
        self.offsets.truncate(1);
        self.items.clear();
    }
}

impl<T: Copy + Default> Ragged<T> {
    /// Groups `items` into `rows` rows by `key`. This counting sort keeps the order within a row.
    ///
    /// # Panics
    ///
    /// If a key is not below `rows`.
    ///
    /// ```
    /// use hotrow::ragged::Ragged;
    /// let parity = Ragged::group(2, &[5, 2, 9, 4], |&x| x % 2);
    /// assert_eq!((parity.row(0), parity.row(1)), (&[2, 4][..], &[5, 9][..]));
    /// ```
    #[track_caller]
    pub fn group(rows: usize, items: &[T], key: impl Fn(&T) -> usize) -> Self {
        let mut offsets = vec![0; rows + 1];
        for item in items {
            offsets[key(item) + 1] += 1;
        }
        for r in 0..rows {
            offsets[r + 1] += offsets[r];
        }
        let mut next = offsets.clone();
        let mut grouped = vec![T::default(); items.len()];
        for item in items {
            let place = &mut next[key(item)];
            grouped[*place] = *item;
            *place += 1;
        }
        Self { offsets, items: grouped }
    }
}

/// The rows that each of `columns` is in, of rows of columns with `entries` in all.
pub(crate) fn transposed<'a>(
    rows: impl Iterator<Item = &'a [u32]> + Clone,
    columns: usize,
    entries: usize,
) -> Ragged<u32> {
    let mut offsets = vec![0; columns + 1];
    rows.clone().flatten().for_each(|&column| offsets[column as usize + 1] += 1);
    (0..columns).for_each(|column| offsets[column + 1] += offsets[column]);
    let (mut next, mut ids) = (offsets.clone(), vec![0; entries]);
    for (row, columns) in rows.enumerate() {
        for &column in columns {
            ids[next[column as usize]] = row as u32;
            next[column as usize] += 1;
        }
    }
    Ragged::from_parts(offsets, ids).expect("places of a counting sort")
}

impl<T, R: IntoIterator<Item = T>> FromIterator<R> for Ragged<T> {
    fn from_iter<I: IntoIterator<Item = R>>(rows: I) -> Self {
        let mut ragged = Self::new();
        rows.into_iter().for_each(|row| ragged.push(row));
        ragged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        for offsets in [vec![], vec![1, 2], vec![0, 1], vec![0, 2, 1, 2], vec![0, 3]] {
            assert!(Ragged::from_parts(offsets.clone(), vec![0_u8; 2]).is_none(), "{offsets:?}");
        }
        assert!(Ragged::from_parts(vec![0, 0, 2], vec![0_u8; 2]).is_some());
    }

    proptest! {
        #[test]
        fn grouping_keeps_every_item_in_order(items in prop::collection::vec((0_usize..7, 0_u32..100), 0..200)) {
            let grouped = Ragged::group(7, &items, |item| item.0);
            prop_assert_eq!(grouped.len(), 7);
            for row in 0..7 {
                let want: Vec<_> = items.iter().copied().filter(|item| item.0 == row).collect();
                prop_assert_eq!(grouped.row(row), want);
            }
        }
    }
}
