//! Average precision within photographs: what a model tells apart in one photograph, whatever it knows of the photograph as a whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LabelledScores, Mean, average_precision, cut_points};

/// Average precision of one class among the patches of each photograph, ascending by photograph. `known` are the rows whose label of the
/// class is known: photograph, score, and whether the class is present. Photographs without a positive are left out.
#[must_use]
pub(super) fn by_photograph(known: impl Iterator<Item = (u32, f64, bool)>) -> Vec<(u32, f64)> {
    let mut photographs: BTreeMap<u32, Vec<(f64, bool)>> = BTreeMap::new();
    for (photograph, score, present) in known {
        photographs.entry(photograph).or_default().push((score, present));
    }
    let value = |rows: Vec<(f64, bool)>| average_precision(&cut_points(rows.into_iter()));
    photographs.into_iter().filter_map(|(photograph, rows)| Some((photograph, value(rows)?))).collect()
}

/// Average precision of one class within photographs, averaged over the photographs that have a known positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WithinPhotograph {
    /// Mean; [`None`] without a known positive.
    pub average_precision: Option<f64>,
    /// Mean prevalence within these photographs: the expected value of random scores.
    pub chance: Option<f64>,
    /// Number of these photographs.
    pub photographs: u64,
}

/// [`WithinPhotograph`] of each class. `photograph` is the photograph of each row.
///
/// # Panics
/// If there is not one photograph per row: a defect of the caller.
#[must_use]
pub fn within_photograph(scored: &LabelledScores, photograph: &[u32]) -> Vec<WithinPhotograph> {
    assert_eq!(photograph.len(), scored.rows(), "one photograph per row");
    let of_class = |class: usize| {
        let rows = || {
            scored.iter().zip(photograph).filter_map(|((scores, labels), &photograph)| {
                super::known(labels[class]).map(|present| (photograph, scores[class], present))
            })
        };
        let values = by_photograph(rows());
        // With equal scores, average precision is the prevalence.
        let prevalence = by_photograph(rows().map(|(photograph, _, present)| (photograph, 0.0, present)));
        let mean = |values: &[(u32, f64)]| Mean::of(values.iter().map(|(_, value)| Some(*value))).value;
        WithinPhotograph {
            average_precision: mean(&values),
            chance: mean(&prevalence),
            photographs: values.len() as u64,
        }
    };
    (0..scored.classes()).map(of_class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::patches::Label::{Absent, Present, Unknown};

    #[test]
    fn what_is_added_to_a_whole_photograph_changes_nothing() {
        let labels = vec![Present, Absent, Absent, Present, Absent, Present, Unknown, Absent];
        let photograph = [0, 0, 0, 1, 1, 1, 1, 2];
        let scores = vec![0.2, 0.3, 0.1, 0.9, 0.8, 0.4, 0.6, 0.7];
        // Photograph 0: the positive is second of three; photograph 1: first and third of three known rows; photograph 2 has none.
        let expected = f64::midpoint(0.5, f64::midpoint(1.0, 2.0 / 3.0));
        let moved = scores.iter().zip(photograph).map(|(score, at)| score + f64::from(at) * 5.0).collect();
        for scores in [scores, moved] {
            let found = within_photograph(&LabelledScores::new(1, scores, labels.clone()), &photograph);
            let value = found[0].average_precision.expect("a positive");
            assert!((value - expected).abs() < 1e-12, "{found:?}");
            let chance = found[0].chance.expect("a positive");
            assert!((chance - f64::midpoint(1.0 / 3.0, 2.0 / 3.0)).abs() < 1e-12, "{found:?}");
            assert_eq!(found[0].photographs, 2);
        }
        let none = LabelledScores::new(1, vec![0.5; 2], vec![Absent, Unknown]);
        assert_eq!(within_photograph(&none, &[0, 0])[0].average_precision, None);
    }
}
