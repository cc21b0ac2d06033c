"""Which type an output has, by the files in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ._analyses import Duplicates, Froc, Report, Slices, Spread, Suspects
from ._errors import FormatError, NotFoundError, UnknownNameError, listed
from ._files import read_json
from ._html import shortened
from ._html import size as bytes_text
from ._html import table as html_table
from ._model import Embeddings, Model, Thresholds, Weights
from ._output import Files, Identity, Output, headline
from ._patches import Patches, Views
from ._photographs import HeatMaps, Lesions, Photographs
from ._predictions import Predictions
from ._scores import Scores

# By the first file that is there.
_TYPES: tuple[tuple[str, type[Output]], ...] = (
    ("scores.json", Scores),
    ("thresholds.json", Thresholds),
    ("model.json", Model),
    ("pretrained.json", Weights),
    ("embeddings.json", Embeddings),
    ("maps.json", HeatMaps),
    ("lesions.json", Lesions),
    ("froc.json", Froc),
    ("slices.json", Slices),
    ("suspects.json", Suspects),
    ("spread.json", Spread),
    ("pairs.parquet", Duplicates),
    ("predictions.parquet", Predictions),
    ("report.html", Report),
)


def type_of(folder: Path) -> type[Output]:
    """Type of the output in a folder; `Files` if it has none of its own."""
    if (folder / "set.json").is_file():
        if (folder / "recipe.json").is_file():
            return Views
        info = read_json(folder / "set.json")
        if "margin" in info:
            return Patches
        if "photographs" in info:
            return Photographs
        raise FormatError(
            f"{folder / 'set.json'}: neither patches nor photographs; it was written by a version of macula that this package does not know"
        )
    return next((kind for file, kind in _TYPES if (folder / file).is_file()), Files)


class Outputs(Identity, Mapping[str, Any]):
    """The outputs of a stage that has several, such as `train`, `valid` and `test` of `split`.

    A mapping from their names; also as attributes: `run.folds.train`.
    """

    type = "outputs"

    def __init__(self, path: Path, name: str, headline: str, ports: tuple[str, ...]) -> None:
        self.path, self.name, self.headline = path, name, headline
        self._ports = ports
        self._opened: dict[str, Any] = {}

    def __getitem__(self, port: str) -> Any:
        if port not in self._ports:
            raise UnknownNameError(f"`{self.name}` has no output `{port}`; it has {listed(list(self._ports))}")
        if port not in self._opened:
            folder = self.path / port
            self._opened[port] = type_of(folder)(folder, f"{self.name}.{port}", self.headline)
        return self._opened[port]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ports)

    def __len__(self) -> int:
        return len(self._ports)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        for port in self._ports:
            if port.replace("-", "_") == name:
                return self[port]
        names = [f"{self.name}.{port}" for port in self._ports]
        raise UnknownNameError(f"`{self.name}` has several outputs, and no `{name}`: choose one of {listed(names)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(port.replace("-", "_") for port in self._ports)]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._ports)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self[port].size for port in self)

    def __repr__(self) -> str:
        return f"<{self.name}: {', '.join(f'{port} ({self[port].type})' for port in self)}>"

    def _repr_html_(self) -> str:
        rows = [(port, self[port].type, bytes_text(self[port].size)) for port in self]
        return html_table(["output", "type", "size"], rows, f"{self.name}: {shortened(self.headline)}")


def ports_of(folder: Path) -> tuple[str, ...]:
    """Names of the outputs of a stage that has several; empty if it has one.

    Raises
    ------
    FormatError
        If a run is changing the folder.
    """
    marker = folder / ".macula"
    if marker.is_file():
        lines = marker.read_text(encoding="utf-8", errors="replace").splitlines()
        if lines[:1] == ["being changed"]:
            raise FormatError(
                f"{folder}: a run is changing this folder, or was killed while it did; wait for it, or run `macula run` again"
            )
        ports = tuple(line.split(" ")[0] for line in lines if not line.startswith(("after ", ".readme ")))
        return ports if len(ports) > 1 else ()
    # Copied by `macula get`, which leaves no marker.
    if type_of(folder) is not Files:
        return ()
    inner = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    return inner if inner and all(type_of(folder / name) is not Files for name in inner) else ()


def open_stage(folder: Path, name: str) -> Any:
    """The output of a stage, or its outputs if it has several."""
    words = headline(folder)
    ports = ports_of(folder)
    if ports:
        return Outputs(folder, name, words, ports)
    return type_of(folder)(folder, name, words)


def load(folder: str | Path) -> Any:
    """The output in a folder: one below `results/`, or one that `macula get` copied.

    Parameters
    ----------
    folder
        The folder of a stage, or of one of its outputs.

    Returns
    -------
    Output or Outputs
        `Patches`, `Scores`, `Model`, …; `Files` if it has no type of its own.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise NotFoundError(f"{path}: not a folder; pass the folder of a stage, such as `results/PIPELINE/STAGE`")
    return open_stage(path, path.resolve().name)
