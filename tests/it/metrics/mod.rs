//! Tests of tables, metrics, thresholds, evaluation and reports.

mod agreement;
mod invariants;
mod table;
