//! Predictions as a headline, tables and warnings. They are counted, not judged.

use crate::base::figure::{counted, row, thousands};
use crate::learn::evaluation::{OfPhotograph, Predicted};
use crate::stage::{Cell, Summary, Table, Warning};

/// Photographs in the table; `photographs.parquet` has all.
const LISTED: usize = 20;

/// The summary of predictions at these thresholds, of which `tuned` says whether they were tuned.
#[must_use]
pub fn summary(
    classes: &[String],
    thresholds: &[f64],
    found: (&[Predicted], &[OfPhotograph]),
    tuned: bool,
    warnings: Vec<Warning>,
) -> Summary {
    let (of_classes, of_photographs) = found;
    let at = if tuned { "at the tuned thresholds" } else { "at 0.5" };
    let patches = of_classes.first().map_or(0, |class| class.patches);
    let known = of_classes.iter().any(|class| class.known > 0);
    let prevalence = if known {
        format!(", prevalence {}", row(of_classes.iter().map(Predicted::prevalence), 2))
    } else {
        ", labels unknown".to_owned()
    };
    Summary {
        headline: format!(
            "{} of {} scored: share predicted {at} {} ({}){prevalence}",
            counted(patches, "patch", "patches"),
            counted(of_photographs.len() as u64, "photograph", "photographs"),
            row(of_classes.iter().map(Predicted::share), 2),
            classes.join(" "),
        ),
        tables: vec![per_class(classes, thresholds, of_classes, at), per_photograph(classes, of_photographs, at)],
        warnings,
        ..Summary::default()
    }
}

fn real(value: Option<f64>) -> Cell {
    value.map_or(Cell::Null(()), Cell::Real)
}

fn per_class(classes: &[String], thresholds: &[f64], found: &[Predicted], at: &str) -> Table {
    let heads =
        ["class", "threshold", "mean score", "highest", "predicted", "share predicted", "prevalence", "known labels"];
    let row = |((name, threshold), class): ((&String, &f64), &Predicted)| {
        vec![
            Cell::Text(name.clone()),
            Cell::Real(*threshold),
            real(class.mean()),
            Cell::Real(class.highest),
            Cell::Int(class.over as i64),
            real(class.share()),
            real(class.prevalence()),
            Cell::Int(class.known as i64),
        ]
    };
    Table {
        title: format!("patches {at}"),
        columns: heads.map(str::to_owned).to_vec(),
        rows: classes.iter().zip(thresholds).zip(found).map(row).collect(),
    }
}

/// The photographs with the highest share of predicted patches, over all classes.
fn per_photograph(classes: &[String], found: &[OfPhotograph], at: &str) -> Table {
    let over = |one: &OfPhotograph| -> f64 { one.classes.iter().filter_map(Predicted::share).sum() };
    let mut order: Vec<&OfPhotograph> = found.iter().collect();
    order.sort_by(|a, b| over(b).total_cmp(&over(a)).then_with(|| a.photograph.cmp(&b.photograph)));
    let mut columns = vec!["photograph".to_owned(), "patches".to_owned()];
    for name in classes {
        columns.extend([format!("{name} mean"), format!("{name} predicted"), format!("{name} prevalence")]);
    }
    let row = |one: &&OfPhotograph| {
        let patches = one.classes.first().map_or(0, |class| class.patches);
        let mut cells = vec![Cell::Text(one.photograph.clone()), Cell::Int(patches as i64)];
        for class in &one.classes {
            cells.extend([real(class.mean()), real(class.share()), real(class.prevalence())]);
        }
        cells
    };
    let rows: Vec<_> = order.iter().take(LISTED).map(row).collect();
    let title = if rows.len() < found.len() {
        format!(
            "{} of {} photographs, those with the most predicted {at} (`photographs.parquet` has all)",
            rows.len(),
            thousands(found.len() as u64)
        )
    } else {
        format!("photographs, shares predicted {at}")
    };
    Table { title, columns, rows }
}
