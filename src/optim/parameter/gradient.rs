//! The gradient that a parameter keeps, and the step along it.

use super::*;
use crate::kernels::gemm::Precision;
use crate::optim::product::{Gradient, LinearGradient, Products, union};
use crate::ragged::Ragged;

impl Parameter {
    /// With a sum of gradients for each weight, which [`gradient_mut`](Self::gradient_mut) gives.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if the system refuses the memory.
    pub fn with_dense_gradient(mut self) -> Result<Self> {
        self.grad = Grad::Dense(Sums::try_new(&self.name, self.rows(), self.cols(), self.stored.is_planned())?);
        Ok(self)
    }

    /// The same for a few weights, such as the scales of layers, whose squares are added up in f64.
    pub fn with_few_gradients(mut self) -> Self {
        self.grad = Grad::Few(vec![0.0; self.rows() * self.cols()]);
        self
    }

    /// With a sum of gradients for each weight of the rows that a step touches, which [`add_rows`](Self::add_rows) is for.
    ///
    /// # Errors
    ///
    /// [`Error::Memory`] if the system refuses the memory.
    pub fn with_row_gradients(mut self) -> Result<Self> {
        self.grad = Grad::Rows(RowSums::try_new(&self.name, self.rows(), self.cols(), self.stored.is_planned())?);
        Ok(self)
    }

    /// With touches as its gradient: which sample touched which row, see [`touch`](Self::touch).
    pub fn with_touches(mut self) -> Self {
        self.grad = Grad::Touches(Box::default());
        self
    }

    /// With products as its gradient: see [`keep_product`](Self::keep_product).
    pub fn with_products(mut self) -> Self {
        self.grad = Grad::Products(Products::default());
        self
    }

    /// Keeps a copy of `dz` and `x` of some samples, whose product is the gradient of their rows. Factors are rounded to `precision`.
    ///
    /// # Panics
    ///
    /// If the parameter keeps no products.
    #[track_caller]
    pub fn keep_product(&mut self, gradient: LinearGradient, precision: Precision) {
        match &mut self.grad {
            Grad::Products(_) if self.frozen => {}
            Grad::Products(products) => {
                products.precision = precision;
                products.add(gradient);
            }
            _ => panic!("{} keeps no products", self.name),
        }
    }

    /// The sum of gradients (rows, D), row after row, to be added to.
    ///
    /// # Panics
    ///
    /// If the parameter keeps none for each weight.
    #[track_caller]
    pub fn gradient_mut(&mut self) -> &mut [f32] {
        match &mut self.grad {
            Grad::Dense(sums) => sums.added(),
            Grad::Few(sums) => sums,
            _ => panic!("{} keeps no sum for each weight", self.name),
        }
    }

    /// The sum of gradients (rows, D). Of a parameter that keeps rows, those that no sample touched are unspecified.
    ///
    /// # Panics
    ///
    /// If the parameter keeps touches or nothing.
    #[track_caller]
    pub fn gradient(&mut self) -> MatRef<'_, f32> {
        let (rows, cols) = (self.rows(), self.cols());
        match &mut self.grad {
            Grad::Dense(sums) => MatRef::new(sums.added(), rows, cols),
            Grad::Few(sums) => MatRef::new(sums, rows, cols),
            Grad::Rows(sums) => sums.sums(),
            Grad::Fused | Grad::Touches(_) | Grad::Products(_) => panic!("{} keeps no sum", self.name),
        }
    }

    /// The rows that samples have touched since the last step, increasing.
    ///
    /// # Panics
    ///
    /// If the parameter keeps no sums of rows.
    #[track_caller]
    pub fn touched(&self) -> &[u32] {
        match &self.grad {
            Grad::Rows(sums) => sums.touched(),
            _ => panic!("{} keeps no sums of rows", self.name),
        }
    }

    /// The sum of gradients for a product that writes all of it, and whether what stands there is part of the sum.
    #[track_caller]
    pub(crate) fn gradient_for_product(&mut self) -> (MatMut<'_, f32>, bool) {
        match &mut self.grad {
            Grad::Dense(sums) => sums.for_product(),
            _ => panic!("{} keeps no sum for each weight", self.name),
        }
    }

    /// Has `add(sums, new)` add to the sums (rows, D) of `rows`, increasing. Those of `new` are unspecified, and to be overwritten.
    ///
    /// # Panics
    ///
    /// If the parameter keeps no sums of rows.
    #[track_caller]
    pub fn add_rows(&mut self, rows: &[u32], add: impl FnOnce(&mut [f32], &[u32])) {
        match &mut self.grad {
            Grad::Rows(_) if self.frozen => {}
            Grad::Rows(sums) => sums.add(rows, add),
            _ => panic!("{} keeps no sums of rows", self.name),
        }
    }

    /// Keeps that sample `s` touched its rows `ids`, each with its factor: the gradient of a row is the sum of `factor * dy[s]` over
    /// its touches.
    ///
    /// # Panics
    ///
    /// If the parameter keeps no touches, the shapes disagree, there is no such row, or a step has more than 2^32 touches.
    #[track_caller]
    pub fn touch(&mut self, ids: &Ragged<u32>, factors: &[f32], dy: MatRef<f32>) {
        let (rows, cols) = (self.rows(), self.cols());
        assert_eq!(ids.len(), dy.rows(), "dy has not one row for each sample");
        assert_eq!(ids.items().len(), factors.len(), "c has not one factor for each entry");
        assert_eq!(dy.cols(), cols, "dy and the rows differ in length");
        assert!(ids.items().iter().all(|&id| (id as usize) < rows), "a row is not below {rows}");
        match &mut self.grad {
            Grad::Touches(_) if self.frozen => {}
            Grad::Touches(touches) => touches.add(ids, factors, dy),
            _ => panic!("{} keeps no touches", self.name),
        }
    }

    /// The squared Euclidean length of the gradient that is kept; 0 if none is.
    pub fn squared_gradient(&mut self, work: &mut Workspace) -> f64 {
        let level = work.level;
        if self.frozen {
            return 0.0;
        }
        if let Grad::Touches(touches) = &mut self.grad {
            work.timed(Phase::Update, |_| touches.group());
        }
        work.timed(Phase::Update, |work| match &self.grad {
            Grad::Fused => 0.0,
            Grad::Products(products) => {
                let (rows, precision) = (self.rows(), products.precision);
                let groups = products.groups(rows, self.cols());
                let union = union(&groups);
                let active = RowSet::Some(UniqueRowIds::new(&union, rows).expect("rows of this matrix"));
                let gradient = Gradient::new(work, precision, &groups, active);
                self.squared_rows(active, level, |block, out| gradient.weights(block, out))
            }
            Grad::Dense(sums) if sums.empty => 0.0,
            Grad::Dense(sums) => {
                let squares = |rows: &[f32]| squared_norm(level, rows) as f64;
                let squares: Vec<f64> = sums.slice().par_chunks(1 << 14).map(squares).collect();
                squares.iter().sum()
            }
            Grad::Few(sums) => sums.iter().map(|&d| d as f64 * d as f64).sum(),
            Grad::Rows(sums) => {
                sums.touched().iter().map(|&row| squared_norm(level, sums.sums().row(row as usize)) as f64).sum()
            }
            Grad::Touches(touches) => {
                let rows = touches.rows(self.rows());
                self.squared_rows(rows, level, |block, out| touches.gradient(level, block, out))
            }
        })
    }

    /// One step along the gradient that is kept, which is then empty. Rows that nobody touched stay as they are (save in a dense
    /// Adam). A parameter that keeps none is moved by its layer.
    pub fn update(&mut self, work: &mut Workspace, step: &Step) {
        if self.frozen {
            return self.forget();
        }
        let (rows, cols, level, of_row) = (self.rows(), self.cols(), work.level, self.bytes_per_row());
        let grad = std::mem::replace(&mut self.grad, Grad::Fused);
        let grad = match grad {
            Grad::Fused => Grad::Fused,
            Grad::Dense(mut sums) => {
                work.costs.count(Phase::Update, 0, 0, rows as u64 * (of_row + 4 * cols as u64));
                work.timed(Phase::Update, |_| {
                    sums.added();
                    self.update_all(sums.view(), level, step);
                });
                sums.empty = true;
                Grad::Dense(sums)
            }
            Grad::Few(mut sums) => {
                self.update_all(MatRef::new(&sums, rows, cols), level, step);
                sums.fill(0.0);
                Grad::Few(sums)
            }
            Grad::Rows(mut sums) => {
                work.costs.count(Phase::Update, 0, 0, sums.touched().len() as u64 * of_row);
                work.timed(Phase::Update, |_| {
                    let touched = UniqueRowIds::new(sums.touched(), rows).expect("touched rows are rows");
                    self.update_rows(RowSet::Some(touched), level, step, |block, out| sums.copy(block, out));
                });
                sums.clear();
                Grad::Rows(sums)
            }
            Grad::Products(mut products) => {
                {
                    let groups = products.groups(rows, cols);
                    let union = union(&groups);
                    let pairs: usize = groups.iter().map(|group| group.dz.rows() * group.active.len()).sum();
                    let samples: usize = groups.iter().map(|group| group.dz.rows()).sum();
                    let flops = |pairs: usize| 2 * (pairs * cols) as u64;
                    work.costs.count(Phase::Update, flops(pairs), flops(samples * rows), union.len() as u64 * of_row);
                    work.timed(Phase::Update, |work| {
                        let active = RowSet::Some(UniqueRowIds::new(&union, rows).expect("rows of this matrix"));
                        let gradient = Gradient::new(work, products.precision, &groups, active);
                        self.update_rows(active, level, step, |block, out| gradient.weights(block, out));
                    });
                }
                products.clear();
                Grad::Products(products)
            }
            Grad::Touches(mut touches) => {
                work.timed(Phase::Update, |work| {
                    touches.group();
                    let (active, flops) = (touches.rows(rows), 2 * (touches.len() * cols) as u64);
                    work.costs.count(Phase::Update, flops, flops, active.len() as u64 * of_row);
                    self.update_rows(active, level, step, |block, out| touches.gradient(level, block, out));
                });
                touches.clear();
                Grad::Touches(touches)
            }
        };
        self.grad = grad;
    }

    /// Empties the gradient without a step.
    pub fn forget(&mut self) {
        match &mut self.grad {
            Grad::Fused => {}
            Grad::Dense(sums) => sums.empty = true,
            Grad::Few(sums) => sums.fill(0.0),
            Grad::Rows(sums) => sums.clear(),
            Grad::Touches(touches) => touches.clear(),
            Grad::Products(products) => products.clear(),
        }
    }
}
