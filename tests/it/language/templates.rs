//! Stages with bodies: what they become, and what is said of them.

use std::fmt::Write as _;

use macula::base::Sources;
use macula::diag::{self, Style};
use macula::lang;
use macula::lang::spec::Points;
use macula::lang::value::Value;

use super::{codes, load, set};

const BALANCED: &str = r#"
stage balanced {
    doc "Patches with as many of each lesion as the rarest has."
    in photographs type=photographs { doc "Any." }
    out train type=patches from=fair main=#true { doc "Drawn." }
    out valid type=patches from=folds.valid { doc "As they are." }
    out test type=patches from=folds.test { doc "As they are." }
    param size type=px default=128 { doc "Side of a patch." }
    param edge type=text optional=#true { doc "The rule at the edge." }
    body {
        extract tiles { from photographs; size $size; edge $edge }
        split folds { from tiles }
        rebalance fair { from folds.train; lesions undersample to=smallest }
    }
}
"#;

fn with_balanced(pipeline: &str) -> String {
    format!("{BALANCED}\npipeline p seed=1 {{\n{pipeline}\n}}\n")
}

const USED: &str = "synthetic eyes
    balanced patches { photographs eyes; size 64 }
    train classifier { data patches; valid patches.valid; network shallow-cnn }
    threshold-tune cuts { model classifier; data patches.valid }
    eval scores { model classifier; thresholds cuts; data patches.test }";

/// Kind, inputs and parameters of each stage, by name.
fn stages(text: &str, sets: &[&str]) -> Vec<(String, String)> {
    let (pipelines, diags) = set(text, sets);
    assert!(diags.is_empty(), "{diags:#?}\n{text}");
    let shown = |stage: &lang::spec::StageSpec| {
        let inputs = stage.inputs.iter().map(|input| {
            let from = input.from.iter().map(|from| format!("{}.{}", from.stage, from.port)).collect::<Vec<_>>();
            format!("{}={}", input.port, from.join("+"))
        });
        let params = stage.values().into_iter().map(|(name, value)| format!("{name}={value}"));
        (stage.name.clone(), inputs.chain(params).collect::<Vec<_>>().join(" "))
    };
    pipelines[0].stages.iter().map(shown).collect()
}

#[test]
fn an_instance_is_the_stages_of_its_body() {
    let written_out = stages(
        "pipeline p seed=1 {
    synthetic eyes
    extract tiles { from eyes; size 64 }
    split folds { from tiles }
    rebalance fair { from folds.train; lesions undersample to=smallest }
    train classifier { data fair; valid folds.valid; network shallow-cnn }
    threshold-tune cuts { model classifier; data folds.valid }
    eval scores { model classifier; thresholds cuts; data folds.test }
}",
        &[],
    );
    let mut expanded = stages(&with_balanced(USED), &[]);
    for (name, facts) in &mut expanded {
        *name = name.replace("patches.", "");
        *facts = facts.replace("patches.", "");
    }
    let sorted = |mut all: Vec<(String, String)>| {
        all.sort();
        all
    };
    assert_eq!(sorted(expanded), sorted(written_out));
}

#[test]
fn its_outputs_are_known_by_name() {
    let (pipelines, _) = load(&with_balanced(USED));
    let [instance] = pipelines[0].instances.as_slice() else { panic!("one instance") };
    assert_eq!((instance.name.as_str(), instance.stage_type.as_str()), ("patches", "balanced"));
    let outputs: Vec<String> =
        instance.outputs.iter().map(|(port, from)| format!("{port}: {}.{}", from.stage, from.port)).collect();
    assert_eq!(outputs, ["train: patches.fair.out", "valid: patches.folds.valid", "test: patches.folds.test"]);
    let outlet = |name: &str| pipelines[0].outlet(name).map(|from| format!("{}.{}", from.stage, from.port));
    assert_eq!(outlet("patches").as_deref(), Some("patches.fair.out"), "its main output");
    assert_eq!(outlet("patches.valid").as_deref(), Some("patches.folds.valid"));
    assert_eq!([outlet("patches.tiles"), outlet("eyes"), outlet("patches.vald")], [None, None, None]);
}

fn param<'a>(stages: &'a [(String, String)], stage: &str) -> &'a str {
    &stages.iter().find(|(name, _)| name == stage).unwrap_or_else(|| panic!("no `{stage}` in {stages:?}")).1
}

#[test]
fn settings_reach_an_instance_and_what_lies_in_it() {
    let text = with_balanced(USED);
    assert!(param(&stages(&text, &[]), "patches.tiles").contains("size=64"));
    assert!(param(&stages(&text, &["patches.size=32"]), "patches.tiles").contains("size=32"));
    assert!(param(&stages(&text, &["patches.tiles.size=16"]), "patches.tiles").contains("size=16"));
    assert!(param(&stages(&text, &["patches.fair.lesions=keep"]), "patches.fair").contains("lesions=keep"));
    assert!(param(&stages(&text, &[]), "patches.tiles").contains("edge=drop"), "absent: the default of `extract`");
    assert!(param(&stages(&text, &["patches.edge=pad"]), "patches.tiles").contains("edge=pad"));
    for (wrong, code) in [
        ("patches.seize=3", "unknown-param"),
        ("patches.tile.size=3", "unknown-param"),
        ("patchs.size=3", "unknown-name"),
    ] {
        assert_eq!(codes(&set(&text, &[wrong]).1), [code], "{wrong}");
    }
}

#[test]
fn bodies_may_use_each_other_and_pass_ports_on() {
    let text = format!(
        "{BALANCED}
stage recipe {{
    in eyes type=photographs
    out type=model from=classifier
    out-of-order
}}
"
    );
    assert!(codes(&load(&text).1).contains(&"signature"), "`out-of-order` is no part of a declaration");

    let text = format!(
        "{BALANCED}
stage same {{ in it type=patches; out type=patches from=it; body {{ }} }}
stage recipe {{
    in eyes type=photographs
    out model type=model from=classifier
    out patches type=patches from=again
    param side type=px default=96
    body {{
        balanced inner {{ photographs eyes; size $side }}
        same again {{ it inner.test }}
        train classifier {{ data inner; valid inner.valid; network shallow-cnn }}
    }}
}}
pipeline p seed=1 {{
    synthetic fundus
    recipe made {{ eyes fundus }}
    threshold-tune cuts {{ model made.model; data made.patches }}
}}
"
    );
    // What the test side is for is followed through both bodies.
    let (_, diags) = load(&text);
    assert_eq!(codes(&diags), ["test-in-training"]);
    let text = text.replace("it inner.test", "it inner.valid");
    let all = stages(&text, &[]);
    assert!(param(&all, "made.inner.tiles").starts_with("from=fundus.out"), "{all:?}");
    assert!(param(&all, "made.inner.tiles").contains("size=96"));
    assert!(param(&all, "cuts").contains("data=made.inner.folds.valid"), "{all:?}");
    assert!(param(&stages(&text, &["made.inner.tiles.size=48"]), "made.inner.tiles").contains("size=48"));
}

#[test]
fn a_mistake_in_a_body_is_reported_once_whatever_uses_it() {
    let text = with_balanced(USED).replace("from folds.train", "from folds.trian");
    let (_, diags) = load(&text);
    assert_eq!(codes(&diags), ["unknown-name"], "{diags:#?}");
    let twice = text.replace("    train classifier", "    balanced more { photographs eyes }\n    train classifier");
    assert_eq!(codes(&load(&twice).1), ["unknown-name"]);
    let unused = format!("{}\npipeline p seed=1 {{ synthetic eyes }}", BALANCED.replace("size $size", "size $sice"));
    assert_eq!(codes(&load(&unused).1), ["unknown-name"], "without any use, too");
}

#[test]
fn a_mistake_that_a_use_makes_shows_the_body_and_the_use() {
    let mut sources = Sources::default();
    let text = with_balanced(USED).replace("size 64", "size 4");
    let (_, diags) = lang::load_text("test.kdl", None, &text, &[], Points::All, &mut sources);
    assert_eq!(codes(&diags), ["out-of-range"]);
    let said = diag::render(&diags, &sources, Style::Plain, 120);
    assert!(said.contains("size $size") && said.contains("in `patches`, which is used here"), "{said}");
}

#[test]
fn what_is_given_to_an_instance_is_checked_like_any_stage() {
    for (from, to, code) in [
        ("photographs eyes; size 64", "size 64", "missing-port"),
        ("photographs eyes", "photographs eys", "unknown-name"),
        ("size 64", "size #true", "wrong-kind"),
        ("size 64", "sise 64", "unknown-param"),
        ("data patches; valid", "data patches.tiles; valid", "unknown-name"),
        ("balanced patches { photographs eyes", "balanced patches size=3 { photographs eyes", "outside-braces"),
    ] {
        let text = with_balanced(&USED.replace(from, to));
        let found = codes(&load(&text).1);
        assert!(found.contains(&code), "{to}: {found:?}");
    }
    let text = with_balanced(&format!("{USED}\n    balanced more {{ photographs patches }}"));
    assert!(codes(&load(&text).1).contains(&"port-type"));
}

#[test]
fn declarations_are_checked() {
    for (text, code) in [
        ("stage a { impl extract; out type=patches }", "impl-outside-std"),
        ("stage a { out type=patches from=x }", "missing-body"),
        ("stage { body { } }", "missing-name"),
        ("stage a { body { synthetic eyes } }", "missing-port"),
        ("stage a { out type=photographs; body { synthetic eyes } }", "missing-port"),
        ("stage a { out type=patches from=eyes; body { synthetic eyes } }", "port-type"),
        ("stage a { out type=photographs from=eys; body { synthetic eyes } }", "unknown-name"),
        ("stage extract { out type=photographs from=eyes; body { synthetic eyes } }", "duplicate-name"),
        (
            "stage a { out type=photographs from=eyes; param g type=group { param x type=int }; body { synthetic eyes } }",
            "wrong-kind",
        ),
        ("stage a { in x type=patches; out type=patches from=x; body { synthetic x } }", "duplicate-name"),
        ("stage a { in x type=patches; out type=patches from=x.y; body { } }", "unknown-name"),
        ("stage a { out type=photographs from=eyes; body { sweep x; synthetic eyes } }", "unknown-node"),
    ] {
        let text = format!("{text}\npipeline p seed=1 {{ synthetic eyes }}\n");
        let found = codes(&load(&text).1);
        assert!(found.contains(&code), "{text}: {found:?}");
    }
}

#[test]
fn recursion_is_refused_however_long_the_way() {
    let text = "stage a { out type=photographs from=x; body { b x } }
stage b { out type=photographs from=x; body { a x } }
pipeline p seed=1 { a made; synthetic eyes }
";
    let found = codes(&load(text).1);
    assert!(found.contains(&"template-recursion") && !found.contains(&"unknown-name"), "{found:?}");
    let circle = "stage same { in it type=patches; out type=patches from=it; body { } }
pipeline p seed=1 { same a { it b }; same b { it a }; export files { from a } }
";
    assert!(codes(&load(circle).1).contains(&"cycle"));
}

#[test]
fn bodies_that_multiply_are_bounded() {
    // 2^40 stages if it were not: 40 levels of two.
    let mut text = String::from("stage s0 { out type=photographs from=a; body { synthetic a; synthetic b } }\n");
    for level in 1..40 {
        let below = level - 1;
        let _ = writeln!(text, "stage s{level} {{ out type=photographs from=a; body {{ s{below} a; s{below} b }} }}");
    }
    let wide = format!("{text}pipeline p seed=1 {{ s20 made }}\n");
    assert!(codes(&load(&wide).1).contains(&"too-many-stages"));
    let deep = format!("{text}pipeline p seed=1 {{ s39 made }}\n");
    let found = codes(&load(&deep).1);
    assert!(found.contains(&"too-deep") || found.contains(&"too-many-stages"), "{found:?}");
}

#[test]
fn a_stage_in_a_body_computes_with_the_parameters_it_would_have_outside() {
    let inside = load(&with_balanced(USED)).0.remove(0);
    let tiles = inside.stages.iter().find(|stage| stage.name == "patches.tiles").expect("it is there");
    assert_eq!(tiles.params["size"].value, Value::Int(64));
    let keyed: Vec<_> =
        tiles.params.keys().filter(|name| !["around", "label.photograph"].contains(&name.as_str())).collect();
    assert_eq!(tiles.keyed().count(), keyed.len(), "a parameter that was added later is left out at its default");
}
