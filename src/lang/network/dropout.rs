//! `dropout`: words. The shape is unchanged.

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

impl Operation for Dropout {
    fn words(&self) -> &'static LayerKind {
        &DROPOUT
    }
}
