//! The dependency graph of stages, and the engine that decides what must run. The only floor that knows `petgraph`.

pub mod decision;
pub mod drawings;
pub mod graph;
pub mod keys;
pub mod recipe;
mod settings;
mod source;
pub mod sweep;
mod validate;
pub mod why;

pub use decision::{Cost, Decision, Engine, Reused, StageResult, StageResults, Task};
pub use graph::{Graph, StageId};
pub use sweep::{Merged, merge};
pub use validate::validate_params;
pub use why::{Explanation, Reason, Upgrade, upgrades};
