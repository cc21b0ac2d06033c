//! `self-attention`: words, shape rule, multiply-adds and tensors.

use serde::{Deserialize, Serialize};

use super::shape::{Findings, Flow, SharedTensors, TensorShape, product};
use super::words::{Conflict, DefaultValue, LayerKind, PropertyType, named, param};
use super::{Layer, Operation, is_zero};

/// Multi-head self-attention of the pixels of a map, all of them or within windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SelfAttention {
    /// Tensor prefix.
    pub name: String,
    /// Number of heads; each has channels / heads of the channels.
    pub heads: usize,
    /// Side of a window, px; [`None`] if every pixel attends to all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Rows and columns by which windows are moved against the map, px.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub shift: usize,
    /// Whether a learned bias depends on the offset between two pixels of a window.
    pub relative: bool,
    /// What its tensors are called.
    #[serde(default, skip_serializing_if = "AttentionNames::is_swin")]
    pub names: AttentionNames,
}

/// Names of the tensors of an attention.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttentionNames {
    /// `qkv` and `proj`, as in torchvision's Swin and timm's vision transformers.
    #[default]
    Swin,
    /// `in_proj_weight` and `out_proj`, as in torch's `MultiheadAttention` and torchvision's vision transformers.
    Vit,
}

impl AttentionNames {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    const fn is_swin(&self) -> bool {
        matches!(self, Self::Swin)
    }

    /// Weight and bias of queries, keys and values, then of the projection behind the heads.
    #[must_use]
    pub const fn tensors(self) -> [&'static str; 4] {
        match self {
            Self::Swin => ["qkv.weight", "qkv.bias", "proj.weight", "proj.bias"],
            Self::Vit => ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"],
        }
    }
}

/// The table of a relative bias.
pub const BIAS_TABLE: &str = "relative_position_bias_table";

/// Words of [`SelfAttention`].
pub(in crate::lang) const SELF_ATTENTION: LayerKind = named(
    "self-attention",
    "Multi-head self-attention of the pixels of C x H x W (Vaswani et al. 2017), all of them or within windows (Swin, Liu et al. 2021); the shape is unchanged. It has no normalisation and no shortcut of its own. The map is padded with zeros to whole windows before `qkv`, as in torchvision.",
    &[
        param(
            "heads",
            PropertyType::Whole(1, 1024),
            DefaultValue::Needed,
            "Number of heads; it must divide the channels.",
        ),
        param(
            "window",
            PropertyType::Whole(1, 64),
            DefaultValue::Nothing("the whole map"),
            "Side of a window, px. Cost and memory grow with its square.",
        ),
        param(
            "shift",
            PropertyType::Whole(0, 63),
            DefaultValue::Whole(0),
            "Offset of the windows down and to the right, px; Swin has half a window in every other block. No effect if one window covers the map.",
        ),
        param(
            "bias",
            PropertyType::Word(&["none", "relative"]),
            DefaultValue::Nothing("`relative` with `window`, otherwise `none`"),
            "`relative`: a learned value per head and offset between two pixels of a window.",
        ),
        param(
            "names",
            PropertyType::Word(&["swin", "vit"]),
            DefaultValue::Nothing("`swin`"),
            "Tensor names. `swin`: `qkv`, `proj`. `vit`: `in_proj_weight`, `in_proj_bias`, `out_proj`, as in torchvision's ViT.",
        ),
    ],
    |of, name| {
        let (heads, window, shift) = (of.int("heads"), of.given_int("window"), of.int("shift"));
        let conflict = |param, message: &str, hint| Err(Conflict { param, message: message.to_owned(), hint });
        if window.is_none() && shift > 0 {
            return conflict("shift", "`shift` moves windows, but there is no `window`", "add `window=7`");
        }
        if window.is_some_and(|window| shift >= window) {
            let hint = "use half a window or less, such as `window=7 shift=3`";
            return conflict("shift", "`shift` must be less than `window`", hint);
        }
        if window.is_none() && of.word("bias") == "relative" {
            let hint = "add `window=7`, or omit `bias`";
            return conflict("bias", "a relative bias needs a `window`: its table has a fixed size", hint);
        }
        let relative = window.is_some() && of.word("bias") != "none";
        let names = if of.word("names") == "vit" { AttentionNames::Vit } else { AttentionNames::Swin };
        Ok(Layer::SelfAttention(SelfAttention { name, heads, window, shift, relative, names }))
    },
);

impl Operation for SelfAttention {
    fn words(&self) -> &'static LayerKind {
        &SELF_ATTENTION
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> &'static [&'static str] {
        match (self.names, self.relative) {
            (AttentionNames::Swin, false) => &["qkv.weight", "qkv.bias", "proj.weight", "proj.bias"],
            (AttentionNames::Swin, true) => &["qkv.weight", "qkv.bias", BIAS_TABLE, "proj.weight", "proj.bias"],
            (AttentionNames::Vit, false) => &["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"],
            (AttentionNames::Vit, true) => {
                &["in_proj_weight", "in_proj_bias", BIAS_TABLE, "out_proj.weight", "out_proj.bias"]
            }
        }
    }

    fn shape(&self, input: Flow, found: &mut Findings) -> Option<Flow> {
        let (channels, height, width) = found.map(input.shape)?;
        if !channels.is_multiple_of(self.heads) {
            let message = format!("{} has {} heads, which do not divide {channels} channels", found.title, self.heads);
            found.misfit(message, "`heads` must divide the channels");
            return None;
        }
        let padded = |side: usize| self.window.map_or(side, |window| side.next_multiple_of(window));
        let tokens = product(&[padded(height), padded(width)]);
        let attended = self.window.map_or(tokens, |window| product(&[window, window]));
        let table = self.window.filter(|_| self.relative).map_or(0, |window| table_rows(window) * self.heads);
        found.parameters = product(&[4, channels, channels + 1]) + table as u64;
        found.multiply_adds = tokens
            .saturating_mul(product(&[4, channels, channels]))
            .saturating_add(tokens.saturating_mul(attended).saturating_mul(2 * channels as u64));
        let window = self.window.map(|window| [("window", window as f64), ("shift", self.shift as f64)]);
        let settings = std::iter::once(("heads", self.heads as f64)).chain(window.into_iter().flatten()).collect();
        found.tensors = SharedTensors { weight: vec![3 * channels, channels], bias: true, settings };
        Some(input.to(TensorShape::Map { channels, height, width }))
    }
}

/// Rows of the table of a relative bias: one for each offset between two pixels of a window.
#[must_use]
pub const fn table_rows(window: usize) -> usize {
    (2 * window - 1) * (2 * window - 1)
}
