//! Metrics of patches with exactly one class each, of which the one with the highest score is predicted. Knows no thresholds.

use serde::{Deserialize, Serialize};

use super::bootstrap::{FEWEST_GROUPS, Interval, intervals_of};
use super::slopes::Sloped;
use super::{LabelledScores, highest, known};
use crate::base::Streams;

/// Metrics of a classifier that chooses one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SingleLabelMetrics {
    /// Patches whose class is known; the others are left out.
    pub rows: u64,
    /// C x C: number of patches by their class (row) and the predicted one (column).
    pub confusion: Vec<Vec<u64>>,
    /// Fraction of patches whose class is predicted.
    pub accuracy: Option<f64>,
    /// Its 95% interval.
    pub accuracy_interval: Option<Interval>,
    /// Accuracy of always predicting the most frequent class.
    pub majority_accuracy: Option<f64>,
    /// Mean recall over the classes that occur (scikit-learn's `balanced_accuracy_score`).
    pub balanced_accuracy: Option<f64>,
    /// Its 95% interval.
    pub balanced_accuracy_interval: Option<Interval>,
    /// Number of classes that occur.
    pub classes: u64,
    /// Cohen's kappa with quadratic weights, if classes are grades: 1 - sum(w O) / sum(w E) with w = (i - j)^2, O the confusion matrix and E
    /// what its margins give by chance (Cohen 1968; scikit-learn's `cohen_kappa_score(weights="quadratic")`).
    pub quadratic_kappa: Option<f64>,
    /// Its 95% interval, of which a negative lower end counts as 0.
    pub quadratic_kappa_interval: Option<Interval>,
}

impl SingleLabelMetrics {
    /// Balanced accuracy of always predicting one class.
    #[must_use]
    pub fn chance(&self) -> Option<f64> {
        (self.classes > 0).then(|| 1.0 / self.classes as f64)
    }
}

/// Metrics of the rows whose class is known. `group` is the group of each row, numbered from 0; `grades` asks for kappa.
#[must_use]
pub fn single_label(scored: &LabelledScores, group: &[u32], grades: bool, streams: &Streams) -> SingleLabelMetrics {
    let groups = group.iter().max().map_or(0, |&last| last as usize + 1);
    let classes = scored.classes();
    let mut tallies = vec![GroupConfusion::new(classes); groups];
    for ((scores, labels), &group) in scored.iter().zip(group) {
        if let Some(class) = labels.iter().position(|&label| known(label) == Some(true)) {
            tallies[group as usize].0[class][highest(scores)] += 1;
        }
    }
    let once = vec![1; groups];
    let confusion = total(&tallies, &once, classes);
    let of = |times: &[u64]| {
        [
            accuracy(&tallies, times),
            balanced_accuracy(&tallies, times, classes),
            kappa(&tallies, times, classes).filter(|_| grades),
        ]
    };
    let estimates = of(&once).map(|found| found.map(|found| found.value));
    let supported = tallies.iter().filter(|tally| tally.rows() > 0).count() >= FEWEST_GROUPS;
    let intervals = if supported { intervals_of(groups, of, streams) } else { [None; 3] };
    let rows: u64 = confusion.iter().flatten().sum();
    let of_class: Vec<u64> = confusion.iter().map(|row| row.iter().sum()).collect();
    SingleLabelMetrics {
        rows,
        accuracy: estimates[0],
        accuracy_interval: intervals[0],
        majority_accuracy: (rows > 0).then(|| of_class.iter().max().map_or(0.0, |&most| most as f64 / rows as f64)),
        balanced_accuracy: estimates[1],
        balanced_accuracy_interval: intervals[1],
        classes: of_class.iter().filter(|&&count| count > 0).count() as u64,
        quadratic_kappa: estimates[2],
        quadratic_kappa_interval: intervals[2],
        confusion,
    }
}

/// Confusion matrix of a group: class by predicted class.
#[derive(Clone)]
struct GroupConfusion(Vec<Vec<u64>>);

impl GroupConfusion {
    fn new(classes: usize) -> Self {
        Self(vec![vec![0; classes]; classes])
    }

    fn rows(&self) -> u64 {
        self.0.iter().flatten().sum()
    }
}

fn total(tallies: &[GroupConfusion], times: &[u64], classes: usize) -> Vec<Vec<u64>> {
    let mut sum = vec![vec![0; classes]; classes];
    for (tally, times) in tallies.iter().zip(times) {
        for (to, row) in sum.iter_mut().zip(&tally.0) {
            to.iter_mut().zip(row).for_each(|(to, count)| *to += count * times);
        }
    }
    sum
}

fn accuracy(tallies: &[GroupConfusion], times: &[u64]) -> Option<Sloped> {
    let right = |tally: &GroupConfusion| (0..tally.0.len()).map(|class| tally.0[class][class]).sum::<u64>();
    let parts: Vec<(u64, u64)> = tallies.iter().map(|tally| (right(tally), tally.rows())).collect();
    Sloped::ratio(&parts, times)
}

fn balanced_accuracy(tallies: &[GroupConfusion], times: &[u64], classes: usize) -> Option<Sloped> {
    let recall = |class: usize| {
        let part = |tally: &GroupConfusion| (tally.0[class][class], tally.0[class].iter().sum());
        Sloped::ratio(&tallies.iter().map(part).collect::<Vec<_>>(), times)
    };
    Sloped::mean(&(0..classes).map(recall).collect::<Vec<_>>())
}

/// Quadratic kappa 1 - a / b with a = sum(w O) and b = sum(w R C) / n for margins R and C of the confusion matrix O; [`None`] if b is 0,
/// because all patches have one class and all predictions are that class.
fn kappa(tallies: &[GroupConfusion], times: &[u64], classes: usize) -> Option<Sloped> {
    let sum = total(tallies, times, classes);
    let weight = |i: usize, j: usize| (i.abs_diff(j) as f64).powi(2);
    let weighted = |of: &dyn Fn(usize, usize) -> f64| {
        (0..classes).flat_map(|i| (0..classes).map(move |j| (i, j))).map(|(i, j)| weight(i, j) * of(i, j)).sum::<f64>()
    };
    let [rows, columns] = margins(&sum);
    let n: f64 = rows.iter().sum();
    let observed = weighted(&|i, j| sum[i][j] as f64);
    let expected = weighted(&|i, j| rows[i] * columns[j]) / n;
    if n == 0.0 || expected == 0.0 {
        return None;
    }
    let slope = |tally: &GroupConfusion| {
        let [own_rows, own_columns] = margins(&tally.0);
        let own: f64 = own_rows.iter().sum();
        let of_observed = weighted(&|i, j| tally.0[i][j] as f64);
        let of_expected =
            weighted(&|i, j| own_rows[i] * columns[j] + rows[i] * own_columns[j]) / n - own * expected / n;
        -(of_observed * expected - observed * of_expected) / expected.powi(2)
    };
    Some(Sloped { value: 1.0 - observed / expected, slopes: tallies.iter().map(slope).collect() })
}

/// Sums of the rows and of the columns of a matrix.
fn margins(counts: &[Vec<u64>]) -> [Vec<f64>; 2] {
    let rows = counts.iter().map(|row| row.iter().sum::<u64>() as f64).collect();
    let columns = (0..counts.len()).map(|j| counts.iter().map(|row| row[j]).sum::<u64>() as f64).collect();
    [rows, columns]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::patches::Label;

    /// Patches of three classes from pairs of class and prediction.
    fn scored(pairs: &[(Option<usize>, usize)]) -> LabelledScores {
        let score = |predicted: usize| (0..3).map(move |class| if class == predicted { 0.6 } else { 0.2 });
        let label = |class: Option<usize>| {
            (0..3).map(move |own| match class {
                None => Label::Unknown,
                Some(class) if class == own => Label::Present,
                Some(_) => Label::Absent,
            })
        };
        let scores = pairs.iter().flat_map(|(_, predicted)| score(*predicted)).collect();
        LabelledScores::new(3, scores, pairs.iter().flat_map(|(class, _)| label(*class)).collect())
    }

    #[test]
    fn slopes_of_kappa_are_its_differences() {
        let mut tallies = vec![GroupConfusion::new(3); 4];
        for (at, (class, predicted)) in [(0, 0), (0, 1), (1, 1), (2, 0), (2, 2), (1, 2), (2, 2)].into_iter().enumerate()
        {
            tallies[at % 4].0[class][predicted] += 1;
        }
        let times = [1000, 2000, 1000, 3000];
        let own = kappa(&tallies, &times, 3).expect("defined");
        for group in 0..4 {
            let mut more = times;
            more[group] += 1;
            let difference = kappa(&tallies, &more, 3).expect("defined").value - own.value;
            assert!((difference - own.slopes[group]).abs() < 1e-6, "{difference} {}", own.slopes[group]);
        }
    }

    #[test]
    fn unknown_classes_are_left_out_and_one_class_has_no_kappa() {
        let streams = Streams::new(1, "single");
        let found = single_label(&scored(&[(Some(0), 0), (Some(1), 0), (None, 2)]), &[0, 1, 2], true, &streams);
        assert_eq!((found.rows, found.accuracy, found.majority_accuracy), (2, Some(0.5), Some(0.5)));
        assert_eq!((found.balanced_accuracy, found.classes), (Some(0.5), 2));
        assert_eq!(found.quadratic_kappa, Some(0.0), "what is always predicted agrees by chance");
        let one = single_label(&scored(&[(Some(0), 0), (Some(0), 0)]), &[0, 1], true, &streams);
        assert_eq!((one.accuracy, one.quadratic_kappa), (Some(1.0), None));
        assert_eq!(single_label(&scored(&[(None, 1)]), &[0], true, &streams).accuracy, None);
    }
}
