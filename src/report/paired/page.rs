//! Paired comparisons as a section of a page.

use maud::{Markup, html};

use super::{
    ComparedModel, EvaluationTable, MetricComparison, PairComparison, PairedComparison, basis, joined, legend,
    metric_words, notes, p_value, signed, verdict_word,
};
use crate::base::figure::metric;
use crate::learn::metrics::paired::DRAWS;
use crate::report::gather::{ArtifactContent, ReportItem};
use crate::report::html::code_words;

/// Metric of the verdict.
const BY: &str = "mean-average-precision";

/// Comparisons of the evaluations on a page.
pub struct PageComparisons {
    /// One for each group of two or more evaluations of the same patches. A diagnosis is left out.
    compared: Vec<PairedComparison>,
    /// Why other evaluations are not compared.
    apart: Option<String>,
}

impl PageComparisons {
    /// A single comparison.
    #[must_use]
    pub fn one(comparison: PairedComparison) -> Self {
        Self { compared: vec![comparison], apart: None }
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.compared.is_empty() && self.apart.is_none()
    }
}

/// Comparisons of the evaluations on a page.
#[must_use]
pub fn comparisons(items: &[ReportItem]) -> PageComparisons {
    let tables = items.iter().filter_map(|item| match &item.content {
        ArtifactContent::Scores(evaluation) if !evaluation.scores.diagnosis => Some(&evaluation.table),
        _ => None,
    });
    let mut groups: Vec<Vec<EvaluationTable>> = Vec::new();
    let mut apart = None;
    for table in tables {
        let mut place = None;
        for (at, group) in groups.iter().enumerate() {
            match joined(&[quoted(&group[0]), quoted(table)]) {
                Ok(_) => {
                    place = Some(at);
                    break;
                }
                Err(error) => apart = apart.or(Some(error.text)),
            }
        }
        match place {
            Some(at) => groups[at].push(table.clone()),
            None => groups.push(vec![table.clone()]),
        }
    }
    let apart = apart.filter(|_| groups.len() > 1);
    PageComparisons {
        compared: groups.into_iter().filter(|group| group.len() > 1).filter_map(|group| compared(&group)).collect(),
        apart,
    }
}

/// The evaluation under its name in a sentence.
fn quoted(table: &EvaluationTable) -> EvaluationTable {
    EvaluationTable { name: format!("`{}`", table.name), ..table.clone() }
}

fn compared(group: &[EvaluationTable]) -> Option<PairedComparison> {
    let joined = joined(group).ok()?;
    let candidates: Vec<ComparedModel> = group
        .iter()
        .zip(&joined.models)
        .map(|(table, model)| ComparedModel { name: table.name.clone(), repeats: vec![model.clone()] })
        .collect();
    Some(PairedComparison::new(&joined, &candidates, BY, DRAWS))
}

/// The section.
#[must_use]
pub fn section(comparisons: &PageComparisons) -> Markup {
    html! {
        h2 id="comparison" { "Paired comparison" }
        p.lead { "Differences between evaluations of the same patches. Resamples are shared, so what is hard for all of them cancels out." }
        @for comparison in &comparisons.compared {
            div.panel {
                @for verdict in comparison.verdicts() { p { strong { (code_words(&verdict)) } } }
                @if comparison.pairs.len() > 1 { div.scroll tabindex="0" { (against_best(comparison)) } }
                @for pair in &comparison.pairs {
                    @if comparison.pairs.len() == 1 {
                        div.scroll tabindex="0" { (table(pair)) }
                    } @else {
                        details { summary { code { (pair.second) } " minus " code { (pair.first) } } div.scroll tabindex="0" { (table(pair)) } }
                    }
                }
                p.hint { (basis(comparison)) ". " (legend(comparison)) "." }
                @for note in notes(comparison) { p.hint { "Note: " (code_words(&note)) "." } }
            }
        }
        @if let Some(reason) = &comparisons.apart {
            p.hint { "Evaluations of other patches are not compared: " (code_words(reason)) "." }
        }
    }
}

/// Each candidate minus the best, by the metric of the verdict.
fn against_best(comparison: &PairedComparison) -> Markup {
    let main = |pair| Some((pair, comparison.main(pair)?));
    let pairs: Vec<(&PairComparison, &MetricComparison)> = comparison.pairs.iter().filter_map(main).collect();
    html! {
        table {
            thead { tr { th { (metric_words(&comparison.by)) } th { "value" } (heads("minus the best")) } }
            tbody {
                @if let (Some(best), Some((_, found))) = (&comparison.best, pairs.first()) {
                    tr { td { code { (best) } } td { (metric(found.first)) } td {} td {} td {} td.text { "best" } }
                }
                @for (pair, found) in pairs { tr { td { code { (pair.second) } } td { (metric(found.second)) } (cells(found)) } }
            }
        }
    }
}

/// All metrics of two candidates.
fn table(pair: &PairComparison) -> Markup {
    html! {
        table {
            thead { tr { td {} th { code { (pair.first) } } th { code { (pair.second) } } (heads("difference")) } }
            tbody { @for (name, found) in pair.rows(false) {
                @if let Some(found) = found {
                    tr { td { (name.trim()) } td { (metric(found.first)) } td { (metric(found.second)) } (cells(found)) }
                } @else {
                    tr { th scope="row" { (name) } td {} td {} td {} td {} td {} td {} }
                }
            } }
        }
    }
}

fn heads(difference: &str) -> Markup {
    html! { th { (difference) } th { "95% CI" } th { "p" } th.text { "verdict" } }
}

fn cells(found: &MetricComparison) -> Markup {
    html! {
        td { (found.difference.map_or_else(|| "–".to_owned(), signed)) }
        td { @if let Some(interval) = found.interval { (signed(interval.low)) " to " (signed(interval.high)) } @else { "–" } }
        td { (found.p_adjusted.map_or_else(|| "–".to_owned(), p_value)) }
        td.text { (verdict_word(found)) }
    }
}
