//! The language server, asked through a connection in memory.

mod client;
mod completing;
mod mending;
mod names;
mod session;
mod sweeps;
mod texts;
