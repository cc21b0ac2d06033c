#!/usr/bin/env bash
# What `macula run --tensorboard --mlflow --wandb` writes, read by TensorBoard, MLflow and the client of Weights & Biases.
#
#     tests/dashboards/run.sh FOLDER
#
# FOLDER holds the tools (installed once from PyPI, 400 MB) and the project, which is made again each time. MACULA names a release build. A sweep is
# recorded live, once more (nothing may be written twice), and from the cache into new folders; no network is used.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:?a folder for the tools and the project}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
python=$folder/venv/bin/python
[ -x "$python" ] || python3 -m venv "$folder/venv"
"$python" -m pip install --quiet --disable-pip-version-check -r "$repository/tests/dashboards/requirements.txt"
if [ -z "${MACULA:-}" ]; then
    (cd "$repository" && cargo build --release --quiet)
    MACULA=${CARGO_TARGET_DIR:-$repository/target}/release/macula
fi
rm -rf "$folder/project"
mkdir "$folder/project"
cp "$repository/tests/dashboards/pipeline.kdl" "$folder/project"
cd "$folder/project"
export WANDB_MODE=offline WANDB_ERROR_REPORTING=false
run() {
    "$MACULA" run pipeline.kdl --sweep rates --quiet --tensorboard "$1/tb" --mlflow "$1/ml" --wandb "$1/wb"
    "$python" "$repository/tests/dashboards/check.py" . "$1/tb" "$1/ml" "$1/wb"
}
run live
find live -type f -exec sha256sum {} + | sort >first
run live
find live -type f -exec sha256sum {} + | sort | diff first -
run cached
