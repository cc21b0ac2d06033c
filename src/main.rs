//! The binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    macula::cli::main()
}
