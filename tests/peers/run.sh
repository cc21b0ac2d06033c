#!/usr/bin/env bash
# macula beside dvc, snakemake, redun and xvc on the same toy graphs: times, and who is right.
#
#     tests/peers/run.sh FOLDER [ROW…]
#
# FOLDER takes the peers (installed from PyPI once, b3sum from crates.io) and the toys, which go away as soon as they are measured. Rows: noop-10 noop-100
# noop-1000 items store restore revert flip kill; all where none is named. MACULA names a release build, ROUNDS how often each is
# timed (3), in turns, LIMIT how many seconds any command may take (900). It takes an hour, most of which is the peers' first runs, and
# at most 8 GB of disk.
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
