#!/usr/bin/env bash
# Everything that needs a machine with an NVIDIA GPU. It needs no Rust there, only a binary built elsewhere with
# `cargo build --release --features cuda`, and python3 with torch and torchvision (whose wheels include cuDNN and NVRTC).
#
#   bash tests/gpu/run.sh path/to/macula [arguments of measure.py, such as --quick]
#
# Checks gradients against the processor, two runs and a resumed one against each other, a killed training, memory, and speed against
# PyTorch. Prints a page for docs/benchmarks.md; fails if a check fails.
set -euo pipefail
macula=$(realpath "${1:?the macula binary}")
shift
here=$(cd "$(dirname "$0")" && pwd)
# Library folders of the wheels, for macula; torch finds them itself.
wheels=$(python3 -c 'import glob, os, torch; print(":".join(sorted(glob.glob(os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), "nvidia", "*", "lib")))))')
export LD_LIBRARY_PATH=$wheels${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
exec python3 "$here/measure.py" --macula "$macula" "$@"
