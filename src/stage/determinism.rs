//! How reproducible the output of an implementation is. Knows no implementation.

use std::collections::{BTreeMap, BTreeSet};

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

/// Between the targets of a result whose parts were computed on different ones.
const AND: &str = "+";

/// Target of a result whose parts were computed on these targets. A part may have several itself.
#[must_use]
pub fn combined_target<'a>(targets: impl IntoIterator<Item = &'a str>) -> String {
    let parts: BTreeSet<&str> = targets.into_iter().flat_map(|target| target.split(AND)).collect();
    parts.into_iter().collect::<Vec<_>>().join(AND)
}

/// Whether parts of a result were computed on different targets, so that its bytes depend on which.
#[must_use]
pub fn is_combined(target: &str) -> bool {
    target.contains(AND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_on_one_target_have_that_target_and_others_have_all() {
        assert_eq!(combined_target(["cpu-avx2", "cpu-avx2"]), "cpu-avx2");
        let both = combined_target(["cpu-avx2", "candle-cpu"]);
        assert_eq!(both, "candle-cpu+cpu-avx2");
        assert_eq!(combined_target([both.as_str(), "cpu-avx2"]), both);
        assert!(is_combined(&both) && !is_combined("cpu-avx2"));
    }
}
