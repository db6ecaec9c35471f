//! What Adam would have done to a row in the steps that it slept through, in closed form.
//!
//! Without a gradient the moments decay by `beta1` and `beta2` a step, and the weight keeps moving along the first one. After step
//! `t` of a row with moments `m` and `v`, sleep step `j` = 1, 2, .. multiplies the weight by `q = 1 - lr * weight_decay` and then
//! subtracts
//!
//! ```text
//! lr * m beta1^j / (1 - beta1^(t+j)) / (sqrt(v) r_j + eps),   r_j = sqrt(beta2^j / (1 - beta2^(t+j)))
//!   = lr * beta1^j / ((1 - beta1^(t+j)) r_j) * m / (sqrt(v) + eps / r_j)
//! ```
//!
//! Where `eps / r_j` is put to its value at `j` = 1, the only thing that differs between the elements of a row stands outside the
//! sum over `j`: `k` steps multiply the weight by `q^k` and subtract `movement * m / (sqrt(v) + eps / r_1)`. That is exact for one
//! step; later terms become larger by a share of `(r_1 / r_j - 1) eps / (r_1 sqrt(v) + eps)`. It is small where `eps` is small against
//! `sqrt(v)`, and `r_j` falls slowly (by `sqrt(beta2)` a step once `t` is large) against the terms (by `beta1 / sqrt(beta2)`).

use super::Adam;

/// `base^n` by squaring: the same bits everywhere, which `powi` does not promise.
#[inline(always)]
pub(super) fn power(base: f64, n: u32) -> f64 {
    num_traits::pow(base, n as usize)
}

/// Terms are added until one is below this share of the first, bias corrections aside. The sum being geometric, what is left out is
/// about this share of it. For `beta1` 0.9 and `beta2` 0.999 that takes 166 terms.
const NEGLIGIBLE: f64 = 1.0 / (1 << 25) as f64;

/// What is computed once for all rows of a call.
#[derive(Clone, Copy)]
pub(super) struct Sleep {
    beta1: f64,
    beta2: f64,
    lr: f64,
    eps: f64,
    /// `1 - lr * weight_decay`
    decay: f64,
    /// What a term of the sum is of the one before, bias corrections aside.
    ratio: f64,
    terms: u32,
}

/// What `k` sleep steps do: `w = decay w - movement * m / (sqrt(v) + eps)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slept {
    pub decay: f32,
    pub movement: f32,
    pub eps: f32,
}

impl Sleep {
    pub fn new(params: &Adam) -> Self {
        let (beta1, beta2, lr) = (params.beta1 as f64, params.beta2 as f64, params.lr as f64);
        let ratio = beta1 / beta2.sqrt();
        let terms = if ratio > 0.0 { (NEGLIGIBLE.ln() / ratio.ln()).ceil() as u32 } else { 0 };
        // The factor of a step as a step has it, rounding included.
        let decay = (1.0 - params.lr * params.weight_decay) as f64;
        Self { beta1, beta2, lr, eps: params.eps as f64, decay, ratio, terms }
    }

    /// What `steps` steps keep of the first and of the second moment.
    #[inline(always)]
    pub fn kept(&self, steps: u32) -> (f32, f32) {
        (power(self.beta1, steps) as f32, power(self.beta2, steps) as f32)
    }

    /// `steps` of sleep after step `last`.
    #[inline(always)]
    pub fn slept(&self, last: u32, steps: u32) -> Slept {
        let terms = steps.min(self.terms);
        let rest = power(self.decay, steps - terms);
        let root = (self.beta2 / (1.0 - power(self.beta2, last + 1))).sqrt();
        Slept {
            decay: (rest * power(self.decay, terms)) as f32,
            movement: (self.lr * rest * self.sum(last, terms)) as f32,
            eps: (self.eps / root) as f32,
        }
    }

    /// `sum_{j=1..n} decay^(n-j) ratio^j sqrt(1 - beta2^(last+j)) / (1 - beta1^(last+j))`.
    ///
    /// Eight terms side by side in a fixed order: it compiles to vectors of any width, and has the same bits on each.
    #[inline(always)]
    fn sum(&self, last: u32, n: u32) -> f64 {
        const SIDE: usize = 8;
        let (mut power1, mut power2) = ([0.0; SIDE], [0.0; SIDE]);
        let (mut weight, mut decays) = ([0.0; SIDE], [0.0; SIDE]);
        let (mut at1, mut at2) = (power(self.beta1, last), power(self.beta2, last));
        let (mut at, mut decay) = (1.0, 1.0);
        for i in 0..SIDE {
            (at1, at2, at) = (at1 * self.beta1, at2 * self.beta2, at * self.ratio);
            (power1[i], power2[i], weight[i], decays[SIDE - 1 - i]) = (at1, at2, at, decay);
            decay *= self.decay;
        }
        let (by1, by2, by) = (power(self.beta1, 8), power(self.beta2, 8), at);
        let mut sums = [0.0; SIDE];
        for _ in 0..n as usize / SIDE {
            for i in 0..SIDE {
                let term = weight[i] * ((1.0 - power2[i]).sqrt() / (1.0 - power1[i]));
                sums[i] = sums[i] * decay + decays[i] * term;
                (power1[i], power2[i], weight[i]) = (power1[i] * by1, power2[i] * by2, weight[i] * by);
            }
        }
        let mut sum: f64 = sums.iter().sum();
        for i in 0..n as usize % SIDE {
            sum = sum * self.decay + weight[i] * ((1.0 - power2[i]).sqrt() / (1.0 - power1[i]));
        }
        sum
    }
}
