//! macula runs experiments on medical photographs, written as KDL pipelines.
//!
//! One run, in the order of the modules: a pipeline's text is scanned and parsed ([`syntax`]), checked against the signatures of
//! `stdlib/` and lowered to a list of stages ([`lang`]); problems are reported as diagnostics ([`diag`]). The stages form a graph, and
//! for each it is decided whether it must run ([`plan`]): its key is computed from its parameters and the content of its inputs, and
//! looked up in the [`store`]. If necessary, the stage is executed ([`run`]) through the contract in [`stage`] by one of the
//! [`stages`], which use networks ([`engine`]), photographs and patches ([`data`]), training and metrics ([`learn`]) and pages
//! ([`report`]). Dashboards of other tools get what they show from [`tracking`]. Users watch through [`progress`] and give commands through [`cli`], or
//! through an editor and [`lsp`].

pub use macula_compute::{data, learn};
pub use macula_engine::engine;
pub use macula_lang::{base, diag, lang, syntax};
pub use macula_store::{plan, sandbox, stage, store};

pub mod cli;
pub mod lsp;
pub mod progress;
pub mod report;
pub mod run;
pub mod stages;
pub mod tracking;
