//! Which metrics of a comparison are shown, in which order, under which titles.

use super::{MetricComparison, PairComparison};

/// Metrics shown under one title.
struct MetricSection {
    /// Title.
    title: &'static str,
    /// Metrics over all classes: name and label.
    means: &'static [(&'static str, &'static str)],
    /// Metric of each class; empty if there is none.
    of_class: &'static str,
    /// Whether it is shown without `--all`.
    always: bool,
}

/// All of them.
const SECTIONS: [MetricSection; 7] = [
    MetricSection {
        title: "average precision",
        means: &[("mean-average-precision", "mean")],
        of_class: "average-precision.",
        always: true,
    },
    MetricSection {
        title: "average precision within photographs",
        means: &[("mean-within-photograph-average-precision", "mean")],
        of_class: "within-photograph-average-precision.",
        always: true,
    },
    MetricSection { title: "AUROC", means: &[("mean-auroc", "mean")], of_class: "auroc.", always: false },
    MetricSection {
        title: "F1",
        means: &[("micro-f1", "micro"), ("macro-f1", "macro")],
        of_class: "f1.",
        always: true,
    },
    MetricSection { title: "precision", means: &[], of_class: "precision.", always: false },
    MetricSection { title: "recall", means: &[], of_class: "recall.", always: false },
    MetricSection {
        title: "all labels",
        means: &[("hamming-loss", "Hamming loss"), ("subset-accuracy", "subset accuracy")],
        of_class: "",
        always: true,
    },
];

impl PairComparison {
    /// Titles, and below each the names of its metrics and their comparisons: those shown at once, or all.
    #[must_use]
    pub fn rows(&self, all: bool) -> Vec<(String, Option<&MetricComparison>)> {
        let mut rows: Vec<(String, Option<&MetricComparison>)> = Vec::new();
        let find = |name: &str| self.metrics.iter().find(|found| found.metric == name);
        for section in SECTIONS.iter().filter(|section| section.always || all) {
            rows.push((section.title.to_owned(), None));
            rows.extend(
                section.means.iter().filter_map(|(name, label)| Some((format!("  {label}"), Some(find(name)?)))),
            );
            let of_class = |found: &&MetricComparison| {
                found.class.is_some() && !section.of_class.is_empty() && found.metric.starts_with(section.of_class)
            };
            let classes = self.metrics.iter().filter(of_class);
            rows.extend(
                classes.map(|found| (format!("  {}", found.class.as_deref().unwrap_or_default()), Some(found))),
            );
        }
        rows
    }
}
