//! hotrow trains and runs very large networks on CPUs by computing only the rows that matter.
#![forbid(unsafe_code)]

pub mod config;
pub mod data;
pub mod error;
pub mod flops;
pub mod index;
pub mod machine;
pub mod matrix;
pub mod provenance;
pub mod ragged;
pub mod report;
pub mod rng;
pub mod sparse;
pub mod tensor;

pub use hotrow_kernels as kernels;

/// The examples of the README run as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct ReadmeExamples;

/// So do those of the kernel crate's README.
#[cfg(doctest)]
#[doc = include_str!("../kernels/README.md")]
pub struct KernelsReadmeExamples;
