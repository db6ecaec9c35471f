//! Empty codes borrow from others: optimal densification (Shrivastava 2017).

use super::random::{below, mix};

/// A code without any coordinate; codes stay below 2^31.
pub const EMPTY: u32 = u32::MAX;

/// Marks a code as borrowed while others are still looking for a lender.
const BORROWED: u32 = 1 << 31;

/// Random attempts before the walk to the next lender, which ends however few there are.
const ATTEMPTS: u64 = 64;

/// Gives each [`EMPTY`] code the code of a non-empty one, found by a random probe sequence that depends on the number
/// of the code and `seed` alone: two vectors whose lenders agree then agree here too. All empty: all 0.
#[inline(always)]
pub fn fill_empty(codes: &mut [u32], seed: u64) {
    if codes.iter().all(|&code| code == EMPTY) {
        return codes.fill(0);
    }
    for borrower in 0..codes.len() {
        if codes[borrower] == EMPTY {
            codes[borrower] = lender(codes, borrower as u64, seed) | BORROWED;
        }
    }
    codes.iter_mut().for_each(|code| *code &= !BORROWED);
}

/// The code of the first of the probe sequence that is not empty. There is one.
#[inline(always)]
fn lender(codes: &[u32], borrower: u64, seed: u64) -> u32 {
    let probe = |attempt| below(mix(seed ^ mix(borrower << 32 | attempt)), codes.len());
    let random = (0..ATTEMPTS).map(|attempt| codes[probe(attempt)]);
    let walk = codes.iter().cycle().skip(probe(ATTEMPTS)).copied();
    random.chain(walk.take(codes.len())).find(|&code| code < BORROWED).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_codes_take_the_code_of_any_lender_and_the_others_stay() {
        let mut counts = [0_u32; 3];
        for seed in 0..1000 {
            let mut codes = vec![EMPTY; 300];
            (codes[7], codes[100], codes[299]) = (0, 1, 2);
            fill_empty(&mut codes, seed);
            assert_eq!((codes[7], codes[100], codes[299]), (0, 1, 2));
            counts[codes[0] as usize] += 1;
        }
        // Binomial with p = 1/3 but for the walk, which ends (297/300)^64 = 53 % of the searches: it finds 7 from 300..=7,
        // 100 from 8..=100 and 299 from the rest, so the shares are .47 / 3 + .53 * (8, 93, 199) / 300. Six standard
        // deviations of a count of 1000 are at most 95.
        for (count, share) in counts.into_iter().zip([0.171, 0.321, 0.508]) {
            assert!((count as f64 - 1000.0 * share).abs() < 95.0, "{counts:?}");
        }
    }

    #[test]
    fn all_empty_is_all_zero() {
        let mut codes = [EMPTY; 5];
        fill_empty(&mut codes, 3);
        assert_eq!(codes, [0; 5]);
        fill_empty(&mut [], 3);
    }
}
