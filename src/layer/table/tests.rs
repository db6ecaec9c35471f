use super::*;
use crate::config::{Optim, OptimizerName};
use crate::module::Module;
use crate::optim::Step;
use proptest::prelude::*;

/// Samples of a few features each, with values that are multiples of 1/8.
fn samples() -> impl Strategy<Value = Vec<Vec<(u32, f32)>>> {
    let sample = prop::collection::btree_map(0_u32..50, (1_i32..17).prop_map(|v| v as f32 / 8.0), 0..12);
    prop::collection::vec(sample.prop_map(Vec::from_iter), 1..80)
}

#[test]
fn the_smallest_values_have_the_length_of_any_other() {
    let table = Table::new(&Scope::of("input", &Optim::default(), 3), 2, 6, Pooling::Normalized, Storage::F32).unwrap();
    let work = &mut Workspace::new(Level::detect());
    let mut forward = |value: f32| {
        let mut batch = SparseBatch::new(2);
        batch.push(&[0, 1], &[value, -value]).unwrap();
        let mut h = vec![f32::NAN; 6];
        table.forward(work, &batch, MatMut::new(&mut h, 1, 6));
        h
    };
    // Powers of two: the quotients are the same to the bit.
    assert_eq!(forward(f32::from_bits(1)), forward(1.0));
    assert_eq!(forward(2.0_f32.powi(127)), forward(1.0));
}

proptest! {
    #[test]
    fn forward_and_update_are_those_of_their_definition(samples in samples(), pooling in 0..3) {
        let pooling = [Pooling::Sum, Pooling::Mean, Pooling::Normalized][pooling as usize];
        let optim = Optim { name: OptimizerName::Sgd, ..Optim::default() };
        let mut table = Table::new(&Scope::of("input", &optim, 3), 50, 6, pooling, Storage::F32).unwrap();
        let before = table.weights.f32().to_vec();
        let mut batch = SparseBatch::new(50);
        for sample in &samples {
            let (indices, values): (Vec<u32>, Vec<f32>) = sample.iter().copied().unzip();
            batch.push(&indices, &values).unwrap();
        }
        let scale = |sample: &[(u32, f32)]| match pooling {
            Pooling::Sum => 1.0,
            Pooling::Mean => 1.0 / sample.len().max(1) as f64,
            Pooling::Normalized => 1.0 / sample.iter().map(|(_, v)| (*v as f64).powi(2)).sum::<f64>().sqrt(),
        };
        let work = &mut Workspace::new(Level::detect());
        let mut h = vec![f32::NAN; samples.len() * 6];
        table.forward(work, &batch, MatMut::new(&mut h, samples.len(), 6));
        // At most 12 terms and their scale, each below 2 * 4 in magnitude.
        let bound = 14.0 * 14.0 * 8.0 * f32::EPSILON as f64;
        for (s, sample) in samples.iter().enumerate() {
            for c in 0..6 {
                let sum: f64 = sample.iter().map(|(f, v)| *v as f64 * before[*f as usize * 6 + c] as f64).sum();
                let want = if sample.is_empty() { 0.0 } else { scale(sample) * sum };
                prop_assert!((h[s * 6 + c] as f64 - want).abs() <= bound, "{} is not {}", h[s * 6 + c], want);
            }
        }

        let dh: Vec<f32> = (0..h.len()).map(|i| (i % 9) as f32 / 8.0 - 0.5).collect();
        table.backward(work, &batch, MatRef::new(&dh, samples.len(), 6));
        let step = Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 1 };
        table.update(work, &step);
        // At most 80 terms below 2.
        let bound = 82.0 * 82.0 * 2.0 * f32::EPSILON as f64;
        for feature in 0..50 {
            for c in 0..6 {
                let mut want = 0.0;
                for (s, sample) in samples.iter().enumerate() {
                    for (_, v) in sample.iter().filter(|(f, _)| *f as usize == feature) {
                        want += scale(sample) * *v as f64 * dh[s * 6 + c] as f64;
                    }
                }
                let at = feature * 6 + c;
                let moved = before[at] as f64 - table.weights.f32()[at] as f64;
                prop_assert!((moved - want).abs() <= bound, "feature {}: {} is not {}", feature, moved, want);
            }
        }
    }
}
