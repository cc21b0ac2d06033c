//! Pipelines that state only their difference from another.

use std::path::Path;

use macula::base::Sources;
use macula::diag::{Diag, Severity};
use macula::lang;
use macula::lang::spec::{Pipeline, Points};
use macula::lang::value::Value;

use super::codes;

const BASE: &str = r#"
pipeline base seed=7 {
    doc "The baseline."
    param size type=px default=64
    synthetic eyes
    extract tiles { from eyes; size $size; label min-pixels=1 min-share=0.1 }
    split folds { from tiles; train 0.6; valid 0.2; test 0.2 }
    train classifier {
        data folds.train
        valid folds.valid
        network shallow-cnn
        loss focal gamma=3.0
        optimizer sgd lr=0.1 momentum=0.5
        take MA=2 SE=3
        freeze block1 block2
    }
    threshold-tune cuts { model classifier; data folds.valid }
    eval scores { model classifier; thresholds cuts; data folds.test }
    report page { of scores }
}
"#;

/// The pipelines of `main.kdl` next to other files.
fn load(files: &[(&str, &str)]) -> (Vec<Pipeline>, Vec<Diag>) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let main = folder.path().join(Path::new("main.kdl"));
    let (contents, diags) = lang::load(&main, &[], Points::All, &mut Sources::default()).expect("it can be read");
    (contents.pipelines, diags)
}

/// What `difference` makes of the baseline.
#[track_caller]
fn made(difference: &str) -> Pipeline {
    let main = format!("pipeline other {{\n    extends \"base.kdl\"\n{difference}\n}}\n");
    let (mut pipelines, diags) = load(&[("base.kdl", BASE), ("main.kdl", &main)]);
    let errors: Vec<&Diag> = diags.iter().filter(|diag| diag.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    pipelines.remove(0)
}

fn param<'a>(pipeline: &'a Pipeline, stage: &str, param: &str) -> Option<&'a Value> {
    let stage = pipeline.stages.iter().find(|one| one.name == stage).unwrap_or_else(|| panic!("no `{stage}`"));
    stage.value(param)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn without_a_difference_it_is_the_same_but_for_its_name() {
    let same = made("");
    assert_eq!((same.name.as_str(), same.seed, same.doc.as_deref()), ("other", 7, Some("The baseline.")));
    let names: Vec<&str> = same.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["eyes", "tiles", "folds", "classifier", "cuts", "scores", "page"]);
    assert_eq!(param(&same, "classifier", "loss.gamma"), Some(&Value::Real(3.0)));
}

#[test]
fn a_stage_named_again_changes_what_it_says_and_keeps_the_rest() {
    let changed =
        made("    train classifier { loss bce; optimizer { lr 0.2 }; epochs 3; take { SE 5 }; freeze block3 }");
    let of = |name| param(&changed, "classifier", name);
    assert_eq!(of("loss"), Some(&text("bce")));
    assert_eq!(of("loss.gamma"), None, "what was said of the old case goes with it");
    assert_eq!((of("optimizer"), of("optimizer.lr")), (Some(&text("sgd")), Some(&Value::Real(0.2))));
    assert_eq!(of("optimizer.momentum"), Some(&Value::Real(0.5)));
    assert_eq!(of("epochs"), Some(&Value::Int(3)));
    let Some(Value::Map(take)) = of("take") else { panic!("a map") };
    assert_eq!(take.values().cloned().collect::<Vec<_>>(), [Value::Int(2), Value::Int(5)]);
    assert_eq!(of("freeze"), Some(&Value::List(vec![text("block3")])));
    let tiles = made("    extract tiles { label min-pixels=8 }");
    assert_eq!(param(&tiles, "tiles", "label.min-pixels"), Some(&Value::Int(8)));
    assert_eq!(param(&tiles, "tiles", "label.min-share"), Some(&Value::Real(0.1)));
}

#[test]
fn parameters_seed_and_doc_can_be_changed_and_stages_added_left_out_and_replaced() {
    let changed =
        made("    doc \"Smaller.\"\n    param size default=32\n    without page scores\n    report view { of cuts }");
    assert_eq!(param(&changed, "tiles", "size"), Some(&Value::Int(32)));
    assert_eq!(changed.doc.as_deref(), Some("Smaller."));
    let names: Vec<&str> = changed.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, ["eyes", "tiles", "folds", "classifier", "cuts", "view"]);
    let replaced = made("    idrid eyes { root \"data\" }");
    assert_eq!(replaced.stages[0].stage_type, "idrid");
    let main = "pipeline other seed=9 { extends \"base.kdl\" }";
    assert_eq!(load(&[("base.kdl", BASE), ("main.kdl", main)]).0[0].seed, 9);
}

#[test]
fn a_pipeline_of_the_same_file_and_chains_can_be_extended() {
    let main = "pipeline far { extends near; train classifier { epochs 9 } }
pipeline near { extends \"base.kdl\" pipeline=base; train classifier { loss bce } }";
    let (pipelines, diags) = load(&[("base.kdl", BASE), ("main.kdl", main)]);
    assert!(diags.is_empty(), "{diags:#?}");
    assert_eq!(param(&pipelines[0], "classifier", "epochs"), Some(&Value::Int(9)));
    assert_eq!(param(&pipelines[0], "classifier", "loss"), Some(&text("bce")));
}

#[test]
fn what_is_wrong_is_reported_where_it_stands() {
    for (main, code) in [
        ("pipeline a { extends \"base.kdl\"; without pge }", "unknown-name"),
        ("pipeline a { extends \"basis.kdl\" }", "unreadable-file"),
        ("pipeline a { extends \"base.kdl\" pipeline=basis }", "unknown-name"),
        ("pipeline a { extends }", "missing-name"),
        ("pipeline a { extends b }", "unknown-name"),
        ("pipeline a { extends b }\npipeline b { extends a }", "cycle"),
        ("pipeline a { extends \"main.kdl\" }", "cycle"),
        ("pipeline a { extends \"two.kdl\" }", "unknown-name"),
        ("pipeline a { extends \"none.kdl\" }", "no-pipeline"),
        ("pipeline a seed=1 { without page; synthetic eyes }", "unknown-node"),
        ("pipeline a { extends \"base.kdl\"; extends \"base.kdl\" }", "duplicate-param"),
        ("pipeline a { extends \"base.kdl\"; train classifier { loss focal gama=1.0 } }", "unknown-param"),
        ("pipeline a { extends \"base.kdl\"; without tiles }", "unknown-name"),
    ] {
        let two = "pipeline one seed=1 { synthetic eyes }\npipeline two seed=1 { synthetic eyes }\n";
        let files = [("base.kdl", BASE), ("two.kdl", two), ("none.kdl", ""), ("main.kdl", main)];
        let found = codes(&load(&files).1);
        assert!(found.contains(&code), "{main}: {found:?}");
    }
}
