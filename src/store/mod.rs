//! The store: content-addressed objects, keys, actions. Knows digests only, no stage.

pub mod error;
pub mod objects;
pub mod tree;

pub use error::StoreError;
pub use objects::{Blob, ObjectWriter, Objects};
pub use tree::{Entry, Tree};
