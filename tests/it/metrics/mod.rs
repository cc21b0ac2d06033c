//! Tests of tables, metrics, thresholds, evaluation and reports.

mod table;
