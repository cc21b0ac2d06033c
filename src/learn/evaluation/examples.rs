//! Which patches are worth looking at: per class the surest hits, the surest false alarms, the worst misses.

use serde::{Deserialize, Serialize};

use super::Judged;
use crate::learn::metrics::known;

/// How many of each kind are kept per class.
pub const PER_KIND: usize = 16;

/// What an example shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExampleKind {
    /// Present and predicted, highest score first.
    Found,
    /// Absent and predicted, highest score first.
    FalseAlarm,
    /// Present and not predicted, lowest score first.
    Missed,
}

impl ExampleKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Found, Self::FalseAlarm, Self::Missed];

    /// As in names of files: `false-alarm`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::FalseAlarm => "false-alarm",
            Self::Missed => "missed",
        }
    }
}

/// One patch of the test data, as an example of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Its row in `predictions.parquet`.
    pub row: usize,
    /// The class, by its place in the list of classes.
    pub class: usize,
    /// What it shows.
    pub kind: ExampleKind,
    /// The class's score.
    pub score: f64,
    /// Mask pixels of the class in native pixels; 0 where absent.
    pub mask_pixels: u32,
    /// The classes that are known to be present, by their places.
    pub present: Vec<usize>,
    /// The picture's name in the tree.
    pub file: String,
}

/// Up to [`PER_KIND`] examples of each kind for each class at the thresholds given; equal scores in the order of the rows. A photograph gives at
/// most a quarter of a kind where there are others, so that one photograph does not fill the page.
#[must_use]
pub fn examples(judged: &Judged<'_>, thresholds: &[f64]) -> Vec<Example> {
    let facts: Vec<_> = judged.rows().collect();
    let mut all = Vec::new();
    for (class, &threshold) in thresholds.iter().enumerate() {
        for kind in ExampleKind::ALL {
            let mut rows: Vec<(f64, usize)> = Vec::new();
            for (row, (scores, labels)) in judged.scored.iter().enumerate() {
                let predicted = scores[class] >= threshold;
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
                Example {
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

/// The class's place keeps apart classes whose names differ only in what a file's name can't hold.
fn folder(class: usize, name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("examples/{}-{plain}", class + 1)
}

/// The first [`PER_KIND`] places of a ranked list of photographs, no photograph more often than a quarter of that where others
/// can fill the list; in the order of the list.
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
