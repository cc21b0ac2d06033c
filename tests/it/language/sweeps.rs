//! Sweeps: the points they stand for, and what is said of them.

use macula::base::Sources;
use macula::diag::{self, Diag, Style};
use macula::lang;
use macula::lang::signature::Better;
use macula::lang::spec::{Contents, Points, Sweep};
use macula::lang::value::Value;

use super::codes;

const BASE: &str = "pipeline base seed=7 {
    param size type=px default=64
    synthetic eyes
    extract patches { from eyes; size $size }
    split folds { from patches }
    train classifier {
        data folds.train
        valid folds.valid
        network shallow-cnn
        loss focal gamma=3.0
        optimizer adam lr=1e-3
    }
    eval scores { model classifier; data folds.test }
    report page { of scores }
}
";

fn load(sweep: &str, sets: &[&str], points: Points) -> (Contents, Vec<Diag>, Sources) {
    let mut sources = Sources::default();
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let text = format!("{BASE}\nsweep s {{\n{sweep}\n}}\n");
    let (contents, diags) = lang::load_text("test.kdl", None, &text, &sets, points, &mut sources);
    (contents, diags, sources)
}

/// The sweep of a text in which nothing is wrong.
#[track_caller]
fn sweep(text: &str) -> Sweep {
    let (mut contents, diags, sources) = load(text, &[], Points::All);
    assert!(diags.is_empty(), "{}", diag::render(&diags, &sources, Style::Plain, 100));
    contents.sweeps.remove(0)
}

/// For each point the values of a parameter.
fn values(sweep: &Sweep, stage: &str, param: &str) -> Vec<String> {
    let of = |point: &lang::spec::Point| {
        let stage = point.pipeline.stages.iter().find(|one| one.name == stage).expect("the stage");
        stage.value(param).unwrap_or(&Value::None).to_string()
    };
    sweep.points.iter().map(of).collect()
}

#[test]
fn axes_multiply_and_the_last_is_the_fastest() {
    let swept = sweep("over size 32 48\n over classifier.optimizer.lr 1e-3 1e-4 1e-5");
    assert_eq!(swept.points.len(), 6);
    assert_eq!(values(&swept, "patches", "size"), ["32", "32", "32", "48", "48", "48"]);
    assert_eq!(values(&swept, "classifier", "optimizer.lr"), ["0.001", "0.0001", "1e-5", "0.001", "0.0001", "1e-5"]);
    let names: Vec<&str> = swept.axes.iter().map(|axis| axis.name.as_str()).collect();
    assert_eq!(names, ["size", "lr"], "the shortest names that tell them apart");
    assert_eq!(swept.axes[1].values, ["1e-3", "1e-4", "1e-5"], "as they are written");
    assert_eq!((swept.count, swept.base.name.as_str()), (6, "base"));
}

#[test]
fn zipped_axes_go_in_step() {
    let swept = sweep("zip {\n over size 32 48\n over classifier.batch 64 16\n }\n over classifier.epochs 1 2");
    assert_eq!(values(&swept, "patches", "size"), ["32", "32", "48", "48"]);
    assert_eq!(values(&swept, "classifier", "batch"), ["64", "64", "16", "16"]);
    assert_eq!(values(&swept, "classifier", "epochs"), ["1", "2", "1", "2"]);
}

#[test]
fn skipped_points_are_left_out() {
    let swept = sweep(
        "over size 32 48\n over classifier.batch 16 32 64\n skip size=48 classifier.batch=16\n skip classifier.batch=64.0",
    );
    assert_eq!(values(&swept, "patches", "size"), ["32", "32", "48"]);
    assert_eq!(values(&swept, "classifier", "batch"), ["16", "32", "32"]);
    assert_eq!(swept.count, 3);
}

#[test]
fn a_value_brings_what_belongs_to_it_and_drops_what_belonged_to_the_old_one() {
    let swept =
        sweep("over classifier.loss {\n - bce\n - focal\n - focal gamma=1.5 class-weights=inverse-frequency\n }");
    assert_eq!(values(&swept, "classifier", "loss"), ["bce", "focal", "focal"]);
    assert_eq!(
        values(&swept, "classifier", "loss.gamma"),
        ["none", "3.0", "1.5"],
        "the pipeline's own, where it is the case's"
    );
    assert_eq!(values(&swept, "classifier", "loss.class-weights"), ["none", "none", "inverse-frequency"]);
    assert_eq!(swept.axes[0].values, ["bce", "focal", "focal gamma=1.5 class-weights=inverse-frequency"]);
}

#[test]
fn repeats_take_the_seeds_that_follow_and_come_after_all_values() {
    let swept = sweep("over classifier.epochs 1 2\n repeat 3");
    let seeds: Vec<u64> = swept.points.iter().map(|point| point.pipeline.stages[0].seed).collect();
    assert_eq!(seeds, [7, 7, 8, 8, 9, 9]);
    assert!(swept.axes[1].repeats && swept.axes[1].values == ["7", "8", "9"]);
    let only = sweep("repeat 2 only=classifier");
    let seeds = |stage: &str| -> Vec<u64> {
        let of =
            |point: &lang::spec::Point| point.pipeline.stages.iter().find(|one| one.name == stage).map(|one| one.seed);
        only.points.iter().filter_map(of).collect()
    };
    assert_eq!((seeds("classifier"), seeds("folds")), (vec![7, 8], vec![7, 7]));
    let two = sweep("repeat 2 { only classifier folds }");
    let second = two.points[1].pipeline.stages.iter().filter(|stage| stage.seed == 8);
    assert_eq!(second.map(|stage| stage.name.as_str()).collect::<Vec<_>>(), ["folds", "classifier"]);
}

#[test]
fn a_repeat_of_a_stage_in_a_body_repeats_it_in_every_instance() {
    let text = "stage fold {
        in patches type=patches { doc \"Patches.\" }
        out type=scores from=scores { doc \"Metrics.\" }
        body {
            split folds { from patches }
            train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 1 }
            eval scores { model classifier; data folds.test }
        }
    }
    pipeline p seed=7 {
        synthetic fundus
        extract patches { from fundus; size 64 }
        fold first { patches patches }
        fold second { patches patches }
    }
    sweep s { repeat 2 only=WHICH }";
    let seeds = |which: &str| -> Vec<(String, u64)> {
        let (text, mut sources) = (text.replace("WHICH", which), Sources::default());
        let (contents, diags) = lang::load_text("test.kdl", None, &text, &[], Points::All, &mut sources);
        assert!(diags.is_empty(), "{}", diag::render(&diags, &sources, Style::Plain, 100));
        let last = contents.sweeps[0].points.last().expect("two points").pipeline.stages.clone();
        last.into_iter().filter(|stage| stage.seed == 8).map(|stage| (stage.name, stage.seed)).collect()
    };
    let of = |names: &[&str]| -> Vec<(String, u64)> { names.iter().map(|name| ((*name).to_owned(), 8)).collect() };
    assert_eq!(seeds("classifier"), of(&["first.classifier", "second.classifier"]));
    assert_eq!(seeds("second.classifier"), of(&["second.classifier"]));
    assert_eq!(seeds("first"), of(&["first.folds", "first.classifier", "first.scores"]));
    // A stage of the pipeline of the same name is meant, and the others are not.
    let own = text
        .replace("WHICH", "scores")
        .replace("        fold second {", "        pool scores { of first; data patches }\n        fold second {");
    let diags = lang::load_text("test.kdl", None, &own, &[], Points::All, &mut Sources::default()).1;
    let found = diags.iter().find(|diag| diag.code == "sweep-axis").expect("a warning");
    assert_eq!(found.message, "`only scores` is the pipeline's own `scores`: `first.scores` keeps its seed");
}

#[test]
fn a_value_of_a_zip_may_stand_several_times() {
    let swept = sweep("zip { over size 32 32 48; over classifier.epochs 1 2 2 }\n skip size=48");
    assert_eq!(swept.count, 2);
    assert_eq!(values(&swept, "classifier", "epochs"), ["1", "2"]);
    assert_eq!(swept.points.iter().map(|point| point.at.clone()).collect::<Vec<_>>(), [[0, 0], [0, 1]]);
    assert_eq!(
        told("zip { over size 32 32 48; over classifier.epochs 1 1 2 }", &[], Points::All),
        [("sweep-axis".to_owned(), "32".to_owned())]
    );
}

#[test]
fn a_figure_to_rank_by_is_known_with_its_direction() {
    let swept = sweep("over classifier.epochs 1 2\n rank by=classifier.hamming-loss");
    let rank = swept.rank.expect("a rank");
    assert_eq!((rank.stage.as_str(), rank.metric.as_str(), rank.better), ("classifier", "hamming-loss", Better::Lower));
    let (_, diags, _) = load("over classifier.epochs 1 2\n rank by=scores.average-precision.MA", &[], Points::All);
    assert_eq!(codes(&diags), ["chosen-on-test"]);
}

/// What is wrong, and the text at its place.
fn told(sweep: &str, sets: &[&str], points: Points) -> Vec<(String, String)> {
    let (_, diags, sources) = load(sweep, sets, points);
    let place = |diag: &Diag| sources.get(diag.labels[0].span.file).text[diag.labels[0].span.range()].to_owned();
    diags.iter().map(|diag| (diag.code.to_owned(), place(diag))).collect()
}

#[test]
fn every_mistake_is_reported_at_its_place() {
    let cases: &[(&str, &str, &str)] = &[
        ("over classifier.epochs", "sweep-axis", "over classifier.epochs"),
        ("over", "missing-name", "over"),
        ("over classifier.epochs 1 two", "wrong-kind", "two"),
        ("over classifier.epochs 1 0", "out-of-range", "0"),
        ("over classifier.optimizer.lr 1e-3 0.001", "sweep-axis", "0.001"),
        ("over classifier.epoch 1 2", "unknown-param", "classifier.epoch"),
        ("over clasifier.epochs 1 2", "unknown-name", "clasifier.epochs"),
        ("over classifier.epochs 1 $size", "sweep-axis", "$size"),
        ("over classifier.loss bce gamma=2.0", "sweep-axis", "gamma=2.0"),
        ("over classifier.loss { - bce gamma=2.0 }", "wrong-case", "gamma"),
        ("over classifier.loss { bce }", "sweep-axis", "bce"),
        ("over size 32\n over size 48", "duplicate-name", "size"),
        ("zip { over size 32 48; over classifier.epochs 1 }", "sweep-axis", "classifier.epochs"),
        ("zip { skip size=3 }", "unknown-node", "skip"),
        ("zip", "sweep-axis", "zip"),
        ("over size 32 48\n skip sizes=32", "unknown-name", "sizes"),
        ("over size 32 48\n skip size=64", "unknown-name", "64"),
        ("over size 32 48\n skip size=32\n skip size=48", "sweep-axis", "s"),
        (
            "zip { over size 32 48; over classifier.epochs 1 2 }\n skip size=32 classifier.epochs=2",
            "sweep-axis",
            "skip size=32 classifier.epochs=2",
        ),
        ("over size 32 48\n skip", "sweep-axis", "skip"),
        ("repeat", "out-of-range", "repeat"),
        ("repeat 0", "out-of-range", "repeat 0"),
        ("repeat 2 only=clasifier", "unknown-name", "clasifier"),
        ("repeat 2 { only classifier fold }", "unknown-name", "fold"),
        ("repeat 2 { over classifier }", "unknown-node", "over"),
        ("repeat 2 only=classifier only=folds", "duplicate-param", "only=folds"),
        ("repeat 2 only=classifier folds", "out-of-range", "repeat 2 only=classifier folds"),
        ("repeat 2\n over seed 1 2", "duplicate-name", "seed"),
        ("repeat 2\n repeat 3", "duplicate-param", "repeat 3"),
        ("rank by=classifier.accuracy", "unknown-figure", "classifier.accuracy"),
        ("rank by=classifier", "unknown-figure", "classifier"),
        ("rank by=patches.size", "unknown-figure", "patches.size"),
        ("rank by=classifier.average-precision", "unknown-figure", "classifier.average-precision"),
        ("rank by=classifier.micro-f1.MA", "unknown-figure", "classifier.micro-f1.MA"),
        ("rank scores", "missing-param", "rank scores"),
        ("of bse", "unknown-name", "bse"),
        ("of \"missing.kdl\"", "unreadable-file", "\"missing.kdl\""),
        ("ovr size 1", "unknown-node", "ovr"),
        ("", "sweep-axis", "s"),
    ];
    for (text, code, place) in cases {
        assert_eq!(told(text, &[], Points::All), [((*code).to_owned(), (*place).to_owned())], "{text}");
        // An editor, which checks values one by one, tells the same.
        assert_eq!(told(text, &[], Points::OneByOne), [((*code).to_owned(), (*place).to_owned())], "{text}");
    }
}

#[test]
fn what_only_a_combination_brings_about_is_reported_once_with_its_values() {
    // The pipeline's own loss is focal: each value is right alone.
    let text = "over classifier.loss focal bce\n over classifier.loss.gamma 1.0 2.0";
    assert_eq!(told(text, &[], Points::OneByOne), []);
    let (_, diags, sources) = load(text, &[], Points::All);
    assert_eq!(codes(&diags), ["wrong-case"], "{}", diag::render(&diags, &sources, Style::Plain, 100));
    let labels: Vec<&str> =
        diags[0].labels.iter().map(|label| &sources.get(label.span.file).text[label.span.range()]).collect();
    assert!(labels.contains(&"bce") && labels.contains(&"1.0"), "{labels:?}");
}

#[test]
fn settings_reach_every_point_but_not_what_is_varied() {
    let (contents, diags, _) = load("over size 32 48", &["classifier.epochs=3", "seed=9"], Points::All);
    assert!(diags.is_empty());
    assert_eq!(values(&contents.sweeps[0], "classifier", "epochs"), ["3", "3"]);
    assert_eq!(contents.sweeps[0].points[0].pipeline.stages[0].seed, 9);
    assert_eq!(told("over size 32 48", &["size=16"], Points::All), [("sweep-axis".to_owned(), "size".to_owned())]);
    let group = told("over classifier.loss bce focal", &["classifier.loss.gamma=2.0"], Points::All);
    assert_eq!(group[0].0, "sweep-axis");
    // Who runs the pipeline alone may set what a sweep next to it varies.
    assert_eq!(told("over size 32 48", &["size=16"], Points::OneByOne), []);
}

#[test]
fn a_billion_points_are_refused_at_once() {
    let many: Vec<String> = (1..=1000).map(|value| value.to_string()).collect();
    let many = many.join(" ");
    let text = format!("over classifier.epochs {many}\n over classifier.batch {many}\n repeat 1000");
    let (contents, diags, _) = load(&text, &[], Points::All);
    assert_eq!(codes(&diags), ["too-many-points"]);
    assert!(contents.sweeps[0].points.is_empty());
    // Two thousand values are checked alone; a thousand million points would take weeks, and this test would not end.
}

#[test]
fn values_and_axes_without_end_are_refused() {
    let values: Vec<String> = (1..=60_000).map(|value| value.to_string()).collect();
    assert_eq!(told(&format!("over classifier.epochs {}", values.join(" ")), &[], Points::All)[0].0, "too-many-points");
    let axes: Vec<String> = (0..1000).map(|axis| format!("over patches.p{axis} 1")).collect();
    let codes: Vec<String> = told(&axes.join("\n"), &[], Points::OneByOne).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes.iter().filter(|code| *code == "too-many-points").count(), 1);
    assert!(codes.len() < 80, "{}", codes.len());
}

#[test]
fn a_sweep_names_its_pipeline_where_there_are_several() {
    let text = format!("{BASE}{}\nsweep s {{ over classifier.epochs 1 2 }}", BASE.replace("base", "other"));
    let load = |text: &str| lang::load_text("t.kdl", None, text, &[], Points::All, &mut Sources::default());
    assert_eq!(codes(&load(&text).1), ["missing-param"]);
    let (contents, diags) = load(&text.replace("sweep s {", "sweep s { of other;"));
    assert!(diags.is_empty(), "{diags:?}");
    assert_eq!(contents.sweeps[0].base.name, "other");
    let same = format!("{BASE}\nsweep base {{ over classifier.epochs 1 2 }}");
    assert_eq!(codes(&load(&same).1), ["duplicate-name"]);
}

#[test]
fn a_sweep_may_vary_another_files_pipeline() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("base.kdl"), BASE).expect("written");
    let main = folder.path().join("main.kdl");
    std::fs::write(&main, "sweep s {\n    of \"base.kdl\"\n    over classifier.epochs 1 2\n}\n").expect("written");
    let (contents, diags) = lang::load(&main, &[], Points::All, &mut Sources::default()).expect("readable");
    assert!(diags.is_empty(), "{diags:?}");
    assert_eq!((contents.pipelines.len(), contents.sweeps[0].points.len()), (0, 2));
}
