//! Trainings by the binary that are killed or interrupted, and resumed. tests/reliability/training-killed.sh repeats this many times.

use std::os::unix::fs::MetadataExt;
use std::process::{Child, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};

use crate::space::Space;

const PIPELINE: &str = "pipeline p seed=3 {
    synthetic eyes { photographs 4; size 256 }
    extract patches { from eyes; size 32 }
    split folds { from patches }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 4; batch 8 }
}
";

/// A project in which everything but the training is computed.
fn ready() -> Space {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl folds").code(0);
    space
}

fn begin(space: &Space) -> Child {
    let mut command = space.command(&["run", "pipeline.kdl"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts")
}

/// The bytes of the model, file by file.
fn model(space: &Space) -> Vec<(String, Vec<u8>)> {
    let folder = "results/p/classifier";
    let files = space.files(folder);
    assert!(files.iter().any(|file| file == "weights.safetensors"), "{files:?}");
    files
        .iter()
        .map(|file| (file.clone(), std::fs::read(space.path(&format!("{folder}/{file}"))).expect("a file")))
        .collect()
}

/// Current state of the training's checkpoint.
fn checkpoint(space: &Space) -> Option<(u64, SystemTime)> {
    let folder = space.path(".macula/v1/partial");
    let names = space.files(".macula/v1/partial");
    let facts = names.iter().find(|name| name.ends_with("checkpoint.bin"))?;
    let facts = std::fs::metadata(folder.join(facts)).ok()?;
    Some((facts.ino(), facts.modified().ok()?))
}

/// Waits until a training has written at least that many observed checkpoints, or has ended.
fn until(space: &Space, child: &mut Child, checkpoints: usize) {
    let mut seen = Vec::new();
    while seen.len() < checkpoints && child.try_wait().expect("a child can be waited for").is_none() {
        if let Some(now) = checkpoint(space)
            && !seen.contains(&now)
        {
            seen.push(now);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_killed_or_interrupted_training_ends_in_the_same_bytes() {
    let space = ready();
    space.macula("run pipeline.kdl").code(0);
    let whole = model(&space);
    let mut resumed = 0;
    for (signal, checkpoints) in [(Signal::KILL, 1), (Signal::TERM, 1), (Signal::KILL, 3)] {
        let space = ready();
        let mut child = begin(&space);
        until(&space, &mut child, checkpoints);
        let _ = kill_process(Pid::from_child(&child), signal);
        let status = child.wait().expect("a child can be waited for");
        if signal == Signal::TERM {
            assert!([Some(130), Some(0)].contains(&status.code()), "{status}");
        }
        let said = space.macula("run pipeline.kdl").code(0);
        resumed += usize::from(said.stdout.contains("resumed at epoch"));
        assert_eq!(model(&space), whole, "{signal:?} after {checkpoints} checkpoints");
    }
    assert!(resumed > 0, "none of them left a checkpoint");
}
