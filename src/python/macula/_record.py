"""Records of runs in the store: which stages a run had, and how they ended. Read only to explain; results do not depend on them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class StageRecord:
    """How a stage ended in a run.

    Attributes
    ----------
    type
        Type of the stage: `eval`.
    ended
        `computed`, `reused`, `fetched`, `repaired`, `failed`, `not-run`, …
    seconds
        How long it took.
    failure
        Message, if it failed.
    """

    type: str
    ended: str
    seconds: float
    failure: str = ""


@dataclass(frozen=True)
class RunRecord:
    """The last run of a pipeline that is in the store.

    Attributes
    ----------
    id
        Full id: `20261129-074935-189cfc`.
    began
        When it began.
    seconds
        How long it took.
    ended
        `done`, `failed`, `stopped`, …
    macula
        Version of macula.
    stages
        Its stages by name, in the order of the plan.
    """

    id: str
    began: datetime
    seconds: float
    ended: str
    macula: str
    stages: dict[str, StageRecord] = field(repr=False)


def store_of(project: Path) -> Path:
    """Folder of a project's store, as macula finds it."""
    if given := os.environ.get("MACULA_STORE"):
        return Path(given)
    try:
        text = (project / "project.kdl").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return project / ".macula"
    found = re.search(r'^\s*store\s+"([^"\\]+)"', text, re.MULTILINE)
    return project / found[1] if found else project / ".macula"


def last_run(project: Path, pipeline: str) -> RunRecord | None:
    """The last finished run of a pipeline; `None` if the store has none that can be read."""
    runs = store_of(project) / "v1" / "runs"
    try:
        folders = sorted((path for path in runs.iterdir() if path.is_dir()), key=lambda path: path.name, reverse=True)
    except OSError:
        return None
    for folder in folders:
        try:
            # `run.json` begins with these fields, so that the many records of other pipelines are not parsed.
            with (folder / "run.json").open("rb") as file:
                head = file.read(4096).decode("utf-8", errors="replace")
            if f'"pipeline":{json.dumps(pipeline, ensure_ascii=False)}' not in head:
                continue
            record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            return _read(record, folder)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _read(record: dict[str, Any], folder: Path) -> RunRecord:
    failures = _failures(folder / "events.jsonl") if record["ended"] != "done" else {}
    found = record["stages"]
    order = _order(folder / "plan.json")
    names = [name for name in order if name in found] + [name for name in found if name not in set(order)]
    stages = {}
    for name in names:
        one = found[name]
        stages[name] = StageRecord(str(one["kind"]), str(one["became"]), float(one["seconds"]), failures.get(name, ""))
    began = datetime.fromtimestamp(record["began"] / 1e9, tz=timezone.utc).astimezone()
    return RunRecord(record["id"], began, float(record["seconds"]), record["ended"], record["macula"], stages)


def _order(path: Path) -> list[str]:
    try:
        return [str(stage["stage"]) for stage in json.loads(path.read_text(encoding="utf-8"))["stages"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _failures(path: Path) -> dict[str, str]:
    found = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if not line.startswith('{"event":"stage-failed"'):
                    continue
                event = json.loads(line)
                words = f"error[{event.get('code', '')}]: {event.get('text', '')}"
                place = f" ({event['at']})" if event.get("at") else ""
                hint = f"; hint: {event['hint']}" if event.get("hint") else ""
                found[str(event["stage"])] = words + place + hint
    except (OSError, ValueError, KeyError):
        pass
    return found
