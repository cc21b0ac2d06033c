//! The binary.

use std::process::ExitCode;

/// Trees of small values for the language, tensors for training: both are made and let go of at every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    macula::cli::main()
}
