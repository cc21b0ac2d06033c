//! Example patches to look at: per class the most confident true and false positives, and the worst false negatives.

use serde::{Deserialize, Serialize};

use super::ScoredSet;
use crate::learn::metrics::known;

/// Number of examples kept of each kind, per class.
pub const PER_KIND: usize = 16;

/// Kind of an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExampleKind {
    /// True positive; highest score first.
    Found,
    /// False positive; highest score first.
    FalseAlarm,
    /// False negative; lowest score first.
    Missed,
}

impl ExampleKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Found, Self::FalseAlarm, Self::Missed];

    /// Name in file names: `false-alarm`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::FalseAlarm => "false-alarm",
            Self::Missed => "missed",
        }
    }
}

/// Patch of the test data that is an example of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExamplePatch {
    /// Its row in `predictions.parquet`.
    pub row: usize,
    /// Index of the class.
    pub class: usize,
    /// Kind of the example.
    pub kind: ExampleKind,
    /// Score of the class.
    pub score: f64,
    /// Mask pixels of the class, in native pixels; 0 if absent.
    pub mask_pixels: u32,
    /// Indices of the classes known to be present.
    pub present: Vec<usize>,
    /// File name of the picture in the tree.
    pub file: String,
}

/// Up to [`PER_KIND`] examples of each kind for each class at the given thresholds; ties in the order of the rows. A photograph
/// contributes at most a quarter of a kind if there are others, so that one photograph does not fill the page.
#[must_use]
pub fn examples(judged: &ScoredSet<'_>, thresholds: &[f64]) -> Vec<ExamplePatch> {
    let facts: Vec<_> = judged.rows().collect();
    let mut all = Vec::new();
    for (class, &threshold) in thresholds.iter().enumerate() {
        for kind in ExampleKind::ALL {
            let mut rows: Vec<(f64, usize)> = Vec::new();
            for (row, (scores, labels)) in judged.scored.iter().enumerate() {
                let predicted = judged.scored.decision().predicts(scores, class, threshold);
                let wanted = match kind {
                    ExampleKind::Found => known(labels[class]) == Some(true) && predicted,
                    ExampleKind::FalseAlarm => known(labels[class]) == Some(false) && predicted,
                    ExampleKind::Missed => known(labels[class]) == Some(true) && !predicted,
                };
                if wanted {
                    let rank = if kind == ExampleKind::Missed { scores[class] } else { -scores[class] };
                    rows.push((rank, row));
                }
            }
            rows.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let photographs = rows.iter().map(|&(_, row)| facts[row].0.photograph.as_str());
            let chosen = spread(&photographs.collect::<Vec<_>>());
            let folder = folder(class, &judged.set.info.classes[class]);
            all.extend(chosen.into_iter().enumerate().map(|(number, at)| {
                let row = rows[at].1;
                let labels = &facts[row].1.labels;
                ExamplePatch {
                    row,
                    class,
                    kind,
                    score: judged.scored.scores()[row * judged.scored.classes() + class],
                    mask_pixels: facts[row].1.mask_pixels.get(class).copied().unwrap_or(0),
                    present: (0..labels.len()).filter(|&other| known(labels[other]) == Some(true)).collect(),
                    file: format!("{folder}/{}-{:02}.png", kind.name(), number + 1),
                }
            }));
        }
    }
    all
}

/// Folder of a class. The index separates classes whose names differ only in characters that file names cannot have.
fn folder(class: usize, name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("examples/{}-{plain}", class + 1)
}

/// Indices of the first [`PER_KIND`] entries of a ranked list of photographs, none of which takes more than a quarter if others can fill
/// the list; in the order of the list.
fn spread(photographs: &[&str]) -> Vec<usize> {
    let mut times = std::collections::BTreeMap::<&str, usize>::new();
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for (at, photograph) in photographs.iter().enumerate() {
        let times = times.entry(photograph).or_default();
        *times += 1;
        if *times <= PER_KIND / 4 { first.push(at) } else { rest.push(at) }
    }
    first.truncate(PER_KIND);
    let room = PER_KIND - first.len();
    first.extend(rest.into_iter().take(room));
    first.sort_unstable();
    first
}
