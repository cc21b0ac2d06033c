//! What people see while macula works: plain lines, or a live display on a terminal.

pub mod table;
pub mod text;
pub mod transfers;
pub mod watchers;

pub use text::{Colours, Detail, Text};
pub use transfers::Transfers;
pub use watchers::{Json, Live, Plain};
