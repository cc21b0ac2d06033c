#!/usr/bin/env bash
# Hostile files and stores: tests/it/hostile, which takes no count. Images, tables and weights are read with any byte changed or truncated,
# in a process with little address space; stores and packages name files outside, or link to them.
#
#     tests/reliability/hostile.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
said=$(cargo test --release --test it -- hostile:: language::packages exec:: 2>&1) || { echo "$said" >&2; exit 1; }
echo "hostile.sh: $(echo "$said" | sed -n 's/^test result: ok. \([0-9]*\) passed.*/\1 tests/p'): nothing written outside, no panic, memory bounded"
