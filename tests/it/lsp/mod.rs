//! The language server, over an in-memory connection.

mod client;
mod completing;
mod highlighting;
mod lenses;
mod mending;
mod names;
mod session;
mod sweeps;
mod texts;
