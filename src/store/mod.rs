//! The store: content-addressed objects, keys, actions. Knows digests only, no stage.

pub mod objects;
pub mod tree;

pub use objects::{Blob, Objects, StoreError};
pub use tree::{Entry, Tree};
