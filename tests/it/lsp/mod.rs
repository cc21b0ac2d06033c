//! The language server, over an in-memory connection.

mod client;
mod completing;
mod mending;
mod names;
mod session;
mod sweeps;
mod texts;
