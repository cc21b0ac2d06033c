//! Tests of tables, metrics, thresholds, evaluation and reports.

mod agreement;
mod calibration;
mod coverage;
pub(crate) mod fixture;
mod froc;
mod invariants;
mod pages;
mod paired;
mod sets;
mod single;
mod slices;
mod suspects;
mod table;
mod thresholds;
mod whole;
