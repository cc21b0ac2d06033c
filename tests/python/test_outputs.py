"""Outputs other than patches, compared with their files, with scikit-learn, and with what macula prints."""

import json
import os
import pathlib
import re
import subprocess
import sys

import macula
import numpy as np
import pandas as pd
import pytest
from conftest import MACULA
from PIL import Image
from safetensors.numpy import load_file
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score


def test_predictions_agree_with_their_file(everything: macula.Run):
    guesses = everything.guesses
    table = pd.read_parquet(guesses.path / "predictions.parquet")
    assert guesses.classes == ("MA", "HE", "EX", "SE") and len(guesses) == len(table)
    assert np.array_equal(guesses.scores(), table[[f"score.{name}" for name in guesses.classes]].to_numpy())
    labels = table[[f"label.{name}" for name in guesses.classes]].to_numpy(dtype=np.float32)
    assert np.array_equal(guesses.labels(), labels, equal_nan=True)
    assert guesses.table()["label.MA"].dtype == "boolean" and "tuned.MA" in guesses.table()
    assert len(guesses.photographs) == table.photograph.nunique()
    with pytest.raises(macula.NotKeptError, match="only `predict` and `average`"):
        _ = everything.scores.predictions.photographs


def test_unknown_labels_of_predictions_are_missing(labels: macula.Run):
    guesses = labels.guesses
    assert np.isnan(guesses.labels()[:, 1]).any() and not np.isnan(guesses.scores()).any()
    assert guesses.table()["label.hard <b>"].isna().sum() == np.isnan(guesses.labels()[:, 1]).sum()


def test_predictions_join_their_patches(everything: macula.Run):
    guesses, patches = everything.guesses, everything["visible.kept"]
    joined = guesses.join(patches)
    assert len(joined) == len(guesses) and joined["score.MA"].tolist() == guesses.scores()[:, 0].tolist()
    assert (joined["label.MA"] == joined["MA"]).all() and (joined["mask_pixels.MA"] == joined["MA_pixels"]).all()
    table = patches.table()
    for name in ("photograph", "x", "y"):
        assert (table[name].to_numpy()[joined.patch] == joined[name]).all()
    means = patches.pixels(joined.patch.to_numpy()).reshape(len(joined), -1, 3)[:, :, 0].mean(1)
    assert np.allclose(means, joined.mean_r, atol=1e-3)
    with pytest.raises(macula.WrongTypeError, match=r"predictions are not for patches of `folds.train`, the first at x \d+"):
        guesses.join(everything.folds.train)


def test_metrics_agree_with_scikit_learn_and_with_macula(project: pathlib.Path, everything: macula.Run):
    scores = everything.scores
    labels, values = scores.predictions.labels(), scores.predictions.scores()
    cuts = np.array([everything.cuts[name] for name in scores.classes])
    for k, name in enumerate(scores.classes):
        metrics = scores.metrics
        assert metrics["average-precision"][name] == pytest.approx(average_precision_score(labels[:, k], values[:, k]), abs=1e-12)
        assert metrics["auroc"][name] == pytest.approx(roc_auc_score(labels[:, k], values[:, k]), abs=1e-12)
        assert metrics["f1"]["tuned"][name] == pytest.approx(f1_score(labels[:, k], values[:, k] >= cuts[k]), abs=1e-12)
        assert metrics["brier"][name] == pytest.approx(brier_score_loss(labels[:, k], values[:, k]), abs=1e-12)
    # Names and values of sweeps.
    words = [MACULA, "show", "everything.kdl", "scores", "--json", "--pipeline", "everything"]
    shown = json.loads(subprocess.run(words, cwd=project, capture_output=True, text=True, check=True).stdout)["summary"]["figures"]
    compared = 0
    for figure, value in shown.items():
        metric, _, name = figure.partition(".")
        kind, _, rest = metric.partition("-")
        if not name and kind in ("mean", "micro", "macro"):
            metric, name = rest, "micro" if kind == "micro" else "mean"
        found = scores.metrics[metric]
        found = found.get("tuned", found)
        assert found[name or "all"] == value, figure
        compared += 1
    assert compared > 20


def test_the_table_of_metrics_is_tidy(everything: macula.Run):
    pooled = everything.pooled
    table = pooled.table()
    assert list(table.columns) == ["metric", "class", "threshold", "value", "low", "high", "baseline"]
    assert not table.duplicated(["metric", "class", "threshold"]).any()
    row = table[(table.metric == "average-precision") & (table["class"] == "mean")].iloc[0]
    data = json.loads((pooled.path / "scores.json").read_text())
    assert row.value == data["mean_average_precision"]["value"] == pooled.mean_average_precision
    interval = data["intervals"]["mean_average_precision"]
    assert (row.low, row.high) == (interval["low"], interval["high"]) == pooled.interval("average-precision")
    assert row.low < row.value < row.high and row.baseline == data["baselines"]["macro_prevalence"]["value"]
    f1 = pooled.interval("f1", "MA", "tuned")
    assert f1 == tuple(data["intervals"]["f1"][1][0][end] for end in ("low", "high"))
    assert everything.scores.interval("average-precision", "MA") is None
    with pytest.raises(macula.NotKeptError, match="no `f2` of `MA`"):
        pooled.interval("f2", "MA")
    assert len(pooled.curves.table()) > 100 and set(pooled.curves.polars()["class"]) == set(pooled.classes)
    assert len(everything.scores.reliability) == 40 and len(everything.scores.whole) == 8
    with pytest.raises(macula.NotKeptError, match="calibration #true"):
        _ = pooled.reliability


def test_metrics_of_one_class_per_patch(project: pathlib.Path, labels: macula.Run):
    scores = macula.results(project, name="grades").scores
    single = scores.data["single"]
    for metric in ("accuracy", "balanced-accuracy", "quadratic-kappa"):
        assert scores.metrics[metric]["all"] == single[metric.replace("-", "_")]


def test_results_of_another_version_are_refused(everything: macula.Run, tmp_path: pathlib.Path):
    data = dict(everything.scores.data)
    del data["ranking"]
    (tmp_path / "scores.json").write_text(json.dumps(data))
    with pytest.raises(macula.FormatError, match=r"scores\.json: has no `ranking`; .*version of macula"):
        macula.load(tmp_path)
    (tmp_path / "set.json").write_text('{"things": 3}')
    with pytest.raises(macula.FormatError, match="neither patches nor photographs"):
        macula.load(tmp_path)


def test_thresholds(everything: macula.Run):
    cuts = everything.cuts
    assert list(cuts) == ["MA", "HE", "EX", "SE"] and len(cuts.table()) == 4
    assert cuts["MA"] == everything.scores.data["at_tuned"]["figures"]["thresholds"][0]
    assert cuts.array().tolist() == list(cuts.values()) and cuts.criterion == {"maximize": "f1"}
    with pytest.raises(KeyError, match="unknown class `XX`; there are `MA`"):
        _ = cuts["XX"]


def test_a_model(everything: macula.Run):
    model = everything.classifier
    weights, theirs = model.weights(), load_file(model.path / "weights.safetensors")
    assert set(weights) == set(theirs) and all(np.array_equal(weights[name], theirs[name]) for name in weights)
    assert weights["c1.weight"].shape == (8, 3, 3, 3) and not weights["c1.weight"].flags.writeable
    last = load_file(model.path / "last.safetensors")
    assert all(np.array_equal(model.weights("last")[name], last[name]) for name in weights)
    epochs = model.epochs.table()
    assert set(epochs["set"]) == {"training", "subset", "valid"} and epochs.epoch.max() == 2
    chosen = epochs[(epochs["set"] == "valid") & (epochs.epoch == model.chosen_epoch)]
    assert chosen.average_precision.item() == epochs[epochs["set"] == "valid"].average_precision.max()
    assert model.classes == ("MA", "HE", "EX", "SE") and model.patch_size == 32 and model.calibration is None
    assert everything.honest.calibration.shape == (4, 2)
    assert "conv c2 out=16 kernel=3 stride=2" in model.network_text
    with pytest.raises(KeyError, match="unknown tensor `c3.weight`; it has .*`c1.weight`"):
        _ = weights["c3.weight"]
    with pytest.raises(macula.NotKeptError, match="only the weights of the chosen epoch"):
        everything.encoder.weights("last")


def test_calibration_gives_calibrated_scores(everything: macula.Run):
    before, after = everything.scores.predictions, everything.checked.predictions
    odds = np.log(before.scores() / (1 - before.scores()))
    slope, intercept = everything.honest.calibration.T
    assert np.allclose(1 / (1 + np.exp(-(odds * slope + intercept))), after.scores(), atol=1e-9)


def test_heat_maps(everything: macula.Run):
    maps = everything.maps
    assert set(maps) == set(everything.folds.test.photographs)
    name = maps.photographs[0]
    one, theirs = maps[name], load_file(maps.path / name / "scores.safetensors")
    assert np.array_equal(one.scores, theirs["scores"], equal_nan=True) and one.scores.shape == (4, 10, 10)
    lesion = theirs["lesion"]
    assert np.array_equal(one.lesion == 1, lesion == 1) and np.array_equal(np.isnan(one.lesion), lesion == 255)
    assert np.array_equal(one.of("EX"), theirs["scores"][2], equal_nan=True)
    assert one._repr_png_().startswith(b"\x89PNG") and len(one.patches) == one.info["scored"]
    table = maps.table()
    assert len(table) == 4 * (1 + len(maps)) and table.photograph.isna().sum() == 4
    whole = table[table.photograph.isna() & (table["class"] == "MA")].iloc[0]
    cells = [(maps[other].of("MA"), maps[other].lesion[0]) for other in maps]
    scores, truth = (np.concatenate([pair[at].ravel() for pair in cells]) for at in (0, 1))
    known = ~np.isnan(scores) & ~np.isnan(truth)
    assert whole.average_precision == pytest.approx(average_precision_score(truth[known], scores[known]), abs=1e-6)
    with pytest.raises(KeyError, match="unknown photograph `x`"):
        _ = maps["x"]


def test_lesions(everything: macula.Run):
    spots = everything.spots
    table = spots.table()
    assert len(table) == len(spots) == sum(len(spots.outlines(name)["features"]) for name in spots.photographs)
    counts = spots.counts.table()
    counted = counts[counts.lesions > 0].set_index(["photograph", "class"]).lesions.to_dict()
    assert table.groupby(["photograph", "class"]).size().to_dict() == counted
    assert counts.lesions.sum() == len(table)


def test_photographs(everything: macula.Run):
    eyes = everything.eyes
    name = eyes[0]
    pixels = eyes.pixels(name)
    assert pixels.shape == (160, 160, 3) and np.array_equal(pixels, np.asarray(Image.open(eyes.photograph(name)).convert("RGB")))
    table = eyes.table()
    assert table.photograph.tolist() == list(eyes) and table.patient.nunique() == 24
    lesions = everything.spots.table()
    for label in eyes.classes:
        with_mask = set(table.photograph[table[f"mask.{label}"]])
        assert set(lesions.photograph[lesions["class"] == label]) <= with_mask
    with pytest.raises(KeyError, match="unknown class `XX`"):
        eyes.mask(name, "XX")


def test_analyses(everything: macula.Run):
    for name, file in [("sliced", "slices"), ("doubtful", "suspects"), ("detected", "froc"), ("table", "spread"), ("twins", "pairs")]:
        found, theirs = everything[name], pd.read_parquet(everything[name].path / f"{file}.parquet")
        assert len(found) == len(theirs) and list(found.table().columns) == list(theirs.columns)
    assert everything.table.summary.table().set_index("name").loc["mean average precision", "n"] == 2
    pictures = list(everything.doubtful.pictures())
    assert len(pictures) == 16 and all(path.is_file() for _, path in pictures)
    detected = everything.detected
    mapped = set(everything.maps.photographs)
    assert len(detected.lesions) == everything.spots.table().photograph.isin(mapped).sum()
    assert len(detected.detections) == len(detected.curves) == sum(one["peaks"] for one in detected.data["classes"])


def test_embeddings(everything: macula.Run):
    described = everything.described
    assert described.array().shape == (24, 1, 1, 16) and described.photographs == tuple(everything.eyes)
    name = described.photographs[4]
    theirs = load_file(described.path / "photographs" / f"{name}.safetensors")["values"]
    assert np.array_equal(described[name], theirs) and np.array_equal(described.array()[4], theirs)


def test_files(everything: macula.Run):
    pictures = everything.pictures
    assert len(pictures) == len(everything.folds.test) and all(path.suffix == ".png" for path in pictures.values())
    with pytest.raises(KeyError, match="unknown file"):
        _ = pictures["x.png"]


def test_a_report_is_framed(everything: macula.Run):
    page = everything.page
    shown = page._repr_html_()
    source = re.search(r'srcdoc="([^"]*)"', shown)
    assert source is not None and "sandbox=" in shown
    from html import unescape

    assert unescape(source[1]) == page.html() == (page.path / "report.html").read_text()


def test_only_what_is_used_is_imported(everything: macula.Run):
    program = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pandas", "polars", "torch", "PIL", "safetensors"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
import macula
run = macula.results({str(everything.path)!r})
patches = run["visible.kept"]
patches.pixels(0), patches.masks(0), patches.arrow(), run.scores.metrics, run.classifier.weights(), run._repr_html_()
for call in (patches.table, patches.polars, lambda: run.eyes.pixels(run.eyes[0]), lambda: __import__("macula.torch")):
    try:
        call()
    except macula.MissingPackageError as error:
        print(error)
"""
    source = str(pathlib.Path(macula.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    wanted = [("pandas", "pandas"), ("polars", "polars"), ("PIL.Image", "pillow"), ("torch", "torch")]
    assert len(lines) == 4
    for line, (_, package) in zip(lines, wanted, strict=True):
        assert line.endswith(f"which is not installed: run `pip install {package}`")
