"""Networks as `model.json` holds them, written as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# Layers whose tensors have their name.
_NAMED = {
    "conv", "batch-norm", "layer-norm", "channel-scale", "attention-pool", "self-attention", "cross-attention", "class-token",
    "position-table", "project", "linear", "tap",
}  # fmt: skip


def network_text(network: dict[str, Any]) -> str:
    """A network in the language of pipelines, one layer per line.

    Parameters
    ----------
    network
        `network` of `model.json`.
    """
    lines = [f"network {_word(str(network.get('name', 'network')))} {{"]
    for layer in network["layers"]:
        lines += _layer(layer, "    ")
    for output in network.get("auxiliary", []):
        branch = output.get("branch", {})
        lines.append(f"    auxiliary {_properties({key: value for key, value in output.items() if key != 'branch'})} {{")
        for layer in branch.get("layers", []):
            lines += _layer(layer, "        ")
        lines.append("    }")
    return "\n".join([*lines, "}"]) + "\n"


def _layer(layer: dict[str, Any], indent: str) -> Iterator[str]:
    kind = layer["kind"]
    if kind == "residual":
        yield f"{indent}residual {{"
        for part in ("body", "shortcut"):
            if layer[part]:
                yield f"{indent}    {part} {{"
                for inner in layer[part]:
                    yield from _layer(inner, indent + " " * 8)
                yield f"{indent}    }}"
        yield f"{indent}}}"
    elif kind == "parallel":
        yield f"{indent}parallel join={layer['join']} {{"
        for branch in layer["branches"]:
            given = _properties({key: value for key, value in branch.items() if key != "layers"})
            yield f"{indent}    branch{' ' if given else ''}{given} {{"
            for inner in branch["layers"]:
                yield from _layer(inner, indent + " " * 8)
            yield f"{indent}    }}"
        yield f"{indent}}}"
    else:
        name = f" {_word(layer['name'])}" if kind in _NAMED and layer.get("name") else ""
        given = _properties({key: value for key, value in layer.items() if key not in ("kind", "name")})
        yield f"{indent}{kind}{name}{' ' if given else ''}{given}"


def _properties(values: dict[str, Any]) -> str:
    words = (f"{key}={_value(value)}" for key, value in values.items() if value is not None and not isinstance(value, (dict, list)))
    return " ".join(words)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "#true" if value else "#false"
    return _word(value) if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _word(text: str) -> str:
    plain = text and all(letter.isalnum() or letter in "._-" for letter in text) and not text[0].isdigit()
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
