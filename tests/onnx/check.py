"""Compares exported ONNX files, computed by onnxruntime, with macula's own probabilities on the same patches.

    python tests/onnx/check.py MACULA [--idrid FOLDER] [--large] [--pipeline NAME]

Trains each network for a few steps in a temporary folder (`exported.kdl` next to this file, `networks.kdl`
of `tests/python`), writes it with `macula get --onnx`, has `onnx.checker` check it in
full, and computes it with onnxruntime. Fails if a probability differs by more than 1e-5, or by more than a
hundredth of what the probabilities vary by. Needs the packages in `requirements.txt`.
"""

import argparse
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import onnx
import onnxruntime
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "src" / "python"))

import macula  # noqa: E402

PATCHES = {(): "folds.test", ("whole",): "whole-folds.test", ("cells",): "cell-folds.test"}


def main() -> None:
    """Runs the pipelines and compares what they score with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("macula", type=pathlib.Path, help="the binary")
    parser.add_argument("--idrid", type=pathlib.Path, help="folder of IDRiD's segmentation release: real patches instead of synthetic ones")
    parser.add_argument("--large", action="store_true", help="also the large networks of the standard library (minutes)")
    parser.add_argument("--pipeline", action="append", help="only this pipeline; may be repeated")
    parser.add_argument("--folder", type=pathlib.Path, help="where to run; kept afterwards")
    given = parser.parse_args()
    binary = given.macula.resolve()
    with contextlib.ExitStack() as stack:
        folder = given.folder or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        grades(folder / "grades")
        pipelines = [("exported.kdl", "exported"), ("exported.kdl", "grades"), ("networks.kdl", "networks")]
        failed = 0
        for file, pipeline in [*pipelines, *([("networks.kdl", "large-networks")] if given.large else [])]:
            if given.pipeline and pipeline not in given.pipeline:
                continue
            text = ((HERE if file == "exported.kdl" else HERE.parent / "python") / file).read_text()
            if given.idrid:
                text = text.replace(SYNTHETIC, IDRID.replace("ROOT", str(given.idrid.resolve())))
            (folder / file).write_text(text)
            call(binary, folder, "run", file, "--pipeline", pipeline)
            results = macula.results(folder / file, name=pipeline)
            for name in sorted(name.removesuffix("-scores") for name in results if name.endswith("-scores")):
                failed += not check(binary, folder, results, (file, pipeline), name)
            if pipeline == "exported":
                failed += not encoder(binary, folder, results, (file, pipeline))
        if failed:
            sys.exit(f"{failed} networks differ")


SYNTHETIC = "synthetic eyes { photographs 8; size 128; photographs-per-patient 1; healthy 0.0; severity 3.0 }"

# Its photographs at a sixteenth of their size: 268 x 178 px.
IDRID = """idrid source { root "ROOT" }
    preprocess eyes { from source; shrink 16 }"""


def grades(folder: pathlib.Path) -> None:
    """Photographs with one grade each: noise, brighter for a higher grade."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(8)
    lines = ["file,grade"]
    for at in range(24):
        pixels = random.integers(40 * (at % 3), 150 + 50 * (at % 3), (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{at:02}.png")
        lines.append(f"{at:02}.png,{at % 3}")
    (folder / "grades.csv").write_text("\n".join(lines) + "\n")


def call(binary: pathlib.Path, folder: pathlib.Path, *words: str) -> None:
    """Runs macula, and ends with what it printed if it fails."""
    done = subprocess.run([binary, *words], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"macula {' '.join(words)}:\n{done.stdout}{done.stderr}")


def export(binary: pathlib.Path, folder: pathlib.Path, pipeline: tuple[str, str], name: str, form: str) -> tuple[Any, dict[str, str]]:
    """A checked file in onnxruntime, and its properties."""
    file = folder / f"{name}-{form}.onnx"
    call(binary, folder, "get", pipeline[0], "--pipeline", pipeline[1], name, "--onnx", file.name, "--input", form, "--force")
    onnx.checker.check_model(str(file), full_check=True)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session, dict(session.get_modelmeta().custom_metadata_map)


def feed(session: Any, patches: Any, form: str, margin: int) -> dict[str, np.ndarray]:
    """Inputs of a session for all patches of a set."""
    inputs = {}
    photographs = patches.table().photograph
    for port in session.get_inputs():
        if port.name == "image":
            pixels = patches.pixels(margin=margin > 0)
            extra = (pixels.shape[1] - port.shape[1 if form == "bytes" else 2]) // 2
            if extra > 0:
                pixels = pixels[:, extra:-extra, extra:-extra]
            inputs["image"] = pixels if form == "bytes" else (pixels.astype(np.float32) / 255).transpose(0, 3, 1, 2)
        else:
            values = np.stack([patches.embedding(port.name, one) for one in photographs]).astype(np.float32)
            inputs[port.name] = values[:, 0, 0] if len(port.shape) == 2 else values
    return inputs


def check(binary: pathlib.Path, folder: pathlib.Path, results: Any, pipeline: tuple[str, str], name: str) -> bool:
    """Compares the scores of a stage, with both forms of pixels."""
    theirs = results[f"{name}-scores"]
    expected, rows = theirs.scores(), theirs.table()
    worst = 0.0
    for form in ("float", "bytes"):
        # An average is exported by its own name.
        exported = name if name in results else f"{name}-scores"
        session, facts = export(binary, folder, pipeline, exported, form)
        assert json.loads(facts["classes"]) == list(theirs.classes), facts
        reads = tuple(port.name for port in session.get_inputs() if port.name != "image")
        patches = results[PATCHES[reads]]
        assert list(patches.table().photograph) == list(rows.photograph)
        found = session.run(["probabilities"], feed(session, patches, form, int(facts.get("margin", 0))))[0]
        worst = max(worst, float(np.abs(found - expected).max()))
    deviation = float(expected.std(axis=0).max())
    fine = worst < min(1e-5, deviation / 100)
    print(f"{name:28} {worst:.1e}  (standard deviation {deviation:.1e}, {len(expected)} patches){'' if fine else '  DIFFERS'}", flush=True)
    return fine


def encoder(binary: pathlib.Path, folder: pathlib.Path, results: Any, pipeline: tuple[str, str]) -> bool:
    """An encoder of `pretrain`, against the embeddings that `encode` computed of patches."""
    session, _ = export(binary, folder, pipeline, "pretrained", "float")
    patches, embeddings = results["patches"], results["vectors-of-patches"]
    found = session.run(["features"], feed(session, patches, "float", 0))[0]
    rows, worst = patches.table(), 0.0
    for photograph in embeddings:
        grid = embeddings[photograph].reshape(-1, found.shape[1])
        own = found[np.asarray(rows.photograph) == photograph]
        # Every patch of the photograph is somewhere in its grid.
        distance = np.abs(own[:, None] - grid[None]).max(axis=2).min(axis=1)
        worst = max(worst, float(distance.max()))
    fine = worst < 1e-5
    print(f"{'pretrained encoder':28} {worst:.1e}{'' if fine else '  DIFFERS'}", flush=True)
    return fine


if __name__ == "__main__":
    main()
