//! What to read first of an evaluation or a training: a few lines and one table. Everything else is in the stage's own tables.

use super::scores::{DIAGNOSIS, rare};
use super::single::confusion;
use crate::base::figure::{counted, metric, thousands};
use crate::learn::evaluation::Scores;
use crate::learn::metrics::{FEWEST_GROUPS, Interval, SingleLabelMetrics};
use crate::stage::{Cell, Table};

/// Start of a long result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Brief {
    /// Sentences, the most important first.
    pub lines: Vec<String>,
    /// The table.
    pub table: Table,
    /// How readily each of its columns is left out on a narrow terminal, 0 never.
    pub priorities: Vec<u8>,
}

/// Headline of an evaluation, what it was evaluated on (`data`, such as `folds.test`), and its metrics by class.
#[must_use]
pub fn of_scores(scores: &Scores, data: Option<&str>) -> Brief {
    let at = scores.operating_index();
    let intervals = scores.intervals.as_ref();
    let mean = scores.mean_average_precision;
    let over =
        if mean.classes < mean.of { format!(" over {} of {} classes", mean.classes, mean.of) } else { String::new() };
    let interval = |interval: Option<Interval>| {
        let words =
            interval.map(|found| format!(", 95% CI {} to {}", metric(Some(found.low)), metric(Some(found.high))));
        words.unwrap_or_default()
    };
    let chance = metric(scores.baselines.macro_prevalence.value);
    let facts = &scores.data;
    let patients = facts.patients.map(|count| format!(", {}", counted(count, "patient", "patients")));
    let of_data = data.map(|name| format!("`{name}`: ")).unwrap_or_default();
    let figures = &scores.operating().figures;
    let few = rare(scores).iter().map(|(class, _)| format!("`{class}`")).collect::<Vec<_>>().join(" or ");
    let thresholds = if at == 1 { "the tuned thresholds" } else { "threshold 0.5" };
    let lines = vec![
        format!(
            "mean AP {}{over}{}; chance (prevalence) {chance}",
            metric(mean.value),
            match intervals {
                Some(found) if found.mean_average_precision.is_none() && !few.is_empty() => {
                    format!(" (no 95% CI: fewer than {FEWEST_GROUPS} {} with {few})", facts.group_noun())
                }
                Some(found) => interval(found.mean_average_precision),
                None => format!(" (no 95% CI: fewer than {FEWEST_GROUPS} {})", facts.group_noun()),
            },
        ),
        format!(
            "evaluated on {of_data}{} ({} healthy), {}{}",
            counted(facts.patches, "patch", "patches"),
            thousands(facts.healthy),
            counted(facts.photographs, "photograph", "photographs"),
            patients.unwrap_or_default(),
        ),
        format!(
            "at {thresholds}: micro F1 {}{}; {} if all are predicted positive",
            metric(figures.micro.f1),
            interval(intervals.and_then(|found| found.micro_f1[at])),
            metric(scores.baselines.micro.always_yes_f1),
        ),
    ];
    let lines = if scores.diagnosis { [vec![DIAGNOSIS.to_owned()], lines].concat() } else { lines };
    let (table, priorities) = by_class(scores, thresholds);
    Brief { lines, table, priorities }
}

/// Accuracy and kappa of patches with one class each, what they were evaluated on (`data`), and the confusion matrix.
#[must_use]
pub fn of_choice(scores: &Scores, single: &SingleLabelMetrics, data: Option<&str>) -> Brief {
    let facts = &scores.data;
    let none = format!(" (no 95% CI: fewer than {FEWEST_GROUPS} {})", facts.group_noun());
    let within = |interval: Option<Interval>| {
        let words =
            interval.map(|found| format!(", 95% CI {} to {}", metric(Some(found.low)), metric(Some(found.high))));
        words.unwrap_or_else(|| none.clone())
    };
    let patients = facts.patients.map(|count| format!(", {}", counted(count, "patient", "patients")));
    let of_data = data.map(|name| format!("`{name}`: ")).unwrap_or_default();
    let mut lines = vec![
        format!(
            "accuracy {}{}; {} if the most frequent class is always chosen",
            metric(single.accuracy),
            within(single.accuracy_interval),
            metric(single.majority_accuracy)
        ),
        format!(
            "balanced accuracy {}{}; chance {}",
            metric(single.balanced_accuracy),
            within(single.balanced_accuracy_interval),
            metric(single.chance())
        ),
    ];
    if let Some(kappa) = single.quadratic_kappa {
        lines.push(format!("quadratic kappa {}{}", metric(Some(kappa)), within(single.quadratic_kappa_interval)));
    }
    lines.push(format!(
        "evaluated on {of_data}{}, {}{}",
        counted(facts.patches, "patch", "patches"),
        counted(facts.photographs, "photograph", "photographs"),
        patients.unwrap_or_default(),
    ));
    let lines = if scores.diagnosis { [vec![DIAGNOSIS.to_owned()], lines].concat() } else { lines };
    let table = confusion(scores, single);
    let priorities = vec![0; table.columns.len()];
    Brief { lines, table, priorities }
}

fn by_class(scores: &Scores, thresholds: &str) -> (Table, Vec<u8>) {
    let real = |value: Option<f64>| value.map_or(Cell::Null(()), Cell::Real);
    let range = |found: Option<Interval>| {
        found.map_or(Cell::Null(()), |found| Cell::Text(format!("{:.3}–{:.3}", found.low, found.high)))
    };
    let intervals = scores.intervals.as_ref();
    let figures = &scores.operating().figures;
    let mut rows: Vec<Vec<Cell>> = (0..scores.classes.len())
        .map(|class| {
            let (ranking, base, own) =
                (&scores.ranking[class], &scores.baselines.classes[class], &figures.classes[class]);
            vec![
                Cell::Text(scores.classes[class].clone()),
                real(ranking.average_precision),
                range(intervals.and_then(|found| found.average_precision[class])),
                real(base.prevalence),
                real(ranking.auroc),
                real(own.f1),
                real(own.precision),
                real(own.recall),
                Cell::Int(base.positives as i64),
                scores.data.positive_groups.get(class).map_or(Cell::Null(()), |&groups| Cell::Int(groups as i64)),
            ]
        })
        .collect();
    rows.push(vec![
        Cell::Text("mean".to_owned()),
        real(scores.mean_average_precision.value),
        range(intervals.and_then(|found| found.mean_average_precision)),
        real(scores.baselines.macro_prevalence.value),
        real(scores.mean_auroc.value),
        real(figures.macro_f1.value),
        real(figures.macro_precision.value),
        real(figures.macro_recall.value),
        Cell::Null(()),
        Cell::Null(()),
    ]);
    let mut columns = vec![
        ("class", 0),
        ("AP", 0),
        ("95% CI", 1),
        ("prevalence", 2),
        ("AUROC", 8),
        ("F1", 3),
        ("precision", 5),
        ("recall", 4),
        ("positives", 7),
        (scores.data.group_noun(), 6),
    ];
    if intervals.is_none() {
        columns.remove(2);
        for row in &mut rows {
            row.remove(2);
        }
    }
    let (names, priorities): (Vec<&str>, Vec<u8>) = columns.into_iter().unzip();
    let columns = names.into_iter().map(str::to_owned).collect();
    (Table { title: format!("by class (F1, precision and recall at {thresholds})"), columns, rows }, priorities)
}

/// Title of a training's table of epochs.
pub const EPOCHS: &str = "epochs";

/// Columns of the table of epochs that are shown first: their name, and their short head.
const CURVE: [(&str, &str); 10] = [
    ("epoch", "epoch"),
    ("validation AP", "valid AP"),
    ("validation MAP@R", "valid MAP@R"),
    ("validation loss", "valid loss"),
    ("training loss", "train loss"),
    ("active triplets", "active"),
    ("positive distance", "positive"),
    ("negative distance", "negative"),
    ("micro F1", "valid F1"),
    ("learning rate", "rate"),
];

/// The curve of a training in at most `rows` rows, of all epochs, evenly spaced; the first, the last and the chosen one are among them.
#[must_use]
pub fn of_epochs(epochs: &Table, chosen: Option<f64>, rows: usize) -> Brief {
    let at = |name: &str| epochs.columns.iter().position(|column| column == name);
    let shown: Vec<(usize, &str)> = CURVE.iter().filter_map(|(name, head)| Some((at(name)?, *head))).collect();
    let last = epochs.rows.len().saturating_sub(1);
    let epoch =
        |row: &[Cell]| at("epoch").and_then(|at| if let Cell::Int(epoch) = row[at] { Some(epoch) } else { None });
    let is_chosen = |row: &[Cell]| epoch(row).zip(chosen).is_some_and(|(epoch, chosen)| epoch as f64 == chosen);
    let place = epochs.rows.iter().position(|row| is_chosen(row));
    let spaced = |at: usize, steps: usize| (0..=steps).any(|step| step * last / steps == at);
    // A row is left for the chosen epoch if it is not one of these anyway.
    let steps = rows.saturating_sub(1).max(1);
    let steps = if place.is_none_or(|place| spaced(place, steps)) { steps } else { (steps - 1).max(1) };
    let kept = |at: usize| epochs.rows.len() <= rows || Some(at) == place || spaced(at, steps);
    let cells = |row: &Vec<Cell>| {
        let mark = Cell::Text(if is_chosen(row) { "* chosen" } else { "" }.to_owned());
        shown.iter().map(|(at, _)| row[*at].clone()).chain([mark]).collect()
    };
    let rows: Vec<Vec<Cell>> =
        epochs.rows.iter().enumerate().filter(|(at, _)| kept(*at)).map(|(_, row)| cells(row)).collect();
    let title = if rows.len() < epochs.rows.len() {
        format!("{} of {} epochs", rows.len(), epochs.rows.len())
    } else {
        EPOCHS.to_owned()
    };
    let columns: Vec<String> = shown.iter().map(|(_, head)| (*head).to_owned()).chain([String::new()]).collect();
    let priorities = (0..columns.len()).map(|at| if at + 1 == columns.len() { 0 } else { at as u8 }).collect();
    Brief { lines: Vec::new(), table: Table { title, columns, rows }, priorities }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(count: i64) -> Table {
        let columns = ["epoch", "learning rate", "training loss", "validation AP"].map(str::to_owned).to_vec();
        let row = |epoch| vec![Cell::Int(epoch), Cell::Real(0.1), Cell::Real(1.0), Cell::Real(0.5)];
        Table { title: EPOCHS.to_owned(), columns, rows: (1..=count).map(row).collect() }
    }

    fn shown(brief: &Brief) -> Vec<i64> {
        let epoch = |row: &Vec<Cell>| if let Cell::Int(epoch) = row[0] { epoch } else { 0 };
        brief.table.rows.iter().map(epoch).collect()
    }

    #[test]
    fn of_many_epochs_some_are_shown_and_the_chosen_one_always() {
        let all = of_epochs(&epochs(8), Some(7.0), 8);
        assert_eq!(shown(&all), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(all.table.title, "epochs");
        assert_eq!(all.table.columns, ["epoch", "valid AP", "train loss", "rate", ""]);
        let chosen: Vec<i64> = all
            .table
            .rows
            .iter()
            .zip(1..)
            .filter(|(row, _)| row[4] == Cell::Text("* chosen".into()))
            .map(|(_, at)| at)
            .collect();
        assert_eq!(chosen, [7]);
        for (count, chosen) in [(9, 8), (100, 98), (2000, 3), (2000, 2000)] {
            let some = of_epochs(&epochs(count), Some(chosen as f64), 8);
            let epochs = shown(&some);
            assert!((7..=8).contains(&epochs.len()), "{epochs:?}");
            assert!(epochs[0] == 1 && epochs.contains(&chosen) && epochs.last() == Some(&count), "{epochs:?}");
            assert_eq!(some.table.title, format!("{} of {count} epochs", epochs.len()));
        }
        assert!(shown(&of_epochs(&epochs(0), None, 8)).is_empty());
    }
}
