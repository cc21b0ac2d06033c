//! Headline, tables and warnings of an evaluation, for the terminal and for the page alike.

use super::{single, whole};
use crate::base::figure::{counted, metric, per_class, thousands};
use crate::learn::evaluation::{OperatingPoint, Scores};
use crate::learn::metrics::{
    Baseline, ClassMetrics, ClassReliability, FEWEST_GROUPS, Interval, Mean, Stratum, mean_average_precision,
};
use crate::learn::spread::spread;
use crate::stage::{Cell, Summary, Table, Warning};

/// Predictions per positive patch below which a class counts as almost never predicted.
const FEWEST_PREDICTED: f64 = 0.2;

/// Predictions per positive patch above which a class counts as predicted far too often.
const MOST_PREDICTED: f64 = 3.0;

/// What is said of metrics at thresholds of 0.5.
const AT_HALF: &str = "at threshold 0.5";

/// What is said of metrics of the class with the highest score.
const BY_HIGHEST: &str = "by the highest score";

/// Head of columns of metrics without tuned thresholds.
#[must_use]
pub fn at_half_title(scores: &Scores) -> &'static str {
    if scores.single.is_some() { "highest score" } else { "threshold 0.5" }
}

/// What is said of metrics without tuned thresholds.
#[must_use]
pub fn at_half(scores: &Scores) -> &'static str {
    if scores.single.is_some() { BY_HIGHEST } else { AT_HALF }
}

/// What is said of metrics at tuned thresholds.
const AT_TUNED: &str = "at the tuned thresholds";

/// What is said of an evaluation of patches that the model may have been trained on.
pub const DIAGNOSIS: &str = "a diagnosis, not an evaluation: the patches may be those that the model was trained on, so the metrics say nothing about new photographs";

/// Summary of an evaluation. A diagnosis has no metrics to rank by.
#[must_use]
pub fn summary(scores: &Scores) -> Summary {
    let mut tables = Vec::new();
    if let Some(single) = &scores.single {
        tables.extend([single::together(single), single::confusion(scores, single)]);
    }
    tables.extend([together(scores), ranking(scores), at_thresholds(scores, &scores.at_half, at_half(scores))]);
    if let Some(tuned) = &scores.at_tuned {
        tables.push(at_thresholds(scores, tuned, AT_TUNED));
    }
    tables.extend(within_photograph(scores));
    tables.extend(calibration(scores));
    tables.extend(whole::table(scores));
    // Classes that exclude each other have no masks, and do not occur together.
    if scores.single.is_none() {
        tables.push(recall(
            scores,
            |at| &at.recall_by_area,
            "recall by lesion area in the patch (pixels at original resolution)",
        ));
        let title = "recall by distance from the patch centre to the lesion";
        tables.push(recall(scores, |at| &at.recall_by_distance, title));
        tables.push(co_occurrence(scores));
    }
    let headline = match &scores.single {
        Some(single) => single::headline(scores, single),
        None => headline(scores),
    };
    let mut found = Summary { headline, tables, warnings: warnings(scores), ..Summary::default() };
    if scores.diagnosis {
        found.headline = format!("diagnosis, not an evaluation: {}", found.headline);
        found.warnings.insert(0, Warning { code: "diagnosis".to_owned(), text: DIAGNOSIS.to_owned() });
    } else {
        found.metrics = spread(std::slice::from_ref(scores)).means();
        found.metrics.extend(whole::metrics(scores));
    }
    found
}

/// `mean AP 0.651 (chance 0.124): MA 0.701, HE 0.618; micro F1 0.583 (all positive 0.310); 1,842 patches of 10 photographs`.
fn headline(scores: &Scores) -> String {
    let ap = per_class(&scores.classes, scores.ranking.iter().map(|class| class.average_precision));
    let mean = mean_average_precision(&scores.ranking);
    let of =
        if mean.classes < mean.of { format!(" over {} of {} classes", mean.classes, mean.of) } else { String::new() };
    format!(
        "mean AP {}{of} (chance {}): {ap}; micro F1 {} (all positive {}); {} of {}",
        metric(mean.value),
        metric(scores.baselines.macro_prevalence.value),
        metric(scores.operating().figures.micro.f1),
        metric(scores.baselines.micro.always_yes_f1),
        counted(scores.data.patches, "patch", "patches"),
        counted(scores.data.photographs, "photograph", "photographs"),
    )
}

fn real(value: Option<f64>) -> Cell {
    value.map_or(Cell::Null(()), Cell::Real)
}

fn int(count: u64) -> Cell {
    Cell::Int(count as i64)
}

fn bounds(interval: Option<Interval>) -> [Cell; 2] {
    [real(interval.map(|i| i.low)), real(interval.map(|i| i.high))]
}

fn table(title: &str, columns: &[&str], rows: Vec<Vec<Cell>>) -> Table {
    let columns = columns.iter().map(|&column| column.to_owned()).collect();
    Table { title: title.to_owned(), columns, rows }
}

/// `macro F1` or, where a class has no value, `macro F1 (3 of 4 classes)`.
fn mean_name(name: &str, mean: Mean) -> String {
    if mean.classes == mean.of { name.to_owned() } else { format!("{name} ({} of {} classes)", mean.classes, mean.of) }
}

/// Metrics over all classes, each next to what a trivial classifier reaches.
#[must_use]
pub fn together(scores: &Scores) -> Table {
    let tuned = scores.at_tuned.as_ref();
    let trivial = &scores.baselines;
    let intervals = scores.intervals.as_ref();
    let at = scores.operating_index();
    let pick =
        |figure: fn(&OperatingPoint) -> Option<f64>| [real(figure(&scores.at_half)), real(tuned.and_then(figure))];
    let mut rows = Vec::new();
    let mut add =
        |name: String, n: u64, pair: [Cell; 2], interval: Option<Interval>, trivial: Option<f64>, which: &str| {
            let [half, tuned] = pair;
            let [low, high] = bounds(interval);
            let which = if which.is_empty() { Cell::Null(()) } else { Cell::Text(which.to_owned()) };
            rows.push(vec![Cell::Text(name), half, tuned, low, high, real(trivial), which, int(n)]);
        };
    let map = scores.mean_average_precision;
    // Ranking metrics need no threshold: they are the same in both columns.
    let both = |value: Option<f64>| [real(value), real(value.filter(|_| tuned.is_some()))];
    let known = trivial.micro.known;
    let full = scores.at_half.figures.full_rows;
    add(
        mean_name("mean average precision", map),
        known,
        both(map.value),
        intervals.and_then(|i| i.mean_average_precision),
        trivial.macro_prevalence.value,
        "chance",
    );
    if let Some(within) = scores.mean_within_photograph() {
        let chance = Mean::of(scores.within_photograph.iter().flatten().map(|class| class.chance)).value;
        let name = mean_name("mean within-photograph AP", within);
        add(name, known, both(within.value), None, chance, "chance");
    }
    let auroc = scores.mean_auroc;
    add(mean_name("mean AUROC", auroc), known, both(auroc.value), None, auroc.value.map(|_| 0.5), "chance");
    let micro = pick(|at| at.figures.micro.f1);
    let interval = intervals.and_then(|i| i.micro_f1[at]);
    add("micro F1".to_owned(), known, micro, interval, trivial.micro.always_yes_f1, "all positive");
    let f1 = scores.at_half.figures.macro_f1;
    let interval = intervals.and_then(|i| i.macro_f1[at]);
    let values = pick(|at| at.figures.macro_f1.value);
    add(mean_name("macro F1", f1), known, values, interval, trivial.macro_always_yes_f1.value, "all positive");
    let interval = intervals.and_then(|i| i.hamming_loss[at]);
    let values = pick(|at| at.figures.hamming_loss);
    add("Hamming loss".to_owned(), known, values, interval, trivial.always_healthy_hamming_loss, "all negative");
    let interval = intervals.and_then(|i| i.subset_accuracy[at]);
    let values = pick(|at| at.figures.subset_accuracy);
    add("subset accuracy".to_owned(), full, values, interval, trivial.always_healthy_subset_accuracy, "all negative");
    if scores.single.is_none() {
        let zeros = pick(|at| at.figures.all_zero);
        let healthy = (full > 0).then(|| scores.data.healthy as f64 / full as f64);
        add("no lesion predicted".to_owned(), scores.data.patches, zeros, None, healthy, "healthy patches");
    }
    let title = if tuned.is_some() { "all classes (95% CI at the tuned thresholds)" } else { "all classes" };
    table(title, &["metric", "at 0.5", "tuned", "CI low", "CI high", "baseline", "baseline is", "n"], rows)
}

/// Average precision and AUROC per class.
#[must_use]
pub fn ranking(scores: &Scores) -> Table {
    let rows = scores.classes.iter().enumerate().map(|(class, name)| {
        let Baseline { known, positives, prevalence, .. } = scores.baselines.classes[class];
        let [low, high] = bounds(scores.intervals.as_ref().and_then(|i| i.average_precision[class]));
        let figures = scores.ranking[class];
        vec![
            Cell::Text(name.clone()),
            real(figures.average_precision),
            low,
            high,
            real(prevalence),
            real(figures.auroc),
            int(positives),
            int(known),
            int(scores.data.positive_photographs[class]),
        ]
    });
    let mut columns =
        vec!["class", "AP", "CI low", "CI high", "prevalence", "AUROC", "positives", "n", "positive photographs"];
    let mut rows: Vec<Vec<Cell>> = rows.collect();
    // Groups are photographs if no patient is known, and are counted in the last column then.
    let noun = format!("positive {}", scores.data.group_noun());
    if scores.data.positive_groups.len() == rows.len() && noun != "positive photographs" {
        columns.push(&noun);
        rows.iter_mut().zip(&scores.data.positive_groups).for_each(|(row, &groups)| row.push(int(groups)));
    }
    table("ranking metrics (chance reaches the prevalence as AP)", &columns, rows)
}

/// Classes with too few groups with a positive for an interval: name, and number of those groups.
#[must_use]
pub fn rare(scores: &Scores) -> Vec<(&str, u64)> {
    let classes = scores.classes.iter().map(String::as_str).zip(scores.data.positive_groups.iter().copied());
    classes.filter(|&(_, groups)| groups > 0 && groups < FEWEST_GROUPS as u64).collect()
}

/// What has no confidence interval, for lack of groups.
fn without_interval(scores: &Scores) -> Option<String> {
    let (noun, groups) = (scores.data.group_noun(), scores.data.groups);
    if scores.intervals.is_none() {
        return Some(format!(
            "no confidence interval: it needs at least {FEWEST_GROUPS} {noun}, and these patches come from {groups}"
        ));
    }
    let rare: Vec<String> = rare(scores).iter().map(|(class, groups)| format!("`{class}` ({groups})")).collect();
    let text = format!(
        "no confidence interval of {} and of means over classes: it needs at least {FEWEST_GROUPS} {noun} with a positive",
        rare.join(", ")
    );
    (!rare.is_empty()).then_some(text)
}

/// Average precision within photographs per class; [`None`] if it was not asked for.
#[must_use]
pub fn within_photograph(scores: &Scores) -> Option<Table> {
    let classes = scores.within_photograph.as_ref()?;
    let rows = scores.classes.iter().zip(classes).map(|(name, class)| {
        let (value, chance) = (real(class.average_precision), real(class.chance));
        vec![Cell::Text(name.clone()), value, chance, int(class.photographs)]
    });
    let title = "average precision within photographs (mean over photographs with a positive)";
    Some(table(title, &["class", "AP", "chance", "photographs"], rows.collect()))
}

/// Brier score and calibration error per class; [`None`] if it was not asked for.
#[must_use]
pub fn calibration(scores: &Scores) -> Option<Table> {
    let row = |((name, found), baseline): ((&String, &Option<ClassReliability>), &Baseline)| {
        let of = |value: fn(&ClassReliability) -> f64| real(found.as_ref().map(value));
        let range = |interval: fn(&ClassReliability) -> Option<Interval>| {
            let words = |found: Interval| format!("{} to {}", metric(Some(found.low)), metric(Some(found.high)));
            Cell::Text(found.as_ref().and_then(interval).map_or_else(|| "-".to_owned(), words))
        };
        vec![
            Cell::Text(name.clone()),
            of(|class| class.calibration_error),
            range(|class| class.calibration_error_interval),
            real(found.as_ref().and_then(|class| class.calibration_noise)),
            of(|class| class.brier),
            range(|class| class.brier_interval),
            of(|class| class.reliability),
            of(|class| class.resolution),
            of(|class| class.uncertainty),
            of(|class| class.within_bins),
            of(|class| class.mean_score),
            real(baseline.prevalence),
        ]
    };
    let classes = scores.classes.iter().zip(scores.calibration.as_ref()?).zip(&scores.baselines.classes);
    let columns = [
        "class",
        "ECE",
        "ECE 95% CI",
        "by chance",
        "Brier",
        "Brier 95% CI",
        "reliability",
        "resolution",
        "uncertainty",
        "within bins",
        "mean score",
        "prevalence",
    ];
    let title = "calibration (Brier score = reliability - resolution + uncertainty + within bins)";
    Some(table(title, &columns, classes.map(row).collect()))
}

/// Precision, recall and F1 per class at one set of thresholds.
#[must_use]
pub fn at_thresholds(scores: &Scores, at: &OperatingPoint, title: &str) -> Table {
    let figures = &at.figures;
    let class_row = |name: String, threshold: Cell, of: &ClassMetrics, trivial: Option<f64>| {
        let counts = of.counts;
        vec![
            Cell::Text(name),
            threshold,
            real(of.f1),
            real(trivial),
            real(of.precision),
            real(of.recall),
            real(of.predicted_ratio),
            int(counts.true_positives),
            int(counts.false_positives),
            int(counts.false_negatives),
            int(counts.true_negatives),
            int(counts.known()),
        ]
    };
    let mut rows: Vec<Vec<Cell>> = (0..scores.classes.len())
        .map(|class| {
            let trivial = scores.baselines.classes[class].always_yes_f1;
            let threshold = Cell::Real(figures.thresholds[class]);
            class_row(scores.classes[class].clone(), threshold, &figures.classes[class], trivial)
        })
        .collect();
    rows.push(class_row("micro".to_owned(), Cell::Null(()), &figures.micro, scores.baselines.micro.always_yes_f1));
    let mut last = vec![Cell::Null(()); rows[0].len()];
    let (f1, precision) = (figures.macro_f1, figures.macro_precision);
    let partly = if precision.classes < f1.classes {
        format!(", precision of {} of {}", precision.classes, precision.of)
    } else {
        String::new()
    };
    last[0] = Cell::Text(format!("{}{partly}", mean_name("macro", f1)));
    last[2] = real(figures.macro_f1.value);
    last[3] = real(scores.baselines.macro_always_yes_f1.value);
    last[4] = real(figures.macro_precision.value);
    last[5] = real(figures.macro_recall.value);
    rows.push(last);
    let columns = [
        "class",
        "threshold",
        "F1",
        "all-positive F1",
        "precision",
        "recall",
        "predicted / labelled",
        "true positives",
        "false positives",
        "false negatives",
        "true negatives",
        "n",
    ];
    table(&format!("metrics {title}"), &columns, rows)
}

/// Recall by range, next to the number of positives in each.
fn recall(scores: &Scores, strata: fn(&OperatingPoint) -> &Vec<Stratum>, title: &str) -> Table {
    let mut columns = vec!["range".to_owned()];
    for class in &scores.classes {
        columns.extend([class.clone(), format!("n {class}")]);
    }
    columns.extend(["all".to_owned(), "n all".to_owned()]);
    let rows = strata(scores.operating()).iter().map(|stratum| {
        let found = stratum.classes.iter().chain([&stratum.all]);
        let cells = found.flat_map(|found| [real(found.recall), int(found.positives)]);
        [Cell::Text(stratum.band.name.clone())].into_iter().chain(cells).collect()
    });
    let at = if scores.at_tuned.is_some() { AT_TUNED } else { at_half(scores) };
    Table { title: format!("{title}, {at}"), columns, rows: rows.collect() }
}

/// Counts of co-occurring classes, and of false positives next to them.
#[must_use]
pub fn co_occurrence(scores: &Scores) -> Table {
    let counts = &scores.operating().co_occurrence;
    let mut columns = vec!["patches with".to_owned()];
    columns.extend(scores.classes.iter().map(|class| format!("also {class}")));
    columns.extend(scores.classes.iter().map(|class| format!("FP {class}")));
    let rows = scores.classes.iter().enumerate().map(|(at, class)| {
        let cells = counts.present[at].iter().chain(&counts.mistaken[at]);
        [Cell::Text(class.clone())].into_iter().chain(cells.map(|&count| int(count))).collect()
    });
    Table {
        title: "co-occurring lesions, and false positives (FP) next to them".to_owned(),
        columns,
        rows: rows.collect(),
    }
}

/// What to know before trusting the metrics.
#[must_use]
pub fn warnings(scores: &Scores) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code: &str, text: String| warnings.push(Warning { code: code.to_owned(), text });
    for (class, name) in scores.classes.iter().enumerate() {
        if scores.baselines.classes[class].positives == 0 {
            let mean = scores.mean_average_precision;
            let text = format!(
                "no patch is labelled positive for `{name}`: macro averages cover {} of {} classes",
                mean.classes, mean.of
            );
            warn("class-missing", text);
        }
    }
    let both = [Some((at_half(scores), &scores.at_half)), scores.at_tuned.as_ref().map(|at| (AT_TUNED, at))];
    for (words, at) in both.into_iter().flatten() {
        if at.figures.micro.counts.predicted() == 0 {
            warn(
                "all-zero",
                format!("no lesion is predicted on any patch {words}: the classifier has collapsed to all negative"),
            );
            continue;
        }
        for (name, figures) in scores.classes.iter().zip(&at.figures.classes) {
            match figures.predicted_ratio {
                Some(ratio) if ratio < FEWEST_PREDICTED => {
                    warn(
                        "under-prediction",
                        format!(
                            "`{name}` is almost never predicted {words} ({ratio:.2} predictions per positive patch)"
                        ),
                    );
                }
                Some(ratio) if ratio > MOST_PREDICTED => {
                    warn(
                        "over-prediction",
                        format!(
                            "`{name}` is predicted far too often {words} ({ratio:.2} predictions per positive patch)"
                        ),
                    );
                }
                _ => {}
            }
        }
    }
    let at = scores.operating();
    for (class, name) in scores.classes.iter().enumerate() {
        let trivial = scores.baselines.classes[class].always_yes_f1;
        if let (Some(f1), Some(trivial)) = (at.figures.classes[class].f1, trivial)
            && f1 <= trivial
        {
            let (f1, trivial) = (metric(Some(f1)), metric(Some(trivial)));
            warn(
                "no-better-than-trivial",
                format!("F1 of `{name}` ({f1}) does not beat predicting it on every patch ({trivial})"),
            );
        }
    }
    let mean = scores.intervals.as_ref().and_then(|intervals| intervals.mean_average_precision);
    if let (Some(Interval { low, high }), Some(chance)) = (mean, scores.baselines.macro_prevalence.value)
        && low <= chance
    {
        let [low, high, chance] = [low, high, chance].map(|value| metric(Some(value)));
        let text = format!(
            "the 95% confidence interval of mean average precision ({low} to {high}) is not above chance ({chance})"
        );
        warn("no-better-than-trivial", text);
    }
    if let Some(text) = without_interval(scores) {
        warn("few-groups", text);
    }
    warnings.extend(whole::few(scores));
    let mut warn = |code: &str, text: String| warnings.push(Warning { code: code.to_owned(), text });
    let dropped = scores.intervals.as_ref().map(|intervals| (intervals, intervals.dropped.mean_average_precision));
    if let Some((intervals, dropped)) = dropped.filter(|(intervals, _)| intervals.mean_average_precision.is_none())
        && scores.mean_average_precision.value.is_some()
        && dropped * 2 > intervals.replicates
    {
        let (all, dropped) = (thousands(intervals.replicates), thousands(dropped));
        let text =
            format!("{dropped} of {all} bootstrap resamples lack a class: the means have no confidence interval");
        warn("few-groups", text);
    }
    warnings
}
