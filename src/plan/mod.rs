//! The dependency graph of stages, and the engine that decides what must run. The only floor that knows `petgraph`.

pub mod causes;
pub mod decision;
pub mod drawings;
pub mod graph;
pub mod keys;
pub mod recipe;
pub mod result;
mod settings;
mod source;
pub mod sweep;
pub mod training_data;
mod validate;
pub mod why;

pub use decision::{ContentCheck, Decision, Engine, Reused, Task};
pub use graph::{Graph, StageId};
pub use result::{Cost, StageResult, StageResults};
pub use sweep::{Merged, merge};
pub use training_data::{
    PatchUse, TrainingData, UsedPatches, measured_maps, photograph_sources, training_data, used_patches,
};
pub use validate::validate_params;
pub use why::{Explanation, Reason, Upgrade, upgrades};
