//! From the arguments of a stage to its parameters: every value checked, every default filled in.

use std::collections::BTreeMap;

use super::arguments::Argument;
use super::describe::Described;
use super::hints::{self, Stray};
use super::near;
use super::param_type::{self, ParamType};
use super::scope::Scope;
use super::signature::{Case, Param, Signature};
use super::spec::ParamValue;
use super::value::Value;
use crate::base::Span;
use crate::diag::Diag;
use crate::syntax::{NodeEntry, Scalar};

/// The parameters of a stage.
#[derive(Debug, Default)]
pub(super) struct Filled {
    /// All of them, by dotted name.
    pub(super) params: BTreeMap<String, ParamValue>,
    /// The networks among them, with the values given to their parameters.
    pub(super) networks: BTreeMap<String, Described>,
    /// Where texts, the keys of maps and the values of lists stand, by parameter and text.
    pub(super) entries: EntrySpans,
    /// Mistakes found.
    pub(super) diags: Vec<Diag>,
}

/// Positions of texts, of the keys of maps and of the values of lists, by parameter and text.
pub(super) type EntrySpans = BTreeMap<(String, String), Span>;

/// Fills in the parameters of `signature` from `given`, without its ports. `stage` is the stage's name in
/// messages, `place` its declaration.
pub(super) fn fill(signature: &Signature, given: Vec<Argument>, scope: &Scope, stage: &str, place: Span) -> Filled {
    let used = vec![false; given.len()];
    let siblings = signature.children().collect();
    let mut filler = Filler { given, used, scope, siblings, stage, place, filled: Filled::default() };
    filler.all(&signature.params, "");
    filler.replaced(&signature.params);
    filler.leftovers(signature);
    filler.follow_from_slips();
    filler.filled
}

struct Filler<'a> {
    given: Vec<Argument>,
    used: Vec<bool>,
    scope: &'a Scope<'a>,
    /// Names allowed in the stage's braces.
    siblings: Vec<&'a str>,
    stage: &'a str,
    place: Span,
    filled: Filled,
}

impl Filler<'_> {
    fn error(&mut self, code: &'static str, span: Span, message: String, hint: impl Into<String>) {
        self.filled.diags.push(Diag::error(code, span, message).hint(hint));
    }

    fn all(&mut self, params: &[Param], prefix: &str) {
        for param in params {
            let path = format!("{prefix}{}", param.name);
            match &param.ty {
                ParamType::Group => self.group(param, &path),
                ParamType::Choice => self.choice(param, &path),
                ParamType::Map(of) => self.map(param, of, &path),
                ParamType::List(of) => self.list(param, of, &path),
                _ => self.scalar(param, &path),
            }
        }
    }

    /// Leaves out each parameter that another one replaces; setting both is an error.
    fn replaced(&mut self, params: &[Param]) {
        let set = |filled: &Filled, name: &str| filled.params.get(name).and_then(|param| param.span);
        for param in params {
            let Some(other) = &param.replaces else { continue };
            let Some(span) = set(&self.filled, &param.name) else { continue };
            if let Some(first) = set(&self.filled, other) {
                let message = format!("`{}` and `{other}` exclude each other", param.name);
                let found =
                    Diag::error("exclusive-params", span, message).also(first, format!("`{other}` is set here"));
                self.filled.diags.push(found.hint("remove one of them"));
            }
            let none = ParamValue { value: Value::None, keyed: false, span: None };
            self.filled.params.insert(other.clone(), none);
        }
    }

    /// The index of the argument for exactly `path`; a second one is an error.
    fn take(&mut self, path: &str) -> Option<usize> {
        let mut first = None;
        for at in 0..self.given.len() {
            if self.given[at].path != path {
                continue;
            }
            self.used[at] = true;
            let Some(first) = first else {
                first = Some(at);
                continue;
            };
            let (first, again) = (self.given[first].name, self.given[at].name);
            let found = Diag::error("duplicate-param", again, format!("`{path}` is set twice"));
            self.filled.diags.push(found.also(first, "first here").hint("remove one of them"));
        }
        first
    }

    /// Suppresses diagnostics below `path` after a mistake in `path` itself.
    fn suppress(&mut self, path: &str) {
        let prefix = format!("{path}.");
        for (given, used) in self.given.iter().zip(&mut self.used) {
            *used |= given.path.starts_with(&prefix);
        }
    }

    /// The same for what some case of a choice has, where it is not known which was meant.
    fn suppress_known(&mut self, param: &Param, path: &str) {
        let prefix = format!("{path}.");
        let of_cases = param.cases.iter().flat_map(|case| &case.params);
        if param.params.is_empty() {
            return self.suppress(path);
        }
        let known: Vec<&str> = param.params.iter().chain(of_cases).map(|inner| inner.name.as_str()).collect();
        for (given, used) in self.given.iter().zip(&mut self.used) {
            let below = given.path.strip_prefix(&prefix).and_then(|rest| rest.split('.').next());
            *used |= below.is_some_and(|name| known.contains(&name));
        }
    }

    fn group(&mut self, param: &Param, path: &str) {
        if let Some(at) = self.take(path) {
            let inner = param.params.first().map_or("…", |inner| &inner.name);
            let message = format!("`{path}` is a group of named values");
            self.error("wrong-kind", self.given[at].whole, message, format!("write `{} {inner}=…`", param.name));
        }
        self.all(&param.params, &format!("{path}."));
    }

    fn choice(&mut self, param: &Param, path: &str) {
        let present = self.given.iter().any(|given| given.path == path);
        let given = self.one(param, path);
        if present && given.is_none() {
            return self.suppress(path);
        }
        let name = match &given {
            Some((entry, _)) => match &entry.value {
                Scalar::Text(text) => text.clone(),
                Scalar::Int(number) => number.to_string(),
                Scalar::Bool(flag) => flag.to_string(),
                _ => String::new(),
            },
            None => match &param.default {
                Some(Value::Text(name)) => name.clone(),
                _ => return self.absent(param, path),
            },
        };
        let Some(case) = param.cases.iter().find(|case| case.name == name) else {
            let span = given.map_or(self.place, |(entry, _)| entry.span);
            let (hint, meant) = hints::case(param, path, &name);
            self.error("unknown-case", span, format!("`{path}` has no case `{name}`"), hint);
            // Its parameters are read as those of the case that was meant, so that all mistakes are reported at once.
            return match meant {
                Some(case) => self.case(param, path, case, None),
                None => self.suppress_known(param, path),
            };
        };
        self.case(param, path, case, given.map(|(_, whole)| whole));
    }

    fn case(&mut self, param: &Param, path: &str, case: &Case, whole: Option<Span>) {
        self.put(param, path, Value::Text(case.name.clone()), whole);
        let prefix = format!("{path}.");
        self.all(&case.params, &prefix);
        self.all(&param.params, &prefix);
    }

    /// The single value given to `path`, if any.
    fn one(&mut self, param: &Param, path: &str) -> Option<(NodeEntry, Span)> {
        let at = self.take(path)?;
        let given = &self.given[at];
        let whole = given.whole;
        if given.broken {
            self.absent_quietly(param, path);
            return None;
        }
        if let Some((plain, wrong)) = &given.plain {
            let textual = matches!(param.ty, ParamType::Text | ParamType::Path);
            let as_read = wrong.is_empty() && given.values.len() == 1;
            if textual && !(as_read && given.values[0].quoted) {
                return Some((plain.clone(), whole));
            }
            if !wrong.is_empty() {
                self.filled.diags.extend(wrong.iter().cloned());
                self.absent_quietly(param, path);
                return None;
            }
        }
        if let [value] = given.values.as_slice() {
            return Some((value.clone(), whole));
        }
        let message = match given.values.len() {
            0 => format!("`{path}` has no value"),
            count => format!("`{path}` takes one value, not {count}"),
        };
        let mut swallowed = given.values.iter().skip(1).filter(|entry| !entry.quoted).filter_map(NodeEntry::text);
        let hint = match swallowed.find(|word| self.siblings.iter().any(|name| name == word)) {
            Some(word) => format!("is a `;` missing before `{word}`?"),
            None if given.values.is_empty() && param.ty == ParamType::Bool => format!("write `{path} #true`"),
            None if !param.cases.is_empty() => {
                let cases: Vec<&str> = param.cases.iter().map(|case| case.name.as_str()).collect();
                format!("write {}", near::one_of(cases))
            }
            None => format!("expected {}", param.ty.words()),
        };
        self.error("value-count", whole, message, hint);
        self.absent_quietly(param, path);
        None
    }

    fn scalar(&mut self, param: &Param, path: &str) {
        let Some((entry, whole)) = self.one(param, path) else {
            return self.absent(param, path);
        };
        if param.ty == ParamType::Network {
            return self.network(param, path, &entry, whole);
        }
        let value = self.check(&param.ty, param, path, &entry);
        if let (ParamType::Text, Some(text)) = (&param.ty, entry.text()) {
            self.filled.entries.insert((path.to_owned(), text.to_owned()), entry.span);
        }
        self.put(param, path, value.unwrap_or(Value::None), Some(whole));
    }

    fn network(&mut self, param: &Param, path: &str, entry: &NodeEntry, whole: Span) {
        let name = entry.text().unwrap_or_default();
        // An argument of a template was resolved where the template is used.
        let passed = self.given.iter().find(|given| given.path == path).and_then(|given| given.network.clone());
        let found = passed.map(|network| *network);
        if let Some(described) = found.or_else(|| Some(self.scope.network(name, entry.span)?.called(name))) {
            let described = self.with_values(described, path);
            let value = described.as_ref().map_or(Value::None, |it| Value::Network(Box::new(it.spec.clone())));
            self.filled.networks.extend(described.map(|described| (path.to_owned(), described)));
            return self.put(param, path, value, Some(whole));
        }
        self.suppress(path);
        let hint = self.scope.near_network(name, entry.span);
        self.error("unknown-network", entry.span, format!("unknown network `{name}`"), hint);
        self.put(param, path, Value::None, Some(whole));
    }

    /// A network with the values given below `path` for its parameters (`network tiny width=64`).
    fn with_values(&mut self, described: Described, path: &str) -> Option<Described> {
        let prefix = format!("{path}.");
        let below: Vec<Argument> = self.given.iter().filter(|given| given.path.starts_with(&prefix)).cloned().collect();
        self.suppress(path);
        if below.is_empty() {
            return Some(described);
        }
        let (mut values, mut until) = (BTreeMap::new(), None);
        let before = self.filled.diags.len();
        for given in below {
            let name = &given.path[prefix.len()..];
            let network = &described.spec.name;
            if name == "to" {
                until = Some(given.clone());
            } else if described.params.iter().all(|(param, _)| param != name) {
                let known = described.params.iter().map(|(param, _)| param.as_str());
                let hint = hints::of_network(name, known);
                self.error("unknown-param", given.name, format!("network `{network}` has no parameter `{name}`"), hint);
            } else if let Some(first) = values.get(name) {
                let first: &NodeEntry = first;
                let found = Diag::error("duplicate-param", given.name, format!("`{}` is set twice", given.path));
                self.filled.diags.push(found.also(first.whole, "first here").hint("remove one of them"));
            } else if given.broken {
                return None;
            } else if let [value] = given.values.as_slice() {
                values.insert(name.to_owned(), value.clone());
            } else {
                let message = format!("`{}` takes one value, not {}", given.path, given.values.len());
                self.error("value-count", given.whole, message, format!("write `network {network} {name}=…`"));
            }
        }
        if self.filled.diags.len() > before {
            return None;
        }
        let (with, diags) = described.with(&values);
        // A single wrong value is reported where it is given, next to the layer that rejects it; of several it may be any.
        let alone = values.values().next().filter(|_| values.len() == 1).map(|entry| entry.whole);
        self.filled.diags.extend(diags.into_iter().map(|diag| match (alone, diag.labels.first()) {
            (Some(given), Some(label)) => {
                let moved = Diag::error(diag.code, given, diag.message.clone()).also(label.span, "this layer");
                diag.hint.iter().fold(moved, |moved, hint| moved.hint(hint.clone()))
            }
            _ => values.iter().fold(diag, |diag, (name, value)| diag.also(value.whole, format!("with this `{name}`"))),
        }));
        match until {
            Some(until) => self.until(&with?, &until),
            None => with,
        }
    }

    /// A network up to the tap that is given (`network resnet18 to=features`).
    fn until(&mut self, described: &Described, given: &Argument) -> Option<Described> {
        let network = &described.spec.name;
        let [value] = given.values.as_slice() else {
            let message = format!("`{}` takes one value, not {}", given.path, given.values.len());
            self.error("value-count", given.whole, message, format!("write `network {network} to=features`"));
            return None;
        };
        let name = value.text().unwrap_or_default();
        let found = described.until(name);
        if found.is_none() {
            let (message, hint) = described.no_tap(name);
            self.error("unknown-name", value.span, message, hint);
        }
        found
    }

    fn check(&mut self, kind: &ParamType, param: &Param, path: &str, entry: &NodeEntry) -> Option<Value> {
        match param_type::value(kind, param.range.as_ref(), param.default.as_ref(), entry) {
            Ok(value) => Some(value),
            Err(refusal) => {
                let absent = match &entry.value {
                    Scalar::Null => true,
                    Scalar::Text(text) => matches!(text.to_lowercase().as_str(), "none" | "null" | "na" | "nil"),
                    _ => false,
                };
                let hint = if absent && (param.optional || param.default.is_some()) {
                    format!("omit `{path}`")
                } else {
                    refusal.hint
                };
                self.error(refusal.code, entry.span, format!("`{path}` {}", refusal.text), hint);
                None
            }
        }
    }

    fn list(&mut self, param: &Param, of: &ParamType, path: &str) {
        let Some(at) = self.take(path) else { return self.absent(param, path) };
        let mut given = self.given[at].clone();
        if let Some((plain, wrong)) = given.plain.take()
            && !wrong.is_empty()
        {
            match of {
                ParamType::Text | ParamType::Path => given.values = vec![plain],
                _ => {
                    self.filled.diags.extend(wrong);
                    given.broken = true;
                }
            }
        }
        if given.values.is_empty() && !given.broken {
            let message = format!("`{path}` has no values");
            self.error("value-count", given.whole, message, format!("expected {}", param.ty.words()));
        }
        let entries: Vec<NodeEntry> = given.values.iter().flat_map(|entry| spread(entry, of, given.property)).collect();
        let named = entries.iter().filter_map(|entry| Some(((path.to_owned(), entry.text()?.to_owned()), entry.span)));
        self.filled.entries.extend(named);
        let values = entries.iter().filter_map(|entry| self.check(of, param, path, entry)).collect();
        self.put(param, path, Value::List(values), Some(given.whole));
    }

    /// `take SE 3`, `take SE=3`, `take { SE 3 }`, several of them, `masks MA "…" HE "…"`.
    fn map(&mut self, param: &Param, of: &ParamType, path: &str) {
        let prefix = format!("{path}.");
        let mut pairs: BTreeMap<String, (Span, Option<Value>)> = BTreeMap::new();
        let mut whole = None;
        for i in 0..self.given.len() {
            let here = self.given[i].path == path;
            let Some(key) = self.given[i].path.strip_prefix(&prefix).map(str::to_owned).or(here.then(String::new))
            else {
                continue;
            };
            self.used[i] = true;
            let given = self.given[i].clone();
            whole = whole.or(Some(given.whole));
            if given.broken {
                continue;
            }
            let mut values = given.values;
            if let Some((plain, wrong)) = given.plain
                && !wrong.is_empty()
            {
                match of {
                    ParamType::Text | ParamType::Path | ParamType::List(_) if !here => values = vec![plain],
                    _ => {
                        self.filled.diags.extend(wrong);
                        continue;
                    }
                }
            }
            for (key, name, values) in self.pairs(of, path, (!here).then_some((key, given.name)), given.whole, &values)
            {
                let value = match of {
                    ParamType::List(of) => Some(Value::List(
                        values.iter().filter_map(|value| self.check(of, param, path, value)).collect(),
                    )),
                    _ => values.first().and_then(|value| self.check(of, param, &format!("{path} {key}"), value)),
                };
                if let Some((first, _)) = pairs.insert(key.clone(), (name, value)) {
                    let found = Diag::error("duplicate-param", name, format!("`{path} {key}` is set twice"));
                    self.filled.diags.push(found.also(first, "first here").hint("remove one of them"));
                }
            }
        }
        if whole.is_none() {
            return self.absent(param, path);
        }
        self.filled.entries.extend(pairs.iter().map(|(key, (name, _))| ((path.to_owned(), key.clone()), *name)));
        let values = pairs.into_iter().filter_map(|(key, (_, value))| Some((key, value?))).collect();
        self.put(param, path, Value::Map(values), whole);
    }

    /// The keys and values of one argument of a map; `below` is the key if it is part of the name.
    fn pairs(
        &mut self,
        of: &ParamType,
        path: &str,
        below: Option<(String, Span)>,
        whole: Span,
        values: &[NodeEntry],
    ) -> Vec<(String, Span, Vec<NodeEntry>)> {
        let many = matches!(of, ParamType::List(_));
        let hint = if many { format!("write `{path} NAME value value`") } else { format!("write `{path} NAME value`") };
        if let Some((key, name)) = below {
            if values.len() == 1 || many && !values.is_empty() {
                return vec![(key, name, values.to_vec())];
            }
            self.error("value-count", whole, format!("`{path} {key}` takes one value, not {}", values.len()), hint);
            return Vec::new();
        }
        let size = if many { values.len().max(2) } else { 2 };
        if values.is_empty() || !values.len().is_multiple_of(size) {
            self.error("value-count", whole, format!("`{path}` takes pairs of a name and a value"), hint);
            return Vec::new();
        }
        let mut pairs = Vec::new();
        for pair in values.chunks(size) {
            match pair[0].text() {
                Some(key) => pairs.push((key.to_owned(), pair[0].span, pair[1..].to_vec())),
                None => self.error("wrong-kind", pair[0].span, format!("`{path}` needs a name here"), hint.clone()),
            }
        }
        pairs
    }

    fn put(&mut self, param: &Param, path: &str, value: Value, given: Option<Span>) {
        let quiet = param.since.is_some() && value == *param.default.as_ref().unwrap_or(&Value::None);
        self.filled.params.insert(path.to_owned(), ParamValue { value, keyed: param.keyed && !quiet, span: given });
    }

    /// The value of a parameter that is filled in already.
    fn value(&self, path: &str) -> Option<&Value> {
        self.filled.params.get(path).map(|param| &param.value)
    }

    /// A parameter that is not set: its default, or an error if it is required.
    fn absent(&mut self, param: &Param, path: &str) {
        if self.filled.params.contains_key(path) {
            return;
        }
        if param.default.is_none() && !param.optional {
            let message = format!("{} needs `{path}`: {}", self.stage, lower_first(&param.doc));
            let form = match path.split_once('.') {
                Some((outer, inner)) => {
                    let case = match self.value(outer) {
                        Some(Value::Text(case)) => case.as_str(),
                        _ => "…",
                    };
                    format!("write `{outer} {case} {inner}=…`, {}", param.ty.words())
                }
                None => format!("write `{path} …`, {}", param.ty.words()),
            };
            // If a case of a choice is given, its missing parameter is reported there.
            let outer = path.rsplit_once('.').and_then(|(outer, _)| self.filled.params.get(outer)?.span);
            let place = outer.unwrap_or(self.place);
            self.error("missing-param", place, message, form);
        }
        self.absent_quietly(param, path);
    }

    fn absent_quietly(&mut self, param: &Param, path: &str) {
        let value = param.default.clone().unwrap_or(Value::None);
        self.put(param, path, value, None);
    }

    /// Takes out parameters that are missing because their name is misspelt.
    fn follow_from_slips(&mut self) {
        let hints = self.filled.diags.iter().filter(|diag| diag.code == "unknown-param");
        let meant = hints.filter_map(|diag| diag.hint.as_deref()?.strip_prefix("did you mean `")?.split('`').next());
        let missing: Vec<String> = meant.map(|name| format!("{} needs `{name}`:", self.stage)).collect();
        let follows = |diag: &Diag| missing.iter().any(|begin| diag.message.starts_with(begin));
        self.filled.diags.retain(|diag| diag.code != "missing-param" || !follows(diag));
    }

    fn leftovers(&mut self, signature: &Signature) {
        let left: Vec<Argument> =
            self.given.iter().zip(&self.used).filter(|(_, used)| !**used).map(|(given, _)| given.clone()).collect();
        for given in left {
            let mut segments: Vec<&str> = given.path.split('.').collect();
            let first = segments.remove(0);
            if let Some(port) = signature.input(first) {
                let inner = segments.join(".");
                if given.values.is_empty() {
                    let hint = format!("write `{first} {inner}`");
                    self.error("wrong-kind", given.name, format!("`{}` takes the name of a stage", port.name), hint);
                } else {
                    let hint = format!("a port takes only a stage: `{first} STAGE` or `{first} STAGE.OUTPUT`");
                    self.error("unknown-param", given.name, format!("`{}` has no `{inner}`", port.name), hint);
                }
                continue;
            }
            let Some(param) = signature.params.iter().find(|param| param.name == first) else {
                let message = format!("`{}` has no port or parameter `{first}`", signature.name);
                let chosen = |path: &str| match self.value(path) {
                    Some(Value::Text(case)) => Some(case.clone()),
                    _ => None,
                };
                let rest = segments.first().copied();
                let hint = Stray { signature, name: first, rest, values: &given.values, chosen: &chosen }.hint();
                if self.filled.diags.iter().all(|diag| diag.message != message) {
                    self.error("unknown-param", given.head, message, hint);
                }
                continue;
            };
            self.left(param, first, &segments, &given);
        }
    }

    /// Reports a mistake in a name below `param`, whose dotted name is `path`.
    fn left(&mut self, param: &Param, path: &str, rest: &[&str], given: &Argument) {
        let Some((&next, rest)) = rest.split_first() else { return };
        let case = match self.value(path) {
            Some(Value::Text(case)) => param.cases.iter().find(|one| one.name == *case),
            _ => None,
        };
        let of_case = case.map_or(&[][..], |case| &case.params);
        let inner: Vec<&Param> = param.params.iter().chain(of_case).collect();
        if let Some(inner) = inner.iter().find(|inner| inner.name == next) {
            return self.left(inner, &format!("{path}.{next}"), rest, given);
        }
        let elsewhere = param.cases.iter().find(|case| case.params.iter().any(|inner| inner.name == next));
        match (elsewhere, case) {
            (Some(other), Some(case)) => {
                let message = format!("`{next}` belongs to `{path} {}`, not to `{path} {}`", other.name, case.name);
                self.error(
                    "wrong-case",
                    given.name,
                    message,
                    format!("write `{path} {}`, or remove `{next}`", other.name),
                );
            }
            _ if inner.is_empty() => {
                let message = format!("`{path}` is a single value and has no parameter `{next}`");
                let hint = hints::f_beta(param, next).unwrap_or_else(|| format!("expected {}", param.ty.words()));
                self.error("unknown-param", given.name, message, hint);
            }
            _ => {
                let hint = hints::below(path, next, &inner);
                self.error("unknown-param", given.name, format!("`{path}` has no `{next}`"), hint);
            }
        }
    }
}

/// A property holds only one value, so a list of numbers is given as one string.
fn spread(entry: &NodeEntry, of: &ParamType, property: bool) -> Vec<NodeEntry> {
    match entry.text() {
        Some(text) if property && !matches!(of, ParamType::Text | ParamType::Path) => text
            .split_whitespace()
            .map(|word| {
                let value = word.parse::<i64>().map(Scalar::Int).or_else(|_| word.parse().map(Scalar::Real));
                NodeEntry { value: value.unwrap_or_else(|_| Scalar::Text(word.to_owned())), ..entry.clone() }
            })
            .collect(),
        _ => vec![entry.clone()],
    }
}

pub(super) fn lower_first(doc: &str) -> String {
    let first = doc.split_inclusive(['.', ';', ':']).next().unwrap_or_default().trim_end_matches(['.', ';', ':']);
    if first.chars().nth(1).is_none_or(char::is_uppercase) {
        return first.to_owned();
    }
    let mut letters = first.chars();
    letters.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(letters).collect()
}
