"""Numbers of the sources, for docs/building.md: python tests/bench/sources.py [ROOT]

Sizes of the files in src, names of types that several files define, and pairs of files that use each other. Parents and
children do not count as such pairs: a module and its parts belong together. Unit tests are left out.
"""

import re
import statistics
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]) / "src"
TYPE = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?(?:struct|enum|trait|type|union)\s+([A-Z]\w*)", re.M)


def code(path):
    """A file without comments, texts and unit tests."""
    text = path.read_text().split("#[cfg(test)]\nmod tests")[0]
    return re.sub(r'//[^\n]*|"(?:\\.|[^"\\])*"', " ", text)


def expanded(tree, before=()):
    """Paths of a `use`: `a::{b, c::d}` is a::b and a::c::d."""
    tree = tree.strip()
    if tree.startswith("{"):
        parts, depth = [""], 0
        for letter in tree[1 : tree.rindex("}")]:
            depth += {"{": 1, "}": -1}.get(letter, 0)
            if letter == "," and depth == 0:
                parts.append("")
            else:
                parts[-1] += letter
        return [path for part in parts for path in expanded(part, before)]
    word, _, rest = tree.partition("::")
    word = word.split(" as ")[0].strip()
    if not word:
        return []
    return expanded(rest, (*before, word)) if rest else [(*before, word)]


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts


def target(path, here, modules):
    """The module that a path leads to."""
    path, at = list(path), list(here)
    if path[0] == "crate":
        path, at = path[1:], []
    while path and path[0] in ("super", "self"):
        at = at[:-1] if path.pop(0) == "super" else at
    found = [tuple(at + path[:n]) for n in range(len(path) + 1) if tuple(at + path[:n]) in modules]
    return found[-1] if found else None


everything = sorted(ROOT.rglob("*.rs"))
files = {module_of(path): path for path in everything}
lines = [len(path.read_text().splitlines()) for path in everything]
print(f"{len(lines)} files, {sum(lines):,} lines; median {statistics.median(lines):.0f}, largest {max(lines)}")

defined = Counter(name for path in files.values() for name in set(TYPE.findall(code(path))))
several = Counter({name: count for name, count in defined.items() if count > 1})
most = ", ".join(f"{name} {count}" for name, count in several.most_common(6))
print(f"{len(defined)} names of types, {len(several)} in several files: {most}")

uses = {}
for module, path in files.items():
    text = code(path)
    paths = [path for tree in re.findall(r"\buse\s+([^;]+);", text) for path in expanded(tree)]
    text = re.sub(r"\buse\s+[^;]+;", "", text)
    paths += [tuple(path.split("::")) for path in re.findall(r"\b(?:crate|super)(?:::\w+)+", text)]
    relative = [path for path in paths if path[0] in ("crate", "super", "self") or (*module, path[0]) in files]
    uses[module] = {target(path, module, files) for path in relative} - {module, None}
related = lambda one, other: one[: len(other)] == other or other[: len(one)] == one
pairs = sorted((a, b) for a in uses for b in uses[a] if a < b and a in uses[b] and not related(a, b))
print(f"{len(pairs)} pairs of files that use each other:", ", ".join("::".join(a) + " and " + "::".join(b) for a, b in pairs))
