#!/usr/bin/env bash
# `macula run` of idrid and extract on 54 photographs, against only decoding them (djpeg of libjpeg-turbo) and against numpy and
# OpenCV in two processes. They alternate, so that all see the same machine; medians of ROUNDS.
#
#   tests/bench/extract.sh IDRID-FOLDER [ROUNDS]       PYTHON names a Python with numpy, OpenCV, Pillow and pandas
#
# Also checks all counts at both scales, and fails if they differ from tests/expected/patch_counts.py.
set -euo pipefail
root=$(realpath "$1")
rounds=${2:-5}
python=${PYTHON:-python3}
here=$(realpath "$(dirname "$0")/../..")
macula=${MACULA:-$here/target/release/macula}
[ -x "$macula" ] || (cd "$here" && cargo build --release)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pipeline() { # NAME, lines
    mkdir -p "$work/$1"
    printf 'pipeline %s seed=1 {\n    idrid fundus { root "%s" }\n%s\n}\n' "$1" "$root" "$2" > "$work/$1/$1.kdl"
}
pipeline native '    extract patches { from fundus; size 128 }'
pipeline half '    preprocess smaller { from fundus; shrink 2 }
    extract patches { from smaller; size 128 }'

timed() { # NAME, command
    local name=$1
    shift
    "$python" - "$work/$name.times" "$@" <<'PY'
import os, resource, subprocess, sys, time
begun = time.perf_counter()
subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
seconds = time.perf_counter() - begun
used = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "a") as file:
    print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, file=file)
PY
}

mapfile -d '' photographs < <(find "$root/A. Segmentation/1. Original Images" -name '*.jpg' -print0 | sort -z)
cat "${photographs[@]}" > /dev/null
for round in $(seq "$rounds"); do
    rm -rf "$work/native/.macula" "$work/half/.macula" "$work/python"
    timed djpeg bash -c 'printf "%s\0" "$@" | xargs -0 -P2 -n1 djpeg -outfile /dev/null' djpeg "${photographs[@]}"
    (cd "$work/native" && timed native "$macula" run native.kdl)
    timed python "$python" "$here/tests/bench/extract.py" "$root" "$work/python"
    rm -rf "$work/python"
done
(cd "$work/half" && timed half "$macula" run half.kdl)

"$python" - "$work" <<'PY'
import json, statistics, sys
work = sys.argv[1]
def column(name, i):
    with open(f"{work}/{name}.times") as file:
        return statistics.median(float(line.split()[i]) for line in file)
print("| | seconds | processor seconds | peak MiB of one process | against djpeg |\n|---|---|---|---|---|")
for name, words in [("djpeg", "djpeg alone"), ("native", "`macula run`: idrid, extract"), ("python", "numpy and OpenCV"), ("half", "`macula run`: idrid, preprocess shrink=2, extract")]:
    cells = [column(name, i) for i in range(3)]
    print(f"| {words} | {cells[0]:.2f} | {cells[1]:.2f} | {cells[2]:.0f} | {cells[0] / column('djpeg', 0):.2f} |")
import numpy as np, pandas as pd
expected = {"native": [39204, 31772, 10504, 2442, 2685, 3720, 381], "half": [9504, 6214, 1920, 1624, 1418, 1719, 213]}
for scale, counts in expected.items():
    table = pd.read_parquet(f"{work}/{scale}/results/{scale}/patches/parts")
    lesions = table[["MA", "HE", "EX", "SE"]]
    healthy = (lesions == 0).all(axis=1)
    black = np.stack(table.histogram)[:, :10].sum(1) >= 0.9 * 128 * 128
    seen = [len(table), int(healthy.sum()), int((healthy & black).sum()), *map(int, lesions.sum())]
    # Labels depend only on masks and must agree exactly. Black patches depend on single grey levels, and the decoder (zune-jpeg)
    # smooths chroma differently than libjpeg-turbo, by one or two levels: a patch at the threshold may differ.
    assert seen[:2] + seen[3:] == counts[:2] + counts[3:], f"{scale}: {seen}, expected {counts}"
    assert abs(seen[2] - counts[2]) <= 2, f"{scale}: {seen[2]} black patches, expected {counts[2]}"
    print(f"{scale}: {seen}, in Python with libjpeg-turbo {counts}")
PY
