"""What all outputs of stages have in common, and files without a type of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ._errors import UnknownNameError, listed
from ._files import Tensors, missing, read_bytes, read_parquet
from ._html import size as bytes_text
from ._html import table as html_table
from ._tables import Table

if TYPE_CHECKING:
    import numpy.typing as npt

# Written by macula next to the outputs.
_OWN = ("README.txt", ".macula")


def headline(folder: Path) -> str:
    """Main result of a stage, from its `README.txt`: `mean AP 0.382 (chance 0.302): …`; empty if there is none."""
    try:
        first = (folder / "README.txt").read_text(encoding="utf-8").split("\n", 1)[0]
    except (OSError, UnicodeDecodeError):
        return ""
    return first.partition(": ")[2]


class Identity:
    """Mappings that are equal only to themselves: comparing their contents would read all files."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class Output:
    """An output of a stage: a folder of files.

    Parameters
    ----------
    path
        The folder.
    name
        Name of the stage, followed by that of the output if there are several: `folds.train`.
    headline
        Main result of the stage.
    """

    type: ClassVar[str] = "files"
    """Type in pipelines: `patches`, `scores`, …"""

    def __init__(self, path: Path, name: str = "", headline: str = "") -> None:
        self.path = path
        self.name = name or path.name
        self.headline = headline

    def files(self) -> dict[str, Path]:
        """All files of the output, by their names relative to its folder, with `/`."""
        if not self.path.is_dir():
            raise UnknownNameError(missing(self.path))
        found = (path for path in sorted(self.path.rglob("*")) if path.is_file() or path.is_symlink())
        names = {path.relative_to(self.path).as_posix(): path for path in found}
        return {name: path for name, path in names.items() if not name.startswith(_OWN)}

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files().values() if path.exists())

    def _facts(self) -> str:
        """A few words for `repr`."""
        return self.headline

    def __repr__(self) -> str:
        facts = self._facts()
        return f"<{self.type} {self.name}{': ' if facts else ''}{facts}>"

    def _rows(self) -> tuple[list[str], list[tuple[object, ...]]]:
        """Head and rows of the table in Jupyter."""
        rows: list[tuple[object, ...]] = []
        for name, path in list(self.files().items())[:10]:
            rows.append((name, bytes_text(path.stat().st_size) if path.exists() else "missing"))
        return ["file", "size"], rows

    def _repr_html_(self) -> str:
        return html_table(*self._rows(), caption=repr(self)[1:-1])


class Files(Identity, Output, Mapping[str, Path]):
    """Files without a type of their own: outputs of `exec` and `export`, for example. A mapping from names to paths."""

    @cached_property
    def _found(self) -> dict[str, Path]:
        return self.files()

    def __getitem__(self, name: str) -> Path:
        found = self._found
        if name not in found:
            raise UnknownNameError(f"{self.path}: unknown file `{name}`; there are {listed(list(found))}")
        return found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _facts(self) -> str:
        return self.headline or f"{len(self):,} files"

    def json(self, name: str) -> Any:
        """Content of a JSON file."""
        return json.loads(read_bytes(self[name]))

    def parquet(self, name: str) -> Table:
        """A Parquet file as a table."""
        path = self[name]
        return Table(name, lambda: read_parquet(path))

    def tensors(self, name: str) -> Mapping[str, npt.NDArray[Any]]:
        """Arrays of a safetensors file by name, memory-mapped and read-only."""
        return Tensors(self[name])


def floats(values: Any) -> npt.NDArray[np.float64]:
    """A list with `None` for undefined values, as float64 with NaN."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def place(names: tuple[str, ...], name: str, what: str) -> int:
    """Place of a name in a list, or an error that lists the names."""
    try:
        return names.index(name)
    except ValueError:
        raise UnknownNameError(f"unknown {what} `{name}`; there are {listed(list(names))}") from None
