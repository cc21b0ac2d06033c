"""Finding results, and stages by their names."""

import pathlib
import shutil

import macula
import pytest
from conftest import run


def test_a_project_a_file_and_a_folder_name_the_same_results(project: pathlib.Path, everything: macula.Run):
    folder = project / "results" / "everything"
    for path in (folder, str(folder)):
        assert macula.results(path).path == folder
    assert macula.results(project, name="everything").path == folder
    assert macula.results(project / "results", name="everything").path == folder
    assert macula.results(project / "everything.kdl", name="everything").path == folder
    assert everything.file == project / "everything.kdl"
    assert everything.record.ended == "done" and everything.record.stages["scores"].type == "eval"


def test_choices_are_listed(project: pathlib.Path):
    with pytest.raises(macula.AmbiguousError, match="2 pipelines: `everything`, `rates`.*name="):
        macula.results(project / "everything.kdl")
    with pytest.raises(macula.NotFoundError, match="no results of `nothing`.*`everything`"):
        macula.results(project, name="nothing")


def test_a_folder_without_results_says_what_to_do(project: pathlib.Path, tmp_path: pathlib.Path):
    with pytest.raises(macula.NotFoundError, match="no results in .*macula run FILE"):
        macula.results(tmp_path)
    (tmp_path / "new.kdl").write_text("pipeline new { synthetic eyes }")
    with pytest.raises(macula.NotFoundError, match=r"macula run .*new\.kdl"):
        macula.results(tmp_path / "new.kdl")
    with pytest.raises(macula.NotFoundError, match="no such file or folder.*`everything`"):
        macula.results(project / "results" / "everythin")
    with pytest.raises(macula.NotFoundError, match=r"one stage; use `macula\.load"):
        macula.results(project / "results" / "everything" / "scores")
    with pytest.raises(FileNotFoundError, match="not a pipeline"):
        macula.results(project / "results" / "everything" / "scores" / "scores.json")


def test_stages_are_in_the_order_of_the_pipeline(everything: macula.Run):
    assert everything.stages[:5] == ("eyes", "even", "patches", "visible", "folds")
    assert len(everything) == len(everything.stages) == len(list(everything))
    assert "scores" in everything and "folds.train" in everything and "nothing" not in everything


def test_every_stage_has_its_type(everything: macula.Run):
    types = {
        macula.Photographs: ["eyes", "even", "of-eyes.train"],
        macula.Patches: ["patches", "visible.kept", "visible.dropped", "folds.test", "balanced", "joined", "relabelled"],
        macula.Views: ["views", "first.views"],
        macula.Weights: ["encoder"],
        macula.Model: ["classifier", "honest", "first.classifier"],
        macula.Thresholds: ["cuts", "second.cuts"],
        macula.Scores: ["scores", "checked", "pooled", "first.scores"],
        macula.Spread: ["table"],
        macula.Slices: ["sliced"],
        macula.Suspects: ["doubtful"],
        macula.Froc: ["detected"],
        macula.Predictions: ["guesses", "both"],
        macula.HeatMaps: ["maps"],
        macula.Lesions: ["spots"],
        macula.Duplicates: ["twins"],
        macula.Embeddings: ["described"],
        macula.Files: ["pictures"],
        macula.Report: ["page"],
    }
    for kind, names in types.items():
        for name in names:
            assert type(everything[name]) is kind, name
            assert everything.output(name, kind) is everything[name]
    with pytest.raises(macula.WrongTypeError, match="`scores` is Scores, not Patches"):
        everything.output("scores", macula.Patches)


def test_attributes_have_underscores(everything: macula.Run):
    assert everything.of_eyes.train is everything["of-eyes.train"]
    assert everything.first.classifier.name == "first.classifier"
    assert everything["first"]["sides"]["test"].name == "first.sides.test"
    assert isinstance(everything.first, macula.Group) and "scores" in everything.first
    assert {"of_eyes", "first", "scores"} <= set(dir(everything))
    with pytest.raises(AttributeError, match="unknown stage `score`; there are .*`scores`"):
        _ = everything.score
    with pytest.raises(KeyError, match="unknown stage `first.score`"):
        _ = everything.first["score"]
    with pytest.raises(AttributeError, match="several outputs.*`visible.kept`"):
        everything.visible.table()
    assert not hasattr(everything, "nothing")


def test_points_of_a_sweep(project: pathlib.Path):
    swept = macula.results(project, name="rates")
    points = swept.points("classifier")
    assert set(points) == {"lr=1e-3", "lr=1e-4"}
    assert points["lr=1e-3"] is swept["classifier@lr=1e-3"]
    with pytest.raises(KeyError, match=r"2 points: choose one of `classifier@lr=1e-3`, .*points\(\"classifier\"\)"):
        _ = swept["classifier"]
    with pytest.raises(AttributeError, match="2 points"):
        _ = swept.classifier
    with pytest.raises(KeyError, match="same at all points"):
        swept.points("eyes")
    assert isinstance(swept.folds.train, macula.Patches)


def test_a_stage_that_failed_says_why(failing: macula.Run):
    assert "failed: other" in repr(failing)
    with pytest.raises(KeyError, match=r"`other` failed in run .*error\[missing-folder\].*nowhere.*macula run failing.kdl"):
        _ = failing["other"]
    with pytest.raises(AttributeError, match="`more` has no results: it was not run"):
        _ = failing.more
    assert "failed: error[missing-folder]" in failing._repr_html_()


def test_a_result_of_an_earlier_run_is_marked(project: pathlib.Path, labels: macula.Run):
    text = """
pipeline later seed=1 {
    folder clinic {
        root "data"
        photographs "photographs/*.png"
        masks MA "ma/*.png"
    }
    extract patches { from clinic; size 64 }
}
"""
    (project / "later.kdl").write_text(text)
    run(project, "run", "later.kdl")
    (project / "later.kdl").write_text(text.replace('"data"', '"gone"'))
    run(project, "run", "later.kdl", code=1)
    later = macula.results(project / "later.kdl")
    assert len(later.patches) > 0
    assert "(of an earlier run: not-run)" in later._repr_html_() and "failed: clinic" in repr(later)


def test_a_source_without_links_says_how_to_copy_it(labels: macula.Run):
    with pytest.raises(KeyError, match=r"macula get labels\.kdl clinic FOLDER"):
        _ = labels["clinic"]


def test_copies_without_markers_are_read(project: pathlib.Path, tmp_path: pathlib.Path, everything: macula.Run):
    for name in ("visible", "scores"):
        run(project, "get", "everything.kdl", name, str(tmp_path / name), "--pipeline", "everything")
    assert macula.load(tmp_path / "visible")["kept"].labels().shape == everything["visible.kept"].labels().shape
    assert macula.load(tmp_path / "scores").metrics == everything.scores.metrics
    moved = tmp_path / "moved"
    shutil.copytree(everything.path, moved)
    assert set(macula.results(moved).stages) == set(everything.stages)
    assert macula.results(moved).record is None


def test_a_folder_that_a_run_is_changing_is_not_read(tmp_path: pathlib.Path, everything: macula.Run):
    moved = tmp_path / "moved"
    shutil.copytree(everything.path / "scores", moved / "scores")
    marker = moved / "scores" / ".macula"
    text = marker.read_text()
    marker.unlink()
    marker.write_text("being changed\n" + text)
    with pytest.raises(macula.FormatError, match="a run is changing this folder"):
        _ = macula.results(moved)["scores"]


def test_tables_in_jupyter_escape_names(labels: macula.Run, everything: macula.Run):
    page = labels._repr_html_()
    assert "<b>" not in page and "labels" in page
    assert "hard &lt;b&gt;" in labels.patches._repr_html_() and "<b>" not in labels.patches._repr_html_()
    table = everything._repr_html_()
    for name in everything.stages:
        assert f">{name}</td>" in table
    assert "mean AP" in table and "MiB" in table and "patches (dropped, kept)" in table
    for name in everything:
        found = everything[name]
        assert len(repr(found)) < 300
        for one in found.values() if isinstance(found, macula.Outputs) else [found]:
            assert one._repr_html_().startswith(("<div>", "<iframe"))


def test_nothing_is_written(project: pathlib.Path, everything: macula.Run):
    def state() -> dict[pathlib.Path, tuple[int, int]]:
        found = (path for path in project.rglob("*") if path.is_file())
        return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in found}

    before = state()
    found = macula.results(project, name="everything")
    found._repr_html_()
    found.visible.kept.pixels(slice(0, 40))
    found.scores.table()
    assert state() == before
