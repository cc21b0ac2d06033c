//! Results as people see them: tables of metrics, charts, pages. Knows the content of artifacts, but no stage and no key.

mod analyses;
pub mod brief;
pub mod chart;
pub mod comparison;
pub mod croissant;
mod curves;
pub mod data_check;
pub mod evaluation;
mod explorer;
pub mod froc;
pub mod gallery;
pub mod gather;
mod html;
pub mod maps;
pub mod names;
pub mod page;
pub mod paired;
mod photographs;
pub mod predictions;
mod reliability;
pub mod run;
pub mod scores;
pub mod single;
pub mod slices;
pub mod suspects;
pub mod training;
pub mod whole;
