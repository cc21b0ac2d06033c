//! One `pipeline` node made into a [`Pipeline`]: names, ports, parameters; then what follows from the whole.

use std::collections::{BTreeMap, BTreeSet};

use super::describe::Described;
use super::fill::{self, Filled};
use super::flow;
use super::given::{Given, Setting, Values, gather};
use super::kind::{self, Kind};
use super::near;
use super::signature::{self, InPort, Param, Signature};
use super::spec::{Input, Output, Pipeline, Reference, StageSpec};
use crate::base::Span;
use crate::diag::{Diag, Severity};
use crate::syntax::{Entry, Node, Scalar};

/// What the names in a pipeline mean.
pub(super) struct Scope<'a> {
    pub(super) signatures: &'a [Signature],
    pub(super) networks: &'a BTreeMap<String, Described>,
}

/// A stage while it is checked: what it became, and what it is an instance of.
pub(super) struct Draft<'a> {
    pub(super) spec: StageSpec,
    pub(super) signature: &'a Signature,
    /// For each input, where each of its references stands.
    pub(super) places: Vec<Vec<Span>>,
}

/// What one pipeline became.
pub(super) struct Lowered {
    pub(super) pipeline: Pipeline,
    pub(super) diags: Vec<Diag>,
    /// Settings that named one of its stages or parameters, by index.
    pub(super) met: BTreeSet<usize>,
    /// What a setting could have named.
    pub(super) names: Vec<String>,
}

/// Checks a pipeline and fills it in. The pipeline can be used where no diagnostic is an error.
pub(super) fn lower(node: &Node, scope: &Scope, settings: &[Setting]) -> Lowered {
    let mut lowerer = Lowerer {
        scope,
        settings,
        values: Values::default(),
        declared: BTreeMap::new(),
        broken: BTreeSet::new(),
        met: BTreeSet::new(),
        diags: Vec::new(),
    };
    let (name, span) = lowerer.name(node);
    let seed = lowerer.seed(node, &name, span);
    lowerer.params(node);
    let stages: Vec<&Node> = lowerer.stages(node);
    let mut names: Vec<String> = lowerer.declared.keys().chain(lowerer.values.known.keys()).cloned().collect();
    names.sort();
    let mut drafts: Vec<Draft> = stages.iter().filter_map(|stage| lowerer.stage(stage)).collect();
    lowerer.connect(&stages, &mut drafts);
    lowerer.unused_params(node);
    let Lowerer { mut diags, met, broken, .. } = lowerer;
    let whole = broken.is_empty() && diags.iter().all(|diag| diag.severity != Severity::Error);
    diags.extend(flow::check(&drafts, scope.networks, whole));
    let doc = node.child("doc").and_then(|doc| doc.args().next()).and_then(Entry::text).map(str::to_owned);
    let stages = drafts.into_iter().map(|draft| draft.spec).collect();
    Lowered { pipeline: Pipeline { name, seed, doc, stages, span }, diags, met, names }
}

struct Lowerer<'a> {
    scope: &'a Scope<'a>,
    settings: &'a [Setting],
    values: Values,
    /// Every stage by name: where it is declared, and its signature where that is known.
    declared: BTreeMap<String, (Span, Option<&'a Signature>)>,
    /// Stages of which too much is wrong to go on.
    broken: BTreeSet<String>,
    met: BTreeSet<usize>,
    diags: Vec<Diag>,
}

impl<'a> Lowerer<'a> {
    fn wrong(&mut self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.diags.push(Diag::error(code, span, message).hint(hint));
    }

    fn name(&mut self, node: &Node) -> (String, Span) {
        let Some(entry) = node.args().next() else {
            self.wrong("missing-name", node.head, "a pipeline needs a name", "write `pipeline baseline seed=7 { … }`");
            return (String::new(), node.head);
        };
        let name = entry.text().unwrap_or_default().to_owned();
        self.check_name(&name, entry.span);
        (name, entry.span)
    }

    fn check_name(&mut self, name: &str, span: Span) {
        let fits = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if !name.starts_with(char::is_alphabetic) || !name.chars().all(fits) {
            let hint = "names begin with a letter and hold letters, digits, `-` and `_`";
            self.wrong("bad-name", span, format!("`{name}` can't be a name"), hint);
        }
    }

    fn seed(&mut self, node: &Node, name: &str, span: Span) -> u64 {
        for (key, entry) in node.props().filter(|(key, _)| key.text != "seed") {
            let message = format!("a pipeline has no `{}=`", key.text);
            let hint =
                near::hint(&key.text, ["seed"], "parameters are declared inside: `param size type=px default=128`");
            self.wrong("unknown-param", entry.whole, message, hint);
        }
        match node.prop("seed") {
            Some(Entry { value: Scalar::Int(seed), .. }) if *seed >= 0 => seed.cast_unsigned(),
            Some(entry) => {
                self.wrong("wrong-kind", entry.span, "a seed is a whole number from 0", "write `seed=7`");
                0
            }
            None => {
                let found = Diag::warning("no-seed", span, format!("pipeline `{name}` has no seed; it is 0"));
                self.diags.push(found.hint(format!("write `pipeline {name} seed=7 {{ … }}`")));
                0
            }
        }
    }

    fn params(&mut self, node: &Node) {
        let mut places: BTreeMap<String, Span> = BTreeMap::new();
        for child in node.nodes().iter().filter(|child| child.name.text == "param") {
            let Some(param) = signature::param(child, &mut self.diags) else {
                // A parameter of that name exists, though not what its value is.
                if let Some(name) = child.args().next().and_then(Entry::text) {
                    self.values.known.insert(name.to_owned(), None);
                }
                continue;
            };
            let span = child.args().next().map_or(child.head, |entry| entry.span);
            self.check_name(&param.name, span);
            if let Some(first) = places.insert(param.name.clone(), span) {
                let found =
                    Diag::error("duplicate-name", span, format!("parameter `{}` is declared twice", param.name));
                self.diags.push(found.also(first, "first here").hint("give one another name"));
                continue;
            }
            let value = self.param_value(&param, child, span);
            self.values.known.insert(param.name.clone(), value);
        }
    }

    /// The value of a pipeline's parameter: from `--set`, or its default.
    fn param_value(&mut self, param: &Param, node: &Node, span: Span) -> Option<Vec<Entry>> {
        if matches!(param.kind, Kind::Group | Kind::Choice | Kind::Map(_) | Kind::List(_)) {
            let hint = "use a type of one value (`px`, `real`, `text`, …); a case of a choice is `text`";
            self.wrong("wrong-kind", span, format!("a pipeline's parameter can't be a {}", param.kind.name()), hint);
            return None;
        }
        let mut value = node.prop("default").cloned();
        for (i, setting) in self.settings.iter().enumerate().filter(|(_, setting)| setting.path == param.name) {
            self.met.insert(i);
            let (plain, wrong) = setting.given.plain.clone()?;
            let textual = matches!(param.kind, Kind::Text | Kind::Path | Kind::Network);
            match setting.given.values.as_slice() {
                [one] if wrong.is_empty() && (!textual || one.quoted) => value = Some(one.clone()),
                _ if textual => value = Some(plain),
                _ if wrong.is_empty() => {
                    let message = format!("`{}` takes one value", param.name);
                    self.wrong("value-count", setting.given.whole, message, format!("it is {}", param.kind.words()));
                    return None;
                }
                _ => {
                    self.diags.extend(wrong);
                    return None;
                }
            }
        }
        let Some(value) = value else {
            let hint = format!("give it a default, or run with `--set {}=…`", param.name);
            self.wrong("missing-param", span, format!("parameter `{}` has no value", param.name), hint);
            return None;
        };
        if let Err(refusal) = kind::value(&param.kind, param.range.as_ref(), &value) {
            if Some(&value) != node.prop("default") {
                self.wrong(refusal.code, value.span, format!("`{}` {}", param.name, refusal.text), refusal.hint);
            }
            return None;
        }
        Some(vec![value])
    }

    /// The stages among a pipeline's children. Every one is declared here, before any is read.
    fn stages<'n>(&mut self, node: &'n Node) -> Vec<&'n Node> {
        let mut stages = Vec::new();
        for child in node.nodes() {
            let kind = &child.name;
            if matches!(kind.text.as_str(), "doc" | "param") {
                continue;
            }
            if matches!(kind.text.as_str(), "sweep" | "extends" | "exec" | "stage" | "over" | "zip" | "repeat") {
                let message = format!("`{}` is not in this version yet", kind.text);
                self.wrong("not-yet", kind.span, message, "write the stages out; `macula doc` lists what there is");
                continue;
            }
            let signature = self.scope.signatures.iter().find(|signature| signature.name == kind.text);
            if signature.is_none() {
                let kinds = self.scope.signatures.iter().map(|signature| signature.name.as_str());
                let hint = near::hint(&kind.text, kinds, "`macula doc` lists the stages");
                self.wrong("unknown-stage", kind.span, format!("there is no stage `{}`", kind.text), hint);
            }
            self.declare(child, signature);
            stages.push(child);
        }
        stages
    }

    fn declare(&mut self, node: &Node, signature: Option<&'a Signature>) {
        let Some((name, span)) = stage_name(node) else {
            let kind = &node.name.text;
            let hint = format!("write `{kind} my-{kind} {{ … }}`: other stages refer to it by that name");
            return self.wrong("missing-name", node.head, format!("this `{kind}` needs a name"), hint);
        };
        self.check_name(&name, span);
        if self.values.known.contains_key(&name) {
            let hint = "give one another name: `--set` could not tell them apart";
            self.wrong("duplicate-name", span, format!("`{name}` is a parameter too"), hint);
        }
        if let Some(&(first, _)) = self.declared.get(&name) {
            let found = Diag::error("duplicate-name", span, format!("two stages are named `{name}`"));
            self.diags.push(found.also(first, "first here").hint("give one another name"));
            return;
        }
        if signature.is_none() {
            self.broken.insert(name.clone());
        }
        self.declared.insert(name, (span, signature));
    }

    fn stage(&mut self, node: &Node) -> Option<Draft<'a>> {
        let (name, span) = stage_name(node)?;
        let signature = self.declared.get(&name)?.1?;
        if self.declared[&name].0 != span || signature.name != node.name.text {
            return None; // the second of two with one name
        }
        self.head(node, signature, &name);
        let mut given = gather(node, &mut self.values, &mut self.diags);
        self.set(&name, signature, &mut given);
        given.retain(|given| signature.input(&given.path).is_none());
        let title = format!("`{} {name}`", signature.name);
        let Filled { params, spans, unkeyed, diags } = fill::fill(signature, given, self.scope.networks, &title, span);
        self.diags.extend(diags);
        let outputs = signature.outputs.iter().map(|out| Output { port: out.name.clone(), ty: out.ty.clone() });
        let spec = StageSpec {
            name,
            kind: signature.name.clone(),
            implementation: signature.implementation.clone(),
            inputs: Vec::new(),
            params,
            unkeyed,
            spans,
            outputs: outputs.collect(),
            span,
        };
        Some(Draft { spec, signature, places: Vec::new() })
    }

    /// Beside its name a stage's first line holds nothing.
    fn head(&mut self, node: &Node, signature: &Signature, name: &str) {
        let kind = &signature.name;
        for (key, entry) in node.props() {
            let message = format!("`{}` stands outside the braces", key.text);
            let hint = format!("write `{kind} {name} {{ {} … }}`", key.text);
            self.wrong("outside-braces", entry.whole, message, hint);
        }
        for entry in node.args().skip(1) {
            let hint = format!("a stage has one name; ports and parameters stand inside: `{kind} {name} {{ … }}`");
            self.wrong("outside-braces", entry.whole, "this stands outside the braces", hint);
        }
    }

    /// Puts the settings for this stage in the place of what the file says.
    fn set(&mut self, stage: &str, signature: &Signature, given: &mut Vec<Given>) {
        for (i, setting) in self.settings.iter().enumerate() {
            let Some(path) = setting.path.strip_prefix(stage).and_then(|rest| rest.strip_prefix('.')) else { continue };
            self.met.insert(i);
            let replaces_case = signature.params.iter().find(|param| param.name == path && param.kind == Kind::Choice);
            if let Some(param) = replaces_case {
                let case = setting.given.values.first().and_then(Entry::text).unwrap_or_default();
                let case = param.cases.iter().find(|one| one.name == case);
                let kept = |name: &str| {
                    let name = name.split('.').next().unwrap_or_default();
                    let of_case = case.map_or(&[][..], |case| &case.params);
                    param.params.iter().chain(of_case).any(|inner| inner.name == name)
                };
                // What the file gives to a case that is no longer chosen goes with it.
                let file_says = |given: &Given| given.plain.is_none();
                let below =
                    |given: &Given| given.path.strip_prefix(path).and_then(|rest| rest.strip_prefix('.')).map(kept);
                given.retain(|given| !file_says(given) || below(given) != Some(false));
            }
            given.retain(|given| given.path != path);
            drop_pair(given, path);
            given.push(Given { path: path.to_owned(), ..setting.given.clone() });
        }
    }

    /// Fills in the inputs of every stage, once all stages are known.
    fn connect(&mut self, nodes: &[&Node], drafts: &mut [Draft<'a>]) {
        for draft in drafts {
            let node = nodes.iter().find(|node| stage_name(node).is_some_and(|(_, span)| span == draft.spec.span));
            let Some(node) = node else { continue };
            // The first reading has told what is wrong with `$names` already.
            let mut given = gather(node, &mut self.values, &mut Vec::new());
            self.set(&draft.spec.name, draft.signature, &mut given);
            for port in &draft.signature.inputs {
                let at_port: Vec<&Given> = given.iter().filter(|given| given.path == port.name).collect();
                self.port(draft, port, &at_port);
            }
        }
    }

    fn port(&mut self, draft: &mut Draft, port: &InPort, given: &[&Given]) {
        let stage = format!("`{} {}`", draft.spec.kind, draft.spec.name);
        let Some(first) = given.first() else {
            if !port.optional {
                let message = format!("{stage} needs `{}`: {}", port.name, fill::lower_first(&port.doc));
                let hint = format!("write `{} STAGE`, a stage that gives {}", port.name, port.types.join(" or "));
                self.wrong("missing-port", draft.spec.span, message, hint);
            }
            return;
        };
        let entries: Vec<&Entry> = given.iter().flat_map(|given| &given.values).collect();
        if entries.is_empty() && given.iter().all(|given| !given.broken) {
            let message = format!("`{}` names no stage", port.name);
            self.wrong("missing-port", first.whole, message, format!("write `{} STAGE`", port.name));
        }
        if entries.len() > 1 && !port.many {
            let message = format!("`{}` takes one stage, not {}", port.name, entries.len());
            self.wrong("value-count", entries[1].whole, message, "leave one");
        }
        let mut from = Vec::new();
        let mut places = Vec::new();
        for entry in entries {
            if let Some(reference) = self.reference(port, entry) {
                if from.contains(&reference) {
                    let hint = "once is enough";
                    self.wrong("duplicate-param", entry.span, format!("`{}` is given this twice", port.name), hint);
                }
                from.push(reference);
                places.push(entry.span);
            }
        }
        if !from.is_empty() {
            draft.spec.inputs.push(Input { port: port.name.clone(), from, span: first.whole });
            draft.places.push(places);
        }
    }

    fn reference(&mut self, port: &InPort, entry: &Entry) -> Option<Reference> {
        let Some(text) = entry.text() else {
            self.wrong(
                "wrong-kind",
                entry.span,
                format!("`{}` takes the name of a stage", port.name),
                "write a stage's name",
            );
            return None;
        };
        let (stage, output) = text.split_once('.').map_or((text, None), |(stage, output)| (stage, Some(output)));
        let Some(&(declared, signature)) = self.declared.get(stage) else {
            let names = self.declared.keys().map(String::as_str);
            let hint = near::hint(stage, names, "stages may stand in any order, but each must be there");
            self.wrong("unknown-name", entry.span, format!("there is no stage named `{stage}`"), hint);
            return None;
        };
        let signature = signature?;
        let Some(out) = signature.output(output) else {
            let ports = signature.outputs.iter().map(|out| out.name.as_str());
            let all: Vec<String> = ports.clone().map(|port| format!("{stage}.{port}")).collect();
            let all = near::names(all.iter().map(String::as_str));
            let (message, hint) = if let Some(output) = output {
                let near = near::near(output, ports).map(|port| format!("did you mean `{stage}.{port}`?"));
                (format!("`{stage}` has no output `{output}`"), near.unwrap_or(format!("it has {all}")))
            } else {
                (format!("`{stage}` has several outputs"), format!("say which: {all}"))
            };
            self.diags
                .push(Diag::error("unknown-name", entry.span, message).also(declared, "declared here").hint(hint));
            return None;
        };
        if !port.types.contains(&out.ty) {
            let message = format!("`{}` takes {}, `{text}` gives {}", port.name, port.types.join(" or "), out.ty);
            let found = Diag::error("port-type", entry.span, message).also(declared, format!("gives {}", out.ty));
            let fitting: Vec<String> = self
                .declared
                .iter()
                .filter_map(|(name, (_, signature))| Some((name, (*signature)?)))
                .flat_map(|(name, signature)| {
                    let fits = |out: &&signature::OutPort| port.types.contains(&out.ty);
                    let several = signature.outputs.len() > 1;
                    signature
                        .outputs
                        .iter()
                        .filter(fits)
                        .map(move |out| if several { format!("{name}.{}", out.name) } else { name.clone() })
                })
                .take(6)
                .collect();
            let hint = if fitting.is_empty() {
                format!("no stage here gives {}", port.types.join(" or "))
            } else {
                format!("it could take {}", near::names(fitting.iter().map(String::as_str)))
            };
            self.diags.push(found.hint(hint));
            return None;
        }
        Some(Reference { stage: stage.to_owned(), port: out.name.clone() })
    }

    fn unused_params(&mut self, node: &Node) {
        for child in node.nodes().iter().filter(|child| child.name.text == "param") {
            let Some((name, span)) = stage_name(child) else { continue };
            if !self.values.used.contains(&name) {
                let found = Diag::warning("unused-param", span, format!("nothing uses parameter `{name}`"));
                self.diags.push(found.hint(format!("write `${name}` where its value belongs, or take it out")));
            }
        }
    }
}

/// A setting of one pair of a map takes the place of that pair where the file has it as `take SE 3`.
fn drop_pair(given: &mut Vec<Given>, path: &str) {
    let Some((map, key)) = path.split_once('.') else { return };
    given.retain(|given| given.path != map || given.values.first().and_then(Entry::text) != Some(key));
}

/// The name that a node gives: its first argument.
fn stage_name(node: &Node) -> Option<(String, Span)> {
    let entry = node.args().next()?;
    Some((entry.text()?.to_owned(), entry.span))
}
