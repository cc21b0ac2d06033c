//! Trainings that are interrupted, resumed, repeated and cached, in all three formats.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use tempfile::TempDir;

use super::mlflow::MlflowStore;
use super::tensorboard::proto::{LoggedContent, LoggedEvent};
use super::tensorboard::{TensorBoardLogs, records};
use super::wandb::proto::{WandbContent, WandbRecord};
use super::wandb::{WandbRuns, log};
use super::{ParamText, TimedEpoch, TrackedEnd, TrackedOutcome, TrackedStage, Tracker};
use crate::base::Digest;
use crate::learn::epochs::RecordedEpoch;

fn stage(pipeline: &str, name: &str, key: &str) -> TrackedStage {
    let params = BTreeMap::from([
        ("classifier.epochs".to_owned(), ParamText::Number(3.0, "3".to_owned())),
        ("classifier.../../x".to_owned(), ParamText::Text("a: \"b\"\n- c".to_owned())),
    ]);
    TrackedStage {
        name: name.to_owned(),
        stage_type: "train".to_owned(),
        pipeline: pipeline.to_owned(),
        key: Digest::of(key.as_bytes()),
        run: "20261129-074935-189cfc".to_owned(),
        varied: params.clone(),
        params,
        point: None,
    }
}

fn epoch(number: u64) -> TimedEpoch {
    let values = [("valid.loss", Some(1.0 / number as f64)), ("valid.f1.MA", Some(0.5)), ("valid.f1.SE", None)];
    let values = values.map(|(name, value)| (name.to_owned(), value)).into();
    TimedEpoch { time: 1_700_000_000_000 + number * 1000, recorded: RecordedEpoch { epoch: number, values } }
}

fn end(outcome: TrackedOutcome, epochs: &[u64]) -> TrackedEnd {
    TrackedEnd {
        outcome,
        time: 1_700_000_009_000,
        epochs: epochs.iter().map(|number| epoch(*number)).collect(),
        metrics: BTreeMap::from([("average-precision.MA".to_owned(), 0.75), ("odd".to_owned(), f64::NAN)]),
        files: vec![("model.json".to_owned(), b"{}".to_vec()), ("../../out.json".to_owned(), b"{}".to_vec())],
    }
}

/// A new process's tracker on a folder.
type Open = fn(&Path, &str) -> Box<dyn Tracker>;

const FORMATS: [Open; 3] = [
    |folder, pipeline| Box::new(TensorBoardLogs::open(folder, pipeline).expect("opened")),
    |folder, pipeline| Box::new(MlflowStore::open(folder, pipeline, 1_700_000_000_000).expect("opened")),
    |folder, pipeline| Box::new(WandbRuns::open(folder, pipeline).expect("opened")),
];

/// A training of a process: the epochs that it reports, and its end, if it is not killed.
fn train(open: Open, folder: &Path, stage: &TrackedStage, live: &[u64], ended: Option<TrackedEnd>) {
    let mut tracker = open(folder, &stage.pipeline);
    tracker.begin(stage, 1_700_000_000_000).expect("begun");
    for number in live {
        tracker.epoch(stage, &epoch(*number)).expect("written");
    }
    if let Some(end) = ended {
        tracker.end(stage, &end).expect("ended");
    }
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                waiting.push(entry.path());
            } else {
                found.insert(entry.path(), fs::read(entry.path()).expect("a file"));
            }
        }
    }
    found
}

/// Steps of `valid.loss` in the order of the files, whatever the format.
fn steps(folder: &Path) -> Vec<i64> {
    let mut steps = Vec::new();
    for (path, bytes) in files(folder) {
        let name = path.to_string_lossy().into_owned();
        if name.contains("tfevents") {
            for record in records::whole(&bytes) {
                let event = LoggedEvent::decode(record).expect("an event");
                let Some(LoggedContent::Summary(summary)) = event.content else { continue };
                steps.extend(summary.values.iter().filter(|value| value.tag == "loss/valid").map(|_| event.step));
            }
        } else if name.ends_with("metrics/valid.loss") {
            let text = String::from_utf8(bytes).expect("text");
            steps
                .extend(text.lines().map(|line| line.rsplit(' ').next().expect("a step").parse::<i64>().expect("one")));
        } else if path.extension().is_some_and(|ending| ending == "wandb") {
            for record in log::whole(&bytes) {
                let record = WandbRecord::decode(record.as_slice()).expect("a record");
                let Some(WandbContent::History(history)) = record.content else { continue };
                steps.extend(history.step.map(|step| step.number));
            }
        }
    }
    steps
}

#[test]
fn every_epoch_is_written_once_whatever_happens_to_the_training() {
    let finished = |epochs: &[u64]| Some(end(TrackedOutcome::Finished, epochs));
    for (number, open) in FORMATS.into_iter().enumerate() {
        let stage = stage("p", "classifier@lr=1e-4", "k");
        let case = |what: &str, parts: &[(&[u64], Option<TrackedEnd>)]| {
            let folder = TempDir::new().expect("a folder");
            for (live, ended) in parts {
                train(open, folder.path(), &stage, live, ended.clone());
            }
            assert_eq!(steps(folder.path()), [1, 2, 3], "format {number}, {what}");
            let before = files(folder.path());
            // Cached from now on.
            train(open, folder.path(), &stage, &[], finished(&[1, 2, 3]));
            assert_eq!(files(folder.path()), before, "format {number}, {what}");
        };
        case("at once", &[(&[1, 2, 3], finished(&[1, 2, 3]))]);
        case("cached", &[(&[], finished(&[1, 2, 3]))]);
        case("stopped", &[(&[1, 2], Some(end(TrackedOutcome::Stopped, &[]))), (&[3], finished(&[1, 2, 3]))]);
        case("killed, and an epoch again", &[(&[1, 2], None), (&[2, 3], finished(&[1, 2, 3]))]);
        case("first epochs were not recorded", &[(&[3], finished(&[1, 2, 3]))]);
        case("failed", &[(&[1], Some(end(TrackedOutcome::Failed, &[]))), (&[2, 3], finished(&[1, 2, 3]))]);
    }
}

#[test]
fn a_torn_end_of_a_file_is_continued() {
    for (number, open) in FORMATS.into_iter().enumerate() {
        let (folder, stage) = (TempDir::new().expect("a folder"), stage("p", "classifier", "k"));
        train(open, folder.path(), &stage, &[1, 2], None);
        for (path, bytes) in files(folder.path()) {
            let name = path.to_string_lossy().into_owned();
            if ["tfevents", "metrics/", ".wandb"].iter().any(|part| name.contains(part)) {
                fs::write(&path, &bytes[..bytes.len() - 3]).expect("written");
            }
        }
        let whole = Some(end(TrackedOutcome::Finished, &[1, 2, 3]));
        train(open, folder.path(), &stage, &[3], whole);
        assert_eq!(steps(folder.path()), [1, 2, 3], "format {number}");
    }
}

#[test]
fn a_training_with_another_key_is_another_one() {
    for (number, open) in FORMATS.into_iter().enumerate() {
        let folder = TempDir::new().expect("a folder");
        for key in ["k", "l", "k"] {
            train(open, folder.path(), &stage("p", "classifier", key), &[1], Some(end(TrackedOutcome::Finished, &[1])));
        }
        assert_eq!(steps(folder.path()), [1, 1], "format {number}");
    }
}

#[test]
fn names_of_users_stay_in_the_folder() {
    for open in FORMATS {
        let outer = TempDir::new().expect("a folder");
        let folder = outer.path().join("a/b/c");
        let odd = stage("../../pipe\nline: \"x\"", "../../../stage/x@a=\u{1b}[31m", "k");
        train(open, &folder, &odd, &[1], Some(end(TrackedOutcome::Finished, &[1])));
        for path in files(outer.path()).into_keys() {
            assert!(path.starts_with(&folder), "{}", path.display());
            assert!(!path.to_string_lossy().contains(['\n', '\u{1b}']), "{path:?}");
        }
        assert_eq!(steps(&folder), [1]);
    }
}

#[test]
fn mlflow_knows_how_a_run_ended_and_keeps_what_was_edited_there() {
    let (folder, stage) = (TempDir::new().expect("a folder"), stage("p", "classifier", "k"));
    let open = FORMATS[1];
    let meta = || {
        let found = files(folder.path()).into_iter().find(|(path, _)| {
            path.ends_with("meta.yaml") && path.parent().is_some_and(|run| run.join("metrics").is_dir())
        });
        let (path, text) = found.expect("a run");
        (path, String::from_utf8(text).expect("text"))
    };
    train(open, folder.path(), &stage, &[1], Some(end(TrackedOutcome::Stopped, &[])));
    assert!(meta().1.contains("status: 5\n") && meta().1.contains("end_time: 1700000009000\n"), "{}", meta().1);
    let (path, text) = meta();
    fs::write(&path, text.replace("run_name: \"classifier\"", "run_name: mine")).expect("written");
    train(open, folder.path(), &stage, &[2], None);
    assert!(meta().1.contains("status: 1\n") && meta().1.contains("end_time: null\n"), "{}", meta().1);
    train(open, folder.path(), &stage, &[], Some(end(TrackedOutcome::Finished, &[1, 2])));
    assert!(meta().1.contains("status: 3\n") && meta().1.contains("run_name: mine\n"), "{}", meta().1);
    // A run that was deleted there is left alone.
    let (path, text) = meta();
    fs::write(&path, text.replace("lifecycle_stage: active", "lifecycle_stage: deleted")).expect("written");
    let before = files(folder.path());
    train(open, folder.path(), &stage, &[3], Some(end(TrackedOutcome::Finished, &[1, 2, 3])));
    assert_eq!(files(folder.path()), before);
}

#[test]
fn a_run_that_another_process_writes_is_left_to_it() {
    for open in FORMATS {
        let (folder, stage) = (TempDir::new().expect("a folder"), stage("p", "classifier", "k"));
        let mut first = open(folder.path(), "p");
        first.begin(&stage, 1_700_000_000_000).expect("begun");
        first.epoch(&stage, &epoch(1)).expect("written");
        train(open, folder.path(), &stage, &[], Some(end(TrackedOutcome::Finished, &[1, 2])));
        first.epoch(&stage, &epoch(2)).expect("written");
        first.end(&stage, &end(TrackedOutcome::Finished, &[1, 2])).expect("ended");
        assert_eq!(steps(folder.path()), [1, 2]);
    }
}
