//! Trainings by the binary that are killed or asked to stop, and taken up again. tests/reliability/training-killed.sh does it often.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::space::Space;

const PIPELINE: &str = "pipeline p seed=3 {
    synthetic eyes { photographs 4; size 256 }
    extract patches { from eyes; size 32 }
    split folds { from patches }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 4; batch 8 }
}
";

/// A project in which all but the training is computed.
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

#[test]
fn a_training_that_is_killed_or_asked_to_stop_ends_in_the_same_bytes() {
    let space = ready();
    let begun = Instant::now();
    space.macula("run pipeline.kdl").code(0);
    let took = begun.elapsed();
    let whole = model(&space);
    let mut resumed = 0;
    for (signal, share) in [(Signal::KILL, 0.45), (Signal::TERM, 0.3), (Signal::KILL, 0.85)] {
        let space = ready();
        let mut child = begin(&space);
        std::thread::sleep(Duration::from_secs_f64(took.as_secs_f64() * share));
        let _ = kill_process(Pid::from_child(&child), signal);
        let status = child.wait().expect("a child can be waited for");
        if signal == Signal::TERM {
            assert!([Some(130), Some(0)].contains(&status.code()), "{status}");
        }
        let said = space.macula("run pipeline.kdl").code(0);
        resumed += usize::from(said.stdout.contains("taken up in epoch") || said.stderr.contains("taken up in epoch"));
        assert_eq!(model(&space), whole, "{signal:?} after {share} of the time");
    }
    assert!(resumed > 0, "none of them left a checkpoint");
}
