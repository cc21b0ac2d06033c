//! What a run leaves for users: its record and readable results; and the command line over all of it.

use std::fs;

use macula::run::Event;

use super::bench::{Bench, With, pipeline, source, stage, wrap};
use crate::missing::missing;
use crate::space::Space;

#[test]
fn results_are_linked_under_human_names() {
    let bench = Bench::new();
    bench.write("in.txt", "xyz");
    let halved = |add: &str| {
        pipeline(vec![
            source("in", "file", "in.txt"),
            wrap("one", "in", add),
            stage("halves", "halves").given("from", &["one"]).makes(&["left", "right"]),
        ])
    };
    bench.run(&halved("a")).done();
    let text = |path: &str| fs::read_to_string(bench.path("results/bench").join(path)).expect("readable");
    assert_eq!(text("one/text"), "a(xyz)");
    assert_eq!(text("halves/left/text") + &text("halves/right/text"), "a(xyz)");
    assert!(text("one/README.txt").starts_with("one: 6 characters\n"));
    assert!(!bench.path("results/bench/in").exists(), "sources are the user's own files");
    bench.run(&halved("b")).done();
    assert_eq!(text("one/text"), "b(xyz)");
}

#[test]
fn what_a_person_put_into_results_stays() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    bench.write("results/bench/one/mine.txt", "mine");
    bench.run(&pipeline(vec![source("in", "file", "in.txt"), wrap("one", "in", "a")])).done();
    assert_eq!(fs::read_to_string(bench.path("results/bench/one/mine.txt")).expect("there"), "mine");
}

/// As on a case-insensitive file system, where `Two` leads to `two`.
#[test]
fn of_stages_whose_names_are_one_on_the_disk_one_is_linked_and_the_other_reported() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    fs::create_dir_all(bench.path("results/bench")).expect("made");
    std::os::unix::fs::symlink("one", bench.path("results/bench/two")).expect("a link");
    let stages = vec![source("in", "file", "in.txt"), wrap("one", "in", "a"), wrap("two", "one", "b")];
    let stages = [stages, vec![wrap("three", "two", "c")]].concat();
    for _ in ["computed", "reused"] {
        let came = bench.run(&pipeline(stages.clone())).done();
        let told = came.events.iter().filter_map(|event| match event {
            Event::Warned { stage, warning } => {
                Some((&**stage, &*warning.code, warning.text.contains("`one` and `two` collide")))
            }
            _ => None,
        });
        assert_eq!(told.collect::<Vec<_>>(), [("two", "results-links", true)]);
        let text = |stage| fs::read_to_string(bench.path(&format!("results/bench/{stage}/text"))).expect("linked");
        assert_eq!([text("one"), text("three")], ["a(x)", "c(b(a(x)))"]);
    }
}

#[test]
fn a_run_is_recorded() {
    let bench = Bench::new();
    bench.write("in.txt", "x");
    let short = || pipeline(vec![source("in", "file", "in.txt"), wrap("one", "in", "a")]);
    let came = bench.run(&short()).done();
    let folder = bench.path(".macula/v1/runs").join(&came.report.record.id);
    let events = fs::read_to_string(folder.join("events.jsonl")).expect("recorded");
    let names: Vec<String> = events
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON")["event"].to_string())
        .collect();
    let expected = ["run-began", "stage-ended", "stage-began", "stage-ended", "run-ended"];
    let mut sorted = names.clone();
    sorted.sort();
    let mut wanted = expected.map(|name| format!("\"{name}\"")).to_vec();
    wanted.sort();
    assert_eq!(sorted, wanted);
    let plan: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("plan.json")).expect("recorded")).expect("JSON");
    assert_eq!(plan["stages"][1]["will"], "run");
    let runs: Vec<_> = bench.store().runs.newest_first(Some("bench")).collect();
    assert_eq!(runs, [came.report.record]);
}

const PIPELINE: &str = "pipeline small seed=1 {\n    synthetic photos { photographs 2; size 128 }\n}\n";

#[test]
fn the_command_line_plans_runs_and_explains() {
    let space = Space::with(PIPELINE);
    space.macula("plan pipeline.kdl").code(0).says(&["1 will run", "new (no earlier run)"]);
    space.macula("run pipeline.kdl").code(0).says(&["computed", "done in", "results/small/"]);
    space.macula("run pipeline.kdl").code(0).says(&["nothing to compute: 1 reused"]);
    space.macula("why pipeline.kdl photos").code(0).says(&["`photos` will not run", "nothing changed since run"]);
    space.edit("pipeline.kdl", "size 128", "size 160");
    space.macula("why pipeline.kdl photos").code(0).says(&["size", "128 -> 160", "pipeline.kdl:2"]);
    space.macula("plan pipeline.kdl").code(0).says(&["size 128 -> 160"]);
    space.macula("run pipeline.kdl --set photos.size=128").code(0).says(&["nothing to compute"]);
    space.edit("pipeline.kdl", "synthetic photos", "synthetic pictures");
    space.macula("run pipeline.kdl --set pictures.size=128").code(0).says(&["nothing to compute"]);
    space.macula("why pipeline.kdl pictures --set pictures.size=128").code(0).says(&["computed as `photos`"]);
    space.macula("runs pipeline.kdl").code(0).says(&[
        "with `pictures`, without `photos`",
        "no change, all cached",
        "first run",
        "done",
    ]);
    space.macula("run pipeline.kdl photo").code(2).says(&["unknown stage `photo`"]);
    space.macula("run nothing.kdl").code(2).says(&["cannot read `nothing.kdl`"]);
    let events = space.macula("run pipeline.kdl --json").code(0);
    assert!(events.stdout.lines().all(|line| line.starts_with("{\"event\":")), "{}", events.stdout);
}

#[test]
fn why_reports_what_changed_since_any_run() {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl").code(0);
    space.edit("pipeline.kdl", "size 128", "size 160");
    space.macula("run pipeline.kdl").code(0);
    space.edit("pipeline.kdl", "size 160", "size 192");
    let ids: Vec<String> = space
        .macula("runs pipeline.kdl --json")
        .code(0)
        .raw
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("JSON")["id"].as_str().expect("text").to_owned()
        })
        .collect();
    let [second, first] = ids.as_slice() else { panic!("two runs: {ids:?}") };
    space.macula("why pipeline.kdl photos").code(0).says(&["160 -> 192", "for 2 items: 2 take "]).says_not(&["128 ->"]);
    let since = space.macula(&format!("why pipeline.kdl photos --since {first}")).code(0);
    since.says(&["128 -> 192", "pipeline.kdl:2", "it was computed"]).says_not(&["160 ->"]);
    space.macula(&format!("why pipeline.kdl photos --since {second}")).code(0).says(&["160 -> 192"]);
    space.macula("why pipeline.kdl photos --since 1999").code(2).says(&["unknown run `1999`"]);
    space.macula(&format!("compare {first} {second}")).code(0).says(&["photos.size", "128", "160"]);
    let record = space.read(&format!(".macula/v1/runs/{first}/run.json"));
    assert!(record.contains("\"peak_bytes\":") && record.contains("\"kernels\":\"cpu-"), "{record}");
}

#[test]
fn a_terminal_is_drawn_to_and_its_last_lines_stay() {
    let space = Space::with(PIPELINE);
    let macula = space.command(&["run", "pipeline.kdl"]).get_program().to_string_lossy().into_owned();
    // `script` runs a command on a terminal of its own.
    let shown = std::process::Command::new("script")
        .args(["-qec", &format!("{macula} run pipeline.kdl"), "/dev/null"])
        .current_dir(space.path(""))
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .output();
    let Ok(shown) = shown else {
        return missing("script", "there is no `script` here");
    };
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("\u{1b}["), "colours or movements of the cursor: {shown}");
    let last: Vec<&str> = shown.lines().rev().take(8).collect();
    assert!(last.iter().any(|line| line.contains("done in")), "{last:?}");
    assert!(shown.contains("photos") && shown.contains("computed"), "{shown}");
}
