//! The integration tests, in one binary.

mod derived;
mod extract;
mod job;
mod kernels;
mod language;
mod licences;
mod metrics;
mod runner;
mod show;
mod space;
mod tidy;
mod training;
