//! Headline, table and captions of suspicious labels.

use crate::base::figure::{counted, metric, thousands};
use crate::learn::evaluation::{PicturedSuspect, ScoredSet, Suspect, SuspectKind};
use crate::stage::{Cell, Summary, Table};

/// Labels of each class and kind in the table; `suspects.parquet` has all.
const LISTED: u64 = 3;

/// Scores from which on a label disagrees strongly: this for an absent one, one less this for a present one.
const STRONG: f64 = 0.9;

/// Summary of all ranked labels.
#[must_use]
pub fn summary(judged: &ScoredSet<'_>, all: &[Suspect]) -> Summary {
    let facts: Vec<_> = judged.rows().collect();
    let classes = &judged.set.info.classes;
    let columns = ["class", "label", "rank", "score", "loss", "photograph", "x", "y", "lesion px"];
    let row = |suspect: &Suspect| {
        let (part, row) = facts[suspect.row];
        vec![
            Cell::Text(classes[suspect.class].clone()),
            Cell::Text(suspect.kind.words().to_owned()),
            Cell::Int(suspect.rank as i64),
            Cell::Real(suspect.score),
            Cell::Real(suspect.loss),
            Cell::Text(part.photograph.clone()),
            Cell::Int(i64::from(row.x)),
            Cell::Int(i64::from(row.y)),
            Cell::Int(i64::from(row.mask_pixels[suspect.class])),
        ]
    };
    Summary {
        headline: headline(classes, all),
        tables: vec![Table {
            title: "labels with the highest losses (`suspects.parquet` has all)".to_owned(),
            columns: columns.map(str::to_owned).to_vec(),
            rows: all.iter().filter(|suspect| suspect.rank <= LISTED).map(row).collect(),
        }],
        ..Summary::default()
    }
}

/// `38,016 labels; labelled absent, scored 0.9 or more: MA 12, HE 3; labelled present, scored 0.1 or less: MA 40, HE 7`.
fn headline(classes: &[String], all: &[Suspect]) -> String {
    let strong = |class: usize, kind: SuspectKind| {
        let of_kind = all.iter().filter(|suspect| suspect.class == class && suspect.kind == kind);
        let disagrees = |suspect: &&Suspect| match kind {
            SuspectKind::LabelledAbsent => suspect.score >= STRONG,
            SuspectKind::LabelledPresent => suspect.score <= 1.0 - STRONG,
        };
        of_kind.filter(disagrees).count() as u64
    };
    let counts = |kind: SuspectKind| {
        let of = classes.iter().enumerate().map(|(class, name)| format!("{name} {}", thousands(strong(class, kind))));
        of.collect::<Vec<_>>().join(", ")
    };
    format!(
        "{}; labelled absent, scored 0.9 or more: {}; labelled present, scored 0.1 or less: {}",
        counted(all.len() as u64, "label", "labels"),
        counts(SuspectKind::LabelledAbsent),
        counts(SuspectKind::LabelledPresent)
    )
}

/// Title of the pictures of one class and kind: `MA labelled absent, highest scores first`.
#[must_use]
pub fn band_title(class: &str, kind: SuspectKind) -> String {
    let order = match kind {
        SuspectKind::LabelledAbsent => "highest scores first",
        SuspectKind::LabelledPresent => "lowest scores first",
    };
    format!("{class} {}, {order}", kind.words())
}

/// Caption of a picture: `0.987 at 128,256 IDRiD_01`.
#[must_use]
pub fn caption(suspect: &PicturedSuspect) -> String {
    format!("{} at {},{} {}", metric(Some(suspect.suspect.score)), suspect.x, suspect.y, suspect.photograph)
}
