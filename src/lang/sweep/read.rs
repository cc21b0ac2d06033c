//! A `sweep` node taken apart. Knows no pipeline.

use std::collections::BTreeMap;

use super::super::given::{Given, Setting, Values, alternative};
use super::super::near;
use super::{MOST_AXES, MOST_POINTS};
use crate::base::Span;
use crate::diag::Diag;
use crate::syntax::{Entry, Node, Scalar};

/// What a sweep says, without a look at its pipeline.
pub(in super::super) struct Reading {
    pub(in super::super) name: String,
    pub(in super::super) span: Span,
    pub(super) doc: Option<String>,
    /// The pipeline's name or file, and which pipeline of it; none where the file's only one is meant.
    pub(in super::super) of: Option<(Entry, Option<Entry>)>,
    /// What is varied: each in its turn with all others, and several in step where they stand in a `zip`.
    pub(super) dimensions: Vec<Vec<Varied>>,
    pub(super) repeat: Option<Repeat>,
    pub(super) skips: Vec<Skip>,
    pub(super) rank: Option<Entry>,
}

/// One `over`: a parameter and its values.
pub(super) struct Varied {
    pub(super) path: String,
    pub(super) span: Span,
    pub(super) values: Vec<Alternative>,
}

/// One value, with what belongs to it (`focal gamma=2.0`).
pub(super) struct Alternative {
    /// As it was written.
    pub(super) shown: String,
    pub(super) span: Span,
    pub(super) settings: Vec<Setting>,
    /// The value itself.
    pub(super) value: Option<Scalar>,
}

/// `repeat 3`.
pub(super) struct Repeat {
    pub(super) count: usize,
    /// The stage whose seed changes; that of all where there is none.
    pub(super) only: Option<Entry>,
    pub(super) span: Span,
}

/// `skip size=64 classifier.batch=128`: points where all of these hold.
pub(super) struct Skip {
    pub(super) wanted: Vec<(String, Span, Entry)>,
    pub(super) span: Span,
}

/// Reads a `sweep` node of `text`; none where it has no name, which is told.
pub(in super::super) fn read(node: &Node, text: &str, diags: &mut Vec<Diag>) -> Option<Reading> {
    let mut reader = Reader { text, diags };
    let Some((name, span)) = node.args().next().and_then(|entry| Some((entry.text()?.to_owned(), entry.span))) else {
        let hint = "write `sweep label-rules { over patches.label.min-pixels 1 16 64 }`";
        reader.wrong("missing-name", node.head, "a sweep needs a name", hint);
        return None;
    };
    if !crate::lang::is_name(&name) && !crate::lang::is_told_as_number(&name, span) {
        reader.wrong("bad-name", span, &format!("`{name}` can't be a name"), crate::lang::NAME_RULE);
    }
    for entry in node.entries.iter().skip(1) {
        let hint = format!("what a sweep does stands inside: `sweep {name} {{ over … }}`");
        reader.wrong("outside-braces", entry.whole, "this stands outside the braces", &hint);
    }
    let mut reading = Reading {
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
            reader.wrong("too-many-points", child.head, &message, "make several sweeps");
            reading.dimensions.truncate(MOST_AXES);
            break;
        }
    }
    reader.twice(&reading);
    Some(reading)
}

struct Reader<'a> {
    text: &'a str,
    diags: &'a mut Vec<Diag>,
}

impl Reader<'_> {
    fn wrong(&mut self, code: &'static str, span: Span, message: &str, hint: &str) {
        self.diags.push(Diag::error(code, span, message).hint(hint));
    }

    fn part(&mut self, child: &Node, reading: &mut Reading) {
        let once = |there: bool, reader: &mut Self| {
            if there {
                let message = format!("a sweep has one `{}`", child.name.text);
                reader.wrong("duplicate-param", child.head, &message, "leave one of them out");
            }
        };
        match child.name.text.as_str() {
            "doc" => reading.doc = child.args().next().and_then(Entry::text).map(str::to_owned),
            "of" => {
                once(reading.of.is_some(), self);
                match child.args().next().filter(|entry| entry.text().is_some()) {
                    Some(entry) => reading.of = Some((entry.clone(), child.prop("pipeline").cloned())),
                    None => self.wrong(
                        "missing-name",
                        child.head,
                        "`of` needs a pipeline",
                        "write the name of a pipeline of this file, or `of \"baseline.kdl\"`",
                    ),
                }
            }
            "over" => reading.dimensions.extend(self.over(child).map(|varied| vec![varied])),
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
                    _ => self.wrong(
                        "missing-param",
                        child.head,
                        "`rank` needs a figure",
                        "write `rank by=scores.mean-average-precision`: a stage and one of its figures",
                    ),
                }
            }
            other => {
                let hint = near::hint(other, ["of", "over", "zip", "repeat", "skip", "rank", "doc"], "");
                self.wrong("unknown-node", child.name.span, &format!("a sweep has no `{other}`"), &hint);
            }
        }
    }

    fn over(&mut self, node: &Node) -> Option<Varied> {
        let Some(entry) = node.args().next().filter(|entry| entry.text().is_some()) else {
            let hint = "write `over stage.param 1 2 4`";
            self.wrong("missing-name", node.head, "`over` needs a parameter", hint);
            return None;
        };
        let (path, span) = (entry.text().unwrap_or_default().to_owned(), entry.span);
        for (key, entry) in node.props() {
            let hint = format!("what belongs to a value stands beside it: `over {path} {{ - focal gamma=2.0 }}`");
            let message = format!("`{}=` belongs to no value here", key.text);
            self.wrong("sweep-axis", entry.whole, &message, &hint);
        }
        let mut values: Vec<Alternative> = node.args().skip(1).map(|entry| self.plain(&path, span, entry)).collect();
        let before = self.diags.len();
        for child in node.nodes() {
            if child.name.text == "-" {
                values.extend(self.dashed(&path, child));
            } else {
                let hint = format!("write the values in the line, `over {path} 1 2 4`, or each behind a `-`");
                self.wrong("sweep-axis", child.name.span, "the values of `over` begin with `-`", &hint);
            }
        }
        if values.is_empty() && self.diags.len() > before {
            return None;
        }
        if values.is_empty() {
            let hint = format!("write them behind it: `over {path} 1 2 4`");
            self.wrong("sweep-axis", node.head, &format!("`{path}` has no values here"), &hint);
            return None;
        }
        if values.len() > MOST_POINTS {
            let message = format!("`{path}` has {} values here; {MOST_POINTS} are the most", values.len());
            self.wrong("too-many-points", span, &message, "take fewer values");
            return None;
        }
        let mut met: BTreeMap<String, Span> = BTreeMap::new();
        for value in &values {
            if let Some(first) = met.insert(key(value), value.span) {
                let found = Diag::error("sweep-axis", value.span, format!("`{}` stands here twice", value.shown));
                self.diags.push(found.also(first, "first here").hint("leave one out; `repeat 3` repeats points"));
            }
        }
        Some(Varied { path, span, values })
    }

    /// A value in the line of its `over`.
    fn plain(&mut self, path: &str, name: Span, entry: &Entry) -> Alternative {
        let (mut values, mut found) = (Values::default(), Vec::new());
        let resolved = values.resolve(entry, &mut found);
        self.parameters(entry.span, &found);
        let given = Given {
            path: path.to_owned(),
            name,
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

    /// `- focal gamma=2.0`: a value with what belongs to it, or a list of values.
    fn dashed(&mut self, path: &str, node: &Node) -> Option<Alternative> {
        let Some(first) = node.args().next() else {
            self.wrong("sweep-axis", node.head, "there is no value behind this `-`", "write `- focal gamma=2.0`");
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

    /// That a sweep has no parameters to put in.
    fn parameters(&mut self, span: Span, found: &[Diag]) {
        if !found.is_empty() {
            let hint = "a `$name` is known inside its pipeline only; write the values themselves";
            self.wrong("sweep-axis", span, "a sweep takes values, not parameters", hint);
        }
    }

    fn zip(&mut self, node: &Node) -> Option<Vec<Varied>> {
        for entry in &node.entries {
            self.wrong(
                "outside-braces",
                entry.whole,
                "this stands outside the braces",
                "write `zip { over … ; over … }`",
            );
        }
        let mut all = Vec::new();
        for child in node.nodes() {
            if child.name.text == "over" {
                all.extend(self.over(child));
            } else {
                let message = format!("`zip` holds `over`, not `{}`", child.name.text);
                self.wrong("unknown-node", child.name.span, &message, "write `zip { over … ; over … }`");
            }
        }
        let Some(first) = all.first() else {
            if node.nodes().is_empty() {
                let hint = "write `zip { over … ; over … }`: their values go in step";
                self.wrong("sweep-axis", node.head, "this `zip` holds nothing", hint);
            }
            return None;
        };
        let count = first.values.len();
        if let Some(other) = all.iter().find(|varied| varied.values.len() != count) {
            let message = format!(
                "`{}` has {count} values and `{}` has {}, and they go in step",
                first.path,
                other.path,
                other.values.len()
            );
            let found = Diag::error("sweep-axis", other.span, message).also(first.span, "zipped with this");
            self.diags.push(found.hint("give both as many, or take them out of the `zip` for all combinations"));
            return None;
        }
        Some(all)
    }

    fn repeat(&mut self, node: &Node) -> Option<Repeat> {
        for (key, entry) in node.props().filter(|(key, _)| key.text != "only") {
            let hint = near::hint(&key.text, ["only"], "");
            self.wrong("unknown-param", entry.whole, &format!("`repeat` has no `{}`", key.text), &hint);
        }
        let only = node.prop("only").cloned();
        let args: Vec<&Entry> = node.args().collect();
        if let [Entry { value: Scalar::Int(count @ 1..=1000), .. }] = args.as_slice() {
            return Some(Repeat { count: usize::try_from(*count).unwrap_or(1), only, span: node.head });
        }
        let hint = "write `repeat 3`: the pipeline's seed and the two that follow it";
        self.wrong("out-of-range", node.head, "`repeat` takes one count, 1 to 1000", hint);
        None
    }

    fn skip(&mut self, node: &Node) -> Option<Skip> {
        let hint = "write `skip size=64 classifier.batch=128`: points where all of it holds are left out";
        for entry in node.args() {
            self.wrong("sweep-axis", entry.whole, "`skip` takes values with the names of their axes", hint);
        }
        let wanted: Vec<(String, Span, Entry)> =
            node.props().map(|(key, entry)| (key.text.clone(), key.span, entry.clone())).collect();
        if node.entries.is_empty() {
            self.wrong("sweep-axis", node.head, "this `skip` says nothing", hint);
        }
        (!wanted.is_empty()).then_some(Skip { wanted, span: node.head })
    }

    /// Tells of parameters that are varied twice.
    fn twice(&mut self, reading: &Reading) {
        let all: Vec<&Varied> = reading.dimensions.iter().flatten().collect();
        for (at, varied) in all.iter().enumerate() {
            if let Some(first) = all[..at].iter().find(|other| other.path == varied.path) {
                let found = Diag::error("duplicate-name", varied.span, format!("`{}` is varied twice", varied.path));
                self.diags.push(found.also(first.span, "first here").hint("write all its values in one `over`"));
            }
            if let Some(repeat) = reading.repeat.as_ref().filter(|_| varied.path == "seed") {
                let found = Diag::error("duplicate-name", varied.span, "`seed` is varied twice");
                let found = found.also(repeat.span, "`repeat` gives other seeds, too");
                self.diags.push(found.hint("take one of the two: `repeat` for mean and spread, `over seed` for rows"));
            }
        }
    }

    /// A value as its author wrote it.
    fn spelled(&self, entry: &Entry) -> String {
        match entry.text() {
            Some(text) => text.to_owned(),
            None => self.text[entry.span.range()].to_owned(),
        }
    }
}

/// The same text for values that are one, however they are written.
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

/// A number.
fn real(value: &Scalar) -> Option<f64> {
    match value {
        Scalar::Int(value) => Some(*value as f64),
        Scalar::Real(value) => Some(*value),
        _ => None,
    }
}
