"""Results that the tests read: `macula run` makes them once, in a temporary folder. MACULA names the binary."""

import os
import pathlib
import shutil
import subprocess

import macula
import pytest

HERE = pathlib.Path(__file__).parent
MACULA = os.environ.get("MACULA", "macula")
if os.sep in MACULA:
    # It runs in other folders.
    MACULA = str(pathlib.Path(MACULA).resolve())


def run(project: pathlib.Path, *words: str, code: int = 0) -> None:
    """Runs macula in a project."""
    done = subprocess.run([MACULA, *words], cwd=project, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A project with results of `everything.kdl` and its sweep."""
    project = tmp_path_factory.mktemp("project")
    for file in HERE.glob("*.kdl"):
        shutil.copy(file, project)
    (project / "project.kdl").write_text("")
    run(project, "run", "everything.kdl")
    run(project, "run", "everything.kdl", "--sweep", "rates")
    return project


@pytest.fixture(scope="session")
def everything(project: pathlib.Path) -> macula.Run:
    """All types of outputs."""
    return macula.results(project / "results" / "everything")


@pytest.fixture(scope="session")
def labels(project: pathlib.Path, everything: macula.Run) -> macula.Run:
    """Patches with unknown labels, and the results of `grades` next to them."""
    for folder in ("photographs", "ma", "ex"):
        (project / "data" / folder).mkdir(parents=True)
    rows = ["file,grade"]
    for at, name in enumerate(everything.eyes):
        shutil.copy(everything.eyes.photograph(name), project / "data" / "photographs" / f"{name}.png")
        for label, folder in (("MA", "ma"), ("EX", "ex")):
            mask = everything.eyes.mask(name, label)
            # A third of the photographs is not annotated with the second class.
            if mask is not None and (at % 3 or label == "MA"):
                shutil.copy(mask, project / "data" / folder / f"{name}.png")
        rows.append(f"photographs/{name}.png,{at % 3}")
    (project / "data" / "grades.csv").write_text("\n".join(rows) + "\n")
    run(project, "run", "labels.kdl", "--pipeline", "labels")
    run(project, "run", "labels.kdl", "--pipeline", "grades")
    return macula.results(project / "labels.kdl", name="labels")


@pytest.fixture(scope="session")
def failing(project: pathlib.Path) -> macula.Run:
    """A run in which a stage failed."""
    run(project, "run", "failing.kdl", "--keep-going", code=1)
    return macula.results(project / "failing.kdl")
