"""PyTorch: patch sets as data sets, and networks with the weights that macula trained. Needs the package `torch`.

>>> from macula.torch import PatchDataset, network
>>> dataset = PatchDataset(run.folds.train)
>>> classifier = network(run.classifier)
"""

from .._optional import imported

imported("torch", "`macula.torch`")

from ._data import PatchDataset, known  # noqa: E402
from ._network import Network, network  # noqa: E402

__all__ = ["Network", "PatchDataset", "known", "network"]
