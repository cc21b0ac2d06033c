"""A user's program for type checkers: mypy and pyright check it, nothing runs it."""

from collections.abc import Mapping
from typing import Any, assert_type

import macula
import numpy as np
import numpy.typing as npt
import pandas
import polars
import pyarrow as pa
import torch
from macula.torch import Network, PatchDataset, known, network

run = macula.results("results/quickstart", name=None)
assert_type(run, macula.Run)
assert_type(run.stages, tuple[str, ...])

patches = run.output("visible.kept", macula.Patches)
assert_type(patches, macula.Patches)
assert_type(patches.pixels(0), npt.NDArray[np.uint8])
assert_type(patches.pixels(slice(0, 9), margin=True), npt.NDArray[np.uint8])
assert_type(patches.pixels(patches.labels()[:, 0] == 1), npt.NDArray[np.uint8])
assert_type(patches.masks([0, 1]), npt.NDArray[np.bool_])
assert_type(patches.labels(), npt.NDArray[np.float32])
assert_type(patches.table(), pandas.DataFrame)
assert_type(patches.polars(), polars.DataFrame)
assert_type(patches.arrow(["x"]), pa.Table)
assert_type(patches[0], macula.Patch)
assert_type(patches[0].labels["MA"], bool | None)
assert_type(patches[1:], macula.Patches)
for patch in patches:
    assert_type(patch, macula.Patch)

scores = run.output("scores", macula.Scores)
assert_type(scores.interval("f1", "micro", "tuned"), tuple[float, float] | None)
assert_type(scores.predictions.scores(), npt.NDArray[np.float64])
assert_type(scores.predictions.join(patches), pandas.DataFrame)
assert_type(run.output("cuts", macula.Thresholds)["MA"], float)

model = run.output("classifier", macula.Model)
assert_type(model.weights(), Mapping[str, npt.NDArray[Any]])
assert_type(model.epochs.polars(), polars.DataFrame)
assert_type(run.output("maps", macula.HeatMaps)["IDRiD_45"].scores, npt.NDArray[np.float32])

dataset = PatchDataset(patches, torch.from_numpy)
assert_type(known(dataset.labels), tuple[torch.Tensor, torch.Tensor])
assert_type(network(model), Network)
assert_type(network(model).scores(patches.pixels([0])), npt.NDArray[np.float64])
