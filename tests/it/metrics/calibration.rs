//! Calibration agrees with scikit-learn and scipy; the values come from `tests/expected/calibration.py`.

use macula::base::Streams;
use macula::data::patches::Label;
use macula::learn::calibration::{LogOddsLine, platt, score_fit, temperature};
use macula::learn::metrics::{ClassReliability, LabelledScores, reliability};
use serde_json::Value;

fn cases() -> Vec<(Value, LabelledScores)> {
    let json: Value = serde_json::from_str(include_str!("../../expected/calibration.json")).unwrap();
    let cases = json["cases"].as_array().unwrap().clone();
    assert!(cases.len() >= 5, "the expected values are there");
    let scored = |json: &Value| {
        let flat = |key: &str| json[key].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap().clone());
        let scores = flat("scores").map(|score| score.as_f64().unwrap()).collect();
        let label = |value: Value| if value == 1 { Label::Present } else { Label::Absent };
        LabelledScores::new(2, scores, flat("labels").map(label).collect())
    };
    cases.into_iter().map(|json| (json.clone(), scored(&json))).collect()
}

#[track_caller]
fn near(what: &str, found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() < tolerance, "{what}: {found}, expected {expected}");
}

/// One group per row.
fn of_rows(scored: &LabelledScores) -> Vec<Option<ClassReliability>> {
    let group: Vec<u32> = (0..scored.rows() as u32).collect();
    reliability(scored, &group, &Streams::new(7, "eval"))
}

#[test]
fn fits_are_those_of_scikit_learn_and_scipy() {
    for (json, scored) in cases() {
        near("temperature", temperature(&scored).unwrap(), &json["temperature"], 1e-6);
        for class in 0..2 {
            // scikit-learn stops at a gradient of 1e-6.
            let (line, expected) = (platt(&scored, class).unwrap(), &json["platt"][class]);
            near("slope", line.slope, &expected["slope"], 1e-3);
            near("intercept", line.intercept, &expected["intercept"], 1e-3);
            let fit = score_fit(&scored, class, LogOddsLine::IDENTITY).unwrap();
            near("log loss", fit.log_loss, &json["log_loss"][class], 1e-9);
            near("Brier score", fit.brier, &json["reliability"][class]["brier"], 1e-12);
        }
    }
}

#[test]
fn the_reliability_curve_is_that_of_scikit_learn() {
    for (json, scored) in cases() {
        for (class, found) in of_rows(&scored).into_iter().enumerate() {
            let (found, expected) = (found.unwrap(), &json["reliability"][class]);
            for (name, value) in [
                ("brier", found.brier),
                ("reliability", found.reliability),
                ("resolution", found.resolution),
                ("uncertainty", found.uncertainty),
                ("calibration_error", found.calibration_error),
            ] {
                near(name, value, &expected[name], 1e-12);
            }
            let parts = found.reliability - found.resolution + found.uncertainty + found.within_bins;
            assert!((parts - found.brier).abs() < 1e-12);
            let bins = expected["bins"].as_array().unwrap();
            assert_eq!(found.bins.len(), bins.len());
            for (found, expected) in found.bins.iter().zip(bins) {
                near("mean score", found.mean_score, &expected["mean_score"], 1e-12);
                near("observed", found.observed, &expected["observed"], 1e-12);
                assert_eq!(found.patches, expected["patches"].as_u64().unwrap());
            }
        }
    }
}

#[test]
fn calibrated_scores_are_calibrated() {
    for (_, scored) in cases() {
        let lines: Vec<LogOddsLine> = (0..2).map(|class| platt(&scored, class).unwrap()).collect();
        let scores = scored.scores().iter().enumerate().map(|(at, &score)| lines[at % 2].apply(score)).collect();
        let after = LabelledScores::new(2, scores, scored.labels().to_vec());
        for (class, (before, after)) in of_rows(&scored).into_iter().zip(of_rows(&after)).enumerate() {
            let (before, after) = (before.unwrap(), after.unwrap());
            // Platt's targets pull mean scores a little towards one half.
            let prevalence = score_fit(&scored, class, lines[class]).unwrap().prevalence;
            assert!((after.mean_score - prevalence).abs() < 0.02, "{} {prevalence}", after.mean_score);
            assert!(after.brier < before.brier + 0.002, "{} {}", after.brier, before.brier);
        }
    }
}

#[test]
fn bands_are_over_groups_and_need_ten_with_a_positive_and_ten_with_a_negative() {
    // Rows with scores from 0.000 to 0.999, each present about as often as its score says.
    let score = |row: u32| f64::from(row) / 1000.0;
    let present = |row: u32| f64::from(row.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24) < score(row);
    let labels = (0..1000).map(|row| if present(row) { Label::Present } else { Label::Absent }).collect();
    let scored = LabelledScores::new(1, (0..1000).map(score).collect(), labels);
    let bins = |groups: u32| {
        let group: Vec<u32> = (0..1000).map(|row| row % groups).collect();
        reliability(&scored, &group, &Streams::new(7, "eval"))[0].clone().unwrap().bins
    };
    assert!(bins(9).iter().all(|bin| bin.interval.is_none()));
    let found = bins(40);
    let mut with = 0;
    for (at, bin) in found.iter().enumerate() {
        let rows = || at as u32 * 100..at as u32 * 100 + 100;
        let groups = |wanted: bool| {
            rows()
                .filter(|&row| present(row) == wanted)
                .map(|row| row % 40)
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        };
        let enough = groups(true) >= 10 && groups(false) >= 10;
        assert_eq!(bin.interval.is_some(), enough, "{bin:?}");
        with += usize::from(enough);
        assert!(bin.interval.is_none_or(|band| (band.low..=band.high).contains(&bin.observed)), "{bin:?}");
        assert!(bin.groups == 40 && bin.patches == 100, "{bin:?}");
    }
    assert!((5..10).contains(&with), "{found:?}");
}
