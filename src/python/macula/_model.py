"""Trained networks and what belongs to them: weights, metrics of epochs, thresholds, embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from ._errors import NotKeptError, UnknownNameError, listed
from ._files import Tensors, read_json, read_parquet
from ._network import network_text
from ._output import Identity, Output, floats
from ._tables import Table, Tabular

if TYPE_CHECKING:
    import numpy.typing as npt


class _Trained(Output):
    """A network with weights."""

    _json: ClassVar[str]

    def __init__(self, path: Path, name: str = "", headline: str = "") -> None:
        super().__init__(path, name, headline)
        self.info: dict[str, Any] = read_json(path / self._json, ("network", "classes", "size", "normalisation"))
        """Content of the JSON file: network, classes, normalisation, counts of labels, …"""

    @property
    def classes(self) -> tuple[str, ...]:
        """The C classes of its training, in the order of its outputs."""
        return tuple(self.info["classes"])

    @property
    def patch_size(self) -> int:
        """Side of its patches, px."""
        return int(self.info["size"])

    @property
    def network(self) -> dict[str, Any]:
        """The network: `name` and `layers`, as macula built it."""
        return dict(self.info["network"])

    @property
    def network_text(self) -> str:
        """The network in the language of pipelines, with values filled in; blocks are written out."""
        return network_text(self.info["network"])

    @property
    def normalisation(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Mean and standard deviation of red, green and blue on a scale of 0 to 1, 3 each.

        The network reads `(pixels / 255 - mean) / std`.
        """
        found = self.info["normalisation"]
        return np.asarray(found["mean"], dtype=np.float32), np.asarray(found["std"], dtype=np.float32)

    @property
    def chosen_epoch(self) -> int:
        """The epoch of the weights, from 1; 0 for those from before training."""
        return int(self.info["chosen_epoch"])

    @property
    def epochs(self) -> Table:
        """Metrics of every epoch."""
        path = self.path / "epochs.parquet"
        if not path.is_file():
            raise NotKeptError(f"{self.path}: an imported model has no epochs")
        return Table("epochs", lambda: read_parquet(path))

    def weights(self, which: str = "best") -> Mapping[str, npt.NDArray[Any]]:
        """Weights by name, with the layouts of PyTorch; memory-mapped and read-only.

        Parameters
        ----------
        which
            `best` for the chosen epoch, `last` for the last one.
        """
        names = {"best": "weights.safetensors", "last": "last.safetensors"}
        if which not in names:
            raise UnknownNameError(f"unknown weights `{which}`; there are {listed(list(names))}")
        path = self.path / names[which]
        if which == "last" and not path.is_file():
            raise NotKeptError(f"{self.path}: only the weights of the chosen epoch are stored")
        return Tensors(path)

    def _rows(self) -> tuple[list[str], list[tuple[object, ...]]]:
        count = sum(int(np.prod(tensor.shape)) for tensor in self.weights().values())
        rows: list[tuple[object, ...]] = [
            ("network", str(self.info["network"].get("name", ""))),
            ("classes", " ".join(self.classes)),
            ("patch size", f"{self.patch_size} px"),
            ("values in all tensors", f"{count:,}"),
            ("chosen epoch", str(self.chosen_epoch)),
        ]
        return ["", ""], rows


class Model(_Trained):
    """A classifier, of `train` or `calibrate`."""

    type: ClassVar[str] = "model"
    _json: ClassVar[str] = "model.json"

    @property
    def calibration(self) -> npt.NDArray[np.float64] | None:
        """Slope and intercept of the log odds of each class, C x 2, after `calibrate`; otherwise `None`."""
        found = self.info.get("calibration")
        if not found:
            return None
        lines = [(line["slope"], line["intercept"]) for line in found["lines"]]
        return np.array(lines, dtype=np.float64)


class Weights(_Trained):
    """An encoder, of `pretrain`."""

    type: ClassVar[str] = "weights"
    _json: ClassVar[str] = "pretrained.json"


class Thresholds(Identity, Output, Tabular, Mapping[str, float]):
    """Tuned thresholds: a mapping from classes to thresholds, such as `cuts["MA"]`."""

    type: ClassVar[str] = "thresholds"

    def __init__(self, path: Path, name: str = "", headline: str = "") -> None:
        super().__init__(path, name, headline)
        self.info: dict[str, Any] = read_json(path / "thresholds.json", ("classes", "criterion"))
        """Content of `thresholds.json`."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The C classes."""
        return tuple(one["class"] for one in self.info["classes"])

    @property
    def criterion(self) -> dict[str, Any]:
        """What the thresholds maximize."""
        return dict(self.info["criterion"])

    def array(self) -> npt.NDArray[np.float64]:
        """Thresholds in the order of `classes`, float64, C."""
        return floats([one["threshold"] for one in self.info["classes"]])

    def __getitem__(self, name: str) -> float:
        for one in self.info["classes"]:
            if one["class"] == name:
                return float(one["threshold"])
        raise UnknownNameError(f"unknown class `{name}`; there are {listed(list(self.classes))}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def curves(self) -> Table:
        """The criterion at each threshold that was tried."""
        path = self.path / "curves.parquet"
        return Table("curves", lambda: read_parquet(path))

    def arrow(self) -> pa.Table:
        """The table in Arrow: one row per class with `class`, `threshold`, its range, the value of the criterion and counts."""
        return pa.Table.from_pylist(self.info["classes"])

    def _facts(self) -> str:
        return ", ".join(f"{name} {value:.3f}" for name, value in self.items())

    def _rows(self) -> tuple[list[str], list[tuple[object, ...]]]:
        rows: list[tuple[object, ...]] = []
        for one in self.info["classes"]:
            rows.append((one["class"], one["threshold"], one.get("figure"), one.get("figure_at_half"), one.get("positives")))
        return ["class", "threshold", "criterion", "at 0.5", "positives"], rows


class Embeddings(Identity, Output, Mapping[str, "npt.NDArray[np.float32]"]):
    """Embeddings of photographs, of `encode` or `combine`: a mapping from names of photographs to arrays.

    An array is float32, rows x columns x channels; 1 x 1 x channels for one vector per photograph.
    """

    type: ClassVar[str] = "embeddings"

    def __init__(self, path: Path, name: str = "", headline: str = "") -> None:
        super().__init__(path, name, headline)
        self.info: dict[str, Any] = read_json(path / "embeddings.json", ("rows", "columns", "channels"))
        """Content of `embeddings.json`."""

    @property
    def photographs(self) -> tuple[str, ...]:
        """Names of the photographs."""
        found = [path.name.removesuffix(".safetensors") for path in (self.path / "photographs").glob("*.safetensors")]
        return tuple(sorted(found, key=str.encode))

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        path = self.path / "photographs" / f"{name}.safetensors"
        if not path.is_file():
            raise UnknownNameError(f"unknown photograph `{name}`; there are {listed(list(self.photographs))}")
        return np.asarray(Tensors(path)["values"], dtype=np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self.photographs)

    def __len__(self) -> int:
        return len(self.photographs)

    def array(self) -> npt.NDArray[np.float32]:
        """All embeddings, float32, N x rows x columns x channels, in the order of `photographs`."""
        shape = tuple(int(self.info[side]) for side in ("rows", "columns", "channels"))
        found = np.empty((len(self), *shape), dtype=np.float32)
        for at, name in enumerate(self.photographs):
            found[at] = self[name]
        return found
