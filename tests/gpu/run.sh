#!/usr/bin/env bash
# What can only be said on a machine with a GPU of NVIDIA's. No Rust is needed there: a binary built elsewhere by
# `cargo build --release --features cuda`, and python3 with torch and torchvision (whose wheels bring cuDNN and NVRTC, too).
#
#   bash tests/gpu/run.sh path/to/macula [more arguments of measure.py, as --quick]
#
# Checks: gradients against the processor, two runs and a resumed one against each other, a killed training, memory, and speed against
# PyTorch in turns. Prints a page for docs/benchmarks.md; fails where a check does.
set -euo pipefail
macula=$(realpath "${1:?the macula binary}")
shift
here=$(cd "$(dirname "$0")" && pwd)
# The folders of the wheels, for macula; torch finds them itself.
wheels=$(python3 -c 'import glob, os, torch; print(":".join(sorted(glob.glob(os.path.join(os.path.dirname(os.path.dirname(torch.__file__)), "nvidia", "*", "lib")))))')
export LD_LIBRARY_PATH=$wheels${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
exec python3 "$here/measure.py" --macula "$macula" "$@"
