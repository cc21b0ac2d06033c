//! What is said of names that people bring from other tools, and of macula's own in the wrong place.

use std::collections::BTreeSet;
use std::path::PathBuf;

use macula::lang::foreign::{To, WORDS};
use macula::lang::hints::{foreign, spelled};
use macula::lang::keywords::KEYWORDS;
use macula::lang::signature::Signature;
use macula::lang::{describe, lookup, stdlib};

use super::{codes, load, set};

/// A training with `text` in its braces.
fn training(text: &str) -> String {
    format!(
        "pipeline a seed=1 {{\n    synthetic fundus\n    extract patches {{ from fundus }}\n    split folds {{ from patches }}\n    \
         train classifier {{ data folds.train; valid folds.valid; network shallow-cnn; {text} }}\n}}\n"
    )
}

/// The hints on a text, in order.
fn hints(text: &str) -> Vec<String> {
    load(text).1.into_iter().filter_map(|diag| diag.hint).collect()
}

fn signature(name: &str) -> &'static Signature {
    let all = stdlib::stdlib();
    let found = all.signatures.iter().chain(&all.templates).find(|signature| signature.name == name);
    found.unwrap_or_else(|| panic!("no stage `{name}`"))
}

#[test]
fn every_word_leads_to_something_that_exists() {
    const TOOLS: [&str; 19] = [
        "CVAT",
        "DVC",
        "Docker",
        "Keras",
        "Lightning",
        "PyTorch",
        "QuPath",
        "SimCLR",
        "Snakemake",
        "Ultralytics",
        "albumentations",
        "fastai",
        "git",
        "labelme",
        "make",
        "pycocotools",
        "pytorch-metric-learning",
        "scikit-learn",
        "torchvision",
    ];
    assert!(WORDS.len() >= 100, "about a hundred words");
    for row in WORDS {
        let word = row.word;
        assert!(TOOLS.contains(&row.tool), "`{word}`: {}", row.tool);
        assert!(!row.note.ends_with('.'), "`{word}`: the note stands within a sentence");
        match row.to {
            To::Stage(stage) => assert!(!signature(stage).name.is_empty(), "`{word}`: {stage}"),
            To::Port(stage, port) => assert!(signature(stage).input(port).is_some(), "`{word}`: {stage} {port}"),
            To::Output(stage, output) => {
                assert!(signature(stage).output(Some(output)).is_some(), "`{word}`: {stage}.{output}");
            }
            To::Param(stage, path) => {
                assert!(spelled(&signature(stage).params, path, None, "…").is_some(), "`{word}`: {stage} {path}");
            }
            To::Case(stage, path, case) => {
                let param = signature(stage).params.iter().find(|param| param.name == path);
                let has = param.is_some_and(|param| param.cases.iter().any(|one| one.name == case));
                assert!(has, "`{word}`: {stage} {path} {case}");
            }
            To::Metric(stage, metric) => {
                assert!(signature(stage).metrics.iter().any(|one| one.name == metric), "`{word}`: {stage} {metric}");
            }
            To::Layer(layer) => assert!(describe::kinds::find(layer).is_some(), "`{word}`: {layer}"),
            To::Node(name, form) => {
                let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/language.md");
                let page = std::fs::read_to_string(page).expect("the page of the language");
                assert!(form.contains(name) && page.contains(name), "`{word}`: {name}");
            }
            To::Nothing => assert!(!row.note.is_empty(), "`{word}`: say why"),
            // Compared with the commands where those are.
            To::Inputs | To::Command(_) | To::Flag(..) => {}
        }
        assert!(!row.hint().is_empty() && foreign(word).any(|found| found == row), "`{word}`");
        assert!(lookup::page(word).is_some() || macula::lang::manual::page(word).is_some(), "`macula doc {word}`");
    }
    let rows: BTreeSet<String> = WORDS.iter().map(|row| format!("{} {:?}", row.word.to_lowercase(), row.to)).collect();
    assert_eq!(rows.len(), WORDS.len(), "a row stands twice");
}

#[test]
fn words_of_other_tools_lead_to_maculas_own() {
    for (text, hint) in [
        ("device gpu", "did you mean `cuda`? (GPUs are `cuda`; `auto` uses one if it works)"),
        ("device mps", "available: `auto`, `cpu`, `cuda` and `candle`"),
        ("learning_rate 1e-3", "write `optimizer adamw lr=0.001`"),
        ("lr 1e-3", "write `optimizer adamw lr=0.001`"),
        ("batch_size 64", "did you mean `batch`?"),
        (
            "seed 4",
            "all stages draw with one seed, `pipeline NAME seed=7 { … }`; `replicate 1` gives a stage other random numbers",
        ),
        ("num_epochs 3", "did you mean `epochs`?"),
        ("early-stopping patience=3", "write `patience 3`"),
        ("EarlyStopping 3", "did you mean `patience`?"),
        ("loss focal alpha=0.25", "write `positive=…` (`alpha=0.25` is `positive=0.25 negative=0.75`)"),
        ("loss BCEWithLogitsLoss", "did you mean `bce`?"),
        ("focal gamma=2.0", "it is a case of `loss`: write `loss focal`"),
        ("scheduler cosine", "did you mean `schedule`?"),
        ("dropout 0.5", "use the `dropout` layer (in `network NAME { … }`)"),
        ("banana 1", "`macula doc train` lists its parameters"),
        (
            "size 64",
            "`macula doc train` lists its parameters; `size` is a parameter of `extract`, `import-model` and `import-patches`",
        ),
        ("resnet18", "it is a network: write `network resnet18`"),
        ("num_workers 4", "use `macula run --threads`: all stages share them, and no result depends on them"),
        ("optimizer adam weight_decay=1e-4", "did you mean `weight-decay`?"),
    ] {
        assert_eq!(hints(&training(text)), [hint], "{text}");
    }
    let pretrained = training("").replace("network shallow-cnn", "network resnet18 pretrained=#true");
    assert_eq!(
        hints(&pretrained),
        ["use the `weights` stage: `weights imagenet { file \"…\" }`, and `init imagenet` in `train`"]
    );
}

#[test]
fn a_case_that_is_misspelt_hides_no_mistake_next_to_it() {
    let (_, diags) = load(&training("optimizer Adam lr=1e-3 weight_decay=1e-4 betas=0.9"));
    assert_eq!(codes(&diags), ["unknown-case", "unknown-param", "unknown-param"]);
    let hints: Vec<&str> = diags.iter().filter_map(|diag| diag.hint.as_deref()).collect();
    assert_eq!(hints, ["did you mean `adam`?", "did you mean `weight-decay`?", "write `beta1=…` (and `beta2=`)"]);
    // Of a case that is not known either, what the others have is not judged.
    let (_, diags) = load(&training("optimizer lamb lr=1e-3 beta1=0.9 weight_decay=1e-4"));
    assert_eq!(codes(&diags), ["unknown-case", "unknown-param"]);
}

#[test]
fn nodes_of_other_tools_are_understood_in_a_pipeline_and_next_to_it() {
    for (node, hint) in [
        ("Trainer fit", "did you mean `train`?"),
        (
            "transforms t",
            "did you mean `augment`? (`preprocess` changes whole photographs, `augment` changes patches during training)",
        ),
        ("rule all", "did you mean `exec`? (it runs a command; other stages do not need one)"),
        ("epochs 3", "it is a parameter of `pretrain` and `train`; write it in the braces of the stage"),
        ("subset 3", "it is a parameter of `train`; write it in its braces: `train NAME { … }`"),
        (
            "batch 3",
            "it is a parameter of `calibrate`, `eval`, `heat-map`, `predict`, `threshold-tune` and `train`; write it in the braces of the stage",
        ),
    ] {
        let text = format!("pipeline a seed=1 {{\n    synthetic fundus\n    {node}\n}}\n");
        assert_eq!(hints(&text)[0], hint, "{node}");
    }
    assert_eq!(hints("include \"other.kdl\"\n")[0], "use `use \"FILE.kdl\"`");
}

#[test]
fn a_port_by_another_name_is_not_missing_as_well() {
    let text = "pipeline a seed=1 {\n    synthetic fundus\n    extract patches { input fundus }\n}\n";
    let (_, diags) = load(text);
    assert_eq!(codes(&diags), ["unknown-param"]);
    assert_eq!(diags[0].hint.as_deref(), Some("did you mean `from`?"));
}

#[test]
fn a_parameter_by_another_name_is_not_missing_as_well() {
    let (_, diags) = load(&training("").replace("network shallow-cnn", "model shallow-cnn"));
    assert_eq!(codes(&diags), ["unknown-param"]);
    assert_eq!(diags[0].hint.as_deref(), Some("did you mean `network`?"));
}

#[test]
fn what_a_stage_does_anyway_is_left_out() {
    let text = "pipeline a seed=1 {\n    synthetic fundus\n    extract patches { from fundus }\n    split folds { from patches; stratify #true }\n}\n";
    assert_eq!(hints(text), ["remove it: it spreads lesions evenly over the sets"]);
}

#[test]
fn set_names_the_stages_that_have_the_parameter() {
    let hint = |text: &str, setting: &str| set(text, &[setting]).1.into_iter().find_map(|diag| diag.hint);
    let text = training("epochs 3");
    assert_eq!(hint(&text, "epochs=2").as_deref(), Some("write `--set classifier.epochs=2`"));
    assert_eq!(hint(&text, "lr=1e-3").as_deref(), Some("write `--set classifier.optimizer.lr=1e-3`"));
    assert_eq!(hint(&text, "learning_rate=1e-3").as_deref(), Some("write `--set classifier.optimizer.lr=1e-3`"));
    assert_eq!(hint(&text, "optimizer.lr=1e-3").as_deref(), Some("write `--set classifier.optimizer.lr=1e-3`"));
    assert_eq!(
        hint(&text, "size=64").as_deref(),
        Some("`size` could be `fundus.size` and `patches.size`: write e.g. `--set fundus.size=64`")
    );
    assert_eq!(hint(&text, "clasifier.epochs=2").as_deref(), Some("did you mean `classifier`?"));
    let folds = "pipeline a seed=1 {\n    synthetic fundus\n    extract patches { from fundus }\n    cross-validation cv { patches patches }\n}\n";
    assert_eq!(hint(folds, "epochs=2").as_deref(), Some("write `--set cv.epochs=2`"));
    let sweep = format!("{text}sweep s {{\n    of a\n    over epochs 1 2\n}}\n");
    assert!(load(&sweep).1.iter().any(|diag| diag.hint.as_deref() == Some("write `over classifier.epochs …`")));
}

/// The page on the language has no word that the documentation never uses as it is written there.
#[test]
fn words_of_the_language_are_documented() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/language.md")).expect("the page of the language");
    let starts: BTreeSet<&str> =
        page.split(['\n', '{', ';', '`']).filter_map(|part| part.split_whitespace().next()).collect();
    for keyword in KEYWORDS {
        assert!(
            keyword.written.split_whitespace().any(|part| part.contains(keyword.word)) && keyword.doc.ends_with('.')
        );
        let first = keyword.written.split_whitespace().next().expect("a word");
        assert!(starts.contains(first), "`{first}` begins nothing in docs/language.md");
    }
    let sweep = format!("{}sweep s {{\n    WORD\n}}\n", training(""));
    let hint = load(&sweep.replace("WORD", "zipp")).1;
    assert!(hint.iter().any(|diag| diag.hint.as_deref() == Some("did you mean `zip`?")), "{hint:?}");
}

#[test]
fn doc_finds_parameters_cases_metrics_layers_and_words() {
    let page = |word: &str| lookup::page(word).unwrap_or_else(|| panic!("`macula doc {word}`"));
    let lr = page("lr");
    assert!(lr.contains("| `train` | `optimizer adamw lr=…` | Peak learning rate. |"), "{lr}");
    assert!(
        lr.contains("| `one-fold` | `lr …` |") && lr.contains("`macula doc pretrain` shows the whole page."),
        "{lr}"
    );
    assert!(page("loss").contains("| `train` | `loss …` |"));
    assert!(page("focal").contains("| `train` | `loss focal` |"));
    assert!(page("mean-auroc").contains("| `eval` | `rank by=STAGE.mean-auroc` |"));
    assert!(page("padding").contains("| `layers` | `conv padding=…` |"));
    assert!(page("repro").contains("- From DVC: use `macula run`."));
    assert!(page("RandomHorizontalFlip").contains("use `flip horizontal=…` in the `augment` stage (the probability)."));
    let repeat = page("repeat");
    assert!(repeat.contains("| `language` | `repeat TIMES NAME { … }` | In a network: repeats its layers"), "{repeat}");
    assert!(repeat.contains("| `language` | `repeat TIMES only=STAGE` | In a sweep: runs every point"), "{repeat}");
    for word in ["wide", "half", "auxiliary", "zip", "sweep", "pipeline", "seed", "ensemble", "embedding"] {
        assert!(page(word).len() > word.len() + 20, "`macula doc {word}`");
    }
    assert_eq!(lookup::page("bananas"), None);
    assert_eq!(lookup::nearest("epocs").as_deref(), Some("epochs"));
    assert_eq!(lookup::nearest("trian").as_deref(), Some("train"));
}

#[test]
fn the_page_of_the_language_names_words_of_the_table() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/language.md")).expect("the page");
    let section = page.split("## Coming from").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 8, "{section}");
    for row in rows {
        let there = row.split('|').nth(1).unwrap_or_default();
        for word in there.split('`').skip(1).step_by(2) {
            assert!(foreign(word).next().is_some(), "`{word}` is not in the table");
        }
    }
}
