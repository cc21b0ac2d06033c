//! What people see of results: tables of figures, charts, pages. Knows what the artifacts hold, but no stage and no key.

mod base64;
pub mod chart;
pub mod comparison;
pub mod evaluation;
pub mod gather;
pub mod maps;
pub mod names;
pub mod page;
pub mod predictions;
pub mod scores;
pub mod training;
