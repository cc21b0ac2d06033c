"""Time for the language server to start and to answer a keystroke.

    python tests/bench/lsp.py target/release/macula [PIPELINE.kdl]

Starts the server ROUNDS times, from the spawn to the answer to `initialize`. Then opens a pipeline of about 1,000 lines (or the
given one) and types STROKES characters into a stage in the middle, waiting for each answer: from the message to the diagnostics of
that version. Needs only Python."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROUNDS = 20
STROKES = 200


def big() -> str:
    """A valid pipeline of about 1,000 lines."""
    lines = ["pipeline big seed=1 {", "    synthetic fundus { photographs 24 }"]
    number = 0
    while len(lines) < 990:
        n = number
        lines += [
            f"    // Variant {n}.",
            f"    extract tiles-{n} {{",
            "        from fundus",
            f"        size {32 + n % 64}",
            "        label min-pixels=1",
            "    }",
            f"    split folds-{n} {{ from tiles-{n}; by patient; train 0.6; valid 0.2; test 0.2 }}",
            f"    rebalance fair-{n} {{ from folds-{n}.train; lesions undersample to=smallest; healthy per-lesion-patch=2.0 }}",
            f"    augment views-{n} {{ from fair-{n}; flip horizontal=0.5; rotate degrees=15 }}",
            f"    train classifier-{n} {{",
            f"        data views-{n}",
            f"        valid folds-{n}.valid",
            "        network shallow-cnn",
            "        loss focal gamma=2.0 class-weights=inverse-frequency",
            "        optimizer adam lr=1e-4 weight-decay=1e-5",
            "        epochs 20",
            "        batch 64",
            "    }",
            f"    threshold-tune cuts-{n} {{ model classifier-{n}; data folds-{n}.valid; maximize f1 }}",
            f"    eval scores-{n} {{ model classifier-{n}; thresholds cuts-{n}; data folds-{n}.test }}",
            f"    report page-{n} {{ of scores-{n} }}",
        ]
        number += 1
    return "\n".join([*lines, "}", ""])


class Server:
    """A server process, connected through pipes."""

    def __init__(self, binary: str, folder: pathlib.Path):
        self.process = subprocess.Popen(
            [binary, "lsp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, env={**os.environ, "XDG_CACHE_HOME": str(folder)}
        )
        self.send({"id": 1, "method": "initialize", "params": {"processId": None, "rootUri": None, "capabilities": {}}})
        while self.read().get("id") != 1:
            pass

    def send(self, message: dict) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()

    def read(self) -> dict:
        length = 0
        while (line := self.process.stdout.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return json.loads(self.process.stdout.read(length))

    def told(self, version: int) -> list:
        while True:
            message = self.read()
            if message.get("method") == "textDocument/publishDiagnostics" and message["params"].get("version") == version:
                return message["params"]["diagnostics"]

    def end(self) -> None:
        self.send({"id": 2, "method": "shutdown"})
        while self.read().get("id") != 2:
            pass
        self.send({"method": "exit"})
        assert self.process.wait(10) == 0


def shown(name: str, seconds: list[float]) -> None:
    ordered = sorted(1e3 * one for one in seconds)
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]
    print(f"{name}: median {at(0.5):.2f} ms, 95 % under {at(0.95):.2f} ms, longest {ordered[-1]:.2f} ms, of {len(ordered)}")


def main() -> None:
    binary = os.path.abspath(sys.argv[1])
    text = pathlib.Path(sys.argv[2]).read_text() if len(sys.argv) > 2 else big()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        starts = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            server = Server(binary, folder)
            starts.append(time.perf_counter() - begun)
            server.end()
        shown("start, spawn to the answer to initialize", starts)
        server = Server(binary, folder)
        server.send({"method": "initialized", "params": {}})
        uri = (folder / "big.kdl").as_uri()
        begun = time.perf_counter()
        item = {"uri": uri, "languageId": "kdl", "version": 0, "text": text}
        server.send({"method": "textDocument/didOpen", "params": {"textDocument": item}})
        wrong = server.told(0)
        print(f"{text.count(chr(10))} lines, {len(text)} bytes, {len(wrong)} mistakes; opened: {1e3 * (time.perf_counter() - begun):.2f} ms")
        lines = text.split("\n")
        at = next(n for n in range(len(lines) // 2, len(lines)) if "epochs 20" in lines[n] or "size " in lines[n])
        column = len(lines[at])
        strokes = []
        for stroke in range(STROKES):
            # A digit is typed and deleted, alternating between invalid and valid.
            typed = stroke % 2 == 0
            ends = [column, column] if typed else [column, column + 1]
            span = {"start": {"line": at, "character": ends[0]}, "end": {"line": at, "character": ends[1]}}
            change = {"range": span, "text": "7" if typed else ""}
            version = stroke + 1
            begun = time.perf_counter()
            document = {"uri": uri, "version": version}
            server.send({"method": "textDocument/didChange", "params": {"textDocument": document, "contentChanges": [change]}})
            server.told(version)
            strokes.append(time.perf_counter() - begun)
        shown("keystroke, change to diagnostics", strokes)
        server.end()


if __name__ == "__main__":
    main()
