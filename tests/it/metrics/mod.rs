//! Tests of tables, metrics, thresholds, evaluation and reports.

mod agreement;
pub(crate) mod fixture;
mod invariants;
mod pages;
mod paired;
mod table;
