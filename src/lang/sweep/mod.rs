//! Sweeps: a pipeline with several values of some of its parameters. `read` takes the node apart, `points` lowers the pipeline
//! with each value, and with all combinations of them.

mod points;
mod read;

pub(super) use points::sweep;
pub(super) use read::{Reading, read};

/// Points that a sweep may have, before any is skipped.
const MOST_POINTS: usize = 10_000;

/// Parameters that a sweep may vary.
const MOST_AXES: usize = 64;

/// Values of an axis that are checked where there are too many points anyway.
const FEW: usize = 100;
