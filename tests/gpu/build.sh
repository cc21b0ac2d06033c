#!/usr/bin/env bash
# Builds macula with the feature `candle-cuda`. Needs a CUDA toolkit: nvcc, and cuBLAS, cuRAND, NVRTC and cuDNN to link against. No GPU.
#
#   bash tests/gpu/build.sh [TOOLKIT] [arguments of cargo build, such as --features cuda]
#
# TOOLKIT is a folder with `bin/nvcc`, or a file of shell variables to source (CUDA_HOME, PATH, LIBRARY_PATH); by default CUDA_HOME, or the
# nvcc in PATH. The binary is for compute capability 8.0 and newer unless CUDA_COMPUTE_CAP says otherwise, and is left in
# target/candle-cuda/release/macula: a build of its own, since it starts only where CUDA's libraries are.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [[ $# -gt 0 && "$1" != -* ]]; then
    toolkit=$1
    shift
    if [ -f "$toolkit" ]; then
        # shellcheck disable=SC1090
        source "$toolkit"
    else
        export CUDA_HOME=$toolkit
    fi
fi
if [ -z "${CUDA_HOME:-}" ]; then
    nvcc=$(command -v nvcc) || {
        echo "nvcc was not found: name a CUDA toolkit, or set CUDA_HOME" >&2
        exit 2
    }
    CUDA_HOME=$(dirname "$(dirname "$(realpath "$nvcc")")")
fi
export CUDA_HOME PATH="$CUDA_HOME/bin:$PATH" CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
# conda keeps libraries in `lib`, toolkits in `lib64`; `stubs` has a libcuda to link against where there is no driver.
for folder in "$CUDA_HOME"/lib{,64}{,/stubs}; do
    if [ -d "$folder" ]; then
        LIBRARY_PATH=${LIBRARY_PATH:+$LIBRARY_PATH:}$folder
    fi
done
export LIBRARY_PATH=${LIBRARY_PATH:-}
"$CUDA_HOME/bin/nvcc" --version | tail -2
exec cargo build --locked --release --target-dir "${CARGO_TARGET_DIR:-target}/candle-cuda" --features candle-cuda "$@"
