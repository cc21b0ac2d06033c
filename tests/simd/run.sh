#!/usr/bin/env bash
# Checks that JPEGs decode to the same pixels with and without SIMD, which is why `extract` and everything before it may be called bit-exact.
# Always with the committed images, and with the photographs of IDRiD if MACULA_DATA names a folder that contains them.
set -euo pipefail
cd "$(dirname "$0")"

here=$PWD
target=${CARGO_TARGET_DIR:-$here/../../target}/simd
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT

pictures=("$here"/../expected/pictures/*.jpg)
if [ -n "${MACULA_DATA:-}" ]; then
    mapfile -d '' -t photographs < <(find "$MACULA_DATA/idrid" -name '*.jpg' -print0 | sort -z)
    pictures+=("${photographs[@]}")
fi
# The decoder of this package must be macula's.
ours() { grep -A1 '^name = "zune-jpeg"' "$1" | tail -1; }

CARGO_TARGET_DIR=$target cargo build --quiet --release --locked
"$target/release/jpeg-simd" "${pictures[@]}" > "$found/without"
CARGO_TARGET_DIR=$target cargo build --quiet --release --locked --features simd
"$target/release/jpeg-simd" "${pictures[@]}" > "$found/with"
if [ "$(ours Cargo.lock)" != "$(ours ../../Cargo.lock)" ]; then
    echo "tests/simd uses a different zune-jpeg than macula; run cargo update -p zune-jpeg --precise there" >&2
    exit 1
fi
diff "$found/without" "$found/with"
# The same digest as in tests/it/extract/photographs.rs.
grep -q '^e5591d11 baseline.jpg$' "$found/with"
echo "${#pictures[@]} JPEGs decode to the same pixels with and without SIMD"
