//! `auxiliary`: an output that is trained besides the logits.

use serde::{Deserialize, Serialize};

use super::Branch;

/// Auxiliary output: logits of all classes from an earlier value, which only the training computes a loss of (Szegedy et al. 2015).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Auxiliary {
    /// Its name, the prefix of its tensors.
    pub name: String,
    /// Factor of its loss.
    pub weight: f64,
    /// Its layers, and the input or tap at which they start.
    pub branch: Branch,
}

impl Auxiliary {
    /// Weight unless the network sets one: that of `GoogLeNet` (Szegedy et al. 2015).
    pub const WEIGHT: f64 = 0.3;
    /// Largest weight.
    pub const MOST: f64 = 100.0;
    /// What it is, for the manual.
    pub const DOC: &str = "An output that is trained besides the logits: layers from an earlier value, ending in `linear NAME` without `out`. The loss of the training is that of the logits plus `weight` times that of each auxiliary output; metrics, thresholds and predictions are those of the logits only. Its name is the prefix of its tensor names. In a network used inside another one it is left out.";
}
