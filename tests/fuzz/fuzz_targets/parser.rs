//! `cargo fuzz run parser`: see ../README.md.
#![no_main]

#[path = "../bodies/mod.rs"]
#[expect(dead_code, reason = "each target calls one of the bodies")]
mod bodies;

libfuzzer_sys::fuzz_target!(|text: &str| bodies::parser(text));
