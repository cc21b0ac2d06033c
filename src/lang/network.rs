//! Descriptions of networks: layers, their tensor names, and the shapes that follow.

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Hasher};

/// A network, resolved: a sequence of layers from N x 3 x H x W pixels to N x classes logits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// The name it was described under; not in its digest.
    pub name: String,
    /// Its layers, in order.
    pub layers: Vec<Layer>,
}

/// One layer. `name` is the prefix of its tensors (`layer1.0.conv1` gives `layer1.0.conv1.weight`), as torchvision has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Layer {
    /// 2-D convolution, square kernel; `weight` is out x in/groups x k x k.
    Conv {
        /// Tensor prefix.
        name: String,
        /// Output channels.
        out: usize,
        /// Side of the kernel, px.
        kernel: usize,
        /// Stride, px.
        stride: usize,
        /// Zero padding on each side, px.
        padding: usize,
        /// Groups; 1 is an ordinary convolution.
        groups: usize,
        /// Whether there is a `bias` (one per output channel).
        bias: bool,
    },
    /// Batch normalisation over N, H, W: `weight`, `bias`, `running_mean`, `running_var`.
    BatchNorm {
        /// Tensor prefix.
        name: String,
        /// Added to the variance.
        eps: f64,
        /// Weight of the new batch in the running statistics (torch's convention, 0.1 there).
        momentum: f64,
    },
    /// max(x, 0).
    Relu,
    /// Max pooling; padding never wins.
    MaxPool {
        /// Side of the window, px.
        kernel: usize,
        /// Stride, px.
        stride: usize,
        /// Padding on each side, px.
        padding: usize,
    },
    /// Average pooling without padding.
    AvgPool {
        /// Side of the window, px.
        kernel: usize,
        /// Stride, px.
        stride: usize,
    },
    /// Mean over H and W: N x C x H x W to N x C.
    GlobalAvgPool,
    /// N x C x H x W to N x (C H W), in torch's order.
    Flatten,
    /// Zeroes a share of the entries while training and scales the rest by 1/(1-share).
    Dropout {
        /// The share zeroed, 0..1.
        share: f64,
    },
    /// Fully connected: `weight` is out x in, `bias` is out.
    Linear {
        /// Tensor prefix.
        name: String,
        /// Output features; `None` is the number of classes.
        out: Option<usize>,
        /// Whether there is a bias.
        bias: bool,
    },
    /// body(x) + shortcut(x); an empty shortcut is the identity.
    Residual {
        /// The long way.
        body: Vec<Layer>,
        /// The short way.
        shortcut: Vec<Layer>,
    },
}

impl NetworkSpec {
    /// The digest of what it computes: its layers with their tensor names, not its own name.
    ///
    /// # Panics
    /// Never: layers always serialise.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let text = serde_json::to_string(&self.layers).expect("layers serialise");
        Hasher::new("macula network 1").text(&text).finish()
    }
}
