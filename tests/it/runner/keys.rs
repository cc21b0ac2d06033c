//! What is part of a key and what is not.

use std::collections::BTreeMap;

use macula::base::Digest;
use macula::lang::spec::{Pipeline, StageSpec};
use macula::lang::value::Value;
use macula::plan::{Explanation, Reason};
use macula::store::{Kind, Manifest};
use proptest::prelude::*;

use super::bench::{Bench, With, pipeline, seeded, source, stage, wrap};

fn branching() -> Vec<StageSpec> {
    vec![
        source("in", "file", "in.txt"),
        wrap("one", "in", "a").with("level", Value::Real(0.5)),
        wrap("two", "one", "b").with("deep", Value::List(vec![Value::Int(1), Value::Int(2)])),
        stage("halves", "halves").given("from", &["two"]).makes(&["left", "right"]),
        stage("dice", "draws"),
        stage("all", "join").given("of", &["one", "halves.left", "halves.right", "dice"]),
    ]
}

fn keys(bench: &Bench, pipeline: &Pipeline) -> BTreeMap<String, Option<Digest>> {
    let came = bench.run(pipeline).done();
    came.report.record.stages.into_iter().map(|(name, stage)| (name, stage.key)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    #[test]
    fn a_permuted_pipeline_keeps_all_keys(order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle()) {
        let bench = Bench::new();
        bench.write("in.txt", "x\n");
        let stages = branching();
        let permuted: Vec<StageSpec> = order.iter().map(|at| stages[*at].clone()).collect();
        prop_assert_eq!(keys(&bench, &pipeline(stages)), keys(&bench, &pipeline(permuted)));
    }
}

#[test]
fn any_changed_parameter_changes_its_stage_s_key() {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    let before = keys(&bench, &pipeline(branching()));
    let changes: [(&str, &str, Value); 4] = [
        ("one", "add", Value::Text("A".into())),
        ("one", "level", Value::Int(0)),
        ("two", "deep", Value::List(vec![Value::Int(2), Value::Int(1)])),
        ("two", "more", Value::None),
    ];
    for (name, param, value) in changes {
        let mut stages = branching();
        let changed = stages.iter_mut().find(|stage| stage.name == name).expect("it is there");
        changed.params.insert(param.into(), value.into());
        let after = keys(&bench, &pipeline(stages));
        assert_ne!(before[name], after[name], "{name}.{param}");
        let others = ["in", "one", "dice"].into_iter().filter(|other| *other != name);
        others.for_each(|other| assert_eq!(before[other], after[other], "{name}.{param} must not touch {other}"));
    }
}

#[test]
fn the_seed_counts_where_it_is_used() {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    let before = keys(&bench, &pipeline(branching()));
    let mut other = pipeline(branching());
    seeded(&mut other, 8);
    let after = keys(&bench, &other);
    assert_eq!(before["one"], after["one"]);
    assert_ne!(before["dice"], after["dice"]);
}

#[test]
fn the_order_of_a_port_s_references_counts() {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    let joined = |of: &[&str]| {
        let stages = vec![
            source("in", "file", "in.txt"),
            wrap("one", "in", "a"),
            wrap("two", "in", "b"),
            stage("all", "join").given("of", of),
        ];
        keys(&bench, &pipeline(stages))["all"]
    };
    assert_ne!(joined(&["one", "two"]), joined(&["two", "one"]));
    assert_ne!(joined(&["one"]), joined(&["one", "one"]));
}

#[test]
fn a_key_is_golden() {
    let mut manifest = Manifest::default();
    manifest.text(Kind::Implementation, "implementation", "extract");
    manifest.int(Kind::Implementation, "version", 1);
    manifest.push(Kind::Parameter, "size", "128", Digest::of(b"128"));
    manifest.push(Kind::Input, "from", "fundus", Digest::of(b"tree"));
    assert_eq!(manifest.key().short(), "89e74336", "a changed key format computes all stores anew");
    let shown_otherwise = Manifest {
        fields: manifest
            .fields
            .iter()
            .map(|field| macula::store::Field { shown: String::new(), ..field.clone() })
            .collect(),
    };
    assert_eq!(manifest.key(), shown_otherwise.key());
}

#[test]
fn a_path_counts_only_for_sources() {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    let wrong = stage("bad", "takes-path").given("from", &["in"]).add("a").with("path", Value::Path("in.txt".into()));
    let came = bench.run(&pipeline(vec![source("in", "file", "in.txt"), wrong]));
    assert!(came.report.failed[0].error.to_string().contains("is a path, but the stage is not a source"));
}

#[test]
fn why_reports_old_and_new_values() {
    let bench = Bench::new();
    bench.write("in.txt", "x\n");
    bench.run(&pipeline(branching())).done();
    let mut stages = branching();
    stages[1].params.insert("level".into(), Value::Real(0.75).into());
    let mut found: Vec<(String, String)> = Vec::new();
    bench.explain(&pipeline(stages), |name, _, why: &Explanation| {
        if let Some(Reason::Changed(differences)) = &why.reason {
            found.extend(differences.iter().map(|difference| {
                let shown = |value: &Option<String>| value.clone().unwrap_or_default();
                (
                    format!("{name}.{}", difference.path),
                    format!("{} -> {}", shown(&difference.old), shown(&difference.new)),
                )
            }));
        }
    });
    assert_eq!(found, [("one.level".to_owned(), "0.5 -> 0.75".to_owned())]);
}

#[test]
fn a_fix_that_concerns_some_parameters_re_keys_only_the_stages_with_them() {
    use macula::stage::Implementation;
    let mut bench = Bench::new();
    bench.write("in.txt", "x\n");
    let before = keys(&bench, &pipeline(branching()));
    let fixed = super::stages::ALL.iter().map(|known| match known.name {
        "wrap" => Implementation {
            version: 2,
            revised: Some(|params| if params.get("add") == Some(&Value::Text("b".into())) { 2 } else { 1 }),
            ..*known
        },
        _ => Implementation { ..*known },
    });
    bench.implementations = Box::leak(fixed.collect::<Vec<_>>().into_boxed_slice());
    let after = bench.run(&pipeline(branching())).done();
    assert_eq!(after.computed(), ["two"], "`one` has another value of `add`, and what `two` makes is the same again");
    let after: BTreeMap<_, _> = after.report.record.stages.into_iter().map(|(name, stage)| (name, stage.key)).collect();
    let moved: Vec<&String> = before.keys().filter(|name| before[*name] != after[*name]).collect();
    assert_eq!(moved, ["two"]);
}
