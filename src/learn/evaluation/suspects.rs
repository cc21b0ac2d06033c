//! Labels ranked by how little a classifier agrees with them. Knows no model and no picture.

use serde::{Deserialize, Serialize};

use super::ScoredSet;
use crate::data::table::{Column, Columns};
use crate::learn::metrics::known;

/// Distance from 0 and 1 that scores keep in a loss, as scikit-learn's `log_loss`: the loss of a certain mistake is finite.
const LEAST: f64 = f64::EPSILON;

/// How a label disagrees with a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SuspectKind {
    /// Labelled absent; suspicious if scored high.
    LabelledAbsent,
    /// Labelled present; suspicious if scored low.
    LabelledPresent,
}

impl SuspectKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::LabelledAbsent, Self::LabelledPresent];

    /// Name in tables and file names: `labelled-absent`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LabelledAbsent => "labelled-absent",
            Self::LabelledPresent => "labelled-present",
        }
    }

    /// Words for people: `labelled absent`.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::LabelledAbsent => "labelled absent",
            Self::LabelledPresent => "labelled present",
        }
    }

    /// Log loss of a score.
    fn loss(self, score: f64) -> f64 {
        let of_label = match self {
            Self::LabelledAbsent => 1.0 - score,
            Self::LabelledPresent => score,
        };
        -libm::log(of_label.clamp(LEAST, 1.0 - LEAST))
    }
}

/// A known label with the loss of its score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// Row of the patch in the set.
    pub row: usize,
    /// Index of the class.
    pub class: usize,
    /// Its label.
    pub kind: SuspectKind,
    /// Rank by loss among the labels of its class and kind, from 1.
    pub rank: u64,
    /// Score.
    pub score: f64,
    /// Log loss of the score.
    pub loss: f64,
}

/// All known labels by class, kind and rank: the highest loss first, ties in the order of the set.
#[must_use]
pub fn suspects(judged: &ScoredSet<'_>) -> Vec<Suspect> {
    let mut all = Vec::new();
    for class in 0..judged.scored.classes() {
        for kind in SuspectKind::ALL {
            let labelled = judged.scored.iter().enumerate().filter(|(_, (_, labels))| {
                known(labels[class]).is_some_and(|present| present == (kind == SuspectKind::LabelledPresent))
            });
            let mut found: Vec<Suspect> = labelled
                .map(|(row, (scores, _))| {
                    let score = scores[class];
                    Suspect { row, class, kind, rank: 0, score, loss: kind.loss(score) }
                })
                .collect();
            found.sort_by(|a, b| b.loss.total_cmp(&a.loss).then(a.row.cmp(&b.row)));
            found.iter_mut().zip(1..).for_each(|(suspect, rank)| suspect.rank = rank);
            all.extend(found);
        }
    }
    all
}

/// `suspects.parquet`: a row for each of `found`: `class`, `label` ([`SuspectKind::name`]), `rank`, `photograph`, `patient`, `x`, `y`,
/// `score`, `loss`, `mask_pixels` (native), and `picture`, its file in the tree (null if it has none).
#[must_use]
pub fn suspect_table(
    judged: &ScoredSet<'_>,
    found: &[Suspect],
    picture: &dyn Fn(&Suspect) -> Option<String>,
) -> Columns {
    let facts: Vec<_> = judged.rows().collect();
    let text = |of: &dyn Fn(&Suspect) -> Option<String>| Column::Text(found.iter().map(of).collect());
    let count = |of: &dyn Fn(&Suspect) -> u32| Column::Count(found.iter().map(|one| Some(of(one))).collect());
    let real = |of: fn(&Suspect) -> f64| Column::Real(found.iter().map(|one| Some(of(one))).collect());
    let classes = &judged.set.info.classes;
    let mut table = Columns::default();
    table.push("class", text(&|one| Some(classes[one.class].clone())));
    table.push("label", text(&|one| Some(one.kind.name().to_owned())));
    table.push("rank", Column::Int(found.iter().map(|one| Some(one.rank as i64)).collect()));
    table.push("photograph", text(&|one| Some(facts[one.row].0.photograph.clone())));
    table.push("patient", text(&|one| facts[one.row].0.patient.clone()));
    table.push("x", count(&|one| facts[one.row].1.x));
    table.push("y", count(&|one| facts[one.row].1.y));
    table.push("score", real(|one| one.score));
    table.push("loss", real(|one| one.loss));
    table.push("mask_pixels", count(&|one| facts[one.row].1.mask_pixels[one.class]));
    table.push("picture", text(&|one| picture(one)));
    table
}

/// Suspect with a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PicturedSuspect {
    /// Its label, score and loss.
    #[serde(flatten)]
    pub suspect: Suspect,
    /// Its photograph.
    pub photograph: String,
    /// Left edge of the patch in the photograph, px.
    pub x: u32,
    /// Top edge of the patch in the photograph, px.
    pub y: u32,
    /// Native mask pixels of the class in the patch.
    pub mask_pixels: u32,
    /// File of the picture in the tree.
    pub file: String,
}

/// `suspects.json`: the labels with pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspects {
    /// Lesion classes.
    pub classes: Vec<String>,
    /// Whether masks are outlined in the pictures.
    pub outlined: bool,
    /// Labels with a picture, by class, kind and rank.
    pub pictured: Vec<PicturedSuspect>,
}
