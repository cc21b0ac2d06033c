"""Reads a patch set as a user would, with only pandas and safetensors: `python patch_set.py FOLDER`.

FOLDER contains `set.json`, `parts/` and `shards/`, as written by `macula get STAGE FOLDER`. Every count and mean of the table is
recomputed from the pixels of the shards.
"""

import json
import pathlib
import sys

import numpy as np
import pandas as pd
from safetensors.numpy import load_file

folder = pathlib.Path(sys.argv[1])
info = json.loads((folder / "set.json").read_text())
table = pd.read_parquet(folder / "parts")
size, margin = info["size"], info["margin"]
kinds = {name: str(kind) for name, kind in table.dtypes.items()}
for name in ["x", "y", "index", "copies"]:
    assert kinds[name] == "uint32", (name, kinds[name])
for name in info["classes"]:
    assert set(table[name].dropna().unique()) <= {0, 1}, name
    assert (table[name + "_pixels"].isna() == table[name].isna()).all(), name
checked = 0
for photograph, rows in table.groupby("photograph"):
    shard = load_file(folder / "shards" / f"{photograph}.safetensors")
    whole = shard["pixels"]
    assert whole.shape[1:] == (size + 2 * margin, size + 2 * margin, 3), whole.shape
    for row in rows.itertuples():
        pixels = whole[row.index, margin : margin + size, margin : margin + size].reshape(-1, 3)
        grey = pixels.astype(np.uint32).sum(1) // 3
        assert (np.bincount(grey, minlength=256) == row.histogram).all(), (photograph, row.index)
        for c, name in enumerate("rgb"):
            assert abs(pixels[:, c].mean() - getattr(row, f"mean_{name}")) < 1e-3
            assert abs(pixels[:, c].std() - getattr(row, f"deviation_{name}")) < 1e-2
        checked += 1
assert checked == len(table) > 0
print(f"{checked} patches of {table.photograph.nunique()} photographs match their pixels")
