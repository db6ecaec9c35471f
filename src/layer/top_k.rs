//! The rows with the largest scores, exactly: every row is computed.

use rayon::prelude::*;

use super::Workspace;
use super::linear::Linear;
use super::pack::SAMPLES;
use crate::kernels::gemm::Precision;
use crate::kernels::reduce::top_k;
use crate::kernels::{MatMut, MatRef, UniqueRowIds};
use crate::optim::RowSet;

/// Rows whose scores are kept at a time.
const ROWS: usize = 8192;

/// The best rows of each sample, best first.
#[derive(Clone, Debug, PartialEq)]
pub struct TopK {
    /// How many of each sample.
    pub k: usize,
    /// (samples, k).
    pub ids: Vec<u32>,
    /// (samples, k).
    pub scores: Vec<f32>,
}

impl Linear {
    /// The `k` rows with the largest `<W[row], x> + b[row]` for each of `x` (B, D); fewer if there are fewer rows. Among equal
    /// scores the lower row comes first.
    ///
    /// ```
    /// use hotrow::{config::{Optim, Storage}, layer::{Linear, Workspace}, optim::Scope};
    /// use hotrow::kernels::{Level, MatRef};
    /// let layer = Linear::new(&Scope::fresh(&Optim::default(), 1, Level::detect()), 10, 4, Storage::F32)?;
    /// let best = layer.top_k(&mut Workspace::new(Level::detect()), MatRef::new(&[1.0; 4], 1, 4), 3);
    /// assert!(best.scores.is_sorted_by(|a, b| a >= b));
    /// # Ok::<(), hotrow::error::Error>(())
    /// ```
    pub fn top_k(&self, work: &mut Workspace, x: MatRef<f32>, k: usize) -> TopK {
        let (samples, k) = (x.rows(), k.min(self.rows()));
        let mut best = TopK { k, ids: vec![0; samples * k], scores: vec![f32::NEG_INFINITY; samples * k] };
        if samples * k == 0 {
            return best;
        }
        let mut z = vec![0.0; samples * ROWS.min(self.rows())];
        let rows: Vec<u32> = (0..self.rows() as u32).collect();
        for from in (0..self.rows()).step_by(ROWS) {
            let to = self.rows().min(from + ROWS);
            let width = to - from;
            let some = UniqueRowIds::new(&rows[from..to], self.rows()).expect("rows of the layer");
            let out = MatMut::new(&mut z[..samples * width], samples, width);
            self.forward_at(Precision::F32, work, x, RowSet::Some(some), out);
            let chunks = best.ids.par_chunks_mut(SAMPLES * k).zip(best.scores.par_chunks_mut(SAMPLES * k));
            chunks.zip(z[..samples * width].par_chunks(SAMPLES * width)).for_each(|((ids, scores), z)| {
                let (mut new, mut values) = (vec![0; k], vec![0.0; k]);
                for ((ids, scores), z) in ids.chunks_mut(k).zip(scores.chunks_mut(k)).zip(z.chunks(width)) {
                    let found = top_k(work.level, z, &mut new, &mut values);
                    // What is there already has lower rows.
                    let kept = if from == 0 { 0 } else { k.min(from) };
                    let old: Vec<(f32, u32)> =
                        scores[..kept].iter().copied().zip(ids[..kept].iter().copied()).collect();
                    let new: Vec<(f32, u32)> =
                        values[..found].iter().copied().zip(new[..found].iter().map(|id| id + from as u32)).collect();
                    merge(&old, &new, ids, scores);
                }
            });
        }
        best
    }
}

/// The first of two lists in descending order; `old` wins among equals, and a NaN comes last.
fn merge(old: &[(f32, u32)], new: &[(f32, u32)], ids: &mut [u32], scores: &mut [f32]) {
    let (mut o, mut n) = (0, 0);
    for (id, score) in ids.iter_mut().zip(scores) {
        let first = match (old.get(o), new.get(n)) {
            (Some(a), Some(b)) => a.0 >= b.0 || b.0.is_nan(),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return,
        };
        let best = if first { old[o] } else { new[n] };
        (*score, *id) = best;
        if first { o += 1 } else { n += 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Optim, Storage};
    use crate::kernels::Level;
    use crate::optim::Scope;

    /// Both sum the same products in the same order, one row at a time or many.
    #[test]
    fn the_best_rows_are_those_of_a_full_sort() {
        let rows = 2 * ROWS + 77;
        let layer = Linear::new(&Scope::of("output", &Optim::default(), 3), rows, 16, Storage::F32).unwrap();
        let x: Vec<f32> = (0..5 * 16).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
        let (x, work) = (MatRef::new(&x, 5, 16), &mut Workspace::new(Level::detect()));
        let best = layer.top_k(work, x, 9);
        let mut z = vec![0.0; 5 * rows];
        layer.forward(work, x, RowSet::All(rows), MatMut::new(&mut z, 5, rows));
        for sample in 0..5 {
            let z = &z[sample * rows..][..rows];
            let mut order: Vec<u32> = (0..rows as u32).collect();
            order.sort_by(|&a, &b| z[b as usize].total_cmp(&z[a as usize]).then(a.cmp(&b)));
            assert_eq!(&best.ids[sample * 9..][..9], &order[..9]);
        }
        assert_eq!(layer.top_k(work, x, rows + 5).k, rows);
    }
}
