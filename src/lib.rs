//! macula runs experiments on medical photographs that are written as KDL pipelines.
//!
//! The story of one run, in the order of the modules: a pipeline's text is scanned and parsed ([`syntax`]), checked against
//! the signatures of `stdlib/` and lowered to a list of stages ([`lang`]); mistakes are told at once ([`diag`]). The stages
//! become a graph, and for each one it is decided whether it must run ([`plan`]): its key is computed from its parameters and
//! the content of its inputs and looked up in the [`store`]. What must run is executed ([`run`]) through the contract of
//! [`stage`] by one of the [`stages`], which know photographs and patches ([`data`]), networks and metrics ([`learn`]) and
//! pages ([`report`]). People watch through [`progress`] and speak through [`cli`], or through an editor and [`lsp`].

pub mod base;
pub mod cli;
pub mod data;
pub mod diag;
pub mod lang;
pub mod learn;
pub mod lsp;
pub mod plan;
pub mod progress;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod stage;
pub mod stages;
pub mod store;
pub mod syntax;
