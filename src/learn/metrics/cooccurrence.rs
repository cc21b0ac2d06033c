//! Which lesions stand together in a patch, in truth and as predicted.

use serde::{Deserialize, Serialize};

use super::{Scored, known};

/// Counts of pairs of classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoOccurrence {
    /// C x C: rows where both are known and present; the diagonal counts each class alone.
    pub present: Vec<Vec<u64>>,
    /// C x C: rows where both are predicted, whatever is known.
    pub predicted: Vec<Vec<u64>>,
    /// C x C: rows where the class of the row is known to be present, the class of the column is known to be absent, and the
    /// latter is predicted: what is mistaken for what.
    pub mistaken: Vec<Vec<u64>>,
}

/// The co-occurrence counts where a score of at least its class's threshold is positive.
#[must_use]
pub fn co_occurrence(scored: &Scored, thresholds: &[f64]) -> CoOccurrence {
    let zero = vec![vec![0; scored.classes()]; scored.classes()];
    let mut counts = CoOccurrence { present: zero.clone(), predicted: zero.clone(), mistaken: zero };
    for (scores, labels) in scored.iter() {
        for a in 0..scores.len() {
            for b in 0..scores.len() {
                let present = known(labels[a]) == Some(true);
                let predicted = scores[b] >= thresholds[b];
                counts.present[a][b] += u64::from(present && known(labels[b]) == Some(true));
                counts.predicted[a][b] += u64::from(scores[a] >= thresholds[a] && predicted);
                counts.mistaken[a][b] += u64::from(present && predicted && known(labels[b]) == Some(false));
            }
        }
    }
    counts
}
