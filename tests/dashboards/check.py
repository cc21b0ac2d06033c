"""Reads what macula wrote for other dashboards with the dashboards' own readers, and compares it with the run's events.

    check.py PROJECT TENSORBOARD MLFLOW WANDB

PROJECT is the folder of a project whose store holds the runs; the other three are the folders of `--tensorboard`, `--mlflow` and `--wandb`.
"""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"

project, tensorboard, mlflow_folder, wandb = map(Path, sys.argv[1:5])
SETS = ("training", "subset", "valid")


def tag(metric):
    first, _, rest = metric.partition(".")
    return f"{rest.replace('.', '/', 1)}/{first}" if first in SETS else metric.replace(".", "/", 1)


def final_tag(stage, metric):
    name = stage.partition("@")[0].rpartition(".")[2]
    return f"{name}/{metric.replace('.', '/', 1)}"


def same(one, other):
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-30)


def recorded():
    """Metrics of each epoch and of each result, by stage, from the events of all runs."""
    epochs, results = {}, {}
    for path in sorted(project.glob(".macula/v1/runs/*/events.jsonl")):
        for line in path.read_text().splitlines():
            event = json.loads(line)
            if event["event"] == "metrics":
                values = {name: value for name, value in event["values"].items() if value is not None}
                epochs.setdefault(event["stage"], {})[event["epoch"]] = values
            if event["event"] == "stage-ended" and event["summary"].get("figures"):
                results[event["stage"]] = event["summary"]["figures"]
    return epochs, results


def check_tensorboard(epochs, results):
    from tensorboard.backend.event_processing import event_file_loader
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import metadata

    # Every record of every file, with its checksums.
    count = 0
    for path in tensorboard.rglob("*tfevents*"):
        events = list(event_file_loader.EventFileLoader(str(path)).Load())
        assert events[0].file_version == "brain.Event:2", path
        count += len(events)
    many = EventMultiplexer(size_guidance={"scalars": 0, "tensors": 0}).AddRunsFromDirectory(str(tensorboard))
    many.Reload()
    runs = {Path(run).name: many.GetAccumulator(run) for run in many.Runs()}
    assert set(runs) == set(epochs) | set(results), (set(runs), set(epochs), set(results))
    series = 0
    for stage, accumulator in runs.items():
        found = {}
        for name in accumulator.Tags()["tensors"]:
            found[name] = {event.step: float(event.tensor_proto.float_val[0]) for event in accumulator.Tensors(name) if event.tensor_proto.float_val}
        for name in accumulator.Tags()["scalars"]:
            found[name] = {event.step: event.value for event in accumulator.Scalars(name)}
        expected = {}
        for epoch, values in epochs.get(stage, {}).items():
            for metric, value in values.items():
                expected.setdefault(tag(metric), {})[epoch] = value
        last = max(epochs.get(stage, {0: 0}))
        for metric, value in results.get(stage, {}).items():
            expected[final_tag(stage, metric)] = {last: value}
        found = {name: steps for name, steps in found.items() if not name.startswith("_hparams_")}
        assert set(found) == set(expected), (stage, set(found) ^ set(expected))
        for name, steps in expected.items():
            assert set(found[name]) == set(steps), (stage, name, found[name], steps)
            assert all(same(found[name][step], value) for step, value in steps.items()), (stage, name)
        series += len(found)
        plugin = accumulator.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data
        start = metadata.parse_session_start_info_plugin_data(plugin.content)
        assert start.hparams, stage
        if "@lr=" in stage:
            rate = stage.split("@lr=")[1]
            assert dict(start.hparams)["classifier.optimizer.lr"].number_value == float(rate), start
            assert start.group_name == f"lr={rate}", start
        plugin = accumulator.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data
        assert metadata.parse_session_end_info_plugin_data(plugin.content).status == 1
    print(f"TensorBoard: {len(runs)} runs, {series} series, {count} events agree with the run's events")


def check_mlflow(epochs, results):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(mlflow_folder.resolve().as_uri())
    experiments = [one for one in client.search_experiments() if one.name != "Default"]
    runs = [run for one in experiments for run in client.search_runs([one.experiment_id])]
    assert {run.data.tags["macula.stage"] for run in runs} == set(epochs) | set(results)
    assert len(runs) == len({run.data.tags["macula.key"] for run in runs}), "no run twice"
    series = 0
    for run in runs:
        stage = run.data.tags["macula.stage"]
        assert (run.info.run_name, run.info.status) == (stage, "FINISHED")
        assert run.info.end_time >= run.info.start_time
        for epoch, values in epochs.get(stage, {}).items():
            for metric, value in values.items():
                history = {one.step: one.value for one in client.get_metric_history(run.info.run_id, metric)}
                expected = {number for number, values in epochs[stage].items() if metric in values}
                assert history[epoch] == value and set(history) == expected, (stage, metric)
                series += 1
        for metric, value in results.get(stage, {}).items():
            assert run.data.metrics[metric] == value, (stage, metric)
        if "@lr=" in stage:
            assert float(run.data.params["classifier.optimizer.lr"]) == float(stage.split("@lr=")[1])
        assert run.data.params["seed"] == "7"
        assert client.list_artifacts(run.info.run_id), stage
    print(f"MLflow: {len(experiments)} experiment, {len(runs)} runs, {series} values agree with the run's events")


def check_wandb(epochs, results):
    seen = set()
    for path in wandb.glob("offline-run-*/run-*.wandb"):
        command = [Path(sys.executable).parent / "wandb", "leet", "inspect", "--json", path]
        said = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        records = [json.loads(line) for line in said.stdout.splitlines()]
        assert [record["num"] for record in records] == list(range(1, len(records) + 1)), path
        kinds = [record["type"] for record in records]
        assert kinds[:2] == ["header", "run"] and kinds[-2:] == ["summary", "exit"], kinds
        assert set(kinds[2:-2]) <= {"history"}, kinds
        run = records[1]["run"]
        stage = run["display_name"]
        seen.add(stage)
        history = {}
        for record in records[2:-2]:
            values = record["history"]["item"]
            assert values.pop("_timestamp") > 1.6e9
            history[values.pop("_step")] = values
        expected = {
            epoch: {tag(name): value for name, value in values.items()}
            for epoch, values in epochs.get(stage, {}).items()
        }
        assert history == expected, stage
        summary = records[-2]["summary"]["update"]
        figures = results.get(stage, {})
        assert summary == {final_tag(stage, name): value for name, value in figures.items()}
        # Left out if it is 0.
        assert records[-1]["exit"].get("exit_code", 0) == 0
        assert path.name == f"run-{run['run_id']}.wandb" and path.parent.name.endswith(run["run_id"])
    assert seen == set(epochs) | set(results)
    print(f"W&B: {len(seen)} offline runs agree with the run's events")


recorded_epochs, recorded_results = recorded()
check_tensorboard(recorded_epochs, recorded_results)
check_mlflow(recorded_epochs, recorded_results)
check_wandb(recorded_epochs, recorded_results)
