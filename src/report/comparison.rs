//! Comparison of experiments: what differs between them, their metrics, mean and deviation over repeats, ranks. Knows no store and
//! no terminal.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use crate::base::sample;
use crate::data::csv;
use crate::lang::ranking;
use crate::lang::signature::Better;
use crate::lang::spec::Rank;
use crate::learn::metrics::Interval;
use crate::learn::metrics::paired::FEWEST_POSITIVE;
use crate::report::paired::{PairVerdict, signed};
use crate::stage::{Cell, Table};

/// Head of a column of standard deviations.
pub const DEVIATION: &str = "±";

/// Experiment: a point of a sweep, or a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Experiment {
    /// Name: `point 3`, or the id of a run.
    pub name: String,
    /// Settings, such as `classifier.epochs` and `20`.
    pub settings: BTreeMap<String, String>,
    /// Its seed, or its seeds if stages have several.
    pub seed: String,
    /// Metrics by stage and name.
    pub figures: BTreeMap<String, BTreeMap<String, f64>>,
    /// For each stage with metrics, a digest of the patches and labels they are measured on.
    pub measured_on: BTreeMap<String, String>,
    /// Stages whose metrics are measured on test patches.
    pub on_test: BTreeSet<String>,
    /// How far it ran.
    pub state: ExperimentState,
}

/// State of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExperimentState {
    /// All stages have results.
    Done,
    /// The named stage failed.
    Failed(String),
    /// Not run, or not to the end.
    #[default]
    Open,
}

/// Experiments that differ only in their seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct RepeatGroup {
    /// Indices of the experiments.
    pub rows: Vec<usize>,
    /// Mean and deviation of each metric that one of them has, by stage and name.
    pub figures: BTreeMap<String, BTreeMap<String, RepeatStatistics>>,
}

/// Metric over several experiments.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RepeatStatistics {
    /// Number of experiments that have it.
    pub n: usize,
    /// Mean.
    pub mean: f64,
    /// Standard deviation with n - 1 in the denominator; [`None`] for fewer than two.
    pub deviation: Option<f64>,
}

/// Comparison of several experiments.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The experiments, in the order given.
    pub rows: Vec<Experiment>,
    /// Settings that differ between them, in order of display.
    pub columns: Vec<String>,
    /// Groups of repeats; the best first if there is a metric to rank by, those without it last.
    pub groups: Vec<RepeatGroup>,
    /// Metric to rank by.
    pub by: Option<Rank>,
    /// How each group stands against the best one, by a paired comparison; empty without one.
    standings: Vec<Option<Standing>>,
}

/// A group and the best one, evaluated on the same patches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It is the best.
    Best,
    /// Another.
    #[serde(untagged)]
    Other {
        /// Its metric minus that of the best group.
        difference: f64,
        /// 95% confidence interval of the difference.
        interval: Option<Interval>,
        /// Whether it is worse, or not distinguishable.
        verdict: PairVerdict,
    },
}

impl Standing {
    /// Whether it is not distinguishable from the best.
    fn is_tied(&self) -> bool {
        matches!(self, Self::Other { verdict: PairVerdict::NotDistinguishable, .. })
    }

    /// Whether there are too few photographs with a positive to say so.
    fn is_unknown(&self) -> bool {
        matches!(self, Self::Other { verdict: PairVerdict::TooFew | PairVerdict::Undefined, .. })
    }

    /// `best`, `-0.021 tie`, `-0.105 worse`, `-0.075 ?`.
    fn words(&self) -> String {
        let Self::Other { difference, .. } = self else { return "best".to_owned() };
        let verdict = match self {
            _ if self.is_tied() => "tie",
            _ if self.is_unknown() => "?",
            _ => "worse",
        };
        format!("{} {verdict}", signed(*difference))
    }
}

/// Whether experiments that differ only in their seeds are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeats {
    /// One row with mean and deviation.
    Together,
    /// One row each.
    Apart,
}

impl Comparison {
    /// Compares `rows`. Of the settings that differ, `columns` come first, in that order; all others follow by name.
    #[must_use]
    pub fn new(rows: Vec<Experiment>, columns: &[String], by: Option<Rank>, repeats: Repeats) -> Self {
        let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.settings.keys()).collect();
        let differs = |name: &&String| {
            let first = rows.first().and_then(|row| row.settings.get(*name));
            rows.iter().any(|row| row.settings.get(*name) != first)
        };
        let mut apart: Vec<String> = columns.to_vec();
        apart.extend(names.into_iter().filter(differs).filter(|name| !columns.contains(name)).cloned());
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut met: BTreeMap<Vec<Option<&String>>, usize> = BTreeMap::new();
        for (at, row) in rows.iter().enumerate() {
            let own: Vec<Option<&String>> = apart.iter().map(|name| row.settings.get(name)).collect();
            let next = groups.len();
            let group = if repeats == Repeats::Together { *met.entry(own).or_insert(next) } else { next };
            if group == next {
                groups.push(Vec::new());
            }
            groups[group].push(at);
        }
        let mut groups: Vec<RepeatGroup> = groups.into_iter().map(|own| RepeatGroup::new(own, &rows)).collect();
        if let Some(Rank { stage, metric: figure, better }) = &by {
            let value = |group: &RepeatGroup| group.spread(stage, figure).map(|spread| spread.mean);
            groups.sort_by(|one, other| match (value(one), value(other)) {
                (Some(one), Some(other)) if *better == Better::Higher => other.total_cmp(&one),
                (Some(one), Some(other)) => one.total_cmp(&other),
                (one, other) => other.is_some().cmp(&one.is_some()),
            });
        }
        // A setting that some lack, because they have no such stage or case, does not differ in value.
        let two_values = |name: &String| {
            let values: BTreeSet<&String> = rows.iter().filter_map(|row| row.settings.get(name)).collect();
            values.len() > 1 || columns.contains(name)
        };
        apart.retain(two_values);
        Self { rows, columns: apart, groups, by, standings: Vec::new() }
    }

    /// Takes a paired comparison into account: `standings` of the groups, in their order. Groups that are not distinguishable from the best
    /// come right after it and share its rank.
    #[must_use]
    pub fn with_standings(mut self, standings: &[Option<Standing>]) -> Self {
        let standing = |at: usize| standings.get(at).copied().flatten();
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        order.sort_by_key(|at| match standing(*at) {
            Some(Standing::Best) => 0,
            Some(other) if other.is_tied() => 1,
            _ => 2,
        });
        self.groups = order.iter().map(|at| self.groups[*at].clone()).collect();
        self.standings = order.into_iter().map(standing).collect();
        self
    }

    /// How a group stands against the best one.
    fn standing(&self, group: usize) -> Option<Standing> {
        self.standings.get(group).copied().flatten()
    }

    /// Metrics that any experiment has, by stage and name: the one ranked by first, then others of its stage, then the rest; metrics
    /// of one class after those of all classes.
    #[must_use]
    pub fn figures(&self) -> Vec<(&str, &str)> {
        let rows = self.rows.iter().flat_map(|row| &row.figures);
        let all: BTreeSet<(&str, &str)> =
            rows.flat_map(|(stage, figures)| figures.keys().map(move |name| (stage.as_str(), name.as_str()))).collect();
        let by = self.by.as_ref().map(|by| (by.stage.as_str(), by.metric.as_str()));
        let mut ordered: Vec<(&str, &str)> = all.into_iter().collect();
        ordered.sort_by_key(|figure| {
            let same = by.is_some_and(|by| by.0 == figure.0);
            (Some(*figure) != by, !same, figure.0, of_class(figure.1), ranking::place(figure.1), figure.1)
        });
        ordered
    }

    /// Groups with their ranks; a group without the metric to rank by has none.
    fn ranked(&self) -> impl Iterator<Item = (Option<usize>, &RepeatGroup)> {
        self.groups.iter().enumerate().map(|(at, group)| {
            let value = self.by.as_ref().and_then(|by| group.spread(&by.stage, &by.metric));
            let tied = self.standing(at).is_some_and(|standing| standing.is_tied());
            (value.map(|_| if tied { 1 } else { at + 1 }), group)
        })
    }

    /// Table of the first `lines` groups, and how important each of its columns is: 0 is the most important.
    #[must_use]
    pub fn table(&self, lines: usize, names: &dyn Fn(&str) -> String) -> (Table, Vec<u8>) {
        // Among columns of one kind, later ones matter less. Without its settings, a row does not say what it is.
        let (rank, name, metric, setting, deviation, state, other) = (0, 1, 2, 3, 4, 5, 6);
        let several = self.rows.len() > self.groups.len();
        let shown = &self.groups[..lines.min(self.groups.len())];
        let mut columns: Vec<(String, u8, Vec<Cell>)> = Vec::new();
        let ranks = self.ranked().take(shown.len()).map(|(rank, _)| rank.and_then(|rank| i64::try_from(rank).ok()));
        columns.push(("#".to_owned(), rank, ranks.map(|rank| rank.map_or(Cell::Null(()), Cell::Int)).collect()));
        let mut texts = |head: String, importance: u8, of: &dyn Fn(&RepeatGroup) -> String| {
            columns.push((head, importance, shown.iter().map(|group| Cell::Text(of(group))).collect()));
        };
        if self.columns.is_empty() || !several {
            texts("name".to_owned(), name, &|group| match group.rows.as_slice() {
                [one] => self.rows[*one].name.clone(),
                [first, rest @ ..] => format!("{} and {} more", self.rows[*first].name, rest.len()),
                [] => String::new(),
            });
        }
        let first = |group: &RepeatGroup| group.rows.first().map(|row| &self.rows[*row]);
        for column in &self.columns {
            let value = |group: &RepeatGroup| first(group).and_then(|row| row.settings.get(column).cloned());
            texts(names(column), setting, &|group| value(group).unwrap_or_else(|| "-".to_owned()));
        }
        let seeds: BTreeSet<&String> = self.rows.iter().map(|row| &row.seed).collect();
        if !several && seeds.len() > 1 && !self.columns.iter().any(|column| column == "seed") {
            texts("seed".to_owned(), setting, &|group| first(group).map_or(String::new(), |row| row.seed.clone()));
        }
        for (stage, figure) in self.figures() {
            let ranks = self.by.as_ref().is_some_and(|by| by.stage == stage && by.metric == figure);
            let other_stage = self.by.as_ref().is_some_and(|by| by.stage != stage);
            if !ranks && (of_class(figure) || other_stage) {
                continue;
            }
            let spreads: Vec<_> = shown.iter().map(|group| group.spread(stage, figure)).collect();
            let cells = |of: &dyn Fn(&RepeatStatistics) -> Option<f64>| {
                let value = |spread: &Option<_>| spread.as_ref().and_then(of).map(rounded);
                spreads.iter().map(|spread| value(spread).map_or(Cell::Null(()), Cell::Real)).collect::<Vec<_>>()
            };
            columns.push((head(figure), if ranks { metric } else { other }, cells(&|spread| Some(spread.mean))));
            if spreads.iter().flatten().any(|spread| spread.deviation.is_some()) {
                let importance = if ranks { deviation } else { other };
                columns.push((DEVIATION.to_owned(), importance, cells(&|spread| spread.deviation)));
            }
            if ranks && !self.standings.is_empty() {
                let words = |at| self.standing(at).map_or_else(String::new, |standing| standing.words());
                columns.push(("- best".to_owned(), metric, (0..shown.len()).map(words).map(Cell::Text).collect()));
            }
        }
        let states = shown.iter().map(|group| Cell::Text(self.state(group)));
        columns.push(("state".to_owned(), state, states.collect()));
        let rows = (0..shown.len()).map(|row| columns.iter().map(|(.., cells)| cells[row].clone()).collect());
        let table = Table {
            title: String::new(),
            columns: columns.iter().map(|(head, ..)| head.clone()).collect(),
            rows: rows.collect(),
        };
        (table, columns.iter().map(|(_, importance, _)| *importance).collect())
    }

    /// `3 of 3 done`, `failed: classifier`.
    fn state(&self, group: &RepeatGroup) -> String {
        let states = || group.rows.iter().map(|row| &self.rows[*row].state);
        let done = states().filter(|state| **state == ExperimentState::Done).count();
        let failed =
            states().find_map(|state| if let ExperimentState::Failed(stage) = state { Some(stage) } else { None });
        let count = match group.rows.len() {
            1 if done == 1 => "done".to_owned(),
            1 if failed.is_none() => "open".to_owned(),
            1 => String::new(),
            all => format!("{done} of {all} done"),
        };
        let failed = failed.map(|stage| format!("failed: {stage}"));
        [Some(count).filter(|count| !count.is_empty()), failed].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Difference of the means of the first two groups and its standard deviation, if the difference is the smaller of the two.
    #[must_use]
    pub fn close_call(&self) -> Option<(f64, f64)> {
        let Rank { stage, metric: figure, .. } = self.by.as_ref()?;
        let [first, second, ..] = self.groups.as_slice() else { return None };
        let (one, other) = (first.spread(stage, figure)?, second.spread(stage, figure)?);
        let noise = one.deviation?.hypot(other.deviation?);
        let difference = (one.mean - other.mean).abs();
        (difference < noise).then_some((difference, noise))
    }

    /// Whether experiments of one seed are measured on different patches or labels, so that their metrics are not comparable.
    #[must_use]
    pub fn unlike(&self) -> bool {
        let Some(Rank { stage, .. }) = &self.by else { return false };
        let mut of_seed: BTreeMap<&str, BTreeSet<&String>> = BTreeMap::new();
        for row in &self.rows {
            of_seed.entry(&row.seed).or_default().extend(row.measured_on.get(stage));
        }
        of_seed.values().any(|measured| measured.len() > 1)
    }

    /// Caveats to know before drawing conclusions from the ranks, one sentence each.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.unlike() {
            notes.push(
                "the experiments are measured on different patches or labels, so their metrics are not comparable: vary only the \
                 training patches (`relabel`, `rebalance`), not the validation and test patches"
                    .to_owned(),
            );
        }
        let Some(Rank { stage, metric: figure, .. }) = &self.by else { return notes };
        let has = |row: &&Experiment| row.figures.get(stage).is_some_and(|own| own.contains_key(figure));
        if self.rows.iter().filter(has).count() > 1
            && self.rows.iter().filter(has).any(|row| row.on_test.contains(stage))
        {
            notes.push(format!(
                "`{stage}` is measured on test patches: selecting by it makes the selected score optimistic; select by a metric on \
                 validation patches (`--by STAGE.METRIC`)"
            ));
        }
        let any = |of: fn(&Standing) -> bool| self.standings.iter().flatten().any(of);
        if any(Standing::is_tied) {
            notes.push(
                "tie: not distinguishable from the best on the same patches, so it shares its rank; `--paired` has the \
                 intervals"
                    .to_owned(),
            );
        }
        if any(Standing::is_unknown) {
            notes.push(format!(
                "?: fewer than {FEWEST_POSITIVE} patients (photographs, if patients are unknown) have a positive of a class, so \
                 nobody knows whether the difference is due to chance"
            ));
        }
        if let Some((difference, noise)) = self.close_call().filter(|_| self.standings.is_empty()) {
            notes.push(format!(
                "the top two differ by {difference:.4}, less than the standard deviation between single repeats ({noise:.4}): they \
                 cannot be ranked"
            ));
        }
        let once = |group: &RepeatGroup| group.spread(stage, figure).is_some_and(|spread| spread.n == 1);
        if self.groups.len() > 1 && self.rows.len() == self.groups.len() && self.groups.iter().all(once) {
            let one_seed = self.rows.iter().map(|row| &row.seed).collect::<BTreeSet<_>>().len() == 1;
            if one_seed {
                notes.push(
                    "each experiment ran with one seed: add `repeat 3` to see how much of a difference is due to chance".to_owned(),
                );
            }
        }
        notes
    }

    /// The comparison as CSV: one line per group, or per experiment if repeats are not grouped.
    #[must_use]
    pub fn csv(&self) -> String {
        let figures = self.figures();
        let own = ["rank", "name", "seed", "state"];
        let mut heads: Vec<String> = own.map(str::to_owned).into();
        // A parameter may have one of these names.
        let setting =
            |name: &String| if own.contains(&name.as_str()) { format!("{name} setting") } else { name.clone() };
        heads.extend(self.columns.iter().map(setting));
        for (stage, figure) in &figures {
            // A parameter may have the name of a metric: `classifier.loss`.
            let name = format!("{stage}.{figure}");
            let name = if self.columns.contains(&name) { format!("{name} figure") } else { name };
            heads.extend(["", " deviation", " n"].map(|what| format!("{name}{what}")));
        }
        let mut text = csv::line(heads);
        for (rank, group) in self.ranked() {
            let rows: Vec<&Experiment> = group.rows.iter().map(|row| &self.rows[*row]).collect();
            let joined =
                |of: &dyn Fn(&Experiment) -> String| rows.iter().map(|row| of(row)).collect::<Vec<_>>().join(" ");
            let mut cells = vec![
                rank.map_or(String::new(), |rank| rank.to_string()),
                joined(&|row| row.name.clone()),
                joined(&|row| row.seed.clone()),
                self.state(group),
            ];
            cells.extend(self.columns.iter().map(|name| rows[0].settings.get(name).cloned().unwrap_or_default()));
            for (stage, figure) in &figures {
                let spread = group.spread(stage, figure);
                cells.push(spread.map_or(String::new(), |spread| spread.mean.to_string()));
                cells.push(spread.and_then(|spread| spread.deviation).map_or(String::new(), |value| value.to_string()));
                cells.push(spread.map_or(0, |spread| spread.n).to_string());
            }
            text.push_str(&csv::line(cells));
        }
        text
    }

    /// The comparison as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let groups = self.ranked().enumerate().map(|(at, (rank, group))| {
            let rows: Vec<&Experiment> = group.rows.iter().map(|row| &self.rows[*row]).collect();
            let against = self.standing(at);
            json!({ "rank": rank, "figures": group.figures, "against-best": against, "experiments": rows })
        });
        let by = self.by.as_ref().map(|Rank { stage, metric: figure, better }| {
            let better = if *better == Better::Higher { "higher" } else { "lower" };
            json!({ "stage": stage, "figure": figure, "better": better })
        });
        json!({ "by": by, "differs": self.columns, "groups": groups.collect::<Vec<_>>(), "notes": self.notes() })
    }
}

impl RepeatGroup {
    fn new(rows: Vec<usize>, all: &[Experiment]) -> Self {
        let mut values: BTreeMap<String, BTreeMap<String, Vec<f64>>> = BTreeMap::new();
        for (stage, figures) in rows.iter().flat_map(|row| &all[*row].figures) {
            for (name, value) in figures {
                values.entry(stage.clone()).or_default().entry(name.clone()).or_default().push(*value);
            }
        }
        let spread = |figures: BTreeMap<String, Vec<f64>>| {
            figures.into_iter().filter_map(|(name, values)| Some((name, RepeatStatistics::of(&values)?))).collect()
        };
        let figures = values.into_iter().map(|(stage, figures)| (stage, spread(figures))).collect();
        Self { rows, figures }
    }

    /// Mean and deviation of a metric; [`None`] if no experiment of the group has it.
    #[must_use]
    pub fn spread(&self, stage: &str, figure: &str) -> Option<RepeatStatistics> {
        self.figures.get(stage)?.get(figure).copied()
    }
}

impl RepeatStatistics {
    fn of(values: &[f64]) -> Option<Self> {
        Some(Self { n: values.len(), mean: sample::mean(values)?, deviation: sample::deviation(values) })
    }
}

/// Rounds to the three decimals shown, so that noise in the last bits does not set the width of a column.
fn rounded(value: f64) -> f64 {
    if value.abs() >= 0.001 { (value * 1e3).round() / 1e3 } else { value }
}

/// Short head of a metric's column: `mean AP`, `micro F1`, `AP of MA`.
fn head(figure: &str) -> String {
    let (name, class) = figure.split_once('.').map_or((figure, None), |(name, class)| (name, Some(class)));
    let words = match name {
        "mean-average-precision" => "mean AP".to_owned(),
        "mean-average-precision-at-r" => "MAP@R".to_owned(),
        "average-precision" => "AP".to_owned(),
        "average-precision-at-r" => "AP@R".to_owned(),
        "hamming-loss" => "Hamming loss".to_owned(),
        _ => name.replace("auroc", "AUROC").replace("f1", "F1").replace('-', " "),
    };
    class.map_or_else(|| words.clone(), |class| format!("{words} of {class}"))
}

/// Whether a metric is of one class: `average-precision.MA`.
fn of_class(figure: &str) -> bool {
    figure.contains('.')
}

#[test]
fn heads_of_metrics_are_short() {
    let names = [
        "mean-average-precision",
        "mean-auroc",
        "micro-f1",
        "subset-accuracy",
        "loss",
        "average-precision.MA",
        "f1.SE",
    ];
    assert_eq!(
        names.map(head),
        ["mean AP", "mean AUROC", "micro F1", "subset accuracy", "loss", "AP of MA", "F1 of SE"]
    );
}
