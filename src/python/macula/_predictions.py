"""Predictions of a classifier: scores and labels of patches."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from ._errors import FormatError, NotKeptError, WrongTypeError
from ._files import read_parquet
from ._output import Output
from ._patches import Patches
from ._tables import Table, Tabular, to_pandas

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas


class Predictions(Output, Tabular):
    """Scores of patches, of `predict` or `average`, or of an evaluation.

    The table has a row per patch: `photograph`, `patient`, `x`, `y`, and for each class `score.CLASS` (0 to 1), `label.CLASS` (true,
    false, missing if unknown), `predicted.CLASS` (at 0.5), `tuned.CLASS` (at the tuned threshold, if there is one) and
    `mask_pixels.CLASS`; in a pool also `fold`. Scores are probabilities only after calibration.
    """

    type: ClassVar[str] = "predictions"

    @cached_property
    def _table(self) -> pa.Table:
        path = self.path / "predictions.parquet"
        table = read_parquet(path)
        if not any(name.startswith("score.") for name in table.column_names) or "photograph" not in table.column_names:
            raise FormatError(f"{path}: not a table of predictions: it has no `photograph` or no `score.CLASS`")
        return table

    def arrow(self) -> pa.Table:
        """The table in Arrow."""
        return self._table

    def __len__(self) -> int:
        return self._table.num_rows

    @property
    def classes(self) -> tuple[str, ...]:
        """The C classes, in the order of `scores()` and `labels()`."""
        return tuple(name.removeprefix("score.") for name in self._table.column_names if name.startswith("score."))

    def scores(self) -> npt.NDArray[np.float64]:
        """Scores from 0 to 1, float64, N x C."""
        columns = [self._table.column(f"score.{name}").to_numpy() for name in self.classes]
        return np.stack(columns, axis=1).astype(np.float64)

    def labels(self) -> npt.NDArray[np.float32]:
        """Labels, float32, N x C: 1 (present), 0 (absent), NaN (unknown)."""
        found = np.full((len(self), len(self.classes)), np.nan, dtype=np.float32)
        for k, name in enumerate(self.classes):
            if f"label.{name}" in self._table.column_names:
                values = self._table.column(f"label.{name}").cast(pa.float32()).to_numpy()
                found[:, k] = values
        return found

    @property
    def photographs(self) -> Table:
        """A row per photograph: mean and highest score, fraction predicted, and prevalence if labels are known."""
        path = self.path / "photographs.parquet"
        if not path.is_file():
            raise NotKeptError(f"{self.path}: there is no table of photographs; only `predict` and `average` write one")
        return Table("photographs", lambda: read_parquet(path))

    def join(self, patches: Patches) -> pandas.DataFrame:
        """The predictions, with the columns of the patches that they are for.

        Parameters
        ----------
        patches
            The set that was scored, or a larger one of the same photographs.

        Returns
        -------
        pandas.DataFrame
            A row per prediction, in their order. `patch` is the number of the patch in `patches`, for `patches.pixels`; columns of patches
            follow those of predictions, without `photograph`, `patient`, `x` and `y`.

        Raises
        ------
        WrongTypeError
            If a prediction is for a patch that the set does not have.
        """
        scored = self._places(self._table)
        place: dict[tuple[str, int, int], int] = {}
        for at, key in enumerate(self._places(patches.arrow(["photograph", "x", "y"]))):
            place.setdefault(key, at)
        numbers = [place.get(key, -1) for key in scored]
        absent = sum(number < 0 for number in numbers)
        if absent:
            key = scored[numbers.index(-1)]
            where = f"x {key[1]}, y {key[2]} of `{key[0]}`"
            raise WrongTypeError(
                f"{absent:,} of {len(scored):,} predictions are not for patches of `{patches.name}`, the first at {where}; "
                "join the patches that were scored (`data` of the stage)"
            )
        keys = ("photograph", "patient", "x", "y")
        kept = [name for name in patches.columns if name not in keys and name != "histogram"]
        found = patches.arrow(kept).take(pa.array(numbers, pa.int64()))
        table = self._table.append_column("patch", pa.array(numbers, pa.int64()))
        for name in kept:
            table = table.append_column(name, found.column(name))
        return to_pandas(table)

    @staticmethod
    def _places(table: pa.Table) -> list[tuple[str, int, int]]:
        columns: list[list[Any]] = [table.column(name).to_pylist() for name in ("photograph", "x", "y")]
        return list(zip(*columns, strict=True))

    def _facts(self) -> str:
        return f"{len(self):,} patches, classes {' '.join(self.classes)}"

    def _rows(self) -> tuple[list[str], list[tuple[object, ...]]]:
        scores, labels = self.scores(), self.labels()
        rows: list[tuple[object, ...]] = []
        for k, name in enumerate(self.classes):
            known = labels[:, k][~np.isnan(labels[:, k])]
            prevalence = float(known.mean()) if len(known) else None
            rows.append((name, float(scores[:, k].mean()), float(scores[:, k].max()), prevalence))
        return ["class", "mean score", "highest score", "prevalence"], (rows if len(self) else [])


def of_folder(path: Path, name: str) -> Predictions:
    """Predictions next to the metrics of an evaluation."""
    return Predictions(path, f"{name} (predictions)")
