//! What people see of results: tables of figures, charts, pages. Knows what the artifacts hold, but no stage and no store key.

pub mod scores;
