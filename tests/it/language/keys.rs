//! Keys of whole pipelines, got without running anything: the tree of an output stands for the key of the stage that makes it, and
//! what a source reads counts as given. What changes no meaning changes no key; a changed parameter changes those below it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use macula::base::{Digest, FileId, Hasher, Sources};
use macula::diag::Severity;
use macula::lang::param_type::ParamType;
use macula::lang::signature::Param;
use macula::lang::spec::{Pipeline, Points, StageSpec};
use macula::lang::stdlib::stdlib;
use macula::lang::value::Value;
use macula::plan::{Graph, keys};
use macula::stage::{Inputs, Named, Work};
use macula::store::{Entry, Tree};
use macula::{lang, stages, syntax};
use proptest::prelude::*;

/// A pipeline with every built-in stage, each with its name marked by `@`.
const STAGES: [&str; 53] = [
    "idrid @fundus { root \"data/idrid\" }",
    "folder @clinic { root \"data/clinic\"; masks MA \"ma/*\" HE \"he/*\" EX \"ex/*\" SE \"se/*\" }",
    "synthetic @made",
    "weights @imagenet { file \"weights/resnet18.pth\" }",
    "preprocess @even { from @fundus; contrast clahe clip=2.0 }",
    "extract @centred { from @even; size 128 }",
    "extract @patches { from @even; size 128; label min-pixels=1 }",
    "filter-black @visible { from @patches }",
    "split @folds { from @visible; by image; train 0.7; valid 0.15; test 0.15 }",
    "rebalance @balanced { from @folds.train; lesions undersample; healthy per-lesion-patch=2.0 }",
    "augment @views { from @balanced; flip horizontal=0.5; rotate degrees=15 }",
    "pretrain @encoder { data @views; valid @folds.valid; init @imagenet; network resnet18 to=features; epochs 20 }",
    "train @classifier { data @views; valid @folds.valid; init @imagenet; network resnet18; loss focal gamma=2.0; epochs 20 }",
    "train @tuned { data @views; valid @folds.valid; init @encoder; network resnet18 }",
    "threshold-tune @cuts { model @classifier; data @folds.valid; maximize f1 }",
    "eval @scores { model @classifier; thresholds @cuts; data @folds.test }",
    "eval @plain { model @classifier; data @folds.test }",
    "calibrate @honest { model @classifier; data @folds.valid }",
    "eval @checked { model @honest; data @folds.test; calibration #true }",
    "spread @table { of @scores @plain }",
    "pool @pooled { of @scores @plain; data @folds.test }",
    "slice @sliced { predictions @pooled; data @folds.test; by lesion-distance }",
    "suspects @doubtful { predictions @pooled; data @folds.test; masks @fundus }",
    "encode @described { from @fundus; init @imagenet; network resnet18 to=layer3; side 256 }",
    "combine @combined { of @described }",
    "join @joined { patches @folds.test; embeddings @described; as whole; control other }",
    "predict @told { model @classifier; data @joined }",
    "join @crossed { patches @joined; embeddings @combined; as other }",
    "predict @foretold { model @classifier; data @crossed }",
    "export @pictures { from @folds.test }",
    "predict @guesses { model @classifier; thresholds @cuts; data @folds.test }",
    "predict @guessed { model @classifier; data @folds.test; tta dihedral }",
    "average @both { of @guesses @guessed; data @folds.test }",
    "heat-map @maps { model @classifier; thresholds @cuts; from @fundus; only @folds.test; classes MA }",
    "lesions @spots { from @fundus }",
    "froc @detected { maps @maps; lesions @spots }",
    "relabel @relabelled { from @folds.train }",
    "near-duplicates @twins { from @fundus @clinic }",
    "files @script { path \"predict.py\" }",
    "program @python { name python3 }",
    "ddr @ddr { root \"data/ddr\" }",
    "fgadr @fgadr { root \"data/fgadr\" }",
    "e-ophtha @eophtha { root \"data/e-ophtha\" }",
    "near-duplicates @copies { from @ddr @fgadr @eophtha @listed }",
    "exec @judged { script @script; interpreter @python; patches @folds.test; command python3 predict.py; gives \"a.csv\" predictions }",
    "report @page { of @folds.train @classifier @scores @clinic @made @relabelled @tuned }",
    "annotations @drawn { root \"data/drawn\"; format coco file=\"a.json\"; classes MA \"ma\" HE \"he\" }",
    "report @sheet { of @drawn }",
    "manifest @listed { table \"list.csv\"; labels MA \"ma\" HE \"he\" EX \"ex\" SE \"se\" }",
    "filter-white @tissue { from @folds.test }",
    "export @glass { from @tissue.dropped }",
    "import-model @theirs { from @imagenet; network resnet18; classes MA HE EX SE; size 128 }",
    "import-patches @tiles { from @script; size 128 }",
];

fn written<'a>(stages: impl IntoIterator<Item = &'a str>, name: impl Fn(&str) -> String) -> String {
    let mut text = "pipeline study seed=7 {\n".to_owned();
    for stage in stages {
        let mut parts = stage.split('@');
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(part.len());
            text.push_str(&name(&part[..end]));
            text.push_str(&part[end..]);
        }
        text.push('\n');
    }
    text + "}\n"
}

/// A pipeline of all built-in stages.
pub(super) fn every_stage() -> String {
    written(STAGES, same)
}

fn same(name: &str) -> String {
    name.to_owned()
}

fn try_load(text: &str, sets: &[String]) -> Option<Pipeline> {
    let (contents, diags) = lang::load_text("keys.kdl", None, text, sets, Points::All, &mut Sources::default());
    let right = diags.iter().all(|diag| diag.severity != Severity::Error);
    contents.pipelines.into_iter().next().filter(|_| right)
}

#[track_caller]
fn load(text: &str) -> Pipeline {
    try_load(text, &[]).unwrap_or_else(|| {
        let told = lang::load_text("keys.kdl", None, text, &[], Points::All, &mut Sources::default()).1;
        panic!("{told:?}\n{text}")
    })
}

fn tree(content: Digest) -> Tree {
    let mut tree = Tree::default();
    tree.insert("content", Entry { digest: content, size: 1 });
    tree
}

/// The key of every stage by name; `names` says whether the names of stages are shown to pages.
fn keys_of(pipeline: &Pipeline, names: Names) -> BTreeMap<String, Digest> {
    let (graph, diags) = Graph::new(pipeline);
    assert!(diags.is_empty(), "{diags:?}");
    let mut known: BTreeMap<String, Digest> = BTreeMap::new();
    for id in graph.order() {
        let stage = &pipeline.stages[id.0];
        let implementation = stages::find(&stage.implementation).expect("it is built in");
        let mut inputs = Inputs::default();
        for input in &stage.inputs {
            let named = input.from.iter().map(|from| {
                let content = Hasher::new("output").digest(&known[&from.stage]).text(&from.port).finish();
                let name = if names == Names::Shown { format!("{}.{}", from.stage, from.port) } else { String::new() };
                Named { stage: from.stage.clone(), name, tree: tree(content), summary: None }
            });
            inputs.0.insert(input.port.clone(), named.collect());
        }
        let source = matches!(implementation.work, Work::Source(_));
        let given = StageSpec {
            params: stage
                .params
                .iter()
                .filter(|(_, param)| !(source && matches!(param.value, Value::Path(_))))
                .map(|(name, param)| (name.clone(), param.clone()))
                .collect(),
            ..stage.clone()
        };
        let manifest = keys::manifest(&given, implementation, &inputs).expect("a manifest");
        known.insert(stage.name.clone(), manifest.key());
    }
    known
}

#[derive(Clone, Copy, PartialEq)]
enum Names {
    Shown,
    Hidden,
}

/// A stage and all that reads it, by whatever way.
fn below(pipeline: &Pipeline, stage: &str) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = [stage.to_owned()].into();
    loop {
        let reads = |stage: &&StageSpec| {
            stage.inputs.iter().flat_map(|input| &input.from).any(|from| found.contains(&from.stage))
        };
        let more: BTreeSet<String> = pipeline.stages.iter().filter(reads).map(|stage| stage.name.clone()).collect();
        if more.is_subset(&found) {
            return found;
        }
        found.extend(more);
    }
}

fn changed(before: &BTreeMap<String, Digest>, after: &BTreeMap<String, Digest>) -> BTreeSet<String> {
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    before.iter().filter(|(name, key)| after[*name] != **key).map(|(name, _)| name.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn another_order_changes_no_key(order in Just(STAGES.to_vec()).prop_shuffle()) {
        let before = keys_of(&load(&written(STAGES, same)), Names::Shown);
        prop_assert_eq!(keys_of(&load(&written(order, same)), Names::Shown), before);
    }

    #[test]
    fn other_names_change_no_key(suffix in "[a-z][a-z0-9-]{0,8}") {
        let before = keys_of(&load(&written(STAGES, same)), Names::Hidden);
        let after = keys_of(&load(&written(STAGES, |name| format!("{suffix}-{name}"))), Names::Hidden);
        for (name, key) in before {
            prop_assert_eq!(after[&format!("{}-{}", &suffix, &name)], key, "{}", name);
        }
    }

    #[test]
    fn another_layout_changes_no_key(wide in any::<bool>(), comment in "[ a-z]{0,12}") {
        let text = written(STAGES, same);
        let before = keys_of(&load(&text), Names::Shown);
        let text = if wide { text.replace("; ", "\n\n\t").replace(" { ", &format!(" {{ /*{comment}*/ \n ")) } else { format!("//{comment}\n{text}") };
        prop_assert_eq!(keys_of(&load(&text), Names::Shown), before.clone());
        let formatted = syntax::format(FileId(0), &text).expect("it is right");
        prop_assert_eq!(keys_of(&load(&formatted), Names::Shown), before);
    }
}

#[test]
fn a_name_changes_the_key_of_a_page_that_shows_it() {
    let before = keys_of(&load(&written(STAGES, same)), Names::Shown);
    let other = |name: &str| if name == "scores" { "figures".to_owned() } else { name.to_owned() };
    let after = keys_of(&load(&written(STAGES, other)), Names::Shown);
    assert_ne!(before["page"], after["page"]);
    assert_eq!(before["table"], after["table"]);
}

/// A value as KDL.
fn kdl(value: &Value) -> Option<String> {
    match value {
        Value::None => None,
        Value::Bool(flag) => Some(format!("#{flag}")),
        Value::Int(_) | Value::Real(_) => Some(value.to_string()),
        Value::Text(text) | Value::Path(text) => Some(format!("{text:?}")),
        Value::List(values) => Some(values.iter().filter_map(kdl).collect::<Vec<_>>().join(" ")),
        Value::Map(pairs) => Some(
            pairs
                .iter()
                .filter_map(|(name, value)| Some(format!("{name} {}", kdl(value)?)))
                .collect::<Vec<_>>()
                .join(" "),
        ),
        Value::Network(network) => Some(network.name.clone()),
    }
}

#[test]
fn defaults_that_are_written_out_change_no_key() {
    let pipeline = load(&written(STAGES, same));
    let before = keys_of(&pipeline, Names::Shown);
    let mut text = "pipeline study seed=7 {\n".to_owned();
    let mut defaults = 0;
    for stage in &pipeline.stages {
        let _ = writeln!(text, "{} {} {{", stage.stage_type, stage.name);
        for input in &stage.inputs {
            let from = input.from.iter().map(|from| {
                if from.port == "out" { from.stage.clone() } else { format!("{}.{}", from.stage, from.port) }
            });
            let _ = writeln!(text, "{} {}", input.port, from.collect::<Vec<_>>().join(" "));
        }
        // What is withheld from a command is set by the language.
        let written = |path: &str| !path.contains('.') && path != "withheld";
        for (path, param) in stage.params.iter().filter(|(path, _)| written(path)) {
            if let Some(value) = kdl(&param.value) {
                let _ = writeln!(text, "{path} {value}");
            }
        }
        text.push_str("}\n");
        defaults += stage.params.values().filter(|param| param.span.is_none()).count();
    }
    text.push_str("}\n");
    assert!(defaults > 60, "{defaults} parameters have defaults");
    // What lies within groups and cases, by `--set`, which is checked like the file.
    let nested = pipeline.stages.iter().flat_map(|stage| {
        let nested = stage.params.iter().filter(|(path, _)| path.contains('.'));
        nested.filter_map(|(path, param)| Some(format!("{}.{path}={}", stage.name, kdl(&param.value)?)))
    });
    let after = try_load(&text, &nested.collect::<Vec<_>>()).unwrap_or_else(|| load(&text));
    assert_eq!(keys_of(&after, Names::Shown), before);
}

#[test]
fn stages_that_move_into_a_module_keep_their_keys() {
    let before = keys_of(&load(&written(STAGES, same)), Names::Hidden);
    let moved = ["even", "centred", "patches", "visible", "folds"];
    let body: Vec<String> =
        STAGES[4..9].iter().map(|stage| stage.replace("@fundus", "photographs").replace('@', "")).collect();
    let module = format!(
        "stage sides {{\n in photographs type=photographs\n out train type=patches from=folds.train\n out valid type=patches from=folds.valid\n out test type=patches from=folds.test\n body {{\n{}\n}}\n}}\n",
        body.join("\n")
    );
    let rest: Vec<&str> =
        STAGES.iter().enumerate().filter(|(at, _)| !(4..9).contains(at)).map(|(_, stage)| *stage).collect();
    let name = |name: &str| if name == "folds" { "prepared".to_owned() } else { name.to_owned() };
    let text = written(rest, name).replace("seed=7 {\n", "seed=7 {\nsides prepared { photographs fundus }\n");
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("sides.kdl"), module).expect("written");
    let path = folder.path().join("study.kdl");
    fs::write(&path, format!("use \"sides.kdl\"\n{text}")).expect("written");
    let (contents, diags) = lang::load(&path, &[], Points::All, &mut Sources::default()).expect("readable");
    // The mean of scores with and without test-time augmentation, and what is imported, are there for their keys.
    assert!(diags.iter().all(|diag| ["tta-differs", "unused-stage"].contains(&diag.code)), "{diags:?}");
    let after = keys_of(&contents.pipelines[0], Names::Hidden);
    for (name, key) in before {
        let there = if moved.contains(&name.as_str()) { format!("prepared.{name}") } else { name.clone() };
        assert_eq!(after[&there], key, "{name}");
    }
}

/// Values that a parameter may have, the likeliest first; those that it may not have are refused when they are tried.
fn candidates(param: &Param) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match &param.ty {
        ParamType::Int | ParamType::Count | ParamType::Px | ParamType::Seed => {
            words(&["2", "3", "1", "64", "160", "256", "500"])
        }
        ParamType::Real | ParamType::Share | ParamType::Probability | ParamType::Degrees => {
            words(&["0.25", "0.5", "1.5", "3.0"])
        }
        ParamType::Bool => words(&["#true", "#false"]),
        ParamType::Choice => param.cases.iter().map(|case| case.name.clone()).collect(),
        ParamType::Network => words(&["shallow-cnn", "resnet34", "resnet18 to=features", "resnet34 to=features"]),
        ParamType::List(of) if **of == ParamType::Text => words(&["conv1 bn1", "EX SE"]),
        ParamType::List(of) if **of == ParamType::Count => words(&["64 32"]),
        ParamType::List(_) => words(&["0.5 0.5 0.25"]),
        ParamType::Map(of) if matches!(**of, ParamType::List(_)) => words(&["valid \"A..B\""]),
        ParamType::Map(of) if **of == ParamType::Text => words(&["MA \"other/*\""]),
        ParamType::Map(_) => words(&["SE 3", "layer4 0.5"]),
        ParamType::Text => words(&["other/*/x", "other"]),
        ParamType::Path | ParamType::Group => Vec::new(),
    }
}

/// Each parameter with its dotted name and what must be chosen for it to exist.
fn parameters<'a>(
    params: &'a [Param],
    prefix: &str,
    choices: &[String],
    all: &mut Vec<(String, &'a Param, Vec<String>)>,
) {
    for param in params {
        let path = format!("{prefix}{}", param.name);
        if param.ty != ParamType::Group {
            all.push((path.clone(), param, choices.to_vec()));
        }
        parameters(&param.params, &format!("{path}."), choices, all);
        for case in &param.cases {
            let mut choices = choices.to_vec();
            choices.push(format!("{path}={}", case.name));
            // What the case itself needs.
            choices.extend(
                case.params
                    .iter()
                    .filter(|inner| inner.default.is_none() && !inner.optional)
                    .map(|inner| format!("{path}.{}=7", inner.name)),
            );
            parameters(&case.params, &format!("{path}."), &choices, all);
        }
    }
}

#[test]
fn every_parameter_of_every_stage_changes_the_keys_below_it_and_no_others() {
    let whole = written(STAGES, same);
    let base = load(&whole);
    let (mut tried, mut paths) = (0, 0);
    for signature in stdlib().signatures.iter().filter(|signature| signature.body.is_none()) {
        let stage = base.stages.iter().find(|stage| stage.stage_type == signature.name);
        let stage = stage.unwrap_or_else(|| panic!("`{}` is in the pipeline", signature.name)).name.clone();
        let mut all = Vec::new();
        parameters(&signature.params, "", &[], &mut all);
        for (path, param, choices) in all {
            if param.ty == ParamType::Path {
                paths += 1; // what it holds counts, not how it is called
                continue;
            }
            // What it replaces must not be set.
            let text = if param.replaces.is_some() { whole.replace("; epochs 20", "") } else { whole.clone() };
            // A classifier that chooses one class has neither thresholds nor a calibration.
            let text = if choices.iter().any(|choice| choice == "loss=cross-entropy") {
                let text = text.replace("cuts { model classifier", "cuts { model tuned");
                text.replace("honest { model classifier", "honest { model tuned")
            } else {
                text
            };
            let sets: Vec<String> = choices.iter().map(|choice| format!("{stage}.{choice}")).collect();
            let before = try_load(&text, &sets).unwrap_or_else(|| panic!("{sets:?} is right"));
            let value = |pipeline: &Pipeline| {
                pipeline.stages.iter().find(|spec| spec.name == stage).and_then(|spec| spec.value(&path).cloned())
            };
            let other = candidates(param).into_iter().find_map(|candidate| {
                let mut sets = sets.clone();
                sets.retain(|set| !set.starts_with(&format!("{stage}.{path}=")));
                sets.push(format!("{stage}.{path}={candidate}"));
                // Stages that use a calibrated classifier have its augmentation.
                if stage == "honest" && path == "tta" {
                    sets.push(format!("checked.tta={candidate}"));
                }
                // A case that is chosen may need its own parameters.
                let case = param.cases.iter().find(|case| case.name == candidate);
                let needed = case
                    .into_iter()
                    .flat_map(|case| &case.params)
                    .filter(|inner| inner.default.is_none() && !inner.optional);
                sets.extend(needed.map(|inner| format!("{stage}.{path}.{}=7", inner.name)));
                try_load(&text, &sets).filter(|after| value(after) != value(&before))
            });
            let after = other.unwrap_or_else(|| match param.cases.as_slice() {
                // A choice with one case has no other value.
                [_] => before.clone(),
                _ => panic!("`{stage}.{path}` has a second value"),
            });
            if value(&after) == value(&before) {
                continue;
            }
            tried += 1;
            let found = changed(&keys_of(&before, Names::Shown), &keys_of(&after, Names::Shown));
            let expected = if param.keyed { below(&before, &stage) } else { BTreeSet::new() };
            assert_eq!(found, expected, "{stage}.{path}");
        }
    }
    println!("{tried} parameters changed, {paths} paths left alone");
    assert!(tried > 80, "{tried} parameters");
}
