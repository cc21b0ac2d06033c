"""Reads the outputs of `pipeline.kdl` as a user would, without macula: `python outputs.py RESULTS/PIPELINE`.

Patches with pandas and safetensors, weights by torchvision's names and shapes, metrics recomputed with scikit-learn from the table of
predictions.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pandas as pd
from safetensors.numpy import load_file
from sklearn.metrics import average_precision_score, roc_auc_score

results = pathlib.Path(sys.argv[1])
here = pathlib.Path(__file__).parent


def resnet18(classes):
    """Names and shapes of torchvision's ResNet18."""
    shapes = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (classes, 512), "fc.bias": (classes,)}

    def norm(name, width):
        for part in ["weight", "bias", "running_mean", "running_var"]:
            shapes[f"{name}.{part}"] = (width,)

    norm("bn1", 64)
    before = 64
    for layer, width in enumerate([64, 128, 256, 512], 1):
        for block in range(2):
            name, given = f"layer{layer}.{block}", before if block == 0 else width
            shapes[f"{name}.conv1.weight"] = (width, given, 3, 3)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            norm(f"{name}.bn1", width)
            norm(f"{name}.bn2", width)
            if given != width:
                shapes[f"{name}.downsample.0.weight"] = (width, given, 1, 1)
                norm(f"{name}.downsample.1", width)
        before = width
    return shapes


subprocess.run([sys.executable, here / "patch_set.py", results / "patches"], check=True)

weights = load_file(results / "classifier" / "weights.safetensors")
shapes = {name: tensor.shape for name, tensor in weights.items() if not name.endswith("num_batches_tracked")}
assert shapes == resnet18(4), sorted(set(shapes.items()) ^ set(resnet18(4).items()))[:8]
assert all(np.isfinite(tensor).all() for tensor in weights.values())
print(f"{len(shapes)} tensors have torchvision's names and shapes")

epochs = pd.read_parquet(results / "classifier" / "epochs.parquet")
assert set(epochs["set"]) == {"training", "subset", "valid"} and set(epochs["epoch"]) == {1}, epochs

table = pd.read_parquet(results / "scores" / "predictions.parquet")
scores = json.loads((results / "scores" / "scores.json").read_text())
compared = 0


def same(ours, theirs, what):
    global compared
    assert ours is not None and abs(ours - theirs) < 1e-9, (what, ours, theirs)
    compared += 1


for k, name in enumerate(scores["classes"]):
    known = table[table[f"label.{name}"].notna()]
    truth, score = known[f"label.{name}"].astype(bool), known[f"score.{name}"]
    ranking = scores["ranking"][k]
    if truth.nunique() == 2:
        same(ranking["average_precision"], average_precision_score(truth, score), f"average precision of {name}")
        same(ranking["auroc"], roc_auc_score(truth, score), f"AUROC of {name}")
    predicted = known[f"predicted.{name}"].astype(bool)
    assert (predicted == (score >= 0.5)).all(), name
assert compared >= 4, "no class with positives and negatives: the check would prove nothing"
print(f"{compared} metrics over {len(table)} patches agree with scikit-learn")

# The Python lines of each README.txt run from its folder, and load the chosen weights first. All in this process, because pyarrow's
# threads abort a process that ends while they are starting ("terminate called without an active exception").
lines, home = 0, pathlib.Path.cwd()
for readme in sorted(path.resolve() for path in results.glob("*/README.txt")):
    text = readme.read_text()
    os.chdir(readme.parent)
    for line in text.splitlines():
        if line.startswith(("import ", "from ")):
            *imports, value = line.split("; ")
            names = {}
            exec("; ".join(imports) + f"; loaded = {value}", names)
            assert len(names["loaded"]) > 0, (str(readme), line)
            lines += 1
    named = text.find("weights.safetensors"), text.find("last.safetensors")
    assert named == (-1, -1) or 0 <= named[0] < named[1], text
os.chdir(home)
readme = (results / "patches" / "README.txt").read_text()
assert '"parts/*.parquet"' in readme and '"shards/*.safetensors"' in readme, readme
assert lines >= 15, lines
print(f"{lines} lines of README.txt work")
