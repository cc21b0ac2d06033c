//! What is shown of results and runs on a screen of 80 columns and 24 rows: the most important first, and how to see the rest.

use std::collections::BTreeMap;

use macula::lang::signature::Better;
use macula::lang::spec::Rank;
use macula::progress::table::Grid;
use macula::report::comparison::{Comparison, Experiment, ExperimentState, Repeats};
use serde_json::Value;

use crate::space::{Said, Space};

const PIPELINE: &str = "pipeline small seed=7 {
    synthetic eyes { photographs 12; size 192; photographs-per-patient 1; severity 2.0 }
    extract patches { from eyes; size 32; masks #true }
    split folds { from patches; by patient; train 0.34; valid 0.33; test 0.33 }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn; epochs 10; batch 32 }
    threshold-tune cuts { model classifier; data folds.valid; maximize f1 }
    eval scores { model classifier; thresholds cuts; data folds.test }
}
";

/// Fails unless all that was said fits the screen.
#[track_caller]
fn fits(said: Said) -> Said {
    let lines: Vec<&str> = said.raw.lines().collect();
    assert!(lines.len() <= 24, "{} lines:\n{}", lines.len(), said.raw);
    let wide = lines.iter().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None, "wider than 80 columns:\n{}", said.raw);
    said
}

/// The ids of the runs, the newest first.
fn ids(space: &Space) -> Vec<String> {
    let id = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["id"].as_str().expect("text").to_owned();
    space.macula("runs pipeline.kdl --json").code(0).raw.lines().map(id).collect()
}

#[test]
fn the_first_screen_has_what_matters_and_all_has_the_rest() {
    let space = Space::with(PIPELINE);
    let listed = fits(space.macula("show pipeline.kdl").code(0));
    listed.says(&["small: 6 stages; not run yet", "scores      eval            not run"]);
    space.macula("run pipeline.kdl").code(0);

    let said = fits(space.macula("show pipeline.kdl scores").code(0)).says(&[
        "scores, eval, computed in run ",
        "; chance (prevalence) 0.",
        "evaluated on `folds.test`: ",
        " healthy), ",
        "at the tuned thresholds: micro F1 0.",
        "by class (F1, precision and recall at the tuned thresholds)",
        " in results/small/scores/",
    ]);
    let last = said.raw.lines().last().unwrap_or_default();
    assert!(last.starts_with("7 more tables") && last.ends_with(": `macula show pipeline.kdl scores --all`"), "{last}");
    let said = said.says_not(&["recall by lesion area", "co-occurring"]);
    assert!(said.raw.contains("\nmean "), "no row of the table is left out:\n{}", said.raw);
    let head = said.raw.lines().find(|line| line.starts_with("class ")).expect("a table by class");
    assert!(["AP", "prevalence", "F1", "precision", "recall"].iter().all(|column| head.contains(column)), "{head}");
    let all = space.macula("show pipeline.kdl scores --all").code(0);
    all.says(&["recall by lesion area", "co-occurring", "curves.parquet"]).says_not(&["--all"]);

    let said = fits(space.macula("show pipeline.kdl classifier").code(0));
    let curve = said.says(&["8 of 10 epochs", "valid AP", "train loss", "* chosen", "--all`"]);
    assert!(curve.raw.find("epoch ") < curve.raw.find("8 of 10 epochs"), "{}", curve.raw);
    space.macula("show pipeline.kdl classifier --all").code(0).says(&["training labels", "subset AP"]);
    for stage in ["eyes", "patches", "folds", "folds.test", "cuts"] {
        fits(space.macula(&format!("show pipeline.kdl {stage}")).code(0));
    }

    let listed = fits(space.macula("show pipeline.kdl").code(0));
    let listed = listed.says(&["small: 6 stages; last run ", ", done", "validation AP 0.", "one stage: `macula show"]);
    let line = listed.raw.lines().find(|line| line.starts_with("scores ")).expect("a line");
    assert!(line.contains("eval") && line.contains("cached") && line.contains("mean AP 0."), "{line}");
    let shown = space.macula("show pipeline.kdl --json").code(0);
    let shown: Value = serde_json::from_str(&shown.raw).expect("JSON");
    assert!(shown["stages"][5]["figures"]["mean-average-precision"].is_number(), "{shown}");
    space.edit("pipeline.kdl", "epochs 10", "epochs 11");
    let listed = fits(space.macula("show pipeline.kdl").code(0)).says(&["outdated"]).raw;
    let state = |stage: &str| listed.lines().find(|line| line.starts_with(stage)).unwrap_or_default().to_owned();
    assert!(state("folds ").contains("cached") && state("scores ").contains("outdated"), "{listed}");

    // A file of a stage is found, and one that does not exist is not mistaken for an output.
    let said = space.macula("show pipeline.kdl scores.parquet").code(2);
    said.says(&["the stage `scores` has no file `scores.parquet`", "`curves.parquet`", "`predictions.parquet`"]);
    space.macula("show pipeline.kdl curves.parquet").code(2).says(&["pandas.read_parquet", "results/small/cuts"]);
}

#[test]
fn runs_say_what_changed_and_are_named_by_a_few_characters() {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl").code(0);
    space.edit("pipeline.kdl", "epochs 10", "epochs 2");
    space.edit("pipeline.kdl", "batch 32", "batch 16");
    space.macula("run pipeline.kdl").code(0);
    space.macula("run pipeline.kdl").code(0);
    let said = fits(space.macula("runs pipeline.kdl").code(0)).says(&[
        "small: 3 runs; mean AP is scores.mean-average-precision",
        "classifier.batch 32 -> 16",
        "no change, all cached",
        "first run",
    ]);
    fits(space.macula("runs pipeline.kdl --by scores.micro-f1").code(0))
        .says(&["micro-f1 is scores.micro-f1", "ended  micro-f1"]);
    space
        .macula("runs pipeline.kdl --by scores.micro-f2")
        .code(2)
        .says(&["unknown metric", "did you mean `scores.micro-f1`?"]);
    let of_other_stage = space.macula("runs pipeline.kdl --by evaluation.micro-f1").code(2);
    of_other_stage.says(&["unknown metric", "did you mean `scores.micro-f1`?"]);
    let ids = ids(&space);
    let lines: Vec<&str> = said.raw.lines().filter(|line| line.contains(" done ")).collect();
    assert_eq!(lines.len(), 3, "{}", said.raw);
    let short: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next()).collect();
    for (short, id) in short.iter().zip(&ids) {
        let part = id.rsplit('-').next().unwrap_or_default();
        assert!(short.len() >= 4 && part.starts_with(short), "{short} of {id}");
        space.macula(&format!("store pin {short}")).code(0).says(&["pinned run ", &id[8..]]);
        space.macula(&format!("store unpin {short}")).code(0).says(&["unpinned run ", &id[8..]]);
        let why = space.macula(&format!("why pipeline.kdl classifier --since {short}")).code(0);
        why.says(&[&format!("{} it was ", &id[8..])]);
    }
    fits(space.macula(&format!("compare {} {}", short[0], short[2])).code(0)).says(&[short[0], short[2], "AUROC"]);
    // All ids begin with the century.
    let several = space.macula("compare 20").code(2).says(&["`20` matches 3 runs", "(small, "]);
    assert!(short.iter().all(|short| several.stderr.contains(&format!("{short} ("))), "{}", several.stderr);
    space.macula("store pin 20").code(2).says(&["`20` matches 3 runs"]);
    space.macula("store pin zz").code(2).says(&["unknown run `zz`", "macula runs"]);
    fits(space.macula("compare pipeline.kdl").code(0)).says(&["small: 2 runs (left out: 1 that computed nothing new)"]);

    // The time is that of the machine's time zone; JSON has UTC.
    let started = |zone: &str| {
        let mut command = space.command(&["runs", "pipeline.kdl", "-n", "1"]);
        command.env("TZ", zone);
        let said = space.finish(command).code(0).says(&["and 2 more: `macula runs pipeline.kdl -n 3`"]).raw;
        let line = said.lines().find(|line| line.contains(" done ")).expect("a run").to_owned();
        line.split("  ").nth(1).expect("a time").to_owned()
    };
    assert_ne!(started("XXX-5"), started("XXX+5"));
    assert_eq!(started("UTC").replace(['-', ' ', ':'], "")[..12], ids[0].replace('-', "")[..12]);
}

#[test]
fn the_store_counts_what_nothing_needs_in_one_way() {
    let space = Space::with(
        "pipeline small seed=1 {
    synthetic eyes { photographs 3; size 128 }
    extract patches { from eyes; size 32 }
}
",
    );
    space.macula("run pipeline.kdl").code(0);
    space.edit("pipeline.kdl", "size 32", "size 16");
    space.macula("run pipeline.kdl").code(0);
    let sizes = || {
        let stats = space.macula("store stats --json").code(0).raw;
        let stats: Value = serde_json::from_str(&stats).expect("JSON");
        let flat = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let freed = flat(space.macula("store gc --dry-run").code(0).raw);
        let words = flat(fits(space.macula("store stats").code(0)).raw);
        (stats["unreferenced"].as_u64().expect("a number"), freed, words)
    };
    let (before, freed, words) = sizes();
    assert!(freed.contains(&format!(" in total, {before} B of them unreferenced")), "{before} {freed}");
    assert!(words.contains(&format!(" {before} B unreferenced (`macula store gc` frees")), "{words}");
    // Without its record, a result is referenced by nothing.
    let records = space.files(".macula/v1/actions");
    for record in &records {
        std::fs::remove_file(space.path(&format!(".macula/v1/actions/{record}"))).expect("removed");
    }
    std::fs::remove_dir_all(space.path(".macula/v1/items")).expect("removed");
    let (after, freed, _) = sizes();
    assert!(after > before + 1000, "{before} {after}");
    fits(space.macula("store gc").code(0));
    assert_eq!(sizes().0, 0, "{freed}");
    for command in ["store verify", "store gc --keep-runs 1 --dry-run"] {
        fits(space.macula(command).code(0));
    }
}

#[test]
fn a_repaired_result_is_of_a_run_that_is_listed() {
    let space = Space::with(
        "pipeline small seed=1 {
    synthetic eyes { photographs 3; size 128 }
    extract patches { from eyes; size 32 }
}
",
    );
    space.macula("run pipeline.kdl").code(0);
    let shown: Value =
        serde_json::from_str(&space.macula("show pipeline.kdl patches --json --no-pictures").code(0).raw)
            .expect("JSON");
    let digest = shown["outputs"]["out"]["files"][0]["digest"].as_str().expect("a digest").to_owned();
    let object = format!(".macula/v1/objects/{}/{}", &digest[..2], &digest[2..]);
    std::fs::remove_file(space.path(&object)).expect("removed");
    let id = ids(&space).remove(0);
    space.macula("store repair").code(0).says(&["recomputed in ", &id[8..]]);
    assert_eq!(ids(&space), [id.as_str()]);
    space.macula("show pipeline.kdl patches").code(0).says(&["patches, extract, computed in run "]);
    space.macula("store verify").code(0).says(&["store is intact"]);
}

/// Points of a sweep over `axes` parameters with two values each, measured on four classes.
fn points(axes: usize, repeats: usize) -> (Vec<Experiment>, Vec<String>) {
    let names: Vec<String> = (0..axes).map(|axis| format!("parameter{axis}")).collect();
    let metrics = |value: f64| {
        let all = ["mean-average-precision", "mean-auroc", "micro-f1", "macro-f1", "hamming-loss", "subset-accuracy"];
        let classes = ["MA", "HE", "EX", "SE"].map(|class| format!("average-precision.{class}"));
        all.map(str::to_owned).into_iter().chain(classes).map(|name| (name, value)).collect::<BTreeMap<_, _>>()
    };
    let mut rows = Vec::new();
    for point in 0..1 << axes {
        for repeat in 0..repeats {
            let value = |axis: usize| ["shallow-cnn", "resnet18"][point >> axis & 1].to_owned();
            rows.push(Experiment {
                name: format!("point {}", rows.len() + 1),
                settings: names.iter().cloned().zip((0..axes).map(value)).collect(),
                seed: repeat.to_string(),
                figures: [("scores".to_owned(), metrics(0.5 + 0.001 * (point * 7 + repeat) as f64))].into(),
                state: ExperimentState::Done,
                ..Experiment::default()
            });
        }
    }
    (rows, names)
}

#[test]
fn a_comparison_of_four_classes_and_several_axes_fits_and_says_what_each_row_is() {
    for (axes, repeats, shown) in [(1, 1, 1), (2, 3, 2), (3, 3, 3), (4, 1, 4), (5, 3, 4)] {
        let (rows, names) = points(axes, repeats);
        let rank =
            Rank { stage: "scores".to_owned(), metric: "mean-average-precision".to_owned(), better: Better::Higher };
        let comparison = Comparison::new(rows, &names, Some(rank), Repeats::Together);
        let (table, importance) = comparison.table(20, &str::to_owned);
        let (text, left_out) = Grid::from(&table).priorities(&importance).fit(80);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let of_axes = names.iter().filter(|name| text.contains(name.as_str())).count();
        assert!(of_axes >= shown && text.contains("mean"), "{axes} axes, {left_out:?}:\n{text}");
        assert!(text.contains("resnet18") && text.contains("shallow-"), "{text}");
    }
}
