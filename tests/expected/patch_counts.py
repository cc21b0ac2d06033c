"""Patch counts of IDRiD photographs, for `extract`: `python patch_counts.py ROOT NUMBER...` prints JSON.

ROOT holds `A. Segmentation`. For each photograph and scale (1 as released, 2 a 2x2 box mean with halves up for the photograph and
a 2x2 maximum for masks): patches of 128 px from the top left corner, healthy ones, black ones of those, patches with MA, HE, EX,
SE, and all mask pixels within patches as released. numpy and Pillow alone; without numbers all 54 are summed.
"""

import json
import pathlib
import sys

import numpy as np
from PIL import Image

root = pathlib.Path(sys.argv[1]) / "A. Segmentation"
wanted = [int(n) for n in sys.argv[2:]] or range(1, 55)
folders = {"MA": "1. Microaneurysms", "HE": "2. Haemorrhages", "EX": "3. Hard Exudates", "SE": "4. Soft Exudates"}


def blocks(picture, size):
    height, width = picture.shape[0] // size, picture.shape[1] // size
    cut = picture[: height * size, : width * size]
    return cut.reshape(height, size, width, size).swapaxes(1, 2).reshape(height * width, size * size)


def counts(number, scale):
    name = f"IDRiD_{number:02}"
    rgb = np.asarray(Image.open(root / "1. Original Images/a. Training Set" / f"{name}.jpg")).astype(np.uint32)
    if scale > 1:
        h, w = rgb.shape[0] // scale, rgb.shape[1] // scale
        rgb = rgb[: h * scale, : w * scale].reshape(h, scale, w, scale, 3).sum((1, 3))
        rgb = (2 * rgb + scale * scale) // (2 * scale * scale)
    dark = blocks((rgb.sum(2) < 30).astype(np.uint8), 128).mean(1) >= 0.9
    labels, pixels = [], []
    for lesion, folder in folders.items():
        file = root / "2. All Segmentation Groundtruths/a. Training Set" / folder / f"{name}_{lesion}.tif"
        if not file.exists():
            labels.append(np.zeros(len(dark), bool))
            pixels.append(0)
            continue
        mask = np.asarray(Image.open(file))
        mask = (mask[..., :3].any(2) if mask.ndim == 3 else mask > 0).astype(np.uint32)
        native = blocks(mask, 128 * scale).sum(1)
        labels.append(native > 0)
        pixels.append(int(native.sum()))
    labels = np.stack(labels)
    healthy = ~labels.any(0)
    return [len(dark), int(healthy.sum()), int((healthy & dark).sum()), *map(int, labels.sum(1)), *pixels]


table = {str(scale): {n: counts(n, scale) for n in wanted} for scale in (1, 2)}
if len(sys.argv) == 2:
    table = {scale: np.sum(list(rows.values()), 0).tolist() for scale, rows in table.items()}
print(json.dumps(table))
