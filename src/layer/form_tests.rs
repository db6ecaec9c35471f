//! What is written over and what is added to, as the table at the head of `layer` says.

use super::*;
use crate::config::lm::Model;
use crate::config::lm::model::Precision;
use crate::config::{Optim, OptimizerName, Pooling, Storage};
use crate::kernels::{Level, MatMut, MatRef};
use crate::optim::{Init, Parameter, RowSet, Scope};
use crate::order::Sets;
use crate::ragged::Ragged;
use crate::sparse::SparseBatch;

#[derive(Debug, PartialEq)]
enum Form {
    Over,
    Adds,
}

/// Runs twice, on zeros and on tens.
fn form(len: usize, mut run: impl FnMut(&mut [f32])) -> Form {
    let (mut zeros, mut tens) = (vec![0.0; len], vec![10.0; len]);
    run(&mut zeros);
    run(&mut tens);
    assert!(zeros.iter().any(|&x| x != 0.0), "nothing was computed");
    let added = zeros.iter().zip(&tens).all(|(zero, ten)| (zero + 10.0 - ten).abs() < 1e-4);
    assert!(added || zeros == tens, "{zeros:?}, {tens:?}");
    if added { Form::Adds } else { Form::Over }
}

#[test]
fn layers_write_over_or_add_as_their_table_says() {
    let optim = Optim { name: OptimizerName::Sgd, ..Optim::default() };
    let work = &mut Workspace::new(Level::detect());
    let (two, three) = (MatRef::new(&[1.0, -2.0], 1, 2), MatRef::new(&[0.5, 1.0, -1.5], 1, 3));

    let linear = Linear::new(&Scope::of("l", &optim, 7), 3, 2, Storage::F32).unwrap();
    let all = RowSet::All(3);
    assert_eq!(form(3, |z| linear.forward(work, two, all, MatMut::new(z, 1, 3))), Form::Over);
    assert_eq!(form(2, |dx| linear.backward_add(work, three, all, MatMut::new(dx, 1, 2))), Form::Adds);
    let sets = Sets::new(Ragged::from_iter([[2, 0]]));
    assert_eq!(form(2, |z| linear.forward_per_sample(work, two, &sets, z)), Form::Over);
    assert_eq!(
        form(2, |dx| linear.backward_per_sample_add(work, &[1.0, 2.0], &sets, MatMut::new(dx, 1, 2))),
        Form::Adds
    );

    let dense = Dense::new(&Scope::of("d", &optim, 7), 3, 2, 1.0, Precision::F32).unwrap();
    assert_eq!(form(3, |y| dense.forward(work, two, MatMut::new(y, 1, 3))), Form::Over);
    assert_eq!(form(2, |dx| dense.backward(work, three, MatMut::new(dx, 1, 2))), Form::Over);

    let mut batch = SparseBatch::new(5);
    batch.push(&[1, 4], &[1.0, -2.0]).unwrap();
    let table = Table::new(&Scope::of("t", &optim, 7), 5, 2, Pooling::Sum, Storage::F32).unwrap();
    assert_eq!(form(2, |h| table.forward(work, &batch, MatMut::new(h, 1, 2))), Form::Over);

    let embedding = Embedding::new(&Scope::of("e", &optim, 7), 5, 2).unwrap();
    assert_eq!(form(2, |x| embedding.forward(work, &[3], MatMut::new(x, 1, 2))), Form::Over);

    let mut norm = RmsNorm::new(&Scope::of("n", &optim, 7), 2).unwrap();
    let mut rstd = [0.0];
    assert_eq!(form(2, |y| norm.forward(work, two, MatMut::new(y, 1, 2), &mut rstd)), Form::Over);
    let dy = MatRef::new(&[1.0, 1.0], 1, 2);
    assert_eq!(form(2, |dx| norm.backward_add(work, two, &rstd, dy, MatMut::new(dx, 1, 2))), Form::Adds);

    let rows = RowTable::new(Parameter::new("r", 5, 2, Storage::F32, &optim, Init::Normal(1.0), 7));
    let ids = Ragged::from_iter([[3, 1, 3]]);
    let c = [1.0, 2.0, -0.5];
    assert_eq!(form(2, |y| rows.forward_add(work, &ids, &c, MatMut::new(y, 1, 2))), Form::Adds);
    assert_eq!(form(3, |out| rows.dots(work, Phase::Backward, &ids, two, out)), Form::Over);

    let model = Model { width: 2, heads: 1, layers: 1, context: 4, precision: Precision::F32, ..Model::default() };
    let (mut layer, mut saved) = (
        FeedForward::new(&Scope::of("f", &optim, 7), (&model).into(), model.inner(), model.activation).unwrap(),
        FeedForwardSaved::default(),
    );
    assert_eq!(form(2, |y| layer.forward(work, two, MatMut::new(y, 1, 2), &mut saved)), Form::Over);
    assert_eq!(form(2, |dx| layer.backward(work, two, &saved, dy, MatMut::new(dx, 1, 2))), Form::Over);
    let rope = attention::rotations(&model);
    let (mut layer, mut saved) = (
        Attention::new(&Scope::of("a", &optim, 7), (&model).into(), (&model).into(), rope).unwrap(),
        Default::default(),
    );
    assert_eq!(form(2, |y| layer.forward(work, two, 1, MatMut::new(y, 1, 2), &mut saved)), Form::Over);
    assert_eq!(form(2, |dx| layer.backward(work, two, 1, &saved, dy, MatMut::new(dx, 1, 2))), Form::Over);
}
