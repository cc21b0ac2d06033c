//! Labels of a batch as pairs of patches see them: three-valued, with healthy patches as a class of their own if that is wanted.

use crate::data::patches::Label;
use crate::learn::objective::Targets;

/// Whether patches without any lesion are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthyAs {
    /// They are a class of their own.
    Class,
    /// They differ from lesion patches, and two of them are not compared.
    Negative,
}

/// Labels of N patches, N x K.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PairLabels {
    labels: Vec<Label>,
    /// K: the classes, and that of healthy patches if it is one.
    pub(super) columns: usize,
}

impl PairLabels {
    /// Labels of targets of `classes` classes. A target between 0 and 1 is unknown.
    pub(super) fn new(targets: &Targets, classes: usize, healthy: HealthyAs) -> Self {
        let columns = classes + usize::from(healthy == HealthyAs::Class);
        let mut labels = Vec::with_capacity(targets.len() / classes.max(1) * columns);
        for row in targets.labels().chunks_exact(classes) {
            labels.extend_from_slice(row);
            if healthy == HealthyAs::Class {
                labels.push(health(row));
            }
        }
        Self { labels, columns }
    }

    /// N.
    pub(super) fn len(&self) -> usize {
        self.labels.len() / self.columns.max(1)
    }

    /// Labels of a patch.
    pub(super) fn of(&self, patch: usize) -> &[Label] {
        &self.labels[patch * self.columns..][..self.columns]
    }

    /// Whether two patches have a class in common.
    pub(super) fn share(&self, one: usize, other: usize) -> bool {
        self.both(one, other).any(|pair| pair == (Label::Present, Label::Present))
    }

    /// Whether two patches are known to be different: one of them has a class, and each class of one is known to be absent from the other.
    pub(super) fn disjoint(&self, one: usize, other: usize) -> bool {
        let mut present = false;
        let apart = self.both(one, other).all(|pair| {
            present |= pair.0 == Label::Present || pair.1 == Label::Present;
            !matches!(pair, (Label::Present, Label::Present | Label::Unknown) | (Label::Unknown, Label::Present))
        });
        present && apart
    }

    /// Jaccard index of the classes of two patches; 0 for two without any, [`None`] if a label of either is unknown.
    pub(super) fn overlap(&self, one: usize, other: usize) -> Option<f64> {
        let (mut shared, mut all) = (0_u32, 0_u32);
        for (a, b) in self.both(one, other) {
            if a == Label::Unknown || b == Label::Unknown {
                return None;
            }
            shared += u32::from(a == Label::Present && b == Label::Present);
            all += u32::from(a == Label::Present || b == Label::Present);
        }
        Some(if all == 0 { 0.0 } else { f64::from(shared) / f64::from(all) })
    }

    fn both(&self, one: usize, other: usize) -> impl Iterator<Item = (Label, Label)> + '_ {
        self.of(one).iter().copied().zip(self.of(other).iter().copied())
    }
}

/// Label of the class of healthy patches: present if all others are absent, unknown if one may be present.
pub(super) fn health(labels: &[Label]) -> Label {
    if labels.contains(&Label::Present) {
        Label::Absent
    } else if labels.contains(&Label::Unknown) {
        Label::Unknown
    } else {
        Label::Present
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Label = Label::Present;
    const A: Label = Label::Absent;
    const U: Label = Label::Unknown;

    #[test]
    fn what_is_unknown_makes_no_pair() {
        let rows = [[P, A], [P, P], [A, P], [A, A], [P, U], [A, U], [A, A]];
        let labels = PairLabels::new(&Targets::of(&rows.concat()), 2, HealthyAs::Class);
        assert_eq!((labels.len(), labels.columns), (7, 3));
        let healthy: Vec<Label> = (0..7).map(|patch| labels.of(patch)[2]).collect();
        assert_eq!(healthy, [A, A, A, P, A, U, P]);
        assert!(labels.share(0, 1) && labels.share(3, 6) && labels.share(0, 4));
        assert!(!labels.share(0, 2) && !labels.share(1, 5));
        assert!(labels.disjoint(0, 2) && labels.disjoint(0, 3) && labels.disjoint(0, 5));
        // The second class of patch 4 and 5 may be that of patch 2; patch 5 may be healthy.
        assert!(!labels.disjoint(2, 4) && !labels.disjoint(2, 5) && !labels.disjoint(3, 5) && !labels.disjoint(0, 1));
        assert_eq!(labels.overlap(0, 1), Some(0.5));
        assert_eq!((labels.overlap(3, 6), labels.overlap(0, 3)), (Some(1.0), Some(0.0)));
        assert_eq!((labels.overlap(0, 4), labels.overlap(5, 5)), (None, None));
        let negative = PairLabels::new(&Targets::of(&rows.concat()), 2, HealthyAs::Negative);
        assert!(!negative.share(3, 6) && !negative.disjoint(3, 6) && negative.disjoint(0, 3));
        assert_eq!(negative.overlap(3, 6), Some(0.0));
    }
}
