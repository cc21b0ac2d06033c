"""Files of results: JSON, Parquet and safetensors, read without copying where that is possible. Nothing here writes."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ._errors import REPAIR, FormatError, NotFoundError, UnknownNameError, listed

_DTYPES = {
    "BOOL": "|b1",
    "U8": "|u1",
    "I8": "|i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "BF16": "<u2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
}

# Longest header that the safetensors format allows, in bytes.
_LONGEST_HEADER = 100_000_000


def read_bytes(path: Path) -> bytes:
    """Content of a file of a result."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(missing(path)) from None
    except OSError as error:
        raise NotFoundError(f"{path}: cannot be read: {error.strerror}") from None


def missing(path: Path) -> str:
    """Message for a file that a result should have."""
    if path.is_symlink():
        return f"{path}: links to `{path.readlink()}`, which does not exist; run `macula run` to update the links"
    return f"{path}: file is missing; run `macula run` to restore results, or call `macula.results` again after a run"


def read_json(path: Path, fields: Iterable[str] = ()) -> dict[str, Any]:
    """A JSON object with at least these fields."""
    try:
        value = json.loads(read_bytes(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: not valid JSON, perhaps truncated: {error}; {REPAIR}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{path}: expected a JSON object; {REPAIR}")
    absent = [field for field in fields if field not in value]
    if absent:
        raise FormatError(
            f"{path}: has no {listed(absent)}; it was written by a version of macula that this package does not know. "
            "Run the pipeline again, or install the version of `macula-run` that made this result"
        )
    return value


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A Parquet file as a table, without metadata; `columns` selects some."""
    try:
        with path.open("rb") as file:
            known = pq.ParquetFile(file)
            if columns is not None:
                names = known.schema_arrow.names
                absent = [name for name in columns if name not in names]
                if absent:
                    raise UnknownNameError(f"{path}: unknown column {listed(absent)}; it has {listed(names, 40)}")
            table = known.read(columns=None if columns is None else list(columns), use_threads=False)
    except FileNotFoundError:
        raise NotFoundError(missing(path)) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise FormatError(f"{path}: not a Parquet file, or damaged: {error}; {REPAIR}") from None
    return table.replace_schema_metadata(None)


def footer(path: Path) -> dict[str, str]:
    """Key-value metadata in the footer of a Parquet file."""
    try:
        with path.open("rb") as file:
            found = pq.read_metadata(file).metadata or {}
    except FileNotFoundError:
        raise NotFoundError(missing(path)) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise FormatError(f"{path}: not a Parquet file, or damaged: {error}; {REPAIR}") from None
    return {key.decode(): value.decode() for key, value in found.items()}


class Tensors(Mapping[str, npt.NDArray[Any]]):
    """Tensors of a safetensors file, memory-mapped: a tensor is read when its values are used.

    Arrays are read-only, and share memory with the file; `numpy.array(tensor)` is a copy that can be changed. BF16 is
    converted to float32, since numpy does not have it.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FormatError
        If it is truncated or not a safetensors file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8)) if size >= 8 else (-1,)
                if not 0 < length <= min(size - 8, _LONGEST_HEADER):
                    raise self._damaged("its header is incomplete")
                head = json.loads(file.read(length))
        except FileNotFoundError:
            raise NotFoundError(missing(path)) from None
        except OSError as error:
            raise NotFoundError(f"{path}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            if isinstance(error, FormatError):
                raise
            raise self._damaged("its header is not JSON") from None
        self._start = 8 + length
        self._heads: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
        for name, entry in head.items() if isinstance(head, dict) else ():
            if name == "__metadata__":
                continue
            try:
                kind, shape = str(entry["dtype"]), tuple(int(side) for side in entry["shape"])
                first, last = (int(place) for place in entry["data_offsets"])
                width = np.dtype(_DTYPES[kind]).itemsize
            except (KeyError, TypeError, ValueError):
                raise self._damaged(f"the entry of `{name}` is not understood") from None
            if not 0 <= first <= last or last - first != width * math.prod(shape):
                raise self._damaged(f"the size of `{name}` does not match its shape")
            if self._start + last > size:
                raise self._damaged(f"`{name}` ends at byte {self._start + last:,}, and the file has {size:,}")
            self._heads[name] = (kind, shape, first, last)
        self._bytes: npt.NDArray[np.uint8] | None = None

    def _damaged(self, reason: str) -> FormatError:
        return FormatError(f"{self.path}: not a safetensors file, or truncated: {reason}; {REPAIR}")

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor, from the header."""
        return self._head(name)[1]

    def _head(self, name: str) -> tuple[str, tuple[int, ...], int, int]:
        if name not in self._heads:
            raise UnknownNameError(f"{self.path}: unknown tensor `{name}`; it has {listed(list(self._heads))}")
        return self._heads[name]

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        kind, shape, first, last = self._head(name)
        if self._bytes is None:
            try:
                # A plain array: slices of `numpy.memmap` are slower, and pickle copies all of the file.
                self._bytes = np.asarray(np.memmap(self.path, dtype=np.uint8, mode="r"))
            except (OSError, ValueError) as error:
                raise NotFoundError(f"{self.path}: cannot be mapped into memory: {error}") from None
        data = self._bytes[self._start + first : self._start + last]
        if (self._start + first) % np.dtype(_DTYPES[kind]).itemsize:
            data = data.copy()
        values = data.view(_DTYPES[kind]).reshape(shape)
        if kind == "BF16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._heads)

    def __len__(self) -> int:
        return len(self._heads)

    def __reduce__(self) -> tuple[type[Tensors], tuple[Path]]:
        return Tensors, (self.path,)

    def __repr__(self) -> str:
        return f"<{len(self)} tensors of {self.path.name}>"
