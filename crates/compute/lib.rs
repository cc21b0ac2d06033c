//! Photographs, patch sets, networks, training and metrics: what stages compute with. Optimised for speed.

use macula_lang::{base, lang};
use macula_store::{stage, store};

#[path = "../../src/data/mod.rs"]
pub mod data;
#[path = "../../src/learn/mod.rs"]
pub mod learn;
