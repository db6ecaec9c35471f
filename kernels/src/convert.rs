//! Changes of storage: f32 to and from bf16, and to and from 8-bit rows with one scale a row.
//!
//! | kernel | meaning |
//! |---|---|
//! | [`bf16_from_f32`] | the nearest bf16, ties to even |
//! | [`bf16_from_f32_stochastic`] | one of the two neighbouring bf16, with mean `x` |
//! | [`f32_from_bf16`] | exact |
//! | [`i8_rows_from_f32`] | `q[r] = round(x[r] / scale[r])`, to nearest; the largest magnitude of a row is 127 |
//! | [`i8_rows_from_f32_stochastic`] | the same, rounded with mean `x / scale` |
//! | [`f32_rows_from_i8`] | `x[r] = scale[r] * q[r]` |
//! | [`rows_dot_i8`] | `out[a] = scale[active[a]] * <q[active[a]], x>` |
//!
//! All but the dot product give the same bits on every level. They are integer arithmetic, or one correctly rounded
//! operation an element. Random bits depend on a [`RandomKey`] and the number of the element. They do not depend on the
//! level, the thread or what was converted before.

mod half_rows;
mod int8;
mod random;

pub use half_rows::{bf16_from_f32, bf16_from_f32_stochastic, f32_from_bf16};
pub use int8::{f32_rows_from_i8, i8_rows_from_f32, i8_rows_from_f32_stochastic, rows_dot_i8};
pub use random::RandomKey;

pub(crate) use half_rows::stochastic_bf16_bits;
pub(crate) use random::Noise;
