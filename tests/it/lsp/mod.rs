//! The language server, asked through a connection in memory.

mod client;
mod session;
mod texts;
