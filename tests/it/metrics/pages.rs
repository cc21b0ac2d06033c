//! Thresholds, evaluation and report on a tiny synthetic set: golden digests, errors, warnings, and forbidden content of pages.

use std::collections::BTreeMap;

use macula::base::{Digest, Streams};
use macula::data::patches::{Label, PatchSet};
use macula::data::table::{Column, Columns};
use macula::learn::evaluation::{ScoredSet, Scores, evaluate};
use macula::learn::metrics::{Interval, ZeroDivision};
use macula::learn::thresholds::Criterion;
use macula::learn::tta::Tta;
use macula::learn::tuning::Thresholds;
use macula::report::gather::gather;
use macula::report::names::NameReplacements;
use macula::report::page::page;
use macula::report::scores::{at_thresholds, summary};
use macula::stage::{Cell, Named, Outcome, StageError, StageSettings, Summary, Table, Warning};
use macula::stages::eval::evaluated;
use macula::stages::threshold_tune::{judged, natural, tuned};
use macula::store::{Objects, Tree};

use super::fixture::{CLASSES, Extent, TINY, set};

fn space() -> (tempfile::TempDir, Objects) {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).unwrap();
    (folder, objects)
}

fn classes() -> Vec<String> {
    CLASSES.map(str::to_owned).to_vec()
}

/// Thresholds and scores of the tiny set.
fn outcomes(objects: &Objects) -> (PatchSet, Outcome, Outcome) {
    let (set, logits) = set(TINY, objects);
    let judged = ScoredSet::new(&set, &logits);
    let cuts = tuned(&judged, Criterion::F1, Tta::None, objects).unwrap();
    let thresholds = Thresholds::read(&cuts.outputs["out"], objects).unwrap();
    let thresholds = thresholds.of_classes(&classes()).unwrap();
    let streams = Streams::new(7, "eval");
    let scores = evaluate(&judged, Some(&thresholds), ZeroDivision::Undefined, &streams);
    let scores = evaluated(&judged, &scores, Some((&thresholds, Criterion::F1)), objects).unwrap();
    (set, cuts, scores)
}

fn epochs() -> Columns {
    let rows: Vec<(i64, &str)> = (1..=3).flat_map(|epoch| ["training", "valid"].map(|set| (epoch, set))).collect();
    let real = |top: f64| Column::Real(rows.iter().map(|row| Some(top / row.0 as f64)).collect());
    let mut table = Columns::default();
    table.push("epoch", Column::Int(rows.iter().map(|row| Some(row.0)).collect()));
    table.push("set", Column::Text(rows.iter().map(|row| Some(row.1.to_owned())).collect()));
    table.push("loss", real(0.7));
    table.push("average_precision", real(0.6));
    table.push("average_precision.MA", real(0.5));
    table
}

fn model(objects: &Objects) -> Tree {
    let labels = serde_json::json!({ "present": 3, "absent": 1234, "unknown": 5 });
    let info = serde_json::json!({
        "network": { "name": "shallow-cnn", "layers": [] }, "classes": CLASSES, "size": 16, "scale": 1, "margin": 2,
        "normalisation": { "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2] },
        "labels": [labels, labels, labels, labels], "chosen_epoch": 2, "epochs": 3, "kernel_path": "cpu-portable",
    });
    let mut tree = Tree::default();
    tree.insert("model.json", objects.put(info.to_string().as_bytes()).unwrap());
    tree.insert("epochs.parquet", objects.put(&epochs().to_parquet().unwrap()).unwrap());
    tree
}

/// A summary in the words that it had when the page's digest was taken: they belong to other stages.
fn first_worded(summary: &Summary) -> Summary {
    let mut summary = summary.clone();
    let first = |head: &str| {
        let head = head.replace("as good ", "equal ").replace("also ", "and ").replace("FP ", "false ");
        head.replace("lesions, and false positives (FP) next to them", "lesions and false positives")
    };
    for table in &mut summary.tables {
        table.title = first(&table.title);
        for column in &mut table.columns {
            *column = first(column);
        }
    }
    summary
}

/// Page on all artifacts, as the stage writes it.
fn html(objects: &Objects, names: Option<NameReplacements>) -> String {
    let (set, cuts, scores) = outcomes(objects);
    let said = Summary {
        headline: "24 patches of `IDRiD_03`, patient-1 & <others>".to_owned(),
        tables: vec![Table {
            title: "of IDRiD_02".to_owned(),
            columns: vec!["photograph".to_owned(), "patches".to_owned()],
            rows: vec![vec![macula::stage::Cell::Text("IDRiD_02".to_owned()), macula::stage::Cell::Int(24)]],
        }],
        warnings: vec![Warning { code: "x".to_owned(), text: "`IDRiD_06` is dim".to_owned() }],
        ..Summary::default()
    };
    let named = |name: &str, tree: Tree, summary: &Summary| Named {
        stage: name.split('.').next().unwrap_or(name).to_owned(),
        name: name.to_owned(),
        tree,
        summary: Some(summary.clone()),
    };
    let given = [
        named("patches", set.write(objects).unwrap(), &said),
        named("classifier", model(objects), &Summary::default()),
        named("cuts", cuts.outputs["out"].clone(), &first_worded(&cuts.summary)),
        named("scores", scores.outputs["out"].clone(), &first_worded(&scores.summary)),
    ];
    let (items, numbered) = gather(&given, &[], objects).unwrap();
    let names = names.unwrap_or(numbered);
    let items: Vec<_> = items.into_iter().map(|item| item.redacted(&names)).collect();
    page("A <tiny> report", &items, &names, 2)
}

fn code(error: &StageError) -> &'static str {
    if let StageError::Input { code, .. } = error { code } else { panic!("{error}") }
}

#[test]
fn the_outputs_of_threshold_tune_and_eval_do_not_change() {
    let (_folder, objects) = space();
    let (_, cuts, scores) = outcomes(&objects);
    assert_eq!(
        cuts.summary.headline,
        "thresholds MA 0.706, HE 0.556, EX 0.642, SE 0.631 for the highest F1 on 144 patches"
    );
    assert_eq!(
        scores.summary.headline,
        "mean AP 0.721 (chance 0.177): MA 0.884, HE 0.728, EX 0.962, SE 0.309; micro F1 0.784 (all positive 0.309); 144 patches of 6 photographs"
    );
    assert_eq!(cuts.outputs["out"].digest().short(), "32832827", "raise the version of `threshold-tune`");
    assert_eq!(scores.outputs["out"].digest().short(), "c873c59a", "raise the version of `eval`");
}

#[test]
fn the_same_artifacts_give_the_same_page() {
    let (_one, first) = space();
    let (_two, second) = space();
    let page = html(&first, None);
    assert_eq!(page, html(&second, None));
    assert_eq!(Digest::of(page.as_bytes()).short(), "92ebbe07", "raise the version of `report`");
}

#[test]
fn a_page_holds_no_name_of_a_photograph_or_a_patient_unless_asked() {
    let (_folder, objects) = space();
    let page = html(&objects, None);
    assert!(!page.contains("IDRiD_0") && !page.contains("patient-"), "a name is on the page");
    assert!(page.contains("photograph 3") && page.contains("patient 2"), "numbers stand for the names");
    let asked = html(&objects, Some(NameReplacements::shown()));
    assert!(asked.contains("IDRiD_03") && asked.contains("patient-1"));
}

#[test]
fn a_page_fetches_nothing_and_escapes_text() {
    let (_folder, objects) = space();
    let page = html(&objects, None);
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", "//cdn", "<script src", "@import", "url(", "loading="] {
        assert!(!outside.contains(word), "`{word}` is on the page");
    }
    assert!(page.contains("A &lt;tiny&gt; report") && page.contains("&lt;others&gt;"));
    assert!(page.contains("research, not for clinical use"));
    assert!(page.contains("data:image/jpeg;base64,"), "examples are within");
    assert_eq!(page.matches("<script").count(), 1, "the only script is the page's own");
    assert!(
        page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"),
        "nothing else may be loaded"
    );
}

#[test]
fn a_page_shows_the_settings_of_the_stages_behind_it() {
    let (_folder, objects) = space();
    let stage = |stage: &str, kind: &str, seed: Option<u64>, params: &[(&str, &str)]| StageSettings {
        stage: stage.to_owned(),
        kind: kind.to_owned(),
        seed,
        params: params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    };
    let rendered = |seed: u64| {
        let settings = vec![
            stage("eyes", "source", None, &[]),
            stage("folds", "split", Some(7), &[("fractions.test", "0.2")]),
            stage("fit", "train", Some(seed), &[("epochs", "3")]),
        ];
        let summary = Some(Summary { settings, ..Summary::default() });
        let tree = outcomes(&objects).0.write(&objects).unwrap();
        let given = [Named { stage: "patches".to_owned(), name: "patches".to_owned(), tree, summary }];
        let (items, names) = gather(&given, &[], &objects).unwrap();
        page("A report", &items, &names, 0)
    };
    let one = rendered(7);
    for text in ["Settings: seed 7", "<code>fractions.test 0.2</code>", "<code>epochs 3</code>", ">none<"] {
        assert!(one.contains(text), "`{text}` is not on the page");
    }
    let two = rendered(8);
    assert!(!two.contains("Settings: seed") && two.contains("<th>seed</th>") && two.contains("<td>8</td>"));
}

#[test]
fn scores_json_counts_known_labels() {
    let (_folder, objects) = space();
    let (set, _, scores) = outcomes(&objects);
    let tree = &scores.outputs["out"];
    let bytes = objects.read_in(tree, "scores.json").unwrap().unwrap();
    let scores: Scores = serde_json::from_slice(&bytes).unwrap();
    let last = set.parts.last().unwrap().rows.len() as u64;
    assert_eq!(scores.data.patches, set.len());
    assert_eq!(scores.baselines.classes[0].known, set.len());
    assert_eq!(scores.baselines.classes[3].known, set.len() - last, "SE was not annotated on the last photograph");
    assert_eq!(scores.at_half.figures.full_rows, set.len() - last);
    assert_eq!(scores.data.patients, Some(3));
    assert_eq!(scores.intervals, None, "three patients are too few");
    let predictions = objects.read_in(tree, "predictions.parquet").unwrap().unwrap();
    let predictions = Columns::from_parquet(&predictions).unwrap();
    assert_eq!(predictions.rows() as u64, set.len());
    assert!(predictions.bools("label.SE").unwrap().ends_with(&vec![None; last as usize]));
    let agree = predictions.reals("score.EX").unwrap().iter().zip(predictions.bools("predicted.EX").unwrap());
    assert!(agree.clone().all(|(score, predicted)| (score.unwrap() >= 0.5) == predicted.unwrap()));
}

#[test]
fn resampled_patches_are_refused() {
    let (_folder, objects) = space();
    let (mut set, _) = set(TINY, &objects);
    assert!(natural(&set.info).is_ok());
    set.info.resampled = true;
    assert_eq!(code(&natural(&set.info).unwrap_err()), "resampled-evaluation");
}

#[test]
fn a_set_without_patches_and_a_score_that_is_not_a_number_are_refused() {
    let (_folder, objects) = space();
    let (mut set, logits) = set(TINY, &objects);
    let mut scores = vec![0.5; logits.len()];
    scores[5] = f64::NAN;
    assert_eq!(code(&judged(&set, scores).err().unwrap()), "nan-output");
    set.parts.clear();
    assert_eq!(code(&judged(&set, Vec::new()).err().unwrap()), "no-patches");
}

#[test]
fn thresholds_of_other_classes_are_refused() {
    let (_folder, objects) = space();
    let (_, cuts, _) = outcomes(&objects);
    let thresholds = Thresholds::read(&cuts.outputs["out"], &objects).unwrap();
    let mut other = classes();
    other.swap(0, 1);
    let error = thresholds.of_classes(&other).unwrap_err();
    assert_eq!(code(&error), "other-classes");
    assert!(error.to_string().contains("`MA HE EX SE`") && error.to_string().contains("`HE MA EX SE`"));
}

/// Codes of the warnings of an evaluation of the tiny set with changed labels and logits.
fn warned(change: impl Fn(&mut PatchSet, &mut Vec<f32>)) -> BTreeMap<String, usize> {
    let (_folder, objects) = space();
    let (mut set, mut logits) = set(TINY, &objects);
    change(&mut set, &mut logits);
    let judged = ScoredSet::new(&set, &logits);
    let streams = Streams::new(7, "eval");
    let scores = macula::learn::evaluation::evaluate(&judged, None, ZeroDivision::Undefined, &streams);
    let mut codes = BTreeMap::new();
    for warning in summary(&scores).warnings {
        *codes.entry(warning.code).or_default() += 1;
    }
    codes
}

#[test]
fn a_collapse_to_all_negative_is_reported() {
    let codes = warned(|_, logits| logits.fill(-9.0));
    assert_eq!(codes.get("all-zero"), Some(&1));
    assert!(warned(|_, _| ()).keys().all(|code| code != "all-zero"));
}

#[test]
fn thresholds_that_lower_what_they_maximise_are_reported() {
    let (_folder, objects) = space();
    let (set, logits) = set(TINY, &objects);
    let judged = ScoredSet::new(&set, &logits);
    let warned = |threshold: f64, criterion| {
        let streams = Streams::new(7, "eval");
        let thresholds = [threshold; 4];
        let scores = evaluate(&judged, Some(&thresholds), ZeroDivision::Undefined, &streams);
        let done = evaluated(&judged, &scores, Some((thresholds.as_slice(), criterion)), &objects).unwrap();
        let found = done.summary.warnings.into_iter().find(|warning| warning.code == "tuning-lowers");
        found.map(|warning| warning.text)
    };
    let text = warned(0.97, Criterion::F1).expect("a warning");
    assert!(text.starts_with("the tuned thresholds lower the mean F1 on these patches: 0."), "{text}");
    assert!(text.ends_with(" at threshold 0.5"), "{text}");
    assert_eq!([warned(0.5, Criterion::F1), warned(0.97, Criterion::Precision { recall: 0.5 })], [None, None]);
}

#[test]
fn few_patients_are_counted() {
    let (_folder, objects) = space();
    let few = |change: &dyn Fn(&mut PatchSet)| {
        let (mut set, logits) = set(TINY, &objects);
        change(&mut set);
        let judged = ScoredSet::new(&set, &logits);
        let streams = Streams::new(7, "eval");
        let scores = macula::learn::evaluation::evaluate(&judged, None, ZeroDivision::Undefined, &streams);
        let found = summary(&scores).warnings.into_iter().find(|warning| warning.code == "few-groups");
        found.map(|warning| warning.text)
    };
    let three = "no confidence interval: it needs at least 10 patients, and these patches come from 3";
    assert_eq!(few(&|_| ()).as_deref(), Some(three));
    // Without patients, each of the six photographs counts.
    let six = "no confidence interval: it needs at least 10 photographs, and these patches come from 6";
    let photographs = few(&|set| set.parts.iter_mut().for_each(|part| part.patient = None));
    assert_eq!(photographs.as_deref(), Some(six));
    let mixed = few(&|set| set.parts[5].patient = None);
    let fewer = "no confidence interval: it needs at least 10 patients or photographs, and these patches come from 4";
    assert_eq!(mixed.as_deref(), Some(fewer));
}

#[test]
fn a_mean_whose_interval_reaches_chance_is_reported() {
    let (_folder, objects) = space();
    let (mut set, logits) = set(Extent { photographs: 24, ..TINY }, &objects);
    // Each photograph counts.
    set.parts.iter_mut().for_each(|part| part.patient = None);
    let streams = Streams::new(7, "eval");
    let mut scores = evaluate(&ScoredSet::new(&set, &logits), None, ZeroDivision::Undefined, &streams);
    let chance = scores.baselines.macro_prevalence.value.expect("a chance level");
    let mut warned = |low: f64| {
        let intervals = scores.intervals.as_mut().expect("intervals");
        intervals.mean_average_precision = Some(Interval { low, high: chance + 0.1 });
        let found = summary(&scores).warnings;
        found.into_iter().map(|warning| warning.text).find(|text| text.contains("is not above chance"))
    };
    assert!(warned(chance - 0.01).expect("a warning").contains("interval of mean average precision"));
    assert_eq!(warned(chance + 0.01), None);
}

#[test]
fn macro_precision_says_over_how_many_classes_it_is() {
    let (_folder, objects) = space();
    let (set, mut logits) = set(TINY, &objects);
    logits.chunks_exact_mut(4).for_each(|row| row[1..].fill(-9.0));
    logits[0] = 9.0;
    let streams = Streams::new(7, "eval");
    let scores = evaluate(&ScoredSet::new(&set, &logits), None, ZeroDivision::Undefined, &streams);
    let table = at_thresholds(&scores, &scores.at_half, "at 0.5");
    let Cell::Text(name) = &table.rows.last().expect("a row of means")[0] else { panic!("a name") };
    assert_eq!(name, "macro, precision of 1 of 4");
}

#[test]
fn over_and_under_prediction_are_reported_per_class() {
    let codes = warned(|_, logits| {
        for row in logits.chunks_exact_mut(4) {
            row[0] = 4.0;
            row[1] = -4.0;
        }
    });
    assert!(codes["over-prediction"] >= 1 && codes["under-prediction"] >= 1, "{codes:?}");
    assert!(codes.contains_key("no-better-than-trivial"));
}

#[test]
fn a_class_without_positives_is_reported_and_excluded_from_the_means() {
    let absent = |set: &mut PatchSet, _: &mut Vec<f32>| {
        for row in set.parts.iter_mut().flat_map(|part| &mut part.rows) {
            row.labels[3] = Label::Absent;
        }
    };
    assert_eq!(warned(absent).get("class-missing"), Some(&1));
    let (_folder, objects) = space();
    let (mut set, logits) = set(TINY, &objects);
    absent(&mut set, &mut Vec::new());
    let outcome = tuned(&ScoredSet::new(&set, &logits), Criterion::F1, Tta::None, &objects).unwrap();
    let thresholds = Thresholds::read(&outcome.outputs["out"], &objects).unwrap();
    assert_eq!((thresholds.classes[3].threshold, thresholds.classes[3].figure), (0.5, None));
    assert!(outcome.summary.warnings.iter().any(|warning| warning.text.contains("`SE`: its threshold stays 0.5")));
    let streams = Streams::new(7, "eval");
    let scores = evaluate(&ScoredSet::new(&set, &logits), None, ZeroDivision::Undefined, &streams);
    assert!(summary(&scores).headline.contains("over 3 of 4 classes"), "{}", summary(&scores).headline);
}

#[test]
fn thresholds_based_on_few_patches_are_reported() {
    let (_folder, objects) = space();
    let (_, cuts, _) = outcomes(&objects);
    let few: Vec<&Warning> = cuts.summary.warnings.iter().filter(|warning| warning.code == "few-positives").collect();
    let thresholds = Thresholds::read(&cuts.outputs["out"], &objects).unwrap();
    let uncertain = thresholds.classes.iter().filter(|class| class.positives < 30 || class.positive_photographs < 5);
    assert_eq!(few.len(), uncertain.count(), "{few:?}");
    assert!((1..4).contains(&few.len()), "SE is rare, and EX is not: {few:?}");
}
