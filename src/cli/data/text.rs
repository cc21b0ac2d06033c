//! What a check of data found, as people read it on a terminal: tables of each source, pairs, findings, and the verdict in the last line.

use crate::base::figure::counted;
use crate::base::shown;
use crate::data::check::{
    CheckedSource, DataCheck, DataFinding, FindingLevel, PhotographComparison, pair_table, source_tables,
};
use crate::progress::out::{self, Tint};
use crate::progress::table::{paragraph, render};

/// Warnings of one kind that are listed; `--verbose` and JSON have all.
const LISTED: usize = 10;

/// Everything that was found. `page` is the page that was written.
pub(super) fn text(check: &DataCheck, page: Option<&str>) -> String {
    let width = out::stdout_width();
    let line = |words: &str| paragraph(&shown::line(words), width, 2);
    let mut parts: Vec<String> = Vec::new();
    for source in &check.sources {
        parts.push(line(&head(source)));
        parts.extend(source_tables(source).iter().map(|table| render(table, width)));
    }
    parts.extend(pair_table(check).map(|table| render(&table, width)));
    parts.extend(not_compared(check.pairs.comparison).map(line));
    let findings = findings(check);
    parts.extend((!findings.is_empty()).then_some(findings));
    let page = page.map(|page| line(&format!("wrote {page}, which shows photographs"))).unwrap_or_default();
    parts.push(page + &line(&check.verdict()));
    parts.join("\n")
}

/// `fundus, idrid: 54 photographs with 187 lesion masks`.
fn head(source: &CheckedSource) -> String {
    let CheckedSource { stage, stage_type, headline, .. } = source;
    let headline = if headline.is_empty() { "no photographs" } else { headline };
    format!("{stage}, {stage_type}: {headline}")
}

/// What was not compared, and why.
pub(super) fn not_compared(comparison: PhotographComparison) -> Option<&'static str> {
    match comparison {
        PhotographComparison::None => Some("near-duplicates were not looked for: `project.kdl` turns that off"),
        PhotographComparison::Whole => Some("too many photographs to look for parts of the same picture"),
        PhotographComparison::WholeAndParts => None,
    }
}

/// The findings by kind, errors first.
fn findings(check: &DataCheck) -> String {
    let mut groups: Vec<Vec<&DataFinding>> = Vec::new();
    for (_, finding) in check.findings() {
        let same = |group: &&mut Vec<&DataFinding>| {
            group[0].level == finding.level && group[0].code == finding.code && group[0].hint == finding.hint
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups.iter().map(|group| one_kind(group)).collect()
}

/// Findings of one kind: each in a line, then what to do.
fn one_kind(group: &[&DataFinding]) -> String {
    let DataFinding { level, code, hint, .. } = group[0];
    let tint = match level {
        FindingLevel::Error => Tint::Red,
        FindingLevel::Warning => Tint::Yellow,
    };
    let all = *level == FindingLevel::Error || out::volume() == out::Volume::Verbose || group.len() <= LISTED + 1;
    let listed = if all { group.len() } else { LISTED };
    let head = format!("{}[{code}]", level.name());
    let mut text = String::new();
    for finding in &group[..listed] {
        let line = out::stdout_message(&format!("{head}: {}\n", shown::lines(&finding.text).replace('\n', "\n    ")));
        let words = line.strip_prefix(&head).unwrap_or(&line);
        text.push_str(&out::stdout_colours().tint(&head, tint));
        text.push_str(words);
    }
    let more = group.len() - listed;
    if more > 0 {
        let more = counted(more as u64, "more warning of this kind", "more warnings of this kind");
        text.push_str(&out::stdout_message(&format!("  and {more}; `--verbose` lists all\n")));
    }
    if let Some(hint) = hint {
        text.push_str(&out::stdout_message(&format!("  hint: {}\n", shown::line(hint))));
    }
    text
}
