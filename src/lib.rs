//! hotrow trains and runs very large networks on CPUs by computing only the rows that matter.
// Not `forbid`: `data::map` maps files.
#![deny(unsafe_code)]

pub mod active;
pub mod bench;
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
pub mod optim;
pub mod order;
pub mod provenance;
pub mod ragged;
pub mod report;
pub mod rng;
pub mod run;
mod scratch;
pub mod sparse;
pub mod tensor;
pub mod train;

pub use hotrow_kernels as kernels;

/// The examples of the README run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;

/// So do those of the kernel crate's README.
#[cfg(doctest)]
#[doc = include_str!("../kernels/README.md")]
pub struct KernelsReadmeExamples;
