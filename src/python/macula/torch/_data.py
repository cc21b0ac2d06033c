"""Patch sets as data sets of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .._errors import WrongTypeError
from .._patches import Patches

Item = TypeVar("Item")


class PatchDataset(Dataset[tuple[Any, Tensor]], Generic[Item]):
    """Patches and labels of a patch set.

    An item is `(pixels, labels)`. Labels are float32, C: 1 (present), 0 (absent) and NaN (unknown), so that a loss over a label that
    was not masked out is visibly NaN; `known(labels)` gives the mask. In a resampled set each copy is an item.

    It works with several workers of a `DataLoader`, whether they are forked or spawned: each maps the files by itself.

    Parameters
    ----------
    patches
        The set.
    transform
        Gets uint8, H x W x 3, in numpy, as the transforms of torchvision (`ToTensor`, `v2.ToImage`) and albumentations do; what it returns
        is the first part of the item. By default pixels are a uint8 tensor, 3 x H x W.
    margin
        Whether pixels keep the context around the patch.
    copies
        Whether each copy of a resampled patch is an item. Otherwise each patch is one.
    """

    def __init__(
        self,
        patches: Patches,
        transform: Callable[[npt.NDArray[np.uint8]], Item] | None = None,
        *,
        margin: bool = False,
        copies: bool = True,
    ) -> None:
        if not isinstance(patches, Patches):
            raise WrongTypeError(f"expected a patch set, got {patches!r}; choose an output, such as `run.folds.train`")
        self.patches = patches
        self.transform = transform
        self.margin = margin
        numbers = np.arange(len(patches), dtype=np.int64)
        self.numbers: npt.NDArray[np.int64] = np.repeat(numbers, patches.copies) if copies else numbers
        """Number of the patch of each item."""
        # Read here, once, and not by each worker.
        patches.labels()
        if len(patches):
            patches.pixels(0)

    @property
    def classes(self) -> tuple[str, ...]:
        """The C classes."""
        return self.patches.classes

    @property
    def labels(self) -> Tensor:
        """Labels of all items, float32, items x C: 1, 0, or NaN if unknown."""
        return torch.from_numpy(self.patches.labels()[self.numbers].copy())

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self):,}")
        number = int(self.numbers[index])
        pixels = self.patches.pixels(number, margin=self.margin)
        labels = torch.from_numpy(self.patches.labels()[number].copy())
        # Copies: tensors of read-only memory are not allowed. numpy makes them, without the threads of PyTorch, which cost more.
        if self.transform is not None:
            return self.transform(np.array(pixels)), labels
        return torch.from_numpy(np.array(pixels.transpose(2, 0, 1), order="C")), labels


def known(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Labels without NaN, and which of them are known.

    Parameters
    ----------
    labels
        Of a `PatchDataset`, of any shape.

    Returns
    -------
    tuple
        Labels with 0 if unknown, and a mask, bool; both of that shape. A loss over known labels is
        `(loss(logits, values) * mask).sum() / mask.sum()`, with `reduction="none"`.
    """
    mask = ~labels.isnan()
    return torch.where(mask, labels, torch.zeros_like(labels)), mask
