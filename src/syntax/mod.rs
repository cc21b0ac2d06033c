//! From text to a tree whose every part knows its position. The only floor that knows the `kdl` crate.
//!
//! `scan` cuts a text into tokens and loses no byte. `repair` and `braces` replace tokens that would mislead the parser. `tree`
//! (with `recover`) builds nodes from tokens; `value` reads one token, with `number_forms` and `confusables` for common mistakes.
//! After a mistake reading goes on with what was meant, so one broken stage hides nothing. What has no mistake is read a second
//! time by the `kdl` crate (`validate`), which has the last word on what is KDL 2; `literal` spares it what is valid beyond doubt.
//! The crate alone would not do: it gives no tree after an error, no span for a property's value, and about 50 levels of `{`
//! overflow its stack. `format` lays a text out from the tokens, never from the crate's tree, which loses comments. `scalar`
//! stands below all of them.

mod braces;
mod confusables;
mod cursor;
mod forbidden;
mod format;
mod literal;
mod number_forms;
mod other_format;
mod recover;
mod repair;
mod scalar;
mod scan;
mod tree;
mod validate;
mod value;

pub use cursor::{Cursor, Head, Spot, cursor};
pub use format::{Unformatted, format};
pub use other_format::other_format;
pub use scalar::{Scalar, begins_as_number};
pub use scan::{Token, TokenKind, scan};
pub use tree::{Document, Node, NodeEntry, Word, parse, parse_valid, parse_with, values};
pub use validate::ValidationCache;

/// Deepest nesting of `{` in a file.
pub const DEEPEST: usize = 24;
/// Largest file, in bytes.
pub const LARGEST: usize = 512 * 1024;
