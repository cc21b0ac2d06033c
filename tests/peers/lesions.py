"""`lesions` against scipy: `python tests/peers/lesions.py MACULA ROOT` (numpy, scipy, Pillow, pandas, pyarrow).

MACULA is the binary, ROOT holds `A. Segmentation` of IDRiD. Runs `lesions` on all photographs, with the masks of the optic disc, in a new
folder, and compares for each photograph and class, in masks read by Pillow:

- the number of lesions with that of components by `scipy.ndimage.label`, all eight neighbours;
- area, box and centre of each with those of a component;
- the polygons, filled row by row, with the component's pixels;
- the distance to the optic disc with that to the nearest pixel of its mask, over all pixels.

Prints the totals per class and how long the run took; fails at the first difference.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import pandas
from PIL import Image
from scipy import ndimage

macula, root = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
masks = root / "A. Segmentation/2. All Segmentation Groundtruths"
folders = {"MA": "1. Microaneurysms", "HE": "2. Haemorrhages", "EX": "3. Hard Exudates", "SE": "4. Soft Exudates"}

PIPELINE = """pipeline peers seed=1 {
    idrid fundus { root "ROOT" }
    folder discs {
        root "ROOT/A. Segmentation"
        photographs "1. Original Images/*/*.jpg"
        masks OD "2. All Segmentation Groundtruths/*/5. Optic Disc/*_OD.tif"
    }
    lesions found { from fundus; disc discs }
}
"""


def mask_of(photograph, folder, suffix):
    """Lesion pixels, or None without a mask."""
    files = sorted(masks.glob(f"*/{folder}/{photograph}_{suffix}.tif"))
    if not files:
        return None
    mask = np.asarray(Image.open(files[0]))
    return mask[..., :3].any(2) if mask.ndim == 3 else mask > 0


def filled(geometry, shape):
    """Pixels of a geometry: each vertical edge of a ring switches all pixels right of it."""
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    switches = np.zeros((shape[0], shape[1] + 1), bool)
    for ring in (ring for polygon in polygons for ring in polygon):
        corners = np.asarray(ring)
        assert (corners[0] == corners[-1]).all() and ((np.diff(corners, axis=0) == 0).sum(1) == 1).all(), ring
        for (x, y), (next_x, next_y) in zip(corners, corners[1:]):
            if x == next_x:
                switches[min(y, next_y) : max(y, next_y), x] ^= True
    return np.logical_xor.accumulate(switches, axis=1)[:, :-1]


def compare(table, features, mask):
    """Compares the lesions of one class with the components of its mask; returns the area of each."""
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    assert count == len(table) == len(features), (count, len(table), len(features))
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    seen = set()
    for (_, lesion), feature in zip(table.iterrows(), features):
        box = np.s_[lesion.top : lesion.bottom, lesion.left : lesion.right]
        offset = {"coordinates": shifted(feature["geometry"]["coordinates"], lesion.left, lesion.top)}
        pixels = filled(feature["geometry"] | offset, (lesion.bottom - lesion.top, lesion.right - lesion.left))
        (label,) = np.unique(labels[box][pixels])
        assert label > 0 and label not in seen
        seen.add(label)
        assert (pixels == (labels[box] == label)).all(), "the polygons are not the component"
        assert pixels.sum() == areas[label] == lesion.area == lesion.pixels == feature["properties"]["area"]
        assert pixels[0].any() and pixels[-1].any() and pixels[:, 0].any() and pixels[:, -1].any(), "a box too large"
        y, x = np.nonzero(pixels)
        centre = x.mean() + 0.5 + lesion.left, y.mean() + 0.5 + lesion.top
        assert np.allclose(centre, (lesion.x, lesion.y), rtol=0, atol=1e-6), (centre, lesion.x, lesion.y)
    return areas[1:]


def shifted(coordinates, left, top):
    """Nested coordinates, moved to the box of their lesion."""
    if isinstance(coordinates[0], int):
        return [coordinates[0] - left, coordinates[1] - top]
    return [shifted(part, left, top) for part in coordinates]


def distance(points, mask):
    """Distance of each point to the nearest pixel of a mask, a square of side 1."""
    y, x = np.nonzero(mask & ~ndimage.binary_erosion(mask))
    inside = mask[points[:, 1].astype(int), points[:, 0].astype(int)]
    across = np.maximum(x - points[:, :1], points[:, :1] - x - 1).clip(0)
    along = np.maximum(y - points[:, 1:], points[:, 1:] - y - 1).clip(0)
    return np.where(inside, 0, np.hypot(across, along).min(1))


with tempfile.TemporaryDirectory() as folder:
    space = pathlib.Path(folder)
    (space / "lesions.kdl").write_text(PIPELINE.replace("ROOT", str(root)))
    start = time.monotonic()
    subprocess.run([macula, "run", "lesions.kdl"], cwd=space, check=True, stdout=subprocess.DEVNULL)
    print(f"macula run: {time.monotonic() - start:.1f} s")
    results = space / "results/peers/found"
    totals = {suffix: [] for suffix in folders}
    distances = 0
    for path in sorted(results.glob("lesions/*.parquet")):
        table = pandas.read_parquet(path)
        outlines = json.loads((results / f"outlines/{path.stem}.geojson").read_text())
        for suffix, name in folders.items():
            mask = mask_of(path.stem, name, suffix)
            mask = np.zeros((outlines["height"], outlines["width"]), bool) if mask is None else mask
            features = [one for one in outlines["features"] if one["properties"]["class"] == suffix]
            totals[suffix].append(compare(table[table["class"] == suffix], features, mask))
        disc = mask_of(path.stem, "5. Optic Disc", "OD")
        if disc is None or table.empty:
            assert table.disc.isna().all()
            continue
        sample = table.iloc[:: max(1, len(table) // 40)]
        assert np.allclose(distance(sample[["x", "y"]].to_numpy(), disc), sample.disc, rtol=0, atol=1e-3), path.stem
        distances += len(sample)
    for suffix, all_areas in totals.items():
        areas = np.concatenate(all_areas)
        quartiles = np.quantile(areas, [0.25, 0.5, 0.75])
        present = sum(len(own) > 0 for own in all_areas)
        print(f"{suffix}: {len(areas)} lesions in {present} of {len(all_areas)} photographs, {areas.sum()} px, quartiles {quartiles}")
    print(f"equal: all lesions, and {distances} distances to the optic disc")
