//! Photographs, patch sets, training and metrics: what stages compute with.

use macula_engine::engine;
use macula_lang::{base, lang};
use macula_store::{stage, store};

#[path = "../../src/data/mod.rs"]
pub mod data;
#[path = "../../src/learn/mod.rs"]
pub mod learn;
