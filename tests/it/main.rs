//! The integration tests, in one binary.
#![expect(clippy::print_stdout, reason = "a test says that it skipped, and a child process answers its parent")]

mod bench;
mod completions;
mod cuda;
mod data_check;
mod derived;
mod exec;
mod extract;
mod hints;
mod hostile;
mod job;
mod kernels;
mod language;
mod leakage;
mod licences;
mod lock;
mod logging;
mod looks;
mod lsp;
mod metrics;
mod missing;
mod near_duplicates;
mod pack;
mod predict;
mod project;
mod reliability;
mod remotes;
mod report;
mod runner;
mod show;
mod space;
mod terminal;
mod tidy;
mod tracking;
mod training;
mod watch;
