//! Calibration of scores: a line on their log odds for each class, fitted on validation patches. Knows no network and no stage.
//!
//! A calibrated score is σ(slope · log odds + intercept). A prior shift is an intercept (Saerens et al. 2002, "Adjusting the Outputs of a
//! Classifier to New a Priori Probabilities"), a temperature a slope that all classes share (Guo et al. 2017, "On Calibration of Modern
//! Neural Networks"), and Platt scaling both (Platt 1999, with the targets and the convergence of Lin et al. 2007). Lines keep the order of
//! scores, so ranking metrics stay the same.

use serde::{Deserialize, Serialize};

use super::metrics::LabelledScores;
use super::tta::Tta;
use crate::stage::StageError;

/// Range of slopes that are looked for.
const SLOPES: (f64, f64) = (1e-3, 1e3);

/// Steps of Newton's method.
const STEPS: usize = 100;

/// How scores were calibrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CalibrationMethod {
    /// The log odds of the prevalence in training, less those at natural prevalence, are subtracted.
    Prior,
    /// A slope that all classes share.
    Temperature,
    /// A slope and an intercept per class.
    Platt,
}

impl CalibrationMethod {
    /// Name in pipelines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prior => "prior",
            Self::Temperature => "temperature",
            Self::Platt => "platt",
        }
    }
}

/// Line on the log odds of a class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogOddsLine {
    /// Slope; greater than 0.
    pub slope: f64,
    /// Intercept.
    pub intercept: f64,
}

impl LogOddsLine {
    /// The line that changes nothing.
    pub const IDENTITY: Self = Self { slope: 1.0, intercept: 0.0 };

    /// Calibrated score.
    #[must_use]
    pub fn apply(self, score: f64) -> f64 {
        if self == Self::IDENTITY { score } else { sigmoid(self.slope * log_odds(score) + self.intercept) }
    }

    /// This line after another.
    #[must_use]
    pub fn after(self, first: Self) -> Self {
        Self { slope: self.slope * first.slope, intercept: self.slope * first.intercept + self.intercept }
    }
}

/// Calibration of a classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Methods, in the order in which they were applied.
    pub methods: Vec<CalibrationMethod>,
    /// Test-time augmentation of the scores that it is for.
    #[serde(default, skip_serializing_if = "Tta::is_none")]
    pub tta: Tta,
    /// Line of each class, in the order of the scores.
    pub lines: Vec<LogOddsLine>,
}

impl Calibration {
    /// Calibrates scores (N x C, row-major).
    pub fn apply(&self, scores: &mut [f64]) {
        for row in scores.chunks_mut(self.lines.len().max(1)) {
            row.iter_mut().zip(&self.lines).for_each(|(score, line)| *score = line.apply(*score));
        }
    }

    /// Refuses scores with another test-time augmentation.
    ///
    /// # Errors
    /// `calibration-tta`.
    pub fn fits(&self, tta: Tta) -> Result<(), StageError> {
        if self.tta == tta {
            return Ok(());
        }
        let (ours, theirs) = (self.tta.name(), tta.name());
        let text = format!("the model was calibrated with `tta {ours}`, but it is used with `tta {theirs}`");
        let hint = format!("set `tta {theirs}` in `calibrate`, or `tta {ours}` here");
        Err(StageError::input("calibration-tta", text).hint(hint).field("tta"))
    }
}

/// Log odds of a score; scores of exactly 0 and 1 count as the nearest number between.
#[must_use]
pub fn log_odds(score: f64) -> f64 {
    let score = score.clamp(f64::MIN_POSITIVE, 1.0_f64.next_down());
    libm::log(score) - libm::log1p(-score)
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + libm::exp(-x))
    } else {
        let e = libm::exp(x);
        e / (1.0 + e)
    }
}

/// Logarithm of 1 + exp(x).
fn softplus(x: f64) -> f64 {
    x.max(0.0) + libm::log1p(libm::exp(-x.abs()))
}

/// Counts of present and absent labels of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prevalence {
    /// Present.
    pub present: u64,
    /// Absent.
    pub absent: u64,
}

impl Prevalence {
    fn log_odds(self) -> Option<f64> {
        (self.present > 0 && self.absent > 0).then(|| libm::log(self.present as f64 / self.absent as f64))
    }
}

/// Line that removes the prior shift of a training with `trained` labels in an epoch, whose positives weighed `weight` times as much as its
/// negatives; [`None`] if a label does not occur on either side.
#[must_use]
pub fn prior(trained: Prevalence, weight: f64, natural: Prevalence) -> Option<LogOddsLine> {
    let shift = trained.log_odds()? + libm::log(weight) - natural.log_odds()?;
    shift.is_finite().then_some(LogOddsLine { slope: 1.0, intercept: -shift })
}

/// Slope that all classes share, with the lowest log loss over all known labels; [`None`] if there is none between 0.001 and 1000, because
/// all scores are on the right side of 0.5 (or the wrong one), or no label is known.
#[must_use]
pub fn temperature(scored: &LabelledScores) -> Option<f64> {
    let rows: Vec<(f64, bool)> = (0..scored.classes()).flat_map(|class| of_class(scored, class)).collect();
    // The derivative of the log loss rises with the slope.
    let derivative = |slope: f64| rows.iter().map(|&(x, y)| (sigmoid(slope * x) - f64::from(u8::from(y))) * x).sum();
    let (mut low, mut high) = (libm::log(SLOPES.0), libm::log(SLOPES.1));
    let ends: [f64; 2] = [derivative(SLOPES.0), derivative(SLOPES.1)];
    if ends[0] >= 0.0 || ends[1] <= 0.0 {
        return None;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        let slope: f64 = derivative(libm::exp(middle));
        if slope < 0.0 { low = middle } else { high = middle }
    }
    Some(libm::exp(f64::midpoint(low, high)))
}

/// Line of a class by Platt scaling: the lowest log loss, with targets (N₊ + 1) / (N₊ + 2) and 1 / (N₋ + 2) in place of 1 and 0; [`None`]
/// without known positives or negatives, or if positives do not score higher.
#[must_use]
pub fn platt(scored: &LabelledScores, class: usize) -> Option<LogOddsLine> {
    let rows: Vec<(f64, bool)> = of_class(scored, class).collect();
    let positives = rows.iter().filter(|row| row.1).count() as f64;
    let negatives = rows.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let target = |present: bool| if present { (positives + 1.0) / (positives + 2.0) } else { 1.0 / (negatives + 2.0) };
    let rows: Vec<(f64, f64)> = rows.into_iter().map(|(x, present)| (x, target(present))).collect();
    let loss = |slope: f64, intercept: f64| -> f64 {
        rows.iter().map(|&(x, t)| softplus(slope * x + intercept) - t * (slope * x + intercept)).sum()
    };
    let (mut slope, mut intercept) = (0.0, libm::log((positives + 1.0) / (negatives + 1.0)));
    let mut value = loss(slope, intercept);
    for _ in 0..STEPS {
        // Gradient and Hessian, with a small ridge, because all scores may be equal.
        let (mut g, mut h) = ([0.0; 2], [1e-12, 0.0, 1e-12]);
        for &(x, t) in &rows {
            let p = sigmoid(slope * x + intercept);
            let (d, v) = (p - t, p * (1.0 - p));
            g = [g[0] + d * x, g[1] + d];
            h = [h[0] + v * x * x, h[1] + v * x, h[2] + v];
        }
        let determinant = h[0] * h[2] - h[1] * h[1];
        let step = [(h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant];
        let mut factor = 1.0;
        let better = loop {
            let next = (slope - factor * step[0], intercept - factor * step[1]);
            let found = loss(next.0, next.1);
            if found < value {
                break Some((next, found));
            }
            factor /= 2.0;
            if factor < 1e-10 {
                break None;
            }
        };
        let Some((next, found)) = better else { break };
        (slope, intercept) = next;
        value = found;
    }
    (slope > 0.0 && slope.is_finite() && intercept.is_finite()).then_some(LogOddsLine { slope, intercept })
}

/// Known rows of one class: log odds, and whether the class is present.
fn of_class(scored: &LabelledScores, class: usize) -> impl Iterator<Item = (f64, bool)> + '_ {
    scored.known(class).map(|(score, present)| (log_odds(score), present))
}

/// How scores of a class fit its labels, each a mean over its known rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreFit {
    /// Mean score.
    pub mean: f64,
    /// Prevalence.
    pub prevalence: f64,
    /// Brier score: mean squared difference of score and label.
    pub brier: f64,
    /// Log loss (natural logarithm).
    pub log_loss: f64,
}

/// [`ScoreFit`] of a class with scores calibrated by a line; [`None`] if no label is known.
#[must_use]
pub fn score_fit(scored: &LabelledScores, class: usize, line: LogOddsLine) -> Option<ScoreFit> {
    let (mut n, mut sums) = (0.0, [0.0; 4]);
    for (score, present) in scored.known(class) {
        let (score, label) = (line.apply(score), f64::from(u8::from(present)));
        let odds = log_odds(score);
        let parts = [score, label, (score - label) * (score - label), softplus(odds) - label * odds];
        sums.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
        n += 1.0;
    }
    let [mean, prevalence, brier, log_loss] = sums.map(|sum| sum / n);
    (n > 0.0).then_some(ScoreFit { mean, prevalence, brier, log_loss })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::patches::Label::{Absent, Present, Unknown};

    #[test]
    fn a_line_is_applied_to_log_odds() {
        let line = LogOddsLine { slope: 2.0, intercept: -1.0 };
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        near(line.apply(0.5), sigmoid(-1.0));
        near(line.apply(0.8), sigmoid(2.0 * 4.0_f64.ln() - 1.0));
        let first = LogOddsLine { slope: 0.5, intercept: 0.3 };
        near(line.after(first).apply(0.7), line.apply(first.apply(0.7)));
        assert_eq!(LogOddsLine::IDENTITY.apply(0.123), 0.123);
        // The ends stay between 0 and 1, in order.
        let ends = [0.0, 1e-300, 0.5, 1.0 - 1e-16, 1.0].map(|score| line.apply(score));
        assert!(ends.is_sorted() && ends.iter().all(|score| (0.0..=1.0).contains(score)), "{ends:?}");
        assert!(line.apply(f64::NAN).is_nan());
    }

    #[test]
    fn a_prior_shift_is_the_ratio_of_odds() {
        let of = |present, absent| Prevalence { present, absent };
        // One to one in training, one to nine in nature: a score of 0.5 means 0.1.
        let line = prior(of(50, 50), 1.0, of(10, 90)).expect("both labels");
        assert!((line.apply(0.5) - 0.1).abs() < 1e-12);
        // A weight of nine on positives, at the same prevalence, is the same shift.
        let weighted = prior(of(10, 90), 9.0, of(10, 90)).expect("both labels");
        assert!((weighted.apply(0.5) - 0.1).abs() < 1e-12);
        assert_eq!(prior(of(0, 50), 1.0, of(10, 90)), None);
        assert_eq!(prior(of(5, 50), 0.0, of(10, 90)), None);
    }

    #[test]
    fn what_cannot_be_fitted_is_left_out() {
        let scored = |labels: Vec<_>| LabelledScores::new(1, vec![0.2, 0.3, 0.6, 0.7], labels);
        assert_eq!(platt(&scored(vec![Absent, Absent, Absent, Unknown]), 0), None);
        assert_eq!(platt(&scored(vec![Present, Present, Absent, Absent]), 0), None, "positives score lower");
        assert_eq!(temperature(&scored(vec![Absent, Absent, Present, Present])), None, "no slope is too steep");
        assert_eq!(temperature(&scored(vec![Unknown; 4])), None);
        assert!(temperature(&scored(vec![Absent, Present, Present, Present])).is_some_and(|slope| slope > 0.0));
        assert_eq!(score_fit(&scored(vec![Unknown; 4]), 0, LogOddsLine::IDENTITY), None);
    }
}
