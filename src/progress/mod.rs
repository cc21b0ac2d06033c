//! Output while macula works: plain lines, JSON Lines, or a live display on a terminal.

pub mod activity;
pub mod bar;
pub mod board;
mod epochs;
pub mod live;
pub mod out;
pub mod table;
pub mod text;
pub mod transfers;
pub mod watchers;

pub use bar::ProgressBar;
pub use board::{Board, Glyphs};
pub use live::Live;
pub use out::Colours;
pub use text::{Detail, EventText, Viewer};
pub use transfers::Transfers;
pub use watchers::{Json, Plain};
