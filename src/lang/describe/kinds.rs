//! The layer types: syntax, properties, and the names that other frameworks use. Reads no text.

/// A layer type.
#[derive(Debug)]
pub struct LayerKind {
    /// Its name (`conv`).
    pub name: &'static str,
    /// Whether it has tensors, and so a name.
    pub named: bool,
    /// What it does, with shapes.
    pub doc: &'static str,
    /// Its properties.
    pub params: &'static [LayerParam],
    /// The nodes in its braces; empty for most.
    pub holds: &'static [&'static str],
}

/// A property of a layer.
#[derive(Debug)]
pub struct LayerParam {
    /// Its name (`kernel`).
    pub name: &'static str,
    /// The values that it takes.
    pub ty: PropertyType,
    /// The value if it is not set.
    pub absent: DefaultValue,
    /// What it means.
    pub doc: &'static str,
}

/// The values that a property takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PropertyType {
    /// A whole number from the first to the second.
    Whole(i64, i64),
    /// A number from 0 to below 1.
    Share,
    /// `#true` or `#false`.
    Flag,
    /// One of a set of words.
    Word(&'static [&'static str]),
}

/// The value of a property that is not set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DefaultValue {
    /// It is required.
    Needed,
    /// A whole number.
    Whole(i64),
    /// A number.
    Real(f64),
    /// `#true` or `#false`.
    Flag(bool),
    /// The value of this other property.
    Same(&'static str),
    /// No value, which means this.
    Nothing(&'static str),
}

const fn kind(name: &'static str, doc: &'static str, params: &'static [LayerParam]) -> LayerKind {
    LayerKind { name, named: false, doc, params, holds: &[] }
}

const fn named(name: &'static str, doc: &'static str, params: &'static [LayerParam]) -> LayerKind {
    LayerKind { name, named: true, doc, params, holds: &[] }
}

const fn param(name: &'static str, ty: PropertyType, absent: DefaultValue, doc: &'static str) -> LayerParam {
    LayerParam { name, ty, absent, doc }
}

const BIAS: LayerParam =
    param("bias", PropertyType::Flag, DefaultValue::Flag(true), "Whether to add a bias per output.");
const STRIDE: LayerParam =
    param("stride", PropertyType::Whole(1, 64), DefaultValue::Same("kernel"), "Stride of the window, px.");

/// Every layer type, in the order of the manual.
pub const KINDS: [LayerKind; 16] = [
    named(
        "conv",
        "2-D convolution with a square kernel: C x H x W to `out` x H' x W', H' = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down.",
        &[
            param("out", PropertyType::Whole(1, 65_536), DefaultValue::Needed, "Number of output channels."),
            param("kernel", PropertyType::Whole(1, 64), DefaultValue::Needed, "Side of the kernel, px."),
            param("stride", PropertyType::Whole(1, 64), DefaultValue::Whole(1), "Stride of the kernel, px."),
            param(
                "padding",
                PropertyType::Whole(0, 1024),
                DefaultValue::Whole(0),
                "Zeros around the input, px on each side.",
            ),
            param("dilation", PropertyType::Whole(1, 64), DefaultValue::Whole(1), "Dilation of the kernel, px."),
            param(
                "groups",
                PropertyType::Whole(1, 65_536),
                DefaultValue::Whole(1),
                "Number of groups; it must divide the input and output channels. One group and depthwise convolutions are fast; others are slower per multiply-add.",
            ),
            BIAS,
            param(
                "in",
                PropertyType::Whole(1, 65_536),
                DefaultValue::Nothing("any"),
                "Expected number of input channels, for checking.",
            ),
        ],
    ),
    named(
        "batch-norm",
        "Batch normalisation per channel; the shape is unchanged.",
        &[
            param("eps", PropertyType::Share, DefaultValue::Real(1e-5), "Added to the variance."),
            param(
                "momentum",
                PropertyType::Share,
                DefaultValue::Real(0.1),
                "Weight of a new batch in the running statistics, as in torch.",
            ),
        ],
    ),
    kind("relu", "max(x, 0).", &[]),
    kind("relu6", "min(max(x, 0), 6).", &[]),
    kind("gelu", "x Phi(x) with the error function, like torch's default; not the `tanh` approximation.", &[]),
    kind("silu", "x / (1 + exp(-x)), also called swish.", &[]),
    kind(
        "max-pool",
        "The maximum of each window; padding never counts. H' = (H + 2 padding - kernel) / stride + 1, rounded down.",
        &[
            param("kernel", PropertyType::Whole(1, 15), DefaultValue::Needed, "Side of the window, px."),
            STRIDE,
            param(
                "padding",
                PropertyType::Whole(0, 7),
                DefaultValue::Whole(0),
                "Padding on each side, px; at most half the window.",
            ),
        ],
    ),
    kind(
        "avg-pool",
        "The mean of each window; padding counts as zeros, like torch's default. H' as for `max-pool`.",
        &[
            param("kernel", PropertyType::Whole(1, 64), DefaultValue::Needed, "Side of the window, px."),
            STRIDE,
            param(
                "padding",
                PropertyType::Whole(0, 32),
                DefaultValue::Whole(0),
                "Padding on each side, px; at most half the window.",
            ),
        ],
    ),
    kind(
        "adaptive-avg-pool",
        "Means of `side` x `side` parts that cover the input, whatever its size, like torch's `AdaptiveAvgPool2d`.",
        &[param("side", PropertyType::Whole(1, 64), DefaultValue::Needed, "Rows and columns of the output, px.")],
    ),
    kind("global-avg-pool", "The mean over all pixels: C x H x W to C.", &[]),
    kind("global-max-pool", "The maximum over all pixels: C x H x W to C.", &[]),
    kind("flatten", "C x H x W to C H W features, in torch's order. The layers after it fit only one patch size.", &[]),
    kind(
        "dropout",
        "Zeroes a fraction of the entries during training and scales the rest by 1 / (1 - fraction).",
        &[param("share", PropertyType::Share, DefaultValue::Needed, "The fraction that is zeroed.")],
    ),
    named(
        "linear",
        "Fully connected: features to `out` features.",
        &[
            param(
                "out",
                PropertyType::Whole(1, 65_536),
                DefaultValue::Nothing("one logit per class"),
                "Number of output features. Omit it for the last layer.",
            ),
            BIAS,
            param(
                "in",
                PropertyType::Whole(1, 1 << 40),
                DefaultValue::Nothing("any"),
                "Expected number of input features, for checking.",
            ),
        ],
    ),
    LayerKind {
        name: "residual",
        named: false,
        doc: "body(x) + shortcut(x). Without a shortcut, x itself is added. Both must have the same shape.",
        params: &[],
        holds: &["body", "shortcut"],
    },
    LayerKind {
        name: "parallel",
        named: false,
        doc: "Two or more `branch`es from the same x, joined. In `branch NAME { … }` the name is a prefix of its tensor names; an empty branch is x itself.",
        params: &[param(
            "join",
            PropertyType::Word(&["concat", "sum"]),
            DefaultValue::Needed,
            "`concat`: channels one after another; rows and columns must agree. `sum`: element-wise; shapes must agree.",
        )],
        holds: &["branch"],
    },
];

/// The layer type with a name.
#[must_use]
pub fn find(name: &str) -> Option<&'static LayerKind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// A hint for a layer name of another framework.
pub(in crate::lang) fn meant(name: &str) -> Option<String> {
    let flat = name.to_lowercase().replace(['-', '_', '.'], "");
    let hint = match flat.as_str() {
        "bn" | "batchnormalization" => "write `batch-norm`",
        "dense" | "fc" | "fullyconnected" | "gemm" => "write `linear`",
        "swish" => "write `silu`",
        "gap" | "globalpool" | "globalaveragepool" => "write `global-avg-pool`",
        "averagepool" | "meanpool" => "write `avg-pool`",
        "adaptivepool" | "adaptiveaveragepool" | "adaptiveavgpool2d" => "write `adaptive-avg-pool side=…`",
        "add" | "skip" => "write `residual { body { … } }` or `parallel join=sum { branch { … }; branch { … } }`",
        "cat" | "concat" | "concatenate" => "write `parallel join=concat { branch { … }; branch { … } }`",
        "identity" | "branch" | "shortcut" | "body" => {
            "`residual` contains `body` and `shortcut`, `parallel` contains `branch`es; an empty one is the identity"
        }
        "sequential" => "write layers one after another; `block NAME { … }` names a reusable part",
        "sigmoid" | "softmax" => "remove it: losses, thresholds and scores use logits",
        "leakyrelu" | "prelu" | "elu" | "selu" | "tanh" | "hardswish" | "hardtanh" | "mish" | "softplus" => {
            "available activations: `relu`, `relu6`, `gelu` and `silu`"
        }
        "layernorm" | "groupnorm" | "instancenorm" | "ln" | "gn" => "available normalisation: `batch-norm`",
        "convtranspose" | "convtranspose2d" | "deconv" | "upsample" | "interpolate" => {
            "networks here are classifiers; no layer upsamples"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The property meant by a property name of another framework.
pub(super) fn meant_param(kind: &LayerKind, name: &str) -> Option<&'static str> {
    let flat = name.to_lowercase().replace(['-', '_'], "");
    let meant: &[&str] = match flat.as_str() {
        "channels" | "filters" | "outchannels" | "outfeatures" | "units" | "width" => &["out"],
        "inchannels" | "infeatures" => &["in"],
        "size" | "window" | "kernelsize" | "k" | "ksize" | "outputsize" => &["kernel", "side"],
        "p" | "rate" | "prob" | "probability" | "drop" => &["share"],
        "strides" | "step" => &["stride"],
        "pad" => &["padding"],
        "epsilon" => &["eps"],
        "how" | "by" | "mode" | "type" => &["join"],
        _ => &[],
    };
    kind.params.iter().map(|param| param.name).find(|name| meant.contains(name))
}
