"""The language server with a real client over stdio: pytest-lsp, with the capabilities that Visual Studio Code and Neovim
declare. MACULA names the binary."""

import os
import pathlib
import subprocess
import sys
import time

import pytest
import pytest_lsp
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

MACULA = os.environ.get("MACULA", "macula")

TEXT = """\
// größe 𝄞
pipeline small seed=1 {
    synthetic fundus { photographs 2 }
    extract tiles { from fundus; size 64 }
    split folds { from tiles }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 1 }
    eval scores { model classifier; data folds.test }
}
"""


@pytest_lsp.fixture(
    params=["visual_studio_code", "neovim"],
    config=ClientServerConfig(server_command=[MACULA, "lsp"]),
)
async def client(request, lsp_client: LanguageClient, tmp_path: pathlib.Path):
    """A session in its own folder, with a clean shutdown."""

    # Requests from the server: watch files, and refresh inlay hints and code lenses.
    @lsp_client.feature(types.CLIENT_REGISTER_CAPABILITY)
    def register(_params: types.RegistrationParams):
        return None

    @lsp_client.feature(types.WORKSPACE_INLAY_HINT_REFRESH)
    def refresh(_params: None):
        return None

    @lsp_client.feature(types.WORKSPACE_CODE_LENS_REFRESH)
    def refresh_lenses(_params: None):
        return None

    os.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    capabilities = client_capabilities(request.param)
    root = tmp_path.as_uri()
    folders = [types.WorkspaceFolder(uri=root, name="small")]
    params = types.InitializeParams(capabilities=capabilities, root_uri=root, workspace_folders=folders)
    result = await lsp_client.initialize_session(params)
    assert result.server_info.name == "macula"
    lsp_client.utf16 = result.capabilities.position_encoding != types.PositionEncodingKind.Utf8
    lsp_client.folder = tmp_path
    yield
    await lsp_client.shutdown_session()


def position(text: str, word: str, nth: int = 0) -> types.Position:
    """Position of `word` in `text`, in UTF-16 units."""
    at = -1
    for _ in range(nth + 1):
        at = text.index(word, at + 1)
    line = text.count("\n", 0, at)
    column = text[text.rfind("\n", 0, at) + 1 : at]
    return types.Position(line=line, character=len(column.encode("utf-16-le")) // 2)


def opened(client: LanguageClient, text: str = TEXT, name: str = "small.kdl") -> str:
    """Opens a text without a file."""
    uri = (client.folder / name).as_uri()
    item = types.TextDocumentItem(uri=uri, language_id="kdl", version=1, text=text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(text_document=item))
    return uri


async def published(client: LanguageClient, uri: str):
    """Diagnostics of a text, once they are published."""
    while True:
        await client.wait_for_notification(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        if uri in client.diagnostics:
            return client.diagnostics.pop(uri)


def place(uri: str, at: types.Position):
    return {"text_document": types.TextDocumentIdentifier(uri=uri), "position": at}


async def test_diagnostics_follow_typing(client: LanguageClient):
    uri = opened(client, TEXT.replace("from fundus", "from fundos"))
    (wrong,) = await published(client, uri)
    assert wrong.code == "unknown-name"
    assert wrong.range.start == position(TEXT, "fundus;")
    change = types.TextDocumentContentChangePartial(range=wrong.range, text="fundus")
    identifier = types.VersionedTextDocumentIdentifier(uri=uri, version=2)
    params = types.DidChangeTextDocumentParams(text_document=identifier, content_changes=[change])
    client.text_document_did_change(params)
    assert list(await published(client, uri)) == []


async def test_matching_references_come_first(client: LanguageClient):
    text = TEXT.replace("data folds.train", "data ")
    uri = opened(client, text)
    at = position(text, "data ; valid")
    at = types.Position(line=at.line, character=at.character + len("data "))
    found = await client.text_document_completion_async(types.CompletionParams(**place(uri, at)))
    items = sorted(found.items, key=lambda item: item.sort_text)
    assert [item.label for item in items[:4]] == ["folds.train", "folds.valid", "folds.test", "tiles"]


async def test_hover_and_definition_reach_the_standard_library(client: LanguageClient):
    uri = opened(client)
    at = position(TEXT, "extract")
    hover = await client.text_document_hover_async(types.HoverParams(**place(uri, at)))
    assert "in `from`" in hover.contents.value
    found = await client.text_document_definition_async(types.DefinitionParams(**place(uri, at)))
    path = pathlib.Path(found.uri.removeprefix("file://"))
    assert path.read_text().splitlines()[found.range.start.line].startswith("stage extract")


async def test_rename_changes_every_occurrence(client: LanguageClient):
    uri = opened(client)
    params = types.RenameParams(new_name="sides", **place(uri, position(TEXT, "folds")))
    edit = await client.text_document_rename_async(params)
    assert len(edit.changes[uri]) == 4
    refused = types.RenameParams(new_name="1x", **place(uri, position(TEXT, "folds")))
    with pytest.raises(Exception, match="letters, digits"):
        await client.text_document_rename_async(refused)


async def test_references_symbols_formatting_hints_and_actions(client: LanguageClient):
    uri = opened(client, TEXT.replace("{ from fundus; size 64 }", "{from fundus;size 64px}"))
    identifier = types.TextDocumentIdentifier(uri=uri)
    everywhere = types.Range(start=types.Position(0, 0), end=types.Position(99, 0))
    symbols = await client.text_document_document_symbol_async(types.DocumentSymbolParams(text_document=identifier))
    assert [symbol.name for symbol in symbols[0].children] == ["fundus", "tiles", "folds", "classifier", "scores"]
    context = types.CodeActionContext(diagnostics=[])
    params = types.CodeActionParams(text_document=identifier, range=everywhere, context=context)
    (action,) = await client.text_document_code_action_async(params)
    assert action.edit.changes[uri][0].new_text == "64"
    options = types.FormattingOptions(tab_size=4, insert_spaces=True)
    formatting = types.DocumentFormattingParams(text_document=identifier, options=options)
    assert await client.text_document_formatting_async(formatting) is None  # not with a syntax error
    context = types.ReferenceContext(include_declaration=True)
    at = position(TEXT, "tiles")
    found = await client.text_document_references_async(types.ReferenceParams(context=context, **place(uri, at)))
    assert len(found) == 2
    hints = await client.text_document_inlay_hint_async(types.InlayHintParams(text_document=identifier, range=everywhere))
    assert hints


async def test_semantic_tokens_lenses_and_symbols_of_the_workspace(client: LanguageClient):
    uri = opened(client)
    (client.folder / "small.kdl").write_text(TEXT)
    identifier = types.TextDocumentIdentifier(uri=uri)
    tokens = await client.text_document_semantic_tokens_full_async(types.SemanticTokensParams(text_document=identifier))
    # The first line is a comment with a character of two UTF-16 units.
    assert list(tokens.data[:3]) == [0, 0, len("// größe 𝄞".encode("utf-16-le")) // 2 if client.utf16 else len("// größe 𝄞".encode())]
    lenses = await client.text_document_code_lens_async(types.CodeLensParams(text_document=identifier))
    assert [lens.command.title for lens in lenses[:4]] == ["run", "plan", "run", "why"]
    found = await client.workspace_symbol_async(types.WorkspaceSymbolParams(query="classi"))
    assert [symbol.name for symbol in found] == ["classifier"]


async def test_results_of_a_run_are_shown_and_nothing_is_written(client: LanguageClient):
    (client.folder / "small.kdl").write_text(TEXT)
    subprocess.run([MACULA, "run", "small.kdl", "tiles"], cwd=client.folder, check=True, capture_output=True)
    store = client.folder / ".macula"
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    uri = opened(client)
    at = position(TEXT, "tiles")
    end = time.monotonic() + 30
    while True:
        hover = await client.text_document_hover_async(types.HoverParams(**place(uri, at)))
        if "cached: will not run" in hover.contents.value:
            break
        assert time.monotonic() < end, hover.contents.value
        time.sleep(0.2)
    assert "patches" in hover.contents.value
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before


if __name__ == "__main__":
    sys.exit(pytest.main([__file__]))
