//! What a training step computes: kernels, networks, optimizers and GPUs. Optimised for speed.

use macula_lang::{base, lang};
use macula_store::stage;

#[path = "../../src/engine/mod.rs"]
pub mod engine;
