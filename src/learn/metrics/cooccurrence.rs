//! Co-occurrence of lesions in a patch, by labels and by predictions.

use serde::{Deserialize, Serialize};

use super::{LabelledScores, known};

/// Co-occurrence counts of pairs of classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoOccurrence {
    /// C x C: rows in which both classes are known and present; the diagonal counts each class.
    pub present: Vec<Vec<u64>>,
    /// C x C: rows in which both classes are predicted, regardless of labels.
    pub predicted: Vec<Vec<u64>>,
    /// C x C: rows in which the class of the row is known to be present and the class of the column is a false positive.
    pub mistaken: Vec<Vec<u64>>,
}

/// Co-occurrence counts; a class is predicted if its score is at least its threshold.
#[must_use]
pub fn co_occurrence(scored: &LabelledScores, thresholds: &[f64]) -> CoOccurrence {
    let zero = vec![vec![0; scored.classes()]; scored.classes()];
    let mut counts = CoOccurrence { present: zero.clone(), predicted: zero.clone(), mistaken: zero };
    let is_predicted = |scores: &[f64], class: usize| scored.decision().predicts(scores, class, thresholds[class]);
    for (scores, labels) in scored.iter() {
        for a in 0..scores.len() {
            for b in 0..scores.len() {
                let present = known(labels[a]) == Some(true);
                let predicted = is_predicted(scores, b);
                counts.present[a][b] += u64::from(present && known(labels[b]) == Some(true));
                counts.predicted[a][b] += u64::from(is_predicted(scores, a) && predicted);
                counts.mistaken[a][b] += u64::from(present && predicted && known(labels[b]) == Some(false));
            }
        }
    }
    counts
}
