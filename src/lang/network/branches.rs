//! `residual` and `parallel`, which contain layers: words, and the shape rules where branches meet.

use serde::{Deserialize, Serialize};

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
    doc: "Two or more `branch`es from the same x, joined. In `branch NAME { … }` the name is a prefix of its tensor names; an empty branch is x itself.",
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
