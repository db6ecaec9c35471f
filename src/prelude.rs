//! The names that a network of your own needs: `use hotrow::prelude::*;`.

pub use crate::active::ActiveSet;
pub use crate::config::{Optim, Pooling, Storage};
pub use crate::error::{Error, Result};
pub use crate::index::{Buckets, Index, Rebuilds};
pub use crate::kernels::{Level, MatMut, MatRef};
pub use crate::layer::{Dense, Embedding, Linear, RmsNorm, RowTable, Sampled, SampledOptions, Table};
pub use crate::module::Module;
pub use crate::optim::{Group, Parameter, Rule, Scope, Step};
pub use crate::run::{Signals, Summary};
pub use crate::sparse::SparseBatch;
pub use crate::train::Options;
pub use crate::train::network::{Loss, Network, Plan, Schedule, Trainer};
pub use crate::work::Workspace;
