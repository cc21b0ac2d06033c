//! Invariants of metrics and thresholds.

use macula::base::Streams;
use macula::data::patches::Label;
use macula::learn::metrics::{
    CutPoint, Intervals, LabelledScores, ZeroDivision, area_bands, at, co_occurrence, cut_points, distance_bands,
    intervals, intervals_over_folds, positive_groups, ranking, ranking_as_stored, recall_by, sigmoid,
};
use macula::learn::thresholds::{Criterion, tune};
use proptest::prelude::*;

const CLASSES: usize = 3;

/// Rows with many ties and unknowns.
fn rows() -> impl Strategy<Value = Vec<([f64; CLASSES], [Label; CLASSES])>> {
    let label = prop_oneof![3 => Just(Label::Absent), 2 => Just(Label::Present), 1 => Just(Label::Unknown)];
    let score = prop_oneof![(0u32..=20).prop_map(|i| f64::from(i) / 20.0), 0.0..1.0];
    let row = (prop::array::uniform3(score), prop::array::uniform3(label));
    prop::collection::vec(row, 1..60)
}

fn scored(rows: &[([f64; CLASSES], [Label; CLASSES])]) -> LabelledScores {
    let scores = rows.iter().flat_map(|row| row.0).collect();
    LabelledScores::new(CLASSES, scores, rows.iter().flat_map(|row| row.1).collect())
}

fn criteria() -> impl Strategy<Value = Criterion> {
    prop_oneof![
        Just(Criterion::F1),
        (0.1..4.0).prop_map(|beta| Criterion::FBeta { beta }),
        (0.0..=1.0).prop_map(|recall| Criterion::Precision { recall }),
        (0.0..=1.0).prop_map(|precision| Criterion::Recall { precision }),
        (0.1..9.0, 0.1..9.0)
            .prop_map(|(false_negative, false_positive)| Criterion::Cost { false_negative, false_positive }),
    ]
}

/// Metric at a threshold, computed naively; a cost is negative, so that more is better.
fn worth(rows: &[(f64, bool)], threshold: f64, criterion: Criterion) -> Option<f64> {
    let count = |present, predicted| rows.iter().filter(|r| r.1 == present && (r.0 >= threshold) == predicted).count();
    let (tp, fp, fneg) = (count(true, true) as f64, count(false, true) as f64, count(true, false) as f64);
    let (precision, recall) = (tp / (tp + fp), tp / (tp + fneg));
    let f = |b: f64| (1.0 + b * b) * tp / ((1.0 + b * b) * tp + fp + b * b * fneg);
    let value = match criterion {
        Criterion::F1 => Some(f(1.0)),
        Criterion::FBeta { beta } => Some(f(beta)),
        Criterion::Precision { recall: least } => (recall >= least).then_some(precision),
        Criterion::Recall { precision: least } => (precision >= least).then_some(recall),
        Criterion::Cost { false_negative, false_positive } => {
            Some(-(false_negative * fneg + false_positive * fp) / rows.len() as f64)
        }
    };
    value.filter(|value| !value.is_nan())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn permuting_rows_changes_nothing(rows in rows(), seed in 0u64..1000) {
        let mut shuffled = rows.clone();
        Streams::new(seed, "test").stream("order", 0, &[]).shuffle(&mut shuffled);
        let (a, b) = (scored(&rows), scored(&shuffled));
        prop_assert_eq!(ranking(&a), ranking(&b));
        let thresholds = [0.5, 0.25, 0.7];
        prop_assert_eq!(at(&a, &thresholds, ZeroDivision::Zero), at(&b, &thresholds, ZeroDivision::Zero));
        prop_assert_eq!(co_occurrence(&a, &thresholds), co_occurrence(&b, &thresholds));
    }

    #[test]
    fn a_monotone_change_of_scores_keeps_the_ranking_figures(rows in rows()) {
        let bent: Vec<_> = rows.iter().map(|(s, l)| (s.map(|s| 8.0 * s), *l)).collect();
        prop_assert_eq!(ranking(&scored(&rows)), ranking(&scored(&bent)));
    }

    #[test]
    fn every_ranking_figure_lies_between_0_and_1(rows in rows()) {
        for class in ranking(&scored(&rows)) {
            for value in [class.average_precision, class.auroc].into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&value), "{}", value);
            }
        }
    }

    #[test]
    fn negated_scores_mirror_auroc(rows in rows()) {
        let turned: Vec<_> = rows.iter().map(|(s, l)| (s.map(|s| -s), *l)).collect();
        for (a, b) in ranking(&scored(&rows)).iter().zip(ranking(&scored(&turned))) {
            match (a.auroc, b.auroc) {
                (Some(a), Some(b)) => prop_assert!((a + b - 1.0).abs() < 1e-12),
                (a, b) => prop_assert_eq!(a, b),
            }
        }
    }

    #[test]
    fn unknown_labels_count_for_nothing(rows in rows()) {
        let all = scored(&rows);
        let figures = at(&all, &[0.5; CLASSES], ZeroDivision::Undefined);
        for class in 0..CLASSES {
            let known: Vec<(f64, bool)> = all.known(class).collect();
            let alone = LabelledScores::new(
                1,
                known.iter().map(|row| row.0).collect(),
                known.iter().map(|row| if row.1 { Label::Present } else { Label::Absent }).collect(),
            );
            prop_assert_eq!(at(&alone, &[0.5], ZeroDivision::Undefined).classes[0], figures.classes[class]);
            prop_assert_eq!(ranking(&alone)[0], ranking(&all)[class]);
        }
    }

    #[test]
    fn no_threshold_is_better_than_the_tuned_one(rows in rows(), criterion in criteria()) {
        let known: Vec<(f64, bool)> = scored(&rows).known(0).collect();
        let cuts = cut_points(known.iter().copied());
        let tuned = tune(&cuts, criterion);
        prop_assert_eq!(tuned.is_some(), known.iter().any(|row| row.1));
        let Some(tuned) = tuned else { return Ok(()) };
        // Every score, every midpoint between two, and both ends.
        let mut all: Vec<f64> = cuts.iter().map(|cut| cut.score).collect();
        all.extend(cuts.windows(2).map(|pair| f64::midpoint(pair[0].score, pair[1].score)));
        all.extend([0.0, 1.0, 2.0]);
        let best = all.iter().filter_map(|&t| worth(&known, t, criterion)).max_by(f64::total_cmp);
        prop_assert_eq!(tuned.met, best.is_some());
        if let Some(best) = best {
            let figure = if matches!(criterion, Criterion::Cost { .. }) { -tuned.figure } else { tuned.figure };
            prop_assert!((figure - best).abs() < 1e-12, "{} against {}", figure, best);
            for t in [tuned.threshold, tuned.high, f64::midpoint(tuned.low, tuned.high)] {
                if t > tuned.low {
                    prop_assert!((worth(&known, t, criterion).unwrap() - best).abs() < 1e-12, "the plateau is flat");
                }
            }
        } else {
            let can_fail = matches!(criterion, Criterion::Recall { .. });
            prop_assert!(can_fail);
        }
        prop_assert!(tuned.low <= tuned.threshold && tuned.threshold <= tuned.high);
    }
}

fn cuts(rows: &[(f64, bool)]) -> Vec<CutPoint> {
    cut_points(rows.iter().copied())
}

#[test]
fn a_threshold_lies_midway_between_distinct_scores() {
    let tuned = tune(&cuts(&[(0.9, true), (0.8, true), (0.4, false), (0.1, false)]), Criterion::F1).unwrap();
    assert_eq!((tuned.low, tuned.high, tuned.figure), (0.4, 0.8, 1.0));
    assert!((tuned.threshold - 0.6).abs() < 1e-15);
}

#[test]
fn if_everything_is_predicted_the_plateau_reaches_down_to_zero() {
    let tuned = tune(&cuts(&[(0.9, false), (0.4, true)]), Criterion::F1).unwrap();
    assert_eq!((tuned.low, tuned.threshold, tuned.high), (0.0, 0.2, 0.4));
}

#[test]
fn of_two_plateaus_the_widest_is_taken() {
    // Precision 1 at a recall of at least 0 is reached only by the thresholds .9 and .85; F1 is 2/3 at .9 and at .2.
    let rows = [(0.9, true), (0.85, false), (0.8, false), (0.5, true)];
    let tuned = tune(&cuts(&rows), Criterion::F1).unwrap();
    assert_eq!((tuned.low, tuned.high), (0.0, 0.5), "F1 2/3 at .9 (width .05) and at .5 (width .5)");
}

#[test]
fn an_unreachable_precision_gives_the_most_precise_threshold_with_a_message() {
    let tuned = tune(&cuts(&[(0.9, false), (0.8, true), (0.2, false)]), Criterion::Recall { precision: 0.9 }).unwrap();
    assert!(!tuned.met);
    assert_eq!((tuned.low, tuned.high, tuned.figure), (0.2, 0.8, 1.0));
}

#[test]
fn neighbouring_floats_still_get_a_threshold_between_them() {
    let high = 0.5f64;
    let low = high.next_down();
    let tuned = tune(&cuts(&[(high, true), (low, false)]), Criterion::F1).unwrap();
    assert_eq!(tuned.threshold, high);
}

#[test]
fn sigmoid_is_stable_and_symmetric() {
    assert_eq!(sigmoid(0.0), 0.5);
    assert_eq!(sigmoid(-1000.0), 0.0);
    assert_eq!(sigmoid(1000.0), 1.0);
    assert!((sigmoid(3.0) + sigmoid(-3.0) - 1.0).abs() < 1e-15);
}

#[test]
fn area_bands_have_the_edges_of_the_issue() {
    let names: Vec<String> = area_bands().into_iter().map(|band| band.name).collect();
    assert_eq!(names, ["1-7 px", "8-31 px", "32-127 px", "128-511 px", "512 px and more"]);
}

#[test]
fn recall_by_area_counts_known_positives_in_their_band() {
    let labels = vec![Label::Present, Label::Present, Label::Present, Label::Absent, Label::Unknown];
    let scored = LabelledScores::new(1, vec![0.9, 0.1, 0.9, 0.9, 0.9], labels);
    let area = [1.0, 7.0, 8.0, 3.0, 3.0];
    let strata = recall_by(&scored, &[0.5], area_bands(), |row, _| Some(area[row]));
    let counts: Vec<(u64, u64)> = strata.iter().map(|s| (s.all.positives, s.all.found)).collect();
    assert_eq!(counts, [(2, 1), (1, 1), (0, 0), (0, 0), (0, 0)]);
    assert_eq!(strata[2].all.recall, None);
    let names: Vec<String> = distance_bands(128).into_iter().map(|band| band.name).collect();
    assert_eq!(names, ["0 to 16 px", "16 to 32 px", "32 to 48 px", "48 to 64 px", "64 px and more"]);
}

#[test]
fn intervals_contain_the_metric_and_need_ten_groups() {
    let n = 400u32;
    let mut stream = Streams::new(1, "test").stream("data", 0, &[]);
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let present = stream.chance(0.3);
        scores.push((stream.uniform() + if present { 0.3 } else { 0.0 }).min(1.0));
        labels.push(if present { Label::Present } else { Label::Absent });
    }
    let scored = LabelledScores::new(1, scores, labels);
    let group = |groups: u32| (0..n).map(|i| i % groups).collect::<Vec<u32>>();
    let streams = Streams::new(7, "eval");
    assert_eq!(intervals(&scored, &group(9), &[vec![0.5]], ZeroDivision::Undefined, &streams), None);
    let all = intervals(&scored, &group(20), &[vec![0.5], vec![0.3]], ZeroDivision::Undefined, &streams).unwrap();
    let again = intervals(&scored, &group(20), &[vec![0.5], vec![0.3]], ZeroDivision::Undefined, &streams).unwrap();
    assert_eq!(all, again, "the same seed, whatever the threads");
    let ap = ranking(&scored)[0].average_precision.unwrap();
    let interval = all.average_precision[0].unwrap();
    assert!(interval.low < ap && ap < interval.high && interval.high - interval.low < 0.4, "{interval:?} {ap}");
    for (at_, threshold) in [0.5, 0.3].into_iter().enumerate() {
        let f1 = at(&scored, &[threshold], ZeroDivision::Undefined).micro.f1.unwrap();
        let interval = all.micro_f1[at_].unwrap();
        assert!(interval.low < f1 && f1 < interval.high, "{interval:?} {f1}");
        assert_eq!(all.f1[at_][0], all.micro_f1[at_], "one class alone is its own pool");
    }
}

#[test]
fn a_perfect_class_has_an_average_precision_of_1_to_the_last_bit() {
    for positives in 1..200 {
        let scores = (0..positives).map(|i| 0.5 + f64::from(i) / 1000.0).chain([0.1]).collect();
        let labels = vec![Label::Present; positives as usize].into_iter().chain([Label::Absent]).collect();
        let scored = LabelledScores::new(1, scores, labels);
        assert_eq!(ranking(&scored)[0].average_precision, Some(1.0), "{positives}");
        // Trainings store the unbounded sum, which is not always 1, and it is shown bounded.
        let stored = ranking_as_stored(&scored)[0];
        assert!(stored.bounded().average_precision.is_some_and(|value| value <= 1.0));
        assert!((stored.average_precision.unwrap() - 1.0).abs() < 1e-14);
    }
}

/// Forty groups of three rows each: class 0 is present in every other group, class 1 in the first `rare` groups.
fn rare(rare: u32) -> (LabelledScores, Vec<u32>) {
    let mut stream = Streams::new(2, "test").stream("data", 0, &[]);
    let (mut scores, mut labels, mut group) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..120 {
        let own = row / 3;
        group.push(own);
        for present in [own % 2 == 0, own < rare] {
            scores.push(0.7 * stream.uniform() + if present { 0.3 } else { 0.0 });
            labels.push(if present { Label::Present } else { Label::Absent });
        }
    }
    (LabelledScores::new(2, scores, labels), group)
}

#[test]
fn a_class_needs_ten_groups_with_a_positive_and_a_mean_needs_them_of_each_class() {
    let streams = Streams::new(3, "eval");
    let of = |groups: u32| {
        let (scored, group) = rare(groups);
        assert_eq!(positive_groups(&scored, &group), [20, u64::from(groups)]);
        intervals(&scored, &group, &[vec![0.5; 2]], ZeroDivision::Undefined, &streams).unwrap()
    };
    let there = |found: &Intervals| {
        let means = [found.mean_average_precision, found.macro_f1[0]];
        let classes = [found.average_precision[1], found.f1[0][1]];
        assert!([found.average_precision[0], found.micro_f1[0], found.hamming_loss[0]].iter().all(Option::is_some));
        means.into_iter().chain(classes).map(|interval| interval.is_some()).collect::<Vec<_>>()
    };
    assert_eq!(there(&of(9)), [false; 4]);
    assert_eq!(there(&of(10)), [true; 4]);
    // The mean does not cover a class without positives.
    assert_eq!(there(&of(0)), [true, true, false, false]);
    // Of 40 draws from 40 groups, (39/40)^40 = 0.363 hold none of one group.
    let dropped = of(1).dropped;
    assert!((310..420).contains(&dropped.mean_average_precision), "{dropped:?}");
    assert_eq!(dropped.macro_f1, [dropped.mean_average_precision]);
}

#[test]
fn a_metric_that_does_not_vary_has_no_interval() {
    let (scored, group) = rare(10);
    let perfect = scored.labels().iter().map(|&label| if label == Label::Present { 0.9 } else { 0.1 }).collect();
    let scored = LabelledScores::new(2, perfect, scored.labels().to_vec());
    let found = intervals(&scored, &group, &[vec![0.5; 2]], ZeroDivision::Undefined, &Streams::new(3, "eval")).unwrap();
    assert_eq!((found.mean_average_precision, found.micro_f1[0], found.hamming_loss[0]), (None, None, None));
}

#[test]
fn folds_are_scored_apart_and_averaged() {
    let (scored, group) = rare(20);
    let fold: Vec<u32> = group.iter().map(|group| group % 4 / 2).collect();
    // What is added to all scores of a fold changes nothing.
    let moved = scored
        .scores()
        .chunks(2)
        .zip(&fold)
        .flat_map(|(scores, &fold)| scores.iter().map(move |score| score + f64::from(fold) * 5.0));
    let moved = LabelledScores::new(2, moved.collect(), scored.labels().to_vec());
    let streams = Streams::new(3, "eval");
    let of = |scored: &LabelledScores, fold: &[u32]| {
        intervals_over_folds(scored, &group, fold, &[], ZeroDivision::Undefined, &streams).unwrap()
    };
    assert_eq!(of(&scored, &fold), of(&moved, &fold));
    assert_ne!(of(&scored, &fold), of(&scored, &vec![0; fold.len()]));
}

#[test]
fn an_interval_treats_a_division_by_zero_like_the_metric() {
    let (scored, group) = rare(0);
    let never = scored.scores().chunks(2).flat_map(|scores| [scores[0], 0.1]).collect();
    let scored = LabelledScores::new(2, never, scored.labels().to_vec());
    let streams = Streams::new(3, "eval");
    for at_zero in [ZeroDivision::Undefined, ZeroDivision::Zero, ZeroDivision::One] {
        let found = intervals(&scored, &group, &[vec![0.5; 2]], at_zero, &streams).unwrap();
        let figure = at(&scored, &[0.5; 2], at_zero).macro_f1.value.unwrap();
        let interval = found.macro_f1[0].unwrap();
        assert!(interval.low <= figure && figure <= interval.high, "{figure} {interval:?}");
        assert_eq!(found.dropped.macro_f1, [0]);
    }
}
