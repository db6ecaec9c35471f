use super::*;
use crate::config::{Optim, OptimizerName, Storage};
use crate::layer::LinearGradient;
use crate::optim::Scope;
use proptest::prelude::*;

const ROWS: usize = 40;
const DIM: usize = 7;

fn layer() -> Linear {
    let optim = Optim { name: OptimizerName::Sgd, ..Optim::default() };
    Linear::new(&Scope::of("output", &optim, 3), ROWS, DIM, Storage::F32).unwrap()
}

/// Sets of different rows, and as many multiples of 1/8 below 1 as they have entries.
fn sets() -> impl Strategy<Value = (Vec<Vec<u32>>, Vec<f32>)> {
    let sets =
        prop::collection::vec(prop::collection::btree_set(0..ROWS as u32, 1..20).prop_map(Vec::from_iter), 1..40);
    sets.prop_flat_map(|sets| {
        let entries = sets.iter().map(Vec::len).sum::<usize>();
        (Just(sets), prop::collection::vec((-7_i32..8).prop_map(|v| v as f32 / 8.0), entries))
    })
}

proptest! {
    /// Both ways add the same products, in other orders: `n` terms below `m` in magnitude differ by at most `2 n^2 m` units of
    /// roundoff. Inputs are below 1, weights (normal, of deviation below 0.4) below 2.
    #[test]
    fn one_product_of_the_union_agrees_with_sampled_products((sets, dz) in sets()) {
        let (samples, level) = (sets.len(), Level::detect());
        let x: Vec<f32> = (0..samples * DIM).map(|i| (i * 5 % 16) as f32 / 16.0 - 0.5).collect();
        let x = MatRef::new(&x, samples, DIM);
        let sets = Sets::new(sets.iter().map(|set| set.iter().copied()).collect());
        let (work, union) = (&mut Workspace::new(level), sets.rows().len());
        let active = RowSet::Some(UniqueRowIds::new(sets.rows(), ROWS).unwrap());
        let bound = |terms: usize| 2.0 * (terms * terms) as f32 * 2.0 * f32::EPSILON;
        let close = |a: &[f32], b: &[f32], bound: f32| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= bound);

        let (mut one, mut other) = (layer(), layer());
        let (mut z, mut gathered, mut all) = (vec![0.0; dz.len()], vec![f32::NAN; dz.len()], vec![0.0; samples * union]);
        one.forward_per_sample(work, x, &sets, &mut z);
        other.forward(work, x, active, MatMut::new(&mut all, samples, union));
        sets.gather(MatRef::new(&all, samples, union), &mut gathered);
        prop_assert!(close(&z, &gathered, bound(DIM + 1)), "{z:?} {gathered:?}");

        sets.scatter(&dz, MatMut::new(&mut all, samples, union));
        prop_assert_eq!(all.iter().filter(|dz| **dz != 0.0).count(), dz.iter().filter(|dz| **dz != 0.0).count());
        let (mut dx, mut packed) = (vec![0.0; samples * DIM], vec![0.0; samples * DIM]);
        one.backward_per_sample_add(work, &dz, &sets, MatMut::new(&mut dx, samples, DIM));
        other.backward_add(work, MatRef::new(&all, samples, union), active, MatMut::new(&mut packed, samples, DIM));
        prop_assert!(close(&dx, &packed, bound(union)), "{dx:?} {packed:?}");

        let step = Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 1 };
        one.update_per_sample(work, x, &dz, &sets, &step);
        let group = LinearGradient { active, dz: MatRef::new(&all, samples, union), x };
        other.step_along(work, &[group], &step);
        // One more term: the weight itself.
        prop_assert!(close(one.weights.f32(), other.weights.f32(), bound(samples + 1)));
        prop_assert!(close(one.biases.f32(), other.biases.f32(), bound(samples + 1)));
    }
}
