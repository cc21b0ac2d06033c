//! Killed processes and concurrent processes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use macula::lang::spec::{Pipeline, StageSpec};
use macula::lang::value::Value;
use macula::run::{self, Nobody, Options, Project};
use macula::store::Store;

use super::bench::{Bench, With, host, pipeline, source, stage, wrap};

const FOLDER: &str = "MACULA_TEST_FOLDER";

fn slow() -> Pipeline {
    items_of(stage("each", "each").with("slow", Value::Int(80)))
}

fn items_of(each: StageSpec) -> Pipeline {
    pipeline(vec![
        source("in", "folder", "data"),
        wrap("one", "in", "a"),
        each.given("from", &["in"]).add("s"),
        stage("all", "join").given("of", &["one", "each"]),
    ])
}

/// The child process: runs the pipeline in the folder that its parent names. Does nothing without a parent.
#[test]
fn a_child_process_runs_the_slow_pipeline() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = Path::new(&folder);
    let store = Store::open(&folder.join(".macula")).expect("the store opens");
    let (host, pipeline) = (host(folder), slow());
    let project = Project {
        pipeline: &pipeline,
        sources: &macula::base::Sources::default(),
        file: String::new(),
        folder: folder.to_owned(),
        implementations: super::stages::ALL,
        store: &store,
    };
    let report = run::execute(&host, &project, &Options::usual(2), &Nobody).expect("it can be planned");
    assert_eq!(report.record.ended.name(), "done", "{:?}", report.failed);
    // The folder tells the parent how often something was computed here.
    let made = super::stages::MADE.load(std::sync::atomic::Ordering::SeqCst);
    std::fs::write(folder.join(format!("made-{}", std::process::id())), made.to_string()).expect("written");
}

fn child(bench: &Bench) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "runner::killed::a_child_process_runs_the_slow_pipeline", "--nocapture"])
        .env(FOLDER, bench.path(""))
        .stdout(Stdio::null())
        .spawn()
        .expect("the child starts")
}

fn bench() -> Bench {
    let bench = Bench::new();
    (0..60).for_each(|at| bench.write(&format!("data/{at}"), &at.to_string()));
    bench
}

#[test]
fn a_kill_loses_nothing_that_was_finished() {
    let bench = bench();
    let mut child = child(&bench);
    let items = bench.path(".macula/v1/items");
    let begun = Instant::now();
    let some = || {
        std::fs::read_dir(&items)
            .into_iter()
            .flatten()
            .flatten()
            .any(|file| file.metadata().is_ok_and(|facts| facts.len() > 0))
    };
    while !some() && begun.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(!bench.path(&format!("made-{}", child.id())).exists(), "it was killed before its end");
    let came = bench.run(&slow()).done();
    let (computed, all) = came.report.record.stages["each"].items.expect("a map stage").into();
    assert!(computed < all, "{computed} of {all}: what was committed is not computed again");
    assert!(computed > 0, "it was killed in the middle");
    assert_eq!(came.of("one"), "reused");
    let fresh = self::bench().run(&items_of(stage("each", "each"))).done();
    assert_eq!(came.texts(), fresh.texts());
    // What the killed process wrote without committing is removed.
    let left = std::fs::read_dir(bench.path(".macula/v1/objects/incoming")).expect("there").flatten().count();
    assert_eq!(left, 0, "nothing is left of the dead");
}

#[test]
fn two_processes_compute_everything_once() {
    let bench = bench();
    let mut children = [child(&bench), child(&bench)];
    let made: u64 = children
        .iter_mut()
        .map(|child| {
            assert!(child.wait().expect("ended").success());
            let made = std::fs::read_to_string(bench.path(&format!("made-{}", child.id()))).expect("it wrote");
            made.parse::<u64>().expect("a number")
        })
        .sum();
    // `one` and `all`, once each; items are counted by their segment.
    assert_eq!(made, 2);
    let segment = std::fs::read_dir(bench.path(".macula/v1/items")).expect("there").flatten().next().expect("one");
    let text = std::fs::read(segment.path()).expect("readable");
    let records = text.windows(7).filter(|window| *window == b"macula1").count();
    assert_eq!(records, 60);
    assert_eq!(bench.run(&slow()).done().computed(), [""; 0]);
}
