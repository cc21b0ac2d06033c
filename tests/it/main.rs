//! The integration tests, in one binary.

mod derived;
mod extract;
mod kernels;
mod language;
mod metrics;
mod runner;
mod show;
mod space;
mod tidy;
mod training;
