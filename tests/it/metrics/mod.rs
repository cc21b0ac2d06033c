//! Tests of tables, metrics, thresholds, evaluation and reports.

mod agreement;
mod fixture;
mod invariants;
mod pages;
mod table;
