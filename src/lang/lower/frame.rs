//! Frames: the names of a pipeline, and those of each template in it. Every use of a template opens a frame of its own, so that
//! its stages are named `instance.stage` outside and `stage` inside.

use std::collections::BTreeMap;

use super::{Lowerer, stage_name};
use crate::base::Span;
use crate::diag::Diag;
use crate::lang::arguments::{Argument, ParamValues};
use crate::lang::keywords::REPEAT;
use crate::lang::signature::{InPort, Signature};
use crate::syntax::Node;

/// Most stages in a pipeline, including those of templates.
pub(super) const MOST_STAGES: usize = 10_000;

/// Deepest nesting of templates.
const DEEPEST: usize = 32;

/// The names of a pipeline or of a template's body.
pub(super) struct Frame<'a> {
    /// Prefix of its stages' names outside: `patches.`, or empty for a pipeline.
    pub(super) prefix: String,
    /// The meaning of its names.
    pub(super) declared: BTreeMap<String, Declared<'a>>,
    /// The nodes that declare its stages and instances, in order.
    pub(super) nodes: Vec<&'a Node>,
    /// Its parameters.
    pub(super) values: ParamValues,
    /// The template use whose body it is; [`None`] for a pipeline.
    pub(super) of: Option<FrameOwner<'a>>,
    /// The copy of a `repeat` that it is; names and parameters around it are its own as well.
    pub(super) copy: Option<CopyOf>,
}

/// The meaning of a name.
#[derive(Clone, Copy)]
pub(super) enum Declared<'a> {
    /// A stage; without a signature if its type is unknown, which was reported.
    Stage(Span, Option<&'a Signature>),
    /// A template use, and the frame that it opened.
    Instance(Span, &'a Signature, usize),
    /// A `repeat`, and the number of its [`Copies`](super::repeat::Copies).
    Repeat(Span, usize),
    /// A port of the template whose body this is.
    Port(Span, &'a InPort),
}

impl Declared<'_> {
    /// Where it is declared.
    pub(super) const fn span(&self) -> Span {
        match self {
            Self::Stage(span, _) | Self::Instance(span, ..) | Self::Repeat(span, _) | Self::Port(span, _) => *span,
        }
    }
}

/// A copy of a `repeat`.
pub(super) struct CopyOf {
    /// The frame around it.
    pub(super) parent: usize,
    /// The name of the `repeat`: the parameter that holds its number.
    pub(super) name: String,
    /// The name in its declaration.
    pub(super) span: Span,
    /// Its number; [`None`] if the number of copies is not known where a body is checked by itself.
    pub(super) number: Option<usize>,
    /// Whether it is the first copy.
    pub(super) first: bool,
}

/// The template use that a frame belongs to.
pub(super) struct FrameOwner<'a> {
    pub(super) signature: &'a Signature,
    /// Its position, and the frame it is in; [`None`] for a body that is checked by itself.
    pub(super) used: Option<(Span, usize)>,
    /// The node that uses it; [`None`] for a body that is checked by itself.
    pub(super) node: Option<&'a Node>,
    /// The arguments of its ports.
    pub(super) given: BTreeMap<String, Vec<Argument>>,
}

impl<'a> Frame<'a> {
    /// The frame of a pipeline.
    pub(super) fn pipeline(values: ParamValues) -> Self {
        Self { prefix: String::new(), declared: BTreeMap::new(), nodes: Vec::new(), values, of: None, copy: None }
    }

    /// The frame of a body: its ports are names in it, its parameters have no values yet.
    pub(super) fn body(
        prefix: String,
        signature: &'a Signature,
        used: Option<(Span, usize)>,
        node: Option<&'a Node>,
    ) -> Self {
        let mut values = ParamValues::default();
        values.known.extend(signature.params.iter().map(|param| (param.name.clone(), None)));
        let ports = signature.inputs.iter().map(|port| (port.name.clone(), Declared::Port(port.span, port)));
        let of = Some(FrameOwner { signature, used, node, given: BTreeMap::new() });
        Self { prefix, declared: ports.collect(), nodes: Vec::new(), values, of, copy: None }
    }
}

impl<'a> Lowerer<'a> {
    /// Declares everything in a frame and in the bodies within it. Every name is known before any stage is read.
    pub(super) fn open(&mut self, frame: Frame<'a>, nodes: &'a [Node]) -> usize {
        let at = self.frames.len();
        self.frames.push(frame);
        for child in nodes {
            let kind = &child.name;
            if matches!(kind.text.as_str(), "doc" | "param" | "extends" | "without")
                && self.frames[at].of.is_none()
                && self.frames[at].copy.is_none()
            {
                continue;
            }
            if kind.text == REPEAT {
                self.repeat(at, child);
                continue;
            }
            if kind.text == "param" && self.frames[at].copy.is_some() {
                let hint = "declare it around the `repeat`";
                self.error(at, "unknown-node", kind.span, "`param` is not allowed inside a `repeat`", hint);
                continue;
            }
            if matches!(kind.text.as_str(), "sweep" | "over" | "zip") {
                let message = format!("`{}` is not allowed in a pipeline", kind.text);
                let hint = "write `sweep NAME { of PIPELINE; over stage.param 1 2 4 }` next to the pipeline";
                self.error(at, "unknown-node", kind.span, message, hint);
                continue;
            }
            if matches!(kind.text.as_str(), "extends" | "without" | "stage") {
                let message = if kind.text == "stage" {
                    "`stage` is not allowed inside a pipeline or a template body".to_owned()
                } else if self.frames[at].copy.is_some() {
                    format!("`{}` is not allowed inside a `repeat`", kind.text)
                } else {
                    format!("`{}` is not allowed inside a template body", kind.text)
                };
                let hint = if kind.text == "stage" {
                    "declare it at the top level of the file"
                } else {
                    "write the stages directly; `macula doc` lists the stage types"
                };
                self.error(at, "not-yet", kind.span, message, hint);
                continue;
            }
            let signature = self.scope.stage(&kind.text, kind.span);
            if signature.is_none() {
                let hint = match kind.text.as_str() {
                    "use" | "network" => format!("`{}` belongs at the top level of the file", kind.text),
                    "pipeline" => "pipelines belong side by side at the top level of the file".to_owned(),
                    "seed" => {
                        let seed = child.args().next().map_or_else(|| "7".to_owned(), super::written);
                        let name = &self.name;
                        format!("write `pipeline {name} seed={seed} {{ … }}`")
                    }
                    _ => self.scope.near_stage(&kind.text, kind.span),
                };
                self.error(at, "unknown-stage", kind.span, format!("unknown stage type `{}`", kind.text), hint);
            }
            self.declare(at, child, signature);
        }
        at
    }

    fn declare(&mut self, at: usize, node: &'a Node, signature: Option<&'a Signature>) {
        if signature.is_none() && stage_name(node).is_none_or(|(name, _)| !crate::lang::is_name(&name)) {
            self.whole = false;
            return; // an unknown stage type was reported; what follows it is not a name
        }
        let Some((name, span)) = stage_name(node) else {
            if let Some(entry) = node.args().next() {
                let name = super::written(entry);
                let message = format!("`{name}` is not a valid name");
                if entry.value != crate::syntax::Scalar::Wrong {
                    self.error(at, "bad-name", entry.span, message, crate::lang::NAME_RULE);
                }
                return;
            }
            let kind = &node.name.text;
            let hint = format!("write `{kind} my-{kind} {{ … }}`: other stages refer to it by that name");
            return self.error(at, "missing-name", node.head, format!("this `{kind}` needs a name"), hint);
        };
        self.check_name(at, &name, span);
        if !self.is_free(at, &name, span) {
            return;
        }
        let declared = match signature {
            Some(signature) if signature.body.is_some() => self.instance(at, node, signature, &name, span),
            _ => Declared::Stage(span, signature),
        };
        if matches!(declared, Declared::Stage(_, None)) {
            self.whole = false;
        }
        self.count_stage(at, span);
        let frame = &mut self.frames[at];
        frame.declared.insert(name, declared);
        frame.nodes.push(node);
    }

    /// Counts a stage, an instance or a copy, and reports if there are too many.
    pub(super) fn count_stage(&mut self, at: usize, span: Span) {
        self.stages += 1;
        if self.stages == MOST_STAGES + 1 {
            let message = format!("the templates and repeats expand to more than {MOST_STAGES} stages");
            // In a body it is reported where the template is used.
            let place = self.used(at).last().map_or(span, |(place, _)| *place);
            let found = Diag::error("too-many-stages", place, message).hint("nest fewer templates and repeats");
            self.diags.extend(self.frames[super::ROOT].of.is_none().then_some(found));
        }
    }

    /// Whether a name has no other meaning in a frame, after reporting one that has.
    pub(super) fn is_free(&mut self, at: usize, name: &str, span: Span) -> bool {
        if self.frames[at].values.known.contains_key(name) {
            let hint = "rename one of them; `--set` cannot distinguish them";
            self.error(at, "duplicate-name", span, format!("`{name}` is also the name of a parameter"), hint);
        }
        let Some(first) = self.frames[at].declared.get(name) else { return true };
        let what = if matches!(first, Declared::Port(..)) { "a port and a stage" } else { "two stages" };
        let found = Diag::error("duplicate-name", span, format!("{what} are named `{name}`"));
        let found = found.also(first.span(), "first here").hint("rename one of them");
        self.report(at, found);
        false
    }

    /// Opens the frame of a template use; if that fails, the name stands for a stage of unknown type.
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
        let mut outer = Some(self.around_copies(at));
        while let Some(instance) = outer.and_then(|outer| self.frames[outer].of.as_ref()) {
            depth += 1;
            if std::ptr::eq(instance.signature, signature) {
                let message = format!("`{}` contains itself", signature.name);
                let found = Diag::error("template-recursion", node.name.span, message);
                let found = found.also(signature.span, "declared here").hint("remove it from its own body");
                self.report(at, found);
                return Declared::Stage(span, None);
            }
            outer = instance.used.map(|(_, parent)| self.around_copies(parent));
        }
        if depth > DEEPEST {
            let message = format!("templates are nested more than {DEEPEST} levels deep");
            self.error(at, "too-deep", node.name.span, message, "nest fewer templates");
            return Declared::Stage(span, None);
        }
        if self.stages > MOST_STAGES {
            return Declared::Stage(span, None);
        }
        let prefix = format!("{}{name}.", self.frames[at].prefix);
        let frame = self.open(Frame::body(prefix, signature, Some((span, at)), Some(node)), &body.nodes);
        Declared::Instance(span, signature, frame)
    }
}
