//! hotrow trains and runs very large networks on CPUs by computing only the rows that matter.
#![forbid(unsafe_code)]

pub use hotrow_kernels as kernels;
