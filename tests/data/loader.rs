//! Batches come in the order of training, from any step on.

use hotrow::data::{Batch, Loader, Samples, order, place, steps_per_epoch};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sample `i` has the feature `i` and the label `i`; some cannot be read.
struct Numbers {
    len: usize,
    broken: Option<usize>,
    reads: AtomicUsize,
}

impl Samples for Numbers {
    fn len(&self) -> usize {
        self.len
    }
    fn features(&self) -> usize {
        self.len
    }
    fn labels(&self) -> usize {
        self.len
    }
    fn read(&self, sample: usize, batch: &mut Batch) {
        assert_ne!(Some(sample), self.broken, "broken sample");
        self.reads.fetch_add(1, Ordering::Relaxed);
        batch.features.push(&[sample as u32], &[1.0]).unwrap();
        batch.labels.push([sample as u32]);
    }
}

fn numbers(len: usize) -> Arc<Numbers> {
    Arc::new(Numbers { len, broken: None, reads: AtomicUsize::new(0) })
}

fn labels(loader: Loader) -> Vec<Vec<u32>> {
    loader.map(|batch| batch.labels.items().to_vec()).collect()
}

#[test]
fn an_epoch_has_every_sample_once_in_an_order_of_its_own() {
    let batches = labels(Loader::new(numbers(10), 7, 4, 0, 6).unwrap());
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2, 4, 4, 2]);
    let epochs = [batches[..3].concat(), batches[3..].concat()];
    assert_eq!(epochs[0], order(10, 7, 0));
    assert_eq!(epochs[1], order(10, 7, 1));
    assert_ne!(epochs[0], epochs[1]);
    assert_ne!(order(10, 7, 0), order(10, 8, 0));
}

#[test]
fn a_loader_goes_on_from_any_step_with_the_same_batches() {
    let all = labels(Loader::new(numbers(23), 3, 5, 0, 17).unwrap());
    for start in 0..=17 {
        assert_eq!(
            labels(Loader::new(numbers(23), 3, 5, start, 17).unwrap()),
            all[start as usize..],
            "from step {start}"
        );
    }
}

#[test]
fn recycled_memory_does_not_show() {
    let want = labels(Loader::new(numbers(23), 3, 5, 0, 17).unwrap());
    let mut loader = Loader::new(numbers(23), 3, 5, 0, 17).unwrap();
    let mut got = Vec::new();
    while let Some(batch) = loader.next() {
        got.push(batch.labels.items().to_vec());
        assert_eq!(batch.features.indices(), batch.labels.items());
        loader.recycle(batch);
    }
    assert_eq!(got, want);
    assert!(loader.next().is_none());
}

#[test]
fn each_order_is_drawn_equally_often() {
    // 6 orders of 3 samples, 6000 epochs: each count is binomial with deviation sqrt(6000 * 5 / 36) = 29; 5 of them.
    let mut counts = std::collections::BTreeMap::new();
    (0..6000).for_each(|epoch| *counts.entry(order(3, 1, epoch)).or_insert(0_i32) += 1);
    assert_eq!(counts.len(), 6);
    assert!(counts.values().all(|count| (count - 1000).abs() < 5 * 29), "{counts:?}");
}

#[test]
fn a_loader_that_is_dropped_early_stops_reading() {
    let samples = numbers(1000);
    let mut loader = Loader::new(Arc::clone(&samples) as Arc<dyn Samples>, 1, 10, 0, u64::MAX).unwrap();
    loader.next();
    drop(loader);
    // One taken, three waiting, one in the thread's hands.
    assert!(samples.reads.load(Ordering::Relaxed) <= 50);
    assert_eq!(Arc::strong_count(&samples), 1, "the thread has ended");
}

#[test]
#[should_panic(expected = "broken sample")]
fn a_panic_of_reading_reaches_the_caller() {
    let broken = Arc::new(Numbers { len: 10, broken: Some(3), reads: AtomicUsize::new(0) });
    Loader::new(broken, 1, 4, 0, 3).unwrap().for_each(drop);
}

#[test]
#[should_panic(expected = "0 samples in batches of 4 make no step")]
fn no_samples_make_no_loader() {
    Loader::new(numbers(0), 1, 4, 0, 3).unwrap();
}

#[test]
fn places_partition_each_epoch() {
    for (samples, batch_size) in [(1, 1), (10, 3), (9, 3), (2, 100)] {
        let steps = steps_per_epoch(samples, batch_size);
        let mut next = 0;
        for step in 5 * steps..6 * steps {
            let (epoch, range) = place(samples, batch_size, step);
            assert_eq!((epoch, range.start), (5, next));
            assert!(!range.is_empty() && range.len() <= batch_size);
            next = range.end;
        }
        assert_eq!(next, samples);
    }
}
