//! What is computed again, and what is not.

use macula::lang::value::Value;
use macula::run::{Event, Failures};
use macula::stage::Summary;

use super::bench::{Bench, With, pipeline, source, stage, touch, wrap};

fn chain() -> Vec<macula::lang::spec::StageSpec> {
    vec![
        source("in", "file", "in.txt"),
        stage("head", "first-line").given("from", &["in"]),
        wrap("one", "head", "a"),
        wrap("two", "one", "b"),
    ]
}

#[test]
fn a_second_run_computes_nothing() {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    let first = bench.run(&pipeline(chain())).done();
    assert_eq!(first.computed(), ["head", "one", "two"]);
    assert_eq!(first.text("two.out"), "b(a(x))");
    let second = bench.run(&pipeline(chain())).done();
    assert_eq!(second.computed(), [""; 0]);
    assert_eq!(second.of("in"), "source");
    assert_eq!(second.of("two"), "reused");
    assert_eq!(second.texts(), first.texts());
}

#[test]
fn equal_output_of_changed_input_stops_what_follows() {
    let bench = Bench::new();
    bench.write("in.txt", "x\nmore\n");
    bench.run(&pipeline(chain())).done();
    bench.write("in.txt", "x\nother\n");
    assert_eq!(bench.run(&pipeline(chain())).done().computed(), ["head"]);
}

#[test]
fn going_back_finds_what_was_there() {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    let changed = || {
        let mut stages = chain();
        stages[2] = wrap("one", "head", "other");
        pipeline(stages)
    };
    bench.run(&pipeline(chain())).done();
    assert_eq!(bench.run(&changed()).done().computed(), ["one", "two"]);
    let back = bench.run(&pipeline(chain())).done();
    assert_eq!(back.computed(), [""; 0]);
    assert_eq!(back.text("two.out"), "b(a(x))");
}

#[test]
fn touching_a_file_computes_nothing() {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    bench.run(&pipeline(chain())).done();
    touch(&bench.path("in.txt"), 5);
    assert_eq!(bench.run(&pipeline(chain())).done().computed(), [""; 0]);
}

#[test]
fn a_file_changed_within_its_old_time_is_seen() {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    touch(&bench.path("in.txt"), 0);
    bench.run(&pipeline(chain())).done();
    let time = std::fs::metadata(bench.path("in.txt")).and_then(|facts| facts.modified()).expect("a time");
    std::fs::write(bench.path("in.txt"), "y\n").expect("written");
    let file = std::fs::File::options().write(true).open(bench.path("in.txt")).expect("opened");
    file.set_modified(time).expect("set");
    assert_eq!(bench.run(&pipeline(chain())).done().text("two.out"), "b(a(y))");
}

#[test]
fn renaming_and_reordering_compute_nothing() {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    bench.run(&pipeline(chain())).done();
    let other = vec![
        wrap("last", "middle", "b"),
        wrap("middle", "top", "a"),
        stage("top", "first-line").given("from", &["data"]),
        source("data", "file", "./in.txt"),
    ];
    let came = bench.run(&pipeline(other.clone())).done();
    assert_eq!(came.computed(), [""; 0]);
    let told = bench.explain(&pipeline(other), |name, decision, why| {
        let macula::plan::Decision::Reuse(_, reused) = decision else { return None };
        Some((name, reused.made.stage.clone(), why.differences.len()))
    });
    assert!(told.contains(&Some(("last".into(), "two".into(), 0))), "{told:?}");
}

#[test]
fn a_page_is_made_again_when_a_name_or_a_summary_on_it_changes() {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    let paged = |name: &str| {
        let mut stages = chain();
        stages[3].name = name.into();
        stages[3].base_name = name.into();
        stages.push(stage("page", "page").given("of", &["one", name]));
        pipeline(stages)
    };
    let first = bench.run(&paged("two")).done();
    assert_eq!(first.text("page.out"), "one: 4 characters\ntwo: 7 characters");
    assert_eq!(bench.run(&paged("two")).done().computed(), [""; 0]);
    let renamed = bench.run(&paged("new")).done();
    assert_eq!(renamed.computed(), ["page"]);
    assert_eq!(renamed.text("page.out"), "one: 4 characters\nnew: 7 characters");
}

#[test]
fn a_reused_result_reports_its_summary_again() {
    let bench = Bench::new();
    bench.write("in.txt", &"x".repeat(2000));
    let short = || pipeline(vec![source("in", "file", "in.txt"), wrap("one", "in", "a")]);
    let summaries = |came: super::bench::Came| -> Vec<Summary> {
        let ended = came.events.into_iter().filter_map(|event| match event {
            Event::StageEnded { stage, summary, .. } if stage == "one" => Some(summary),
            _ => None,
        });
        ended.collect()
    };
    let first = summaries(bench.run(&short()).done());
    assert_eq!(first[0].warnings[0].code, "long");
    assert_eq!(first[0].tables[0].rows.len(), 1);
    assert_eq!(summaries(bench.run(&short()).done()), first);
}

#[test]
fn a_failure_stops_what_depends_on_it_and_no_more_where_asked() {
    let mut bench = Bench::new();
    bench.write("in.txt", "x\n");
    let stages = vec![
        source("in", "file", "in.txt"),
        stage("bad", "refuses").given("from", &["in"]).add("a"),
        wrap("after-bad", "bad", "a"),
        wrap("one", "in", "b"),
        wrap("two", "one", "c"),
    ];
    bench.options.jobs = 1;
    let stopped = bench.run(&pipeline(stages.clone()));
    assert_eq!(stopped.report.record.ended.name(), "failed");
    assert_eq!([stopped.of("bad"), stopped.of("after-bad"), stopped.of("two")], ["failed", "not-run", "not-run"]);
    bench.options.failures = Failures::KeepGoing;
    let kept = bench.run(&pipeline(stages.clone()));
    assert_eq!([kept.of("bad"), kept.of("after-bad"), kept.of("two")], ["failed", "not-run", "computed"]);
    let told = kept
        .events
        .iter()
        .any(|event| matches!(event, Event::StageFailed { code: Some(code), hint: Some(_), .. } if code == "refused"));
    assert!(told, "the error's code and hint are told");
    bench.write("in.txt", "please\n");
    assert_eq!(bench.run(&pipeline(stages)).done().of("after-bad"), "computed");
}

#[test]
fn a_panic_is_one_failed_stage() {
    let mut bench = Bench::new();
    bench.write("in.txt", "x\n");
    bench.options.failures = Failures::KeepGoing;
    let came = bench.run(&pipeline(vec![
        source("in", "file", "in.txt"),
        stage("bad", "panics").given("from", &["in"]),
        wrap("one", "in", "b"),
    ]));
    assert_eq!(came.of("one"), "computed");
    let error = came.report.failed[0].error.to_string();
    assert!(error.contains("as it should") && error.contains("bug in macula"), "{error}");
}

#[test]
fn only_the_wanted_stages_and_what_they_need_run() {
    let mut bench = Bench::new();
    bench.write("in.txt", "x\n");
    bench.options.targets = vec!["one".into()];
    assert_eq!(bench.run(&pipeline(chain())).done().computed(), ["head", "one"]);
}

#[test]
fn results_of_another_class_are_taken_and_named_unless_exact() {
    use macula::stage::{Determinism, Implementation};
    let mut bench = Bench::new();
    bench.write("in.txt", "x\n");
    let drawn = || pipeline(vec![stage("dice", "draws")]);
    bench.run(&drawn()).done();
    let elsewhere = super::stages::ALL.iter().map(|known| Implementation {
        determinism: match known.determinism {
            Determinism::PathExact { tolerance, approximate, .. } => {
                Determinism::PathExact { path: |_| "other-path".to_owned(), approximate, tolerance }
            }
            exact @ (Determinism::BitExact | Determinism::Unknown) => exact,
        },
        ..*known
    });
    bench.implementations = Box::leak(elsewhere.collect::<Vec<_>>().into_boxed_slice());
    let taken = bench.run(&drawn()).done();
    assert_eq!(taken.of("dice"), "reused");
    let named = taken
        .events
        .iter()
        .any(|event| matches!(event, Event::StageEnded { other_class: Some(class), .. } if class == "test-path"));
    assert!(named, "the class it was computed in is told");
    bench.options.accept = macula::store::Accept::OwnTarget;
    assert_eq!(bench.plan(&drawn())["dice"], "run");
    assert_eq!(bench.run(&drawn()).done().of("dice"), "computed");
    assert_eq!(bench.run(&drawn()).done().of("dice"), "reused");
}

#[test]
fn thread_counts_change_no_digest() {
    let mut seen = Vec::new();
    for threads in [1, 2, 7] {
        let mut bench = Bench::new();
        for at in 0..9 {
            bench.write(&format!("data/{at}.txt"), &"abc".repeat(at * 1000 + 1));
        }
        bench.options = macula::run::Options::usual(threads);
        let came = bench.run(&pipeline(vec![
            source("in", "folder", "data"),
            stage("each", "each").given("from", &["in"]).add("s"),
            stage("dice", "draws"),
            stage("all", "join").given("of", &["each", "dice"]),
        ]));
        let outputs =
            came.done().report.record.stages.into_iter().map(|(name, stage)| (name, stage.key, stage.outputs));
        seen.push(outputs.collect::<Vec<_>>());
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[0].len(), 4);
}

#[test]
fn a_stop_keeps_the_checkpoint_for_the_next_run() {
    let mut bench = Bench::new();
    bench.write("in.txt", "x\n");
    let waiting = || {
        pipeline(vec![
            source("in", "file", "in.txt"),
            stage("slow", "waits").given("from", &["in"]),
            wrap("one", "slow", "a"),
        ])
    };
    // The stage reports that it waits once its checkpoint exists.
    bench.stops_at_line = true;
    let came = bench.run(&waiting());
    bench.stops_at_line = false;
    assert!(came.report.stopped);
    assert_eq!([came.of("slow"), came.of("one")], ["stopped", "not-run"]);
    bench.host = super::bench::host(&bench.path(""));
    assert_eq!(bench.run(&waiting()).done().text("one.out"), "a(from the checkpoint)");
    assert!(super::stages::is_empty(&bench.path(".macula/v1/partial")), "the checkpoint is let go");
    assert!(super::stages::is_empty(&bench.path(".macula/v1/claims")), "the claim is let go");
}

#[test]
fn unkeyed_parameters_do_not_count() {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    let with = |value: i64| {
        let mut one = wrap("one", "in", "a").with("batch", Value::Int(value));
        one.params.entry("batch".into()).and_modify(|batch| batch.keyed = false);
        pipeline(vec![source("in", "file", "in.txt"), one])
    };
    bench.run(&with(1)).done();
    assert_eq!(bench.run(&with(2)).done().computed(), [""; 0]);
}

#[test]
fn what_an_upgrade_computes_again_is_reported_before_it_does() {
    use macula::stage::Implementation;
    let mut bench = Bench::new();
    bench.write("in.txt", "x\n");
    bench.run(&pipeline(chain())).done();
    let newer = super::stages::ALL.iter().map(|known| match known.name {
        "wrap" => Implementation { version: 2, ..*known },
        _ => Implementation { ..*known },
    });
    bench.implementations = Box::leak(newer.collect::<Vec<_>>().into_boxed_slice());
    let store = bench.store();
    let mut record = store.runs.newest_first(None).next().expect("a run");
    record.macula = "0.0.9".into();
    store.runs.write(&record);
    let again = bench.run(&pipeline(chain())).done();
    assert_eq!(again.computed(), ["one", "two"]);
    let at = |found: fn(&Event) -> bool| again.events.iter().position(found).expect("told");
    let told = at(|event| matches!(event, Event::Upgraded { .. }));
    assert!(told < at(|event| matches!(event, Event::StageBegan { .. })), "before anything runs");
    let Event::Upgraded { upgrade } = &again.events[told] else { unreachable!() };
    let words = format!("version 1 -> 2 of `wrap` (macula 0.0.9 -> {}): `one` runs again", env!("CARGO_PKG_VERSION"));
    assert_eq!(upgrade.words(), words);
    assert!(!bench.run(&pipeline(chain())).done().events.iter().any(|event| matches!(event, Event::Upgraded { .. })));
}
