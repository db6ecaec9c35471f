//! Memory that a thread keeps between pieces of work.

use std::cell::Cell;
use std::thread::LocalKey;

/// Lends a thread's memory to `work`, with its last contents, and keeps it for the next piece.
///
/// The memory is taken out meanwhile. A piece that waits for other threads may be handed another piece of the same
/// kind. That one then begins with fresh memory instead of finding this one in use.
pub(crate) fn lend<T: Default, R>(memory: &'static LocalKey<Cell<T>>, work: impl FnOnce(&mut T) -> R) -> R {
    let mut own = memory.take();
    let result = work(&mut own);
    memory.set(own);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static MEMORY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }

    #[test]
    fn work_within_work_has_memory_of_its_own_and_the_outer_ones_is_kept() {
        lend(&MEMORY, |outer| {
            outer.push(1);
            lend(&MEMORY, |inner| {
                assert!(inner.is_empty());
                inner.push(2);
            });
            assert_eq!(outer, &[1]);
        });
        lend(&MEMORY, |again| assert_eq!(again, &[1]));
    }
}
