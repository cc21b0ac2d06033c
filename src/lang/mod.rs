//! The language: from text to [`spec::Pipeline`], a list of stage specifications. No graph, no store, no stage's code.

pub mod network;
pub mod spec;
pub mod value;
