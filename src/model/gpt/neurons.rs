//! The feed-forward half of a block, of whichever kind.
//!
//! A new kind is a layer in a file of its own, a line in [`neurons!`], and an arm in [`new`].

use std::any::Any;
use std::fmt::Debug;

use crate::config::lm::feed_forward::FeedForwardKind;
use crate::config::lm::{FeedForwardOptions, Model};
use crate::error::Result;
use crate::kernels::{MatMut, MatRef};
use crate::layer::{
    BlockFeedForward, BlockFeedForwardOptions, BlockFeedForwardSaved, FeedForward, FeedForwardSaved,
    SampledFeedForward, SampledFeedForwardOptions, SampledSaved, Stream, Workspace,
};
use crate::module::Module;
use crate::optim::Scope;

/// A layer from the residual stream to itself, norm and residual included.
pub trait Neurons: Module + Debug + Send + Sync {
    /// `y` (T, D) for `x` (T, D).
    fn forward(&self, work: &mut Workspace, x: MatRef<f32>, y: MatMut<f32>, saved: &mut NeuronsSaved);

    /// `dx` (T, D), written over, for `dy` (T, D); `x` is the input that `saved` is of.
    fn backward(
        &mut self,
        work: &mut Workspace,
        x: MatRef<f32>,
        saved: &NeuronsSaved,
        dy: MatRef<f32>,
        dx: MatMut<f32>,
    );

    /// The forward pass of a few tokens, as in generation.
    fn extend(&self, work: &mut Workspace, x: MatRef<f32>, y: MatMut<f32>) {
        self.forward(work, x, y, &mut NeuronsSaved::default());
    }
}

/// What the backward pass of a layer needs of its forward pass.
#[derive(Debug, Default)]
pub struct NeuronsSaved(Option<Box<dyn Any + Send + Sync>>);

impl NeuronsSaved {
    /// As the type that the layer keeps, which starts as its default.
    pub fn begin<S: Default + Send + Sync + 'static>(&mut self) -> &mut S {
        if !self.0.as_ref().is_some_and(|saved| saved.is::<S>()) {
            self.0 = Some(Box::new(S::default()));
        }
        self.0.as_mut().and_then(|saved| saved.downcast_mut()).expect("of this type by now")
    }

    /// What the forward pass has left.
    ///
    /// # Panics
    ///
    /// If it was that of another layer, or there was none.
    pub fn kept<S: 'static>(&self) -> &S {
        self.0.as_ref().and_then(|saved| saved.downcast_ref()).expect("the forward pass of this layer came before")
    }
}

/// Layers whose own methods are those of [`Neurons`], each with what it saves.
macro_rules! neurons {
    ($($layer:ty: $saved:ty $(, $extend:ident)?;)*) => {$(
        impl Neurons for $layer {
            fn forward(&self, work: &mut Workspace, x: MatRef<f32>, y: MatMut<f32>, saved: &mut NeuronsSaved) {
                self.forward(work, x, y, saved.begin::<$saved>());
            }

            fn backward(
                &mut self,
                work: &mut Workspace,
                x: MatRef<f32>,
                saved: &NeuronsSaved,
                dy: MatRef<f32>,
                dx: MatMut<f32>,
            ) {
                self.backward(work, x, saved.kept::<$saved>(), dy, dx);
            }

            $(fn extend(&self, work: &mut Workspace, x: MatRef<f32>, y: MatMut<f32>) {
                self.$extend(work, x, y);
            })?
        }
    )*};
}

neurons! {
    FeedForward: FeedForwardSaved, extend;
    SampledFeedForward: SampledSaved;
    BlockFeedForward: BlockFeedForwardSaved;
}

/// The kind that `options` name.
pub(super) fn new(scope: &Scope, options: &FeedForwardOptions, model: &Model) -> Result<Box<dyn Neurons>> {
    let (stream, inner) = (Stream::from(model), model.inner());
    Ok(match options.kind {
        FeedForwardKind::Dense => Box::new(FeedForward::new(scope, stream, inner, model.activation)?),
        FeedForwardKind::Sampled => {
            let &FeedForwardOptions { active, rebuild_every, .. } = options;
            let options = SampledFeedForwardOptions { active, index: options.index_options(), rebuild_every };
            let layer = SampledFeedForward::new(scope, stream, inner, &options);
            Box::new(layer.map_err(|error| error.of_section("feed_forward"))?)
        }
        FeedForwardKind::Blocks => {
            let &FeedForwardOptions { neurons, chosen, balance, .. } = options;
            let options = BlockFeedForwardOptions { neurons, chosen, balance };
            Box::new(BlockFeedForward::new(scope, stream, inner, options)?)
        }
    })
}
