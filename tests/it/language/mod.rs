//! The language: what is said of a file, and what is made of it.

mod extends;
mod flow;
mod format;
mod fuzz;
mod hints;
mod keys;
mod library;
mod mistakes;
mod modules;
mod networks;
mod packages;
mod properties;
mod repeats;
mod replay;
mod schema;
mod suite;
mod sweeps;
mod taps;
mod templates;

use macula::base::Sources;
use macula::diag::Diag;
use macula::lang;
use macula::lang::spec::{Pipeline, Points};
use macula::lang::value::Value;

/// What is made of a text.
fn load(text: &str) -> (Vec<Pipeline>, Vec<Diag>) {
    set(text, &[])
}

/// What is made of a text with `--set` arguments.
fn set(text: &str, sets: &[&str]) -> (Vec<Pipeline>, Vec<Diag>) {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    let (contents, diags) = lang::load_text("test.kdl", None, text, &sets, Points::All, &mut Sources::default());
    (contents.pipelines, diags)
}

fn codes(diags: &[Diag]) -> Vec<&'static str> {
    diags.iter().map(|diag| diag.code).collect()
}

const BASELINE: &str = r#"
use "std:networks/resnet18"

pipeline patch-baseline seed=7 {
    doc "ResNet18 on balanced lesion patches, focal loss."
    param size type=px default=128

    idrid fundus { root "data/idrid" }
    weights imagenet { file "weights/resnet18.safetensors" }

    extract patches { from fundus; size $size; label min-pixels=1 }
    filter-black visible { from patches }
    split folds { from visible; by image; train 0.70; valid 0.15; test 0.15 }
    rebalance balanced { from folds.train; lesions undersample to=smallest; healthy per-lesion-patch=2.0 }
    augment views { from balanced; flip horizontal=0.5; rotate degrees=15; color-jitter brightness=0.2 contrast=0.2 saturation=0.2 hue=0.02 }
    train classifier {
        data views
        valid folds.valid
        init imagenet
        network resnet18
        loss focal gamma=2.0 class-weights=inverse-frequency
        optimizer adam lr=1e-4 weight-decay=1e-5
        epochs 20
        batch 64
    }
    threshold-tune cuts { model classifier; data folds.valid; maximize f1 }
    eval scores { model classifier; thresholds cuts; data folds.test }
    report page { of scores }
}
"#;

#[test]
fn the_baseline_of_the_design_is_right() {
    let (pipelines, diags) = load(BASELINE);
    assert_eq!(diags, []);
    let train = pipelines[0].stages.iter().find(|stage| stage.stage_type == "train").expect("it trains");
    assert_eq!(train.params["loss.gamma"].value, Value::Real(2.0));
    assert_eq!(train.params["optimizer.beta1"].value, Value::Real(0.9), "defaults are filled in");
}

#[test]
fn every_pipeline_in_the_language_page_is_right() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/language.md")).expect("the page");
    let blocks: Vec<&str> = page.split("```kdl\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 2, "the page has examples");
    // The page's first pipeline is that which others on it extend.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("baseline.kdl"), blocks[0]).expect("written");
    let networks = blocks.iter().find(|block| block.starts_with("network tiny")).expect("it describes a network");
    std::fs::write(folder.path().join("networks.kdl"), networks).expect("written");
    for block in blocks {
        let path = folder.path().join("block.kdl");
        std::fs::write(&path, block).expect("written");
        let (contents, diags) = lang::load(&path, &[], Points::All, &mut Sources::default()).expect("readable");
        assert_eq!((contents.pipelines.len(), codes(&diags)), (1, Vec::new()), "{block}");
    }
}

#[test]
fn every_pipeline_of_the_project_is_right() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/pipelines");
    let mut found = 0;
    for entry in std::fs::read_dir(folder).expect("the folder").flatten() {
        let (_, diags) = lang::load(&entry.path(), &[], Points::All, &mut Sources::default()).expect("readable");
        let errors: Vec<&Diag> = diags.iter().filter(|diag| diag.severity == macula::diag::Severity::Error).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", entry.path().display());
        found += 1;
    }
    assert!(found > 0);
}
