//! Coverage of the intervals of `eval` and `pool`, over simulated test sets whose true values are known.

use macula::base::Streams;
use macula::base::random::Stream;
use macula::data::patches::Label;
use macula::learn::metrics::{
    Interval, LabelledScores, ZeroDivision, at, intervals_over_folds, positive_groups, ranking, reliability,
};

/// Patches of each photograph.
const PATCHES: u32 = 16;

/// Threshold of F1.
const THRESHOLD: f64 = 1.0;

/// Photographs that differ in prevalence (a fraction `having` has positives at all) and in the level of their scores.
fn simulated(photographs: u32, having: f64, stream: &mut Stream) -> (LabelledScores, Vec<u32>) {
    let (mut scores, mut labels, mut group) = (Vec::new(), Vec::new(), Vec::new());
    for photograph in 0..photographs {
        let prevalence = if stream.chance(having) { 0.1 + 0.4 * stream.uniform() } else { 0.0 };
        let level = 0.8 * stream.normal();
        for _ in 0..PATCHES {
            let present = stream.chance(prevalence);
            scores.push(level + stream.normal() + if present { 1.2 } else { 0.0 });
            labels.push(if present { Label::Present } else { Label::Absent });
            group.push(photograph);
        }
    }
    (LabelledScores::new(1, scores, labels), group)
}

#[test]
fn intervals_cover_the_true_value_at_their_nominal_rate() {
    const SETS: u64 = 200;
    let streams = Streams::new(11, "coverage");
    for (photographs, having, folds) in [(12, 1.0, 1), (30, 0.5, 1), (30, 1.0, 5)] {
        let (all, _) = simulated(20_000, having, &mut streams.stream("population", 0, &[]));
        let ap = ranking(&all)[0].average_precision.expect("positives");
        let f1 = at(&all, &[THRESHOLD], ZeroDivision::Undefined).micro.f1.expect("positives");
        let (mut sets, mut covered, mut below) = (0u32, [0u32; 2], 0u32);
        for number in 0..SETS {
            let (scored, group) = simulated(photographs, having, &mut streams.stream("sample", number, &[]));
            if positive_groups(&scored, &group)[0] < 10 {
                continue;
            }
            let fold: Vec<u32> = group.iter().map(|group| group * folds / photographs).collect();
            let thresholds = [vec![THRESHOLD]];
            let streams = Streams::new(number, "eval");
            let found =
                intervals_over_folds(&scored, &group, &fold, &thresholds, ZeroDivision::Undefined, &streams).unwrap();
            sets += 1;
            let holds = |found: Option<Interval>, truth: f64| {
                u32::from(found.is_some_and(|Interval { low, high }| (low..=high).contains(&truth)))
            };
            covered[0] += holds(found.average_precision[0], ap);
            covered[1] += holds(found.f1[0][0], f1);
            below += u32::from(found.average_precision[0].is_some_and(|interval| ap < interval.low));
        }
        // A rate of 0.93 and four standard deviations; percentile intervals cover 0.72 of the sets in folds.
        let least = 0.93 - 4.0 * (0.93 * 0.07 / f64::from(sets)).sqrt();
        assert!(sets > 150, "{sets}");
        for covered in covered {
            let rate = f64::from(covered) / f64::from(sets);
            assert!(rate >= least, "{rate:.3} of {sets}: {photographs} photographs, {having}, {folds} folds");
        }
        // Not biased upward: the true value is not often below the interval.
        assert!(f64::from(below) <= 0.07 * f64::from(sets), "{below} of {sets} in {folds} folds");
    }
}

/// Scores between 0 and 1 whose log odds are `steepness` times what they should be, of photographs that differ in difficulty.
fn probabilities(photographs: u32, steepness: f64, stream: &mut Stream) -> (LabelledScores, Vec<u32>) {
    let sigmoid = |odds: f64| 1.0 / (1.0 + (-odds).exp());
    let (mut scores, mut labels, mut group) = (Vec::new(), Vec::new(), Vec::new());
    for photograph in 0..photographs {
        let level = 0.7 * stream.normal() - 1.0;
        for _ in 0..PATCHES {
            let odds = level + 1.2 * stream.normal();
            let present = stream.chance(sigmoid(odds));
            scores.push(sigmoid(steepness * odds));
            labels.push(if present { Label::Present } else { Label::Absent });
            group.push(photograph);
        }
    }
    (LabelledScores::new(1, scores, labels), group)
}

#[test]
fn intervals_of_calibration_cover_the_true_value() {
    const SETS: u64 = 150;
    let streams = Streams::new(12, "coverage");
    for (photographs, steepness) in [(15, 2.5), (30, 2.5), (60, 1.6), (30, 1.0)] {
        let (all, group) = probabilities(20_000, steepness, &mut streams.stream("population", 0, &[]));
        // One group for all: no interval is computed.
        let truth = reliability(&all, &vec![0; group.len()], &streams)[0].clone().expect("labels");
        let (mut sets, mut covered, mut mean, mut noise) = (0u32, [0u32; 2], 0.0, 0.0);
        for number in 0..SETS {
            let (scored, group) = probabilities(photographs, steepness, &mut streams.stream("sample", number, &[]));
            let found = reliability(&scored, &group, &Streams::new(number, "eval"))[0].clone().expect("labels");
            let Some(floor) = found.calibration_noise else { continue };
            sets += 1;
            mean += found.calibration_error;
            noise += floor;
            let holds = |found: Option<Interval>, truth: f64| {
                u32::from(found.is_some_and(|Interval { low, high }| (low..=high).contains(&truth)))
            };
            covered[0] += holds(found.brier_interval, truth.brier);
            covered[1] += holds(found.calibration_error_interval, truth.calibration_error);
        }
        assert!(sets > 140, "{sets}");
        let (mean, noise) = (mean / f64::from(sets), noise / f64::from(sets));
        for (what, covered, rate) in [("Brier score", covered[0], 0.93), ("calibration error", covered[1], 0.91)] {
            let least = rate - 4.0 * (rate * (1.0 - rate) / f64::from(sets)).sqrt();
            let found = f64::from(covered) / f64::from(sets);
            assert!(found >= least, "{what}: {found:.3} of {sets}: {photographs} photographs, {steepness}");
        }
        if steepness == 1.0 {
            // Of calibrated scores, all of it is chance: on average 0.046, although the true value is 0.
            assert!((mean - noise).abs() < 0.005 && mean > 0.03, "{mean:.4} {noise:.4}");
        }
    }
}
