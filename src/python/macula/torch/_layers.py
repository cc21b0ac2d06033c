"""Layers of networks: the modules that they add, and what they compute, as `docs/language.md` and `docs/reference/layers.md` define it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._errors import WrongTypeError

if TYPE_CHECKING:
    from ._network import Network


class _Norm(nn.modules.batchnorm._BatchNorm):
    """Batch norm of a map or of features."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() not in (2, 4):
            raise ValueError(f"expected N x C or N x C x H x W, got {tuple(input.shape)}")


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel, or over all features."""

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() == 2:
            return super().forward(input)
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Projection(nn.Linear):
    """Linear layer on each pixel."""

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() == 2:
            return super().forward(input)
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "l2-norm": lambda x: functional.normalize(x, dim=1, eps=1e-12),
}


def layers_of(branch: Any) -> Sequence[Mapping[str, Any]]:
    """Layers of a branch, which is written as their list if it has no properties."""
    found: Sequence[Mapping[str, Any]] = branch["layers"] if isinstance(branch, Mapping) else branch
    return found


def inputs_of(layers: Sequence[Mapping[str, Any]]) -> set[str]:
    """Names that branches and attentions of these layers read."""
    found: set[str] = set()
    for layer in layers:
        for branch in layer.get("branches", []):
            if isinstance(branch, Mapping) and branch.get("from"):
                found.add(str(branch["from"]))
            found |= inputs_of(layers_of(branch))
        for part in ("body", "shortcut"):
            found |= inputs_of(layer.get(part, []))
        if layer["kind"] == "cross-attention":
            found.add(str(layer["to"]))
    return found


def reached(reach: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in reach:
        raise WrongTypeError(f"this network reads `{name}`: pass `embeddings={{{name!r}: …}}`, N x rows x columns x channels")
    return reach[name]


# Layers: what adds their modules, and what computes them.

Build: TypeAlias = "Callable[[Network, Mapping[str, Any], str], None]"
Compute: TypeAlias = "Callable[[Network, Mapping[str, Any], Tensor, dict[str, Tensor]], Tensor]"


def _biased(layer: Mapping[str, Any]) -> tuple[str, ...]:
    return ("weight", "bias") if layer.get("bias", True) else ("weight",)


def _add_conv(net: Network, layer: Mapping[str, Any], name: str) -> None:
    out, within, kernel, _ = net._shape(f"{name}.weight")
    groups = int(layer.get("groups", 1))
    module = nn.Conv2d(
        within * groups, out, kernel, stride=layer["stride"], padding=layer["padding"], dilation=layer.get("dilation", 1),
        groups=groups, bias=bool(layer.get("bias", True)),
    )  # fmt: skip
    net._put(name, module, *_biased(layer))


def _add_norm(net: Network, layer: Mapping[str, Any], name: str) -> None:
    module = _Norm(net._shape(f"{name}.weight")[0], eps=layer["eps"], momentum=layer["momentum"])
    net._put(name, module, "weight", "bias", "running_mean", "running_var")


def _add_layer_norm(net: Network, layer: Mapping[str, Any], name: str) -> None:
    net._put(name, _ChannelNorm(net._shape(f"{name}.weight")[0], eps=layer["eps"]), "weight", "bias")


def _add_linear(net: Network, layer: Mapping[str, Any], name: str) -> None:
    out, within = net._shape(f"{name}.weight")
    net._put(name, _Projection(within, out, bias=bool(layer.get("bias", True))), *_biased(layer))


def _add_tensor(net: Network, layer: Mapping[str, Any], name: str) -> None:
    holder, last = net._holder(name)
    holder._parameters[last] = nn.Parameter(net._tensor(name))


def _add_projections(net: Network, name: str, ends: Sequence[str], bias: bool = True) -> nn.Module:
    module = nn.Module()
    for end in ends:
        out, within = net._shape(f"{name}.{end}.weight")
        module.add_module(end, _Projection(within, out, bias=bias))
    tensors = [f"{end}.{part}" for end in ends for part in (("weight", "bias") if bias else ("weight",))]
    net._put(name, module, *tensors)
    return module


def _add_self_attention(net: Network, layer: Mapping[str, Any], name: str) -> None:
    vit = layer.get("names") == "vit"
    module = _add_projections(net, name, ["out_proj"] if vit else ["qkv", "proj"])
    extra = ["in_proj_weight", "in_proj_bias"] if vit else []
    extra += ["relative_position_bias_table"] if layer.get("relative") else []
    for end in extra:
        module.register_parameter(end, nn.Parameter(net._tensor(f"{name}.{end}")))


def _add_cross_attention(net: Network, layer: Mapping[str, Any], name: str) -> None:
    _add_projections(net, name, ["q", "k", "v", "proj"])


def _add_attention_pool(net: Network, layer: Mapping[str, Any], name: str) -> None:
    _add_projections(net, name, ["V", "U", "w"] if layer.get("gated", True) else ["V", "w"], bias=False)


def _module(net: Network, layer: Mapping[str, Any], x: Tensor, reach: dict[str, Tensor]) -> Tensor:
    found: Tensor = net._layer(layer["name"])(x)
    return found


def _parameter(net: Network, layer: Mapping[str, Any]) -> Tensor:
    holder, last = net._holder(layer["name"])
    found = holder._parameters[last]
    assert found is not None
    return found


def _part(module: nn.Module, name: str) -> nn.Module:
    found = module._modules[name]
    assert found is not None, name
    return found


def _as_map(x: Tensor) -> Tensor:
    return x[:, :, None, None] if x.dim() == 2 else x


def _tokens(x: Tensor, heads: int) -> Tensor:
    """N x C x H x W to N x heads x pixels x depth."""
    images, channels = x.shape[:2]
    return x.reshape(images, heads, channels // heads, -1).transpose(2, 3)


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    scores = (query / query.shape[-1] ** 0.5) @ key.transpose(-1, -2)
    if bias is not None:
        scores = scores + bias
    return torch.softmax(scores, -1) @ value


def _cross_attention(net: Network, layer: Mapping[str, Any], x: Tensor, reach: dict[str, Tensor]) -> Tensor:
    module, heads = net._layer(layer["name"]), int(layer["heads"])
    other = _as_map(reached(reach, layer["to"]))
    q, k, v, out = (_part(module, end) for end in ("q", "k", "v", "proj"))
    x = _as_map(x)
    query = q(x)
    attended = _attend(_tokens(query, heads), _tokens(k(other), heads), _tokens(v(other), heads))
    found: Tensor = out(attended.transpose(2, 3).reshape(query.shape))
    return found


def _self_attention(net: Network, layer: Mapping[str, Any], x: Tensor, reach: dict[str, Tensor]) -> Tensor:
    module, heads = net._layer(layer["name"]), int(layer["heads"])
    images, channels, rows, columns = x.shape
    side = layer.get("window")
    window = (rows, columns) if side is None else (int(side), int(side))
    height, width = -(-rows // window[0]) * window[0], -(-columns // window[1]) * window[1]
    shift = [int(layer.get("shift", 0)) if own < whole else 0 for own, whole in zip(window, (height, width), strict=True)]
    x = functional.pad(x, (0, width - columns, 0, height - rows)).permute(0, 2, 3, 1)
    if layer.get("names") == "vit":
        x = functional.linear(x, module._parameters["in_proj_weight"], module._parameters["in_proj_bias"])  # type: ignore[arg-type]
        out = _part(module, "out_proj")
    else:
        x = _part(module, "qkv")(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        out = _part(module, "proj")
    x = _windows(torch.roll(x, (-shift[0], -shift[1]), (1, 2)), window)
    # images x windows x tokens x (3 heads depth) to 3 x images x windows x heads x tokens x depth
    count, tokens = x.shape[1:3]
    query, key, value = x.reshape(images, count, tokens, 3, heads, channels // heads).permute(3, 0, 1, 4, 2, 5)
    bias = _bias(module, layer, window, tokens)
    if any(shift):
        parts = _windows(_parts(height, width, window, shift).to(x.device)[None, :, :, None], window)[0, :, :, 0]
        apart = torch.where(parts[:, :, None] == parts[:, None, :], 0.0, -100.0)[None, :, None]
        bias = apart if bias is None else bias + apart
    attended = _attend(query, key, value, bias).transpose(2, 3).reshape(images, count, tokens, channels)
    down, across = height // window[0], width // window[1]
    attended = attended.reshape(images, down, across, *window, channels).transpose(2, 3).reshape(images, height, width, channels)
    attended = torch.roll(attended, (shift[0], shift[1]), (1, 2))[:, :rows, :columns]
    found: Tensor = out(attended.permute(0, 3, 1, 2))
    return found


def _windows(x: Tensor, window: tuple[int, int]) -> Tensor:
    """N x H x W x C to N x windows x tokens x C."""
    images, height, width, channels = x.shape
    down, across = height // window[0], width // window[1]
    return x.reshape(images, down, window[0], across, window[1], channels).transpose(2, 3).reshape(images, down * across, -1, channels)


def _bias(module: nn.Module, layer: Mapping[str, Any], window: tuple[int, int], tokens: int) -> Tensor | None:
    if not layer.get("relative"):
        return None
    table = module._parameters["relative_position_bias_table"]
    assert table is not None
    rows, columns = torch.arange(tokens) // window[1], torch.arange(tokens) % window[1]
    down = rows[:, None] - rows[None, :] + window[0] - 1
    across = columns[:, None] - columns[None, :] + window[1] - 1
    return table[(down * (2 * window[1] - 1) + across).to(table.device)].permute(2, 0, 1)


def _parts(height: int, width: int, window: tuple[int, int], shift: Sequence[int]) -> Tensor:
    """Part of the map that each pixel of a rolled map comes from, H x W."""

    def along(side: int, own: int, by: int) -> Tensor:
        place = torch.arange(side)
        return torch.zeros_like(place) if by == 0 else (place >= side - own).long() + (place >= side - by).long()

    return 3 * along(height, window[0], shift[0])[:, None] + along(width, window[1], shift[1])[None, :]


def _attention_pool(net: Network, layer: Mapping[str, Any], x: Tensor, reach: dict[str, Tensor]) -> Tensor:
    module = net._layer(layer["name"])
    x = _as_map(x)
    features = torch.tanh(_part(module, "V")(x))
    if layer.get("gated", True):
        features = features * torch.sigmoid(_part(module, "U")(x))
    shares = torch.softmax(_part(module, "w")(features).flatten(1), 1)
    return (x.flatten(2) @ shares[:, :, None]).flatten(1)


def _space_to_depth(net: Network, layer: Mapping[str, Any], x: Tensor, reach: dict[str, Tensor]) -> Tensor:
    side = int(layer["side"])
    images, channels, height, width = x.shape
    rows, columns = -(-height // side), -(-width // side)
    x = functional.pad(x, (0, columns * side - width, 0, rows * side - height))
    x = x.reshape(images, channels, rows, side, columns, side).permute(0, 5, 3, 1, 2, 4)
    return x.reshape(images, channels * side * side, rows, columns)


def _class_token(net: Network, layer: Mapping[str, Any], x: Tensor, reach: dict[str, Tensor]) -> Tensor:
    images, channels = x.shape[:2]
    token = _parameter(net, layer).reshape(1, channels, 1, 1).expand(images, -1, -1, -1)
    return torch.cat([token, x.reshape(images, channels, 1, -1)], 3)


def _position_table(net: Network, layer: Mapping[str, Any], x: Tensor, reach: dict[str, Tensor]) -> Tensor:
    table = _parameter(net, layer)
    if table.shape[1] != x.shape[2] * x.shape[3]:
        raise WrongTypeError(f"`{layer['name']}` has {table.shape[1]} positions, and the map {x.shape[2]} x {x.shape[3]} pixels")
    return x + table.transpose(1, 2).reshape(1, *x.shape[1:])


def _stochastic_depth(net: Network, layer: Mapping[str, Any], x: Tensor, reach: dict[str, Tensor]) -> Tensor:
    share = float(layer["share"])
    if not net.training or share == 0:
        return x
    keep = torch.empty((x.shape[0],) + (1,) * (x.dim() - 1), dtype=x.dtype, device=x.device).bernoulli_(1 - share)
    return x * keep / (1 - share)


def _linear(net: Network, layer: Mapping[str, Any], x: Tensor, reach: dict[str, Tensor]) -> Tensor:
    return _module(net, layer, x.flatten(1), reach)


def _unchanged(net: Network, layer: Mapping[str, Any], x: Tensor, reach: dict[str, Tensor]) -> Tensor:
    return x


LAYERS: dict[str, tuple[Build | None, Compute]] = {
    "conv": (_add_conv, _module),
    "batch-norm": (_add_norm, _module),
    "layer-norm": (_add_layer_norm, _module),
    "project": (_add_linear, _module),
    "linear": (_add_linear, _linear),
    "channel-scale": (_add_tensor, lambda net, layer, x, _: x * _parameter(net, layer)),
    "self-attention": (_add_self_attention, _self_attention),
    "cross-attention": (_add_cross_attention, _cross_attention),
    "attention-pool": (_add_attention_pool, _attention_pool),
    "class-token": (_add_tensor, _class_token),
    "position-table": (_add_tensor, _position_table),
    "first-token": (None, lambda _net, _layer, x, _: x[:, :, 0, 0]),
    "space-to-depth": (None, _space_to_depth),
    "flatten": (None, lambda _net, _layer, x, _: x.flatten(1)),
    "max-pool": (
        None,
        lambda _net, layer, x, _: functional.max_pool2d(x, layer["kernel"], layer["stride"], layer.get("padding", 0)),
    ),
    "avg-pool": (
        None,
        lambda _net, layer, x, _: functional.avg_pool2d(x, layer["kernel"], layer["stride"], layer.get("padding", 0)),
    ),
    "adaptive-avg-pool": (None, lambda _net, layer, x, _: functional.adaptive_avg_pool2d(x, layer["side"])),
    "global-avg-pool": (None, lambda _net, _layer, x, _: _as_map(x).mean((2, 3))),
    "global-max-pool": (None, lambda _net, _layer, x, _: _as_map(x).amax((2, 3))),
    "dropout": (None, lambda net, layer, x, _: functional.dropout(x, layer["share"], net.training)),
    "stochastic-depth": (None, _stochastic_depth),
    "tap": (None, _unchanged),
}
