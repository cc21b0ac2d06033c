//! `residual` and `parallel`, which contain layers: words, and the shape rules where branches meet.

use serde::{Deserialize, Serialize};

use super::Layer;
use super::shape::{Flow, TensorShape};
use super::words::{DefaultValue, LayerKind, PropertyType, param};

/// How branches are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Join {
    /// Channels one after another; rows and columns must agree.
    Concat,
    /// Entry by entry; shapes must agree.
    Sum,
}

/// Branch of `parallel`. One that starts at the value that reaches `parallel` and shares nothing is written as its layers only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "BranchForm", into = "BranchForm")]
pub struct Branch {
    /// The input or tap at which it starts; [`None`] is the value that reaches `parallel`.
    pub from: Option<String>,
    /// Whether it reuses the tensors of the same name of earlier layers.
    pub share: bool,
    /// Its layers; none is the identity.
    pub layers: Vec<Layer>,
}

/// Branch as it is serialised.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum BranchForm {
    Plain(Vec<Layer>),
    Full {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        #[serde(default, skip_serializing_if = "is_false")]
        share: bool,
        layers: Vec<Layer>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl From<BranchForm> for Branch {
    fn from(form: BranchForm) -> Self {
        match form {
            BranchForm::Plain(layers) => layers.into(),
            BranchForm::Full { from, share, layers } => Self { from, share, layers },
        }
    }
}

impl From<Branch> for BranchForm {
    fn from(Branch { from, share, layers }: Branch) -> Self {
        if from.is_none() && !share { Self::Plain(layers) } else { Self::Full { from, share, layers } }
    }
}

impl From<Vec<Layer>> for Branch {
    fn from(layers: Vec<Layer>) -> Self {
        Self { from: None, share: false, layers }
    }
}

/// Words of [`super::Layer::Residual`].
pub(in crate::lang) const RESIDUAL: LayerKind = LayerKind {
    name: "residual",
    named: false,
    doc: "body(x) + shortcut(x). Without a shortcut, x itself is added. Both must have the same shape.",
    params: &[],
    holds: &["body", "shortcut"],
    read: None,
};

/// Words of [`super::Layer::Parallel`].
pub(in crate::lang) const PARALLEL: LayerKind = LayerKind {
    name: "parallel",
    named: false,
    doc: "`branch`es from the same x, joined: two or more, or one that starts elsewhere. In `branch NAME { … }` the name is a prefix of its tensor names; an empty branch is x itself. `branch from=NAME { … }` starts at an input or a tap instead, and one with `share=#true` reuses the tensors of the same name of earlier layers.",
    params: &[param(
        "join",
        PropertyType::Word(&["concat", "sum"]),
        DefaultValue::Needed,
        "`concat`: channels one after another; rows and columns must agree. `sum`: element-wise; shapes must agree.",
    )],
    holds: &["branch"],
    read: None,
};

impl Join {
    /// The shape of two joined branches; [`None`] if they do not agree.
    pub(in crate::lang) fn shape(self, one: TensorShape, other: TensorShape) -> Option<TensorShape> {
        match (self, one, other) {
            (Self::Sum, one, other) => (one == other).then_some(one),
            (
                Self::Concat,
                TensorShape::Map { channels, height, width },
                TensorShape::Map { channels: more, height: rows, width: columns },
            ) => ((height, width) == (rows, columns)).then_some(TensorShape::Map {
                channels: channels.saturating_add(more),
                height,
                width,
            }),
            (Self::Concat, TensorShape::Vector { features }, TensorShape::Vector { features: more }) => {
                Some(TensorShape::Vector { features: features.saturating_add(more) })
            }
            _ => None,
        }
    }

    /// What branches that are joined like this must have in common.
    pub(in crate::lang) fn need(self) -> &'static str {
        match self {
            Self::Concat => "`join=concat` needs the same rows and columns: strides and padding must agree",
            Self::Sum => "`join=sum` needs the same shape: channels, strides and padding must agree",
        }
    }
}

/// The output of a residual block with input `input`, or its misfit: message and hint.
pub(in crate::lang) fn residual(
    input: Option<Flow>,
    long: Flow,
    short: Flow,
) -> Result<Flow, Option<(String, String)>> {
    if long.shape == short.shape {
        return Ok(Flow { fixed: long.fixed && short.fixed, ..long });
    }
    let message = format!("the body of `residual` outputs {}, its shortcut {}", long.shape, short.shape);
    let Some(input) = input else { return Err(None) };
    let stride = match (input.shape, long.shape) {
        (TensorShape::Map { height: from, .. }, TensorShape::Map { height: to, .. })
            if to > 0 && from.div_ceil(to) > 1 =>
        {
            format!(" stride={}", from.div_ceil(to))
        }
        _ => String::new(),
    };
    let hint = match long.shape {
        TensorShape::Map { channels, .. } => {
            format!(
                "both must have the same shape, for example with `shortcut {{ conv NAME out={channels} kernel=1{stride} bias=#false; batch-norm NAME }}`"
            )
        }
        TensorShape::Vector { features } => {
            format!("both must have the same shape, for example with `shortcut {{ linear NAME out={features} }}`")
        }
    };
    Err(Some((message, hint)))
}
