"""Patches around lesions and label rules by place, against scipy: `python tests/peers/lesion_patches.py MACULA ROOT` (numpy, scipy, Pillow,
pandas, pyarrow).

MACULA is the binary, ROOT holds `A. Segmentation` of IDRiD. Cuts a grid and patches around lesions from all photographs in a new folder,
relabels the grid by `min-lesion-share` and by `min-rim-distance`, and compares for each patch and class, in masks read by Pillow:

- lesion pixels and label with those in the mask, where the patch is;
- the new labels with those by components of `scipy.ndimage.label`, all eight neighbours.

Prints the number of patches per class and how long each stage took; fails at the first difference.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pandas
from PIL import Image
from scipy import ndimage

macula, root = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
masks = root / "A. Segmentation/2. All Segmentation Groundtruths"
folders = {"MA": "1. Microaneurysms", "HE": "2. Haemorrhages", "EX": "3. Hard Exudates", "SE": "4. Soft Exudates"}
SIZE, SHARE, WEAKER, RIM = 128, 0.5, 0.1, 16

PIPELINE = f"""pipeline peers seed=1 {{
    idrid fundus {{ root "{root}" }}
    extract patches {{ from fundus; size {SIZE} }}
    extract centred {{ from fundus; size {SIZE}; around lesions }}
    relabel shares {{ from patches; masks fundus; min-lesion-share {SHARE}; unknown min-lesion-share={WEAKER} }}
    relabel rims {{ from patches; masks fundus; min-rim-distance {RIM} }}
}}
"""


def mask_of(photograph, class_name):
    """Lesion pixels, or None without a mask."""
    files = sorted(masks.glob(f"*/{folders[class_name]}/{photograph}_{class_name}.tif"))
    if not files:
        return None
    mask = np.asarray(Image.open(files[0]))
    return mask[..., :3].any(2) if mask.ndim == 3 else mask > 0


def depth(inside):
    """Pixels between the innermost lesion pixel and the rim of a patch."""
    rows, columns = np.nonzero(inside)
    return np.minimum.reduce([rows, columns, SIZE - 1 - rows, SIZE - 1 - columns]).max()


with tempfile.TemporaryDirectory() as folder:
    pathlib.Path(folder, "peers.kdl").write_text(PIPELINE)
    subprocess.run([macula, "run", "peers.kdl"], cwd=folder, check=True)
    results = pathlib.Path(folder, "results/peers")
    counts = {}
    for part in sorted((results / "patches/parts").glob("*.parquet")):
        tables = {name: pandas.read_parquet(results / name / "parts" / part.name) for name in ["patches", "centred", "shares", "rims"]}
        assert not tables["centred"].duplicated(["x", "y"]).any(), part.name
        for class_name in folders:
            mask = mask_of(part.stem, class_name)
            if mask is None:
                assert all((table[class_name] == 0).all() for table in tables.values()), part.name
                continue
            labels, count = ndimage.label(mask, np.ones((3, 3)))
            areas = np.bincount(labels.ravel())
            for name, table in tables.items():
                for x, y, pixels, label in zip(table.x, table.y, table[f"{class_name}_pixels"], table[class_name]):
                    inside = labels[y : y + SIZE, x : x + SIZE]
                    assert inside.shape == (SIZE, SIZE), (part.name, x, y)
                    found = np.count_nonzero(inside)
                    expected = float(found > 0)
                    if name == "shares" and found:
                        own = np.bincount(inside.ravel(), minlength=count + 1)[1:]
                        share = (own / np.minimum(areas[1:], SIZE * SIZE)).max()
                        expected = 1.0 if share >= SHARE else np.nan if share >= WEAKER else 0.0
                    if name == "rims" and found:
                        expected = float(depth(inside > 0) >= RIM)
                    same = np.isnan(label) if np.isnan(expected) else label == expected
                    assert same and (np.isnan(label) or pixels == found), (name, part.name, class_name, x, y, label, expected)
        for name, table in tables.items():
            total = counts.setdefault(name, dict.fromkeys(["patches", *folders, "unknown"], 0))
            total["patches"] += len(table)
            for class_name in folders:
                total[class_name] += int((table[class_name] == 1).sum())
                total["unknown"] += int(table[class_name].isna().sum())
    print(json.dumps(counts, indent=1))
