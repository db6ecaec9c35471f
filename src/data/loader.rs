//! Assembles batches in the order of training, ahead of the steps that need them.

use super::{Batch, Samples};
use crate::error::{Error, Result};
use crate::rng::rng;
use rand::RngExt;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{Builder, JoinHandle};

/// Batches that wait: enough for a step that takes no time after one that took two.
const AHEAD: usize = 3;

/// The epoch of step `step`, and the positions in that epoch's order that are its samples. The last batch of an epoch
/// is smaller if `batch_size` does not divide `samples`.
///
/// ```
/// // 10 samples in batches of 4: 4, 4, 2.
/// assert_eq!(hotrow::data::place(10, 4, 2), (0, 8..10));
/// assert_eq!(hotrow::data::place(10, 4, 3), (1, 0..4));
/// ```
///
/// # Panics
///
/// If `samples` or `batch_size` is 0.
#[track_caller]
pub fn place(samples: usize, batch_size: usize, step: u64) -> (u64, std::ops::Range<usize>) {
    let steps = steps_per_epoch(samples, batch_size);
    let start = (step % steps) as usize * batch_size;
    (step / steps, start..samples.min(start + batch_size))
}

/// The number of steps in a pass over all samples.
///
/// ```
/// assert_eq!(hotrow::data::steps_per_epoch(10, 4), 3);
/// ```
///
/// # Panics
///
/// If `samples` or `batch_size` is 0.
#[track_caller]
pub fn steps_per_epoch(samples: usize, batch_size: usize) -> u64 {
    assert!(samples > 0 && batch_size > 0, "{samples} samples in batches of {batch_size} make no step");
    samples.div_ceil(batch_size) as u64
}

/// The order of the samples in epoch `epoch`: a permutation that follows from the seed and the epoch alone (Fisher and
/// Yates; Knuth, volume 2, algorithm 3.4.2P).
///
/// ```
/// let mut order = hotrow::data::order(100, 7, 2);
/// assert_ne!(order, hotrow::data::order(100, 7, 3));
/// order.sort_unstable();
/// assert_eq!(order, Vec::from_iter(0..100));
/// ```
///
/// # Panics
///
/// If there are more than 2^32 samples.
#[track_caller]
pub fn order(samples: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let end = u32::try_from(samples).expect("sample numbers of 32 bits");
    let (mut order, mut rng) = (Vec::from_iter(0..end), rng(seed, "shuffle", epoch));
    for last in (1..order.len()).rev() {
        order.swap(last, rng.random_range(0..=last as u32) as usize);
    }
    order
}

/// The batches of steps `start..total`. A thread of its own assembles them, a few ahead.
///
/// A step's batch depends on the seed and the step alone. A loader that starts at step 1000 continues where another
/// stopped.
///
/// ```
/// use hotrow::data::{Batch, Loader, Samples};
/// struct Three;
/// impl Samples for Three {
///     fn len(&self) -> usize { 3 }
///     fn features(&self) -> usize { 1 }
///     fn labels(&self) -> usize { 3 }
///     fn read(&self, sample: usize, batch: &mut Batch) {
///         batch.features.push(&[0], &[1.0]).unwrap();
///         batch.labels.push([sample as u32]);
///     }
/// }
/// let mut loader = Loader::new(std::sync::Arc::new(Three), 7, 2, 0, 4)?; // two epochs
/// let mut samples = 0;
/// while let Some(batch) = loader.next() {
///     samples += batch.len();
///     loader.recycle(batch);
/// }
/// assert_eq!(samples, 6);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub struct Loader {
    /// Both are taken when the loader is dropped. That ends the thread.
    batches: Option<Receiver<Batch>>,
    used: Option<Sender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Batches of up to `batch_size` samples in the order of [`order`], for the steps from `start` (counted from 0) to
    /// `total`.
    ///
    /// # Panics
    ///
    /// If there are no samples, or `batch_size` is 0.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses a thread.
    #[track_caller]
    pub fn new(samples: Arc<dyn Samples>, seed: u64, batch_size: usize, start: u64, total: u64) -> Result<Self> {
        place(samples.len(), batch_size, start);
        let (send, batches) = sync_channel(AHEAD);
        let (used, returned) = channel::<Batch>();
        let assemble = move || {
            let (mut shuffled, mut of_epoch) = (Vec::new(), None);
            for step in start..total {
                let (epoch, range) = place(samples.len(), batch_size, step);
                if of_epoch != Some(epoch) {
                    (shuffled, of_epoch) = (order(samples.len(), seed, epoch), Some(epoch));
                }
                let mut batch = returned.try_recv().unwrap_or_else(|_| Batch::new(samples.features()));
                batch.clear();
                shuffled[range].iter().for_each(|&sample| samples.read(sample as usize, &mut batch));
                if send.send(batch).is_err() {
                    return;
                }
            }
        };
        let thread =
            Builder::new().name("loader".to_owned()).spawn(assemble).map_err(Error::io("a thread to load batches"))?;
        Ok(Self { batches: Some(batches), used: Some(used), thread: Some(thread) })
    }

    /// Gives a batch back, so that its memory is used again.
    ///
    /// # Panics
    ///
    /// If its feature vectors have another length than this loader's. It panics when the batch is used again.
    pub fn recycle(&mut self, batch: Batch) {
        // Nobody takes it after the last step.
        let _ = self.used.as_ref().expect("taken in drop only").send(batch);
    }
}

impl Iterator for Loader {
    type Item = Batch;

    /// The next step's batch.
    ///
    /// # Panics
    ///
    /// With the panic of the loading thread, if a sample could not be read.
    fn next(&mut self) -> Option<Batch> {
        let batch = self.batches.as_ref().expect("taken in drop only").recv().ok();
        if batch.is_none()
            && let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            resume_unwind(panic);
        }
        batch
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.batches = None;
        self.used = None;
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, belongs to a batch that nobody asked for.
            let _ = thread.join();
        }
    }
}
