//! Reports of a running stage: progress, metrics of its epochs, warnings, where the next attempt resumes. They go to people and into
//! the events of the run; none of them is part of a result.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Warning;
use crate::base::disk;

/// Receiver of a stage's progress.
pub trait Progress: Sync {
    /// `done` of `total` units (`photographs`, `batches`, …); total 0 if unknown.
    fn step(&self, done: u64, total: u64, unit: &str);
    /// Current state in a few words, valid until the next call (a batch's loss); shown with the next step.
    fn now(&self, _words: &str) {}
    /// A line that stays on the screen.
    fn line(&self, text: &str);
    /// Metrics after an epoch.
    fn metrics(&self, _metrics: &Metrics) {}
    /// How long the stage has been running, for the times between its checkpoints; never for what is stored. [`None`] if there is
    /// no clock.
    fn elapsed(&self) -> Option<Duration> {
        None
    }
    /// A warning while it runs. Warnings that matter later belong in the [`Summary`](super::Summary) too.
    fn warn(&self, warning: &Warning);
}

/// Receiver that ignores everything.
#[derive(Clone, Copy, Debug)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn step(&self, _: u64, _: u64, _: &str) {}
    fn line(&self, _: &str) {}
    fn warn(&self, _: &Warning) {}
}

/// Metrics after an epoch: all of them by name, and the columns in which people read the main ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The epoch, from 1.
    pub epoch: u64,
    /// How many epochs there are at most.
    pub epochs: u64,
    /// Whether it is the best epoch so far.
    pub best: bool,
    /// The main metrics, the most important first.
    pub columns: Vec<MetricColumn>,
    /// Every metric by name: `SET.METRIC` or `SET.METRIC.CLASS`; null if undefined.
    pub values: BTreeMap<String, Option<f64>>,
}

/// Column of the table of epochs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricColumn {
    /// Name of its metric.
    pub name: String,
    /// Head of the column.
    pub head: String,
    /// How its numbers are written.
    pub style: MetricStyle,
}

/// How a metric is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetricStyle {
    /// Three decimals: `0.783`.
    Metric,
    /// Four decimals: `0.0213`.
    Loss,
    /// Two digits and an exponent: `2.2e-9`.
    Rate,
}

impl MetricStyle {
    /// The style for a metric of this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        match name.rsplit('.').next() {
            Some("loss") => Self::Loss,
            Some("learning-rate") => Self::Rate,
            _ => Self::Metric,
        }
    }

    /// A value as text; `-` if undefined.
    #[must_use]
    pub fn text(self, value: Option<f64>) -> String {
        match (self, value) {
            (_, None) => "-".to_owned(),
            (Self::Metric, Some(value)) => format!("{value:.3}"),
            (Self::Loss, Some(value)) if value.abs() < 1000.0 => format!("{value:.3}"),
            (Self::Loss | Self::Rate, Some(value)) => format!("{value:.1e}"),
        }
    }
}

/// File in a stage's checkpoint folder that says where the next attempt resumes.
const RESUME: &str = "resume.txt";

/// Records next to a checkpoint where the next attempt resumes: `epoch 6, batch 110`. Failures are ignored.
pub fn note_resume(partial: &Path, words: &str) {
    let _ = disk::write_lightly(&partial.join(RESUME), words.as_bytes());
}

/// Where the next attempt resumes, if a checkpoint says so.
#[must_use]
pub fn resume_note(partial: &Path) -> Option<String> {
    const LONGEST: usize = 200;
    let text = std::fs::read_to_string(partial.join(RESUME)).ok()?;
    (!text.is_empty() && text.len() <= LONGEST).then_some(text)
}

#[test]
fn numbers_of_one_kind_are_written_alike() {
    let texts = [("valid.loss", 0.021_34), ("learning-rate", 2.2e-9), ("valid.f1.MA", 0.7)]
        .map(|(name, value)| MetricStyle::of(name).text(Some(value)));
    assert_eq!(texts, ["0.021", "2.2e-9", "0.700"]);
    assert_eq!(MetricStyle::Metric.text(None), "-");
}
