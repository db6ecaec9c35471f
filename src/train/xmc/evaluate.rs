//! Metrics over a whole set, exact over all labels.

use crate::data::{Batch, Samples};
use crate::kernels::MatRef;
use crate::layer::Workspace;
use crate::metrics::{Inverse, Ranking};
use crate::model::Mlp;

/// Samples that are scored together: each packed row serves so many.
const SAMPLES: usize = 512;

/// Ranks all labels for every sample of `samples`, and compares with its labels at the cuts `ks`. With `inverse`, the inverse
/// propensity of each label, there is PSP too.
///
/// ```
/// use hotrow::config::{Model, Optim};
/// use hotrow::data::{Batch, Samples};
/// use hotrow::{kernels::Level, layer::Workspace, model::Mlp, optim::Scope};
/// struct One;
/// impl Samples for One {
///     fn len(&self) -> usize { 1 }
///     fn features(&self) -> usize { 4 }
///     fn labels(&self) -> usize { 3 }
///     fn read(&self, _: usize, batch: &mut Batch) {
///         batch.features.push(&[2], &[1.0]).unwrap();
///         batch.labels.push([0, 1, 2]);
///     }
/// }
/// let scope = Scope::fresh(&Optim::default(), 1, Level::detect());
/// let (network, work) = (Mlp::new(&scope, &Model::default(), 4, 3)?, &mut Workspace::new(Level::detect()));
/// assert_eq!(hotrow::train::xmc::evaluate(&network, work, &One, &[1, 3], None).precision(3), 1.0);
/// # Ok::<(), hotrow::error::Error>(())
/// ```
pub fn evaluate(
    network: &Mlp,
    work: &mut Workspace,
    samples: &dyn Samples,
    ks: &[usize],
    inverse: Option<Inverse>,
) -> Ranking {
    evaluate_until(network, work, samples, ks, inverse, &|| false).expect("nobody stops it")
}

/// The same, unless `stop` says so before the end.
pub(super) fn evaluate_until(
    network: &Mlp,
    work: &mut Workspace,
    samples: &dyn Samples,
    ks: &[usize],
    inverse: Option<Inverse>,
    stop: &dyn Fn() -> bool,
) -> Option<Ranking> {
    let mut ranking = Ranking::new(ks, inverse);
    let mut batch = Batch::new(samples.features());
    for from in (0..samples.len()).step_by(SAMPLES) {
        if stop() {
            return None;
        }
        batch.clear();
        (from..samples.len().min(from + SAMPLES)).for_each(|sample| samples.read(sample, &mut batch));
        let x = network.embed(work, &batch.features);
        let x = MatRef::new(&x, batch.len(), network.width());
        let best = network.output.top_k(work, x, ranking.places());
        for (sample, (predicted, truth)) in best.ids.chunks(best.k).zip(batch.labels.iter()).enumerate() {
            ranking.add_with_missing(predicted, truth, batch.unseen_of(sample));
        }
    }
    Some(ranking)
}
