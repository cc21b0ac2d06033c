//! What reaches a port that must not have it, by whatever way, and how the way is shown.

use macula::base::Sources;
use macula::diag::Diag;
use macula::lang;
use macula::lang::spec::Points;

use super::codes;

/// Stages with bodies that pass patches on.
const BODIES: &str = "stage sides {
    in from type=patches
    out fit type=patches from=inner.fit
    out choose type=patches from=inner.choose
    out last type=patches from=inner.last
    body { parts inner { from from } }
}
stage parts {
    in from type=patches
    out fit type=patches from=folds.train
    out choose type=patches from=folds.valid
    out last type=patches from=folds.test
    body { split folds { from from } }
}
stage fitted {
    in patches type=patches
    in valid type=patches
    out type=model from=classifier
    body {
        augment views { from patches; flip horizontal=0.5 }
        train classifier { data views; valid valid; network shallow-cnn }
    }
}
network late {
    input whole
    parallel join=concat { branch { shallow-cnn to=features }; branch from=whole { linear seen out=8 } }
    linear fc
}
stage drawn { in from type=patches; out type=patches from=fair; body { rebalance fair { from from; lesions undersample } } }
";

fn check(stages: &str) -> (Vec<Diag>, Sources) {
    let mut sources = Sources::default();
    let head =
        "synthetic eyes\nextract patches { from eyes }\nsplit folds { from patches }\nsides own { from patches }";
    let text = format!("{BODIES}pipeline p seed=1 {{\n{head}\n{stages}\n}}\n");
    let (_, diags) = lang::load_text("test.kdl", None, &text, &[], Points::All, &mut sources);
    (diags.into_iter().filter(|diag| !matches!(diag.code, "unused-stage" | "chosen-by")).collect(), sources)
}

/// The texts that the labels of the one error point at, each with its words.
fn labels(stages: &str) -> Vec<(String, String)> {
    let (diags, sources) = check(stages);
    assert_eq!(diags.len(), 1, "{diags:#?}");
    let text = |label: &macula::diag::LabeledSpan| sources.get(label.span.file).text[label.span.range()].to_owned();
    diags[0].labels.iter().map(|label| (text(label), label.text.clone())).collect()
}

const TRAIN: &str = "train model { data folds.train; valid folds.valid; network shallow-cnn }\n";

#[test]
fn patches_that_a_model_is_fitted_on_choose_neither_epoch_nor_thresholds() {
    for (way, stages) in [
        ("itself", "train model { data folds.train; valid folds.train; network shallow-cnn }".to_owned()),
        (
            "augmented",
            "augment views { from folds.train }\ntrain model { data views; valid folds.train; network shallow-cnn }"
                .to_owned(),
        ),
        ("a part of all", "train model { data patches; valid folds.valid; network shallow-cnn }".to_owned()),
        (
            "filtered",
            "filter-black kept { from folds.train }\ntrain model { data folds.train; valid kept; network shallow-cnn }"
                .to_owned(),
        ),
        (
            "balanced",
            "drawn more { from folds.train }\ntrain model { data more; valid folds.train; network shallow-cnn }"
                .to_owned(),
        ),
        ("an output of a body", "train model { data own.fit; valid own.fit; network shallow-cnn }".to_owned()),
        ("into a body", "fitted model { patches folds.train; valid folds.train }".to_owned()),
        ("out of one body, into another", "fitted model { patches own.fit; valid own.fit }".to_owned()),
        ("thresholds", format!("{TRAIN}threshold-tune cuts {{ model model; data folds.train }}")),
        (
            "thresholds of a part",
            format!(
                "{TRAIN}filter-black kept {{ from folds.train }}\nthreshold-tune cuts {{ model model; data kept }}"
            ),
        ),
        (
            "thresholds of a body's model",
            "fitted model { patches own.fit; valid own.choose }\nthreshold-tune cuts { model model; data own.fit }"
                .to_owned(),
        ),
    ] {
        let (diags, _) = check(&stages);
        assert_eq!(codes(&diags), ["fitted-on"], "{way}: {diags:#?}");
    }
    // One side fits, another chooses both; so does another set of photographs.
    for stages in [
        format!("{TRAIN}threshold-tune cuts {{ model model; data folds.valid }}"),
        "synthetic others { photographs 9 }\nextract more { from others }\ntrain model { data patches; valid more; network shallow-cnn }".to_owned(),
        "split again { from folds.train }\ntrain model { data again.train; valid again.valid; network shallow-cnn }".to_owned(),
    ] {
        let (diags, _) = check(&stages);
        assert!(diags.is_empty(), "{stages}: {diags:#?}");
    }
}

#[test]
fn test_patches_are_found_by_whatever_way_they_reach_what_is_fitted_or_chosen() {
    for (way, stages) in [
        ("fitted on", "train model { data folds.test; valid folds.valid; network shallow-cnn }"),
        ("chosen by", "train model { data folds.train; valid folds.test; network shallow-cnn }"),
        (
            "augmented",
            "augment views { from folds.test }\ntrain model { data views; valid folds.valid; network shallow-cnn }",
        ),
        (
            "filtered",
            "filter-black kept { from folds.test }\ntrain model { data kept; valid folds.valid; network shallow-cnn }",
        ),
        (
            "resampled",
            "rebalance more { from folds.test; lesions undersample }\ntrain model { data more; valid folds.valid; network shallow-cnn }",
        ),
        (
            "split again",
            "split again { from folds.test }\ntrain model { data again.train; valid again.valid; network shallow-cnn }",
        ),
        ("an output of a body", "train model { data own.fit; valid own.last; network shallow-cnn }"),
        ("a port of a body", "fitted model { patches folds.test; valid folds.valid }"),
        ("out of one body, into another", "fitted model { patches own.last; valid own.choose }"),
    ] {
        let (diags, _) = check(&format!("{stages}\neval scores {{ model model; data own.choose }}"));
        assert!(!diags.is_empty() && codes(&diags).iter().all(|code| *code == "test-in-training"), "{way}: {diags:#?}");
    }
    let (diags, _) = check(&format!("{TRAIN}threshold-tune cuts {{ model model; data folds.test }}"));
    assert_eq!(codes(&diags), ["test-in-training"]);
    let (diags, _) = check(&format!("{TRAIN}threshold-tune cuts {{ model model; data own.last }}"));
    assert_eq!(codes(&diags), ["test-in-training"]);
}

#[test]
fn resampled_patches_are_found_by_whatever_way_they_reach_figures_and_thresholds() {
    for (way, stages) in [
        (
            "evaluated",
            "rebalance more { from folds.test; lesions undersample }\neval scores { model model; data more }",
        ),
        (
            "tuned on",
            "rebalance more { from folds.valid; lesions undersample }\nthreshold-tune cuts { model model; data more }",
        ),
        (
            "split after",
            "rebalance more { from patches; lesions undersample }\nsplit late { from more }\neval scores { model model; data late.test }",
        ),
        ("out of a body", "drawn more { from folds.valid }\nthreshold-tune cuts { model model; data more }"),
        (
            "through two bodies",
            "drawn more { from patches }\nsides late { from more }\neval scores { model model; data late.choose }",
        ),
    ] {
        let (diags, _) = check(&format!("{TRAIN}{stages}"));
        assert!(codes(&diags).contains(&"resampled-evaluation"), "{way}: {diags:#?}");
    }
}

#[test]
fn patches_that_no_split_keeps_from_the_test_are_test_patches() {
    let model =
        |data: &str, valid: &str| format!("train model {{ data {data}; valid {valid}; network shallow-cnn }}\n");
    let scores = "eval scores { model model; data folds.test }\n";
    for (way, stages) in [
        ("not split", format!("{}{scores}", model("patches", "folds.valid"))),
        (
            "not split, augmented",
            format!("augment views {{ from patches }}\n{}{scores}", model("views", "folds.valid")),
        ),
        (
            "another split",
            format!(
                "split other {{ from patches; train 0.5; valid 0.3; test 0.2 }}\n{}{scores}",
                model("other.train", "folds.valid")
            ),
        ),
        (
            "chosen on another",
            format!(
                "split other {{ from patches; train 0.5; valid 0.3; test 0.2 }}\n{}{scores}",
                model("folds.train", "other.valid")
            ),
        ),
        (
            "tuned on all",
            format!(
                "{TRAIN}threshold-tune cuts {{ model model; data patches }}\neval scores {{ model model; thresholds cuts; data folds.test }}"
            ),
        ),
        (
            "a body's own split",
            format!(
                "{TRAIN}split other {{ from patches; train 0.5; valid 0.3; test 0.2 }}\nsides mine {{ from other.train }}\neval scores {{ model model; data mine.last }}"
            ),
        ),
        ("in a body", format!("fitted model {{ patches patches; valid folds.valid }}\n{scores}")),
        ("cut twice", format!("extract large {{ from eyes; stride 64 }}\n{}{scores}", model("large", "folds.valid"))),
    ] {
        let (diags, _) = check(&stages);
        assert_eq!(codes(&diags), ["test-in-training"], "{way}: {diags:#?}");
    }
    for (why, stages) in [
        ("the sides of one split", format!("{TRAIN}{scores}")),
        // `own` splits the same patches in the same way as `folds`.
        ("equal splits are one", format!("{TRAIN}eval scores {{ model model; data own.last }}")),
        (
            "a split of the training side",
            format!("split inner {{ from folds.train }}\n{}{scores}", model("inner.train", "inner.valid")),
        ),
        (
            "other photographs",
            format!(
                "synthetic others {{ photographs 9 }}\nextract more {{ from others }}\nsplit apart {{ from more }}\n{}{scores}",
                model("apart.train", "folds.valid")
            ),
        ),
    ] {
        let (diags, _) = check(&stages);
        assert_eq!(codes(&diags), [""; 0], "{why}: {diags:#?}");
    }
}

#[test]
fn another_cut_is_kept_from_the_test_by_the_same_sides() {
    let model =
        |data: &str, valid: &str| format!("train model {{ data {data}; valid {valid}; network shallow-cnn }}\n");
    let scores = "eval scores { model model; data folds.test }\n";
    let large = "extract large { from eyes; stride 64 }\n";
    let names = |name: &str, from: &str, test: &str| {
        format!("split {name} {{ from {from}; by names; names {{ valid \"b*\"; test \"{test}\" }} }}\n")
    };
    let by_names = |test: &str| {
        let splits = [names("small", "patches", "c*"), names("big", "large", test)].concat();
        format!("{large}{splits}{}eval scores {{ model model; data small.test }}\n", model("big.train", "big.valid"))
    };
    for (why, expected, stages) in [
        (
            "its own sides",
            1,
            format!("{large}split other {{ from large }}\n{}{scores}", model("other.train", "other.valid")),
        ),
        (
            "the same sides",
            0,
            format!("{large}split other {{ from large; like folds }}\n{}{scores}", model("other.train", "other.valid")),
        ),
        (
            "written one by one",
            0,
            format!(
                "{large}split other {{ from large; like folds.train folds.valid folds.test }}\n{}{scores}",
                model("other.train", "other.valid")
            ),
        ),
        (
            "in another order",
            1,
            format!(
                "{large}split other {{ from large; like folds.test folds.valid folds.train }}\n{}{scores}",
                model("other.train", "folds.valid")
            ),
        ),
        (
            "tested on the other cut",
            0,
            format!(
                "{large}split other {{ from large; like folds }}\n{TRAIN}eval scores {{ model model; data other.test }}\n"
            ),
        ),
        ("a set of the other", 1, {
            let other = "split other { from large; like folds }\n";
            format!("{large}{other}{}eval scores {{ model model; data other.test }}\n", model("large", "folds.valid"))
        }),
        ("the same names", 0, by_names("c*")),
        ("other names", 1, by_names("d*")),
    ] {
        let (diags, _) = check(&stages);
        assert_eq!(codes(&diags), vec!["test-in-training"; expected], "{why}: {diags:#?}");
    }
    for wrong in ["patches", "folds.train", "folds.train folds.valid own.last"] {
        let (diags, _) = check(&format!("{large}split other {{ from large; like {wrong} }}\n"));
        assert_eq!(codes(&diags), ["value-count"], "{wrong}: {diags:#?}");
    }
}

#[test]
fn photographs_split_before_they_are_cut_keep_every_cut_from_the_test() {
    let before = "split first { from eyes }
extract grid { from first.test; size 64 }
extract valid { from first.valid; size 64 }
extract centred { from first.train; size 64; around lesions }
preprocess half { from first.train; shrink 2 }
extract coarse { from half; size 64 }
extract all { from eyes; size 64; stride 32 }
split dense { from all; like first }
";
    let scored = |data: &str| {
        format!(
            "{before}train model {{ data {data}; valid valid; network shallow-cnn }}\neval scores {{ model model; data grid }}\n"
        )
    };
    for (data, expected) in
        [("centred", 0), ("coarse", 0), ("dense.train", 0), ("grid", 1), ("dense.test", 1), ("all", 1)]
    {
        let (diags, _) = check(&scored(data));
        assert_eq!(codes(&diags), vec!["test-in-training"; expected], "{data}: {diags:#?}");
    }
    let hint = check(&scored("all")).0[0].hint.clone().unwrap_or_default();
    assert_eq!(hint, "cut the training patches from `first.train`, or split them with `like first`");
    // Another draw of the same photographs is not kept apart.
    let equal = "split second { from eyes; replicate 1 }\nextract other { from second.train; size 64 }\n";
    let (diags, _) = check(&scored("other").replace("train model", &format!("{equal}train model")));
    assert_eq!(codes(&diags), ["test-in-training"]);
    let hint = diags[0].hint.clone().unwrap_or_default();
    assert!(hint.starts_with("add `like first` to `split second`"), "{hint}");
    // A stage takes photographs or patches, whichever its split gives.
    for (wrong, provides) in [
        ("train model { data first.train; valid valid; network shallow-cnn }", "provides photographs"),
        ("extract again { from folds.train }", "provides patches"),
        ("split deep { from first.train }\nfilter-black seen { from deep.test }", "provides photographs"),
        // Declared in another order.
        ("filter-black seen { from deep.test }\nsplit deep { from first.train }", "provides photographs"),
    ] {
        let (diags, _) = check(&format!("{before}{wrong}\n"));
        assert_eq!(codes(&diags), ["port-type"], "{wrong}: {diags:#?}");
        assert!(diags[0].message.ends_with(provides), "{}", diags[0].message);
        let hint = diags[0].hint.clone().unwrap_or_default();
        assert!(!hint.contains(if provides.ends_with("photographs") { "first." } else { "folds." }), "{hint}");
    }
    let deep = "extract tiles { from deep.train; size 64 }\nsplit deep { from first.train }\n";
    let (diags, _) = check(&format!("{before}{deep}"));
    assert!(diags.is_empty(), "{diags:#?}");
}

#[test]
fn masks_that_only_label_patches_bring_none_of_their_photographs() {
    let relabelled = "relabel clear { from folds.train; masks eyes; min-rim-distance 2 }\n";
    let model = "train model { data clear; valid folds.valid; network shallow-cnn }\n";
    let (diags, _) = check(&format!("{relabelled}{model}eval scores {{ model model; data folds.test }}\n"));
    assert!(diags.is_empty(), "{diags:#?}");
    let all = relabelled.replace("folds.train", "patches");
    let (diags, _) = check(&format!("{all}{model}eval scores {{ model model; data folds.test }}\n"));
    assert_eq!(codes(&diags), ["test-in-training"]);
}

#[test]
fn the_official_test_set_is_the_same_for_every_cut_if_nothing_is_drawn_into_it() {
    let stages = |first: &str, second: &str, valid: &str| {
        format!(
            "extract large {{ from eyes; stride 64 }}
split small {{ from patches; by official; {first} }}
split big {{ from large; by official; {second} }}
train model {{ data big.train; valid {valid}; network shallow-cnn }}
eval scores {{ model model; data small.test }}
"
        )
    };
    for (first, second, valid, expected) in [
        ("test 0.0", "test 0.0", "big.valid", vec![]),
        ("test 0.0", "train 0.5; valid 0.5; test 0.0", "big.valid", vec![]),
        // The data set may have no official test set; then it is drawn, differently for each cut.
        ("test 0.15", "test 0.15", "big.valid", vec!["test-in-training"]),
        ("test 0.0", "test 0.15", "big.valid", vec!["test-in-training"]),
        // So is the validation set, unless nothing is drawn into it either.
        ("test 0.0", "test 0.0", "small.valid", vec!["fitted-on"]),
        ("valid 0.0; test 0.0", "valid 0.0; test 0.0", "small.valid", vec![]),
    ] {
        let (diags, _) = check(&stages(first, second, valid));
        assert_eq!(codes(&diags), expected, "{first}, {second}, {valid}: {diags:#?}");
    }
    let patient = stages("test 0.0", "test 0.0", "big.valid").replace("by official", "by patient");
    assert_eq!(codes(&check(&patient).0), ["test-in-training"], "the sets of patients are drawn");
}

#[test]
fn names_of_a_stage_that_follows_another_do_not_count() {
    let names = "by names; names { valid \"b*\"; test \"c*\" }";
    let stages = format!(
        "extract large {{ from eyes; stride 64 }}
split small {{ from patches; {names} }}
split big {{ from large; like folds; {names} }}
train model {{ data big.train; valid big.valid; network shallow-cnn }}
eval scores {{ model model; data small.test }}
"
    );
    assert_eq!(codes(&check(&stages).0), ["test-in-training"]);
}

#[test]
fn thresholds_of_another_augmentation_are_reported() {
    let scored = |valid: &str, test: &str| {
        format!(
            "{TRAIN}predict on-valid {{ model model; data folds.valid; tta {valid} }}\n\
             predict on-test {{ model model; data folds.test; tta {test} }}\n\
             predict plain {{ model model; data folds.test }}\n\
             average mean {{ of on-test plain; data folds.test }}\n\
             threshold-tune cuts {{ predictions on-valid; data folds.valid }}\n"
        )
    };
    for (why, expected, stages) in [
        ("the same", 0, "eval scores { predictions on-test; thresholds cuts; data folds.test }"),
        (
            "maps by another model's thresholds",
            1,
            "heat-map maps { model model; thresholds cuts; from eyes; only folds.test }",
        ),
        (
            "thresholds by the model",
            1,
            "threshold-tune tuned { model model; data folds.valid; tta dihedral }\neval scores { model model; thresholds tuned; data folds.test }",
        ),
        (
            "both by the model",
            0,
            "threshold-tune tuned { model model; data folds.valid; tta dihedral }\neval scores { model model; thresholds tuned; data folds.test; tta dihedral }",
        ),
        ("by the model", 0, "eval scores { model model; thresholds cuts; data folds.test; tta dihedral }"),
        ("by the model as it is", 1, "eval scores { model model; thresholds cuts; data folds.test }"),
        ("another one", 1, "eval scores { predictions plain; thresholds cuts; data folds.test }"),
        ("none to compare", 0, "eval scores { predictions plain; data folds.test }"),
    ] {
        let (diags, _) = check(
            &(scored("dihedral", "dihedral").replace("average mean { of on-test plain; data folds.test }\n", "")
                + stages),
        );
        assert_eq!(codes(&diags), vec!["tta-differs"; expected], "{why}: {diags:#?}");
    }
    let (diags, _) = check(&(scored("none", "dihedral") + "eval scores { predictions mean; data folds.test }"));
    assert_eq!(codes(&diags), ["tta-differs"], "a mean of both: {diags:#?}");
    let (diags, _) =
        check(&(scored("none", "none") + "eval scores { predictions mean; thresholds cuts; data folds.test }"));
    assert_eq!(codes(&diags), ["same-predictions"], "both are of one model as it is: {diags:#?}");
}

#[test]
fn the_way_of_a_mark_is_shown_step_by_step_from_the_port_back() {
    let said = labels(
        "filter-black kept { from own.last }\nfitted model { patches kept; valid own.choose }\neval scores { model model; data own.choose }",
    );
    let said: Vec<(&str, &str)> = said.iter().map(|(text, words)| (text.as_str(), words.as_str())).collect();
    assert_eq!(
        said,
        [
            ("views", ""),
            ("patches", "`model.views` reads `kept`"),
            ("kept", "`patches` is connected to `kept`"),
            ("own.last", "`kept` reads `own.inner.folds`"),
            ("inner.last", "`own.last` is `inner.last` of its body"),
            ("folds.test", "`inner.last` is `folds.test` of its body"),
            ("folds", "`split own.inner.folds` makes the test set"),
            ("model", "in `model`, which is used here"),
        ]
    );
}

#[test]
fn the_way_of_a_wrong_type_is_shown_through_outputs_of_bodies() {
    let said = labels("fitted model { patches own.fit; valid own.choose }\neval scores { model model; data model }");
    let said: Vec<(&str, &str)> = said.iter().map(|(text, words)| (text.as_str(), words.as_str())).collect();
    assert_eq!(
        said,
        [
            ("model", ""),
            ("model", "provides model"),
            ("classifier", "`model` is `classifier` of its body"),
            ("classifier", "produced by this `train`"),
        ]
    );
    let (diags, _) =
        check("fitted model { patches own.fit; valid own.choose }\neval scores { model model; data model }");
    assert_eq!(diags[0].message, "`data` of `eval scores` takes patches, but `model` provides model");
    // A port of a body: where it is declared.
    let text = "stage s { in eyes type=photographs; out type=patches from=t; body { filter-black t { from eyes } } }\npipeline p seed=1 { synthetic e; s x { eyes e }; export f { from x } }";
    let (diags, sources) = {
        let mut sources = Sources::default();
        let (_, diags) = lang::load_text("test.kdl", None, text, &[], Points::All, &mut sources);
        (diags, sources)
    };
    assert_eq!(codes(&diags), ["port-type"], "{diags:#?}");
    let second = &diags[0].labels[1];
    assert_eq!(&sources.get(second.span.file).text[second.span.range()], "in eyes type=photographs");
}

const FEATURES: &str = "network shallow-cnn to=features; side 96";

/// A network that is trained on the training set, joined with the embeddings `described`.
const READING: &str = "join fitted { patches folds.train; embeddings described; as whole }
join chosen { patches folds.valid; embeddings described; as whole }
train second { data fitted; valid chosen; network late }
";

#[test]
fn embeddings_by_an_encoder_that_was_trained_on_the_same_photographs_are_reported() {
    let encode = format!("encode described {{ from eyes; init model; {FEATURES} }}\n");
    let parts = "split parts { from folds.train }\n";
    let of_a_part = "train model { data parts.train; valid parts.valid; network shallow-cnn }\n";
    let more = READING.replace("data fitted", "data views") + "augment views { from fitted; flip horizontal=0.5 }\n";
    for (way, stages) in [
        ("a model", format!("{TRAIN}{encode}{READING}")),
        ("augmented patches", format!("{TRAIN}{encode}{more}")),
        ("a part of the training set", format!("{parts}{of_a_part}{encode}{READING}")),
        (
            "a part of it left out",
            format!("{parts}{TRAIN}{}{READING}", encode.replace("init", "except parts.train; init")),
        ),
        (
            "weights trained further",
            format!(
                "{parts}{of_a_part}train more {{ data parts.train; valid parts.valid; init model; network shallow-cnn }}\n{}{READING}",
                encode.replace("init model", "init more")
            ),
        ),
        ("combined", format!("{TRAIN}{}combine described {{ of one }}\n{READING}", encode.replace("described", "one"))),
    ] {
        assert_eq!(codes(&check(&stages).0), ["stacked-embeddings"], "{way}\n{stages}");
    }
    let labels = labels(&format!("{TRAIN}{encode}{READING}"));
    let labels: Vec<(&str, &str)> = labels.iter().map(|(at, text)| (at.as_str(), text.as_str())).collect();
    let there = [
        ("folds.train", "the encoder is trained here, at `data`"),
        ("fitted", "the network that reads the embeddings is trained here, at `data`"),
    ];
    assert_eq!(labels, [("described", ""), there[0], there[1]]);
}

#[test]
fn embeddings_by_an_encoder_that_has_not_seen_the_photographs_are_not_reported() {
    let encode = format!("encode described {{ from eyes; init model; {FEATURES} }}\n");
    let imagenet = format!(
        "weights imagenet {{ file \"a.safetensors\" }}\nencode clean {{ from eyes; init imagenet; {FEATURES} }}\n"
    );
    for (way, stages) in [
        ("ImageNet", format!("{imagenet}{}", READING.replace("described", "clean"))),
        ("a network that does not read them", format!("{TRAIN}{encode}{}", READING.replace("late", "shallow-cnn"))),
        (
            "others under the same name",
            format!(
                "{TRAIN}{encode}{imagenet}{}{}",
                "join stale { patches folds.train; embeddings described; as whole }\n",
                READING.replace("described", "clean").replace("patches folds.train", "patches stale")
            ),
        ),
        ("left out", format!("{TRAIN}{}{READING}", encode.replace("init", "except folds.train folds.valid; init"))),
        (
            "cross-fitted",
            format!(
                "cross-encode described {{ photographs eyes; patches folds.train; network shallow-cnn }}\n{READING}"
            ),
        ),
    ] {
        assert_eq!(codes(&check(&stages).0), [""; 0], "{way}\n{stages}");
    }
}

#[test]
fn an_encoder_is_a_part_of_the_model_that_reads_its_embeddings() {
    let encode = format!("encode described {{ from eyes; init model; {FEATURES} }}\n");
    let on_valid = TRAIN
        .replace("folds.train", "folds.swap")
        .replace("folds.valid", "folds.train")
        .replace("folds.swap", "folds.valid");
    assert_eq!(
        codes(&check(&format!("{on_valid}{encode}{READING}")).0),
        ["fitted-on"],
        "chosen on what it was trained on"
    );
    let on_all = TRAIN.replace("data folds.train", "data patches").replace("valid folds.valid", "valid folds.test");
    let found = check(&format!("{on_all}{encode}{READING}join tested {{ patches folds.test; embeddings described; as whole }}\neval scores {{ model second; data tested }}")).0;
    assert!(codes(&found).contains(&"test-in-training"), "{found:#?}");
}
