//! Lowers one `pipeline` node to a [`Pipeline`]: names, ports and parameters, then checks of the whole. Templates
//! are expanded.

mod connect;
mod frame;
pub(super) mod repeat;
mod values;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::arguments::{Argument, Setting, gather};
use super::draft::Draft;
use super::fill::{self, Filled};
use super::flow;
use super::hints;
use super::near;
use super::param_type::ParamType;
use super::scope::Scope;
use super::signature::Signature;
use super::spec::{Instance, Output, Pipeline, StageSpec};
use super::value::Value;
use crate::base::Span;
use crate::diag::{Diag, Severity};
use crate::syntax::{Node, NodeEntry, Scalar};
use frame::{Declared, Frame};
use repeat::{Copies, addresses, without_numbers};

/// The frame of the pipeline, or of a body that is checked by itself.
const ROOT: usize = 0;

/// The result of lowering one pipeline.
pub(super) struct Lowered {
    pub(super) pipeline: Pipeline,
    pub(super) diags: Vec<Diag>,
    /// Settings that named one of its stages or parameters, by index.
    pub(super) matched: BTreeSet<usize>,
    /// The names that a setting could have.
    pub(super) names: Vec<String>,
}

/// Errors in template bodies that were already reported: code, message and position.
pub(super) type Reported = BTreeSet<(&'static str, String, Span)>;

/// Checks a pipeline and fills it in. It is usable if no diagnostic is an error. `reported` holds the errors in template
/// bodies that were already reported.
pub(super) fn lower(node: &Node, scope: &Scope, settings: &[Setting], reported: &mut Reported) -> Lowered {
    let mut lowerer = Lowerer::new(scope, settings, reported);
    let (name, span) = lowerer.name(node);
    lowerer.name.clone_from(&name);
    let seed = lowerer.seed(node, &name, span);
    let values = lowerer.params(node);
    lowerer.open(Frame::pipeline(values), node.nodes());
    let mut names: Vec<String> = lowerer.frames[ROOT].values.known.keys().cloned().collect();
    names.extend(lowerer.paths().map(|(path, _)| without_numbers(&path)));
    names.push("seed".to_owned());
    names.sort();
    names.dedup();
    lowerer.read();
    lowerer.leave_copies();
    lowerer.unused_params(ROOT, node.nodes());
    if let Some(doc) = node.child("doc") {
        let words: Vec<String> = doc.args().map(written).collect();
        if let (Some(first), Some(last)) = (doc.args().next(), doc.args().nth(1).and(doc.args().last())) {
            let place = Span { end: last.whole.end, ..first.whole };
            let hint = format!("write `doc \"{}\"`", words.join(" ").replace('"', ""));
            lowerer.error(ROOT, "value-count", place, "`doc` takes one quoted string", hint);
        }
    }
    let instances = lowerer.instances();
    let mut stages = lowerer.stages();
    for stage in &mut stages {
        stage.seed = seed;
    }
    let Lowerer { diags, matched, .. } = lowerer;
    let doc = node.child("doc").and_then(|doc| doc.args().next()).and_then(NodeEntry::text).map(str::to_owned);
    Lowered { pipeline: Pipeline { name, seed, doc, stages, instances, span }, diags, matched, names }
}

/// Checks the body of a template by itself, as if its ports were connected. `declaring` is the node that declares it.
pub(super) fn check_body(signature: &Signature, declaring: &Node, scope: &Scope, reported: &mut Reported) -> Vec<Diag> {
    let Some(body) = &signature.body else { return Vec::new() };
    let mut lowerer = Lowerer::new(scope, &[], reported);
    let mut frame = Frame::body(String::new(), signature, None, None);
    for param in &signature.params {
        let value = param.default.as_ref().map(|value| values::entries(value, signature.span));
        let value = value.or_else(|| param.optional.then(Vec::new));
        frame.values.known.insert(param.name.clone(), value);
    }
    lowerer.open(frame, &body.nodes);
    lowerer.read();
    lowerer.leave_copies();
    lowerer.unused_params(ROOT, declaring.nodes());
    lowerer.stages();
    let errors = lowerer.diags.iter();
    lowerer.reported.extend(errors.map(|diag| (diag.code, diag.message.clone(), diag.labels[0].span)));
    lowerer.diags
}

struct Lowerer<'a> {
    /// The pipeline's name.
    name: String,
    scope: &'a Scope<'a>,
    settings: &'a [Setting],
    frames: Vec<Frame<'a>>,
    drafts: Vec<Draft<'a>>,
    /// The copies of each `repeat`.
    repeats: Vec<Copies>,
    /// By frame and stage, the reference at the port that its outputs follow.
    followed: BTreeMap<(usize, String), String>,
    /// By frame, stage and output, the types of outputs that follow a port.
    types: RefCell<BTreeMap<(usize, String, String), Vec<String>>>,
    /// Number of stages, instances and copies declared.
    stages: usize,
    /// Whether the type of every stage is known.
    whole: bool,
    matched: BTreeSet<usize>,
    reported: &'a mut Reported,
    diags: Vec<Diag>,
}

impl<'a> Lowerer<'a> {
    fn new(scope: &'a Scope<'a>, settings: &'a [Setting], reported: &'a mut Reported) -> Self {
        Self {
            name: String::new(),
            scope,
            settings,
            frames: Vec::new(),
            drafts: Vec::new(),
            repeats: Vec::new(),
            followed: BTreeMap::new(),
            types: RefCell::default(),
            stages: 0,
            whole: true,
            matched: BTreeSet::new(),
            reported,
            diags: Vec::new(),
        }
    }

    /// Reports a diagnostic in a frame; in a template with the places of its use. One in a template or in a copy of a `repeat` is reported
    /// only once.
    fn report(&mut self, at: usize, mut diag: Diag) {
        let used = self.used(at);
        let copied = self.frames.get(at).is_some_and(|frame| frame.copy.is_some());
        if (copied || !used.is_empty())
            && let Some(label) = diag.labels.first()
            && !self.reported.insert((diag.code, diag.message.clone(), label.span))
        {
            self.whole &= diag.severity != Severity::Error;
            return;
        }
        for (span, name) in used {
            diag = diag.also(span, format!("in `{name}`, which is used here"));
        }
        self.diags.push(diag);
    }

    fn error(
        &mut self,
        at: usize,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.report(at, Diag::error(code, span, message).hint(hint));
    }

    /// The uses of the templates around a frame, the innermost first, with their names.
    fn used(&self, at: usize) -> Vec<(Span, String)> {
        let mut used = Vec::new();
        if self.frames.is_empty() {
            return used;
        }
        let mut at = self.around_copies(at);
        while let Some((span, parent)) = self.frames[at].of.as_ref().and_then(|of| of.used) {
            used.push((span, self.frames[at].prefix.trim_end_matches('.').to_owned()));
            at = self.around_copies(parent);
        }
        used
    }

    /// Every stage and every instance by its dotted name.
    fn paths(&self) -> impl Iterator<Item = (String, Declared<'a>)> {
        self.frames.iter().flat_map(|frame| {
            let named =
                frame.declared.iter().filter(|(_, of)| !matches!(of, Declared::Port(..) | Declared::Repeat(..)));
            named.map(|(name, declared)| (format!("{}{name}", frame.prefix), *declared))
        })
    }

    /// The stage or instance that a setting addresses: the one with the longest name that is a prefix of its path.
    fn owner<'s>(&self, path: &'s str) -> Option<&'s str> {
        self.owner_in(ROOT, path, 0)
    }

    /// As [`Self::owner`], of the part of a path from a byte on, in a frame.
    fn owner_in<'s>(&self, at: usize, path: &'s str, end: usize) -> Option<&'s str> {
        let rest = &path[end..];
        let name = rest.split('.').next().unwrap_or_default();
        let outer = path[..end].strip_suffix('.');
        if rest.len() == name.len() {
            return outer;
        }
        match self.frames[at].declared.get(name) {
            Some(Declared::Instance(.., frame)) => self.owner_in(*frame, path, end + name.len() + 1),
            Some(Declared::Repeat(_, index)) => {
                let (copies, inner) = self.copies(*index, &rest[name.len() + 1..])?;
                // Copies may differ in the count of a `repeat` inside.
                let found = copies.iter().filter_map(|copy| self.owner_in(*copy, path, path.len() - inner.len()));
                found.max_by_key(|owner| owner.len())
            }
            Some(Declared::Stage(..)) => Some(&path[..end + name.len()]),
            _ => outer,
        }
    }

    fn name(&mut self, node: &Node) -> (String, Span) {
        let Some(entry) = node.args().next() else {
            let hint = "write `pipeline baseline seed=7 { … }`";
            self.error(ROOT, "missing-name", node.head, "a pipeline needs a name", hint);
            return (String::new(), node.head);
        };
        let name = entry.text().unwrap_or_default().to_owned();
        self.check_name(ROOT, &name, entry.span);
        (name, entry.span)
    }

    fn check_name(&mut self, at: usize, name: &str, span: Span) {
        if !super::is_name(name) && !super::is_reported_as_number(name, span) {
            let hint = match name.strip_prefix('$') {
                Some(bare) if super::is_name(bare) => format!("write `{bare}` without the `$`"),
                _ => super::NAME_RULE.to_owned(),
            };
            self.error(at, "bad-name", span, format!("`{name}` is not a valid name"), hint);
        }
    }

    fn seed(&mut self, node: &Node, name: &str, span: Span) -> u64 {
        let extra: Vec<&NodeEntry> = node.args().skip(1).collect();
        if let (Some(first), Some(last)) = (extra.first(), extra.last()) {
            let place = Span { end: last.whole.end, ..first.whole };
            let hint = "a seed is a property: `seed=7`; everything else goes inside the braces";
            self.error(ROOT, "outside-braces", place, "a pipeline has one name", hint);
        }
        for (key, entry) in node.props().filter(|(key, _)| key.text != "seed") {
            let message = format!("a pipeline has no property `{}`", key.text);
            let hint =
                near::hint(&key.text, ["seed"], "parameters are declared inside: `param size type=px default=128`");
            self.error(ROOT, "unknown-param", entry.whole, message, hint);
        }
        let declares =
            |child: &Node| child.name.text == "param" && stage_name(child).is_some_and(|(name, _)| name == "seed");
        let mut given = node.prop("seed");
        // `--set seed=2`, unless the pipeline has a parameter of that name.
        for (i, setting) in self.settings.iter().enumerate().filter(|(_, setting)| setting.path == "seed") {
            if !node.nodes().iter().any(declares) {
                self.matched.insert(i);
                given = setting.given.values.first();
            }
        }
        match given {
            Some(NodeEntry { value: Scalar::Int(seed), .. }) if *seed >= 0 => seed.cast_unsigned(),
            Some(entry) => {
                self.error(
                    ROOT,
                    "wrong-kind",
                    entry.span,
                    "a seed must be a whole number, 0 or more",
                    "write `seed=7`",
                );
                0
            }
            // If a seed was attempted, that was reported.
            None if name.is_empty()
                || node.props().next().is_some()
                || node.args().nth(1).is_some()
                || node.child("seed").is_some() =>
            {
                0
            }
            None => {
                let found = Diag::warning("no-seed", span, format!("pipeline `{name}` has no seed; using 0"));
                self.diags.push(found.hint(format!("write `pipeline {name} seed=7 {{ … }}`")));
                0
            }
        }
    }

    /// Reads every stage and instance, outer ones before those in their bodies, and connects them.
    fn read(&mut self) {
        for at in 0..self.frames.len() {
            self.enter_copy(at);
            for node in std::mem::take(&mut self.frames[at].nodes) {
                let Some((name, span)) = stage_name(node) else { continue };
                let Some(declared) = self.frames[at].declared.get(&name).copied() else { continue };
                match declared {
                    Declared::Stage(declared, Some(signature)) if declared == span => {
                        self.stage(at, node, signature, &name, span);
                    }
                    Declared::Instance(declared, signature, body) if declared == span => {
                        self.pass(at, node, signature, &name, span, body);
                    }
                    _ => {}
                }
            }
        }
        self.connect();
    }

    /// The arguments of a stage or instance: those of its ports, and its parameters filled in.
    fn given(
        &mut self,
        at: usize,
        node: &Node,
        signature: &Signature,
        name: &str,
        span: Span,
    ) -> (Vec<Argument>, Filled) {
        self.head(at, node, signature, name);
        let mut found = Vec::new();
        let mut given = gather(node, &mut self.frames[at].values, &mut found);
        let path = format!("{}{name}", self.frames[at].prefix);
        self.set(&path, signature, &mut given);
        let (mut ports, params): (Vec<Argument>, Vec<Argument>) =
            given.into_iter().partition(|given| signature.input(&given.path).is_some());
        let words = params.iter().flat_map(|given| &given.values);
        let words: Vec<(Span, String)> =
            words.filter_map(|entry| Some((entry.span, entry.text()?.to_owned()))).collect();
        let title = format!("`{} {name}`", signature.name);
        let mut filled = fill::fill(signature, params, self.scope, &title, span);
        for diag in &mut filled.diags {
            let Some(place) = diag.labels.first().map(|label| label.span) else { continue };
            let word = words.iter().find(|(span, _)| *span == place).map(|(_, word)| word);
            if let Some(word) = word.filter(|word| self.frames[at].values.known.contains_key(*word))
                && diag.code == "wrong-kind"
            {
                diag.hint = Some(format!("write `${word}` for the value of that parameter"));
            }
            // A port that is misspelt or written in another form is not also missing.
            for port in &signature.inputs {
                let meant = format!("did you mean `{}`?", port.name);
                let meant = diag.hint.as_ref().is_some_and(|hint| hint.starts_with(&meant));
                let begins = diag.message.starts_with(&format!("`{}` takes the name of a stage", port.name));
                if meant || begins {
                    ports.push(broken(&port.name, place));
                }
            }
        }
        ports.extend(Self::ports_outside(node, signature));
        for diag in found.into_iter().chain(filled.diags.iter().cloned()) {
            self.report(at, diag);
        }
        filled.diags.retain(|diag| diag.severity == Severity::Error);
        (ports, filled)
    }

    fn stage(&mut self, at: usize, node: &Node, signature: &'a Signature, name: &str, span: Span) {
        let (given, Filled { params, entries, .. }) = self.given(at, node, signature, name, span);
        let outputs = signature.outputs.iter().map(|out| Output { port: out.name.clone(), ty: out.ty.clone() });
        let dotted = format!("{}{name}", self.frames[at].prefix);
        let spec = StageSpec {
            name: dotted.clone(),
            base_name: dotted,
            seed: 0, // the pipeline's, set later
            stage_type: signature.name.clone(),
            implementation: signature.implementation.clone(),
            inputs: Vec::new(),
            params,
            marks: BTreeSet::new(),
            outputs: outputs.collect(),
            span,
        };
        let used = self.used(at);
        self.drafts.push(Draft {
            spec,
            signature,
            sites: Vec::new(),
            declared_name: name.to_owned(),
            frame: at,
            given,
            entries,
            open: false,
            used,
        });
    }

    /// Passes the arguments of an instance on to its body.
    fn pass(&mut self, at: usize, node: &Node, signature: &Signature, name: &str, span: Span, body: usize) {
        let (ports, Filled { params, diags, networks, .. }) = self.given(at, node, signature, name, span);
        for param in &signature.params {
            let value = match params.get(&param.name).map(|given| &given.value) {
                // Wrong, which was reported; or optional and absent.
                Some(Value::None) if !diags.is_empty() => None,
                value => value.map(|value| values::entries(value, span)),
            };
            self.frames[body].values.known.insert(param.name.clone(), value);
        }
        self.frames[body].values.networks = networks;
        if let Some(instance) = &mut self.frames[body].of {
            for given in ports {
                instance.given.entry(given.path.clone()).or_default().push(given);
            }
        }
    }

    /// Reports anything but the name before the braces.
    fn head(&mut self, at: usize, node: &Node, signature: &Signature, name: &str) {
        let kind = &signature.name;
        for (key, entry) in node.props() {
            let message = format!("`{}` is outside the braces", key.text);
            let own = signature.children().any(|child| child == key.text);
            let hint = if key.text == "seed" && !own {
                hints::ONE_SEED.to_owned()
            } else {
                format!("write `{kind} {name} {{ {} {} … }}`", key.text, written(entry))
            };
            self.error(at, "outside-braces", entry.whole, message, hint);
        }
        let extra: Vec<&NodeEntry> = node.args().skip(1).collect();
        let (Some(first), Some(last)) = (extra.first(), extra.last()) else { return };
        let words: Vec<String> = extra.iter().map(|entry| written(entry)).collect();
        let place = Span { end: last.whole.end, ..first.whole };
        let inside = first.text().is_some_and(|text| signature.children().any(|child| child == text));
        let hint = if inside {
            format!("write `{kind} {name} {{ {} }}`", words.join(" "))
        } else {
            let whole = if words.iter().all(|word| super::is_name(word)) {
                format!("{name}-{}", words.join("-"))
            } else {
                name.to_owned()
            };
            format!("a stage has one name; ports and parameters go inside the braces: `{kind} {whole} {{ … }}`")
        };
        self.error(at, "outside-braces", place, "this is outside the braces", hint);
    }

    /// Ports written outside the braces, which was reported.
    fn ports_outside(node: &Node, signature: &Signature) -> Vec<Argument> {
        let words =
            node.props().map(|(key, _)| key.text.as_str()).chain(node.args().skip(1).filter_map(NodeEntry::text));
        let ports = words.filter(|word| signature.input(word).is_some());
        ports.map(|port| broken(port, node.head)).collect()
    }

    /// Overrides the arguments of this stage by its settings.
    fn set(&mut self, stage: &str, signature: &Signature, given: &mut Vec<Argument>) {
        for (i, setting) in self.settings.iter().enumerate() {
            // Stages in a body have settings of their own.
            let owner = self.owner(&setting.path).filter(|owner| addresses(owner, stage));
            let path = owner.and_then(|owner| setting.path[owner.len()..].strip_prefix('.'));
            let Some(path) = path else { continue };
            self.matched.insert(i);
            let replaces_case =
                signature.params.iter().find(|param| param.name == path && param.ty == ParamType::Choice);
            if let Some(param) = replaces_case {
                let case = setting.given.values.first().and_then(NodeEntry::text).unwrap_or_default();
                let case = param.cases.iter().find(|one| one.name == case);
                let kept = |name: &str| {
                    let name = name.split('.').next().unwrap_or_default();
                    let of_case = case.map_or(&[][..], |case| &case.params);
                    param.params.iter().chain(of_case).any(|inner| inner.name == name)
                };
                // Arguments of a case that is no longer selected are dropped.
                let below =
                    |given: &Argument| given.path.strip_prefix(path).and_then(|rest| rest.strip_prefix('.')).map(kept);
                given.retain(|given| given.set || below(given) != Some(false));
            }
            given.retain(|given| given.path != path);
            drop_pair(given, path);
            given.push(Argument { path: path.to_owned(), ..setting.given.clone() });
        }
    }

    /// The instances of the pipeline, with the stages that provide their outputs.
    fn instances(&self) -> Vec<Instance> {
        let of = |(at, frame): (usize, &Frame)| {
            let instance = frame.of.as_ref()?;
            Some(Instance {
                name: frame.prefix.trim_end_matches('.').to_owned(),
                stage_type: instance.signature.name.clone(),
                outputs: self.outlets(at, instance.signature),
                main: instance.signature.output(None).map(|out| out.name.clone()),
                span: instance.used?.0,
            })
        };
        let mut instances: Vec<Instance> = self.frames.iter().enumerate().filter_map(of).collect();
        instances.extend(self.repeats.iter().flat_map(|copies| self.copied(copies)));
        instances
    }

    /// The stages, after the checks of the whole.
    fn stages(&mut self) -> Vec<StageSpec> {
        let whole = self.whole && self.diags.iter().all(|diag| diag.severity != Severity::Error);
        let alone = self.frames[ROOT].of.is_some();
        let drafts = std::mem::take(&mut self.drafts);
        let (contexts, found) = flow::check(&drafts, self.scope, whole && !alone);
        for diag in found {
            // The copies of a `repeat` have the same mistakes.
            let places = |diag: &Diag| diag.labels.iter().map(|label| label.span).collect::<Vec<_>>();
            let same = |known: &Diag| known.code == diag.code && places(known) == places(&diag);
            if self.repeats.is_empty() || !self.diags.iter().any(same) {
                self.diags.push(diag);
            }
        }
        let stage = |(draft, context): (Draft, flow::FlowContext)| {
            let mut spec = StageSpec { marks: context.marks, ..draft.spec };
            spec.params.extend(context.withheld);
            spec
        };
        drafts.into_iter().zip(contexts).map(stage).collect()
    }
}

/// A setting of one entry of a map replaces that entry if the file has it as `take SE 3`.
fn drop_pair(given: &mut Vec<Argument>, path: &str) {
    let Some((map, key)) = path.split_once('.') else { return };
    given.retain(|given| given.path != map || given.values.first().and_then(NodeEntry::text) != Some(key));
}

/// A placeholder for an argument of a port with a mistake that was reported.
fn broken(port: &str, span: Span) -> Argument {
    Argument {
        path: port.to_owned(),
        name: span,
        head: span,
        whole: span,
        values: Vec::new(),
        property: false,
        broken: true,
        set: false,
        plain: None,
        network: None,
    }
}

/// A value as it is written.
fn written(entry: &NodeEntry) -> String {
    match &entry.value {
        Scalar::Text(text) if entry.quoted => format!("\"{text}\""),
        value => value.to_string(),
    }
}

/// The name that a node gives: its first argument.
fn stage_name(node: &Node) -> Option<(String, Span)> {
    let entry = node.args().next()?;
    Some((entry.text()?.to_owned(), entry.span))
}
