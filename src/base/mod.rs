//! Digests, random streams, source spans and disk access, shared by all floors. Knows nothing of pipelines.

pub mod beneath;
pub mod budget;
pub mod digest;
pub mod disk;
pub mod figure;
pub mod flock;
pub mod guard;
pub mod random;
pub mod regular;
pub mod sample;
pub mod shell;
pub mod shown;
pub mod signals;
pub mod span;
pub mod sync;
pub mod threads;
pub mod usage;

pub use digest::{Digest, Hasher};
pub use guard::unpanicked;
pub use random::Streams;
pub use span::{FileId, Sources, Span};
