use half::bf16;
use rayon::prelude::*;

use super::*;
use crate::config::{Optim, Storage};
use crate::optim::Init;
use crate::ragged::Ragged;

fn rule(name: OptimizerName) -> Optim {
    Optim { name, ..Optim::default() }
}

fn step(number: u32) -> Step {
    Step { number, lr: 0.5, grad_scale: 1.0, seed: 3 }
}

fn zeros(optim: &Optim) -> Parameter {
    Parameter::new("w", 3, 2, Storage::F32, optim, Init::Zeros, 7)
}

/// A gradient of `row + col / 8`, computed with or without other threads.
fn gradient(active: RowSet, parallel: bool) -> impl Fn(Range<usize>, MatMut<f32>) + Sync {
    move |block: Range<usize>, out: MatMut<f32>| {
        let write = |(piece, mut out): (usize, MatMut<f32>)| {
            for r in 0..out.rows() {
                let row = active.row(block.start + 8 * piece + r);
                out.row_mut(r).iter_mut().enumerate().for_each(|(c, out)| *out = row as f32 + c as f32 / 8.0);
            }
            // Long enough for threads that wait to look for other work.
            if parallel {
                std::thread::sleep(std::time::Duration::from_micros(20));
            }
        };
        let pieces: Vec<_> = out.into_chunks(8).enumerate().collect();
        if parallel { pieces.into_par_iter().for_each(write) } else { pieces.into_iter().for_each(write) }
    }
}

/// A thread that waits for the pieces of its block is handed another block of the same update.
#[test]
fn a_gradient_may_start_parallel_work_of_its_own() {
    const ROWS: usize = 8000;
    let (optim, pool) = (rule(OptimizerName::Sgd), rayon::ThreadPoolBuilder::new().num_threads(8).build().unwrap());
    let made = || Parameter::new("w", ROWS, 3, Storage::F32, &optim, Init::Zeros, 7);
    let ids: Vec<u32> = (0..ROWS as u32).step_by(2).collect();
    for active in [RowSet::All(ROWS), RowSet::Some(UniqueRowIds::new(&ids, ROWS).unwrap())] {
        let (mut alone, mut nested, level) = (made(), made(), Level::detect());
        alone.update_rows(active, level, &step(1), gradient(active, false));
        let want = alone.squared_rows(active, level, gradient(active, false));
        pool.install(|| nested.update_rows(active, level, &step(1), gradient(active, true)));
        assert_eq!(alone.f32(), nested.f32());
        assert_eq!(pool.install(|| nested.squared_rows(active, level, gradient(active, true))), want);
    }
}

#[test]
fn what_a_rule_or_a_step_from_elsewhere_cannot_have_is_an_error_that_names_it() {
    let adam = rule(OptimizerName::Adam);
    let mut w = zeros(&adam);
    let mut refused = |active: RowSet, number: u32| {
        let step = step(number);
        w.try_update_rows(active, Level::detect(), &step, |_, _| unreachable!("refused before"))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused(RowSet::All(2), 1), "active: rows of 2 for w of 3 rows");
    assert_eq!(refused(RowSet::All(3), 0), "step: 0: steps count from 1");
    let made =
        |optim: Optim| Parameter::try_new("w", 3, 2, Storage::F32, &optim, Init::Zeros, 7).unwrap_err().to_string();
    assert!(made(Optim { eps: 0.0, ..adam.clone() }).starts_with("optim.eps: "));
    assert!(made(Optim { beta2: 0.5, ..adam }).starts_with("optim.beta2: "));
}

/// The gradient 1 for each weight, in each way that a parameter can keep it; rows 0 and 2 alone where rows are kept.
#[test]
fn every_kept_gradient_moves_weights_alike_counts_in_the_norm_and_is_then_empty() {
    let (work, optim) = (&mut Workspace::new(Level::detect()), rule(OptimizerName::Sgd));
    let kept: [Parameter; 4] = [
        zeros(&optim).with_dense_gradient().unwrap(),
        zeros(&optim).with_few_gradients(),
        zeros(&optim).with_row_gradients().unwrap(),
        zeros(&optim).with_touches(),
    ];
    let add = |w: &mut Parameter, way: usize| match way {
        0 | 1 => w.gradient_mut().iter_mut().for_each(|d| *d += 1.0),
        2 => w.add_rows(&[0, 2], |sums, new| {
            for row in [0, 2] {
                let sum = &mut sums[2 * row..2 * row + 2];
                if new.contains(&(row as u32)) {
                    sum.fill(0.0);
                }
                sum.iter_mut().for_each(|d| *d += 1.0);
            }
        }),
        _ => w.touch(&Ragged::from_iter([[0, 2]]), &[0.5, 0.5], MatRef::new(&[2.0, 2.0], 1, 2)),
    };
    for (way, mut w) in kept.into_iter().enumerate() {
        let rows = if way < 2 { [1.0, 1.0, 1.0] } else { [1.0, 0.0, 1.0] };
        for moved in [0.5, 1.0] {
            add(&mut w, way);
            assert_eq!(w.squared_gradient(work), 2.0 * rows.iter().sum::<f64>(), "{way}");
            w.update(work, &step(1));
            assert_eq!(w.squared_gradient(work), 0.0, "{way}");
            let want: Vec<f32> = rows.iter().flat_map(|row| [-moved * *row as f32; 2]).collect();
            assert_eq!(w.f32(), want, "{way}");
        }
        // Two micro-batches before a step add up.
        add(&mut w, way);
        add(&mut w, way);
        assert_eq!(w.squared_gradient(work), 8.0 * rows.iter().sum::<f64>(), "{way}");
        w.freeze(true);
        add(&mut w, way);
        assert_eq!(w.squared_gradient(work), 0.0, "{way}");
        w.update(work, &step(2));
        assert_eq!(w.f32()[0], -1.0, "{way}");
        w.freeze(false);
        assert_eq!(w.squared_gradient(work), 0.0, "{way}: what came while it was frozen counts");
    }
}

#[test]
fn a_factor_is_one_of_the_learning_rate_and_decay_can_be_left_out() {
    let optim = Optim { weight_decay: 0.5, ..rule(OptimizerName::Sgd) };
    let moved = |rule: Rule| {
        let w = Parameter::new("w", 1, 2, Storage::F32, rule, Init::Constant(1.0), 7);
        let mut w = w.with_dense_gradient().unwrap();
        w.gradient_mut().fill(0.25);
        w.update(&mut Workspace::new(Level::detect()), &step(1));
        w.f32()[0]
    };
    let (rule, bare) = (Rule::from(&optim), Rule::from(&optim).without_decay());
    assert_eq!((moved(bare), moved(bare.times(2.0)), moved(bare.times(2.0).times(2.0))), (0.875, 0.75, 0.5));
    assert_eq!(moved(rule), 0.875 - 0.5 * 0.5);
}

#[test]
fn weights_from_elsewhere_are_stored_as_they_are_or_rounded_to_nearest() {
    let (numbers, optim) = ([1.0, -0.1, 1e-8, 3.0, 0.7, -2.5], Optim::default());
    let rounded: Vec<bf16> = numbers.iter().map(|&x| bf16::from_f32(x)).collect();
    for storage in [Storage::F32, Storage::Bf16, Storage::Bf16Master] {
        let made = Parameter::from_rows("w", MatRef::new(&numbers, 3, 2), storage, &optim);
        let mut copied = Parameter::new("w", 3, 2, storage, &optim, Init::Normal(1.0), 7);
        copied.copy_from(MatRef::new(&numbers, 3, 2));
        for w in [&made, &copied] {
            match (storage, w.weight_tensors()[0].elements) {
                (Storage::F32, Elements::F32(w)) => assert_eq!(w, numbers),
                (_, Elements::Bf16(w)) => assert_eq!(w, rounded),
                other => panic!("{other:?}"),
            }
            let master = w.state_tensors().into_iter().find(|tensor| tensor.name == "w.master");
            assert_eq!(
                master.map(|tensor| tensor.elements),
                (storage == Storage::Bf16Master).then_some(Elements::F32(&numbers))
            );
        }
    }
}

#[test]
fn rows_that_no_row_number_tells_apart_are_refused() {
    let made = |rows| Parameter::try_new("w", rows, 0, Storage::F32, &rule(OptimizerName::Sgd), Init::Zeros, 7);
    assert_eq!(made(1 << 32).unwrap().rows(), 1 << 32);
    let error = made((1 << 32) + 1).unwrap_err().to_string();
    assert!(error.starts_with("w: 4294967297 rows are more than"), "{error}");
}
