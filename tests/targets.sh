#!/usr/bin/env bash
# Type-checks macula for the platforms it supports besides this one, as far as their standard library is installed:
#
#     rustup target add aarch64-unknown-linux-gnu aarch64-apple-darwin x86_64-apple-darwin
#     tests/targets.sh [TARGET...]
#
# `cargo check` links nothing, so no compiler for C is needed: `true` stands in for it. What this finds is code that only
# compiles on this machine. It runs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=("$@")
[ $# -gt 0 ] || targets=(aarch64-unknown-linux-gnu aarch64-apple-darwin)
for target in "${targets[@]}"; do
    if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
        echo "$target: skipped, its standard library is missing (rustup target add $target)"
        continue
    fi
    name=${target//-/_}
    env "CC_$name=true" "CXX_$name=true" "AR_$name=true" cargo check --quiet --release --locked --target "$target"
    echo "$target: compiles"
done
