#!/usr/bin/env bash
# macula, dvc, snakemake, redun and xvc on the same toy graphs: times, and correctness.
#
#     tests/peers/run.sh FOLDER [ROW…]
#
# FOLDER holds the other tools (installed once from PyPI, b3sum from crates.io) and the toys, which are deleted once measured. Rows: noop-10
# noop-100 noop-1000 items store restore revert flip kill; all by default. MACULA names a release build, ROUNDS the number of alternating
# measurements (3), LIMIT the timeout of a command in seconds (900). It takes an hour, mostly for the first runs of the other tools, and at
# most 8 GB of disk.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:?a folder for the peers and the toys}
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if ! [ -x "$folder/venv/bin/dvc" ]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check -r "$repository/tests/peers/requirements.txt"
fi
[ -x "$folder/cargo/bin/b3sum" ] || cargo install --quiet --locked --root "$folder/cargo" b3sum
if [ -z "${MACULA:-}" ]; then
    (cd "$repository" && cargo build --release --quiet)
    target=${CARGO_TARGET_DIR:-$repository/target}
    MACULA=$target/release/macula
fi
export MACULA PATH="$folder/venv/bin:$folder/cargo/bin:$PATH"
exec "$folder/venv/bin/python" "$repository/tests/peers/peers.py" "$folder" "$@"
