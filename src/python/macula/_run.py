"""Results of a pipeline, by the names of its stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ._errors import AmbiguousError, NotFoundError, UnknownNameError, WrongTypeError, listed
from ._html import shortened
from ._html import size as bytes_text
from ._html import table as html_table
from ._open import Outputs, open_stage, ports_of
from ._output import Identity, headline
from ._record import RunRecord, last_run

Kind = TypeVar("Kind")

# Ends of stages whose linked result is that of an earlier run.
_WITHOUT_RESULT = ("failed", "not-run", "stopped", "skipped", "interrupted")


def _identifier(name: str) -> str:
    """A name as an attribute: dashes are underscores."""
    return name.replace("-", "_")


class _Stages(Identity, Mapping[str, Any]):
    """Stages below a prefix, as a mapping and as attributes."""

    def __init__(self, path: Path, prefix: str) -> None:
        self.path = path
        self._prefix = prefix
        self._opened: dict[str, Any] = {}

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that have results."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[str]:
        return iter(self.stages)

    def __len__(self) -> int:
        return len(self.stages)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        try:
            self[name]
        except UnknownNameError:
            return False
        return True

    def _full(self, name: str) -> str:
        return f"{self._prefix}.{name}" if self._prefix else name

    def __getitem__(self, name: str) -> Any:
        if name not in self._opened:
            self._opened[name] = self._find(name)
        return self._opened[name]

    def _find(self, name: str) -> Any:
        stages = self.stages
        if name in stages:
            return open_stage(self.path / self._full(name), self._full(name))
        # An output of a stage: `folds.train`, and in a sweep `folds@seed=8.train`.
        stage, dot, port = name.rpartition(".")
        if dot and stage in stages and port in ports_of(self.path / self._full(stage)):
            return self[stage][port]
        if any(stage.startswith(f"{name}.") for stage in stages):
            return Group(self, name)
        raise UnknownNameError(self._unknown(name))

    def _unknown(self, name: str) -> str:
        points = self._points(name)
        if points:
            return (
                f"`{self._full(name)}` has {len(points)} points: choose one of {listed(list(points.values()))}, "
                f'or all with `points("{self._full(name)}")`'
            )
        return f"{self.path}: unknown stage `{self._full(name)}`; there are {listed(list(self.stages), 60)}"

    def _points(self, stage: str) -> dict[str, str]:
        """Stages of a sweep's points, by what distinguishes them."""
        found = {}
        for name in self.stages:
            before, at, point = name.partition("@")
            if at and before == stage:
                found[point] = name
        return found

    def points(self, stage: str) -> dict[str, Any]:
        """Results of a stage at all points of a sweep.

        Parameters
        ----------
        stage
            Name of the stage, without values: `classifier`.

        Returns
        -------
        dict
            By the values that distinguish the points: `{"lr=1e-3": <model …>, "lr=1e-4": <model …>}`.
        """
        found = self._points(stage)
        if not found:
            if stage in self.stages:
                raise UnknownNameError(f"`{self._full(stage)}` is the same at all points; read it with `run[{stage!r}]`")
            raise UnknownNameError(self._unknown(stage))
        return {point: self[name] for point, name in found.items()}

    def output(self, name: str, kind: type[Kind]) -> Kind:
        """A result of a certain type, for type checkers: `run.output("scores", macula.Scores)`.

        Parameters
        ----------
        name
            Name of a stage, or of one of its outputs: `folds.train`.
        kind
            Its type.

        Raises
        ------
        WrongTypeError
            If it has another type.
        """
        found = self[name]
        if not isinstance(found, kind):
            raise WrongTypeError(f"`{self._full(name)}` is {type(found).__name__}, not {kind.__name__}: {found!r}")
        return found

    def _attributes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in self.stages:
            if "@" not in name.split(".")[0]:
                first = name.split(".")[0]
                found.setdefault(_identifier(first), first)
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        stage = self._attributes().get(name)
        if stage is not None:
            return self[stage]
        for full in self.stages:
            before = full.partition("@")[0]
            if _identifier(before) == name:
                raise UnknownNameError(self._unknown(before))
        raise UnknownNameError(self._unknown(name))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self._attributes() if name.isidentifier())]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.stages)


class Group(_Stages):
    """Stages of a template's instance: `run["folds"]["classifier"]` is `run["folds.classifier"]`."""

    def __init__(self, within: _Stages, name: str) -> None:
        super().__init__(within.path, within._full(name))
        self._names = tuple(stage[len(name) + 1 :] for stage in within.stages if stage.startswith(f"{name}."))

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of its stages that have results."""
        return self._names

    def __repr__(self) -> str:
        return f"<{self._prefix}: {len(self)} stages: {', '.join(self)}>"


class Run(_Stages):
    """Results of a pipeline or a sweep: a mapping from names of stages to their outputs.

    `run["scores"]` and `run.scores` are the same; in attributes, dashes are underscores. Names of this class come first: a stage called
    `path` is `run["path"]`. Results are those of the time at which they are first used; after another run, call `macula.results` again.

    Parameters
    ----------
    path
        `results/PIPELINE`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "")
        self.name = path.resolve().name
        self._names: tuple[str, ...] | None = None

    @property
    def project(self) -> Path:
        """The project folder, which contains `results/`."""
        return self.path.resolve().parent.parent

    @property
    def file(self) -> Path | None:
        """The file of the pipeline; `None` if the folder does not name it."""
        return owner(self.path)

    @cached_property
    def record(self) -> RunRecord | None:
        """The last finished run, from the project's store; `None` if there is no store here."""
        return last_run(self.project, self.name)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that have results, in the order of the pipeline if its last run is known."""
        if self._names is None:
            names = {path.name for path in self.path.iterdir() if (path / ".macula").is_file()}
            order = [name for name in (self.record.stages if self.record else {}) if name in names]
            self._names = (*order, *sorted(names.difference(order)))
        return self._names

    def _unknown(self, name: str) -> str:
        found = self.record.stages.get(name) if self.record else None
        if self.record and found:
            file = self.file.name if self.file else "FILE"
            if found.ended == "failed":
                reason = f": {found.failure}" if found.failure else ""
                return (
                    f"stage `{name}` failed in run {self.record.id}{reason}. It has no results; "
                    f"run `macula run {file}` when the cause is removed"
                )
            if found.ended in _WITHOUT_RESULT:
                return f"stage `{name}` has no results: it was not run in run {self.record.id} ({found.ended}); run `macula run {file}`"
            return (
                f"stage `{name}` has no files below `results/`: macula does not link what it only refers to, such as weights or "
                f"your own files. `macula get {file} {name} FOLDER` copies it, and `macula.load(FOLDER)` reads it"
            )
        return super()._unknown(name)

    def _state(self, name: str) -> str:
        found = self.record.stages.get(name) if self.record else None
        if found is None:
            return ""
        return f"of an earlier run: {found.ended}" if found.ended in _WITHOUT_RESULT else ""

    def __repr__(self) -> str:
        failed = [name for name, stage in (self.record.stages if self.record else {}).items() if stage.ended == "failed"]
        note = f", failed: {', '.join(failed)}" if failed else ""
        return f"<results of {self.name}: {len(self)} stages{note}>"

    def _repr_html_(self) -> str:
        rows = []
        for name in self.stages:
            folder = self.path / name
            found = self[name]
            kind = found.type
            if isinstance(found, Outputs):
                kinds = {found[port].type for port in found}
                each = ", ".join(found if len(kinds) == 1 else (f"{port}: {found[port].type}" for port in found))
                kind = f"{kinds.pop()} ({each})" if len(kinds) == 1 else each
            state = self._state(name)
            words = shortened(headline(folder)) + (f" ({state})" if state else "")
            rows.append((name, kind, words, bytes_text(found.size)))
        failed = [name for name, stage in (self.record.stages if self.record else {}).items() if stage.ended == "failed"]
        for name in failed:
            if name not in self.stages and self.record:
                rows.append((name, "", f"failed: {shortened(self.record.stages[name].failure)}", ""))
        last = f"; last run {self.record.id}, {self.record.ended}" if self.record else ""
        return html_table(["stage", "type", "result", "size"], rows, f"{self.name}: {len(self)} stages{last}")


def owner(folder: Path) -> Path | None:
    """The pipeline file that a folder below `results/` belongs to, if the folder names it."""
    try:
        text = (folder / ".pipeline").read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return folder.resolve().parent.parent / text if text else None


def _is_stage(folder: Path) -> bool:
    return (folder / ".macula").is_file()


def _is_run(folder: Path) -> bool:
    if not folder.is_dir() or _is_stage(folder):
        return False
    return (folder / ".pipeline").is_file() or any(_is_stage(path) for path in folder.iterdir())


def _project(file: Path) -> Path:
    """The project folder of a pipeline file, as macula finds it."""
    above = list(file.resolve().parents)
    for folder in above:
        if (folder / "project.kdl").is_file():
            return folder
    for folder in above:
        if (folder / ".macula").is_dir():
            return folder
    return above[0]


def results(path: str | Path = ".", name: str | None = None) -> Run:
    """Results of a pipeline or a sweep.

    Parameters
    ----------
    path
        `results/PIPELINE`, the file of the pipeline, or a project folder (the one with `results/`).
    name
        Name of the pipeline or sweep, if there are several.

    Returns
    -------
    Run
        Its stages, as a mapping and as attributes.

    Raises
    ------
    NotFoundError
        If there are no results.
    AmbiguousError
        If there are results of several pipelines and `name` is not given; the message lists them.

    Notes
    -----
    Files are read as they are, and nothing is written. Their digests are not verified: `macula store verify` does that.
    """
    given = Path(path).expanduser()
    if given.is_file():
        if given.suffix != ".kdl":
            raise NotFoundError(f"{given}: not a pipeline; pass a `.kdl` file, `results/PIPELINE`, or a project folder")
        folder = _project(given) / "results"
        found = [one for one in _runs(folder) if _belongs(one, given)]
        return _chosen(given, folder, found, name, f"run `macula run {given}` first")
    if not given.exists():
        near = [path.name for path in _runs(given.parent)]
        there = f"; `{given.parent}` has {listed(near)}" if near else ""
        raise NotFoundError(
            f"{given}: no such file or folder{there}. `macula run FILE` writes results to `results/PIPELINE` of its project"
        )
    if _is_stage(given):
        whole, stage = given.resolve().parent, given.resolve().name
        raise NotFoundError(
            f"{given}: this is the result of one stage; use `macula.load({str(given)!r})`, or `macula.results({str(whole)!r})[{stage!r}]`"
        )
    if _is_run(given):
        if name is not None and name != given.resolve().name:
            raise NotFoundError(f"{given}: these are results of `{given.resolve().name}`, not of `{name}`")
        return Run(given)
    folder = given if _runs(given) else given / "results"
    return _chosen(given, folder, _runs(folder), name, "run `macula run FILE` first, or pass `results/PIPELINE`")


def _runs(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _is_run(path))


def _belongs(folder: Path, file: Path) -> bool:
    found = owner(folder)
    return found.resolve() == file.resolve() if found else folder.name == file.stem


def _chosen(given: Path, folder: Path, found: list[Path], name: str | None, remedy: str) -> Run:
    names = [path.name for path in found]
    if name is not None:
        if name not in names:
            there = f"; there are results of {listed(names)}" if names else ""
            raise NotFoundError(f"{given}: no results of `{name}` in `{folder}`{there}")
        return Run(folder / name)
    if not found:
        raise NotFoundError(f"{given}: no results in `{folder}`; {remedy}")
    if len(found) > 1:
        raise AmbiguousError(
            f"{given}: results of {len(found)} pipelines: {listed(names)}; choose one with `name=`, such as "
            f"`macula.results({str(given)!r}, name={names[0]!r})`"
        )
    return Run(found[0])
