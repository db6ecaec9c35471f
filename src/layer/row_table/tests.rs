use proptest::prelude::*;

use super::*;
use crate::config::{Optim, OptimizerName, Storage};
use crate::module::Module;
use crate::optim::{Init, Step};

const ROWS: usize = 50;
const COLS: usize = 6;

fn table(storage: Storage, optim: &Optim) -> RowTable {
    RowTable::new(Parameter::new("rows", ROWS, COLS, storage, optim, Init::Normal(1.0), 3))
}

fn weights(table: &RowTable) -> Vec<f64> {
    match &table.weights.weight_tensors()[0].elements {
        Elements::F32(w) => w.iter().map(|&w| w as f64).collect(),
        Elements::Bf16(w) => w.iter().map(|w| w.to_f64()).collect(),
        _ => unreachable!(),
    }
}

/// Multiples of 1/8 of magnitude below 1.
fn numbers(len: usize, salt: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7 + salt) % 15) as f32 / 8.0 - 0.875).collect()
}

fn samples() -> impl Strategy<Value = Ragged<u32>> {
    let sample = prop::collection::vec(0..ROWS as u32, 0..9);
    prop::collection::vec(sample, 1..600).prop_map(Ragged::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn reading_and_updating_are_those_of_their_definition(ids in samples(), half: bool, parts in 1_usize..4) {
        let optim = Optim { name: OptimizerName::Sgd, ..Optim::default() };
        let mut table = table(if half { Storage::Bf16Master } else { Storage::F32 }, &optim);
        let w = weights(&table);
        let (work, entries) = (&mut Workspace::new(Level::detect()), ids.items().len());
        let c = numbers(entries, 1);
        let x = numbers(ids.len() * COLS, 2);
        let (mut y, mut dots) = (vec![1.0; ids.len() * COLS], vec![f32::NAN; entries]);
        table.forward_add(work, &ids, &c, MatMut::new(&mut y, ids.len(), COLS));
        table.dots(work, Phase::Backward, &ids, MatRef::new(&x, ids.len(), COLS), &mut dots);
        let mut dw = vec![0.0; w.len()];
        // At most 9 terms and what stood there, each below 5 in magnitude; a standard normal number beyond is rarer than 1e-6.
        let bound = 10.0 * 10.0 * 5.0 * f32::EPSILON as f64;
        let mut entry = 0;
        for (s, rows) in ids.iter().enumerate() {
            let mut want = [1.0; COLS];
            for &row in rows {
                let row = &w[row as usize * COLS..][..COLS];
                let x = &x[s * COLS..][..COLS];
                let dot: f64 = row.iter().zip(x).map(|(w, &x)| w * x as f64).sum();
                prop_assert!((dots[entry] as f64 - dot).abs() <= bound, "{} is not {}", dots[entry], dot);
                want.iter_mut().zip(row).for_each(|(want, w)| *want += c[entry] as f64 * w);
                entry += 1;
            }
            for (y, want) in y[s * COLS..].iter().zip(want) {
                prop_assert!((*y as f64 - want).abs() <= bound, "{} is not {}", y, want);
            }
        }

        // In one go or in several micro-batches.
        let mut entry = 0;
        for part in 0..parts {
            let range = part * ids.len() / parts..(part + 1) * ids.len() / parts;
            let some: Ragged<u32> = range.clone().map(|s| ids.row(s).to_vec()).collect();
            let dy = MatRef::new(&x, ids.len(), COLS).window(range.clone(), 0..COLS);
            table.accumulate(&some, &c[entry..entry + some.items().len()], dy);
            for s in range {
                for &row in ids.row(s) {
                    (0..COLS).for_each(|k| dw[row as usize * COLS + k] += (c[entry] * x[s * COLS + k]) as f64);
                    entry += 1;
                }
            }
        }
        // Multiples of 1/64 whose sums of up to 5 400 are exact.
        let length: f64 = dw.iter().map(|dw| dw * dw).sum();
        prop_assert!((table.squared_gradient(work) - length).abs() <= length * 400.0 * f32::EPSILON as f64);
        let step = Step { number: 1, lr: 1.0, grad_scale: 1.0, seed: 1 };
        table.update(work, &step);
        prop_assert_eq!(table.squared_gradient(work), 0.0);
        if !half {
            for ((before, after), dw) in w.iter().zip(weights(&table)).zip(&dw) {
                prop_assert_eq!(after, (*before as f32 - *dw as f32) as f64);
            }
        }
    }
}

#[test]
fn bf16_rows_with_a_row_wise_rule_learn_and_are_the_same_for_any_number_of_threads() {
    let optim = Optim { name: OptimizerName::RowwiseAdagrad, ..Optim::default() };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let start = Parameter::new("rows", 5000, COLS, Storage::Bf16, &optim, Init::Zeros, 3);
            let (mut table, work) = (RowTable::new(start), &mut Workspace::new(Level::detect()));
            let ids: Ragged<u32> = (0..1500_u32).map(|s| [s * 7 % 4000, s * 31 % 4000, s % 3]).collect();
            let (c, dy) = (numbers(ids.items().len(), 3), numbers(ids.len() * COLS, 4));
            for number in 1..=4 {
                table.accumulate(&ids, &c, MatRef::new(&dy, ids.len(), COLS));
                let step = Step { number, lr: 0.1, grad_scale: 0.5, seed: 1 };
                table.update(work, &step);
            }
            let mut y = vec![0.0; ids.len() * COLS];
            table.forward_add(work, &ids, &c, MatMut::new(&mut y, ids.len(), COLS));
            (table.used_rows(), weights(&table), y)
        })
    };
    let one = run(1);
    // Against the gradient of `sum(y * dy)`, which starts as 0.
    assert!(one.2.iter().zip(&numbers(1500 * COLS, 4)).map(|(y, dy)| y * dy).sum::<f32>() < 0.0);
    assert!((1500..=4000).contains(&one.0), "{} rows of 4000 were used", one.0);
    assert!(one == run(3));
}
