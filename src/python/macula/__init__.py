"""Results of macula in Python: patches, predictions, metrics, models, heat maps.

>>> import macula
>>> run = macula.results("results/quickstart")
>>> run["scores"].metrics["average-precision"]["MA"]
>>> run["visible.kept"].pixels(0)

Nothing here trains or writes. Needs numpy and pyarrow; `table()` also needs pandas, `polars()` polars, and `macula.torch` PyTorch.
Files are read as they are; `macula store verify` checks them against their digests.
"""

from ._analyses import Duplicates, Froc, Report, Slices, Spread, Suspects
from ._errors import (
    AmbiguousError,
    FormatError,
    MaculaError,
    MissingPackageError,
    NotFoundError,
    NotKeptError,
    UnknownNameError,
    WrongTypeError,
)
from ._files import Tensors
from ._model import Embeddings, Model, Thresholds, Weights
from ._open import Outputs, load
from ._output import Files, Output
from ._patches import Patch, Patches, Views
from ._photographs import HeatMap, HeatMaps, Lesions, Photographs
from ._predictions import Predictions
from ._record import RunRecord, StageRecord
from ._run import Group, Run, results
from ._scores import Scores
from ._tables import Table

__all__ = [
    "AmbiguousError",
    "Duplicates",
    "Embeddings",
    "Files",
    "FormatError",
    "Froc",
    "Group",
    "HeatMap",
    "HeatMaps",
    "Lesions",
    "MaculaError",
    "MissingPackageError",
    "Model",
    "NotFoundError",
    "NotKeptError",
    "Output",
    "Outputs",
    "Patch",
    "Patches",
    "Photographs",
    "Predictions",
    "Report",
    "Run",
    "RunRecord",
    "Scores",
    "Slices",
    "Spread",
    "StageRecord",
    "Suspects",
    "Table",
    "Tensors",
    "Thresholds",
    "UnknownNameError",
    "Views",
    "Weights",
    "WrongTypeError",
    "load",
    "results",
]
