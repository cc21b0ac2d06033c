//! Parsing of a `sweep` node. Knows no pipeline.

use std::collections::BTreeMap;

use super::super::arguments::{Argument, ParamValues, Setting, alternative};
use super::super::near;
use super::{MOST_AXES, MOST_POINTS};
use crate::base::Span;
use crate::diag::Diag;
use crate::syntax::{Node, NodeEntry, Scalar};

/// A parsed sweep, before its pipeline is known.
pub(in super::super) struct ParsedSweep {
    pub(in super::super) name: String,
    pub(in super::super) span: Span,
    pub(super) doc: Option<String>,
    /// The pipeline's name or file, and which pipeline of it; [`None`] for the only pipeline of the file.
    pub(in super::super) of: Option<(NodeEntry, Option<NodeEntry>)>,
    /// The axes: each is combined with all others; those of a `zip` vary together.
    pub(super) dimensions: Vec<Vec<Varied>>,
    pub(super) repeat: Option<Repeat>,
    pub(super) skips: Vec<Skip>,
    pub(super) rank: Option<NodeEntry>,
}

/// One `over`: a parameter and its values.
pub(super) struct Varied {
    pub(super) path: String,
    pub(super) span: Span,
    pub(super) values: Vec<Alternative>,
}

impl Varied {
    /// The first step with the same value as this one: in a `zip`, a value may stand several times.
    pub(super) fn first_equal(&self, step: usize) -> usize {
        let wanted = key(&self.values[step]);
        self.values[..step].iter().position(|value| key(value) == wanted).unwrap_or(step)
    }
}

/// One value with its parameters (`focal gamma=2.0`).
pub(super) struct Alternative {
    /// As written.
    pub(super) shown: String,
    pub(super) span: Span,
    pub(super) settings: Vec<Setting>,
    /// The value itself.
    pub(super) value: Option<Scalar>,
}

/// `repeat 3`.
pub(super) struct Repeat {
    pub(super) count: usize,
    /// The stages whose seeds change; empty for all.
    pub(super) only: Vec<NodeEntry>,
    pub(super) span: Span,
}

/// `skip size=64 classifier.batch=128`: points where all of these hold.
pub(super) struct Skip {
    pub(super) wanted: Vec<(String, Span, NodeEntry)>,
    pub(super) span: Span,
}

/// Parses a `sweep` node of `text`; [`None`] if it has no name, after reporting that.
pub(in super::super) fn read(node: &Node, text: &str, diags: &mut Vec<Diag>) -> Option<ParsedSweep> {
    let mut reader = SweepReader { text, diags };
    let Some((name, span)) = node.args().next().and_then(|entry| Some((entry.text()?.to_owned(), entry.span))) else {
        let hint = "write `sweep label-rules { over patches.label.min-pixels 1 16 64 }`";
        reader.error("missing-name", node.head, "a sweep needs a name", hint);
        return None;
    };
    if !crate::lang::is_name(&name) && !crate::lang::is_reported_as_number(&name, span) {
        reader.error("bad-name", span, &format!("`{name}` is not a valid name"), crate::lang::NAME_RULE);
    }
    for entry in node.entries.iter().skip(1) {
        let hint = format!("write it inside the braces: `sweep {name} {{ over … }}`");
        reader.error("outside-braces", entry.whole, "this is outside the braces", &hint);
    }
    let mut reading = ParsedSweep {
        name,
        span,
        doc: None,
        of: None,
        dimensions: Vec::new(),
        repeat: None,
        skips: Vec::new(),
        rank: None,
    };
    for child in node.nodes() {
        reader.part(child, &mut reading);
        if reading.dimensions.iter().map(Vec::len).sum::<usize>() > MOST_AXES {
            let message = format!("a sweep varies at most {MOST_AXES} parameters");
            reader.error("too-many-points", child.head, &message, "split it into several sweeps");
            reading.dimensions.truncate(MOST_AXES);
            break;
        }
    }
    if node.nodes().iter().all(|child| child.name.text == "doc") {
        let hint = "write `over stage.param 1 2 4`, or `repeat 3` for other seeds";
        reader.error("sweep-axis", span, &format!("sweep `{}` varies nothing", reading.name), hint);
    }
    reader.twice(&reading);
    Some(reading)
}

struct SweepReader<'a> {
    text: &'a str,
    diags: &'a mut Vec<Diag>,
}

impl SweepReader<'_> {
    fn error(&mut self, code: &'static str, span: Span, message: &str, hint: &str) {
        self.diags.push(Diag::error(code, span, message).hint(hint));
    }

    fn part(&mut self, child: &Node, reading: &mut ParsedSweep) {
        let once = |there: bool, reader: &mut Self| {
            if there {
                let message = format!("a sweep has one `{}`", child.name.text);
                reader.error("duplicate-param", child.head, &message, "remove one of them");
            }
        };
        match child.name.text.as_str() {
            "doc" => reading.doc = child.args().next().and_then(NodeEntry::text).map(str::to_owned),
            "of" => {
                once(reading.of.is_some(), self);
                match child.args().next().filter(|entry| entry.text().is_some()) {
                    Some(entry) => reading.of = Some((entry.clone(), child.prop("pipeline").cloned())),
                    None => self.error(
                        "missing-name",
                        child.head,
                        "`of` needs a pipeline",
                        "write the name of a pipeline of this file, or `of \"baseline.kdl\"`",
                    ),
                }
            }
            "over" => {
                let over = self.over(child).map(|varied| vec![varied]);
                self.listed_twice(over.as_deref().unwrap_or_default());
                reading.dimensions.extend(over);
            }
            "zip" => reading.dimensions.extend(self.zip(child)),
            "repeat" => {
                once(reading.repeat.is_some(), self);
                reading.repeat = self.repeat(child);
            }
            "skip" => reading.skips.extend(self.skip(child)),
            "rank" => {
                once(reading.rank.is_some(), self);
                match child.prop("by") {
                    Some(by) if by.text().is_some() => reading.rank = Some(by.clone()),
                    _ => self.error(
                        "missing-param",
                        child.head,
                        "`rank` needs a metric",
                        "write `rank by=scores.mean-average-precision`: a stage and one of its metrics",
                    ),
                }
            }
            other => {
                let hint = near::hint(other, ["of", "over", "zip", "repeat", "skip", "rank", "doc"], "");
                self.error("unknown-node", child.name.span, &format!("`{other}` is not allowed in a sweep"), &hint);
            }
        }
    }

    fn over(&mut self, node: &Node) -> Option<Varied> {
        let Some(entry) = node.args().next().filter(|entry| entry.text().is_some()) else {
            let hint = "write `over stage.param 1 2 4`";
            self.error("missing-name", node.head, "`over` needs a parameter", hint);
            return None;
        };
        let (path, span) = (entry.text().unwrap_or_default().to_owned(), entry.span);
        for (key, entry) in node.props() {
            let hint = format!("write parameters next to their value: `over {path} {{ - focal gamma=2.0 }}`");
            let message = format!("`{}=` does not belong to a value", key.text);
            self.error("sweep-axis", entry.whole, &message, &hint);
        }
        let mut values: Vec<Alternative> = node.args().skip(1).map(|entry| self.plain(&path, span, entry)).collect();
        let before = self.diags.len();
        for child in node.nodes() {
            if child.name.text == "-" {
                values.extend(self.dashed(&path, child));
            } else {
                let hint = format!("write the values on the line, `over {path} 1 2 4`, or each after a `-`");
                self.error("sweep-axis", child.name.span, "the values of `over` start with `-`", &hint);
            }
        }
        if values.is_empty() && self.diags.len() > before {
            return None;
        }
        if values.is_empty() {
            let hint = format!("write them after it: `over {path} 1 2 4`");
            self.error("sweep-axis", node.head, &format!("`{path}` has no values here"), &hint);
            return None;
        }
        if values.len() > MOST_POINTS {
            let message = format!("`{path}` has {} values, but at most {MOST_POINTS} are allowed", values.len());
            self.error("too-many-points", span, &message, "use fewer values");
            return None;
        }
        Some(Varied { path, span, values })
    }

    /// A value on the line of its `over`.
    fn plain(&mut self, path: &str, name: Span, entry: &NodeEntry) -> Alternative {
        let (mut values, mut found) = (ParamValues::default(), Vec::new());
        let resolved = values.resolve(entry, &mut found);
        self.parameters(entry.span, &found);
        let given = Argument {
            path: path.to_owned(),
            name,
            head: name,
            whole: entry.whole,
            broken: resolved.is_none(),
            values: resolved.unwrap_or_default(),
            property: false,
            set: true,
            plain: None,
            network: None,
        };
        Alternative {
            shown: self.spelled(entry),
            span: entry.span,
            settings: vec![Setting { path: path.to_owned(), given }],
            value: Some(entry.value.clone()),
        }
    }

    /// `- focal gamma=2.0`: a value with its parameters, or a list of values.
    fn dashed(&mut self, path: &str, node: &Node) -> Option<Alternative> {
        let Some(first) = node.args().next() else {
            self.error("sweep-axis", node.head, "missing value after `-`", "write `- focal gamma=2.0`");
            return None;
        };
        let mut found = Vec::new();
        let given = alternative(node, path, &mut found);
        self.parameters(first.span, &found);
        let mut words: Vec<String> = Vec::new();
        for entry in &node.entries {
            let key = entry.key.as_ref().map(|key| format!("{}=", key.text)).unwrap_or_default();
            words.push(key + &self.spelled(entry));
        }
        for child in node.nodes() {
            let within: Vec<&str> = self.text[child.span.range()].split_whitespace().collect();
            words.push(within.join(" "));
        }
        Some(Alternative {
            shown: words.join(" "),
            span: node.span,
            settings: given.into_iter().map(|given| Setting { path: given.path.clone(), given }).collect(),
            value: Some(first.value.clone()),
        })
    }

    /// Reports parameters, which a sweep does not have.
    fn parameters(&mut self, span: Span, found: &[Diag]) {
        if !found.is_empty() {
            let hint = "`$name` is defined only inside its pipeline; write the values themselves";
            self.error("sweep-axis", span, "a sweep takes values, not parameters", hint);
        }
    }

    fn zip(&mut self, node: &Node) -> Option<Vec<Varied>> {
        for entry in &node.entries {
            self.error("outside-braces", entry.whole, "this is outside the braces", "write `zip { over … ; over … }`");
        }
        let mut all = Vec::new();
        for child in node.nodes() {
            if child.name.text == "over" {
                all.extend(self.over(child));
            } else {
                let message = format!("`zip` may contain only `over`, not `{}`", child.name.text);
                self.error("unknown-node", child.name.span, &message, "write `zip { over … ; over … }`");
            }
        }
        let Some(first) = all.first() else {
            if node.nodes().is_empty() {
                let hint = "write `zip { over … ; over … }` to pair their values";
                self.error("sweep-axis", node.head, "this `zip` is empty", hint);
            }
            return None;
        };
        let count = first.values.len();
        if let Some(other) = all.iter().find(|varied| varied.values.len() != count) {
            let message = format!(
                "`{}` has {count} values and `{}` has {}, but a `zip` pairs them",
                first.path,
                other.path,
                other.values.len()
            );
            let found = Diag::error("sweep-axis", other.span, message).also(first.span, "zipped with this");
            self.diags.push(found.hint("give both the same number, or remove the `zip` to combine all of them"));
            return None;
        }
        self.listed_twice(&all);
        Some(all)
    }

    /// Reports values of a dimension that are listed twice; those of a `zip` only together.
    fn listed_twice(&mut self, dimension: &[Varied]) {
        let Some((first, others)) = dimension.split_first() else { return };
        let mut met: BTreeMap<Vec<String>, Span> = BTreeMap::new();
        for (step, value) in first.values.iter().enumerate() {
            let together = || std::iter::once(value).chain(others.iter().map(|varied| &varied.values[step]));
            if let Some(before) = met.insert(together().map(key).collect(), value.span) {
                let shown: Vec<String> = together().map(|value| format!("`{}`", value.shown)).collect();
                let message = format!("{} is listed twice", shown.join(" with "));
                let found = Diag::error("sweep-axis", value.span, message);
                self.diags.push(found.also(before, "first here").hint("remove one; `repeat 3` repeats points"));
            }
        }
    }

    fn repeat(&mut self, node: &Node) -> Option<Repeat> {
        for (key, entry) in node.props().filter(|(key, _)| key.text != "only") {
            let hint = near::hint(&key.text, ["only"], "");
            self.error("unknown-param", entry.whole, &format!("`repeat` has no property `{}`", key.text), &hint);
        }
        let mut only: Vec<NodeEntry> = Vec::new();
        for (key, entry) in node.props().filter(|(key, _)| key.text == "only") {
            if !only.is_empty() {
                let hint = "write `repeat 3 { only one two }` for several stages";
                self.error("duplicate-param", entry.whole, &format!("`{}` is given twice", key.text), hint);
            }
            only.push(entry.clone());
        }
        for child in node.nodes() {
            if child.name.text != "only" {
                let message = format!("`{}` is not allowed in `repeat`", child.name.text);
                self.error("unknown-node", child.name.span, &message, "write `repeat 3 { only STAGE STAGE }`");
            }
            only.extend(child.args().cloned());
        }
        let args: Vec<&NodeEntry> = node.args().collect();
        if let [NodeEntry { value: Scalar::Int(count @ 1..=1000), .. }] = args.as_slice() {
            return Some(Repeat { count: usize::try_from(*count).unwrap_or(1), only, span: node.head });
        }
        let hint = if only.is_empty() {
            "write `repeat 3` for the pipeline's seed and the next two"
        } else {
            "write `repeat 3 { only one two }` for several stages"
        };
        self.error("out-of-range", node.head, "`repeat` takes one count from 1 to 1000", hint);
        None
    }

    fn skip(&mut self, node: &Node) -> Option<Skip> {
        let hint = "write `skip size=64 classifier.batch=128` to skip the points where all of it holds";
        for entry in node.args() {
            self.error("sweep-axis", entry.whole, "`skip` takes axis names with values", hint);
        }
        let wanted: Vec<(String, Span, NodeEntry)> =
            node.props().map(|(key, entry)| (key.text.clone(), key.span, entry.clone())).collect();
        if node.entries.is_empty() {
            self.error("sweep-axis", node.head, "this `skip` is empty", hint);
        }
        (!wanted.is_empty()).then_some(Skip { wanted, span: node.head })
    }

    /// Reports parameters that are varied twice.
    fn twice(&mut self, reading: &ParsedSweep) {
        let all: Vec<&Varied> = reading.dimensions.iter().flatten().collect();
        for (at, varied) in all.iter().enumerate() {
            if let Some(first) = all[..at].iter().find(|other| other.path == varied.path) {
                let found = Diag::error("duplicate-name", varied.span, format!("`{}` is varied twice", varied.path));
                self.diags.push(found.also(first.span, "first here").hint("put all values into one `over`"));
            }
            if let Some(repeat) = reading.repeat.as_ref().filter(|_| varied.path == "seed") {
                let found = Diag::error("duplicate-name", varied.span, "`seed` is varied twice");
                let found = found.also(repeat.span, "`repeat` varies the seed, too");
                self.diags.push(
                    found.hint("use one of the two: `repeat` for mean and spread, `over seed` for separate rows"),
                );
            }
        }
    }

    /// A value as written.
    fn spelled(&self, entry: &NodeEntry) -> String {
        match entry.text() {
            Some(text) => text.to_owned(),
            None => self.text[entry.span.range()].to_owned(),
        }
    }
}

/// A text that is the same for equal values, however they are written.
fn key(value: &Alternative) -> String {
    let plain = value.settings.len() == 1 && value.settings[0].given.values.len() == 1;
    value
        .value
        .as_ref()
        .filter(|_| plain)
        .and_then(real)
        .map_or_else(|| value.shown.clone(), |real| format!("{real:?}"))
}

/// Whether two values are equal; `1` is `1.0`.
pub(super) fn equal(one: &Scalar, other: &Scalar) -> bool {
    match (real(one), real(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// The value of a number.
fn real(value: &Scalar) -> Option<f64> {
    match value {
        Scalar::Int(value) => Some(*value as f64),
        Scalar::Real(value) => Some(*value),
        _ => None,
    }
}
