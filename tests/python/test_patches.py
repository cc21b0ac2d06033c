"""Patch sets, compared with what pandas and safetensors read."""

import pathlib
import pickle
import shutil
import subprocess
import sys

import macula
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

CHECKS = pathlib.Path(__file__).parent.parent / "checks"


@pytest.fixture
def patches(everything: macula.Run) -> macula.Patches:
    return everything["visible.kept"]


def read(patches: macula.Patches) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Table, pixels and mask bits of all patches, with their margins, by other packages."""
    parts = sorted((patches.path / "parts").glob("*.parquet"))
    table = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
    shards = {name: load_file(patches.path / "shards" / f"{name}.safetensors") for name in table.photograph.unique()}
    rows = list(zip(table.photograph, table["index"], strict=True))
    return table, *(np.stack([shards[name][tensor][row] for name, row in rows]) for tensor in ("pixels", "masks"))


@pytest.mark.parametrize("name", ["visible.kept", "folds.test", "views", "joined", "relabelled"])
def test_pixels_masks_and_labels_agree_with_other_readers(everything: macula.Run, name: str):
    patches = everything[name]
    table, pixels, bits = read(patches)
    assert len(patches) == len(table) > 0
    side = patches.patch_size + 2 * patches.margin
    assert np.array_equal(patches.pixels(margin=True), pixels)
    inner = slice(patches.margin, -patches.margin)
    assert np.array_equal(patches.pixels(), pixels[:, inner, inner])
    masks = np.unpackbits(bits, axis=2)[:, :, : side * side].reshape(len(table), -1, side, side).astype(bool)
    assert np.array_equal(patches.masks(margin=True), masks)
    assert np.array_equal(patches.masks(), masks[:, :, inner, inner])
    labels = table[list(patches.classes)].to_numpy(dtype=np.float32)
    assert np.array_equal(patches.labels(), labels, equal_nan=True)
    # The labels are those of the masks, by the rule of the set: at least one pixel.
    assert np.array_equal(patches.masks().any(axis=(2, 3)), labels == 1)


def test_the_independent_check_reads_the_same_set(patches: macula.Patches):
    done = subprocess.run([sys.executable, CHECKS / "patch_set.py", patches.path], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{len(patches)} patches of {len(patches.photographs)} photographs")


def test_numbers_slices_lists_and_masks_choose_patches(patches: macula.Patches):
    every = patches.pixels()
    assert every.shape == (len(patches), 32, 32, 3) and every.dtype == np.uint8
    assert np.array_equal(patches.pixels(5), every[5]) and np.array_equal(patches.pixels(np.int32(-1)), every[-1])
    assert patches.pixels(5).shape == (32, 32, 3) and patches.pixels(5, margin=True).shape == (40, 40, 3)
    assert np.array_equal(patches.pixels(slice(3, 30, 7)), every[3:30:7])
    assert np.array_equal(patches.pixels([9, 2, 2]), every[[9, 2, 2]])
    lesion = patches.labels()[:, 0] == 1
    assert np.array_equal(patches.pixels(lesion), every[lesion])
    assert patches.pixels([]).shape == (0, 32, 32, 3)
    assert patches.masks(5).shape == (4, 32, 32) and patches.masks([1, 2]).shape == (2, 4, 32, 32)
    with pytest.raises(IndexError, match="numbers are 0 to"):
        patches.pixels(len(patches))
    some = patches.select(lesion)
    assert len(some) == lesion.sum() and np.array_equal(some.pixels(), every[lesion])
    assert np.array_equal(some[2:4].pixels(), every[lesion][2:4])
    assert some.table().MA.all() and len(some.table()) == len(some)


def test_pixels_are_read_lazily_and_only(patches: macula.Patches):
    one = patches.pixels(0)
    assert not one.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        one[0, 0, 0] = 1
    fresh = macula.load(patches.path)
    assert len(fresh._shards) == 0
    fresh.pixels(0)
    assert len(fresh._shards) == 1


def test_many_shards_use_few_files(everything: macula.Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("macula._patches._MAPPED", 2)
    patches = macula.load(everything["visible.kept"].path)
    first = patches.pixels(0)
    before = first.copy()
    patches.pixels()
    assert len(patches._shards) == 2
    assert np.array_equal(first, before)


def test_a_patch_knows_its_place(patches: macula.Patches):
    table = patches.table()
    for patch, row in zip(patches, table.itertuples(), strict=True):
        assert (patch.photograph, patch.patient, patch.x, patch.y) == (row.photograph, row.patient, row.x, row.y)
        assert list(patch.labels.values()) == [row.MA, row.HE, row.EX, row.SE]
    assert patches[3].number == 3 and np.array_equal(patches[3].pixels, patches.pixels(3))


def test_tables_in_pandas_polars_and_arrow(patches: macula.Patches):
    pandas, polars, arrow = patches.table(), patches.polars(), patches.arrow()
    assert list(pandas.columns) == polars.columns == arrow.column_names
    assert "histogram" not in pandas.columns and "histogram" in patches.columns
    assert pandas.MA.dtype == "boolean" and str(polars["MA"].dtype) == "Boolean"
    assert pandas.x.dtype == np.uint32
    assert pandas.MA.sum() == polars["MA"].sum() == (patches.labels()[:, 0] == 1).sum()
    assert patches.arrow(["x", "histogram"]).column("histogram")[0].as_py().__len__() == 256
    with pytest.raises(KeyError, match=r"unknown column `X`; it has .*`x`"):
        patches.arrow(["X"])
    assert np.array_equal(patches.column("x"), pandas.x)


def test_unknown_labels_are_missing_and_not_absent(project: pathlib.Path, labels: macula.Run):
    patches = labels.patches
    table = patches.table()
    assert patches.classes == ("MA", "hard <b>")
    values = table["hard <b>"]
    unknown = values.isna().to_numpy()
    assert 0 < unknown.sum() < len(table)
    assert set(values.dropna()) == {True, False}
    assert np.array_equal(np.isnan(patches.labels()[:, 1]), unknown)
    assert np.array_equal(patches.polars()["hard <b>"].is_null().to_numpy(), unknown)
    assert patches[int(unknown.argmax())].labels["hard <b>"] is None
    assert table.loc[unknown, "hard <b>_pixels"].isna().all()
    # Photographs without a mask of the class, and no others.
    annotated = {path.stem for path in (project / "data" / "ex").iterdir()}
    assert set(table.photograph[unknown]) == set(patches.photographs) - annotated
    assert patches.patch_size == 48 and patches.margin == 0 and patches.pixels(0).shape == (48, 48, 3)


def test_resampled_patches_have_copies(everything: macula.Run):
    balanced = everything.balanced
    assert balanced.resampled and not everything.folds.train.resampled
    assert balanced.copies.sum() > len(balanced) == len(balanced.table())
    assert (balanced.copies == balanced.table().copies).all()


def test_one_class_per_patch(project: pathlib.Path, labels: macula.Run):
    grades = macula.results(project, name="grades")
    assert grades.whole.scheme == "grades" and grades.whole.classes == ("none", "some", "many")
    assert (grades.whole.labels().sum(1) == 1).all()


def test_joined_embeddings(everything: macula.Run):
    joined = everything.joined
    assert joined.embeddings == ("whole",)
    for name in joined.photographs[:3]:
        assert np.array_equal(joined.embedding("whole", name), everything.described[name])
    with pytest.raises(KeyError, match="unknown embedding `part`; there are `whole`"):
        joined.embedding("part", "a")


def test_masks_that_were_not_kept(project: pathlib.Path, labels: macula.Run):
    whole = macula.results(project, name="grades").whole
    with pytest.raises(macula.NotKeptError, match="masks #true"):
        whole.masks(0)


def test_pickles_are_small_and_whole(patches: macula.Patches):
    patches.pixels(0)
    bytes = pickle.dumps(patches)
    assert len(bytes) < 200_000
    again = pickle.loads(bytes)
    assert np.array_equal(again.pixels([0, 7]), patches.pixels([0, 7]))


def copied(patches: macula.Patches, into: pathlib.Path) -> pathlib.Path:
    shutil.copytree(patches.path, into, copy_function=shutil.copyfile)
    return into


def test_damaged_files_are_named(patches: macula.Patches, tmp_path: pathlib.Path):
    path = copied(patches, tmp_path / "set")
    shard = sorted((path / "shards").iterdir())[0]
    whole = shard.read_bytes()
    for kept in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        shard.write_bytes(whole[:kept])
        with pytest.raises(macula.FormatError, match=r"synthetic_00001\.safetensors.*truncated.*macula store verify"):
            macula.load(path).pixels(0)
    shard.write_bytes(whole)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match="file is missing; run `macula run`"):
        macula.load(path).pixels(0)
    part = sorted((path / "parts").iterdir())[0]
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(macula.FormatError, match=r"synthetic_00001\.parquet.*not a Parquet file"):
        macula.load(path).table()
    (path / "set.json").write_text('{"classes": ["MA"], "margin": 0}')
    with pytest.raises(macula.FormatError, match="has no `size`.*version of macula"):
        macula.load(path)
    (path / "set.json").write_text('{"classes": ["MA"')
    with pytest.raises(macula.FormatError, match="not valid JSON"):
        macula.load(path)


def test_a_shard_of_another_size_is_refused(everything: macula.Run, labels: macula.Run, tmp_path: pathlib.Path):
    path = copied(everything["visible.kept"], tmp_path / "set")
    name = "synthetic_00001.safetensors"
    shutil.copyfile(labels.patches.path / "shards" / name, path / "shards" / name)
    with pytest.raises(macula.FormatError, match="does not match `set.json`"):
        macula.load(path).pixels(0)
