//! From text to a tree whose every part knows its place. The only floor that knows the `kdl` crate.
//!
//! The scan of `scan` cuts a text into tokens and loses no byte; `mend` and `braces` put right what misleads it, `tree` (with `recover`)
//! builds nodes from them and goes on after every slip of `slips` and `odd` with the value that was meant, so one broken stage hides nothing. What has no slip is read a second time
//! by the `kdl` crate (`judge`), which has the last word on what is KDL 2. The crate alone would not do: it gives no tree
//! after an error, no span for a property's value, and about 50 levels of `{` overflow its stack.
//! `format` lays a text out anew from the tokens, never from the crate's tree, which loses comments.

mod braces;
mod cursor;
mod forbidden;
mod format;
mod judge;
mod mend;
mod odd;
mod plain;
mod recover;
mod scan;
mod slips;
mod tree;

pub use cursor::{Cursor, Head, Spot, cursor};
pub use format::{Unformatted, format};
pub use judge::Memory;
pub use scan::{Kind, Token, scan};
pub use slips::begins_as_number;
pub use tree::{Document, Entry, Node, Scalar, Word, parse, parse_with, values};

/// Deepest nesting of `{` in a file.
pub const DEEPEST: usize = 24;
/// Largest file, in bytes.
pub const LARGEST: usize = 512 * 1024;
