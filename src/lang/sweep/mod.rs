//! Sweeps: a pipeline with several values of some of its parameters. `read` parses the node, `points` lowers the pipeline
//! with each value, and with all combinations of them.

mod points;
mod read;

pub(super) use points::sweep;
pub(super) use read::{ParsedSweep, read};

/// Most points of a sweep, before any are skipped.
const MOST_POINTS: usize = 10_000;

/// Most parameters that a sweep may vary.
const MOST_AXES: usize = 64;

/// Values of an axis that are checked even if there are too many points.
const FEW: usize = 100;
