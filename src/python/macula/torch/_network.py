"""Networks as modules of PyTorch, interpreted from their description in `model.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from .._errors import FormatError, WrongTypeError
from .._model import Model, Weights
from ._layers import ACTIVATIONS, LAYERS, inputs_of, layers_of, reached


class Network(nn.Module):
    """A network that macula trained, layer by layer as [the language](docs/language.md) defines them.

    `forward` gives logits for normalised pixels; `scores` gives macula's scores for pixels as patch sets have them. Names of tensors are
    macula's, and so torchvision's for its networks. Auxiliary outputs are left out. It starts in evaluation mode.

    Parameters
    ----------
    description
        `network` of `model.json`: `name` and `layers`.
    tensors
        Weights by name; they are copied.
    size
        Side of a patch, px.
    normalisation
        Mean and standard deviation of red, green and blue, 3 each.
    activation
        `sigmoid` or `softmax`.
    calibration
        Slope and intercept of each class, C x 2.

    Raises
    ------
    FormatError
        If a layer is not known, or has no weights; the message names it.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        description: Mapping[str, Any],
        tensors: Mapping[str, npt.NDArray[Any]],
        *,
        size: int,
        normalisation: tuple[npt.ArrayLike, npt.ArrayLike],
        activation: str = "sigmoid",
        calibration: npt.NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__()
        self.description = dict(description)
        self.size = size
        self.activation = activation
        self.calibration = None if calibration is None else calibration.copy()
        mean, std = (torch.tensor(np.asarray(values, dtype=np.float32)) for values in normalisation)
        self.register_buffer("mean", mean.view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", std.view(1, 3, 1, 1), persistent=False)
        self._tensors: Mapping[str, npt.NDArray[Any]] = tensors
        self._used: set[str] = set()
        self._add(self.description["layers"])
        auxiliary = tuple(f"{output['name']}." for output in self.description.get("auxiliary", []))
        left = [name for name in tensors if name not in self._used and not name.startswith(auxiliary)]
        if left:
            raise FormatError(f"network `{self.description.get('name')}` has no layer for the tensor `{left[0]}`")
        self._tensors = {}
        self.eval()

    # Modules: one for each layer with tensors, found by its name, whatever attributes `nn.Module` has.

    def _holder(self, name: str) -> tuple[nn.Module, str]:
        """The module that holds a layer or a tensor, and its last name there."""
        module: nn.Module = self
        *path, last = name.split(".")
        for part in path:
            found = module._modules.get(part)
            if found is None:
                found = module._modules[part] = nn.Module()
            module = found
        return module, last

    def _layer(self, name: str) -> nn.Module:
        module: nn.Module | None = self
        for part in name.split("."):
            module = module._modules.get(part) if module is not None else None
        if module is None:
            raise FormatError(f"there is no layer `{name}`")
        return module

    def _tensor(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise FormatError(f"network `{self.description.get('name')}`: the weights have no tensor `{name}`")
        self._used.add(name)
        return torch.from_numpy(np.array(self._tensors[name], dtype=np.float32))

    def _put(self, name: str, module: nn.Module, *ends: str) -> None:
        """Adds a module and fills its tensors with those of the weights."""
        for end in ends:
            values = self._tensor(f"{name}.{end}")
            inner, last = module, end
            for part in end.split(".")[:-1]:
                inner, last = inner._modules[part] or inner, end.split(".")[-1]
            into = inner._buffers.get(last)
            into = into if into is not None else inner._parameters.get(last)
            if into is None or into.shape != values.shape:
                wanted = "none" if into is None else tuple(into.shape)
                raise FormatError(f"tensor `{name}.{end}` has shape {tuple(values.shape)}, and layer `{name}` needs {wanted}")
            with torch.no_grad():
                into.copy_(values)
        holder, last = self._holder(name)
        if holder._modules.get(last) is None:
            holder._modules[last] = module
            return
        # Layers below this name were added before, as those of `layer1` and `layer1.0`.
        for key, child in holder._modules[last]._modules.items():  # type: ignore[union-attr]
            module._modules.setdefault(key, child)
        holder._modules[last] = module

    def _shape(self, name: str) -> tuple[int, ...]:
        if name not in self._tensors:
            raise FormatError(f"network `{self.description.get('name')}`: the weights have no tensor `{name}`")
        return tuple(self._tensors[name].shape)

    def _add(self, layers: Sequence[Mapping[str, Any]]) -> None:
        for layer in layers:
            kind = str(layer["kind"])
            if kind == "residual":
                self._add(layer["body"])
                self._add(layer["shortcut"])
            elif kind == "parallel":
                for branch in layer["branches"]:
                    self._add(layers_of(branch))
            elif kind in LAYERS:
                name = str(layer.get("name", ""))
                build = LAYERS[kind][0]
                # A branch that shares has the tensors of earlier layers.
                if build is not None and not any(used.startswith(f"{name}.") or used == name for used in self._used):
                    build(self, layer, name)
            elif kind not in ACTIVATIONS:
                raise FormatError(
                    f"network `{self.description.get('name')}`: layer `{kind}` {layer.get('name', '')} is not known to this package"
                )

    # The forward pass

    def forward(self, pixels: Tensor, embeddings: Mapping[str, Tensor] | None = None) -> Tensor:
        """Logits of normalised pixels.

        Parameters
        ----------
        pixels
            float32, N x 3 x S x S, `(values / 255 - mean) / std`; with `input wide` N x 3 x 2 S x 2 S. `prepare` makes them.
        embeddings
            If the network reads embeddings, float32, N x rows x columns x channels, by the names of its inputs.

        Returns
        -------
        torch.Tensor
            float32, N x C; of an encoder the output of its tap.
        """
        reach: dict[str, Tensor] = {}
        for name, values in (embeddings or {}).items():
            values = values.permute(0, 3, 1, 2)
            reach[name] = values.flatten(1) if values.shape[2:] == (1, 1) else values
        size = self.size
        if pixels.shape[-1] == 2 * size and "wide" in inputs_of(self.description["layers"]):
            reach["wide"] = functional.avg_pool2d(pixels, 2)
            pixels = pixels[:, :, size // 2 : size // 2 + size, size // 2 : size // 2 + size]
        elif "wide" in inputs_of(self.description["layers"]):
            raise WrongTypeError(
                f"this network sees the surroundings of a patch: pixels must have {2 * size} px, with a margin of {size // 2}"
            )
        if "half" in inputs_of(self.description["layers"]):
            reach["half"] = functional.avg_pool2d(pixels, 2)
        reach["patch"] = pixels
        return self._run(self.description["layers"], pixels, reach)

    def _run(self, layers: Sequence[Mapping[str, Any]], x: Tensor, reach: dict[str, Tensor]) -> Tensor:
        for layer in layers:
            kind = layer["kind"]
            if kind == "tap":
                reach[layer["name"]] = x
            elif kind == "residual":
                x = self._run(layer["body"], x, dict(reach)) + self._run(layer["shortcut"], x, dict(reach))
            elif kind == "parallel":
                parts = []
                for branch in layer["branches"]:
                    start = branch.get("from") if isinstance(branch, Mapping) else None
                    given = x if start is None else reached(reach, start)
                    parts.append(self._run(layers_of(branch), given, dict(reach)))
                if layer["join"] == "concat":
                    x = torch.cat(parts, dim=1)
                else:
                    x = parts[0]
                    for part in parts[1:]:
                        x = x + part
            elif kind in ACTIVATIONS:
                x = ACTIVATIONS[kind](x)
            else:
                x = LAYERS[kind][1](self, layer, x, reach)
        return x

    def prepare(self, pixels: npt.NDArray[np.uint8] | Tensor) -> Tensor:
        """Normalised pixels for `forward`.

        Parameters
        ----------
        pixels
            uint8, N x H x W x 3, as `patches.pixels` gives them, or H x W x 3 of one patch. With `input wide`, with `margin=True`.

        Returns
        -------
        torch.Tensor
            float32, N x 3 x H x W, on the device of the network.
        """
        values = torch.from_numpy(np.array(pixels)) if isinstance(pixels, np.ndarray) else pixels
        if values.dim() == 3:
            values = values.unsqueeze(0)
        if values.dim() != 4 or values.shape[-1] != 3 or values.dtype != torch.uint8:
            raise WrongTypeError(f"expected uint8, N x H x W x 3, got {values.dtype}, {' x '.join(map(str, values.shape))}")
        values = values.to(self.mean.device).permute(0, 3, 1, 2).float() / 255
        if "wide" in inputs_of(self.description["layers"]):
            # The context that the network sees is in the middle of a larger margin.
            extra = (values.shape[-1] - 2 * self.size) // 2
            if extra > 0:
                values = values[:, :, extra:-extra, extra:-extra]
        normal: Tensor = (values - self.mean) / self.std
        return normal

    @torch.no_grad()
    def scores(self, pixels: npt.NDArray[np.uint8] | Tensor, embeddings: Mapping[str, Tensor] | None = None) -> npt.NDArray[np.float64]:
        """Macula's scores, calibration included, in evaluation mode and without test-time augmentation.

        Parameters
        ----------
        pixels
            uint8, N x H x W x 3, as `patches.pixels` gives them.
        embeddings
            As in `forward`.

        Returns
        -------
        numpy.ndarray
            float64, N x C, from 0 to 1.
        """
        was = self.training
        self.eval()
        try:
            logits = self(self.prepare(pixels), embeddings).double().cpu()
        finally:
            self.train(was)
        scores = torch.softmax(logits, 1) if self.activation == "softmax" else torch.sigmoid(logits)
        if self.calibration is not None:
            line = torch.from_numpy(self.calibration)
            odds = logits if self.activation != "softmax" else torch.logit(scores)
            scores = torch.sigmoid(odds * line[:, 0] + line[:, 1])
        found: npt.NDArray[np.float64] = scores.numpy()
        return found


def network(model: Model | Weights, which: str = "best") -> Network:
    """The network of a model as a `torch.nn.Module`, with its weights, in evaluation mode.

    Parameters
    ----------
    model
        Of `train`, `calibrate` or `pretrain`.
    which
        `best` for the weights of the chosen epoch, `last` for those of the last one.

    Raises
    ------
    FormatError
        If this package does not know one of its layers; the message names it.
    """
    if not isinstance(model, (Model, Weights)):
        raise WrongTypeError(f"expected a model, got {model!r}")
    return Network(
        model.network,
        model.weights(which),
        size=model.patch_size,
        normalisation=model.normalisation,
        activation=str(model.info.get("activation", "sigmoid")),
        calibration=model.calibration if isinstance(model, Model) else None,
    )
