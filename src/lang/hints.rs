//! What is said of a name that is not known: a near miss, a name that stands in another place, or macula's own for a word of
//! another tool. Knows signatures, no text.

use std::collections::BTreeSet;

use super::foreign::{ForeignWord, To, WORDS};
use super::lower::repeat::without_numbers;
use super::near::{self, near};
use super::param_type::{self, ParamType};
use super::signature::{Case, Param, Signature};
use super::spec::Pipeline;
use super::stdlib::stdlib;
use crate::syntax::{NodeEntry, Scalar};

/// Names of a hint that lists several.
const MOST_LISTED: usize = 6;

/// Where a seed belongs.
pub(super) const ONE_SEED: &str =
    "all stages draw with one seed, `pipeline NAME seed=7 { … }`; `replicate 1` gives a stage other random numbers";

/// A name without case, dashes and underscores; the dashes that begin a flag stay.
fn flat(name: &str) -> String {
    let (dashes, name) = name.split_at(name.len() - name.trim_start_matches('-').len());
    dashes.to_owned() + &name.to_lowercase().replace(['-', '_', ' '], "")
}

/// What macula has for a word of another tool; several where it means several things.
pub fn foreign(word: &str) -> impl Iterator<Item = &'static ForeignWord> + use<> {
    let wanted = flat(near::unqualified(word));
    WORDS.iter().filter(move |row| flat(row.word) == wanted)
}

impl ForeignWord {
    /// What to use in macula, as a hint has it.
    #[must_use]
    pub fn hint(&self) -> String {
        let Some(place) = self.place() else { return self.note.to_owned() };
        match self.to {
            To::Stage(_) | To::Command(_) | To::Flag(..) if !self.note.is_empty() => {
                format!("use {place}: {}", self.note)
            }
            _ => format!("use {place}{}", self.aside()),
        }
    }

    /// What macula has for it, in words; none where it has nothing.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        Some(match self.to {
            To::Stage(stage) => format!("the `{stage}` stage"),
            To::Inputs => "the input ports of a stage".to_owned(),
            To::Port(stage, port) => format!("the `{port}` port of `{stage}`"),
            To::Output(stage, output) => format!("the `{output}` output of `{stage}`"),
            To::Param(stage, path) => {
                let params = signature(stage).map_or(&[][..], |signature| &signature.params);
                let written = spelled(params, path, None, "…").unwrap_or_else(|| path.to_owned());
                format!("`{written}` in the `{stage}` stage")
            }
            To::Case(stage, path, case) => format!("`{path} {case}` in the `{stage}` stage"),
            To::Metric(stage, metric) => format!("the `{metric}` metric of `{stage}`"),
            To::Layer(layer) => format!("the `{layer}` layer"),
            To::Node(_, form) => format!("`{form}`"),
            To::Command(command) => format!("`macula {command}`"),
            To::Flag(command, flag) => format!("`macula {command} {flag}`"),
            To::Nothing => return None,
        })
    }

    /// The note in parentheses.
    fn aside(&self) -> String {
        if self.note.is_empty() { String::new() } else { format!(" ({})", self.note) }
    }
}

/// The stage or the template of that name in the standard library.
pub(super) fn signature(name: &str) -> Option<&'static Signature> {
    let all = stdlib();
    all.signatures.iter().chain(&all.templates).find(|signature| signature.name == name)
}

/// How a parameter is written, by its dotted name: `optimizer adamw lr=…`. `chosen` is the case that its choice has where it is
/// written. None where there is no such parameter.
#[must_use]
pub fn spelled(params: &[Param], path: &str, chosen: Option<&str>, value: &str) -> Option<String> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let param = params.iter().find(|param| param.name == first)?;
    let Some(rest) = rest else {
        let key = if matches!(param.ty, ParamType::Map(_)) { "NAME " } else { "" };
        return (param.ty != ParamType::Group).then(|| format!("{first} {key}{value}"));
    };
    let has = |params: &[Param]| params.iter().any(|inner| inner.name == rest);
    if param.ty == ParamType::Group {
        return has(&param.params).then(|| format!("{first} {rest}={value}"));
    }
    let fits = |case: &&Case| has(&param.params) || has(&case.params);
    let by_default = |case: &&Case| param.default.as_ref().is_some_and(|default| default.to_string() == case.name);
    let mut of_cases = param.cases.iter().filter(fits);
    let case = of_cases
        .clone()
        .find(|case| Some(case.name.as_str()) == chosen)
        .or_else(|| of_cases.clone().find(by_default))
        .or_else(|| of_cases.next())?;
    Some(format!("{first} {} {rest}={value}", case.name))
}

/// Something that a stage is given under a name that it does not have.
pub(super) struct Stray<'a> {
    /// The stage.
    pub(super) signature: &'a Signature,
    /// The name, up to its first dot.
    pub(super) name: &'a str,
    /// What follows the dot (`patience` of `early-stopping patience=3`).
    pub(super) rest: Option<&'a str>,
    /// The values.
    pub(super) values: &'a [NodeEntry],
    /// The cases that choices of the stage have, by their names.
    pub(super) chosen: &'a dyn Fn(&str) -> Option<String>,
}

impl Stray<'_> {
    /// What to write in its place.
    pub(super) fn hint(&self) -> String {
        let Self { signature, name, .. } = self;
        if *name == "seed" {
            return ONE_SEED.to_owned();
        }
        if let Some(hint) = foreign(name).find_map(|row| self.own(row)) {
            return hint;
        }
        if near(name, signature.children()).is_none() {
            let elsewhere = || foreign(name).next().map(ForeignWord::hint);
            if let Some(hint) = self.inner().or_else(|| self.case()).or_else(|| self.network()).or_else(elsewhere) {
                return hint;
            }
        }
        let page = format!("`macula doc {}` lists its parameters", signature.name);
        near::hint(name, signature.children(), &page) + &elsewhere(name, signature)
    }

    /// What a word of another tool is in this stage.
    fn own(&self, row: &ForeignWord) -> Option<String> {
        let params = &self.signature.params;
        let did_you_mean = |name: &str| format!("did you mean `{name}`?{}", row.aside());
        let write = |text: &str| format!("write `{text}`{}", row.aside());
        match row.to {
            To::Inputs => {
                let required = self.signature.inputs.iter().filter(|port| !port.optional);
                let needed: Vec<&str> = required.map(|port| port.name.as_str()).collect();
                match needed.as_slice() {
                    [] => None,
                    [one] => Some(did_you_mean(one)),
                    several => Some(format!("its inputs are {}", near::names(several.iter().copied()))),
                }
            }
            To::Port(_, port) => self.signature.input(port).map(|_| did_you_mean(port)),
            To::Param(stage, path) => {
                let last = path.rsplit('.').next().unwrap_or(path);
                // A template may have the parameter of one of its stages.
                let of_template = stage != self.signature.name && params.iter().any(|param| param.name == last);
                let path = if of_template { last } else { path };
                let first = path.split('.').next().unwrap_or(path);
                let param = params.iter().find(|param| param.name == first)?;
                if path == first && self.rest.is_none() {
                    return Some(did_you_mean(first));
                }
                let value = self.value(param, path, last);
                spelled(params, path, (self.chosen)(first).as_deref(), &value).map(|text| write(&text))
            }
            To::Case(_, path, case) => {
                let param = params.iter().find(|param| param.name == path)?;
                param.cases.iter().find(|one| one.name == case)?;
                Some(write(&format!("{path} {case}")))
            }
            // What the stage does without being asked.
            To::Stage(stage) if stage == self.signature.name && !row.note.is_empty() => {
                Some(format!("remove it: {}", row.note))
            }
            _ => None,
        }
    }

    /// What is given, where it can be a value of `param`.
    fn value(&self, param: &Param, path: &str, last: &str) -> String {
        let meant = self.rest.is_none_or(|rest| flat(rest) == flat(last));
        let whole = path == param.name;
        let value = self.values.first().filter(|_| meant && self.values.len() == 1);
        let fits = |entry: &&NodeEntry| match (&param.ty, whole) {
            (ParamType::Choice, true) => param.cases.iter().any(|case| Some(case.name.as_str()) == entry.text()),
            (kind, true) => param_type::value(kind, param.range.as_ref(), None, entry).is_ok(),
            (_, false) => matches!(entry.value, Scalar::Int(_) | Scalar::Real(_)),
        };
        value.filter(fits).map_or_else(|| "…".to_owned(), |entry| entry.value.to_string())
    }

    /// A parameter of a choice or of a group, written by itself.
    fn inner(&self) -> Option<String> {
        let wanted = flat(self.name);
        let (outer, inner) = self.signature.params.iter().find_map(|outer| {
            let of_cases = outer.cases.iter().flat_map(|case| &case.params);
            let inner = outer.params.iter().chain(of_cases).find(|inner| flat(&inner.name) == wanted)?;
            Some((outer, inner))
        })?;
        let path = format!("{}.{}", outer.name, inner.name);
        let written = spelled(&self.signature.params, &path, (self.chosen)(&outer.name).as_deref(), "…")?;
        Some(format!("it belongs to `{}`: write `{written}`", outer.name))
    }

    /// A case of a choice, written by itself: `focal gamma=2.0`.
    fn case(&self) -> Option<String> {
        let wanted = flat(self.name);
        let of = |param: &Param| {
            let case = param.cases.iter().find(|case| flat(&case.name) == wanted)?;
            Some(format!("it is a case of `{0}`: write `{0} {1}`", param.name, case.name))
        };
        self.signature.params.iter().find_map(of)
    }

    /// A network, written by itself.
    fn network(&self) -> Option<String> {
        let param = self.signature.params.iter().find(|param| param.ty == ParamType::Network)?;
        let network = stdlib().networks.iter().find(|network| flat(&network.spec.name) == flat(self.name))?;
        Some(format!("it is a network: write `{} {}`", param.name, network.spec.name))
    }
}

/// The stages of the standard library that have a parameter, where `signature` has none of a name near it.
fn elsewhere(name: &str, signature: &Signature) -> String {
    if near(name, signature.children()).is_some() {
        return String::new();
    }
    let has = |other: &&Signature| other.params.iter().any(|param| param.name == name);
    let stages: Vec<&str> = super::signatures().iter().filter(has).map(|other| other.name.as_str()).take(3).collect();
    if stages.is_empty() { String::new() } else { format!("; `{name}` is a parameter of {}", near::names(stages)) }
}

/// What to write for a name below a choice or a group that has no such parameter: `weight_decay` of `optimizer`.
pub(super) fn below(path: &str, name: &str, inner: &[&Param]) -> String {
    let own = |row: &ForeignWord| {
        let To::Param(_, full) = row.to else { return None };
        let last = full.strip_prefix(path)?.strip_prefix('.')?;
        inner.iter().find(|param| param.name == last)?;
        Some(if row.note.is_empty() {
            format!("did you mean `{last}`?")
        } else {
            format!("write `{last}=…`{}", row.aside())
        })
    };
    let known = || inner.iter().map(|param| param.name.as_str());
    foreign(name).find_map(own).unwrap_or_else(|| near::hint(name, known(), "it has none"))
}

/// What to write for a case that a choice does not have, and the case that was meant, where that is clear.
pub(super) fn case<'a>(param: &'a Param, path: &str, name: &str) -> (String, Option<&'a Case>) {
    let find = |name: &str| param.cases.iter().find(|case| case.name == name);
    let own = |row: &'static ForeignWord| match row.to {
        To::Case(_, of, case) if of == path => Some((row, find(case)?)),
        _ => None,
    };
    if let Some((row, case)) = foreign(name).find_map(own) {
        return (format!("did you mean `{}`?{}", case.name, row.aside()), Some(case));
    }
    if let Some(hint) = f_beta(param, name) {
        return (hint, None);
    }
    let names = || param.cases.iter().map(|case| case.name.as_str());
    (near::hint(name, names(), ""), near(name, names()).and_then(find))
}

/// What to write for F2, F0.5 and the like, where a choice has F-beta.
pub(super) fn f_beta(param: &Param, name: &str) -> Option<String> {
    let case = param.cases.iter().find(|case| case.name == "f-beta")?;
    let flat = flat(name);
    let beta = match flat.strip_suffix("score").unwrap_or(&flat).strip_prefix('f')? {
        "beta" => "2",
        beta => {
            beta.parse::<f64>().ok().filter(|beta| beta.is_finite() && *beta > 0.0 && *beta != 1.0).map(|_| beta)?
        }
    };
    Some(format!("write `{} {} beta={beta}`", param.name, case.name))
}

/// What to write for a parameter that a network does not have.
pub(super) fn of_network<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let own = |row: &&ForeignWord| matches!(row.to, To::Stage("weights") | To::Port(..) | To::Nothing);
    match foreign(name).find(own) {
        Some(row) => row.hint(),
        None => near::hint(name, known, "it has none; a network declares one with `param width default=32`"),
    }
}

/// What to write for a node that is not known, in a pipeline or next to one, where it is a word of another tool.
pub(super) fn node(name: &str) -> Option<String> {
    let stage = |row: &ForeignWord| match row.to {
        To::Stage(stage) => Some(format!("did you mean `{stage}`?{}", row.aside())),
        _ => None,
    };
    let is_node = |row: &&ForeignWord| !matches!(row.to, To::Command(_) | To::Flag(..));
    foreign(name)
        .find_map(stage)
        .or_else(|| foreign(name).find(is_node).map(ForeignWord::hint))
        .or_else(|| of_stages(name))
}

/// The stages that have a parameter of that name, for one that stands outside of them.
fn of_stages(name: &str) -> Option<String> {
    let find = |signature: &&Signature| {
        let inner = signature
            .params
            .iter()
            .flat_map(|param| param.params.iter().chain(param.cases.iter().flat_map(|case| &case.params)));
        signature.params.iter().chain(inner).any(|param| param.name == name)
    };
    let stages: Vec<&str> = super::signatures().iter().filter(find).map(|one| one.name.as_str()).collect();
    let form = match stages.first()? {
        one if stages.len() == 1 => format!("write it in its braces: `{one} NAME {{ … }}`"),
        _ => "write it in the braces of the stage".to_owned(),
    };
    let shown = near::names(stages.iter().take(MOST_LISTED).copied());
    let more = if stages.len() > MOST_LISTED { " and others" } else { "" };
    Some(format!("it is a parameter of {shown}{more}; {form}"))
}

/// The dotted names by which a parameter of a pipeline's stages can be set, where only its own name was given: `classifier.epochs` for
/// `epochs`. `stages` finds the signature of a stage with a body.
pub(super) fn settings<'a>(
    name: &str,
    pipeline: &Pipeline,
    stages: impl Fn(&str) -> Option<&'a Signature>,
) -> Vec<String> {
    let wanted = flat(name);
    let last = |path: &str| path.rsplit('.').next().is_some_and(|last| flat(last) == wanted);
    let is_meant = |path: &str| flat(path) == wanted || !name.contains('.') && last(path);
    let mut found: Vec<String> = Vec::new();
    let mut covered: Vec<String> = Vec::new();
    for instance in &pipeline.instances {
        let params = stages(&instance.stage_type).map_or(&[][..], |signature| &signature.params);
        let within = covered.iter().any(|outer| instance.name.starts_with(outer.as_str()));
        if let Some(param) = params.iter().find(|param| is_meant(&param.name)).filter(|_| !within) {
            found.push(format!("{}.{}", without_numbers(&instance.name), param.name));
            // What stands in its body gets the value from it.
            covered.push(format!("{}.", instance.name));
        }
    }
    for stage in &pipeline.stages {
        if covered.iter().any(|outer| stage.base_name.starts_with(outer.as_str())) {
            continue;
        }
        let own = stage.params.keys().filter(|path| is_meant(path));
        let of_row = |row: &ForeignWord| match row.to {
            To::Param(kind, path) if kind == stage.stage_type => Some(path.to_owned()),
            _ => None,
        };
        let words = foreign(name).filter_map(of_row).filter(|path| stage.params.contains_key(path));
        let paths: BTreeSet<String> = own.cloned().chain(words).collect();
        found.extend(paths.into_iter().map(|path| format!("{}.{path}", without_numbers(&stage.base_name))));
    }
    let mut seen = BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    found
}

/// Keeps the settings whose parameter has a case of that name, if any has: of the devices of two stages, only one may be `cuda`.
pub(super) fn keep_possible<'a>(
    names: &mut Vec<String>,
    pipeline: &Pipeline,
    stages: impl Fn(&str) -> Option<&'a Signature>,
    value: &str,
) {
    let has_case = |name: &String| {
        let (stage, path) = name.rsplit_once('.')?;
        let of_stage = pipeline.stages.iter().find(|found| super::addresses(stage, &found.base_name))?;
        let param = stages(&of_stage.stage_type)?.params.iter().find(|param| param.name == path)?;
        Some(param.cases.iter().any(|case| case.name == value))
    };
    if names.iter().any(|name| has_case(name) == Some(true)) {
        names.retain(|name| has_case(name) == Some(true));
    }
}

/// How to set one of `names`, the dotted names that [`settings`] found for `name`; none where there are none.
pub(super) fn set(name: &str, names: &[String], value: &str) -> Option<String> {
    match names {
        [] => None,
        [one] => Some(format!("write `--set {one}={value}`")),
        [first, ..] => {
            let shown = near::names(names.iter().take(MOST_LISTED).map(String::as_str));
            let more = if names.len() > MOST_LISTED { ", and more" } else { "" };
            Some(format!("`{name}` could be {shown}{more}: write e.g. `--set {first}={value}`"))
        }
    }
}
