use half::bf16;
use rayon::prelude::*;

use super::*;
use crate::config::Storage;
use crate::optim::Init;

fn rule(name: OptimizerName) -> Optim {
    Optim { name, ..Optim::default() }
}

fn step(optim: &Optim, number: u32) -> StepOptions<'_> {
    StepOptions { optim, number, lr: 0.5, grad_scale: 1.0, seed: 3, level: Level::detect() }
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
        let (mut alone, mut nested, step) = (made(), made(), step(&optim, 1));
        alone.update(active, &step, gradient(active, false));
        let want = alone.squared_gradient(active, step.level, gradient(active, false));
        pool.install(|| nested.update(active, &step, gradient(active, true)));
        assert_eq!(alone.f32(), nested.f32());
        assert_eq!(pool.install(|| nested.squared_gradient(active, step.level, gradient(active, true))), want);
    }
}

#[test]
fn a_step_of_another_rule_than_the_states_is_refused_and_moves_nothing() {
    let names = [
        OptimizerName::Sgd,
        OptimizerName::Momentum,
        OptimizerName::RowwiseAdagrad,
        OptimizerName::RowwiseRmsprop,
        OptimizerName::Adam,
        OptimizerName::AdamLazy,
        OptimizerName::AdamDense,
    ];
    let eight = names[4..].iter().map(|&name| Optim { eight_bit: true, ..rule(name) });
    let rules: Vec<Optim> = names.into_iter().map(rule).chain(eight).collect();
    let ones = [1.0; 6];
    for (made_for, asked) in rules.iter().flat_map(|made_for| rules.iter().map(move |asked| (made_for, asked))) {
        let agree = (made_for.name, made_for.eight_bit) == (asked.name, asked.eight_bit);
        let step = step(asked, 1);
        let checked = zeros(made_for).try_update(RowSet::All(3), &step, |_, mut out| out.row_mut(1).fill(1.0));
        assert_eq!(checked.is_ok(), agree, "{made_for:?}, {asked:?}");
        for all in [true, false] {
            let mut w = zeros(made_for);
            let updated = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match all {
                true => w.update_all(MatRef::new(&ones, 3, 2), &step),
                false => w.update(RowSet::All(3), &step, |_, mut out| out.row_mut(1).fill(1.0)),
            }));
            assert_eq!(updated.is_ok(), agree, "{made_for:?}, {asked:?}");
            assert_eq!(w.f32()[2] != 0.0, agree, "{made_for:?}, {asked:?}");
        }
        let mut w = zeros(made_for);
        let settled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| w.settle(&step)));
        assert_eq!(settled.is_ok(), agree || !sleeps(made_for.name), "{made_for:?}, {asked:?}");
    }
}

#[test]
fn what_a_step_from_elsewhere_cannot_have_is_an_error_that_names_it() {
    let adam = rule(OptimizerName::Adam);
    let mut w = zeros(&adam);
    let mut refused = |active: RowSet, optim: &Optim, number: u32| {
        w.try_update(active, &step(optim, number), |_, _| unreachable!("refused before")).unwrap_err().to_string()
    };
    assert_eq!(refused(RowSet::All(2), &adam, 1), "active: rows of 2 for w of 3 rows");
    assert_eq!(refused(RowSet::All(3), &adam, 0), "step: 0: steps count from 1");
    assert!(refused(RowSet::All(3), &Optim { eps: 0.0, ..adam.clone() }, 1).starts_with("optim.eps: "));
    assert!(refused(RowSet::All(3), &Optim { eight_bit: true, ..adam.clone() }, 1).ends_with("one of adam in 8 bits"));
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
