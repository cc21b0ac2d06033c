//! The kinds of layers: how they are written, what their properties mean, and what people write instead. Reads no text.

/// A kind of layer.
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
    /// What stands in its braces; nothing for most.
    pub holds: &'static [&'static str],
}

/// A property of a layer.
#[derive(Debug)]
pub struct LayerParam {
    /// Its name (`kernel`).
    pub name: &'static str,
    /// What it may be.
    pub ty: Type,
    /// What it is where it is not given.
    pub absent: Absent,
    /// What it means.
    pub doc: &'static str,
}

/// What a property may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// A whole number from the first to the second.
    Whole(i64, i64),
    /// A number from 0 to under 1.
    Share,
    /// `#true` or `#false`.
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// What a property is where it is not given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Absent {
    /// It must be given.
    Needed,
    /// A whole number.
    Whole(i64),
    /// A number.
    Real(f64),
    /// `#true` or `#false`.
    Flag(bool),
    /// What this other property is.
    Same(&'static str),
    /// Nothing, which means this.
    Nothing(&'static str),
}

const fn kind(name: &'static str, doc: &'static str, params: &'static [LayerParam]) -> LayerKind {
    LayerKind { name, named: false, doc, params, holds: &[] }
}

const fn named(name: &'static str, doc: &'static str, params: &'static [LayerParam]) -> LayerKind {
    LayerKind { name, named: true, doc, params, holds: &[] }
}

const fn param(name: &'static str, ty: Type, absent: Absent, doc: &'static str) -> LayerParam {
    LayerParam { name, ty, absent, doc }
}

const BIAS: LayerParam = param("bias", Type::Flag, Absent::Flag(true), "Whether something is added per output.");
const STRIDE: LayerParam = param("stride", Type::Whole(1, 64), Absent::Same("kernel"), "Steps of the window, px.");

/// Every kind of layer, in the order of the manual.
pub const KINDS: [LayerKind; 16] = [
    named(
        "conv",
        "2-D convolution with a square kernel: C x H x W to `out` x H' x W', H' = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down.",
        &[
            param("out", Type::Whole(1, 65_536), Absent::Needed, "Channels that it gives."),
            param("kernel", Type::Whole(1, 64), Absent::Needed, "Side of the kernel, px."),
            param("stride", Type::Whole(1, 64), Absent::Whole(1), "Steps of the kernel, px."),
            param("padding", Type::Whole(0, 1024), Absent::Whole(0), "Zeros around the input, px on each side."),
            param("dilation", Type::Whole(1, 64), Absent::Whole(1), "Steps between the taps of the kernel, px."),
            param(
                "groups",
                Type::Whole(1, 65_536),
                Absent::Whole(1),
                "Groups of channels that are convolved apart; it divides the channels in and out. Fast for one group and for one channel a group; else correct, but slower per multiply-add.",
            ),
            BIAS,
            param(
                "in",
                Type::Whole(1, 65_536),
                Absent::Nothing("what it gets"),
                "Channels that it is meant to get: checked.",
            ),
        ],
    ),
    named(
        "batch-norm",
        "Batch normalisation by channel; the shape stays.",
        &[
            param("eps", Type::Share, Absent::Real(1e-5), "Added to the variance."),
            param(
                "momentum",
                Type::Share,
                Absent::Real(0.1),
                "Weight of a new batch in the running statistics, as torch has it.",
            ),
        ],
    ),
    kind("relu", "max(x, 0).", &[]),
    kind("relu6", "min(max(x, 0), 6).", &[]),
    kind("gelu", "x Phi(x) by the error function: torch's default, not its `tanh` approximation.", &[]),
    kind("silu", "x / (1 + exp(-x)), also called swish.", &[]),
    kind(
        "max-pool",
        "The maximum of each window; padding never wins. H' = (H + 2 padding - kernel) / stride + 1, rounded down.",
        &[
            param("kernel", Type::Whole(1, 15), Absent::Needed, "Side of the window, px."),
            STRIDE,
            param("padding", Type::Whole(0, 7), Absent::Whole(0), "On each side, px; at most half the window."),
        ],
    ),
    kind(
        "avg-pool",
        "The mean of each window; padding counts as zeros, as torch's default. H' as of `max-pool`.",
        &[
            param("kernel", Type::Whole(1, 64), Absent::Needed, "Side of the window, px."),
            STRIDE,
            param("padding", Type::Whole(0, 32), Absent::Whole(0), "On each side, px; at most half the window."),
        ],
    ),
    kind(
        "adaptive-avg-pool",
        "Means of `side` x `side` parts that cover the input, whatever its size: torch's `AdaptiveAvgPool2d`.",
        &[param("side", Type::Whole(1, 64), Absent::Needed, "Rows and columns that it gives, px.")],
    ),
    kind("global-avg-pool", "The mean over all pixels: C x H x W to C.", &[]),
    kind("global-max-pool", "The maximum over all pixels: C x H x W to C.", &[]),
    kind("flatten", "C x H x W to C H W features, in torch's order. What follows fits one size of patches alone.", &[]),
    kind(
        "dropout",
        "Zeroes a share of the entries while training and scales the rest by 1 / (1 - share).",
        &[param("share", Type::Share, Absent::Needed, "The share that is zeroed.")],
    ),
    named(
        "linear",
        "Fully connected: features to `out` features.",
        &[
            param(
                "out",
                Type::Whole(1, 65_536),
                Absent::Nothing("one logit per class"),
                "Features that it gives. The last layer leaves it out.",
            ),
            BIAS,
            param(
                "in",
                Type::Whole(1, 1 << 40),
                Absent::Nothing("what it gets"),
                "Features that it is meant to get: checked.",
            ),
        ],
    ),
    LayerKind {
        name: "residual",
        named: false,
        doc: "body(x) + shortcut(x). Without a shortcut, x itself is added. Both must give one shape.",
        params: &[],
        holds: &["body", "shortcut"],
    },
    LayerKind {
        name: "parallel",
        named: false,
        doc: "Two or more `branch`es from the same x, joined. `branch NAME { … }` begins the names of its tensors; an empty branch gives x itself.",
        params: &[param(
            "join",
            Type::Word(&["concat", "sum"]),
            Absent::Needed,
            "`concat`: the branches' channels one after the other; rows and columns must agree. `sum`: entry by entry; shapes must agree.",
        )],
        holds: &["branch"],
    },
];

/// The kind of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static LayerKind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// What to say to someone who writes a layer by a name that other frameworks have for it.
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
            "`residual` holds `body` and `shortcut`, `parallel` holds `branch`es; an empty one is the identity"
        }
        "sequential" => "layers stand one after the other as they are; `block NAME { … }` names what repeats",
        "sigmoid" | "softmax" => "leave it out: losses, thresholds and scores take logits",
        "leakyrelu" | "prelu" | "elu" | "selu" | "tanh" | "hardswish" | "hardtanh" | "mish" | "softplus" => {
            "the activations that there are: `relu`, `relu6`, `gelu` and `silu`"
        }
        "layernorm" | "groupnorm" | "instancenorm" | "ln" | "gn" => "the norm that there is: `batch-norm`",
        "convtranspose" | "convtranspose2d" | "deconv" | "upsample" | "interpolate" => {
            "networks classify here: no layer makes images larger"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// The property that is meant by a name that other frameworks have for it.
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
