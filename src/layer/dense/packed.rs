//! Weights packed for products, once a step.

use std::cell::Cell;
use std::sync::{Mutex, OnceLock};

use rayon::prelude::*;

use crate::kernels::gemm::{Operand, Output, PackedPanel, Precision, gemm};
use crate::kernels::{Level, MatMut, MatRef};
use crate::scratch::lend;

thread_local! {
    /// The left factor of a product of this thread.
    pub(super) static LEFT: Cell<PackedPanel> = Cell::default();
}

/// Packed weights: a panel for so many rows, made when first asked for.
#[derive(Debug, Default)]
pub(super) struct Packed {
    panels: OnceLock<Vec<PackedPanel>>,
    /// Panels that are out of date; their memory serves again.
    old: Mutex<Vec<PackedPanel>>,
}

impl Packed {
    pub fn panels(
        &self,
        weights: MatRef<f32>,
        each: usize,
        pack: impl Fn(&mut PackedPanel, MatRef<f32>) + Sync,
    ) -> &[PackedPanel] {
        if let Some(panels) = self.panels.get() {
            return panels;
        }
        // Not inside `get_or_init`: a thread that waits there for its pieces may be given work that waits for it.
        let mut panels = std::mem::take(&mut *self.old.lock().expect("nobody panics with the lock"));
        panels.resize_with(weights.rows().div_ceil(each), PackedPanel::new);
        panels.par_iter_mut().enumerate().for_each(|(p, panel)| {
            let rows = p * each..weights.rows().min((p + 1) * each);
            pack(panel, weights.window(rows, 0..weights.cols()));
        });
        self.panels.get_or_init(|| panels)
    }

    /// The panels, once they have been asked for.
    pub fn ready(&self) -> &[PackedPanel] {
        self.panels.get().map_or(&[], Vec::as_slice)
    }

    pub fn clear(&mut self) {
        if let Some(panels) = self.panels.take() {
            *self.old.get_mut().expect("nobody panics with the lock") = panels;
        }
    }
}

/// Packed weights as a right factor.
#[derive(Clone, Copy)]
pub(in crate::layer) struct Factor<'a> {
    pub(super) level: Level,
    pub(super) precision: Precision,
    /// Of [`PANEL_ROWS`](super::PANEL_ROWS) rows each, unless the layer said otherwise.
    pub panels: &'a [PackedPanel],
    pub(super) transposed: bool,
}

impl Factor<'_> {
    /// `y (+)= x W^T` or `y (+)= x W`, on this thread.
    pub fn multiply(&self, x: MatRef<f32>, mut y: MatMut<f32>, add: bool) {
        lend(&LEFT, |left| {
            let (rows, mut from) = (x.rows(), 0);
            if self.transposed {
                left.pack_left(self.level, self.precision, Operand::new(x));
            }
            for (p, panel) in self.panels.iter().enumerate() {
                if self.transposed {
                    let block = from..from + panel.outer();
                    from = block.end;
                    let out = Output::new(y.reborrow().window(0..rows, block));
                    gemm(self.level, if add { out.added() } else { out }, left, panel);
                } else {
                    let block = from..from + panel.depth();
                    from = block.end;
                    left.pack_left(self.level, self.precision, Operand::new(x.window(0..rows, block)));
                    let out = Output::new(y.reborrow());
                    gemm(self.level, if add || p > 0 { out.added() } else { out }, left, panel);
                }
            }
        });
    }
}
