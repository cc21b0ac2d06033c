//! The layer types by name, and the names that other frameworks use. Reads no text.

pub use crate::lang::network::{DefaultValue, KINDS, LayerKind, LayerParam, PropertyType};

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
        "layerscale" => "write `channel-scale NAME`",
        "clstoken" | "classtoken" => "write `class-token cls_token`",
        "posembed" | "positionalembedding" | "positionembedding" | "posembedding" => "write `position-table pos_embed`",
        "softmax" => "remove it: losses, thresholds and scores use logits",
        "leakyrelu" | "prelu" | "elu" | "selu" | "hardswish" | "hardtanh" | "mish" | "softplus" => {
            "available activations: `relu`, `relu6`, `gelu`, `silu`, `tanh` and `sigmoid`"
        }
        "ln" => "write `layer-norm`",
        "attention" | "multiheadattention" | "msa" | "mha" => "write `self-attention NAME heads=…`",
        "droppath" | "dropconnect" => "write `stochastic-depth share=…` at the end of the `body` of `residual`",
        "pixelunshuffle" | "patchmerging" | "focus" => "write `space-to-depth`",
        "mlp" | "pointwise" | "conv1x1" => "write `project NAME out=…`",
        "normalize" | "l2" => "write `l2-norm`",
        "groupnorm" | "instancenorm" | "gn" => "available normalisations: `batch-norm` and `layer-norm`",
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
