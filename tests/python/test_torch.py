"""Data sets and networks of PyTorch."""

import json
import os
import pathlib
import pickle
import subprocess
from typing import Any

import macula
import numpy as np
import pytest
from conftest import MACULA, run

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from macula.torch import Network, PatchDataset, known, network  # noqa: E402


def test_items_are_pixels_and_labels(everything: macula.Run):
    patches = everything.folds.train
    dataset = PatchDataset(patches)
    assert len(dataset) == len(patches) and dataset.classes == patches.classes
    pixels, labels = dataset[7]
    assert pixels.dtype == torch.uint8 and pixels.shape == (3, 32, 32)
    assert np.array_equal(pixels.permute(1, 2, 0).numpy(), patches.pixels(7))
    assert labels.dtype == torch.float32 and labels.tolist() == patches.labels()[7].tolist()
    assert PatchDataset(patches, margin=True)[7][0].shape == (3, 40, 40)
    assert torch.equal(dataset.labels, torch.from_numpy(patches.labels().copy()))
    with pytest.raises(IndexError):
        dataset[len(dataset)]
    with pytest.raises(macula.WrongTypeError, match="expected a patch set"):
        PatchDataset(everything.scores)


def test_a_transform_gets_writable_pixels(everything: macula.Run):
    def transform(pixels: np.ndarray) -> float:
        assert pixels.shape == (32, 32, 3)
        pixels += 1
        return float(pixels[0, 0, 0])

    dataset = PatchDataset(everything.folds.train, transform)
    assert dataset[0][0] == dataset[0][0] == (int(everything.folds.train.pixels(0)[0, 0, 0]) + 1) % 256


def test_copies_are_items(everything: macula.Run):
    patches = everything.balanced
    dataset = PatchDataset(patches)
    assert len(dataset) == patches.copies.sum() and len(PatchDataset(patches, copies=False)) == len(patches)
    assert np.array_equal(np.bincount(dataset.numbers), patches.copies)


def test_unknown_labels_are_nan_and_masked(labels: macula.Run):
    dataset = PatchDataset(labels.patches)
    values, mask = known(dataset.labels)
    assert not values.isnan().any() and (~mask).any()
    assert torch.equal(dataset.labels.isnan(), ~mask) and (values[~mask] == 0).all()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(torch.zeros_like(values), values, reduction="none")
    assert ((loss * mask).sum() / mask.sum()).item() == pytest.approx(np.log(2))


def pixels_first(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels)


@pytest.mark.parametrize(("method", "workers"), [("fork", 2), ("spawn", 1)])
def test_workers_read_the_same(everything: macula.Run, method: str, workers: int):
    dataset = PatchDataset(macula.load(everything["visible.kept"].path), pixels_first)
    loader = torch.utils.data.DataLoader(dataset, batch_size=50, num_workers=workers, multiprocessing_context=method)
    batches = list(loader)
    assert np.array_equal(torch.cat([pixels for pixels, _ in batches]).numpy(), dataset.patches.pixels())
    assert np.array_equal(torch.cat([labels for _, labels in batches]).numpy(), dataset.patches.labels())


@pytest.fixture(scope="session")
def networks(project: pathlib.Path) -> macula.Run:
    run(project, "run", "networks.kdl", "--pipeline", "networks")
    return macula.results(project / "networks.kdl", name="networks")


SMALL = ["mixed", "tokens", "context", "shallow-cnn", "resnet18", "mixture", "attention-bag", "fusion"]
LARGE = [
    "resnet34",
    "resnet50",
    "efficientnet-lite0",
    "convnext-t",
    "swin-t",
    "vit-s16",
    "cross-attention-resnet18",
    "late-fusion-resnet18",
]


def scored(results: macula.Run, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores of PyTorch and of macula for the test set."""
    model, theirs = results.output(name, macula.Model), results[f"{name}-scores"]
    joined = [entry["name"] for entry in model.info.get("embeddings", [])]
    patches = {(): "folds.test", ("whole",): "whole-folds.test", ("cells",): "cell-folds.test"}[tuple(joined)]
    patches = results[patches]
    names = patches.table().photograph
    embeddings = {key: torch.from_numpy(np.stack([patches.embedding(key, one) for one in names])) for key in joined}
    pixels = patches.pixels(margin="wide" in model.info.get("inputs", []))
    return network(model).scores(pixels, embeddings), theirs.scores()


def compare(results: macula.Run, name: str) -> None:
    """Scores differ by less than 1e-5, and by far less than they vary: outputs that hardly vary would agree whatever the layers do."""
    ours, theirs = scored(results, name)
    difference, deviation = np.abs(ours - theirs).max(), theirs.std(axis=0).max()
    print(f"\n{name}: {difference:.1e} (standard deviation of scores {deviation:.1e}) on {len(theirs)} patches")
    assert difference < min(1e-5, deviation / 100), name


@pytest.mark.parametrize("name", SMALL)
def test_scores_are_those_of_macula(networks: macula.Run, name: str):
    compare(networks, name)


@pytest.mark.parametrize("name", SMALL)
def test_the_text_of_a_network_is_the_same_network(networks: macula.Run, project: pathlib.Path, tmp_path: pathlib.Path, name: str):
    text = networks[name].network_text
    (tmp_path / "again.kdl").write_text(text.replace(f"network {name} ", "network again ", 1))
    # Without the stages, which have the same names.
    (tmp_path / "first.kdl").write_text((project / "networks.kdl").read_text().split("pipeline networks")[0])

    def layers(file: pathlib.Path, network: str) -> list[Any]:
        words = [MACULA, "show", str(file), network, "--json", "--size", "32", "--classes", "4"]
        shown = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        return [shown["digest"], shown["layers"]]

    assert layers(tmp_path / "again.kdl", "again") == layers(tmp_path / "first.kdl", name)


@pytest.mark.skipif("MACULA_LARGE_NETWORKS" not in os.environ, reason="set MACULA_LARGE_NETWORKS=1 (takes minutes, and 700 MB)")
def test_scores_of_large_networks(project: pathlib.Path):
    run(project, "run", "networks.kdl", "--pipeline", "large-networks")
    results = macula.results(project / "networks.kdl", name="large-networks")
    for name in LARGE:
        compare(results, name)


def test_calibrated_scores(everything: macula.Run):
    patches, theirs = everything.folds.test, everything.checked.predictions
    assert np.abs(network(everything.honest).scores(patches.pixels()) - theirs.scores()).max() < 1e-5


def test_scores_of_one_class_per_patch(project: pathlib.Path, labels: macula.Run):
    grades = macula.results(project, name="grades")
    ours, theirs = network(grades.classifier).scores(grades.folds.test.pixels()), grades.scores.predictions.scores()
    assert np.abs(ours - theirs).max() < 1e-5 and np.allclose(ours.sum(1), 1)


def test_an_encoder_gives_its_features(everything: macula.Run):
    encoder = network(everything.encoder)
    features = encoder(encoder.prepare(everything.folds.test.pixels([0, 1])))
    assert features.shape == (2, 16)


def test_networks_are_modules(networks: macula.Run):
    model = networks.mixed
    found = network(model)
    side = {name for name in model.weights() if name.startswith("side.")}
    state = {name for name in found.state_dict() if not name.endswith("num_batches_tracked")}
    assert state == set(model.weights()) - side and side
    pixels = networks.folds.test.pixels([0, 1, 2])
    again = pickle.loads(pickle.dumps(found))
    assert np.array_equal(again.scores(pixels), found.scores(pixels))
    found.train()
    loss = found(found.prepare(pixels)).square().sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in found.parameters())
    assert network(networks.resnet18, "last").state_dict()["layer1.0.conv1.weight"].shape == (64, 64, 3, 3)


def test_what_is_not_understood_is_named(everything: macula.Run, networks: macula.Run):
    model = everything.classifier
    options: dict[str, Any] = {"size": 32, "normalisation": model.normalisation}
    layers = [*model.network["layers"], {"kind": "wavelet", "name": "w1"}]
    with pytest.raises(macula.FormatError, match="`tiny`: layer `wavelet` w1 is not known"):
        Network({"name": "tiny", "layers": layers}, model.weights(), **options)
    weights = {name: tensor for name, tensor in model.weights().items() if name != "c2.weight"}
    with pytest.raises(macula.FormatError, match="no tensor `c2.weight`"):
        Network(model.network, weights, **options)
    with pytest.raises(macula.FormatError, match="no layer for the tensor `more`"):
        Network(model.network, {**model.weights(), "more": np.zeros(1)}, **options)
    with pytest.raises(macula.WrongTypeError, match="reads `cells`"):
        network(networks.mixture).scores(networks.folds.test.pixels([0]))
    with pytest.raises(macula.WrongTypeError, match="surroundings"):
        network(networks.context).scores(networks.folds.test.pixels([0]))
    with pytest.raises(macula.WrongTypeError, match="expected uint8, N x H x W x 3"):
        network(model).scores(np.zeros((1, 3, 32, 32), dtype=np.uint8))
