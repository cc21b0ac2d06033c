//! Results by content: keys, objects, records, remotes, the decision whether a stage runs, and the sandbox of commands.

use macula_lang::{base, diag, lang};

#[path = "../../src/plan/mod.rs"]
pub mod plan;
#[path = "../../src/sandbox/mod.rs"]
pub mod sandbox;
#[path = "../../src/stage/mod.rs"]
pub mod stage;
#[path = "../../src/store/mod.rs"]
pub mod store;
