//! hotrow trains and runs very large neural networks on CPUs. Each step reads, computes and updates only the rows of a weight
//! matrix that matter for its samples. The crate has layers, indexes that find such rows, readers, checkpoints, and trainers
//! for extreme classification and language models.
//!
//! # The smallest whole program
//!
//! ```
//! use hotrow::{config::Config, data::Batch, kernels::Level, train::xmc::Trainer};
//!
//! // A classifier of 4 features and 3 labels, for 20 steps.
//! let mut trainer = Trainer::new(Config::default(), 4, 3, 20, Level::detect())?;
//! let mut batch = Batch::new(4);
//! batch.features.push(&[0, 2], &[1.0, 0.5])?; // a sample: features 0 and 2 with their values
//! batch.labels.push([1]);
//! let first = trainer.step(&batch)?.loss;
//! let losses = (1..20).map(|_| trainer.step(&batch).map(|step| step.loss)).collect::<Result<Vec<_>, _>>()?;
//! assert!(losses[18] < first);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guide
//!
//! The program `hotrow` (package `hotrow-cli`) is a thin shell around this crate. Whatever it does, you can call.
//!
//! | I want to | look at |
//! |---|---|
//! | train a classifier on files, as the program does | [`train::xmc`] |
//! | train a classifier on batches in memory | [`train::xmc::Trainer`], [`data::Batch`] |
//! | predict labels with a trained classifier | [`train::xmc::Predictor`] |
//! | classify without a network | [`parts`] |
//! | train a language model | [`train::lm`] |
//! | generate text | [`generate()`](generate::generate), [`model::Gpt`] |
//! | turn text into tokens | [`data::tokens`] |
//! | build a network of my own from layers | [`layer`], [`mod@module`], [`optim::Scope`], with the names of [`prelude`] |
//! | train it, with log, clipping, checkpoints and resume | [`train::network`]; `examples/custom_network.rs` is a whole one |
//! | choose an optimiser, or set one parameter's rule | [`config::Optim`], [`optim`] |
//! | find the rows with the largest scores for a query | [`index`], [`index::Index`] |
//! | add an index of my own | [`index::Index`], [`index::conformance`]; `examples/custom_index.rs` is one |
//! | sample an output layer's rows, and take the loss over them | [`active`], [`loss`] |
//! | read data files into batches | [`data::open()`], [`data::Loader`] |
//! | measure rankings: P@k, nDCG@k, PSP@k | [`metrics::Ranking`] |
//! | read and write checkpoints | [`checkpoint`] |
//! | hold sparse vectors, or rows of different lengths | [`sparse::SparseBatch`], [`ragged::Ragged`] |
//! | count operations and memory traffic | [`flops`] |
//! | call the kernels | [`kernels`], also a crate of its own: `hotrow-kernels` |
//!
//! # Which layer
//!
//! | its input is | its rows are | take |
//! |---|---|---|
//! | dense, with a bias; all rows, or a set that all samples share | neurons, labels | [`layer::Linear`] |
//! | the same, with a set of rows for each sample | neurons, labels | [`layer::Linear`] through [`layer::per_sample`] |
//! | dense, without a bias; all rows, with gradients over micro-batches | neurons | [`layer::Dense`] |
//! | sparse vectors with values, pooled, with a bias | features | [`layer::Table`] on a [`sparse::SparseBatch`] |
//! | one id for each output | tokens | [`layer::Embedding`] |
//! | lists of ids with factors, in any order, repeats allowed, no bias | any look-up table | [`layer::RowTable`] on a [`ragged::Ragged`] |
//!
//! `Table` and `RowTable` both sum rows. `Table` has a bias and pooling, and takes sorted, unique features, as
//! [`SparseBatch::push_bag`](sparse::SparseBatch::push_bag) makes them. `RowTable` takes ids as they come, and also gives the gradient of
//! the factors.
//!
//! # Features
//!
//! None is on by default. An error names the missing one.
//!
//! | feature | adds |
//! |---|---|
//! | `text` | encoding text ([`data::tokens`]), learning tokenizers, words by Unicode's rules (`data.words = "unicode"`) |
//! | `packed` | reading files packed with gzip or zstd |
//! | `arrays` | reading arrays of scipy and PECOS (`.npz`) |
//! | `signals` | `run::Signals::install`, which lets a signal end a program in good order |
//!
//! # Errors and panics
//!
//! Wrong data, options and files are an [`error::Error`], and so is memory that the system refuses. A wrong call panics and says what
//! disagrees. Some calls also have a form that returns an error: [`matrix::Matrix::try_zeros`], [`optim::Parameter::try_new`],
//! [`optim::Parameter::try_update_rows`], [`model::Gpt::try_next`], [`train::lm::try_evaluate`].
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
pub mod parts;
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
