//! Paired comparisons: agreement with `eval`, and coverage of intervals and uniformity of p values over simulated test sets.

use macula::base::Streams;
use macula::base::random::Stream;
use macula::data::patches::Label;
use macula::learn::metrics::paired::{
    CommonPatches, FEWEST_POSITIVE, MetricDifference, ModelScores, differences, metrics, permutation, resample,
};
use macula::learn::metrics::{LabelledScores, ZeroDivision, at, ranking, within_photograph};

/// Patches of each simulated photograph.
const PATCHES: usize = 16;

/// Standard normal numbers (Box and Muller 1958).
fn normal(stream: &mut Stream) -> f64 {
    let (one, other) = (1.0 - stream.uniform(), stream.uniform());
    (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()
}

/// What another seed changes: spread of the signal, and of the difficulty of each photograph.
struct SeedEffect {
    signal: f64,
    photograph: f64,
}

/// No repeat differs from another one.
const NO_SEEDS: SeedEffect = SeedEffect { signal: 0.0, photograph: 0.0 };

/// A test set of one class, and the scores of two models that set positives apart by `signals`. Photographs differ in prevalence, in
/// difficulty for both models, and in difficulty for each.
fn simulated(photographs: usize, signals: [f64; 2], stream: &mut Stream) -> (CommonPatches, [ModelScores; 2]) {
    let (patches, models) = repeated(photographs, signals, 1, &NO_SEEDS, stream);
    (patches, models.map(|mut repeats| repeats.remove(0)))
}

/// The same with `repeats` of each model.
fn repeated(
    photographs: usize,
    signals: [f64; 2],
    repeats: usize,
    effect: &SeedEffect,
    stream: &mut Stream,
) -> (CommonPatches, [Vec<ModelScores>; 2]) {
    let mut patches = CommonPatches { classes: 1, labels: Vec::new(), photograph: Vec::new(), unit: Vec::new() };
    let signals = signals.map(|signal| -> Vec<f64> {
        (0..repeats).map(|_| if repeats > 1 { signal + effect.signal * normal(stream) } else { signal }).collect()
    });
    let mut scores = [0, 1].map(|_| vec![Vec::new(); repeats]);
    for photograph in 0..photographs as u32 {
        let prevalence = 0.1 + 0.4 * stream.uniform();
        let (common, own) = (0.7 * normal(stream), [0.4 * normal(stream), 0.4 * normal(stream)]);
        let own = own.map(|own| -> Vec<f64> {
            (0..repeats).map(|_| if repeats > 1 { own + effect.photograph * normal(stream) } else { own }).collect()
        });
        for _ in 0..PATCHES {
            let present = stream.chance(prevalence);
            let noise = 0.7 * normal(stream);
            patches.labels.push(if present { Label::Present } else { Label::Absent });
            patches.photograph.push(photograph);
            patches.unit.push(photograph);
            for ((scores, signals), own) in scores.iter_mut().zip(&signals).zip(&own) {
                let patch = 0.7 * normal(stream);
                for ((scores, signal), own) in scores.iter_mut().zip(signals).zip(own) {
                    scores.push(if present { *signal } else { 0.0 } + common + own + noise + patch);
                }
            }
        }
    }
    (patches, scores.map(|scores| scores.into_iter().map(|scores| model(scores, 1)).collect()))
}

/// A model, its rows divided into folds of equal size.
fn model(scores: Vec<f64>, folds: usize) -> ModelScores {
    let rows = scores.len();
    ModelScores {
        predicted: scores.iter().map(|&score| score >= 0.5).collect(),
        fold: (0..rows).map(|row| (row * folds / rows) as u32).collect(),
        scores,
    }
}

fn compared(
    patches: &CommonPatches,
    models: &[ModelScores; 2],
    draws: u64,
    streams: &Streams,
) -> Vec<MetricDifference> {
    let [first, second] =
        models.each_ref().map(|model| resample(patches, "", std::slice::from_ref(model), draws, streams));
    differences(patches, &first, &second)
}

fn place(name: &str) -> usize {
    metrics(1)
        .iter()
        .position(|metric| metric.name == name && metric.class.is_some() != name.starts_with("mean"))
        .expect("a metric")
}

#[test]
fn intervals_cover_the_true_difference_at_their_nominal_rate() {
    const SETS: u64 = 300;
    let streams = Streams::new(7, "paired simulation");
    let signals = [1.0, 1.3];
    let (patches, models) = simulated(20_000, signals, &mut streams.stream("population", 0, &[]));
    let truth = compared(&patches, &models, 0, &streams);
    let wanted = ["average-precision", "within-photograph-average-precision", "auroc", "f1"].map(place);
    for (photographs, folds) in [(14, 1), (30, 1), (30, 5)] {
        let mut covered = [0; 4];
        for number in 0..SETS {
            let (patches, models) = simulated(photographs, signals, &mut streams.stream("sample", number, &[]));
            let models = models.map(|own| model(own.scores, folds));
            let found = compared(&patches, &models, 400, &streams);
            for (covered, at) in covered.iter_mut().zip(wanted) {
                let (interval, truth) = (found[at].interval.expect("enough photographs"), truth[at].difference);
                *covered += u32::from((interval.low..=interval.high).contains(&truth.expect("defined")));
            }
        }
        // 95% of 300 are 285; a binomial count is below 270 or above 297 with a probability of less than 1 in 1,000.
        assert!(
            covered.iter().all(|covered| (264..=298).contains(covered)),
            "{photographs} photographs in {folds} folds: {covered:?}"
        );
    }
}

#[test]
fn intervals_over_photographs_and_seeds_cover_what_other_seeds_would_give() {
    const SETS: u64 = 300;
    let streams = Streams::new(12, "paired simulation");
    let signals = [1.0, 1.3];
    let effect = SeedEffect { signal: 0.15, photograph: 0.2 };
    // The population of repeats has the mean of the effect, 0, so its metrics are averaged over many.
    let (patches, many) = repeated(3000, signals, 200, &effect, &mut streams.stream("population", 0, &[]));
    let [first, second] = many.each_ref().map(|repeats| resample(&patches, "", repeats, 0, &streams));
    let truth = differences(&patches, &first, &second);
    let wanted = ["average-precision", "within-photograph-average-precision", "auroc", "f1"].map(place);
    for repeats in [3, 5] {
        let mut covered = [[0; 4]; 2];
        for number in 0..SETS {
            let sample = &mut streams.stream("sample", number, &[repeats as u8]);
            let (patches, models) = repeated(40, signals, repeats, &effect, sample);
            let draw = |names: [&str; 2], models: [&[ModelScores]; 2]| {
                let [first, second] = [0, 1].map(|at| resample(&patches, names[at], models[at], 300, &streams));
                differences(&patches, &first, &second)
            };
            let both = draw(["first", "second"], models.each_ref().map(Vec::as_slice));
            let one = draw(["first", "second"], models.each_ref().map(|repeats| &repeats[..1]));
            for (covered, found) in covered.iter_mut().zip([both, one]) {
                for (covered, at) in covered.iter_mut().zip(wanted) {
                    let (interval, truth) = (found[at].interval.expect("enough photographs"), truth[at].difference);
                    *covered += u32::from((interval.low..=interval.high).contains(&truth.expect("defined")));
                }
            }
        }
        let [both, one] = covered;
        assert!(both.iter().all(|covered| *covered >= 264), "{repeats} repeats: {both:?} of {SETS}");
        // One training each: the interval knows nothing of seeds, and is too narrow for that.
        assert!(one.iter().all(|covered| *covered < 264), "one repeat: {one:?} of {SETS}");
    }
}

#[test]
fn p_values_are_uniform_if_the_models_are_equally_good() {
    const SETS: u64 = 400;
    let streams = Streams::new(8, "paired simulation");
    let wanted = ["average-precision", "within-photograph-average-precision", "auroc", "f1"].map(place);
    let mut below = [[0; 4]; 3];
    for number in 0..SETS {
        let (patches, [first, second]) = simulated(16, [1.1, 1.1], &mut streams.stream("null", number, &[]));
        let p = permutation(&patches, [&[first], &[second]], 199, &streams).expect("the same folds");
        for (level, below) in [0.05, 0.25, 0.5].into_iter().zip(&mut below) {
            for (below, at) in below.iter_mut().zip(wanted) {
                *below += u32::from(p[at].expect("defined") <= level);
            }
        }
    }
    // Four standard deviations of binomial counts: 20 ± 4.4, 100 ± 8.7 and 200 ± 10.
    for (below, (low, high)) in below.into_iter().zip([(3, 37), (66, 134), (160, 240)]) {
        assert!(below.iter().all(|count| (low..=high).contains(count)), "{below:?} outside {low}..{high}");
    }
}

#[test]
fn a_clear_difference_is_found_and_a_model_equals_itself() {
    let streams = Streams::new(9, "paired simulation");
    let (patches, [weak, strong]) = simulated(40, [0.3, 2.0], &mut streams.stream("clear", 0, &[]));
    let ap = place("average-precision");
    let found = compared(&patches, &[weak.clone(), strong.clone()], 400, &streams)[ap];
    assert!(found.interval.expect("enough").low > 0.1, "{found:?}");
    let both = [&weak, &strong].map(std::slice::from_ref);
    let p = permutation(&patches, both, 199, &streams).expect("the same folds");
    assert_eq!(p[ap], Some(1.0 / 200.0));
    // Only the order of scores counts.
    let stretched = ModelScores { scores: strong.scores.iter().map(|score| score.exp()).collect(), ..strong.clone() };
    for (at, same) in compared(&patches, &[strong.clone(), stretched.clone()], 200, &streams).iter().enumerate() {
        let interval = same.interval.expect("enough");
        assert_eq!((same.difference, interval.low, interval.high), (Some(0.0), 0.0, 0.0), "{:?}", metrics(1)[at]);
    }
    let p = permutation(&patches, [&[strong], &[stretched]], 199, &streams).expect("the same folds");
    assert!(p.iter().all(|p| *p == Some(1.0)), "{p:?}");
}

#[test]
fn repeats_are_averaged_and_folds_are_ranked_apart() {
    let streams = Streams::new(10, "paired simulation");
    let (patches, [first, second]) = simulated(20, [1.0, 1.0], &mut streams.stream("repeats", 0, &[]));
    let (ap, hamming) = (place("average-precision"), 5);
    let alone = [&first, &second].map(|model| resample(&patches, "", std::slice::from_ref(model), 50, &streams));
    let both = resample(&patches, "", &[first.clone(), second], 50, &streams);
    for at in [ap, hamming] {
        let mean = |values: [Option<f64>; 2]| f64::midpoint(values[0].expect("defined"), values[1].expect("defined"));
        assert!(
            (both.estimate[at].expect("defined") - mean([0, 1].map(|model: usize| alone[model].estimate[at]))).abs()
                < 1e-12
        );
        // A draw takes the first repeat twice, both, or the second twice: about a quarter, a half, a quarter.
        let mut taken = [0; 3];
        for (number, drawn) in both.draws.iter().enumerate() {
            let of = [0, 1].map(|model: usize| alone[model].draws[number][at]);
            let possible = [of[0].expect("defined"), mean(of), of[1].expect("defined")];
            let near = possible.map(|value| (drawn[at].expect("defined") - value).abs() < 1e-12);
            taken[near.iter().position(|near| *near).expect("one of the three")] += 1;
        }
        assert!(taken[0] > 4 && taken[1] > 14 && taken[2] > 4, "{taken:?}");
    }
    // Photographs are drawn alike for all models, repeats are not.
    let other = resample(&patches, "other", std::slice::from_ref(&first), 50, &streams);
    assert_eq!(other.draws, alone[0].draws);
    // What is added to all scores of one fold changes nothing within folds, but the ranking of all patches together.
    let rows = first.scores.len();
    let moved: Vec<f64> =
        first.scores.iter().enumerate().map(|(row, score)| score + if row < rows / 2 { 3.0 } else { 0.0 }).collect();
    let value = |scores: &[f64], folds: usize| {
        resample(&patches, "", &[model(scores.to_vec(), folds)], 0, &streams).estimate[ap].expect("defined")
    };
    assert!((value(&first.scores, 2) - value(&moved, 2)).abs() < 1e-12);
    assert!((value(&first.scores, 1) - value(&moved, 1)).abs() > 0.01);
    // Ranks of different folds cannot be swapped.
    let folded = model(first.scores.clone(), 2);
    assert!(permutation(&patches, [&[first], &[folded]], 20, &streams).is_none());
}

#[test]
fn few_photographs_with_a_positive_have_no_interval() {
    let streams = Streams::new(11, "paired simulation");
    let (mut patches, models) = simulated(30, [1.0, 1.5], &mut streams.stream("few", 0, &[]));
    for (label, &photograph) in patches.labels.iter_mut().zip(&patches.photograph) {
        if u64::from(photograph) >= FEWEST_POSITIVE - 1 {
            *label = Label::Absent;
        }
    }
    let found = compared(&patches, &models, 200, &streams);
    let ap = found[place("average-precision")];
    assert!(ap.interval.is_none() && ap.support < FEWEST_POSITIVE && ap.difference.is_some(), "{ap:?}");
    let subset = metrics(1).iter().position(|metric| metric.name == "subset-accuracy").expect("a metric");
    assert!(found[subset].interval.is_some() && found[subset].support == 30, "{:?}", found[subset]);
}

#[test]
fn values_are_those_of_eval() {
    let streams = Streams::new(3, "paired values");
    let mut stream = streams.stream("scores", 0, &[]);
    let (classes, rows) = (3, 400);
    let label = |stream: &mut Stream| match stream.below(10) {
        0 => Label::Unknown,
        1..=3 => Label::Present,
        _ => Label::Absent,
    };
    let labels: Vec<Label> = (0..rows * classes).map(|_| label(&mut stream)).collect();
    // Few distinct scores, so that many are tied.
    let scores: Vec<f64> = (0..rows * classes).map(|_| stream.below(30) as f64 / 30.0).collect();
    let photograph: Vec<u32> = (0..rows as u32).map(|row| row / 20).collect();
    let scored = LabelledScores::new(classes, scores.clone(), labels.clone());
    let patches = CommonPatches { classes, labels, photograph: photograph.clone(), unit: photograph.clone() };
    let predicted = scores.iter().map(|&score| score >= 0.5).collect();
    let model = ModelScores { scores, predicted, fold: vec![0; rows] };
    let found = resample(&patches, "", &[model], 0, &streams).estimate;
    let rankings = ranking(&scored);
    let within: Vec<Option<f64>> =
        within_photograph(&scored, &photograph).iter().map(|class| class.average_precision).collect();
    let at = at(&scored, &[0.5; 3], ZeroDivision::Undefined);
    let mean = |values: &[Option<f64>]| Some(values.iter().flatten().sum::<f64>() / values.len() as f64);
    let mut expected = vec![
        mean(&rankings.iter().map(|class| class.average_precision).collect::<Vec<_>>()),
        mean(&within),
        mean(&rankings.iter().map(|class| class.auroc).collect::<Vec<_>>()),
        at.micro.f1,
        at.macro_f1.value,
        at.hamming_loss,
        at.subset_accuracy,
    ];
    for class in 0..classes {
        let (ranking, at) = (rankings[class], at.classes[class]);
        expected.extend([ranking.average_precision, within[class], ranking.auroc, at.f1, at.precision, at.recall]);
    }
    assert_eq!(found.len(), expected.len());
    for ((found, expected), metric) in found.iter().zip(expected).zip(metrics(classes)) {
        let (found, expected) = (found.expect("defined"), expected.expect("defined"));
        assert!((found - expected).abs() < 1e-12, "{metric:?}: {found} instead of {expected}");
    }
}
