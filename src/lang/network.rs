//! Network definitions: layers and their tensor names.

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Hasher};

/// A network, resolved: a sequence of layers from N x 3 x H x W pixels to N x classes logits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// The name it was defined under; not in its digest.
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
        /// Steps between the taps of the kernel, px; 1 is an ordinary convolution.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        dilation: usize,
        /// Groups; 1 is an ordinary convolution.
        groups: usize,
        /// Whether there is a `bias` (one per output channel).
        bias: bool,
        /// The input channels that the author expects; checked with the shapes, without effect on the computation.
        #[serde(skip)]
        expects: Option<usize>,
    },
    /// Batch normalisation over N (and H and W for pixels): `weight`, `bias`, `running_mean`, `running_var`.
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
    /// min(max(x, 0), 6).
    #[serde(rename = "relu6")]
    Relu6,
    /// x Phi(x), using the error function like torch's default (Hendrycks and Gimpel 2016).
    Gelu,
    /// x / (1 + exp(-x)), also called swish.
    Silu,
    /// Max pooling; padding never wins.
    MaxPool {
        /// Side of the window, px.
        kernel: usize,
        /// Stride, px.
        stride: usize,
        /// Padding on each side, px.
        padding: usize,
    },
    /// Average pooling; padding counts as zeros (torch's `count_include_pad`).
    AvgPool {
        /// Side of the window, px.
        kernel: usize,
        /// Stride, px.
        stride: usize,
        /// Padding on each side, px.
        #[serde(default, skip_serializing_if = "is_zero")]
        padding: usize,
    },
    /// Means of `side` x `side` parts that cover the input, like torch's `AdaptiveAvgPool2d`.
    AdaptiveAvgPool {
        /// Rows and columns of the output, px.
        side: usize,
    },
    /// Mean over H and W: N x C x H x W to N x C.
    GlobalAvgPool,
    /// Maximum over H and W: N x C x H x W to N x C.
    GlobalMaxPool,
    /// N x C x H x W to N x (C H W), in torch's order.
    Flatten,
    /// Zeroes a fraction of the entries during training and scales the rest by 1/(1-fraction).
    Dropout {
        /// The fraction zeroed, 0..1.
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
        /// The input features that the author expects; checked with the shapes, without effect on the computation.
        #[serde(skip)]
        expects: Option<usize>,
    },
    /// body(x) + shortcut(x); an empty shortcut is the identity.
    Residual {
        /// The main path.
        body: Vec<Layer>,
        /// The shortcut path.
        shortcut: Vec<Layer>,
    },
    /// Several branches from the same input, joined; an empty branch is the identity.
    Parallel {
        /// How their outputs are joined.
        join: Join,
        /// The branches, in the order in which they are joined.
        branches: Vec<Vec<Layer>>,
    },
}

/// How branches are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Join {
    /// Channels one after another; rows and columns must agree.
    Concat,
    /// Entry by entry; shapes must agree.
    Sum,
}

// Fields added later are omitted from the text at their neutral value, so that digests stay the same.

const fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_one(value: &usize) -> bool {
    *value == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(value: &usize) -> bool {
    *value == 0
}

impl NetworkSpec {
    /// The names of all its tensors, including running statistics, in the order of the layers.
    #[must_use]
    pub fn tensors(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut waiting: Vec<&Layer> = self.layers.iter().rev().collect();
        while let Some(layer) = waiting.pop() {
            let (name, ends): (_, &[&str]) = match layer {
                Layer::Conv { name, bias, .. } | Layer::Linear { name, bias, .. } => {
                    (name, if *bias { &["weight", "bias"] } else { &["weight"] })
                }
                Layer::BatchNorm { name, .. } => (name, &["weight", "bias", "running_mean", "running_var"]),
                Layer::Residual { body, shortcut } => {
                    waiting.extend(shortcut.iter().rev().chain(body.iter().rev()));
                    continue;
                }
                Layer::Parallel { branches, .. } => {
                    waiting.extend(branches.iter().rev().flat_map(|branch| branch.iter().rev()));
                    continue;
                }
                _ => continue,
            };
            all.extend(ends.iter().map(|end| format!("{name}.{end}")));
        }
        all
    }

    /// Digest of what it computes: its layers with their tensor names, not its own name.
    ///
    /// # Panics
    /// Never: layers always serialise.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let text = serde_json::to_string(&self.layers).expect("layers serialise");
        Hasher::new("macula network 1").text(&text).finish()
    }
}
