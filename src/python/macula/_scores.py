"""Evaluations: metrics of all patches and per class, with intervals and baselines."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import pyarrow as pa

from ._errors import NotKeptError
from ._files import read_json, read_parquet
from ._output import Output
from ._predictions import Predictions, of_folder
from ._tables import Table, Tabular

Interval: TypeAlias = "tuple[float, float] | None"
"""Bounds of a 95% confidence interval; `None` if there is none."""

_FIELDS = ("classes", "data", "ranking", "mean_average_precision", "mean_auroc", "baselines", "at_half")

_COLUMNS: list[pa.Field[Any]] = [
    pa.field("metric", pa.string()),
    pa.field("class", pa.string()),
    pa.field("threshold", pa.string()),
    pa.field("value", pa.float64()),
    pa.field("low", pa.float64()),
    pa.field("high", pa.float64()),
    pa.field("baseline", pa.float64()),
]
_SCHEMA = pa.schema(_COLUMNS)


class Scores(Output, Tabular):
    """An evaluation, of `eval` or `pool`.

    The table is tidy: one row per metric, class and threshold.

    ============= ============================================================================================
    column        content
    ============= ============================================================================================
    `metric`      `average-precision`, `auroc`, `f1`, `precision`, `recall`, `hamming-loss`, `subset-accuracy`,
                  and if the stage was asked to: `within-photograph-average-precision`,
                  `whole-average-precision`, `whole-auroc`, `brier`, `calibration-error`; with one class per patch `accuracy`,
                  `balanced-accuracy` and `quadratic-kappa`
    `class`       the class; `mean` (over classes; `macro` in F1, precision and recall), `micro` (all classes pooled), or `all` (patches)
    `threshold`   `0.5` or `tuned`; missing for metrics without a threshold
    `value`       the metric; missing if undefined
    `low`, `high` 95% confidence interval; missing if there is none
    `baseline`    what a trivial classifier reaches
    ============= ============================================================================================
    """

    type: ClassVar[str] = "scores"

    def __init__(self, path: Path, name: str = "", headline: str = "") -> None:
        super().__init__(path, name, headline)
        self.data: dict[str, Any] = read_json(path / "scores.json", _FIELDS)
        """Content of `scores.json`, with everything that the table leaves out."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes."""
        return tuple(self.data["classes"])

    @property
    def diagnosis(self) -> bool:
        """Whether its patches may be those that the model was trained on (`diagnosis #true`)."""
        return bool(self.data.get("diagnosis", False))

    @property
    def predictions(self) -> Predictions:
        """Scores and labels of the evaluated patches."""
        return of_folder(self.path, self.name)

    @property
    def mean_average_precision(self) -> float | None:
        """Average precision, averaged over classes; `None` if undefined."""
        value: float | None = self.data["mean_average_precision"]["value"]
        return value

    @property
    def curves(self) -> Table:
        """Precision, recall, false positive rate and F1 at each score: `class`, `score`, `precision`, `recall`, …"""
        return self._table("curves.parquet", "")

    @property
    def reliability(self) -> Table:
        """Reliability curves: the bins of each class, with mean score and observed frequency."""
        return self._table("reliability.parquet", "run the evaluation with `calibration #true`")

    @property
    def whole(self) -> Table:
        """Scores and labels of whole photographs or patients."""
        return self._table("whole.parquet", "run the evaluation with `whole maximum` or `whole top-mean`")

    def _table(self, file: str, remedy: str) -> Table:
        path = self.path / file
        if remedy and not path.is_file():
            raise NotKeptError(f"{self.path}: this evaluation has no `{file}`; {remedy}")
        return Table(file.removesuffix(".parquet"), lambda: read_parquet(path))

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """All metrics as a nested mapping.

        `metrics["average-precision"]["MA"]`, `metrics["average-precision"]["mean"]`; those with thresholds have one level more:
        `metrics["f1"]["tuned"]["micro"]`. A value is a number, or `None` if undefined. Intervals and baselines are in the table.
        """
        found: dict[str, Any] = {}
        for metric, name, threshold, value, *_ in self._all():
            inner = found.setdefault(metric, {})
            if threshold is not None:
                inner = inner.setdefault(threshold, {})
            inner[name] = value
        return found

    def interval(self, metric: str, name: str = "mean", threshold: str | None = None) -> Interval:
        """95% confidence interval of a metric of a class, or of `mean`, `micro` or `all`; `None` if there is none.

        Parameters
        ----------
        metric, name, threshold
            As in the table: `interval("f1", "micro", "tuned")`.
        """
        for row in self._all():
            if row[:3] == (metric, name, threshold):
                low, high = row[4:6]
                return None if low is None or high is None else (low, high)
        raise NotKeptError(f"{self.path}: there is no `{metric}` of `{name}`" + (f" at threshold `{threshold}`" if threshold else ""))

    def arrow(self) -> pa.Table:
        """The table in Arrow."""
        rows = [dict(zip(_SCHEMA.names, row, strict=True)) for row in self._all()]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    def _all(self) -> Iterator[tuple[str, str, str | None, float | None, float | None, float | None, float | None]]:
        data, classes = self.data, self.classes
        intervals = data.get("intervals") or {}
        base = data["baselines"]

        def bounds(found: Any) -> tuple[float | None, float | None]:
            return (found["low"], found["high"]) if found else (None, None)

        def at(key: str, k: int) -> Any:
            every = intervals.get(key)
            return every[k] if every and k < len(every) else None

        prevalence = [one["prevalence"] for one in base["classes"]]
        mean = data["mean_average_precision"]["value"]
        yield (
            "average-precision", "mean", None, mean,
            *bounds(intervals.get("mean_average_precision")), base["macro_prevalence"]["value"],
        )  # fmt: skip
        for k, name in enumerate(classes):
            value = data["ranking"][k]["average_precision"]
            yield "average-precision", name, None, value, *bounds(at("average_precision", k)), prevalence[k]
        yield "auroc", "mean", None, data["mean_auroc"]["value"], None, None, 0.5
        for k, name in enumerate(classes):
            yield "auroc", name, None, data["ranking"][k]["auroc"], None, None, 0.5

        for number, (threshold, key) in enumerate((("0.5", "at_half"), ("tuned", "at_tuned"))):
            if not data.get(key):
                continue
            found = data[key]["figures"]
            per_class = at("f1", number)
            yield (
                "f1", "mean", threshold, found["macro_f1"]["value"],
                *bounds(at("macro_f1", number)), base["macro_always_yes_f1"]["value"],
            )  # fmt: skip
            micro = base["micro"]["always_yes_f1"]
            yield "f1", "micro", threshold, found["micro"]["f1"], *bounds(at("micro_f1", number)), micro
            for k, name in enumerate(classes):
                interval = per_class[k] if per_class else None
                always = base["classes"][k]["always_yes_f1"]
                yield "f1", name, threshold, found["classes"][k]["f1"], *bounds(interval), always
            for metric in ("precision", "recall"):
                yield metric, "mean", threshold, found[f"macro_{metric}"]["value"], None, None, None
                yield metric, "micro", threshold, found["micro"][metric], None, None, None
                for k, name in enumerate(classes):
                    yield metric, name, threshold, found["classes"][k][metric], None, None, None
            trivial = base["always_healthy_hamming_loss"]
            loss = found["hamming_loss"]
            yield "hamming-loss", "all", threshold, loss, *bounds(at("hamming_loss", number)), trivial
            trivial, right = base["always_healthy_subset_accuracy"], found["subset_accuracy"]
            yield "subset-accuracy", "all", threshold, right, *bounds(at("subset_accuracy", number)), trivial

        if within := data.get("within_photograph"):
            name = "within-photograph-average-precision"
            values = [one["average_precision"] for one in within]
            chances = [one["chance"] for one in within]
            yield name, "mean", None, _mean(values), None, None, _mean(chances)
            for k, label in enumerate(classes):
                yield name, label, None, values[k], None, None, chances[k]
        if whole := data.get("whole"):
            for metric in ("average_precision", "auroc"):
                name = "whole-" + metric.replace("_", "-")
                yield name, "mean", None, whole[f"mean_{metric}"]["value"], None, None, None
                for k, label in enumerate(classes):
                    one = whole["classes"][k]
                    known = one["positives"] + one["negatives"]
                    chance = 0.5 if metric == "auroc" else one["positives"] / known if known else None
                    yield name, label, None, one[metric]["value"], *bounds(one[metric]["interval"]), chance
        for metric, key in (("brier", "brier"), ("calibration-error", "calibration_error")):
            for k, label in enumerate(classes):
                one = data["calibration"][k] if data.get("calibration") else None
                if one:
                    trivial = one["uncertainty"] if metric == "brier" else None
                    yield metric, label, None, one[key], *bounds(one.get(f"{key}_interval")), trivial
        if single := data.get("single"):
            chance = 1 / single["classes"] if single["classes"] else None
            of_chance = (single["majority_accuracy"], chance, 0.0)
            for metric, trivial in zip(("accuracy", "balanced_accuracy", "quadratic_kappa"), of_chance, strict=True):
                if metric == "quadratic_kappa" and single[metric] is None:
                    continue
                interval = bounds(single.get(f"{metric}_interval"))
                yield metric.replace("_", "-"), "all", None, single[metric], *interval, trivial

    def _rows(self) -> tuple[list[str], list[tuple[object, ...]]]:
        threshold = "tuned" if self.data.get("at_tuned") else "0.5"
        metrics = self.metrics
        rows: list[tuple[object, ...]] = []
        for name in (*self.classes, "mean"):
            each = (metrics["average-precision"], metrics["auroc"])
            fixed = (metrics[metric][threshold] for metric in ("f1", "precision", "recall"))
            interval = self.interval("average-precision", name)
            shown = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else None
            rows.append((name, each[0][name], shown, each[1][name], *(values[name] for values in fixed)))
        at = "tuned thresholds" if threshold == "tuned" else "0.5"
        return ["class", "AP", "95% CI", "AUROC", f"F1 at {at}", "precision", "recall"], rows


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
