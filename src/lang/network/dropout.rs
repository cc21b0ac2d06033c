//! `dropout` and `stochastic-depth`: words. The shape is unchanged.

use serde::{Deserialize, Serialize};

use super::words::{DefaultValue, LayerKind, PropertyType, kind, param};
use super::{Layer, Operation};

/// Zeroes a fraction of the entries during training and scales the rest by 1/(1-fraction).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dropout {
    /// The fraction zeroed, 0..1.
    pub share: f64,
}

/// Words of [`Dropout`].
pub(in crate::lang) const DROPOUT: LayerKind = kind(
    "dropout",
    "Zeroes a fraction of the entries during training and scales the rest by 1 / (1 - fraction).",
    &[param("share", PropertyType::Share, DefaultValue::Needed, "The fraction that is zeroed.")],
    |of, _| Ok(Layer::Dropout(Dropout { share: of.real("share") })),
);

/// Zeroes all entries of a fraction of the patches during training and scales the others by 1/(1-fraction).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StochasticDepth {
    /// The fraction of patches, 0..1.
    pub share: f64,
}

/// Words of [`StochasticDepth`].
pub(in crate::lang) const STOCHASTIC_DEPTH: LayerKind = kind(
    "stochastic-depth",
    "Stochastic depth (Huang et al. 2016): zeroes all entries of a fraction of the patches during training and scales the others by 1 / (1 - fraction). At the end of the `body` of `residual`, it leaves the body out for these patches.",
    &[param("share", PropertyType::Share, DefaultValue::Needed, "The fraction of patches.")],
    |of, _| Ok(Layer::StochasticDepth(StochasticDepth { share: of.real("share") })),
);

impl Operation for StochasticDepth {
    fn words(&self) -> &'static LayerKind {
        &STOCHASTIC_DEPTH
    }
}

impl Operation for Dropout {
    fn words(&self) -> &'static LayerKind {
        &DROPOUT
    }
}
