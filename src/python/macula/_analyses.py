"""Analyses: tables of slices, suspects, FROC curves, spreads and near-duplicates; and report pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from ._errors import FormatError
from ._files import read_bytes, read_json, read_parquet
from ._html import framed
from ._output import Output
from ._tables import Table, Tabular


class _Analysis(Output, Tabular):
    """An output whose main file is a Parquet table, next to a JSON file with everything."""

    type: ClassVar[str] = "analysis"
    _parquet: ClassVar[str]
    _json: ClassVar[str | None] = None
    _shown: ClassVar[Sequence[str]] = ()

    @cached_property
    def data(self) -> dict[str, Any]:
        """Content of the JSON file; empty if the analysis has none."""
        return read_json(self.path / self._json) if self._json else {}

    @cached_property
    def _table(self) -> pa.Table:
        return read_parquet(self.path / self._parquet)

    def arrow(self) -> pa.Table:
        """The table in Arrow."""
        return self._table

    def __len__(self) -> int:
        return self._table.num_rows

    def _rows(self) -> tuple[list[str], list[tuple[object, ...]]]:
        names = [name for name in self._shown or self._table.column_names if name in self._table.column_names]
        return names, [tuple(row.values()) for row in self._table.select(names).slice(0, 20).to_pylist()]


class Slices(_Analysis):
    """Metrics of strata of the positive patches: the table has a row per class and stratum."""

    _parquet, _json = "slices.parquet", "slices.json"
    _shown = ("class", "stratum", "positives", "recall", "recall_low", "recall_high", "average_precision", "auroc")


class Suspects(_Analysis):
    """Labels by their log loss, the highest first: the table has a row per known label."""

    _parquet, _json = "suspects.parquet", "suspects.json"
    _shown = ("class", "label", "rank", "photograph", "x", "y", "score", "loss")

    @property
    def sheet(self) -> Path:
        """Image with the first suspects of each class."""
        return self.path / "sheet.png"

    def pictures(self) -> Iterator[tuple[dict[str, Any], Path]]:
        """Each suspect that has a picture, with the file of the picture."""
        for one in self.data["pictured"]:
            yield one, self.path / one["file"]


class Froc(_Analysis):
    """Lesions found by the peaks of heat maps: the table has the sensitivity at each number of false alarms per photograph."""

    _parquet, _json = "froc.parquet", "froc.json"

    @property
    def curves(self) -> Table:
        """The whole curves: `class`, `fold`, `score`, `false_alarms`, `sensitivity`."""
        return Table("curves", lambda: read_parquet(self.path / "curves.parquet"))

    @property
    def detections(self) -> Table:
        """Peaks, with the lesion that each one hits."""
        return Table("detections", lambda: read_parquet(self.path / "detections.parquet"))

    @property
    def lesions(self) -> Table:
        """Lesions, with the highest score of a peak that hits them."""
        return Table("lesions", lambda: read_parquet(self.path / "lesions.parquet"))


class Spread(_Analysis):
    """Metrics over several evaluations: the table has a row per metric, class and evaluation."""

    type: ClassVar[str] = "spread"
    _parquet, _json = "spread.parquet", "spread.json"

    @property
    def summary(self) -> Table:
        """Mean, standard deviation and range of each metric."""
        names = ("name", "class", "n", "mean", "deviation", "least", "most", "trivial")
        rows = [{name: one.get(name) for name in names} for one in self.data["figures"]]
        return Table("summary", lambda: pa.Table.from_pylist(rows))

    def _rows(self) -> tuple[list[str], list[tuple[object, ...]]]:
        over_all = [one for one in self.data["figures"] if one["class"] is None]
        names = ("name", "mean", "deviation", "least", "most", "trivial")
        head = ["metric", "mean", "deviation", "lowest", "highest", "baseline"]
        return head, [tuple(one[name] for name in names) for one in over_all]


class Duplicates(_Analysis):
    """Pairs of photographs that are nearly the same."""

    type: ClassVar[str] = "duplicates"
    _parquet = "pairs.parquet"


class Report(Output):
    """A report page; Jupyter shows it in a frame."""

    type: ClassVar[str] = "report"

    height = 800
    """Height of the frame, px."""

    @property
    def page(self) -> Path:
        """File of the page, which needs no other file."""
        return self.path / "report.html"

    def html(self) -> str:
        """The page as text."""
        try:
            return read_bytes(self.page).decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError(f"{self.page}: not UTF-8; run `macula run` again") from None

    def _repr_html_(self) -> str:
        return framed(self.html(), self.height)
