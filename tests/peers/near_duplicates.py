"""Recall and false alarms of `near-duplicates`: `python tests/peers/near_duplicates.py MACULA ROOT [FOLDER]` (numpy, scipy, Pillow, pandas,
pyarrow).

MACULA is the binary, ROOT holds `A. Segmentation` of IDRiD; FOLDER, a new temporary one by default, takes about 2 GB of changed copies, which a
second run reuses. For each kind of change, `near-duplicates` compares the 54 photographs with their changed copies, saved as JPEG of quality 95
unless the change is another quality. A pair of a photograph and its copy is a hit, any other pair a false alarm: of two originals, of two copies,
or of one and another's copy, 5,724 pairs of each kind. Prints a Markdown table: hits among the photographs that the method was developed on (01 to
44) and among the others, how many as photographs that share a part, the lowest similarity of a hit, false alarms.

The fingerprint is also computed here, as docs/design/near-duplicates.md describes it. The script fails if a similarity differs by more than 0.03
from macula's (not that of photographs that share a part), and prints the highest similarity of two different photographs, originals or copies, in any orientation.
"""

import multiprocessing
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pandas
from PIL import Image, ImageFilter
from scipy import ndimage

SIDE = 64


def table(function):
    return [min(255, max(0, round(function(value)))) for value in range(256)] * 3


def shifted(image, x, y):
    moved = Image.new("RGB", image.size)
    moved.paste(image, (x, y))
    return moved


def resized(image, factor):
    return image.resize([max(1, round(side * factor)) for side in image.size], Image.Resampling.LANCZOS)


def field(image):
    """The box of what is brighter than a fifth of its median."""
    grey = np.asarray(image.convert("L").reduce(8))
    bright = grey > np.median(grey[grey > 10]) / 5
    rows, columns = np.flatnonzero(bright.mean(1) > 0.05), np.flatnonzero(bright.mean(0) > 0.05)
    return tuple(int(at) for at in (columns[0] * 8, rows[0] * 8, (columns[-1] + 1) * 8, (rows[-1] + 1) * 8))


def inside(image, share):
    left, top, right, bottom = field(image)
    x, y = (right - left) * share / 2, (bottom - top) * share / 2
    return image.crop((round(left + x), round(top + y), round(right - x), round(bottom - y)))


def side(image, share):
    """The left part of the field."""
    left, top, right, bottom = field(image)
    return image.crop((left, top, round(left + (right - left) * share), bottom))


turn = Image.Transpose
CHANGES = {
    "saved again, quality 75": (lambda image: image, 75),
    "saved again, quality 30": (lambda image: image, 30),
    "shifted by 1 px": (lambda image: shifted(image, 1, 0), 95),
    "shifted by 5 and 3 px": (lambda image: shifted(image, 5, -3), 95),
    "shifted by 40 and 25 px": (lambda image: shifted(image, 40, 25), 95),
    "mirrored": (lambda image: image.transpose(turn.FLIP_LEFT_RIGHT), 95),
    "mirrored, upside down": (lambda image: image.transpose(turn.FLIP_TOP_BOTTOM), 95),
    "rotated by 90 degrees": (lambda image: image.transpose(turn.ROTATE_270), 95),
    "rotated by 180 degrees": (lambda image: image.transpose(turn.ROTATE_180), 95),
    "rotated by 270 degrees": (lambda image: image.transpose(turn.ROTATE_90), 95),
    "transposed": (lambda image: image.transpose(turn.TRANSPOSE), 95),
    "brightness + 30": (lambda image: image.point(table(lambda value: value + 30)), 95),
    "brightness - 30": (lambda image: image.point(table(lambda value: value - 30)), 95),
    "brightness x 0.6": (lambda image: image.point(table(lambda value: value * 0.6)), 95),
    "brightness x 1.4": (lambda image: image.point(table(lambda value: value * 1.4)), 95),
    "gamma 0.6": (lambda image: image.point(table(lambda value: 255 * (value / 255) ** 0.6)), 95),
    "gamma 1.8": (lambda image: image.point(table(lambda value: 255 * (value / 255) ** 1.8)), 95),
    "half the size": (lambda image: resized(image, 0.5), 95),
    "512 px wide": (lambda image: resized(image, 512 / image.width), 95),
    "blurred, 15 x 15 px": (lambda image: image.filter(ImageFilter.BoxBlur(7)), 95),
    "cropped to the field of view": (lambda image: inside(image, 0), 95),
    "mirrored, gamma 0.6, half, quality 50": (
        lambda image: resized(image.transpose(turn.FLIP_LEFT_RIGHT), 0.5).point(
            table(lambda value: 255 * (value / 255) ** 0.6)
        ),
        50,
    ),
    "rotated by 3 degrees": (lambda image: image.rotate(3, Image.Resampling.BILINEAR), 95),
    "cropped by 5 % within the field": (lambda image: inside(image, 0.05), 95),
    "cropped by 20 % within the field": (lambda image: inside(image, 0.2), 95),
    "cropped by 40 % within the field": (lambda image: inside(image, 0.4), 95),
    "the left 60 % of the field": (lambda image: side(image, 0.6), 95),
    "the left 60 %, mirrored, gamma 1.8, quality 50": (
        lambda image: side(image, 0.6).transpose(turn.FLIP_LEFT_RIGHT).point(table(lambda value: 255 * (value / 255) ** 1.8)),
        50,
    ),
    "cropped by 20 %, half the size": (lambda image: resized(inside(image, 0.2), 0.5), 95),
    "cropped by 20 %, 0.7 of the size": (lambda image: resized(inside(image, 0.2), 0.7), 95),
}

PIPELINE = """pipeline peers seed=1 {
    idrid fundus { root "ROOT" }
    folder changed { root "FOLDER"; photographs "*.jpg"; masks MA "masks/*.png"; absent-mask unknown }
    near-duplicates pairs { from fundus changed }
}
"""


def boxes(length, cells):
    """Cells x pixels: the fraction of each pixel in each of equal parts."""
    edges = np.arange(cells + 1) * length / cells
    pixels = np.arange(length)
    return np.clip(np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels), 0, None)


def bounds(lit):
    rows, columns = np.flatnonzero(lit.sum(1) * 50 >= lit.shape[1]), np.flatnonzero(lit.sum(0) * 50 >= lit.shape[0])
    return np.array([columns[0], columns[-1] + 1, rows[0], rows[-1] + 1] if len(rows) and len(columns) else [0] * 4)


def fingerprint(image):
    by = max(1, max(image.size) // 512)
    height, width = image.height // by, image.width // by
    # Rounded to whole values, which macula does not do.
    grey = np.asarray(image.convert("RGB").reduce(by), float)[:height, :width] @ [0.25, 0.5, 0.25]
    down, across = max(1, height // 32), max(1, width // 32)
    corners = (grey[:down, :across], grey[:down, -across:], grey[-down:, :across], grey[-down:, -across:])
    background = sorted(corner.max() for corner in corners)[1]
    lit = np.ones_like(grey)
    if background <= np.median(grey) / 2:
        darkest, typical = max(background, 1) + 1, np.median(grey[grey > background + 3])
        levels = darkest * (typical / darkest) ** (np.arange(16) / 16)
        found = [bounds(grey > level) for level in levels]
        runs = [next((n for n in range(16 - at) if np.abs(found[at + n] - found[at]).max() > 3), 16 - at) for at in range(16)]
        at = int(np.argmax(runs))
        lit = (grey > levels[at + (runs[at] - 1) // 2]).astype(float)
    left, right, top, bottom = bounds(lit)
    grey, lit = (part[top:bottom, left:right] for part in (grey, lit))
    cells = [int(side / max(grey.shape) * SIDE / 2 + 0.5) * 2 for side in grey.shape]
    down, across = boxes(grey.shape[0], cells[0]), boxes(grey.shape[1], cells[1])
    within, value = down @ lit @ across.T, down @ (grey * lit) @ across.T
    mask = within > 0.9 * down.sum(1)[0] * across.sum(1)[0]
    pad = [((SIDE - side) // 2,) * 2 for side in cells]
    value = np.pad(np.where(mask, value / np.maximum(within, 1e-9), 0), pad)
    mask = np.pad(mask, pad).astype(float)

    def mean(values):
        window = lambda values: ndimage.uniform_filter(ndimage.uniform_filter(values, 9, mode="constant"), 9, mode="constant")
        return window(values * mask) / np.maximum(window(mask), 1e-9)

    difference = (value - mean(value)) * mask
    deviation = difference / (np.sqrt(np.maximum(mean(difference**2), 0)) + 0.3)
    return np.clip(deviation, -3, 3) * ndimage.minimum_filter(mask, 5, mode="constant")


def normalised(prints):
    prints = np.asarray(prints).reshape(len(prints), -1)
    return prints / np.linalg.norm(prints, axis=1, keepdims=True)


def similarities(ours, others):
    """The highest correlation of each of ours with each of the others, in eight orientations, displaced by at most a cell."""
    best = np.full((len(ours), len(others)), -1.0)
    others = normalised(others)
    for flipped in (False, True):
        for quarter in range(4):
            turned = [np.rot90(own[:, ::-1] if flipped else own, quarter) for own in ours]
            for x in (-1, 0, 1):
                for y in (-1, 0, 1):
                    best = np.maximum(best, normalised([np.roll(own, (y, x), (0, 1)) for own in turned]) @ others.T)
    return best


def change(work):
    photograph, folder = work
    image = Image.open(photograph).convert("RGB")
    prints = {"": fingerprint(image)}
    for kind, (function, quality) in CHANGES.items():
        file = folder / kind / f"{photograph.stem}.jpg"
        if not file.exists():
            function(image).save(file, quality=quality)
        prints[kind] = fingerprint(Image.open(file))
    return photograph.stem, prints


def main():
    macula, root = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    photographs = sorted((root / "A. Segmentation/1. Original Images").glob("*/*.jpg"))
    with tempfile.TemporaryDirectory() as made:
        folder = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else made).resolve()
        for kind in CHANGES:
            (folder / kind / "masks").mkdir(parents=True, exist_ok=True)
            Image.new("1", (1, 1)).save(folder / kind / "masks" / f"{photographs[0].stem}.png")
        with multiprocessing.Pool() as pool:
            prints = dict(pool.imap_unordered(change, [(photograph, folder) for photograph in photographs]))
        names = sorted(prints)
        originals = [prints[name][""] for name in names]
        different = ~np.eye(len(names), dtype=bool)
        highest = similarities(originals, originals)[different].max()
        print(f"| change | found, 01 to 44 | found, 45 to {len(names)} | as a part | lowest similarity | false alarms |\n|---|---|---|---|---|---|")
        for kind in CHANGES:
            text = PIPELINE.replace("ROOT", str(root)).replace("FOLDER", str(folder / kind))
            (folder / "peers.kdl").write_text(text)
            subprocess.run([macula, "run", "--quiet", "peers.kdl"], cwd=folder, check=True)
            pairs = pandas.read_parquet(folder / "results/peers/pairs/pairs.parquet")
            own = (pairs.photograph == pairs.other) & (pairs.input != pairs.other_input)
            found = pairs[own].set_index("photograph")
            hits, whole = found.similarity, found.similarity[found.overlap.isna()]
            expected = similarities(originals, [prints[name][kind] for name in names])
            highest = max(highest, expected[different].max())
            for at, name in enumerate(names):
                assert name not in whole or abs(expected[at, at] - whole[name]) < 0.03, (kind, name, expected[at, at], whole[name])
            developed = sum(name <= "IDRiD_44" for name in hits.index)
            lowest = f"{hits.min():.2f}" if len(hits) else "-"
            of = f"{developed} of 44 | {len(hits) - developed} of {len(names) - 44}"
            print(f"| {kind} | {of} | {len(hits) - len(whole)} | {lowest} | {(~own).sum()} |", flush=True)
        print(f"\nHighest similarity of different photographs: {highest:.2f}")


if __name__ == "__main__":
    main()
