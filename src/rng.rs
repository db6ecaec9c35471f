//! Random numbers as a function of a seed, a purpose and a counter. So there is no state to save and nothing to share
//! between threads, and step 1000 can be drawn without the 999 before it.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use xxhash_rust::xxh3::xxh3_64;

/// The generator for one purpose (`"init/output"`, `"tail"`) at one point of a run (a step, an epoch, a row).
///
/// ```
/// use rand::RngExt;
/// let draw = |purpose, step| hotrow::rng::rng(7, purpose, step).random::<u64>();
/// assert_eq!(draw("tail", 3), draw("tail", 3));
/// assert_ne!(draw("tail", 3), draw("tail", 4));
/// assert_ne!(draw("tail", 3), draw("shuffle", 3));
/// ```
pub fn rng(seed: u64, purpose: &str, counter: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&xxh3_64(purpose.as_bytes()).to_le_bytes());
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(counter);
    rng
}
