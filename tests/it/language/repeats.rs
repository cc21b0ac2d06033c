//! `repeat`: stages that stand in a pipeline several times, what they are called, and what is said of them.

use std::fmt::Write as _;

use macula::base::Sources;
use macula::lang;
use macula::lang::spec::{Pipeline, Points, StageSpec};
use macula::lang::value::Value;

use super::{codes, load, set};

const FOLDS: &str = "pipeline p seed=1 {
    synthetic eyes
    extract tiles { from eyes; size 64 }
    repeat 3 fold {
        split sides { from tiles; by patient; folds 3; fold $fold; valid 0.2 }
        train classifier { data sides.train; valid sides.valid; network shallow-cnn }
        eval scores { model classifier; data sides.test }
    }
    pool all { of fold.scores; data tiles }
    spread table { of fold.scores }
}
";

/// The same written out.
fn written_out() -> String {
    let mut text = "pipeline p seed=1 {\n    synthetic eyes\n    extract tiles { from eyes; size 64 }\n".to_owned();
    for fold in 1..=3 {
        write!(
            text,
            "    split sides{fold} {{ from tiles; by patient; folds 3; fold {fold}; valid 0.2 }}
    train classifier{fold} {{ data sides{fold}.train; valid sides{fold}.valid; network shallow-cnn }}
    eval scores{fold} {{ model classifier{fold}; data sides{fold}.test }}\n"
        )
        .expect("a string takes any text");
    }
    text + "    pool all { of scores1 scores2 scores3; data tiles }\n    spread table { of scores1 scores2 scores3 }\n}\n"
}

fn one(text: &str, sets: &[&str]) -> Pipeline {
    let (mut pipelines, diags) = set(text, sets);
    assert!(diags.is_empty(), "{diags:#?}\n{text}");
    pipelines.remove(0)
}

/// Name, inputs and parameters of each stage.
fn stages(pipeline: &Pipeline) -> Vec<String> {
    let shown = |stage: &StageSpec| {
        let inputs = stage.inputs.iter().map(|input| {
            let from = input.from.iter().map(|from| format!("{}.{}", from.stage, from.port)).collect::<Vec<_>>();
            format!("{}={}", input.port, from.join("+"))
        });
        let params = stage.values().into_iter().map(|(name, value)| format!("{name}={value}"));
        format!("{} {}", stage.name, inputs.chain(params).collect::<Vec<_>>().join(" "))
    };
    let mut all: Vec<String> = pipeline.stages.iter().map(shown).collect();
    all.sort();
    all
}

fn value<'p>(pipeline: &'p Pipeline, stage: &str, param: &str) -> &'p Value {
    let stage = pipeline.stages.iter().find(|one| one.name == stage).expect("a stage of that name");
    stage.value(param).expect("a parameter of that name")
}

#[test]
fn a_repeat_is_its_stages_written_out() {
    let mut flat = stages(&one(&written_out(), &[])).join("\n");
    for fold in 1..=3 {
        for stage in ["sides", "classifier", "scores"] {
            flat = flat.replace(&format!("{stage}{fold}"), &format!("fold.{fold}.{stage}"));
        }
    }
    let mut flat: Vec<&str> = flat.lines().collect();
    flat.sort_unstable();
    assert_eq!(stages(&one(FOLDS, &[])), flat);
}

#[test]
fn copies_are_set_all_at_once_or_one_by_one() {
    let all = one(FOLDS, &["fold.classifier.epochs=2", "fold.2.classifier.epochs=3"]);
    for (fold, epochs) in [(1, "2"), (2, "3"), (3, "2")] {
        assert_eq!(value(&all, &format!("fold.{fold}.classifier"), "epochs").to_string(), epochs);
    }
    let (_, diags) = set(FOLDS, &["fold.4.classifier.epochs=3"]);
    assert_eq!(codes(&diags), ["unknown-name"], "{diags:#?}");
    // A parameter without its stage: all copies have it.
    let (_, diags) = set(FOLDS, &["epochs=3"]);
    assert_eq!(diags[0].hint.as_deref(), Some("write `--set fold.classifier.epochs=3`"), "{diags:#?}");
}

#[test]
fn one_copy_can_be_named_and_the_first_may_have_any_number() {
    let text = FOLDS
        .replace("repeat 3 fold", "repeat 2 fold from=2")
        .replace("spread table { of fold.scores }", "report page { of fold.3.scores }");
    let pipeline = one(&text.replace("pool all { of fold.scores; data tiles }", ""), &[]);
    let page = pipeline.stages.iter().find(|stage| stage.name == "page").expect("a page");
    assert_eq!(page.inputs[0].from[0].stage, "fold.3.scores");
    assert_eq!(value(&pipeline, "fold.2.sides", "fold").to_string(), "2");
}

#[test]
fn the_count_may_be_a_parameter_of_the_pipeline_or_of_a_template() {
    let text = FOLDS
        .replace("    synthetic eyes\n", "    param folds type=count default=3\n    synthetic eyes\n")
        .replace("repeat 3", "repeat $folds")
        .replace("folds 3", "folds $folds");
    assert_eq!(stages(&one(&text, &[])), stages(&one(FOLDS, &[])));
    let count =
        |pipeline: &Pipeline, ending: &str| pipeline.stages.iter().filter(|stage| stage.name.ends_with(ending)).count();
    assert_eq!(count(&one(&text, &["folds=5"]), ".classifier"), 5);

    let used = |arguments: &str| {
        format!(
            "pipeline p seed=1 {{
    synthetic eyes
    extract tiles {{ from eyes; size 64 }}
    cross-validation cv {{ patches tiles; network shallow-cnn; {arguments} }}
    report page {{ of cv cv.pooled cv.fold-2 }}
    pool again {{ of cv.scores; data tiles }}
}}
"
        )
    };
    assert_eq!(count(&one(&used(""), &[]), ".classifier"), 5);
    assert_eq!(count(&one(&used("folds 3"), &[]), ".classifier"), 3);
    assert_eq!(count(&one(&used("folds 3"), &["cv.folds=4"]), ".classifier"), 4);
    let three = one(&used("folds 3"), &[]);
    let again = three.stages.iter().find(|stage| stage.name == "again").expect("a pool");
    assert_eq!(again.inputs[0].from.len(), 3);
    // Through two templates.
    let outer = "stage outer {
    doc \"x\"
    in patches type=patches { doc \"x\" }
    param n type=count default=2 { doc \"x\" }
    out type=spread from=cv { doc \"x\" }
    body { cross-validation cv { patches patches; folds $n; network shallow-cnn } }
}
pipeline p seed=1 { synthetic eyes; extract tiles { from eyes; size 64 }; outer o { patches tiles; n 4 }; report page { of o } }
";
    assert_eq!(count(&one(outer, &[]), ".classifier"), 4);
    assert_eq!(count(&one(outer, &["o.n=3"]), ".classifier"), 3);
    assert_eq!(count(&one(outer, &["o.cv.folds=5"]), ".classifier"), 5);
}

#[test]
fn an_output_of_a_fold_that_there_is_not_is_reported() {
    let text = "pipeline p seed=1 {
    synthetic eyes
    extract tiles { from eyes; size 64 }
    cross-validation cv { patches tiles; network shallow-cnn; folds 3 }
    report page { of cv cv.fold-4 }
}
";
    let (_, diags) = load(text);
    assert_eq!(codes(&diags), ["unknown-name"], "{diags:#?}");
    assert_eq!(diags[0].message, "`cv.fold-4` is `fold.4.scores` of its body, but `fold` has no copy 4");
    assert_eq!(diags[0].hint.as_deref(), Some("its copies are 1 to 3"));
}

#[test]
fn repeats_nest_and_their_numbers_reach_inside() {
    let text = "pipeline p seed=1 {
    synthetic eyes
    extract tiles { from eyes; size 64 }
    repeat 2 fold {
        split sides { from tiles; by patient; folds 2; fold $fold; valid 0.2 }
        repeat 2 member {
            train classifier { data sides.train; valid sides.valid; network shallow-cnn; replicate $member }
            predict guesses { model classifier; data sides.test }
        }
        average mean { of member.guesses; data sides.test }
    }
    report page { of fold.mean fold.member.guesses }
}
";
    let pipeline = one(text, &["fold.2.member.classifier.epochs=1", "fold.member.1.classifier.batch=8"]);
    let names: Vec<&str> = pipeline.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert!(names.contains(&"fold.2.member.1.classifier"), "{names:?}");
    let page = pipeline.stages.iter().find(|stage| stage.name == "page").expect("a page");
    assert_eq!(page.inputs[0].from.len(), 6);
    let mean = pipeline.stages.iter().find(|stage| stage.name == "fold.2.mean").expect("a mean");
    let from: Vec<&str> = mean.inputs[0].from.iter().map(|from| from.stage.as_str()).collect();
    assert_eq!(from, ["fold.2.member.1.guesses", "fold.2.member.2.guesses"]);
    assert_eq!(value(&pipeline, "fold.2.member.2.classifier", "epochs").to_string(), "1");
    assert_ne!(value(&pipeline, "fold.1.member.2.classifier", "epochs").to_string(), "1");
    assert_eq!(value(&pipeline, "fold.1.member.1.classifier", "batch").to_string(), "8");
    assert_ne!(value(&pipeline, "fold.1.member.2.classifier", "batch").to_string(), "8");
}

#[test]
fn a_pipeline_that_extends_another_changes_what_is_repeated() {
    let text = format!(
        "{FOLDS}pipeline q {{
    extends p
    repeat 4 fold {{
        split sides {{ folds 4 }}
        train classifier {{ loss focal }}
        without scores
        threshold-tune cuts {{ model classifier; data sides.valid }}
        eval tuned {{ model classifier; thresholds cuts; data sides.test }}
    }}
    pool all {{ of fold.tuned }}
    without table
}}
"
    );
    let (pipelines, diags) = load(&text);
    assert!(diags.is_empty(), "{diags:#?}");
    let q = &pipelines[1];
    assert_eq!(value(q, "fold.4.classifier", "loss").to_string(), "focal");
    assert!(q.stages.iter().all(|stage| stage.name != "fold.1.scores" && stage.name != "table"));
    let all = q.stages.iter().find(|stage| stage.name == "all").expect("a pool");
    assert_eq!(all.inputs[0].from.len(), 4);
}

#[test]
fn a_sweep_varies_all_copies_and_repeats_their_seeds() {
    let text = format!(
        "{FOLDS}sweep losses {{
    over fold.classifier.loss bce focal
    repeat 2 {{ only fold }}
}}
"
    );
    let mut sources = Sources::default();
    let (contents, diags) = lang::load_text("p.kdl", None, &text, &[], Points::All, &mut sources);
    assert!(diags.is_empty(), "{diags:#?}");
    let points = &contents.sweeps[0].points;
    assert_eq!(points.len(), 4);
    for fold in 1..=3 {
        let name = format!("fold.{fold}.classifier");
        let losses: Vec<String> =
            points.iter().map(|point| value(&point.pipeline, &name, "loss").to_string()).collect();
        assert_eq!(losses, ["bce", "focal", "bce", "focal"]);
        let seed =
            |at: usize| points[at].pipeline.stages.iter().find(|stage| stage.name == name).expect("a classifier").seed;
        assert_eq!((seed(0), seed(2)), (1, 2));
    }
}

#[test]
fn a_mistake_in_a_repeat_is_reported_once() {
    let text = FOLDS.replace(
        "eval scores { model classifier; data sides.test }",
        "eval scores { model classifier; data sides.train; tta 3 }",
    );
    let (_, diags) = load(&text);
    let mut seen = std::collections::BTreeSet::new();
    assert!(diags.len() > 1, "{diags:#?}");
    for diag in &diags {
        assert!(seen.insert((diag.code, diag.labels[0].span)), "twice: {diag:#?}");
    }
}

#[test]
fn a_count_without_a_default_is_given_where_the_template_is_used() {
    let template = |param: &str| {
        format!(
            "stage cv {{
    doc \"x\"
    in patches type=patches {{ doc \"x\" }}
    param folds type=count {param} {{ doc \"x\" }}
    out whole main=#true type=scores from=all {{ doc \"x\" }}
    out second type=scores from=fold.2.scores {{ doc \"x\" }}
    body {{
        repeat $folds fold {{
            split sides {{ from patches; by patient; folds 3; fold $fold; valid 0.2 }}
            train classifier {{ data sides.train; valid sides.valid; network shallow-cnn }}
            eval scores {{ model classifier; data sides.test }}
        }}
        pool all {{ of fold.scores; data patches }}
    }}
}}
"
        )
    };
    let used = |arguments: &str| {
        format!(
            "pipeline p seed=1 {{
    synthetic eyes
    extract tiles {{ from eyes; size 64 }}
    cv a {{ patches tiles; {arguments} }}
    report page {{ of a a.second }}
}}
"
        )
    };
    let pipeline = one(&(template("") + &used("folds 3")), &[]);
    assert_eq!(pipeline.stages.iter().filter(|stage| stage.name.ends_with(".classifier")).count(), 3);
    let (_, diags) = load(&(template("") + &used("")));
    assert_eq!(codes(&diags), ["missing-param"], "{diags:#?}");
    let (_, diags) = load(&(template("optional=#true") + &used("")));
    assert!(diags.iter().any(|diag| diag.message == "the count of `repeat` has no value"), "{diags:#?}");
}

#[test]
fn numbers_of_copies_count_as_used_in_counts_and_settings_reach_each_of_them() {
    let text = "pipeline p seed=1 {
    param k type=count default=2
    synthetic eyes
    repeat 3 a {
        repeat $a b {
            extract tiles { from eyes; size 64; around lesions seed=$b }
        }
        repeat $k c {
            extract others { from eyes; size 64; around lesions seed=$c }
        }
    }
    report page { of a.b.tiles a.c.others }
}
";
    let pipeline = one(text, &["a.b.3.tiles.margin=8"]);
    assert_eq!(value(&pipeline, "a.3.b.3.tiles", "margin").to_string(), "8");
    assert_eq!(value(&pipeline, "a.3.b.2.tiles", "margin").to_string(), "0");
}

#[test]
fn repeats_that_multiply_are_bounded() {
    let text = "pipeline p seed=1 { synthetic eyes; repeat 1000 a { repeat 1000 b { repeat 1000 c { split s { from eyes; fold $c; folds 2 } } } } }";
    let (_, diags) = load(text);
    assert!(codes(&diags).contains(&"too-many-stages"), "{:?}", codes(&diags));
    let chain = "pipeline p seed=1 {
    synthetic eyes
    extract t { from eyes; size 64 }
    repeat 100 a { split s { from t; folds 100; fold $a } }
    repeat 100 b { split s { from a.s.train; folds 100; fold $b } }
    repeat 100 c { split s { from b.s.train; folds 100; fold $c } }
    repeat 100 d { split s { from c.s.train; folds 100; fold $d } }
}
";
    let (_, diags) = load(chain);
    assert!(codes(&diags).contains(&"value-count"), "{:?}", codes(&diags));
}

#[test]
fn a_repeat_that_is_changed_keeps_its_first_number() {
    let base = FOLDS.replace("repeat 3 fold", "repeat 3 fold from=0").replace("fold $fold", "replicate $fold; fold 1");
    let text = format!("{base}pipeline q {{ extends p; repeat 3 fold {{ train classifier {{ epochs 9 }} }} }}\n");
    let (pipelines, diags) = load(&text);
    assert!(diags.iter().all(|diag| diag.code == "not-once"), "{diags:#?}");
    let numbers = |pipeline: &Pipeline| {
        let all = pipeline.stages.iter().filter(|stage| stage.stage_type == "split").map(|stage| stage.name.clone());
        all.collect::<Vec<_>>()
    };
    assert_eq!(numbers(&pipelines[0]), ["fold.0.sides", "fold.1.sides", "fold.2.sides"]);
    assert_eq!(numbers(&pipelines[1]), numbers(&pipelines[0]));
}
