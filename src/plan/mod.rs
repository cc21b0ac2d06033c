//! The graph of stages, its order, and the one engine that decides what must run. The only floor that knows `petgraph`.

pub mod decision;
pub mod drawings;
pub mod graph;
pub mod keys;
pub mod recipe;
mod settings;
mod settled;
mod source;
pub mod sweep;
pub mod why;

pub use decision::{AllKnown, Decision, Engine, Known, Reused, Task};
pub use graph::{Graph, StageId};
pub use settled::settle;
pub use sweep::{Merged, merge};
pub use why::{Explanation, Reason, Upgrade, upgrades};
