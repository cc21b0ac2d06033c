//! All points of a sweep in one graph: equal stages are shared, and every stage is the same as in its own pipeline.

use std::collections::{BTreeMap, BTreeSet};

use macula::base::Sources;
use macula::lang::spec::{Pipeline, Points, StageSpec, Sweep};
use macula::lang::{self};
use macula::plan::{Merged, merge};
use macula::stages::registry;

const TEXT: &str = r"
pipeline base seed=7 {
    synthetic eyes { photographs 4; size 192 }
    extract patches { from eyes; size 48 }
    split folds { from patches }
    train classifier { data folds.train; valid folds.valid; network shallow-cnn }
    eval scores { model classifier; data folds.test }
    report page { of scores }
}
sweep s {
    over patches.label.min-pixels 1 4
    over classifier.loss { - bce; - focal gamma=2.0 }
    over scores.zero-division undefined 0
    repeat 2 only=classifier
}
";

fn merged(text: &str) -> (Sweep, Merged) {
    let (mut contents, diags) = lang::load_text("t.kdl", None, text, &[], Points::All, &mut Sources::default());
    assert!(diags.is_empty(), "{diags:?}");
    let sweep = contents.sweeps.remove(0);
    let merged = merge(&sweep, registry());
    (sweep, merged)
}

fn stage<'a>(pipeline: &'a Pipeline, name: &str) -> &'a StageSpec {
    pipeline.stages.iter().find(|stage| stage.name == name).unwrap_or_else(|| panic!("no `{name}`"))
}

#[test]
fn equal_stages_are_one() {
    let (sweep, merged) = merged(TEXT);
    assert_eq!(sweep.points.len(), 16);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for stage in &merged.pipeline.stages {
        *counts.entry(&stage.base_name).or_default() += 1;
    }
    let expected = [("classifier", 8), ("eyes", 1), ("folds", 2), ("page", 16), ("patches", 2), ("scores", 16)];
    assert_eq!(counts, BTreeMap::from(expected));
    assert_eq!((merged.before, merged.shared), (96, 13));
}

#[test]
fn names_distinguish_stages_and_say_what_makes_the_difference() {
    let (_, merged) = merged(TEXT);
    let names: BTreeSet<&str> = merged.pipeline.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names.len(), merged.pipeline.stages.len());
    for name in [
        "eyes",
        "patches@min-pixels=4",
        "classifier@min-pixels=1,loss=focal-gamma-2.0,seed=8",
        "scores@min-pixels=1,loss=bce,zero-division=0,seed=7",
    ] {
        assert!(names.contains(name), "{name} of {names:?}");
    }
}

/// A stage and everything it is made from, without any names but its own.
fn unfolded(pipeline: &Pipeline, name: &str) -> String {
    let stage = stage(pipeline, name);
    let inputs: Vec<String> = stage
        .inputs
        .iter()
        .flat_map(|input| input.from.iter().map(move |from| (input, from)))
        .map(|(input, from)| format!("{}={}.{}", input.port, unfolded(pipeline, &from.stage), from.port))
        .collect();
    let seeded = registry().iter().any(|known| known.name == stage.implementation && known.seeded);
    let seed = if seeded { stage.seed } else { 0 };
    format!("({} {} {seed} {:?} {})", stage.base_name, stage.stage_type, stage.values(), inputs.join(" "))
}

#[test]
fn every_stage_of_every_point_is_what_it_would_be_alone() {
    let (sweep, merged) = merged(TEXT);
    for (point, places) in sweep.points.iter().zip(&merged.stage_names) {
        for stage in &point.pipeline.stages {
            let alone = unfolded(&point.pipeline, &stage.name);
            assert_eq!(alone, unfolded(&merged.pipeline, &places[&stage.name]), "`{}`", stage.name);
        }
    }
}

#[test]
fn values_that_come_to_the_same_are_one_stage_and_keep_their_names_apart() {
    // Both spell out a default: the points are the same experiment.
    let text = TEXT.replace(
        "over classifier.loss { - bce; - focal gamma=2.0 }",
        "over classifier.loss { - focal; - focal gamma=2.0 }",
    );
    let (sweep, merged) = merged(&text);
    assert_eq!(sweep.points.len(), 16);
    let classifiers = merged.pipeline.stages.iter().filter(|stage| stage.base_name == "classifier").count();
    assert_eq!(classifiers, 4);
    let names: BTreeSet<&str> = merged.pipeline.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names.len(), merged.pipeline.stages.len());
}
