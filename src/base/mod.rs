//! Ids, digests, random streams and spans: what every floor shares. Knows nothing of pipelines.

pub mod digest;
pub mod random;
pub mod span;

pub use digest::{Digest, Hasher};
pub use random::Streams;
pub use span::{FileId, Sources, Span};
