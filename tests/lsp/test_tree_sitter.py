"""The tree-sitter query in `editors/tree-sitter`, with tree-sitter-kdl 2.0: no pipeline has an error, and words have their captures."""

import pathlib

import pytest
import tree_sitter
import tree_sitter_kdl

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUERY = ROOT / "editors" / "tree-sitter" / "highlights.scm"
FILES = sorted([*ROOT.glob("pipelines/**/*.kdl"), *ROOT.glob("stdlib/**/*.kdl")])

LANGUAGE = tree_sitter.Language(tree_sitter_kdl.language())


def captures(text: bytes) -> dict[str, set[str]]:
    """Captures of each word of a text."""
    root = tree_sitter.Parser(LANGUAGE).parse(text).root_node
    found: dict[str, set[str]] = {}
    query = tree_sitter.Query(LANGUAGE, QUERY.read_text())
    for name, nodes in tree_sitter.QueryCursor(query).captures(root).items():
        for node in nodes:
            found.setdefault(node.text.decode(), set()).add(name)
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_pipeline_is_read_without_an_error(file: pathlib.Path):
    text = file.read_bytes()
    assert not tree_sitter.Parser(LANGUAGE).parse(text).root_node.has_error
    assert captures(text)


def test_words_have_their_captures():
    text = b"""pipeline p seed=1 {
    param side type=px default=64
    extract tiles { from eyes; size $side }
    repeat 2 fold { own part { data tiles } }
}
"""
    found = captures(text)
    assert found["pipeline"] == {"keyword"} and found["extract"] == {"type"}
    assert found["px"] == {"type.builtin"} and found["$side"] == {"variable.parameter"}
    assert found["repeat"] == {"keyword"} and not {"own", "eyes", "tiles"} & found.keys()


def test_the_query_lists_the_stages_of_the_standard_library():
    for folder in ("stages", "templates"):
        for file in (ROOT / "stdlib" / folder).glob("*.kdl"):
            text = f"pipeline p seed=1 {{ {file.stem} one {{ from a }} }}".encode()
            assert "type" in captures(text).get(file.stem, set()), file.stem
