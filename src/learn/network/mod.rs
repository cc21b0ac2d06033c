//! Networks: built from a description, executed, loaded and saved. They know no loss, no optimizer and no patch set.

mod weights;

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use crate::base::Streams;
use crate::base::random::Stream;
use crate::lang::network::NetworkSpec;
use crate::stage::StageError;

pub use weights::{LoadReport, Missing, Weights};

/// A network with its parameters and running statistics, for classifying N x H x W x 3 pixels.
pub struct Network {
    spec: NetworkSpec,
    size: usize,
    classes: usize,
    parameters: Vec<Parameter>,
    flat: Vec<f32>,
    running: Vec<f32>,
    gradient: Vec<f32>,
}

/// One parameter tensor: a name of torchvision's and where it lies in [`Network::flat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// `layer1.0.conv1.weight`.
    pub name: String,
    /// Its shape as torch has it: out x in/groups x k x k for a convolution, out x in for a linear layer.
    pub shape: Vec<usize>,
    /// Where it lies in the flat vector. The order within is the kernels' own; [`Network::tensors`] has torch's.
    pub range: Range<usize>,
    /// What it is.
    pub role: Role,
}

/// What a parameter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The kernel of a convolution or the matrix of a linear layer.
    Kernel,
    /// The bias of a convolution or of a linear layer.
    Bias,
    /// The scale of a batch norm.
    Gamma,
    /// The shift of a batch norm.
    Beta,
}

impl Network {
    /// A network with torch's initial values (`kaiming_normal_` over `fan_out` for convolutions as torchvision has
    /// it, uniform over 1/sqrt(in) for linear layers), each tensor from the stream `init` of its name. `size` is the side of
    /// the patches that linear layers after a `Flatten` are made for; other networks take any size.
    ///
    /// # Errors
    /// [`StageError::Input`] where the layers don't fit each other or the patches.
    pub fn new(spec: &NetworkSpec, size: usize, classes: usize, streams: &Streams) -> Result<Self, StageError> {
        let _ = streams;
        Ok(Self {
            spec: spec.clone(),
            size,
            classes,
            parameters: Vec::new(),
            flat: Vec::new(),
            running: Vec::new(),
            gradient: Vec::new(),
        })
    }

    /// What it was made from.
    #[must_use]
    pub fn spec(&self) -> &NetworkSpec {
        &self.spec
    }

    /// The side of the patches that it was made for, px.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many logits it gives.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Its parameters, in the order of the layers; their ranges tile [`Network::flat`].
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// All parameters as one vector.
    #[must_use]
    pub fn flat(&self) -> &[f32] {
        &self.flat
    }

    /// The running mean and variance of all batch norms as one vector, for checkpoints.
    #[must_use]
    pub fn running(&self) -> &[f32] {
        &self.running
    }

    /// The gradient of all parameters that the last [`Network::backward`] left; 0 where a parameter is frozen.
    #[must_use]
    pub fn gradient(&self) -> &[f32] {
        &self.gradient
    }

    /// Takes back what [`Network::flat`] and [`Network::running`] gave, from a checkpoint.
    ///
    /// # Errors
    /// [`StageError::Bug`] where a length is not this network's.
    pub fn restore(&mut self, flat: &[f32], running: &[f32]) -> Result<(), StageError> {
        if flat.len() != self.flat.len() || running.len() != self.running.len() {
            return Err(StageError::Bug("a checkpoint of another network".to_owned()));
        }
        self.flat.copy_from_slice(flat);
        self.running.copy_from_slice(running);
        Ok(())
    }

    /// Changes the parameters in place; `change` is given them and their gradient. For the optimizer.
    pub fn update(&mut self, change: impl FnOnce(&mut [f32], &[f32])) {
        change(&mut self.flat, &self.gradient);
    }

    /// Sets one parameter to `values`, in torch's order.
    ///
    /// # Errors
    /// [`StageError::Bug`] where there is no such parameter or the count is another.
    pub fn set(&mut self, name: &str, values: &[f32]) -> Result<(), StageError> {
        let _ = (name, values);
        Err(not_yet())
    }

    /// The last linear layer's weight and bias names; the bias is absent where the layer has none.
    ///
    /// # Errors
    /// [`StageError::Bug`] where the network has no linear layer.
    pub fn head(&self) -> Result<(String, Option<String>), StageError> {
        Err(not_yet())
    }

    /// Logits (N x classes) in training mode, on candle's tape, of normalised pixels (N x H x W x 3, f32). Batch norms use
    /// the batch's statistics and move the running ones; a batch norm whose two parameters are frozen uses the running ones
    /// and leaves them. `frozen` has an entry per parameter; dropout masks come from `dropout`.
    ///
    /// # Errors
    /// [`StageError::Input`] where the pixels don't fit the layers, [`StageError::Bug`] for candle's own.
    pub fn forward_train(&mut self, pixels: &Tensor, frozen: &[bool], dropout: Stream) -> Result<Tensor, StageError> {
        let _ = (pixels, frozen, dropout);
        Err(not_yet())
    }

    /// Runs candle's tape backward from `loss`, a scalar made from the logits of the last [`Network::forward_train`], and
    /// leaves the gradient of the parameters in [`Network::gradient`]. What is returned holds the gradients of other
    /// variables on the tape. (The parameters are no candle variables: adding up 45 MB in its `GradStore` would cost some
    /// 4 % of a step.)
    ///
    /// # Errors
    /// [`StageError::Bug`] for candle's own, and where `loss` does not depend on those logits.
    pub fn backward(&mut self, loss: &Tensor) -> Result<GradStore, StageError> {
        let _ = loss;
        Err(not_yet())
    }

    /// Logits (N x classes) in evaluation mode, off the tape, of normalised pixels (N x H x W x 3, f32): batch norms use the
    /// running statistics, folded into the convolutions.
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn forward(&self, pixels: &Tensor) -> Result<Tensor, StageError> {
        let _ = pixels;
        Err(not_yet())
    }

    /// All tensors with torchvision's names and layouts, running statistics included.
    #[must_use]
    pub fn tensors(&self) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
        BTreeMap::new()
    }

    /// The bytes of a safetensors file of [`Network::tensors`], which torch loads into torchvision's model of that name.
    ///
    /// # Errors
    /// [`StageError::Bug`] where safetensors refuses.
    pub fn save(&self) -> Result<Vec<u8>, StageError> {
        Err(not_yet())
    }

    /// Takes the tensors of `weights`. The last linear layer stays as it is where its classes differ.
    ///
    /// # Errors
    /// [`StageError::Input`] naming the tensors that are missing (under [`Missing::Error`]), of another shape, or not finite.
    pub fn load(&mut self, weights: &Weights, missing: Missing) -> Result<LoadReport, StageError> {
        let _ = (weights, missing);
        Err(not_yet())
    }

    /// Sets the gamma of each residual block's last batch norm to 0 where one of the block's kernels is named in `random`
    /// (Goyal et al. 2017, 5.1); `None` means that all are random. Returns the names set.
    pub fn zero_gamma(&mut self, random: Option<&[String]>) -> Vec<String> {
        let _ = random;
        Vec::new()
    }

    /// Makes the batch norms after convolutions that were loaded folded fit for training: runs `batches` of pixels through,
    /// layer by layer, and sets each one's running statistics to those of the convolution without its bias, gamma to
    /// sqrt(var + eps) and beta to bias + mean, which in evaluation mode is the folded network. Does nothing where
    /// [`LoadReport::folded`] is empty.
    ///
    /// # Errors
    /// As [`Network::forward_train`].
    pub fn calibrate(&mut self, batches: &[Tensor]) -> Result<(), StageError> {
        let _ = batches;
        Err(not_yet())
    }
}

fn not_yet() -> StageError {
    StageError::Bug("networks are not executed yet".to_owned())
}
