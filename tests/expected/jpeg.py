"""JPEGs with every sampling and scan order, from libjpeg-turbo's `cjpeg`, and their pixels according to its `djpeg`:
`python jpeg.py` writes tests/expected/jpeg.json. Needs Debian's libjpeg-turbo-progs; made with 2.1.5.

The image is 29 x 19. For each JPEG, the JSON has the file (base64) and the means of red, green and blue over cells of 5 x 5 pixels.
"""

import base64
import json
import math
import pathlib
import subprocess
import tempfile

WIDTH, HEIGHT, CELL = 29, 19, 5
CHROMA_1X1 = ["1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2", "2x4", "4x4", "3x1", "1x3", "3x2"]
OTHERS = [
    "1x1,2x1,2x1", "1x1,1x2,1x2", "1x1,2x2,2x2", "2x1,1x2,1x2", "1x2,2x1,2x1", "2x2,2x1,2x1", "2x2,1x2,1x2", "2x1,2x1,2x1",
    "1x2,1x2,1x2", "2x2,2x2,2x2", "4x1,2x1,2x1", "1x4,1x2,1x2", "4x2,2x1,2x1", "2x2,2x1,1x1", "2x2,1x2,2x1", "2x1,1x1,2x1",
    "1x1,1x1,2x1",
]
SCANS = {
    "one": [],
    "each": ["-scans", "0;1;2;"],
    "two": ["-scans", "0;1 2;"],
    "last": ["-scans", "0 1;2;"],
    "progressive": ["-progressive"],
    "restarts": ["-restart", "1B"],
}


def pixel(x, y):
    if (x - 14) ** 2 + (y - 9) ** 2 <= 30:
        return 200, 120, 40
    return 60 + 5 * x, 30 + 9 * y, round(120 + 60 * math.sin(x / 5) * math.cos(y / 4))


def cells(ppm):
    """Means over cells of a PPM or PGM."""
    kind, size, _, pixels = ppm.split(b"\n", 3)
    assert size.split() == [b"%d" % WIDTH, b"%d" % HEIGHT], size
    channels = 3 if kind == b"P6" else 1
    found = []
    for top in range(0, HEIGHT, CELL):
        for left in range(0, WIDTH, CELL):
            places = [(x, y) for y in range(top, min(top + CELL, HEIGHT)) for x in range(left, min(left + CELL, WIDTH))]
            for c in range(3):
                values = [pixels[(y * WIDTH + x) * channels + c % channels] for x, y in places]
                found.append(round(sum(values) / len(values)))
    return found


def main():
    folder = pathlib.Path(tempfile.mkdtemp())
    colours = bytes(v for y in range(HEIGHT) for x in range(WIDTH) for v in pixel(x, y))
    (folder / "rgb.ppm").write_bytes(b"P6\n%d %d\n255\n" % (WIDTH, HEIGHT) + colours)
    (folder / "grey.pgm").write_bytes(b"P5\n%d %d\n255\n" % (WIDTH, HEIGHT) + colours[1::3])
    made, left_out = {}, []

    def add(name, source, *words):
        words = list(words)
        if "-scans" in words:
            at = words.index("-scans") + 1
            (folder / "script").write_text(words[at].replace(";", ";\n"))
            words[at] = str(folder / "script")
        command = ["cjpeg", "-quality", "80", *words, str(folder / source)]
        done = subprocess.run(command, capture_output=True)
        if done.returncode:
            # More than 10 blocks together are not allowed.
            left_out.append(name)
            return
        read = subprocess.run(["djpeg", "-ppm"], input=done.stdout, capture_output=True, check=True).stdout
        made[name] = {"file": base64.b64encode(done.stdout).decode(), "cells": cells(read)}

    for factors in [f"{luma},1x1,1x1" for luma in CHROMA_1X1] + OTHERS:
        for scans, words in SCANS.items():
            add(f"{factors} {scans}", "rgb.ppm", "-optimize", "-sample", factors, *words)
    for scans in ["one", "each", "progressive"]:
        add(f"rgb {scans}", "rgb.ppm", "-rgb", *SCANS[scans])
        if scans != "each":
            add(f"grey {scans}", "grey.pgm", "-grayscale", *SCANS[scans])
            add(f"grey 2x2 {scans}", "grey.pgm", "-grayscale", "-sample", "2x2", *SCANS[scans])
    add("arithmetic", "rgb.ppm", "-arithmetic")
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row, separators=(',', ':'))}" for name, row in made.items())
    (pathlib.Path(__file__).parent / "jpeg.json").write_text("{\n" + rows + "\n}\n")
    print(len(made), "files;", len(left_out), "not supported by cjpeg:", "; ".join(left_out))


main()
