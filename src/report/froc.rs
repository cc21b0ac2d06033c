//! Headline, tables, metrics and warnings of lesions detected by the peaks of heat maps.

use crate::base::figure::{counted, metric};
use crate::learn::lesion_level::{ClassFroc, Froc};
use crate::learn::metrics::{Estimate, FEWEST_GROUPS, Mean};
use crate::stage::{Cell, Summary, Table, Warning};

/// A rate in words: `1/8`, `2`.
fn rate(rate: f64) -> String {
    if rate < 1.0 { format!("1/{}", 1.0 / rate) } else { rate.to_string() }
}

/// Summary of detections; `photographs` is the number of maps.
#[must_use]
pub fn summary(froc: &Froc, photographs: u64) -> Summary {
    let mean = Mean::of(froc.classes.iter().map(|class| class.metrics.mean.value)).value;
    let lesions: u64 = froc.classes.iter().map(|class| class.metrics.lesions).sum();
    let mut found = Summary {
        headline: format!(
            "mean sensitivity {}: {}; {} in {}, hit within {:.1} px",
            metric(mean),
            froc.classes
                .iter()
                .map(|class| format!("{} {}", class.class, metric(class.metrics.mean.value)))
                .collect::<Vec<_>>()
                .join(", "),
            counted(lesions, "lesion", "lesions"),
            counted(photographs, "photograph", "photographs"),
            froc.tolerance
        ),
        tables: vec![by_class(froc), by_rate(froc)],
        warnings: few(froc).into_iter().collect(),
        ..Summary::default()
    };
    found.metrics.extend(mean.map(|mean| ("mean-sensitivity".to_owned(), mean)));
    for class in &froc.classes {
        let value = class.metrics.mean.value;
        found.metrics.extend(value.map(|value| (format!("sensitivity.{}", class.class), value)));
    }
    found
}

fn real(value: Option<f64>) -> Cell {
    value.map_or(Cell::Null(()), Cell::Real)
}

fn bounds(found: Estimate) -> [Cell; 2] {
    [real(found.interval.map(|interval| interval.low)), real(found.interval.map(|interval| interval.high))]
}

/// Mean sensitivity of each class, and how many lesions have a peak at all.
fn by_class(froc: &Froc) -> Table {
    let columns = ["class", "mean sensitivity", "CI low", "CI high", "any peak", "lesions", "photographs", "peaks"];
    let row = |ClassFroc { class, metrics }: &ClassFroc| {
        let [low, high] = bounds(metrics.mean);
        let count = |count: u64| Cell::Int(count as i64);
        vec![
            Cell::Text(class.clone()),
            real(metrics.mean.value),
            low,
            high,
            real(metrics.any_peak),
            count(metrics.lesions),
            count(metrics.photographs),
            count(metrics.peaks),
        ]
    };
    let rates =
        froc.rates.first().zip(froc.rates.last()).map(|(low, high)| format!("{} to {}", rate(*low), rate(*high)));
    let title = format!("lesions detected, mean over {} false alarms per photograph", rates.unwrap_or_default());
    Table { title, columns: columns.map(str::to_owned).to_vec(), rows: froc.classes.iter().map(row).collect() }
}

/// Sensitivity of each class at each rate.
fn by_rate(froc: &Froc) -> Table {
    let mut columns = vec!["false alarms".to_owned()];
    for class in &froc.classes {
        columns.extend([class.class.clone(), "CI low".to_owned(), "CI high".to_owned()]);
    }
    let row = |(at, of): (usize, &f64)| {
        let cells = froc.classes.iter().flat_map(|class| {
            let found = class.metrics.sensitivity[at];
            let [low, high] = bounds(found);
            [real(found.value), low, high]
        });
        [Cell::Text(rate(*of))].into_iter().chain(cells).collect()
    };
    let title = "sensitivity by false alarms per photograph".to_owned();
    Table { title, columns, rows: froc.rates.iter().enumerate().map(row).collect() }
}

/// Which classes have no interval, for lack of groups.
fn few(froc: &Froc) -> Option<Warning> {
    let rare = froc.classes.iter().filter(|class| class.metrics.groups < FEWEST_GROUPS as u64);
    let rare: Vec<String> = rare.map(|class| format!("`{}` ({})", class.class, class.metrics.groups)).collect();
    let text = format!(
        "no confidence interval of {}: it needs at least {FEWEST_GROUPS} {} with a lesion",
        rare.join(", "),
        froc.group_noun()
    );
    (!rare.is_empty()).then(|| Warning { code: "few-groups".to_owned(), text })
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn rates_below_one_are_fractions() {
        assert_eq!([0.125, 0.5, 1.0, 8.0].map(rate), ["1/8", "1/2", "1", "8"]);
    }
}
