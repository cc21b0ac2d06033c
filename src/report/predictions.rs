//! Headline, tables and warnings of predictions: counts and scores, without metrics.

use crate::base::figure::{counted, per_class, thousands};
use crate::learn::evaluation::{ClassPredictions, PhotographPredictions};
use crate::stage::{Cell, Summary, Table, Warning};

/// Rows of the table of photographs; `photographs.parquet` has all.
const LISTED: usize = 20;

/// Summary of predictions at these thresholds; `tuned` says whether they were tuned.
#[must_use]
pub fn summary(
    classes: &[String],
    thresholds: &[f64],
    found: (&[ClassPredictions], &[PhotographPredictions]),
    tuned: bool,
    warnings: Vec<Warning>,
) -> Summary {
    let (of_classes, of_photographs) = found;
    let at = if tuned { "at the tuned thresholds" } else { "at threshold 0.5" };
    let patches = of_classes.first().map_or(0, |class| class.patches);
    let known = of_classes.iter().any(|class| class.known > 0);
    let prevalence = if known {
        format!("; prevalence {}", per_class(classes, of_classes.iter().map(ClassPredictions::prevalence)))
    } else {
        "; labels unknown".to_owned()
    };
    Summary {
        headline: format!(
            "{} of {} scored; fraction positive {at}: {}{prevalence}",
            counted(patches, "patch", "patches"),
            counted(of_photographs.len() as u64, "photograph", "photographs"),
            per_class(classes, of_classes.iter().map(ClassPredictions::fraction)),
        ),
        tables: vec![class_table(classes, thresholds, of_classes, at), photograph_table(classes, of_photographs, at)],
        warnings,
        ..Summary::default()
    }
}

fn real(value: Option<f64>) -> Cell {
    value.map_or(Cell::Null(()), Cell::Real)
}

fn class_table(classes: &[String], thresholds: &[f64], found: &[ClassPredictions], at: &str) -> Table {
    let heads = [
        "class",
        "threshold",
        "mean score",
        "max score",
        "positive",
        "fraction positive",
        "prevalence",
        "known labels",
    ];
    let row = |((name, threshold), class): ((&String, &f64), &ClassPredictions)| {
        vec![
            Cell::Text(name.clone()),
            Cell::Real(*threshold),
            real(class.mean()),
            Cell::Real(class.highest),
            Cell::Int(class.over as i64),
            real(class.fraction()),
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

/// The photographs with the highest fractions of positive patches, summed over classes.
fn photograph_table(classes: &[String], found: &[PhotographPredictions], at: &str) -> Table {
    let over = |one: &PhotographPredictions| -> f64 { one.classes.iter().filter_map(ClassPredictions::fraction).sum() };
    let mut order: Vec<&PhotographPredictions> = found.iter().collect();
    order.sort_by(|a, b| over(b).total_cmp(&over(a)).then_with(|| a.photograph.cmp(&b.photograph)));
    let mut columns = vec!["photograph".to_owned(), "patches".to_owned()];
    for name in classes {
        columns.extend([format!("{name} mean"), format!("{name} positive"), format!("{name} prevalence")]);
    }
    let row = |one: &&PhotographPredictions| {
        let patches = one.classes.first().map_or(0, |class| class.patches);
        let mut cells = vec![Cell::Text(one.photograph.clone()), Cell::Int(patches as i64)];
        for class in &one.classes {
            cells.extend([real(class.mean()), real(class.fraction()), real(class.prevalence())]);
        }
        cells
    };
    let rows: Vec<_> = order.iter().take(LISTED).map(row).collect();
    let title = if rows.len() < found.len() {
        format!(
            "the {} of {} photographs with the most positive patches {at} (`photographs.parquet` has all)",
            rows.len(),
            thousands(found.len() as u64)
        )
    } else {
        format!("fractions of positive patches per photograph, {at}")
    };
    Table { title, columns, rows }
}
