"""Patch sets: a table of patches, and their pixels and masks in shards, one per photograph."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ._errors import REPAIR, FormatError, NotKeptError, UnknownNameError, listed
from ._files import Tensors, footer, read_json, read_parquet
from ._output import Output
from ._tables import Tabular, to_pandas, to_polars

if TYPE_CHECKING:
    import pandas
    import polars

Rows: TypeAlias = "slice | Sequence[int] | Sequence[bool] | npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]"
"""Several patches: a slice, a list of numbers, or a mask of N truth values."""

# Shards that stay mapped: each uses a file descriptor, of which a process often has only 1,024.
_MAPPED = 64


@dataclass(frozen=True)
class Patch:
    """One patch.

    Attributes
    ----------
    number
        Its number in the set, from 0.
    photograph
        Name of its photograph.
    patient
        Patient of the photograph, or `None` if unknown.
    x, y
        Left and top edge in the photograph, px.
    copies
        Number of copies in a resampled set; 1 in all others.
    labels
        For each class `True` (present), `False` (absent) or `None` (unknown).
    pixels
        uint8, H x W x 3: red, green, blue, without margin.
    """

    number: int
    photograph: str
    patient: str | None
    x: int
    y: int
    copies: int
    labels: dict[str, bool | None]
    pixels: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Core:
    """What most uses need of the table, read in one pass."""

    # Number of the photograph of each patch, N.
    photograph: npt.NDArray[np.int64]
    # Patient of each photograph.
    patients: list[str | None]
    # x, y, row in the shard, copies: N x 4.
    places: npt.NDArray[np.int64]
    # N x C.
    labels: npt.NDArray[np.float32]

    def take(self, rows: npt.NDArray[np.int64]) -> _Core:
        found = _Core(self.photograph[rows], self.patients, self.places[rows], self.labels[rows])
        found.labels.flags.writeable = False
        return found


class Patches(Output, Tabular, Sequence[Patch]):
    """A patch set: `patches[i]`, `len(patches)`, `for patch in patches`.

    Patches are ordered by the name of their photograph, then as macula cut them; their numbers are the rows of `table()`. A resampled set
    counts each row once, and has its number of copies in the column `copies`.

    Only the files that are needed are read: the table with the first use of labels or places, pixels with their first use,
    memory-mapped.
    """

    type: ClassVar[str] = "patches"

    def __init__(self, path: Path, name: str = "", headline: str = "", rows: npt.NDArray[np.int64] | None = None) -> None:
        super().__init__(path, name, headline)
        self.info = read_json(path / "set.json", ("classes", "size", "margin", "masks", "scale", "resampled"))
        """Content of `set.json`."""
        self._chosen = rows
        self._shards: OrderedDict[str, Tensors] = OrderedDict()

    # What the set is

    @property
    def classes(self) -> tuple[str, ...]:
        """The C classes, in the order of all labels."""
        return tuple(self.info["classes"])

    @property
    def patch_size(self) -> int:
        """Side of a patch without margin, px."""
        return int(self.info["size"])

    @property
    def margin(self) -> int:
        """Context that is stored on each side of a patch, px."""
        return int(self.info["margin"])

    @property
    def scale(self) -> int:
        """Side of one pixel in native pixels of the photograph: 2 after halving."""
        return int(self.info["scale"])

    @property
    def has_masks(self) -> bool:
        """Whether lesion masks are stored with the patches."""
        return bool(self.info["masks"])

    @property
    def resampled(self) -> bool:
        """Whether patches were resampled, so that prevalence is not that of the photographs."""
        return bool(self.info["resampled"])

    @property
    def scheme(self) -> str:
        """How classes relate: `multi-label`, `single` (each patch has exactly one), or `grades` (one, in ascending order)."""
        return str(self.info.get("labels", "multi-label"))

    @cached_property
    def _parts(self) -> dict[str, Path]:
        found = {path.name.removesuffix(".parquet"): path for path in (self.path / "parts").glob("*.parquet")}
        if not found:
            raise FormatError(f"{self.path / 'parts'}: there are no tables of patches; {REPAIR}")
        # As macula sorts: by bytes.
        return dict(sorted(found.items(), key=lambda item: item[0].encode()))

    @property
    def photographs(self) -> tuple[str, ...]:
        """Names of the photographs, including those without a patch."""
        return tuple(self._parts)

    def photograph_facts(self, photograph: str) -> dict[str, str]:
        """Digest, and if known patient and official set, of a photograph, even one without a patch."""
        if photograph not in self._parts:
            raise UnknownNameError(f"unknown photograph `{photograph}`; there are {listed(list(self._parts))}")
        return footer(self._parts[photograph])

    def __len__(self) -> int:
        return len(self._core.photograph)

    def _facts(self) -> str:
        copies = int(self.copies.sum())
        drawn = f", {copies:,} with copies" if copies != len(self) else ""
        size = f"{self.patch_size} px" + (f" + margin {self.margin}" if self.margin else "")
        photographs = len(np.unique(self._core.photograph))
        return f"{len(self):,} patches{drawn} of {photographs:,} photographs, {size}, classes {' '.join(self.classes)}"

    def _rows(self) -> tuple[list[str], list[tuple[object, ...]]]:
        labels = self.labels()
        rows: list[tuple[object, ...]] = []
        for k, name in enumerate(self.classes):
            column = labels[:, k]
            rows.append((name, int((column == 1).sum()), int((column == 0).sum()), int(np.isnan(column).sum())))
        return ["class", "present", "absent", "unknown"], rows

    # Its table

    def _read(self, columns: Sequence[str]) -> pa.Table:
        wanted = list(columns)
        table = pa.concat_tables(read_parquet(path, wanted).select(wanted) for path in self._parts.values())
        return table if self._chosen is None else table.take(pa.array(self._chosen, pa.int64()))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns, including `histogram`."""
        first = next(iter(self._parts.values()))
        return tuple(read_parquet(first).column_names)

    def arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The table in Arrow, one row per patch.

        Parameters
        ----------
        columns
            Columns to read; by default all but `histogram`, which has a list of 256 numbers in each row.

        Returns
        -------
        pyarrow.Table
            For each class `CLASS` a label (true, false, null if unknown), `CLASS_pixels` (native mask pixels, null if unknown) and
            `CLASS_distance` (from the centre of the patch to the nearest of them, px; null if there is none).
        """
        wanted = [name for name in self.columns if name != "histogram"] if columns is None else columns
        table = self._read(wanted)
        for at, name in enumerate(table.column_names):
            if name in self.classes:
                table = table.set_column(at, name, table.column(name).cast(pa.bool_()))
        return table.combine_chunks()

    def table(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """The table in pandas; `columns` as in `arrow`. Labels are `boolean`, with `pandas.NA` if unknown."""
        return to_pandas(self.arrow(columns))

    def polars(self, columns: Sequence[str] | None = None) -> polars.DataFrame:
        """The table in polars; `columns` as in `arrow`. Unknown labels are null."""
        return to_polars(self.arrow(columns))

    @cached_property
    def _core(self) -> _Core:
        counts, patients = [], []
        places, labels = [], []
        for path in self._parts.values():
            table = read_parquet(path, ["patient", "x", "y", "index", "copies", *self.classes])
            patient = table.column("patient")
            counts.append(table.num_rows)
            patients.append(patient[0].as_py() if table.num_rows else None)
            places.append(np.stack([table.column(name).to_numpy().astype(np.int64) for name in ("x", "y", "index", "copies")], axis=1))
            found = np.empty((table.num_rows, len(self.classes)), dtype=np.float32)
            for k, name in enumerate(self.classes):
                values = table.column(name).to_numpy().astype(np.float32)
                found[:, k] = np.where(np.isnan(values), np.nan, values > 0)
            labels.append(found)
        photograph = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        core = _Core(photograph, patients, np.concatenate(places), np.concatenate(labels))
        core.labels.flags.writeable = False
        return core if self._chosen is None else core.take(self._chosen)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self._parts)

    @property
    def copies(self) -> npt.NDArray[np.int64]:
        """Number of copies of each patch, N; 1 unless the set was resampled."""
        return self._core.places[:, 3]

    def labels(self) -> npt.NDArray[np.float32]:
        """Labels of all patches, N x C, read-only: 1 (present), 0 (absent), NaN (unknown)."""
        return self._core.labels

    # Its pixels

    def _shard(self, photograph: str) -> Tensors:
        found = self._shards.get(photograph)
        if found is None:
            path = self.path / "shards" / f"{photograph}.safetensors"
            found = Tensors(path)
            side, classes = self.patch_size + 2 * self.margin, len(self.classes)
            wanted: dict[str, tuple[int, ...]] = {"pixels": (side, side, 3)}
            if self.has_masks:
                wanted["masks"] = (classes, (side * side + 7) // 8)
            for name, shape in wanted.items():
                if name not in found or found.shape(name)[1:] != shape or found[name].dtype != np.uint8:
                    raise FormatError(f"{path}: `{name}` does not match `set.json`, which needs N x {shape}; {REPAIR}")
            self._shards[photograph] = found
            if len(self._shards) > _MAPPED:
                self._shards.popitem(last=False)
        elif len(self._shards) == _MAPPED:
            # Another thread may have just dropped it.
            with suppress(KeyError):
                self._shards.move_to_end(photograph)
        return found

    def _of(self, number: int, tensor: str) -> npt.NDArray[np.uint8]:
        photograph, row = self._names[self._core.photograph[number]], int(self._core.places[number, 2])
        values = self._shard(photograph)[tensor]
        if row >= len(values):
            raise FormatError(f"{self.path}: patch {number} is row {row} of the shard of `{photograph}`, which has {len(values)}; {REPAIR}")
        found: npt.NDArray[np.uint8] = values[row]
        return found

    def _number(self, number: object) -> int | None:
        """A number from 0, or `None` if these are several rows."""
        try:
            place = operator.index(number)  # type: ignore[arg-type]
        except TypeError:
            return None
        if not -len(self) <= place < len(self):
            raise IndexError(f"patch {place} of {len(self):,}: numbers are 0 to {len(self) - 1:,}")
        return place % len(self)

    def _numbers(self, rows: Rows) -> npt.NDArray[np.int64]:
        every = np.arange(len(self), dtype=np.int64)
        if isinstance(rows, slice):
            return every[rows]
        wanted = np.asarray(rows)
        if wanted.size == 0 and wanted.dtype != np.bool_:
            wanted = wanted.astype(np.int64)
        chosen: npt.NDArray[np.int64] = every[wanted]
        return chosen

    @overload
    def pixels(self, rows: int | np.integer[Any], *, margin: bool = False) -> npt.NDArray[np.uint8]: ...
    @overload
    def pixels(self, rows: Rows = ..., *, margin: bool = False) -> npt.NDArray[np.uint8]: ...
    def pixels(self, rows: int | np.integer[Any] | Rows = slice(None), *, margin: bool = False) -> npt.NDArray[np.uint8]:
        """Pixels of one patch or of several.

        Parameters
        ----------
        rows
            A number, or several: a slice, numbers, or a mask. By default all.
        margin
            Whether to keep the context around the patch.

        Returns
        -------
        numpy.ndarray
            uint8, red, green, blue. Of one patch H x W x 3, read-only and in the memory-mapped file; of several N x H x W x 3, a copy.
            H = W = `patch_size`, with margin `patch_size + 2 * margin`.
        """
        cut = slice(None) if margin or not self.margin else slice(self.margin, self.margin + self.patch_size)
        one = self._number(rows)
        if one is not None:
            return self._of(one, "pixels")[cut, cut]
        numbers = self._numbers(rows)  # type: ignore[arg-type]
        side = self.patch_size + (2 * self.margin if margin else 0)
        found = np.empty((len(numbers), side, side, 3), dtype=np.uint8)
        for at, number in enumerate(numbers):
            found[at] = self._of(int(number), "pixels")[cut, cut]
        return found

    def masks(self, rows: int | np.integer[Any] | Rows = slice(None), *, margin: bool = False) -> npt.NDArray[np.bool_]:
        """Lesion masks of one patch or of several.

        Parameters
        ----------
        rows
            A number, or several: a slice, numbers, or a mask. By default all.
        margin
            Whether to keep the context around the patch.

        Returns
        -------
        numpy.ndarray
            bool, C x H x W, or N x C x H x W of several. A class whose label is unknown has no pixel set.

        Raises
        ------
        NotKeptError
            If `extract` stored no masks.
        """
        if not self.has_masks:
            raise NotKeptError(f"{self.path}: no masks are stored with these patches; run `extract` with `masks #true`")
        one = self._number(rows)
        if one is not None:
            side = self.patch_size + 2 * self.margin
            bits = np.unpackbits(self._of(one, "masks"), axis=-1, count=side * side)
            cut = slice(None) if margin else slice(self.margin, self.margin + self.patch_size)
            return bits.reshape(len(self.classes), side, side)[:, cut, cut].astype(np.bool_)
        numbers = self._numbers(rows)  # type: ignore[arg-type]
        side = self.patch_size + (2 * self.margin if margin else 0)
        found = np.empty((len(numbers), len(self.classes), side, side), dtype=np.bool_)
        for at, number in enumerate(numbers):
            found[at] = self.masks(int(number), margin=margin)
        return found

    @overload
    def __getitem__(self, number: int) -> Patch: ...
    @overload
    def __getitem__(self, number: slice) -> Patches: ...
    def __getitem__(self, number: int | slice) -> Patch | Patches:
        if isinstance(number, slice):
            return self.select(number)
        at = self._number(number)
        if at is None:
            raise TypeError("a patch is chosen by its number; `select` takes several")
        labels = {name: None if value != value else bool(value) for name, value in zip(self.classes, self._core.labels[at], strict=True)}
        x, y, _, copies = (int(value) for value in self._core.places[at])
        photograph = int(self._core.photograph[at])
        name, patient = self._names[photograph], self._core.patients[photograph]
        return Patch(at, name, patient, x, y, copies, labels, self.pixels(at))

    def __iter__(self) -> Iterator[Patch]:
        return (self[number] for number in range(len(self)))

    def select(self, rows: Rows) -> Patches:
        """A set of some of the patches; shares their files.

        Parameters
        ----------
        rows
            A slice, numbers, or a mask of N truth values, such as `patches.labels()[:, 0] == 1`.
        """
        numbers = self._numbers(rows)
        chosen = numbers if self._chosen is None else self._chosen[numbers]
        some = type(self)(self.path, self.name, self.headline, chosen)
        # Not read again.
        some._core = self._core.take(numbers)
        return some

    # What the patches know about their photographs

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Names of joined embeddings of the photographs, after `join`."""
        return tuple(sorted(path.stem for path in (self.path / "embeddings").glob("*.json")))

    def embedding(self, name: str, photograph: str) -> npt.NDArray[np.float32]:
        """Joined embedding of a photograph: float32, rows x columns x channels; 1 x 1 x channels if it is one vector."""
        if name not in self.embeddings:
            raise UnknownNameError(f"unknown embedding `{name}`; there are {listed(list(self.embeddings))}")
        tensors = Tensors(self.path / "embeddings" / name / f"{photograph}.safetensors")
        return np.asarray(tensors["values"], dtype=np.float32)

    def __getstate__(self) -> dict[str, Any]:
        # A worker opens its own shards.
        return {**self.__dict__, "_shards": OrderedDict()}


class Views(Patches):
    """Patches that are augmented during training; the files hold them as they are before."""

    type: ClassVar[str] = "views"

    @property
    def recipe(self) -> dict[str, Any]:
        """Settings of `augment`."""
        return read_json(self.path / "recipe.json")
