"""Counts the instructions of a fixed set of commands with valgrind, and compares them with instructions.txt.

    python tests/bench/instructions.py target/release/macula            fails if a count is off by more than 10 %
    python tests/bench/instructions.py target/release/macula --update   writes the counts to instructions.txt

Unlike times, counts do not depend on how busy the machine is. They do depend on the compiler and, slightly, on the
processor: valgrind shows it without AVX-512, and the C library chooses its copy loops by it. The kernels are always the
portable ones. Needs valgrind, and says so if it is missing or cannot run the binary.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

COUNTS = Path(__file__).with_name("instructions.txt")
TOLERANCE = 0.1

LARGE = "\n".join(
    ["pipeline large seed=1 {", "    synthetic eyes { photographs 4; size 128 }", "    extract patches { from eyes; size 32 }"]
    + [
        f"    filter-black visible-{i} {{ from patches; below {i % 40} }}\n"
        f"    split folds-{i} {{ from visible-{i}; by patient; train 0.5; valid 0.25; test 0.25 }}"
        for i in range(200)
    ]
    + ["}\n"]
)

CACHED = """pipeline cached seed=1 {
    synthetic eyes { photographs 8; size 256 }
    extract patches { from eyes; size 32 }
    filter-black visible { from patches }
    split folds { from visible; by patient; train 0.5; valid 0.25; test 0.25 }
    export files { from folds.train }
}
"""

EXTRACT = """pipeline extract seed=1 {
    synthetic eye { photographs 1; size 1280 }
    extract patches { from eye; size 128 }
}
"""

NETWORK = """network small {
    conv one out=16 kernel=3 padding=1 bias=#false
    batch-norm two
    relu
    max-pool kernel=2 stride=2
    conv three out=32 kernel=3 padding=1 bias=#false
    batch-norm four
    relu
    global-avg-pool
    linear fc
}
"""

# Name, arguments, and a command that prepares it, uncounted.
COMMANDS = [
    ("check: 402 stages", ["check", "large.kdl"], None),
    ("plan: 402 stages", ["plan", "large.kdl"], None),
    ("run: nothing to do", ["run", "cached.kdl", "--threads", "1"], ["run", "cached.kdl"]),
    ("run: extract from one photograph", ["run", "extract.kdl", "--threads", "1"], ["run", "extract.kdl", "eye"]),
    (
        "bench train: one step",
        "bench train --file network.kdl --network small --size 32 --batch 8 --steps 1 --threads 1 --device cpu".split(),
        None,
    ),
]


def environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MACULA_")}
    return {**kept, "MACULA_KERNELS": "portable", "RAYON_NUM_THREADS": "1"}


def count(macula, arguments, folder):
    """Instructions of a command; exits with 0 and a message if valgrind cannot run it."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", macula, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    if "unrecognised instruction" in done.stderr or "unhandled instruction" in done.stderr:
        print("skipped: this valgrind does not know an instruction of the binary")
        sys.exit(0)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return int(found[1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("macula")
    parser.add_argument("--update", action="store_true", help="write the counts instead of comparing them")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        print("skipped: valgrind is missing")
        return
    macula = os.path.abspath(options.macula)
    compiler = " ".join(subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[:2])
    expected = {}
    if not options.update:
        first, *lines = COUNTS.read_text().splitlines()
        if first != compiler:
            print(f"skipped: the counts are of {first}, this is {compiler}")
            return
        expected = dict(line.rsplit(None, 1) for line in lines)
        expected = {name.strip(): value for name, value in expected.items()}
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        texts = {"large": LARGE, "cached": CACHED, "extract": EXTRACT, "network": NETWORK}
        for name, text in texts.items():
            Path(folder, f"{name}.kdl").write_text(text)
        for name, arguments, before in COMMANDS:
            if before:
                subprocess.run([macula, *before], cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)
            counts[name] = count(macula, arguments, folder)
            was = int(expected.get(name, 0))
            ratio = f"  {counts[name] / was:.3f} of {was:,}" if was else ""
            print(f"{name:<34}{counts[name]:>16,}{ratio}", flush=True)
    if options.update:
        COUNTS.write_text(f"{compiler}\n" + "".join(f"{name:<34} {value}\n" for name, value in counts.items()))
        return
    changed = [name for name, value in counts.items() if not abs(value / int(expected.get(name, 1)) - 1) <= TOLERANCE]
    if changed or set(expected) != set(counts):
        sys.exit(
            f"more than {TOLERANCE:.0%} off, or not on both sides: {', '.join(changed or set(expected) ^ set(counts))}\n"
            "If that is intended, run this with --update and say why in the commit."
        )


main()
