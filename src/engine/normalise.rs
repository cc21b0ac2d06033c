//! Normalisation of RGB by channel, as the network expects its input. Knows no patch.

use serde::{Deserialize, Serialize};

use super::augment::geometry::{self, Tables};
use super::kernels::vectorised;
use crate::lang::value::Value;
use crate::stage::{Params, StageError};

/// Mean and standard deviation to normalise RGB in 0..1 with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Mean of R, G, B.
    pub mean: [f32; 3],
    /// Standard deviation of R, G, B.
    pub std: [f32; 3],
}

impl Normalisation {
    /// From the parameters of `train`.
    ///
    /// # Errors
    /// [`StageError::Input`] unless there are three of each and every standard deviation is positive.
    pub fn from_params(params: &Params) -> Result<Self, StageError> {
        let three = |name: &'static str| -> Result<[f32; 3], StageError> {
            let values: Vec<f32> = params
                .list(name)
                .iter()
                .filter_map(|value| match value {
                    Value::Real(value) => Some(*value as f32),
                    Value::Int(value) => Some(*value as f32),
                    _ => None,
                })
                .collect();
            values.as_slice().try_into().map_err(|_| {
                let text = format!("`{name}` has {} values, expected 3 (R, G, B)", values.len());
                StageError::input("out-of-range", text).field(name)
            })
        };
        let (mean, std) = (three("normalise.mean")?, three("normalise.std")?);
        if std.iter().any(|value| *value <= 0.0) {
            let text = "every standard deviation in `normalise.std` must be positive";
            return Err(StageError::input("out-of-range", text).field("normalise.std"));
        }
        Ok(Self { mean, std })
    }

    /// Lookup tables of normalised bytes.
    #[must_use]
    pub fn tables(&self) -> Tables {
        let mut tables = geometry::unit_tables();
        for ((table, mean), std) in tables.iter_mut().zip(self.mean).zip(self.std) {
            for value in table.iter_mut() {
                *value = (*value - mean) / std;
            }
        }
        tables
    }

    /// Normalises R, G, B, R, G, B, … in 0..1 in place.
    pub fn apply(&self, pixels: &mut [f32]) {
        normalise(&std::array::from_fn(|at| self.mean[at % 3]), &std::array::from_fn(|at| self.std[at % 3]), pixels);
    }
}

/// Floats per 16 pixels.
const STRIP: usize = 48;

vectorised! {
    fn normalise(mean: &[f32; STRIP], std: &[f32; STRIP], pixels: &mut [f32]) {
        for strip in pixels.chunks_mut(STRIP) {
            for ((value, mean), std) in strip.iter_mut().zip(mean).zip(std) {
                *value = (*value - mean) / std;
            }
        }
    }
}
