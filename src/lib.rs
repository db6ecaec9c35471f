//! hotrow trains and runs very large networks on CPUs by computing only the rows that matter.
//!
//! The program (package `hotrow-cli`) is a thin shell around this library; what it does is here for networks of one's own.
//! `examples/custom_network.rs` is a whole one.
//!
//! # Where to begin
//!
//! | to | look at |
//! |---|---|
//! | train on very many labels, or a language model, as the program does | [`train::xmc`], [`train::lm`] |
//! | run a trained language model | [`model::Gpt`], [`generate`] |
//! | build a network from layers | [`layer`], [`mod@module`], [`optim`], [`loss`], [`active`] |
//! | train it: log, clipping, checkpoints, resume | [`train::network`], with the names of [`prelude`] |
//! | find the rows of a matrix that score best | [`index`] |
//! | read files, text and tokens | [`data`] |
//! | keep and read checkpoints | [`checkpoint`] |
//! | compute with rows and write threads oneself | [`kernels`], which is a crate of its own |
//!
//! # Which layer
//!
//! | its input is | and its rows are | take |
//! |---|---|---|
//! | dense, with a bias; all rows, or some that all samples share | neurons, labels | [`layer::Linear`] |
//! | the same, with rows that each sample has chosen | neurons, labels | [`layer::Linear`] through [`layer::per_sample`] |
//! | dense, without a bias; all rows, gradients added up over micro-batches | neurons | [`layer::Dense`] |
//! | sparse vectors with values, pooled, with a bias | features | [`layer::Table`] on a [`sparse::SparseBatch`] |
//! | one id for each output | tokens | [`layer::Embedding`] |
//! | lists of ids with factors, in any order and with repeats, no bias | whatever is looked up | [`layer::RowTable`] on a [`ragged::Ragged`] |
//!
//! `Table` and `RowTable` both sum rows. `Table` has a bias and pooling, wants features sorted and unique (`SparseBatch::push_bag` makes
//! them so), writes over its output and is given the batch again for the update. `RowTable` takes ids as they come, adds to its output,
//! gives the gradient of the factors too, and remembers who touched what until the update.
//!
//! # A step
//!
//! ```
//! use hotrow::config::{Optim, OptimizerName, Storage};
//! use hotrow::kernels::{Level, MatMut, MatRef};
//! use hotrow::layer::{Linear, Workspace};
//! use hotrow::module::Module;
//! use hotrow::optim::{RowSet, Step};
//!
//! let optim = Optim { name: OptimizerName::Sgd, ..Optim::default() };
//! let (mut layer, work) = (Linear::new("layer", 1, 2, Storage::F32, &optim, 7), &mut Workspace::new(Level::detect()));
//! let (x, target, all) = (MatRef::new(&[1.0, 2.0], 1, 2), 3.0, RowSet::All(1));
//! let mut losses = (1..=20).map(|number| {
//!     let mut z = [0.0];
//!     layer.forward(work, x, all, MatMut::new(&mut z, 1, 1));
//!     let dz = [z[0] - target];
//!     layer.accumulate(MatRef::new(&dz, 1, 1), all, x);
//!     layer.update(work, &Step { number, lr: 0.1, grad_scale: 1.0, seed: 7 });
//!     dz[0] * dz[0]
//! });
//! assert!(losses.next() > losses.last().map(|last| 1000.0 * last));
//! ```
//!
//! # Features
//!
//! None is on by default. An error names the one that is missing.
//!
//! | feature | for |
//! |---|---|
//! | `text` | text to tokens ([`data::tokens`]), learning tokenizers, words by the rules of Unicode (`data.words = "unicode"`) |
//! | `packed` | files packed with gzip or zstd |
//! | `arrays` | arrays of scipy and PECOS (`.npz`) |
//! | `signals` | `run::Signals::install`, for a program that a signal ends in good order |
//!
//! # Errors and panics
//!
//! Wrong data, options and files are an [`error::Error`]. A wrong call panics and says what disagrees; where the arguments may come from
//! elsewhere there is a form that returns an error instead: [`matrix::Matrix::try_zeros`], `try_new` of parameters, layers and
//! networks, [`optim::Parameter::try_update_rows`], [`model::Gpt::try_next`], [`train::lm::try_evaluate`].
// Not `forbid`: `data::map` maps files.
#![deny(unsafe_code)]

pub mod active;
pub mod checkpoint;
pub mod config;
pub mod data;
pub mod error;
pub mod files;
pub mod flops;
pub mod generate;
pub mod index;
pub mod layer;
pub mod loss;
pub mod machine;
pub mod matrix;
pub mod metrics;
pub mod model;
pub mod module;
pub mod optim;
pub mod order;
pub mod prelude;
pub mod provenance;
pub mod ragged;
pub mod rng;
pub mod run;
mod scratch;
pub mod sparse;
pub mod tensor;
pub mod train;
pub mod work;

pub use hotrow_kernels as kernels;

/// The examples of the README run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;

/// So do those of the kernel crate's README.
#[cfg(doctest)]
#[doc = include_str!("../kernels/README.md")]
pub struct KernelsReadmeExamples;
