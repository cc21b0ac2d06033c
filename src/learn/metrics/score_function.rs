//! Scores from logits, and what a score predicts. Knows no network.

use serde::{Deserialize, Serialize};

use super::sigmoid;

/// How the logits of a patch become scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreFunction {
    /// Each class by itself: the probability that it is present.
    #[default]
    Sigmoid,
    /// All classes together: the probability that it is the one that is present. The scores of a patch sum to 1.
    Softmax,
}

impl ScoreFunction {
    /// Whether it is the sigmoid.
    #[must_use]
    pub const fn is_sigmoid(&self) -> bool {
        matches!(self, Self::Sigmoid)
    }

    /// What predicts a class by these scores.
    #[must_use]
    pub const fn decision(self) -> DecisionRule {
        match self {
            Self::Sigmoid => DecisionRule::Threshold,
            Self::Softmax => DecisionRule::Highest,
        }
    }

    /// Scores (N x C, row-major) of logits of so many classes, computed in f64 and the same on every machine.
    #[must_use]
    pub fn scores(self, logits: &[f32], classes: usize) -> Vec<f64> {
        match self {
            Self::Sigmoid => logits.iter().map(|&logit| sigmoid(logit)).collect(),
            Self::Softmax => logits.chunks(classes.max(1)).flat_map(softmax).collect(),
        }
    }
}

/// Softmax of the logits of a patch; NaN is propagated.
#[must_use]
pub fn softmax(logits: &[f32]) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&logit| libm::exp(f64::from(logit) - f64::from(highest))).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// What predicts a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DecisionRule {
    /// A score of at least its threshold.
    #[default]
    Threshold,
    /// The highest score of the patch, of equal ones the first.
    Highest,
}

impl DecisionRule {
    /// Whether class `class` is predicted for a patch with these scores.
    #[must_use]
    pub fn predicts(self, scores: &[f64], class: usize, threshold: f64) -> bool {
        match self {
            Self::Threshold => scores[class] >= threshold,
            Self::Highest => highest(scores) == class,
        }
    }
}

/// Index of the highest score, of equal ones the first.
#[must_use]
pub fn highest(scores: &[f64]) -> usize {
    let mut best = 0;
    for (class, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_a_patch_sum_to_one_whatever_the_logits() {
        for logits in [[0.0, 0.0, 0.0], [1000.0, 0.0, -1000.0], [-1000.0, -1001.0, -1002.0]] {
            let scores = softmax(&logits);
            assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{logits:?}: {scores:?}");
            assert_eq!(highest(&scores), 0);
        }
        assert!(softmax(&[f32::NAN, 0.0]).iter().all(|score| score.is_nan()));
        let scores = ScoreFunction::Softmax.scores(&[0.0, 1.0, 2.0, 0.0], 2);
        assert!((scores[1] - sigmoid(1.0)).abs() < 1e-15, "two classes: the sigmoid of the difference");
        assert!((scores[2] - sigmoid(2.0)).abs() < 1e-15);
    }

    #[test]
    fn the_highest_score_is_the_only_prediction() {
        let predicted = |scores: &[f64]| [0, 1, 2].map(|class| DecisionRule::Highest.predicts(scores, class, 0.9));
        assert_eq!(predicted(&[0.3, 0.4, 0.3]), [false, true, false]);
        assert_eq!(predicted(&[0.4, 0.4, 0.2]), [true, false, false]);
        assert!(!DecisionRule::Threshold.predicts(&[0.3, 0.4], 1, 0.9));
    }
}
