//! candle: a kernel becomes an operation on CPU tensors through `CustomOp2`.

use candle_core::{CpuStorage, CustomOp2, D, Device, Layout, Shape, Tensor, WithDType};
use hotrow_kernels::rows::rows_dot;
use hotrow_kernels::{Level, MatRef, RowIds, Weight, bf16};

use crate::{Outcome, bound, numbers};

/// `out[a] = <W[active[a], :], x>` for the tensors `W` (rows, D), f32 or bf16, and `x` (D), f32.
struct RowsDot {
    level: Level,
    active: Vec<u32>,
}

impl CustomOp2 for RowsDot {
    fn name(&self) -> &'static str {
        "rows-dot"
    }

    fn cpu_fwd(
        &self,
        w: &CpuStorage,
        w_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let x = contiguous(x.as_slice()?, x_layout)?;
        let out = match w {
            CpuStorage::F32(w) => self.run(contiguous(w, w_layout)?, w_layout, x)?,
            CpuStorage::BF16(w) => self.run(contiguous(w, w_layout)?, w_layout, x)?,
            _ => candle_core::bail!("rows-dot: w is neither f32 nor bf16"),
        };
        let shape = Shape::from(out.len());
        Ok((CpuStorage::F32(out), shape))
    }
}

impl RowsDot {
    fn run<W: Weight>(&self, w: &[W], layout: &Layout, x: &[f32]) -> candle_core::Result<Vec<f32>> {
        let (rows, cols) = layout.shape().dims2()?;
        if cols != x.len() {
            candle_core::bail!("rows-dot: rows of {cols} numbers and a vector of {}", x.len());
        }
        let active = RowIds::new(&self.active, rows).map_err(candle_core::Error::wrap)?;
        let mut out = vec![0.0; active.len()];
        rows_dot(self.level, &mut out, active, MatRef::new(w, rows, cols), x);
        Ok(out)
    }
}

/// The elements of a tensor, if they follow each other.
fn contiguous<'a, T>(data: &'a [T], layout: &Layout) -> candle_core::Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&data[start..end]),
        None => candle_core::bail!("rows-dot: a tensor is not contiguous"),
    }
}

pub fn run(level: Level) -> Outcome {
    let (rows, cols) = (50, 37);
    let w = Tensor::from_vec(numbers(rows * cols, 3), (rows, cols), &Device::Cpu)?;
    let x = Tensor::from_vec(numbers(cols, 4), cols, &Device::Cpu)?;
    let active = vec![49, 3, 3, 17];
    let op = || RowsDot { level, active: active.clone() };

    for dtype in [f32::DTYPE, bf16::DTYPE] {
        let w = w.to_dtype(dtype)?;
        let gathered = w.to_dtype(f32::DTYPE)?.index_select(&Tensor::new(active.as_slice(), &Device::Cpu)?, 0)?;
        let products = gathered.broadcast_mul(&x)?;
        let (want, magnitude) = (products.sum(D::Minus1)?, products.abs()?.sum(D::Minus1)?);
        let got = w.apply_op2_no_bwd(&x, &op())?;
        let far = (got - want)?.abs()?.gt(&(magnitude * bound(cols, 1.0) as f64)?)?;
        assert_eq!(far.to_vec1::<u8>()?, [0; 4], "{level}, {dtype:?}");
    }

    // What does not fit is an error of candle, not a wrong answer.
    assert!(w.t()?.apply_op2_no_bwd(&x, &op()).is_err());
    let outside = RowsDot { level, active: vec![50] };
    assert!(w.apply_op2_no_bwd(&x, &outside).is_err());
    Ok(())
}
