//! An evaluation as a headline, tables and warnings: the same for the terminal and for the page.

use crate::base::figure::{counted, row, short, thousands};
use crate::learn::evaluation::{Operating, Scores};
use crate::learn::metrics::{Baseline, ClassFigures, Interval, Mean, Stratum, mean_average_precision};
use crate::learn::spread::spread;
use crate::stage::{Cell, Summary, Table, Warning};

/// Predicted over true positives under this, and lesions are hardly ever predicted.
const FEWEST_PREDICTED: f64 = 0.2;

/// Predicted over true positives over this, and lesions are predicted nearly everywhere.
const MOST_PREDICTED: f64 = 3.0;

/// The summary of an evaluation.
#[must_use]
pub fn summary(scores: &Scores) -> Summary {
    let mut tables = vec![together(scores), ranking(scores), at_thresholds(scores, &scores.at_half, "at 0.5")];
    if let Some(tuned) = &scores.at_tuned {
        tables.push(at_thresholds(scores, tuned, "at the tuned thresholds"));
    }
    tables.push(recall(scores, |at| &at.recall_by_area, "recall by lesion area in the patch (pixels as released)"));
    tables.push(recall(
        scores,
        |at| &at.recall_by_distance,
        "recall by distance from the patch's centre to the lesion",
    ));
    tables.push(co_occurrence(scores));
    let figures = spread(std::slice::from_ref(scores)).means();
    Summary { headline: headline(scores), figures, tables, warnings: warnings(scores) }
}

/// `AP .70 .62 .86 .40 (MA HE EX SE), mean .65 (chance .12); micro F1 .58 (always yes .31); 1,842 patches of 10 photographs`.
fn headline(scores: &Scores) -> String {
    let ap = row(scores.ranking.iter().map(|class| class.average_precision), 2);
    let mean = mean_average_precision(&scores.ranking);
    let of =
        if mean.classes < mean.of { format!(" of {} of {} classes", mean.classes, mean.of) } else { String::new() };
    format!(
        "AP {ap} ({}), mean {}{of} (chance {}); micro F1 {} (always yes {}); {} of {}",
        scores.classes.join(" "),
        short(mean.value, 3),
        short(scores.baselines.macro_prevalence.value, 3),
        short(scores.operating().figures.micro.f1, 3),
        short(scores.baselines.micro.always_yes_f1, 3),
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

/// The figures over all classes, each with what a trivial classifier reaches.
#[must_use]
pub fn together(scores: &Scores) -> Table {
    let tuned = scores.at_tuned.as_ref();
    let trivial = &scores.baselines;
    let intervals = scores.intervals.as_ref();
    let at = scores.operating_index();
    let pick = |figure: fn(&Operating) -> Option<f64>| [real(figure(&scores.at_half)), real(tuned.and_then(figure))];
    let mut rows = Vec::new();
    let mut add =
        |name: String, n: u64, pair: [Cell; 2], interval: Option<Interval>, trivial: Option<f64>, which: &str| {
            let [half, tuned] = pair;
            let [low, high] = bounds(interval);
            let which = if which.is_empty() { Cell::Null(()) } else { Cell::Text(which.to_owned()) };
            rows.push(vec![Cell::Text(name), half, tuned, low, high, real(trivial), which, int(n)]);
        };
    let map = scores.mean_average_precision;
    // Ranking figures need no threshold: they are the same in both columns.
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
    let auroc = scores.mean_auroc;
    add(mean_name("mean AUROC", auroc), known, both(auroc.value), None, auroc.value.map(|_| 0.5), "chance");
    let micro = pick(|at| at.figures.micro.f1);
    let interval = intervals.and_then(|i| i.micro_f1[at]);
    add("micro F1".to_owned(), known, micro, interval, trivial.micro.always_yes_f1, "always yes");
    let f1 = scores.at_half.figures.macro_f1;
    let interval = intervals.and_then(|i| i.macro_f1[at]);
    let values = pick(|at| at.figures.macro_f1.value);
    add(mean_name("macro F1", f1), known, values, interval, trivial.macro_always_yes_f1.value, "always yes");
    let interval = intervals.and_then(|i| i.hamming_loss[at]);
    let values = pick(|at| at.figures.hamming_loss);
    add("Hamming loss".to_owned(), known, values, interval, trivial.always_healthy_hamming_loss, "always healthy");
    let interval = intervals.and_then(|i| i.subset_accuracy[at]);
    let values = pick(|at| at.figures.subset_accuracy);
    add("subset accuracy".to_owned(), full, values, interval, trivial.always_healthy_subset_accuracy, "always healthy");
    let zeros = pick(|at| at.figures.all_zero);
    let healthy = (full > 0).then(|| scores.data.healthy as f64 / full as f64);
    add("nothing predicted".to_owned(), scores.data.patches, zeros, None, healthy, "truly healthy");
    let from = if tuned.is_some() { "tuned, 95 % from" } else { "95 % from" };
    table("all classes together", &["figure", "at 0.5", "tuned", from, "to", "trivial", "which", "n"], rows)
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
    table(
        "ranking, beside the prevalence that chance reaches as AP",
        &["class", "AP", "95 % from", "to", "prevalence", "AUROC", "positives", "n", "photographs with it"],
        rows.collect(),
    )
}

/// Precision, recall and F1 per class at one set of thresholds.
#[must_use]
pub fn at_thresholds(scores: &Scores, at: &Operating, title: &str) -> Table {
    let figures = &at.figures;
    let class_row = |name: String, threshold: Cell, of: &ClassFigures, trivial: Option<f64>| {
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
    last[0] = Cell::Text(mean_name("macro", figures.macro_f1));
    last[2] = real(figures.macro_f1.value);
    last[3] = real(scores.baselines.macro_always_yes_f1.value);
    last[4] = real(figures.macro_precision.value);
    last[5] = real(figures.macro_recall.value);
    rows.push(last);
    let columns = [
        "class",
        "threshold",
        "F1",
        "always-yes F1",
        "precision",
        "recall",
        "predicted / true",
        "true positives",
        "false positives",
        "missed",
        "true negatives",
        "n",
    ];
    table(&format!("figures {title}"), &columns, rows)
}

/// Recall by band, with the number of positives beside each.
fn recall(scores: &Scores, strata: fn(&Operating) -> &Vec<Stratum>, title: &str) -> Table {
    let mut columns = vec!["band".to_owned()];
    for class in &scores.classes {
        columns.extend([class.clone(), format!("n {class}")]);
    }
    columns.extend(["all".to_owned(), "n all".to_owned()]);
    let rows = strata(scores.operating()).iter().map(|stratum| {
        let found = stratum.classes.iter().chain([&stratum.all]);
        let cells = found.flat_map(|found| [real(found.recall), int(found.positives)]);
        [Cell::Text(stratum.band.name.clone())].into_iter().chain(cells).collect()
    });
    let at = if scores.at_tuned.is_some() { "at the tuned thresholds" } else { "at 0.5" };
    Table { title: format!("{title}, {at}"), columns, rows: rows.collect() }
}

/// Which classes stand together.
#[must_use]
pub fn co_occurrence(scores: &Scores) -> Table {
    let counts = &scores.operating().co_occurrence;
    let mut columns = vec!["patches with".to_owned()];
    columns.extend(scores.classes.iter().map(|class| format!("and {class}")));
    columns.extend(scores.classes.iter().map(|class| format!("{class} by mistake")));
    let rows = scores.classes.iter().enumerate().map(|(at, class)| {
        let cells = counts.present[at].iter().chain(&counts.mistaken[at]);
        [Cell::Text(class.clone())].into_iter().chain(cells.map(|&count| int(count))).collect()
    });
    Table {
        title: "lesions that stand together, and what is predicted by mistake beside them".to_owned(),
        columns,
        rows: rows.collect(),
    }
}

/// What the user should know before believing the figures.
#[must_use]
pub fn warnings(scores: &Scores) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code: &str, text: String| warnings.push(Warning { code: code.to_owned(), text });
    for (class, name) in scores.classes.iter().enumerate() {
        if scores.baselines.classes[class].positives == 0 {
            let mean = scores.mean_average_precision;
            let text = format!(
                "no patch is known to have `{name}`: macro figures are of {} of {} classes",
                mean.classes, mean.of
            );
            warn("class-missing", text);
        }
    }
    let both = [Some(("at 0.5", &scores.at_half)), scores.at_tuned.as_ref().map(|at| ("at the tuned thresholds", at))];
    for (words, at) in both.into_iter().flatten() {
        if at.figures.micro.counts.predicted() == 0 {
            warn(
                "all-zero",
                format!("{words} nothing is predicted on any patch: the classifier has collapsed to all-healthy"),
            );
            continue;
        }
        for (name, figures) in scores.classes.iter().zip(&at.figures.classes) {
            match figures.predicted_ratio {
                Some(ratio) if ratio < FEWEST_PREDICTED => {
                    warn(
                        "under-prediction",
                        format!("{words} `{name}` is predicted {ratio:.2} times as often as it is there"),
                    );
                }
                Some(ratio) if ratio > MOST_PREDICTED => {
                    warn(
                        "over-prediction",
                        format!("{words} `{name}` is predicted {ratio:.1} times as often as it is there"),
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
            let (f1, trivial) = (short(Some(f1), 3), short(Some(trivial), 3));
            warn(
                "no-better-than-trivial",
                format!("F1 {f1} of `{name}` is no better than {trivial} for always predicting it"),
            );
        }
    }
    if scores.intervals.is_none() {
        warn(
            "few-groups",
            "fewer than 5 patients or photographs: how certain the figures are can't be said".to_owned(),
        );
    }
    let dropped = scores.intervals.as_ref().map(|intervals| (intervals, intervals.dropped.mean_average_precision));
    if let Some((intervals, dropped)) = dropped.filter(|(intervals, _)| intervals.mean_average_precision.is_none())
        && scores.mean_average_precision.value.is_some()
    {
        let (all, dropped) = (thousands(intervals.replicates), thousands(dropped));
        let text =
            format!("{dropped} of {all} draws of patients or photographs lack a class: the means have no interval");
        warn("few-groups", text);
    }
    warnings
}
