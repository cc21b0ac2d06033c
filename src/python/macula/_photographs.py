"""Photographs, their lesions, and heat maps over them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from ._errors import NotKeptError, UnknownNameError, listed
from ._files import Tensors, missing, read_bytes, read_json, read_parquet
from ._optional import imported
from ._output import Identity, Output, place
from ._tables import Table, Tabular

if TYPE_CHECKING:
    import numpy.typing as npt


class Photographs(Output, Tabular, Sequence[str]):
    """A set of photographs with masks: a sequence of their names."""

    type: ClassVar[str] = "photographs"

    def __init__(self, path: Path, name: str = "", headline: str = "") -> None:
        super().__init__(path, name, headline)
        self.info: dict[str, Any] = read_json(path / "set.json", ("classes", "photographs"))
        """Content of `set.json`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The C classes."""
        return tuple(self.info["classes"])

    @property
    def photographs(self) -> tuple[str, ...]:
        """Names of the photographs."""
        return tuple(self.info["photographs"])

    def __getitem__(self, number: Any) -> Any:
        return self.photographs[number]

    def __len__(self) -> int:
        return len(self.photographs)

    def _folder(self, photograph: str) -> Path:
        place(self.photographs, photograph, "photograph")
        return self.path / photograph

    def facts(self, photograph: str) -> dict[str, Any]:
        """Patient (or `None`), official set, the meaning of a missing mask of each class, and scale of a photograph."""
        return read_json(self._folder(photograph) / "facts.json")

    def photograph(self, name: str) -> Path:
        """File of a photograph: a link to the original file if macula did not make it."""
        found = sorted(self._folder(name).glob("photograph.*"))
        if not found:
            raise NotKeptError(f"{self._folder(name)}: the photograph is not linked here; `macula get FILE {self.name} FOLDER` copies it")
        return found[0]

    def mask(self, photograph: str, name: str) -> Path | None:
        """Mask file of a class, or `None` if there is none: `facts(…)["without_mask"]` says whether the class is then absent or unknown."""
        place(self.classes, name, "class")
        found = sorted(self._folder(photograph).glob(f"mask.{name}.*"))
        return found[0] if found else None

    def pixels(self, photograph: str) -> npt.NDArray[np.uint8]:
        """The photograph as uint8, H x W x 3; needs Pillow.

        Pixels are those of the file, as Pillow decodes it: macula may have read another bit depth, or turned the photograph as its metadata
        say.
        """
        image = imported("PIL.Image", "`pixels` of a photograph", "pillow")
        with image.open(self.photograph(photograph)) as opened:
            return np.asarray(opened.convert("RGB"), dtype=np.uint8)

    def arrow(self) -> pa.Table:
        """The table in Arrow: `photograph`, `patient`, `official`, `scale`, and for each class `mask.CLASS` (whether there is a mask)."""
        rows = []
        for name in self.photographs:
            facts = self.facts(name)
            row: dict[str, Any] = {"photograph": name}
            row.update({key: facts.get(key) for key in ("patient", "official", "scale")})
            row.update({f"mask.{label}": self.mask(name, label) is not None for label in self.classes})
            rows.append(row)
        text: list[pa.Field[Any]] = [pa.field(name, pa.string()) for name in ("photograph", "patient", "official")]
        masks: list[pa.Field[Any]] = [pa.field(f"mask.{label}", pa.bool_()) for label in self.classes]
        return pa.Table.from_pylist(rows, schema=pa.schema([*text, pa.field("scale", pa.uint32()), *masks]))

    def _facts(self) -> str:
        return f"{len(self):,} photographs, classes {' '.join(self.classes)}"

    def _rows(self) -> tuple[list[str], list[tuple[object, ...]]]:
        return ["photograph"], [(name,) for name in self.photographs[:10]]


class Lesions(Output, Tabular):
    """Lesions found in masks: the table has a row per lesion, with class, number, area, box and centre."""

    type: ClassVar[str] = "lesions"

    def __init__(self, path: Path, name: str = "", headline: str = "") -> None:
        super().__init__(path, name, headline)
        self.info: dict[str, Any] = read_json(path / "lesions.json", ("classes", "scale"))
        """Content of `lesions.json`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes."""
        return tuple(self.info["classes"])

    @property
    def photographs(self) -> tuple[str, ...]:
        """Names of the photographs, including those without a lesion."""
        found = [path.name.removesuffix(".parquet") for path in (self.path / "lesions").glob("*.parquet")]
        return tuple(sorted(found, key=str.encode))

    @cached_property
    def _table(self) -> pa.Table:
        return pa.concat_tables([read_parquet(self.path / "lesions" / f"{name}.parquet") for name in self.photographs])

    def arrow(self) -> pa.Table:
        """The table in Arrow."""
        return self._table

    def __len__(self) -> int:
        return self._table.num_rows

    @property
    def counts(self) -> Table:
        """Lesions and their area by photograph and class; missing if the class is not annotated there."""
        path = self.path / "counts.parquet"
        return Table("counts", lambda: read_parquet(path))

    def outlines(self, photograph: str) -> dict[str, Any]:
        """Outlines of a photograph's lesions as GeoJSON, in pixels."""
        place(self.photographs, photograph, "photograph")
        found: dict[str, Any] = json.loads(read_bytes(self.path / "outlines" / f"{photograph}.geojson"))
        return found

    def _facts(self) -> str:
        return self.headline or f"{len(self):,} lesions in {len(self.photographs):,} photographs"

    def _rows(self) -> tuple[list[str], list[tuple[object, ...]]]:
        table = self._table
        names, photographs = table.column("class").to_pylist(), table.column("photograph").to_pylist()
        rows: list[tuple[object, ...]] = []
        for label in self.classes:
            of = [photograph for name, photograph in zip(names, photographs, strict=True) if name == label]
            rows.append((label, len(of), len(set(of))))
        return ["class", "lesions", "photographs"], rows


class HeatMap(Output):
    """The heat map of a photograph: a score for each cell of `stride` px."""

    type: ClassVar[str] = "heat map"

    def __init__(self, path: Path, name: str = "") -> None:
        super().__init__(path, name)
        self.info: dict[str, Any] = read_json(path / "map.json", ("classes", "stride", "rows", "columns", "width", "height"))
        """Content of `map.json`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The C classes."""
        return tuple(self.info["classes"])

    @property
    def stride(self) -> int:
        """Side of a cell, px of the photograph that was mapped."""
        return int(self.info["stride"])

    @cached_property
    def _tensors(self) -> Tensors:
        return Tensors(self.path / "scores.safetensors")

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Scores, float32, C x rows x columns, read-only; NaN in cells without a scored patch."""
        return self._tensors["scores"]

    @property
    def lesion(self) -> npt.NDArray[np.float32]:
        """Whether a cell contains a lesion pixel, float32, C x rows x columns: 1, 0, or NaN if unknown."""
        found = self._tensors["lesion"].astype(np.float32)
        found[found == 255] = np.nan
        return found

    def of(self, name: str) -> npt.NDArray[np.float32]:
        """Scores of a class, float32, rows x columns."""
        found: npt.NDArray[np.float32] = self.scores[place(self.classes, name, "class")]
        return found

    @property
    def overlay(self) -> Path:
        """Image of the photograph with the highest score of all classes."""
        path = self.path / "overlay.png"
        if not path.is_file():
            raise UnknownNameError(missing(path))
        return path

    @property
    def patches(self) -> Table:
        """Each scored patch: `photograph`, `x`, `y`, `score.CLASS`."""
        path = self.path / "patches.parquet"
        return Table("patches", lambda: read_parquet(path))

    def _facts(self) -> str:
        return f"{self.info['rows']} x {self.info['columns']} cells of {self.stride} px, classes {' '.join(self.classes)}"

    def _repr_png_(self) -> bytes:
        return self.overlay.read_bytes()

    # The image says more than a list of files.
    _repr_html_ = None  # type: ignore[assignment]


class HeatMaps(Identity, Output, Tabular, Mapping[str, HeatMap]):
    """Heat maps by photograph. The table has metrics over cells: one row per photograph and class, and one per class for all."""

    type: ClassVar[str] = "maps"

    def __init__(self, path: Path, name: str = "", headline: str = "") -> None:
        super().__init__(path, name, headline)
        self.info: dict[str, Any] = read_json(path / "maps.json", ("classes", "photographs", "all", "stride"))
        """Content of `maps.json`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The C classes."""
        return tuple(self.info["classes"])

    @property
    def photographs(self) -> tuple[str, ...]:
        """Names of the mapped photographs."""
        return tuple(one["photograph"] for one in self.info["photographs"])

    def __getitem__(self, name: str) -> HeatMap:
        if name not in self.photographs:
            raise UnknownNameError(f"unknown photograph `{name}`; there are {listed(list(self.photographs))}")
        return HeatMap(self.path / name, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.photographs)

    def __len__(self) -> int:
        return len(self.photographs)

    def arrow(self) -> pa.Table:
        """The table in Arrow; `photograph` is null in the rows of all photographs."""
        rows = []
        for one in [{"photograph": None, "classes": self.info["all"]}, *self.info["photographs"]]:
            for label, values in zip(self.classes, one["classes"], strict=True):
                rows.append({"photograph": one["photograph"], "class": label, **values})
        return pa.Table.from_pylist(rows)

    def _rows(self) -> tuple[list[str], list[tuple[object, ...]]]:
        rows: list[tuple[object, ...]] = []
        for label, one in zip(self.classes, self.info["all"], strict=True):
            rows.append((label, one["cells"], one["mean"], one["highest"], one["average_precision"], one["auroc"]))
        return ["class", "cells", "mean score", "highest score", "AP", "AUROC"], rows
