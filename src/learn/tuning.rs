//! `thresholds.json`: one tuned threshold per class, and the data it was tuned on.

use serde::{Deserialize, Serialize};

use super::evaluation::{HALF, ScoredSet};
use super::metrics::{ZeroDivision, at, baselines, cut_points};
use super::thresholds::{Criterion, tune};
use super::tta::Tta;
use crate::stage::StageError;
use crate::store::{Objects, Tree};

/// Tuned thresholds of all classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Criterion.
    pub criterion: Criterion,
    /// Number of patches they were tuned on.
    pub patches: u64,
    /// Test-time augmentation of the scores.
    #[serde(default, skip_serializing_if = "Tta::is_none")]
    pub tta: Tta,
    /// Threshold of each class, in the order of the labels.
    pub classes: Vec<ClassThreshold>,
}

/// Tuned threshold of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassThreshold {
    /// Class.
    pub class: String,
    /// Threshold: a score of at least this is positive; 0.5 if there were no positives to tune on.
    pub threshold: f64,
    /// Lower end of the plateau: thresholds above `low` and up to `high` are equally good.
    pub low: Option<f64>,
    /// See `low`.
    pub high: Option<f64>,
    /// Value of the criterion at the threshold, on the data it was tuned on (so it is optimistic).
    pub figure: Option<f64>,
    /// Value of the criterion at 0.5.
    pub figure_at_half: Option<f64>,
    /// Whether the condition of the criterion is met.
    pub met: bool,
    /// F1 of predicting every patch positive, on the same data.
    pub always_yes_f1: Option<f64>,
    /// Patches whose label of the class is known.
    pub known: u64,
    /// Positive patches.
    pub positives: u64,
    /// Photographs with a positive patch.
    pub positive_photographs: u64,
}

impl Thresholds {
    /// Tunes a threshold per class.
    #[must_use]
    pub fn choose(judged: &ScoredSet<'_>, criterion: Criterion, tta: Tta) -> Self {
        let scored = &judged.scored;
        let half = at(scored, &vec![HALF; scored.classes()], ZeroDivision::Undefined);
        let trivial = baselines(scored);
        let photographs = judged.positive_photographs();
        let classes = judged.set.info.classes.iter().enumerate().map(|(class, name)| {
            let tuned = tune(&cut_points(scored.known(class)), criterion);
            ClassThreshold {
                class: name.clone(),
                threshold: tuned.map_or(HALF, |tuned| tuned.threshold),
                low: tuned.map(|tuned| tuned.low),
                high: tuned.map(|tuned| tuned.high),
                figure: tuned.map(|tuned| tuned.figure),
                figure_at_half: tuned.and_then(|_| criterion.figure(&half.classes[class].counts)),
                met: tuned.is_some_and(|tuned| tuned.met),
                always_yes_f1: trivial.classes[class].always_yes_f1,
                known: trivial.classes[class].known,
                positives: trivial.classes[class].positives,
                positive_photographs: photographs[class],
            }
        });
        Self { criterion, patches: scored.rows() as u64, tta, classes: classes.collect() }
    }

    /// Reads `thresholds.json` of a tree.
    ///
    /// # Errors
    /// Errors of the store, or a tree without valid thresholds.
    pub fn read(tree: &Tree, objects: &Objects) -> Result<Self, StageError> {
        let bytes = objects.read_in(tree, "thresholds.json")?;
        let bytes = bytes.ok_or_else(|| StageError::Bug("thresholds without `thresholds.json`".to_owned()))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| StageError::Bug(format!("`thresholds.json` does not parse: {error}")))
    }

    /// Thresholds for a model of these classes.
    ///
    /// # Errors
    /// [`StageError::Input`] if they were tuned for other classes.
    pub fn of_classes(&self, classes: &[String]) -> Result<Vec<f64>, StageError> {
        let own: Vec<&String> = self.classes.iter().map(|class| &class.class).collect();
        if own.iter().copied().ne(classes) {
            let own = self.classes.iter().map(|class| class.class.as_str()).collect::<Vec<_>>().join(" ");
            let text =
                format!("the thresholds were tuned for classes `{own}`, but the patches have `{}`", classes.join(" "));
            return Err(StageError::input("other-classes", text)
                .hint("tune the thresholds with the same model and the same classes")
                .field("thresholds"));
        }
        Ok(self.classes.iter().map(|class| class.threshold).collect())
    }
}
