//! How reproducible the output of an implementation is. Knows no implementation.

use std::collections::BTreeMap;

use crate::lang::value::Value;

/// How reproducible an implementation's output is.
#[derive(Clone, Copy)]
pub enum Determinism {
    /// The same bytes on any machine.
    BitExact,
    /// The same bytes on the same target (kernel path), whatever the threads; within a tolerance across targets. Some targets promise only
    /// the tolerance.
    PathExact {
        /// The target that this machine computes on (`cpu-avx512`), given the parameters, which may name a device.
        path: fn(&BTreeMap<String, Value>) -> String,
        /// Whether the bytes of a target's results may differ from run to run, or from machine to machine.
        approximate: fn(&str) -> bool,
        /// Tolerance between two targets, and between two results of an approximate one.
        tolerance: Tolerance,
    },
    /// Not guaranteed, as with users' commands. Results are cached like those of [`Determinism::BitExact`].
    Unknown,
}

/// Maximum difference between two results of one key that were computed on different targets, or on an approximate one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Maximum absolute difference of each metric in the summary.
    pub metrics: f64,
    /// Metrics that the tolerance does not apply to, because they do not measure quality (`epoch`).
    pub exempt: &'static [&'static str],
}

impl Determinism {
    /// Its name in lock files and in `macula rebuild`, for a result computed on `target`.
    #[must_use]
    pub fn name(&self, target: &str) -> &'static str {
        match self {
            Self::BitExact => "bit-exact",
            Self::PathExact { approximate, .. } if approximate(target) => "approximate",
            Self::PathExact { .. } => "path-exact",
            Self::Unknown => "unknown",
        }
    }
}
