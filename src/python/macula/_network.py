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
    # A network up to a tap is called `resnet18 to=features`.
    lines = [f"network {_word(str(network.get('name') or 'network').split(' ')[0])} {{"]
    auxiliary = network.get("auxiliary", [])
    read: list[str] = []
    taps: set[str] = set()
    _names(network["layers"], read, taps)
    for output in auxiliary:
        _names([{"kind": "parallel", "branches": [output["branch"]]}], read, taps)
    lines += [f"    input {_word(name)}" for name in dict.fromkeys(read) if name != "patch" and name not in taps]
    for layer in network["layers"]:
        lines += _layer(layer, "    ")
    for output in auxiliary:
        branch, prefix = output["branch"], f"{output['name']}."
        given = _properties({"from": branch.get("from") if isinstance(branch, dict) else None, "weight": output["weight"]})
        lines.append(f"    auxiliary {_word(output['name'])} {given} {{")
        for layer in _layers(branch):
            lines += _layer(_without(layer, prefix), "        ")
        lines.append("    }")
    return "\n".join([*lines, "}"]) + "\n"


def _layers(branch: Any) -> list[dict[str, Any]]:
    """Layers of a branch, which is written as their list if it has no properties."""
    found: list[dict[str, Any]] = branch["layers"] if isinstance(branch, dict) else branch
    return found


def _names(layers: list[dict[str, Any]], read: list[str], taps: set[str]) -> None:
    """Collects the names that branches and attentions read, and those of taps."""
    for layer in layers:
        if layer["kind"] == "tap":
            taps.add(layer["name"])
        elif layer["kind"] == "cross-attention":
            read.append(layer["to"])
        for branch in layer.get("branches", []):
            if isinstance(branch, dict) and branch.get("from"):
                read.append(branch["from"])
            _names(_layers(branch), read, taps)
        for part in ("body", "shortcut"):
            _names(layer.get(part, []), read, taps)


def _without(layer: dict[str, Any], prefix: str) -> dict[str, Any]:
    """A layer without the prefix of its names."""
    found = dict(layer)
    if isinstance(found.get("name"), str):
        found["name"] = found["name"].removeprefix(prefix)
    for part in ("body", "shortcut"):
        if part in found:
            found[part] = [_without(inner, prefix) for inner in found[part]]
    if "branches" in found:
        branches = []
        for branch in found["branches"]:
            inner = [_without(one, prefix) for one in _layers(branch)]
            branches.append({**branch, "layers": inner} if isinstance(branch, dict) else inner)
        found["branches"] = branches
    return found


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
            given = _properties({key: value for key, value in branch.items() if key != "layers"}) if isinstance(branch, dict) else ""
            yield f"{indent}    branch{' ' if given else ''}{given} {{"
            for inner in _layers(branch):
                yield from _layer(inner, indent + " " * 8)
            yield f"{indent}    }}"
        yield f"{indent}}}"
    else:
        name = f" {_word(layer['name'])}" if kind in _NAMED and layer.get("name") else ""
        values = {key: value for key, value in layer.items() if key not in ("kind", "name")}
        if kind == "self-attention":
            relative = values.pop("relative")
            values["bias"] = "relative" if relative else "none"
        given = _properties(values)
        yield f"{indent}{kind}{name}{' ' if given else ''}{given}"


def _properties(values: dict[str, Any]) -> str:
    words = (f"{key}={_value(value)}" for key, value in values.items() if value is not None and not isinstance(value, (dict, list)))
    return " ".join(words)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "#true" if value else "#false"
    return _word(value) if isinstance(value, str) else str(value)


def _word(text: str) -> str:
    plain = text and all(letter.isalnum() or letter in "._-" for letter in text) and not text[0].isdigit()
    return text if plain else '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
