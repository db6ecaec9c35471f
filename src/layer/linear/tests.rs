use super::*;
use crate::config::Optim;
use crate::kernels::Level;
use proptest::prelude::*;

fn layer(rows: usize, cols: usize, storage: Storage) -> Linear {
    Linear::new(&Scope::of("output", &Optim::default(), 3), rows, cols, storage).unwrap()
}

fn weight(layer: &Linear, row: usize, col: usize) -> f64 {
    match layer.weights.weights() {
        WeightsRef::F32(w) => w.row(row)[col] as f64,
        WeightsRef::Bf16(w) => w.row(row)[col].to_f64(),
    }
}

fn numbers(len: usize, salt: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 + salt * 11) % 64) as f32 / 32.0 - 1.0).collect()
}

/// Inputs here are multiples of 1/32 below 2, so that bf16 holds them exactly and only sums are rounded: a sum of `n`
/// products by `n * eps` of the sum of their magnitudes, which is below `n * 4` for weights below 4.
fn bound(n: usize) -> f64 {
    (n * n * 4) as f64 * f32::EPSILON as f64
}

fn check_products(samples: usize, rows: usize, cols: usize, active: &[u32], storage: Storage) {
    check_products_at(layer(rows, cols, storage), samples, active, |weight| weight);
}

/// `rounded` is what the products make of a weight.
fn check_products_at(layer: Linear, samples: usize, active: &[u32], rounded: impl Fn(f64) -> f64) {
    let (rows, cols, work) = (layer.rows(), layer.cols(), &mut Workspace::new(Level::detect()));
    let weight = |layer: &Linear, row, col| rounded(weight(layer, row, col));
    let set = RowSet::Some(UniqueRowIds::new(active, rows).unwrap());
    let x = numbers(samples * cols, 1);
    let mut z = vec![f32::NAN; samples * active.len()];
    let view = MatRef::new(&x, samples, cols);
    layer.forward(work, view, set, MatMut::new(&mut z, samples, active.len()));
    for s in 0..samples {
        for (a, &row) in active.iter().enumerate() {
            let want: f64 = (0..cols).map(|c| weight(&layer, row as usize, c) * x[s * cols + c] as f64).sum();
            assert!((z[s * active.len() + a] as f64 - want).abs() <= bound(cols), "sample {s}, row {row}");
        }
    }
    let dz = numbers(samples * active.len(), 2);
    let mut dx = vec![1.0; samples * cols];
    layer.backward_add(work, MatRef::new(&dz, samples, active.len()), set, MatMut::new(&mut dx, samples, cols));
    for s in 0..samples {
        for c in 0..cols {
            let products = active
                .iter()
                .enumerate()
                .map(|(a, &row)| dz[s * active.len() + a] as f64 * weight(&layer, row as usize, c));
            let want = 1.0 + products.sum::<f64>();
            assert!((dx[s * cols + c] as f64 - want).abs() <= bound(active.len() + 1), "sample {s}, column {c}");
        }
    }
}

#[test]
fn products_round_weights_to_the_precision_of_the_layer() {
    for rows in [40, 1200] {
        let layer = layer(rows, 17, Storage::F32).with_precision(Precision::Bf16);
        let active: Vec<u32> = (0..rows as u32).filter(|row| row % 7 != 3).collect();
        check_products_at(layer, 33, &active, |weight| half::bf16::from_f32(weight as f32).to_f64());
    }
}

#[test]
fn products_are_those_of_their_definition() {
    for storage in [Storage::F32, Storage::Bf16, Storage::Bf16Master] {
        check_products(1, 5, 3, &[4], storage);
        check_products(33, 40, 17, &[0, 3, 4, 39], storage);
        // More rows than one panel, and more samples than one piece.
        check_products(65, 1200, 8, &(0..1100).collect::<Vec<u32>>(), storage);
        check_products(3, 5, 4, &[], storage);
    }
}

#[test]
fn all_rows_and_a_list_of_all_rows_are_the_same() {
    let (layer, work) = (layer(700, 12, Storage::F32), &mut Workspace::new(Level::detect()));
    let (x, every) = (numbers(20 * 12, 5), (0..700).collect::<Vec<u32>>());
    let x = MatRef::new(&x, 20, 12);
    let z = |set: RowSet, work: &mut Workspace| {
        let mut z = vec![0.0; 20 * 700];
        layer.forward(work, x, set, MatMut::new(&mut z, 20, 700));
        z
    };
    let listed = RowSet::Some(UniqueRowIds::new(&every, 700).unwrap());
    assert_eq!(z(RowSet::All(700), work), z(listed, work));
    let costs = work.costs.total();
    assert_eq!(costs.flops, costs.dense_flops);
    assert_eq!(costs.flops, 2 * 2 * 20 * 700 * 12);
}

proptest! {
    /// Two groups of samples with sets of their own move each row as the sum of their gradients does.
    #[test]
    fn groups_add_up(
        left in prop::collection::btree_set(0_u32..600, 0..300),
        right in prop::collection::btree_set(0_u32..600, 1..300),
        samples in 1_usize..6,
    ) {
        let optim = Optim { name: crate::config::OptimizerName::Sgd, ..Optim::default() };
        let mut layer = Linear::new(&Scope::of("output", &optim, 3), 600, 5, Storage::F32).unwrap();
        let before: Vec<f32> = layer.weights.f32().to_vec();
        let work = &mut Workspace::new(Level::detect());
        let sets = [Vec::from_iter(left), Vec::from_iter(right)];
        let x = [numbers(samples * 5, 7), numbers(samples * 5, 8)];
        let dz = [0, 1].map(|g: usize| numbers(samples * sets[g].len(), g));
        let groups = [0, 1].map(|g: usize| LinearGradient {
            active: RowSet::Some(UniqueRowIds::new(&sets[g], 600).unwrap()),
            dz: MatRef::new(&dz[g], samples, sets[g].len()),
            x: MatRef::new(&x[g], samples, 5),
        });
        let step = Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 1 };
        let union = layer.step_along(work, &groups, &step);
        let mut want: Vec<u32> = sets.concat();
        want.sort_unstable();
        want.dedup();
        prop_assert_eq!(&union, &want);
        for row in 0..600 {
            let place = |g: usize| sets[g].binary_search(&(row as u32)).ok();
            let mut bias = 0.0;
            for c in 0..5 {
                let mut gradient = 0.0;
                for g in 0..2 {
                    for s in 0..samples {
                        let d = place(g).map_or(0.0, |a| dz[g][s * sets[g].len() + a] as f64);
                        gradient += d * x[g][s * 5 + c] as f64;
                        bias += if c == 0 { d } else { 0.0 };
                    }
                }
                let moved = before[row * 5 + c] as f64 - layer.weights.f32()[row * 5 + c] as f64;
                prop_assert!((moved - gradient).abs() <= bound(2 * samples + 2), "row {}: {} is not {}", row, moved, gradient);
            }
            prop_assert!((-layer.biases.f32()[row] as f64 - bias).abs() <= bound(2 * samples + 2));
        }
    }
}
