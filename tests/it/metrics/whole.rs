//! Whole photographs and patients: values by scikit-learn (`tests/expected/whole.py`), and through the binary.

use macula::base::Streams;
use macula::data::patches::Label;
use macula::learn::evaluation::{
    PatchesToScore, ScoredSet, ScoredWhole, WholeRule, WholeUnit, scored_wholes, whole_scores,
};
use serde_json::Value;

use super::sets::{numbers, of_one_class};
use crate::space::Space;

#[test]
fn photographs_and_patients_rank_as_in_scikit_learn() {
    let json: Value = serde_json::from_str(include_str!("../../expected/whole.json")).expect("JSON");
    let mut with_interval = 0;
    for (number, case) in json["cases"].as_array().expect("cases").iter().enumerate() {
        let set = of_one_class(case);
        let judged = ScoredSet::of_scores(&set, numbers(&case["score"]));
        let fold: Vec<u32> = numbers(&case["fold"]).into_iter().map(|fold| fold as u32).collect();
        let k = case["k"].as_u64().expect("a count") as usize;
        let score = if k == 1 { PatchesToScore::Maximum } else { PatchesToScore::TopMean { k } };
        let unit = if case["unit"] == "patient" { WholeUnit::Patient } else { WholeUnit::Photograph };
        let rule = WholeRule { score, unit };
        let found = scored_wholes(&judged, &fold, rule);
        for (whole, score) in found.iter().zip(numbers(&case["scores"])) {
            assert!((whole.scores[0] - score).abs() < 1e-12, "case {number}: {whole:?}, {score}");
        }
        let label = |value: &Value| match value.as_u64() {
            Some(0) => Label::Absent,
            Some(_) => Label::Present,
            None => Label::Unknown,
        };
        let expected: Vec<Label> = case["labels"].as_array().expect("labels").iter().map(label).collect();
        assert_eq!(found.iter().map(|whole| whole.labels[0]).collect::<Vec<_>>(), expected, "case {number}");
        let scores = whole_scores(&found, 1, rule, &Streams::new(7, "eval"));
        let class = &scores.classes[0];
        for (value, name) in [(class.average_precision, "average_precision"), (class.auroc, "auroc")] {
            let (own, expected) = (value.value.expect("a value"), case[name].as_f64().expect(name));
            assert!((own - expected).abs() < 1e-9, "case {number}, {name}: {own}, {expected}");
            if let Some(interval) = value.interval {
                assert!(interval.low <= own && own <= interval.high, "case {number}, {name}: {interval:?}");
                with_interval += 1;
            }
        }
        let counts = [Label::Present, Label::Absent, Label::Unknown]
            .map(|wanted| expected.iter().filter(|label| **label == wanted).count() as u64);
        assert_eq!([class.positives, class.negatives, class.unknown], counts, "case {number}");
    }
    assert!(with_interval > 0, "intervals were looked at");
}

const PIPELINE: &str = r"pipeline whole seed=7 {
    synthetic eyes { photographs 24; size 128; photographs-per-patient 2; healthy 0.5; severity 3.0 }
    extract tiles { from eyes; size 32 }
    split one { from tiles; folds 2; fold 1 }
    split two { from tiles; folds 2; fold 2 }
    train first { data one.train; valid one.valid; network shallow-cnn; epochs 1 }
    train second { data two.train; valid two.valid; network shallow-cnn; epochs 1 }
    eval scores-1 { model first; data one.test; whole maximum }
    eval scores-2 { model second; data two.test; whole maximum }
    pool plain { of scores-1 scores-2; data tiles }
    pool all { of scores-1 scores-2; data tiles; whole top-mean k=3 of=patient }
    report page { of all }
}
";

#[test]
fn evaluations_and_pools_state_the_metrics_of_whole_photographs() {
    let space = Space::with(PIPELINE);
    space.macula("run pipeline.kdl").code(0);
    let said = space.macula("show pipeline.kdl scores-1 --all --no-pictures").code(0);
    said.says(&["whole photographs, scored by the maximum over patches"]);
    let said = space.macula("show pipeline.kdl all --all --no-pictures").code(0);
    said.says(&["whole patients, scored by the mean of the 3 highest patches"]);
    assert!(space.files("results/whole/all").contains(&"whole.parquet".to_owned()));
    assert!(!space.files("results/whole/plain").contains(&"whole.parquet".to_owned()));
    let figures = |stage: &str| -> Value {
        let said = space.macula(&format!("show pipeline.kdl {stage} --no-pictures --json")).code(0);
        serde_json::from_str::<Value>(&said.raw).expect("JSON")["summary"]["figures"].clone()
    };
    let (plain, all) = (figures("plain"), figures("all"));
    assert!(all["mean-whole-average-precision"].is_f64() && all["whole-auroc.EX"].is_f64(), "{all}");
    assert!(plain.get("mean-whole-average-precision").is_none(), "{plain}");
    assert_eq!(plain["mean-average-precision"], all["mean-average-precision"]);
    assert!(space.read("results/whole/page/report.html").contains("whole patients, scored by"));
}

#[test]
fn folds_without_a_negative_are_counted_but_not_ranked() {
    let whole = |fold: u32, score: f64, label: Label| ScoredWhole {
        photograph: String::new(),
        patient: None,
        patches: 1,
        group: 0,
        fold,
        scores: vec![score],
        labels: vec![label],
    };
    let rule = WholeRule { score: PatchesToScore::Maximum, unit: WholeUnit::Photograph };
    let ranked = |found: &[ScoredWhole]| whole_scores(found, 1, rule, &Streams::new(1, "whole")).classes.remove(0);
    let mixed = [whole(0, 0.9, Label::Absent), whole(0, 0.8, Label::Present)];
    let only = [whole(1, 0.1, Label::Present), whole(1, 0.2, Label::Present)];
    let (of_one, of_both) = (ranked(&mixed), ranked(&[mixed, only.clone()].concat()));
    assert_eq!(of_both.average_precision.value, Some(0.5));
    assert_eq!(of_both.average_precision.value, of_one.average_precision.value);
    assert_eq!((of_both.positives, of_both.negatives), (3, 1));
    assert_eq!(ranked(&only).average_precision.value, None);
}
