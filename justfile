# The commands of CONTRIBUTING.md by name, for `just` (https://just.systems). Nothing needs it: each line works by itself.

# Lists the commands.
default:
    @just --list

# Builds target/release/macula.
build:
    cargo build --release --locked

# Runs all tests, or those whose names contain a word: `just test language::`.
test *words:
    cargo test --release --locked {{ if words == "" { "" } else { "--test it -- " + words } }}

# Formats the sources.
fmt:
    cargo fmt --all

# Formatting and lints, as .ci/run checks them first.
lint:
    cargo fmt --all --check
    cargo clippy --locked --release --all-targets --features cuda -- -D warnings
    cargo clippy --locked --release --no-default-features -- -D warnings

# Writes expected files again: docs/reference and tests/expected/keys.txt. Read the diff before committing it.
bless:
    MACULA_BLESS=1 cargo test --release --locked --test it -- language::

# Counts instructions, and compares them with tests/bench/instructions.txt.
instructions *options: build
    python3 tests/bench/instructions.py target/release/macula {{ options }}

# Type-checks for the other platforms whose standard library is installed.
targets:
    tests/targets.sh

# Everything that must pass before a change lands.
ci:
    .ci/run
