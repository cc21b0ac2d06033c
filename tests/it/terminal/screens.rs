//! What `run` prints, line by line, at the 80 columns of a pipe.

use super::{QUICK, TRAINING};
use crate::space::Space;

/// In a pipe, an error, a warning or a hint is one line however long, so that it can be found by line.
#[track_caller]
fn fits(text: &str, most: usize) {
    let message = |line: &&str| ["warning[", "error[", "hint:"].iter().any(|word| line.contains(word));
    let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80 && !message(line)).collect();
    assert_eq!(wide, Vec::<&str>::new(), "lines of more than 80 columns in\n{text}");
    assert!(text.lines().count() < most, "{} lines:\n{text}", text.lines().count());
}

#[test]
fn a_run_fits_80_columns_and_takes_a_line_for_each_epoch() {
    let space = Space::with(QUICK);
    let first = space.macula("run pipeline.kdl").code(0);
    fits(&first.raw, 60);
    assert_eq!(first.stderr, "");
    let lines: Vec<&str> = first.raw.lines().collect();
    let heads = lines.iter().position(|line| line.contains("valid AP")).expect("heads of the epochs");
    assert_eq!(lines[heads], "  classifier      epoch  valid AP  valid loss  train loss  valid F1    rate");
    let rows: Vec<&&str> = lines.iter().filter(|line| line.contains("/3 ")).collect();
    for (row, epoch) in rows.iter().zip(["1/3", "2/3", "3/3"]) {
        assert!(row.trim_start().starts_with(epoch) && row.len() <= lines[heads].len() + 3, "{}", first.raw);
    }
    assert!(rows.len() == 3 && rows[0].ends_with("  *"), "the first epoch is the best so far:\n{}", first.raw);
    assert_eq!(first.raw.matches("valid AP").count(), 1, "{}", first.raw);
    assert!(lines.iter().any(|line| line.starts_with("  classifier  computed  ")), "{}", first.raw);
    // A warning of one code is said once for a stage.
    let mut warnings: Vec<(&str, &str)> = lines
        .iter()
        .filter_map(|line| Some((line.split_whitespace().next()?, line.split_once("warning[")?.1.split(']').next()?)))
        .collect();
    let all = warnings.len();
    warnings.dedup();
    warnings.sort_unstable();
    warnings.dedup();
    assert_eq!(warnings.len(), all, "{}", first.raw);
    let warning = lines.iter().find(|line| line.contains("warning[few-groups]")).expect("few patients");
    assert!(warning.ends_with(|last: char| last.is_alphanumeric() || last == ')') && warning.len() > 80, "{warning}");
    let again = space.macula("run pipeline.kdl").code(0).says(&["nothing to compute: "]);
    fits(&again.raw, 40);
    // All details fit, too.
    space.edit("pipeline.kdl", "epochs 3", "epochs 2");
    let verbose = space.macula("run pipeline.kdl --verbose").code(0).says(&["started", "average precision", "subset"]);
    fits(&verbose.raw, 200);
}

#[test]
fn events_hold_metrics_as_numbers() {
    let space = Space::with(QUICK);
    let said = space.macula("run pipeline.kdl classifier --json").code(0);
    let events = said.raw.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let metrics: Vec<_> = events.filter(|event| event["event"] == "metrics").collect();
    assert_eq!(metrics.len(), 3);
    for (at, event) in metrics.iter().enumerate() {
        assert_eq!((&event["stage"], &event["epoch"]), (&"classifier".into(), &(at + 1).into()));
        assert!(event["values"]["valid.loss"].is_f64() && event["values"]["learning-rate"].is_f64(), "{event}");
        assert_eq!(event["columns"][0]["name"], "valid.mean-average-precision");
    }
    let run = space.files(".macula/v1/runs").into_iter().find(|file| file.ends_with("events.jsonl")).expect("recorded");
    let recorded = space.read(&format!(".macula/v1/runs/{run}"));
    assert_eq!(recorded.matches("\"event\":\"metrics\"").count(), 3);
}

#[test]
fn quiet_says_only_what_failed_and_colours_are_by_choice() {
    let space = Space::with("pipeline small seed=1 {\n    synthetic photos { photographs 2; size 128 }\n}\n");
    let quiet = space.macula("run pipeline.kdl --quiet").code(0);
    assert_eq!((quiet.raw.as_str(), quiet.stderr.as_str()), ("", ""));
    let coloured = |words: &str| space.macula(words).code(0).raw.contains('\u{1b}');
    assert!(coloured("--color always run pipeline.kdl"));
    assert!(coloured("run pipeline.kdl --color=always"));
    assert!(!coloured("run pipeline.kdl"));
    assert!(!coloured("run pipeline.kdl --color never"));
    space.macula("run pipeline.kdl --color sometimes").code(2).says(&["auto", "always", "never"]);
    space.macula("run pipeline.kdl --quiet --verbose").code(2);
    space.write("p/a.png", "not a picture");
    space.write("m/a.png", "not a mask");
    let folder = "folder eyes { root \".\"; photographs \"p/*\"; masks MA \"m/*\" }";
    space.write("pipeline.kdl", format!("pipeline bad seed=1 {{ {folder}; extract tiles {{ from eyes }} }}\n"));
    space.macula("run -q pipeline.kdl").code(1).says(&["failed", "error["]).says_not(&["bad: ", "results/bad"]);
}

#[test]
fn other_processes_see_what_runs_and_where_an_interrupted_stage_resumes() {
    let space = Space::with(TRAINING);
    let mut terminal = super::start(&space, 80, 24, &[]);
    terminal.until("some epochs", |screen| screen.all().contains("  3/2000"));
    // How far it is stands in a file that is replaced once a second.
    let running = loop {
        let said = space.macula("plan pipeline.kdl").code(0);
        if said.stderr.contains(" batches") || !said.stderr.contains("is running") {
            break said;
        }
    };
    running.says(&["is running: classifier, ", " batches, epoch ", "valid AP", "another process is computing it"]);
    space.macula("runs pipeline.kdl").code(0).says(&["running", "classifier, "]);
    space.macula("show pipeline.kdl").code(0).says(&[", running", "classifier  train      running  "]);
    space.macula("why pipeline.kdl classifier").code(0).says(&["is computing classifier, "]);
    space.macula("show pipeline.kdl classifier").code(2).says(&["is computing classifier, ", "has no result yet"]);
    let quiet = space.macula("plan --quiet pipeline.kdl").code(0);
    assert_eq!(quiet.stderr, "");
    // The file may be edited while it runs.
    space.macula("why pipeline.kdl classifier").code(0).says_not(&["with other settings"]);
    space.write("pipeline.kdl", TRAINING.replace("batch 16", "batch 17"));
    for command in ["why", "show"] {
        let said = space.macula(&format!("{command} pipeline.kdl classifier"));
        said.says(&["is computing classifier, ", "with other settings or data"]);
    }
    space.write("pipeline.kdl", TRAINING);
    terminal.press(b"\x03");
    assert_eq!(terminal.end(), Some(130));
    let all = terminal.screen.all();
    assert!(all.contains("stopped    the next run resumes at epoch "), "{all}");
    space.macula("plan pipeline.kdl").code(0).says(&["resumes at epoch "]).says_not(&["is running"]);
    space.macula("why pipeline.kdl classifier").code(0).says(&["the next run resumes at epoch "]);
    space.macula("show pipeline.kdl classifier").code(2).says(&["resumes it at epoch "]);
    let runs = space.macula("runs pipeline.kdl").code(0).says(&["stopped"]).says_not(&["running"]);
    runs.says(&["`macula run pipeline.kdl` resumes `classifier` at epoch "]);
    space.macula("show pipeline.kdl").code(0).says(&[", stopped", "resumes at epoch ", "not run"]);
}
