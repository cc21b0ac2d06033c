#!/usr/bin/env bash
# Builds the Python wheel, installs it into an empty environment, and uses it as somebody without Rust would: the starter pipeline, and its
# results in Python (docs/install.md).
#
#     tests/wheel/run.sh              # for this machine: what target/release has is packed, and the starter pipeline is made shorter
#     tests/wheel/run.sh --portable   # manylinux_2_28 through zig, with `cuda`, whole starter pipeline: a full build, for releases
#     tests/wheel/run.sh WHEEL        # the same checks on this wheel
#
# WHEELS names the folder for wheels (target/wheels). MACULA_VENV names a virtual environment that has maturin.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"

target=${CARGO_TARGET_DIR:-$root/target}
wheels=${WHEELS:-$target/wheels}
shorter=(--set photographs.photographs=20 --set classifier.epochs=2)
case ${1:-} in
*.whl)
    wheel=$(realpath "$1")
    shorter=()
    ;;
*)
    tools=requirements.txt
    options=(--compatibility linux)
    if [ "${1:-}" = --portable ]; then
        tools=portable.txt
        options=(--features cuda --zig --compatibility manylinux_2_28)
        shorter=()
    fi
    venv=${MACULA_VENV:-$target/ci/venv}
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/$tools"
    rm -rf "$wheels"
    # maturin finds zig through the environment's Python.
    PATH=$(cd "$venv/bin" && pwd):$PATH maturin build --release --quiet --out "$wheels" "${options[@]}"
    wheel=$(echo "$wheels"/*.whl)
    ;;
esac

space=$(mktemp -d)
trap 'rm -rf "$space"' EXIT
python3 - "$wheel" <<'CHECK'
import pathlib, sys, zipfile

wheel = pathlib.Path(sys.argv[1])
size = wheel.stat().st_size
names = zipfile.ZipFile(wheel).namelist()
print(f"{wheel.name}: {size / 1e6:.1f} MB, {len(names)} files")
assert size < 15_000_000, "the wheel should have less than 15 MB"
for wanted in ("/scripts/macula", "macula/__init__.py", "macula/py.typed", "macula/torch/__init__.py", "/LICENSE-MIT", "/LICENSE-APACHE"):
    assert any(name.endswith(wanted) for name in names), f"{wanted} is missing"
strange = [name for name in names if not name.startswith(("macula/", "macula_run-"))]
assert not strange, f"files of nobody: {strange}"
CHECK

# A machine without Rust, and without anything that macula wrote before.
clean=(env -i "HOME=$space/home" "PATH=$space/venv/bin:/usr/bin:/bin" LANG=C.UTF-8)
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_CERT PIP_CONFIG_FILE SSL_CERT_FILE HTTPS_PROXY HTTP_PROXY NO_PROXY; do
    [ -z "${!name:-}" ] || clean+=("$name=${!name}")
done
mkdir -p "$space/home" "$space/experiment"
started=$SECONDS
python3 -m venv "$space/venv"
"${clean[@]}" "$space/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel"
installed=$SECONDS
cd "$space/experiment"
"${clean[@]}" macula --version
"${clean[@]}" macula new first
"${clean[@]}" macula run first.kdl "${shorter[@]}"
ran=$SECONDS
"${clean[@]}" macula show first.kdl --json "${shorter[@]}" >"$space/show.json"
"${clean[@]}" python - "$space/experiment" <<'CHECK'
import pathlib, sys

import macula

run = macula.results(pathlib.Path(sys.argv[1]) / "results" / "first")
assert {"patches", "classifier", "scores"} <= set(run.stages), run.stages
patches = run["patches"]
pixels = patches.pixels(0)
assert pixels.shape[2] == 3 and pixels.dtype == "uint8", (pixels.shape, pixels.dtype)
precision = run["scores"].metrics["average-precision"]
assert set(precision) >= set(patches.classes), precision
print(f"{len(patches):,} patches, average precision", {name: round(precision[name], 3) for name in patches.classes})
CHECK
again=$("${clean[@]}" macula run first.kdl "${shorter[@]}")
grep -q "nothing to compute" <<<"$again" || { echo "$again"; exit 1; }
echo "installed in $((installed - started)) s, first results $((ran - installed)) s later"
