//! Records for `TensorBoard`, `MLflow` and Weights & Biases, end to end through the binary. The files are decoded here without macula's own
//! readers; `tests/dashboards` reads them with the tools themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::space::Space;

/// A training of two epochs and its evaluation, in a sweep of two points.
const SWEEP: &str = r"pipeline small seed=7 {
    synthetic eyes { photographs 6; size 192; photographs-per-patient 1; healthy 0.0; severity 3.0 }
    extract patches { from eyes; size 48 }
    split folds { from patches; by patient; train 0.5; valid 0.25; test 0.25 }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 2; batch 32 }
    eval scores { model classifier; data folds.test }
}
sweep rates {
    over classifier.optimizer.lr 1e-3 1e-4
}
";

/// Value of each tag and step of an event file, with the tags of the table of hyperparameters.
type Scalars = BTreeMap<(String, u64), Option<f32>>;

/// Fields of a protobuf message: number and content.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let take = |bytes: &mut &[u8], count: usize| {
            let (taken, rest) = std::mem::take(bytes).split_at(count);
            *bytes = rest;
            taken.to_vec()
        };
        let field = match key & 7 {
            0 => Field::Int(varint(&mut bytes)),
            1 => Field::Eight(take(&mut bytes, 8)),
            5 => Field::Four(take(&mut bytes, 4)),
            2 => {
                let length = varint(&mut bytes) as usize;
                let (content, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(content)
            }
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

enum Field<'a> {
    Int(u64),
    Four(Vec<u8>),
    Eight(Vec<u8>),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a varint");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

/// CRC-32C, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum: u32, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg()))
    })
}

/// Reads event files, and checks the checksums.
fn scalars(folder: &Path) -> Scalars {
    let mut all = Scalars::new();
    let masked = |bytes: &[u8]| crc(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).flatten() {
        if !entry.file_name().to_string_lossy().contains("tfevents") {
            continue;
        }
        let bytes = fs::read(entry.path()).expect("a file");
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().expect("eight bytes")) as usize;
            assert_eq!(rest[8..12], masked(&rest[..8]), "checksum of a length");
            let record = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], masked(record), "checksum of a record");
            rest = &rest[16 + length..];
            event(record, &mut all);
        }
    }
    all
}

fn event(record: &[u8], all: &mut Scalars) {
    let (mut step, mut time, mut summary) = (0, 0.0, None);
    for (number, field) in fields(record) {
        match (number, field) {
            (1, Field::Eight(bytes)) => time = f64::from_le_bytes(bytes.try_into().expect("eight bytes")),
            (2, Field::Int(value)) => step = value,
            (3, Field::Bytes(version)) => assert_eq!(version, b"brain.Event:2"),
            (5, Field::Bytes(bytes)) => summary = Some(bytes),
            (number, _) => panic!("field {number} of an event"),
        }
    }
    assert!(time > 1.6e9, "seconds since 1970: {time}");
    for (_, value) in fields(summary.unwrap_or_default()) {
        let Field::Bytes(value) = value else { panic!("a value") };
        let (mut tag, mut scalar) = (String::new(), None);
        for (number, field) in fields(value) {
            match (number, field) {
                (1, Field::Bytes(text)) => tag = String::from_utf8(text.to_vec()).expect("text"),
                (2, Field::Four(bytes)) => scalar = Some(f32::from_le_bytes(bytes.try_into().expect("four bytes"))),
                _ => {}
            }
        }
        assert!(all.insert((tag.clone(), step), scalar).is_none(), "`{tag}` twice in step {step}");
    }
}

/// Metrics of each epoch of a stage, as the newest run with such events recorded them.
fn recorded(space: &Space, stage: &str) -> Vec<(u64, BTreeMap<String, Option<f64>>)> {
    let mut found = Vec::new();
    for file in space.files(".macula").into_iter().filter(|file| file.ends_with("events.jsonl")) {
        for line in space.read(&format!(".macula/{file}")).lines() {
            let event: Value = serde_json::from_str(line).expect("an event");
            if event["event"] == "metrics" && event["stage"] == stage {
                let values = serde_json::from_value(event["values"].clone()).expect("values");
                found.push((event["epoch"].as_u64().expect("an epoch"), values));
            }
        }
    }
    found
}

#[test]
fn a_sweep_is_recorded_for_three_dashboards_live_and_from_the_cache() {
    let space = Space::with(SWEEP);
    space.macula("run pipeline.kdl --sweep rates --tensorboard tb --mlflow ml --wandb wb").code(0);
    let stage = "classifier@lr=1e-3";
    let live = scalars(&space.path("tb/rates").join(stage));
    let epochs = recorded(&space, stage);
    assert_eq!(epochs.len(), 2);
    for (epoch, values) in &epochs {
        let loss = values["valid.loss"].expect("a loss") as f32;
        assert_eq!(live[&("loss/valid".to_owned(), *epoch)], Some(loss));
        let defined = values.values().filter(|value| value.is_some()).count();
        let final_values = |tag: &str| tag.starts_with("classifier/") || tag.starts_with('_');
        let written = live.keys().filter(|(tag, step)| step == epoch && !final_values(tag)).count();
        assert_eq!(written, defined, "every metric of epoch {epoch}");
    }
    for tag in ["learning-rate", "average-precision/MA/valid", "classifier/mean-average-precision"] {
        assert!(live.contains_key(&(tag.to_owned(), 2)), "`{tag}` is missing: {live:?}");
    }
    assert!(live.contains_key(&("_hparams_/session_start_info".to_owned(), 0)));
    let scores = scalars(&space.path("tb/rates/scores@lr=1e-3"));
    assert!(scores.keys().any(|(tag, _)| tag == "scores/mean-average-precision"), "{scores:?}");

    // MLflow: an experiment with a run for each training and evaluation.
    let files = space.files("ml");
    assert_eq!(files.iter().filter(|file| file.ends_with("tags/macula.key")).count(), 4, "{files:?}");
    let losses = files.iter().filter(|file| file.ends_with("metrics/valid.loss"));
    for file in losses {
        let text = space.read(&format!("ml/{file}"));
        assert_eq!(text.lines().map(|line| line.rsplit(' ').next()).collect::<Vec<_>>(), [Some("1"), Some("2")]);
    }
    assert!(files.iter().any(|file| file.ends_with("params/classifier.optimizer.lr")));
    assert_eq!(space.files("wb").iter().filter(|file| file.contains("/run-") && file.contains(".wandb")).count(), 4);

    // Nothing is written twice, and what is written from the cache has the same values.
    let all = |space: &Space| ["tb", "ml", "wb"].map(|folder| space.files(folder));
    let before = all(&space);
    space.macula("run pipeline.kdl --sweep rates --tensorboard tb --mlflow ml --wandb wb").code(0);
    assert_eq!(all(&space), before);
    assert_eq!(scalars(&space.path("tb/rates").join(stage)), live);
    space.macula("run pipeline.kdl --sweep rates --tensorboard again").code(0).says(&["nothing to compute"]);
    assert_eq!(scalars(&space.path("again/rates").join(stage)), live);
}

#[test]
fn a_project_names_the_folders_once_and_a_run_may_do_without() {
    let space = Space::with(SWEEP);
    space.write("project.kdl", "tensorboard \"logs/tb\"\nmlflow \"logs/ml\"\n");
    let pipeline = "run pipeline.kdl --pipeline small";
    space.macula(&format!("{pipeline} --no-tracking")).code(0);
    assert!(!space.path("logs").exists());
    space.macula(pipeline).code(0).says(&["nothing to compute"]);
    assert!(scalars(&space.path("logs/tb/small/classifier")).contains_key(&("loss/valid".to_owned(), 2)));
    // Another training of that name has a folder of its own.
    space.macula(&format!("{pipeline} --set classifier.epochs=1")).code(0);
    assert!(!scalars(&space.path("logs/tb/small/classifier (2)")).contains_key(&("loss/valid".to_owned(), 2)));
    assert!(space.path("logs/ml").is_dir());

    space.write("project.kdl", "tensorboard \"http://host/tb\"\nwandb\nmlflow \"a\"\nmlflow \"b\"\n");
    space.macula("check pipeline.kdl").code(2).says(&[
        "`tensorboard` takes a folder of this machine",
        "`wandb` takes one string",
        "`mlflow` is set twice",
    ]);
}

#[test]
fn a_folder_that_cannot_be_written_is_said_before_anything_runs() {
    let space = Space::with(SWEEP);
    space.write("file", "");
    let said = space.macula("run pipeline.kdl --pipeline small --tensorboard file/tb").code(3);
    said.says(&["cannot write `file/tb`", "name a folder in which macula may write"]).says_not(&["eyes"]);
}
