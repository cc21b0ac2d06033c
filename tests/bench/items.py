"""The cost of a run with nothing to do on a folder with many photographs, and of a run after adding a photograph.

    python tests/bench/items.py target/release/macula [PHOTOGRAPHS [FOLDER]]

Makes a folder of PHOTOGRAPHS (100,000) different PNG files of 16 x 16 pixels, one in a hundred with a mask, and runs `folder` and
`extract` on it: from nothing; then ROUNDS times with nothing to do; then with one photograph added; then ROUNDS times with
nothing to do again. Prints wall time, processor time and peak resident memory of each. Needs only Python. If FOLDER already has the
photographs (and a store), they are used and kept."""

import os
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib

ROUNDS = 7
SIDE = 16

PIPELINE = """pipeline items seed=1 {
    folder eyes { root "data"; masks MA "masks/*"; absent-mask absent }
    extract patches { from eyes; size 16; label min-pixels=1 }
}
"""


def png(rows: list[bytes], colour: int) -> bytes:
    """A PNG of 8 bits a channel: `colour` 0 is grey, 2 is RGB."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def photograph(number: int) -> bytes:
    """A different photograph for each number."""
    ground = struct.pack(">I", number)[1:] * SIDE
    return png([ground] * SIDE, 2)


def prepare(root: pathlib.Path, count: int) -> None:
    photographs, masks = root / "data" / "photographs", root / "data" / "masks"
    for folder in (photographs, masks):
        folder.mkdir(parents=True, exist_ok=True)
    mask = png([bytes([255, 0] * (SIDE // 2))] * SIDE, 0)
    for number in range(count):
        path = photographs / f"eye-{number:06}.png"
        if not path.exists():
            path.write_bytes(photograph(number))
        if number % 100 == 0:
            (masks / path.name).write_bytes(mask)
    (root / "items.kdl").write_text(PIPELINE)
    (root / "project.kdl").touch()


def run(macula: str, root: pathlib.Path) -> tuple[float, float, float, str]:
    began = time.perf_counter()
    child = subprocess.Popen([macula, "run", "items.kdl"], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = child.stdout.read(), child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"macula ended with {child.returncode}:\n{out.decode()}\n{err.decode()}")
    wall = time.perf_counter() - began
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, (out + err).decode().strip().splitlines()[-1]


def show(what: str, runs: list[tuple[float, float, float, str]]) -> None:
    wall, processor, memory = (statistics.median(run[at] for run in runs) for at in range(3))
    print(f"{what:<24} {wall:9.3f} s wall {processor:9.3f} s processor {memory:7.0f} MB peak  (median of {len(runs)})")
    print(f"    {runs[-1][3]}")


def measure(macula: str, root: pathlib.Path, count: int) -> None:
    prepare(root, count)
    # Files written just now are read again until their timestamps can be trusted.
    time.sleep(2.1)
    show("from nothing", [run(macula, root)])
    run(macula, root)
    show("nothing to do", [run(macula, root) for _ in range(ROUNDS)])
    number = 1 << 23 | (time.time_ns() & 0x3FFFFF)
    (root / "data" / "photographs" / f"new-{number}.png").write_bytes(photograph(number))
    show("one added", [run(macula, root)])
    time.sleep(2.1)
    run(macula, root)
    show("nothing to do", [run(macula, root) for _ in range(ROUNDS)])


def main() -> None:
    macula = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    if len(sys.argv) > 3:
        measure(macula, pathlib.Path(sys.argv[3]), count)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure(macula, pathlib.Path(folder), count)


if __name__ == "__main__":
    main()
