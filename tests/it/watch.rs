//! `macula watch`: a run of another process, through the binary.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::space::Space;

/// A training that lasts until it is stopped.
const LONG: &str = "pipeline seen seed=7 {
    synthetic eyes { photographs 6; size 192 }
    extract patches { from eyes; size 32 }
    split folds { from patches; by patient; train 0.34; valid 0.33; test 0.33 }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 2000; batch 16 }
}
";

const SHORT: &str = "pipeline seen seed=7 {
    synthetic eyes { photographs 4; size 192 }
    extract patches { from eyes; size 48 }
}
";

/// A process of the binary, killed when dropped.
struct Running {
    child: Child,
    stdout: std::path::PathBuf,
    stderr: std::path::PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(space: &Space, name: &str, arguments: &str) -> Self {
        let [stdout, stderr] = ["out", "err"].map(|kind| space.outside(&format!("{name}.{kind}")));
        let [out, err] = [&stdout, &stderr].map(|path| fs::File::create(path).expect("a file can be made"));
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let child = space.command(&arguments).stdout(Stdio::from(out)).stderr(Stdio::from(err)).spawn();
        Self { child: child.expect("the binary starts"), stdout, stderr }
    }

    fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).expect("it can be read")
    }

    fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).expect("it can be read")
    }

    /// Waits until stdout satisfies `is`.
    fn until(&self, what: &str, is: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        while !is(&self.stdout()) {
            assert!(begun.elapsed() < Duration::from_mins(2), "no {what}:\n{}\n{}", self.stdout(), self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses Ctrl-C.
    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("it can be sent");
    }

    /// The exit code, once it has ended.
    fn end(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status.code();
            }
            assert!(begun.elapsed() < Duration::from_mins(2), "no end:\n{}\n{}", self.stdout(), self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_run_is_watched_to_its_end_with_its_exit_code() {
    let space = Space::with(LONG);
    let mut run = Running::start(&space, "run", "run pipeline.kdl");
    run.until("epoch", |text| text.contains("1/2000"));
    let mut lines = Running::start(&space, "lines", "watch pipeline.kdl");
    let mut events = Running::start(&space, "events", "watch pipeline.kdl --json");
    let mut left = Running::start(&space, "left", "watch pipeline.kdl");
    // What happened before is shown, and what goes on.
    lines.until("epochs", |text| text.contains("computed") && text.contains("1/2000") && text.contains("3/2000"));
    events.until("steps", |text| text.contains("\"event\":\"step\"") && text.contains("\"event\":\"metrics\""));
    left.until("epochs", |text| text.contains("1/2000"));
    left.interrupt();
    assert_eq!(left.end(), Some(130));
    assert!(left.stderr().contains("goes on; `macula watch"), "{}", left.stderr());
    assert_eq!(run.child.try_wait().expect("it can be asked"), None, "the run does not end with the watching");
    run.interrupt();
    assert_eq!(run.end(), Some(130));
    assert_eq!((lines.end(), events.end()), (Some(130), Some(130)));
    let text = lines.stdout();
    assert!(text.contains("the run was asked to stop") && text.contains("run again to continue"), "{text}");
    assert!(!text.contains("Ctrl-C again"), "{text}");
    let events: Vec<Value> = events.stdout().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&events[0]["event"], &events[events.len() - 1]["event"]), (&"run-began".into(), &"run-ended".into()));
    // Afterwards it says how the run ended, with the same exit code.
    space.macula("watch pipeline.kdl").code(130).says(&["nothing is running: run", "was stopped", "--wait"]);
}

#[test]
fn a_killed_run_is_noticed() {
    let space = Space::with(LONG);
    let mut run = Running::start(&space, "run", "run pipeline.kdl");
    run.until("epoch", |text| text.contains("1/2000"));
    let mut watch = Running::start(&space, "watch", "watch pipeline.kdl");
    watch.until("epoch", |text| text.contains("1/2000"));
    run.child.kill().expect("it can be killed");
    run.end();
    assert_eq!(watch.end(), Some(1));
    assert!(watch.stderr().contains("was killed") && watch.stderr().contains("continues it"), "{}", watch.stderr());
    space.macula("watch pipeline.kdl").code(1).says(&["nothing is running", "was killed"]);
}

#[test]
fn a_watcher_may_come_before_the_run_or_after_it() {
    let space = Space::with(SHORT);
    space.macula("watch pipeline.kdl").code(2).says(&["has not been run yet", "--wait"]);
    let mut early = Running::start(&space, "early", "watch pipeline.kdl --wait");
    let begun = Instant::now();
    while !early.stderr().contains("waiting for a run of `seen`") {
        assert!(begun.elapsed() < Duration::from_mins(1), "it does not wait: {}", early.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    space.macula("run pipeline.kdl").code(0);
    assert_eq!(early.end(), Some(0));
    assert!(early.stdout().contains("patches") && early.stdout().contains("done in"), "{}", early.stdout());
    let said = space.macula("watch pipeline.kdl").code(0).says(&["nothing is running: run", "is done"]);
    // By its id, too.
    let id = said
        .raw
        .split_whitespace()
        .skip_while(|word| *word != "run")
        .nth(1)
        .expect("an id")
        .trim_end_matches(',')
        .to_owned();
    space.macula(&format!("watch {id}")).code(0).says(&["a run of `seen`", "is done"]);
    space.macula("watch 00000000").code(2).says(&["no run and no file"]);
    space.macula(&format!("watch {id} --wait")).code(2).says(&["need a file"]);
    // A failed one has the code of its failure.
    space.write("bad.kdl", "pipeline bad { folder photos { photographs \"none/*\" } }\n");
    let failed = space.macula("run bad.kdl").code;
    assert_eq!(space.macula("watch bad.kdl").code, failed);
}
