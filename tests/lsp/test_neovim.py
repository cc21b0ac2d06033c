"""Neovim, headless, with the settings of docs/editors.md. MACULA names the binary; Neovim comes from a wheel or from PATH."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MACULA = os.environ.get("MACULA", "macula")

TEXT = """\
pipeline small seed=1 {
    synthetic fundus { photographs 2 }
    extract tiles { from fundus; size 64 }
    split folds { from tiles }
    eval scores { model nobody; data folds.test }
}
"""

CHECK = """
local buffer = vim.api.nvim_get_current_buf()
local function wait(what)
  local value
  vim.wait(20000, function()
    value = what()
    return value ~= nil and value ~= false and not (type(value) == "table" and next(value) == nil)
  end, 50)
  return value
end
local found = {}
found.client = wait(function() return (vim.lsp.get_clients({ bufnr = buffer, name = "macula" })[1] or {}).name end)
found.diagnostics = vim.tbl_map(function(one) return one.message end, wait(function() return vim.diagnostic.get(buffer) end))
found.behind = wait(function()
  for _, namespace in pairs(vim.diagnostic.get_namespaces()) do
    local own = namespace.user_data.virt_text_ns
    local marks = own and vim.api.nvim_buf_get_extmarks(buffer, own, 0, -1, { details = true }) or {}
    for _, mark in ipairs(marks) do
      local words = vim.tbl_map(function(part) return part[1] end, mark[4].virt_text or {})
      if #words > 0 then return vim.trim(table.concat(words)) end
    end
  end
end)
local position = { textDocument = { uri = vim.uri_from_bufnr(buffer) }, position = { line = 2, character = 13 } }
local answers = vim.lsp.buf_request_sync(buffer, "textDocument/hover", position, 20000) or {}
for _, answer in pairs(answers) do found.hover = answer.result.contents.value end
local function token(line, column)
  return wait(function()
    return vim.tbl_map(function(one) return one.type end, vim.lsp.semantic_tokens.get_at_pos(buffer, line, column) or {})
  end)[1]
end
found.tokens = { token(0, 1), token(2, 5), token(2, 13), token(2, 21), token(2, 38) }
found.lenses = wait(function()
  return vim.tbl_map(function(lens) return lens.command.title end, vim.lsp.codelens.get(buffer))
end)
found.hints = wait(function() return vim.tbl_map(function(hint) return hint.inlay_hint.label end, vim.lsp.inlay_hint.get({ bufnr = buffer })) end)
vim.lsp.commands["macula.plan"]({ arguments = { { file = vim.api.nvim_buf_get_name(buffer), stage = "tiles" } } })
local terminal = vim.api.nvim_get_current_buf()
found.plan = wait(function()
  local text = table.concat(vim.api.nvim_buf_get_lines(terminal, 0, -1, false), "\\n")
  return text:find("Process exited", 1, true) and text
end)
vim.fn.writefile({ vim.json.encode(found) }, vim.env.FOUND)
vim.cmd("qall!")
"""


def neovim() -> str | None:
    """A Neovim of version 0.11 or later."""
    beside = pathlib.Path(sys.executable).parent / "nvim"
    path = str(beside) if beside.exists() else shutil.which("nvim")
    if path is None:
        return None
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"NVIM v(\d+)\.(\d+)", said)
    return path if version and tuple(map(int, version.groups())) >= (0, 11) else None


@pytest.mark.skipif(neovim() is None, reason="Neovim 0.11 is missing")
def test_the_settings_of_the_page_work(tmp_path: pathlib.Path):
    page = (ROOT / "docs" / "editors.md").read_text()
    settings = re.search(r"```lua\n(.*?)```", page, re.DOTALL)
    assert settings
    (tmp_path / "init.lua").write_text(settings[1])
    (tmp_path / "check.lua").write_text(CHECK)
    (tmp_path / "small.kdl").write_text(TEXT)
    (tmp_path / "project.kdl").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "macula").symlink_to(pathlib.Path(shutil.which(MACULA) or MACULA).resolve())
    environment = os.environ | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "FOUND": str(tmp_path / "found.json"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    program = neovim()
    assert program
    command = [program, "--headless", "-u", "init.lua", "-i", "NONE", "small.kdl", "-c", "luafile check.lua"]
    said = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL
    )
    assert (tmp_path / "found.json").exists(), said.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["client"] == "macula"
    assert any("`nobody`" in message for message in found["diagnostics"]), found["diagnostics"]
    assert "nobody" in found["behind"]
    assert "extract tiles" in found["hover"] and "`size` 64 px" in found["hover"]
    assert found["tokens"] == ["keyword", "class", "variable", "interface", "number"]
    assert found["lenses"][:2] == ["run", "plan"] and "why" in found["lenses"]
    assert any("edge drop" in hint for hint in found["hints"]), found["hints"]
    # The text has a mistake, which the command reports as well.
    assert "nobody" in found["plan"]
