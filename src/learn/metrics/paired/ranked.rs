//! Ranking metrics over rows that were sorted once and are counted with weights.

/// Known row of one class, in descending order of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RankedRow {
    /// Resampled unit.
    pub(super) unit: u32,
    /// Whether the class is present.
    pub(super) present: bool,
    /// Whether the next score is lower.
    pub(super) ends: bool,
}

/// Average precision and AUROC, built up from the highest score to the lowest: weights of positives and negatives at and above a score.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RankingSums {
    positives: u64,
    negatives: u64,
    positives_above: u64,
    negatives_above: u64,
    precisions: f64,
    /// Twice the weight of correctly ordered pairs, ties counting one.
    twice: u64,
}

impl RankingSums {
    /// Counts a row `times` times.
    pub(super) fn add(&mut self, present: bool, times: u64) {
        if present { self.positives += times } else { self.negatives += times }
    }

    /// Ends a group of equal scores.
    pub(super) fn close(&mut self) {
        let positives = self.positives - self.positives_above;
        if positives > 0 {
            let precision = self.positives as f64 / (self.positives + self.negatives) as f64;
            self.precisions += positives as f64 * precision;
        }
        self.twice += (self.negatives - self.negatives_above) * (self.positives_above + self.positives);
        self.positives_above = self.positives;
        self.negatives_above = self.negatives;
    }

    /// Average precision; [`None`] without positives.
    pub(super) fn average_precision(&self) -> Option<f64> {
        (self.positives > 0).then(|| self.precisions / self.positives as f64)
    }

    /// Area under the ROC curve; [`None`] without positives or negatives.
    pub(super) fn auroc(&self) -> Option<f64> {
        let pairs = self.positives * self.negatives;
        (pairs > 0).then(|| self.twice as f64 / (2 * pairs) as f64)
    }
}

/// Sums over rows with each unit repeated `times` times.
pub(super) fn sums(rows: &[RankedRow], times: &[u64]) -> RankingSums {
    let mut sums = RankingSums::default();
    for row in rows {
        sums.add(row.present, times[row.unit as usize]);
        if row.ends {
            sums.close();
        }
    }
    sums
}

/// Mean of the values that are defined.
pub(super) fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    super::super::Mean::of(values).value
}
