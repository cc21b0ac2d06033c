#!/usr/bin/env bash
# Packs, checked by programs of others: Python's zipfile and unzip, roc-validator, runcrate and mlcroissant.
#
#     tests/pack/run.sh [COUNT]
#
# COUNT pipelines (3) with different seeds are each run and packed in three ways: without names, with names, with photographs. MACULA
# names a release build. Installs the validators from PyPI into target/ci/pack once. roc-validator fetches the context of RO-Crate 1.1;
# RO_CRATE_CONTEXT names a copy of it, for machines without network.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
venv=$repository/target/ci/pack
if ! cmp --silent "$repository/tests/pack/requirements.txt" "$venv/installed"; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$repository/tests/pack/requirements.txt"
    cp "$repository/tests/pack/requirements.txt" "$venv/installed"
fi
if [ -z "${MACULA:-}" ]; then
    (cd "$repository" && cargo build --release --quiet)
    MACULA=${CARGO_TARGET_DIR:-$repository/target}/release/macula
fi
MACULA=$(realpath "$MACULA")
export MACULA
exec "$venv/bin/python" "$repository/tests/pack/check.py" "${1:-3}"
