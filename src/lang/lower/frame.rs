//! Scopes: a pipeline's names, and those of each stage with a body in it. An instance of such a stage opens a frame of its
//! own, so that what it holds is named `instance.stage` outside and `stage` within.

use std::collections::BTreeMap;

use super::{Lowerer, stage_name};
use crate::base::Span;
use crate::diag::Diag;
use crate::lang::given::{Given, Values};
use crate::lang::signature::{InPort, Signature};
use crate::syntax::Node;

/// Stages that a pipeline may have in all.
const MOST_STAGES: usize = 10_000;

/// Stages with bodies that may stand within each other.
const DEEPEST: usize = 32;

/// The names of a pipeline or of an instance's body.
pub(super) struct Frame<'a> {
    /// What stands before its stages' names outside: `patches.`, or nothing in a pipeline.
    pub(super) prefix: String,
    /// What its names mean.
    pub(super) declared: BTreeMap<String, Declared<'a>>,
    /// The nodes that declare its stages and instances, in order.
    pub(super) nodes: Vec<&'a Node>,
    /// Its parameters.
    pub(super) values: Values,
    /// Whose body it is; none for a pipeline.
    pub(super) of: Option<Instance<'a>>,
}

/// What a name means.
#[derive(Clone, Copy)]
pub(super) enum Declared<'a> {
    /// A stage; without a signature where its kind is unknown, which was told.
    Stage(Span, Option<&'a Signature>),
    /// A stage with a body, and the frame that it opened.
    Instance(Span, &'a Signature, usize),
    /// A port of the stage whose body this is.
    Port(Span, &'a InPort),
}

impl Declared<'_> {
    /// Where it is declared.
    pub(super) const fn span(&self) -> Span {
        match self {
            Self::Stage(span, _) | Self::Instance(span, ..) | Self::Port(span, _) => *span,
        }
    }
}

/// Whose body a frame is.
pub(super) struct Instance<'a> {
    pub(super) signature: &'a Signature,
    /// Where it is used, and the frame in which; none where a body is checked by itself.
    pub(super) used: Option<(Span, usize)>,
    /// What its ports are given, as its user wrote it.
    pub(super) given: BTreeMap<String, Vec<Given>>,
}

impl<'a> Frame<'a> {
    /// A pipeline's.
    pub(super) fn pipeline(values: Values) -> Self {
        Self { prefix: String::new(), declared: BTreeMap::new(), nodes: Vec::new(), values, of: None }
    }

    /// That of a body: its ports are names in it, its parameters have no values yet.
    pub(super) fn body(prefix: String, signature: &'a Signature, used: Option<(Span, usize)>) -> Self {
        let mut values = Values::default();
        values.known.extend(signature.params.iter().map(|param| (param.name.clone(), None)));
        let ports = signature.inputs.iter().map(|port| (port.name.clone(), Declared::Port(port.span, port)));
        let of = Some(Instance { signature, used, given: BTreeMap::new() });
        Self { prefix, declared: ports.collect(), nodes: Vec::new(), values, of }
    }
}

impl<'a> Lowerer<'a> {
    /// Declares all that stands in a frame, and what stands in the bodies of that. Every name is known before any is read.
    pub(super) fn open(&mut self, frame: Frame<'a>, nodes: &'a [Node]) -> usize {
        let at = self.frames.len();
        self.frames.push(frame);
        for child in nodes {
            let kind = &child.name;
            if matches!(kind.text.as_str(), "doc" | "param" | "extends" | "without") && self.frames[at].of.is_none() {
                continue;
            }
            if matches!(kind.text.as_str(), "sweep" | "over" | "zip") {
                let message = format!("`{}` can't stand in a pipeline", kind.text);
                let hint = "write `sweep NAME { of PIPELINE; over stage.param 1 2 4 }` beside the pipeline";
                self.wrong(at, "unknown-node", kind.span, message, hint);
                continue;
            }
            if matches!(kind.text.as_str(), "extends" | "without" | "stage") {
                let message = format!("`{}` is not in this version yet", kind.text);
                let hint = if kind.text == "stage" {
                    "declare it beside the pipeline, at the top of the file"
                } else {
                    "write the stages out; `macula doc` lists what there is"
                };
                self.wrong(at, "not-yet", kind.span, message, hint);
                continue;
            }
            let signature = self.scope.stage(&kind.text, kind.span);
            if signature.is_none() {
                let hint = match kind.text.as_str() {
                    "use" | "network" => format!("`{}` stands at the top of the file", kind.text),
                    "pipeline" => "pipelines stand beside each other, at the top of the file".to_owned(),
                    "seed" => {
                        let seed = child.args().next().map_or_else(|| "7".to_owned(), super::written);
                        let name = &self.name;
                        format!("write `pipeline {name} seed={seed} {{ … }}`")
                    }
                    _ => self.scope.near_stage(&kind.text, kind.span),
                };
                self.wrong(at, "unknown-stage", kind.span, format!("there is no stage `{}`", kind.text), hint);
            }
            self.declare(at, child, signature);
        }
        at
    }

    fn declare(&mut self, at: usize, node: &'a Node, signature: Option<&'a Signature>) {
        if signature.is_none() && stage_name(node).is_none_or(|(name, _)| !crate::lang::is_name(&name)) {
            self.whole = false;
            return; // an unknown kind was told; what follows it is no name
        }
        let Some((name, span)) = stage_name(node) else {
            if let Some(entry) = node.args().next() {
                let name = super::written(entry);
                let message = format!("`{name}` can't be a name");
                if entry.value != crate::syntax::Scalar::Wrong {
                    self.wrong(at, "bad-name", entry.span, message, crate::lang::NAME_RULE);
                }
                return;
            }
            let kind = &node.name.text;
            let hint = format!("write `{kind} my-{kind} {{ … }}`: other stages refer to it by that name");
            return self.wrong(at, "missing-name", node.head, format!("this `{kind}` needs a name"), hint);
        };
        self.check_name(at, &name, span);
        if self.frames[at].values.known.contains_key(&name) {
            let hint = "give one another name: `--set` could not tell them apart";
            self.wrong(at, "duplicate-name", span, format!("`{name}` is a parameter too"), hint);
        }
        if let Some(first) = self.frames[at].declared.get(&name) {
            let what = if matches!(first, Declared::Port(..)) { "a port and a stage" } else { "two stages" };
            let found = Diag::error("duplicate-name", span, format!("{what} are named `{name}`"));
            let found = found.also(first.span(), "first here").hint("give one another name");
            return self.tell(at, found);
        }
        let declared = match signature {
            Some(signature) if signature.body.is_some() => self.instance(at, node, signature, &name, span),
            _ => Declared::Stage(span, signature),
        };
        if matches!(declared, Declared::Stage(_, None)) {
            self.whole = false;
        }
        self.stages += 1;
        if self.stages == MOST_STAGES + 1 {
            let message = format!("the stages with bodies stand for more than {MOST_STAGES} stages");
            // Of a body it is told where it is used: there it stands for so many.
            let place = self.used(at).last().map_or(span, |(place, _)| *place);
            let found = Diag::error("too-many-stages", place, message).hint("use them less deeply");
            self.diags.extend(self.frames[super::ROOT].of.is_none().then_some(found));
        }
        let frame = &mut self.frames[at];
        frame.declared.insert(name, declared);
        frame.nodes.push(node);
    }

    /// Opens the frame of an instance; where it can't be, the name stands for a stage of which nothing is known.
    fn instance(
        &mut self,
        at: usize,
        node: &'a Node,
        signature: &'a Signature,
        name: &str,
        span: Span,
    ) -> Declared<'a> {
        let Some(body) = &signature.body else { return Declared::Stage(span, Some(signature)) };
        let mut depth = 0;
        let mut outer = Some(at);
        while let Some(instance) = outer.and_then(|outer| self.frames[outer].of.as_ref()) {
            depth += 1;
            if std::ptr::eq(instance.signature, signature) {
                let message = format!("`{}` is made of itself", signature.name);
                let found = Diag::error("template-recursion", node.name.span, message);
                let found = found.also(signature.span, "declared here").hint("take it out of its own body");
                self.tell(at, found);
                return Declared::Stage(span, None);
            }
            outer = instance.used.map(|(_, parent)| parent);
        }
        if depth > DEEPEST {
            let message = format!("more than {DEEPEST} stages with bodies stand within each other");
            self.wrong(at, "too-deep", node.name.span, message, "use them less deeply");
            return Declared::Stage(span, None);
        }
        if self.stages > MOST_STAGES {
            return Declared::Stage(span, None);
        }
        let prefix = format!("{}{name}.", self.frames[at].prefix);
        let frame = self.open(Frame::body(prefix, signature, Some((span, at))), &body.nodes);
        Declared::Instance(span, signature, frame)
    }
}
