//! References: from a name in a scope to the stages that it finally means, through ports and outputs of templates.

use std::collections::BTreeMap;

use super::Lowerer;
use super::frame::Declared;
use crate::base::Span;
use crate::diag::Diag;
use crate::lang::arguments::Argument;
use crate::lang::draft::{Draft, ReferenceSite};
use crate::lang::fill::lower_first;
use crate::lang::near;
use crate::lang::port_types::ANY;
use crate::lang::signature::{InPort, OutPort, PortPurpose, Signature};
use crate::lang::spec::{Input, Output, Reference};
use crate::syntax::{NodeEntry, Scalar};

/// Most references that a port can stand for; more come only from ports that multiply each other.
const MOST_REFERENCES: usize = 10_000;

/// Mistakes after which no similar names are searched for.
const MOST_NEAR: usize = 500;

/// What a reference resolves to.
pub(super) struct Referent {
    /// The types that it may provide, as declared where it points.
    pub(super) types: Vec<String>,
    /// Declaration of the thing that it names.
    pub(super) declared: Span,
    /// The outputs of real stages; empty if an optional port has no input.
    pub(super) from: Vec<Reference>,
    /// For each of them, the path through outputs and ports of templates.
    paths: Vec<Vec<(Span, String)>>,
    /// Declaration and type of the stage that finally provides it; [`None`] for a port.
    origin: Option<(Span, String)>,
}

/// Why a reference cannot be resolved.
enum Miss<'a> {
    /// Unknown name.
    Name,
    /// Unknown output, or several outputs to choose from, of a stage whose name has this many parts.
    Output(Span, &'a Signature, usize),
    /// The name of a `repeat` alone.
    Copies(usize),
    /// A copy that a `repeat` does not have, and the reference to it.
    Copy(usize, String),
    /// A name that the copies of a `repeat` do not have.
    InCopies(usize),
    /// A port has no outputs.
    OfPort(Span),
    /// It leads to a mistake that is reported elsewhere.
    Reported,
    /// It depends on itself.
    Circle,
}

impl<'a> Lowerer<'a> {
    /// Fills in the inputs of every stage, once all stages are known.
    pub(super) fn connect(&mut self) {
        let mut drafts = std::mem::take(&mut self.drafts);
        for draft in &drafts {
            for port in draft.signature.outputs.iter().filter_map(|out| out.follows.as_ref()) {
                let given = draft.given.iter().find(|given| given.path == *port);
                if let Some(text) = given.and_then(|given| given.values.first()).and_then(NodeEntry::text) {
                    self.followed.insert((draft.frame, draft.declared_name.clone()), text.to_owned());
                }
            }
        }
        for draft in &mut drafts {
            let title = format!("`{} {}`", draft.spec.stage_type, draft.declared_name);
            for port in &draft.signature.inputs {
                let given: Vec<&Argument> = draft.given.iter().filter(|given| given.path == port.name).collect();
                let place = draft.spec.span;
                if let Some((input, sites)) = self.port(draft.frame, &title, place, port, &given) {
                    draft.spec.inputs.push(input);
                    draft.sites.push(sites);
                }
            }
        }
        let open = self.repeats.iter().filter(|copies| copies.open).flat_map(|copies| &copies.frames);
        let open: Vec<&str> = open.map(|at| self.frames[*at].prefix.as_str()).collect();
        for draft in drafts.iter_mut().filter(|_| !open.is_empty()) {
            let mut from = draft.spec.inputs.iter().flat_map(|input| &input.from);
            draft.open = from.any(|from| open.iter().any(|prefix| from.stage.starts_with(prefix)));
        }
        take_variants(&mut drafts);
        self.drafts = drafts;
        for at in 0..self.frames.len() {
            let Some(instance) = &self.frames[at].of else { continue };
            let (signature, given) = (instance.signature, instance.given.clone());
            match instance.used {
                Some((span, parent)) => {
                    let name = self.frames[at].prefix.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
                    let title = format!("`{} {name}`", signature.name);
                    for port in &signature.inputs {
                        let given = given.get(&port.name).map_or(&[][..], Vec::as_slice);
                        self.port(parent, &title, span, port, &given.iter().collect::<Vec<_>>());
                    }
                }
                None => self.outputs(at, signature),
            }
        }
    }

    /// Checks that each output of a body comes from a stage of its type.
    fn outputs(&mut self, at: usize, signature: &'a Signature) {
        let Some(body) = &signature.body else { return };
        for (out, entry) in signature.outputs.iter().zip(&body.gives) {
            let Some(entry) = entry else { continue };
            let wanted = InPort {
                name: out.name.clone(),
                types: vec![out.ty.clone()],
                many: false,
                least: 1,
                optional: true,
                refuses: Vec::new(),
                names: None,
                purpose: PortPurpose::Content,
                unseen: false,
                joins: None,
                doc: String::new(),
                span: out.span,
            };
            let output = if out.name == "out" { "the output".to_owned() } else { format!("output `{}`", out.name) };
            let wants = format!("{output} of `{}` must be {}", signature.name, out.ty);
            self.reference(at, &wanted, entry, &wants);
        }
    }

    /// The input of a port, with the site of each reference; [`None`] if there is none.
    fn port(
        &mut self,
        at: usize,
        title: &str,
        place: Span,
        port: &InPort,
        given: &[&Argument],
    ) -> Option<(Input, Vec<ReferenceSite>)> {
        let Some(first) = given.first() else {
            if !port.optional {
                let message = format!("{title} needs `{}`: {}", port.name, lower_first(&port.doc));
                self.error(at, "missing-port", place, message, self.give(at, port));
            }
            return None;
        };
        let all = given.iter().flat_map(|given| &given.values);
        let spelled: Vec<NodeEntry> = all.flat_map(|entry| self.sets(at, port, entry)).collect();
        let mut entries: Vec<&NodeEntry> = spelled.iter().collect();
        if entries.is_empty() && given.iter().all(|given| !given.broken) {
            let message = format!("`{}` needs a stage", port.name);
            self.error(at, "missing-port", first.whole, message, self.give(at, port));
        }
        if entries.len() > 1 && !port.many {
            let message = format!("`{}` takes one stage, not {}", port.name, entries.len());
            let hint = match entries[1].text().filter(|_| given.len() == 1) {
                Some(word) => format!("keep one; or is a `;` missing before `{word}`?"),
                None => "keep one".to_owned(),
            };
            self.error(at, "value-count", entries[1].whole, message, hint);
            entries.truncate(1);
        }
        let (mut from, mut sites) = (Vec::new(), Vec::new());
        for entry in entries {
            let wants = format!("`{}` of {title} takes {}", port.name, port.types.join(" or "));
            let Some(mut found) = self.reference(at, port, entry, &wants) else { continue };
            if found.from.is_empty() && !port.optional && !self.alone(at) {
                let message = format!("{title} needs `{}`, but port `{}` has no input", port.name, shown(entry));
                self.error(
                    at,
                    "missing-port",
                    entry.span,
                    message,
                    "connect it where the template is used, or name a stage here",
                );
            }
            if found.from.len() > 1 && !port.many {
                let message = format!("`{}` takes one stage, but `{}` stands for several", port.name, shown(entry));
                let hint = match self.copy_hint(at, shown(entry)) {
                    Some(one) => format!("name one copy: `{one}`"),
                    None => "connect only one where the template is used".to_owned(),
                };
                self.error(at, "value-count", entry.span, message, hint);
                found.from.truncate(1);
            }
            for (reference, path) in found.from.into_iter().zip(found.paths) {
                if from.contains(&reference) {
                    let message = format!("`{}` has this input twice", port.name);
                    self.error(at, "duplicate-param", entry.span, message, "remove one of them");
                }
                from.push(reference);
                sites.push(ReferenceSite { span: entry.span, path });
            }
        }
        (!from.is_empty()).then(|| (Input { port: port.name.clone(), from, span: first.whole }, sites))
    }

    /// A reference, or for a port that takes the sets of a split, one to each set of the split that it names.
    fn sets(&self, at: usize, port: &InPort, entry: &NodeEntry) -> Vec<NodeEntry> {
        let signature = entry.text().and_then(|name| self.named(at, name));
        match (signature, entry.text()) {
            (Some(signature), Some(name)) if port.sides() && signature.outputs.len() > 1 => {
                let set =
                    |out: &OutPort| NodeEntry { value: Scalar::Text(format!("{name}.{}", out.name)), ..entry.clone() };
                signature.outputs.iter().map(set).collect()
            }
            _ => vec![entry.clone()],
        }
    }

    /// A hint how to connect a port.
    fn give(&self, at: usize, port: &InPort) -> String {
        let fits = |types: &[String]| types.iter().all(|ty| port.types.contains(ty));
        let fitting = self.names(at, |out| fits(std::slice::from_ref(&out.ty)), |taken| fits(&taken.types));
        let stage = if let [only] = fitting.as_slice() { only } else { "STAGE" };
        format!("write `{} {stage}`, a stage that provides {}", port.name, port.types.join(" or "))
    }

    /// Whether a frame belongs to a body that is checked by itself.
    fn alone(&self, at: usize) -> bool {
        let mut at = self.around_copies(at);
        while let Some(instance) = &self.frames[at].of {
            let Some((_, parent)) = instance.used else { return true };
            at = self.around_copies(parent);
        }
        false
    }

    /// Resolves a reference and checks its type against the port; reports mistakes. `wants` describes the port.
    fn reference(&mut self, at: usize, port: &InPort, entry: &NodeEntry, wants: &str) -> Option<Referent> {
        let Some(text) = entry.text() else {
            let message = format!("`{}` takes the name of a stage", port.name);
            self.error(at, "wrong-kind", entry.span, message, "write a stage's name");
            return None;
        };
        let found = match self.find(at, text, &mut Vec::new()) {
            Ok(found) => found,
            Err(miss) => {
                if let Some(diag) = self.miss(at, entry.span, text, &miss) {
                    self.report(at, diag);
                }
                return None;
            }
        };
        let fits = |ty: &String| port.types.contains(ty) || ty == ANY || port.types.iter().any(|ty| ty == ANY);
        if found.types.iter().all(fits) {
            return Some(found);
        }
        let gives = found.types.join(" or ");
        // The path by which the wrong type came: the name, each output and port on the path, and the final stage.
        let mut diag = Diag::error("port-type", entry.span, format!("{wants}, but `{text}` provides {gives}"));
        diag = diag.also(found.declared, format!("provides {gives}"));
        if let [path] = found.paths.as_slice() {
            diag = path.iter().fold(diag, |diag, (span, step)| diag.also(*span, step));
        }
        if let Some((span, kind)) = found.origin.filter(|(span, _)| *span != found.declared) {
            diag = diag.also(span, format!("produced by this `{kind}`"));
        }
        let fitting: Vec<String> = self.names(
            at,
            |out| port.types.contains(&out.ty),
            |taken| taken.types.iter().all(|ty| port.types.contains(ty)),
        );
        let hint = if fitting.is_empty() {
            format!("no stage here provides {}", port.types.join(" or "))
        } else {
            format!("these fit: {}", near::names(fitting.iter().take(6).map(String::as_str)))
        };
        self.report(at, diag.hint(hint));
        None
    }

    /// The types of an output of a stage: its own, or those of what the port that it follows gets, as far as that port takes them.
    fn types(
        &self,
        (at, name): (usize, &str),
        signature: &Signature,
        out: &OutPort,
        visited: &mut Vec<(usize, String)>,
    ) -> Vec<String> {
        let Some(port) = out.follows.as_ref().and_then(|port| signature.input(port)) else {
            return vec![out.ty.clone()];
        };
        let key = (at, name.to_owned(), out.name.clone());
        if let Some(known) = self.types.borrow().get(&key) {
            return known.clone();
        }
        let given = self.followed.get(&(at, name.to_owned()));
        let found = given.and_then(|given| self.find(at, given, visited).ok());
        let types: Vec<String> =
            found.map_or_else(Vec::new, |found| found.types.into_iter().filter(|ty| port.types.contains(ty)).collect());
        let types = if types.is_empty() { vec![out.ty.clone()] } else { types };
        self.types.borrow_mut().insert(key, types.clone());
        types
    }

    /// The references available in a frame: outputs and ports that fit.
    fn names(&self, at: usize, fits: impl Fn(&OutPort) -> bool, port: impl Fn(&InPort) -> bool) -> Vec<String> {
        let mut all = Vec::new();
        for (name, declared) in &self.frames[at].declared {
            match declared {
                Declared::Stage(_, Some(signature)) | Declared::Instance(_, signature, _) => {
                    let several = signature.outputs.len() > 1;
                    let typed = |out: &&OutPort| {
                        let types = self.types((at, name), signature, out, &mut Vec::new());
                        types.into_iter().all(|ty| fits(&OutPort { ty, ..(*out).clone() }))
                    };
                    let fitting = signature.outputs.iter().filter(typed);
                    all.extend(fitting.map(|out| if several { format!("{name}.{}", out.name) } else { name.clone() }));
                }
                Declared::Stage(_, None) | Declared::Repeat(..) => {}
                Declared::Port(_, taken) => all.extend(port(taken).then(|| name.clone())),
            }
        }
        all
    }

    /// Follows a reference. `visited` holds the names in frames that led here.
    fn find(&self, at: usize, text: &str, visited: &mut Vec<(usize, String)>) -> Result<Referent, Miss<'a>> {
        let step = (at, text.to_owned());
        if visited.contains(&step) {
            return Err(Miss::Circle);
        }
        visited.push(step);
        let found = self.follow(at, text, visited);
        visited.pop();
        found
    }

    fn follow(&self, at: usize, text: &str, visited: &mut Vec<(usize, String)>) -> Result<Referent, Miss<'a>> {
        let (name, output) = text.split_once('.').map_or((text, None), |(name, output)| (name, Some(output)));
        let frame = &self.frames[at];
        match frame.declared.get(name) {
            None => match &frame.copy {
                Some(copy) => self.find(copy.parent, text, visited),
                None => Err(Miss::Name),
            },
            Some(&Declared::Repeat(_, index)) => self.follow_copies(index, text, visited),
            Some(Declared::Stage(_, None)) => Err(Miss::Reported),
            Some(&Declared::Stage(declared, Some(signature))) => {
                let out = signature.output(output).ok_or(Miss::Output(declared, signature, 1))?;
                let reference = Reference { stage: format!("{}{name}", frame.prefix), port: out.name.clone() };
                let origin = Some((declared, signature.name.clone()));
                Ok(Referent {
                    types: self.types((at, name), signature, out, visited),
                    declared,
                    from: vec![reference],
                    paths: vec![Vec::new()],
                    origin,
                })
            }
            Some(&Declared::Instance(declared, signature, body)) => {
                let out = signature.output(output).ok_or(Miss::Output(declared, signature, 1))?;
                let index = signature.outputs.iter().position(|other| other.name == out.name);
                let gives = index.and_then(|index| signature.body.as_ref()?.gives.get(index)?.as_ref());
                let gives = gives.ok_or(Miss::Reported)?;
                let inner = match self.find(body, shown(gives), visited) {
                    Ok(found) => found,
                    Err(miss @ (Miss::Circle | Miss::Copy(..))) => return Err(miss),
                    // Reported where the body is checked.
                    Err(_) => return Err(Miss::Reported),
                };
                let step = (gives.span, format!("`{text}` is `{}` of its body", shown(gives)));
                let paths = inner.paths.into_iter().map(|rest| with_step(&step, rest)).collect();
                Ok(Referent { types: vec![out.ty.clone()], declared, from: inner.from, paths, origin: inner.origin })
            }
            Some(&Declared::Port(declared, _)) if output.is_some() => Err(Miss::OfPort(declared)),
            Some(&Declared::Port(declared, port)) => {
                let (mut from, mut paths) = (Vec::new(), Vec::new());
                let instance = frame.of.as_ref();
                if let Some((_, parent)) = instance.and_then(|instance| instance.used) {
                    let given = instance.and_then(|instance| instance.given.get(name));
                    for entry in given.into_iter().flatten().flat_map(|given| &given.values) {
                        match self.find(parent, entry.text().ok_or(Miss::Reported)?, visited) {
                            Ok(found) => {
                                let step = (entry.span, format!("`{name}` is connected to `{}`", shown(entry)));
                                paths.extend(found.paths.into_iter().map(|rest| with_step(&step, rest)));
                                from.extend(found.from);
                            }
                            Err(Miss::Circle) => return Err(Miss::Circle),
                            Err(_) => return Err(Miss::Reported),
                        }
                    }
                    if from.is_empty() && !port.optional || from.len() > MOST_REFERENCES {
                        return Err(Miss::Reported);
                    }
                }
                Ok(Referent { types: port.types.clone(), declared, from, paths, origin: None })
            }
        }
    }

    /// Follows a reference into the copies of a `repeat`: into one of them, or into all.
    fn follow_copies(
        &self,
        index: usize,
        text: &str,
        visited: &mut Vec<(usize, String)>,
    ) -> Result<Referent, Miss<'a>> {
        let (_, rest) = text.split_once('.').ok_or(Miss::Copies(index))?;
        let (copies, inner) = self.copies(index, rest).ok_or_else(|| Miss::Copy(index, text.to_owned()))?;
        let parts = if inner.len() < rest.len() { 2 } else { 1 };
        if inner.is_empty() {
            return Err(Miss::Copies(index));
        }
        let mut whole: Option<Referent> = None;
        for copy in copies {
            let head = inner.split('.').next().unwrap_or_default();
            if !self.frames[*copy].declared.contains_key(head) {
                return Err(Miss::InCopies(index));
            }
            let found = self.find(*copy, inner, visited).map_err(|miss| match miss {
                Miss::Output(declared, signature, own) => Miss::Output(declared, signature, own + parts),
                miss => miss,
            })?;
            match &mut whole {
                None => whole = Some(found),
                Some(whole) => {
                    whole.from.extend(found.from);
                    whole.paths.extend(found.paths);
                    if whole.from.len() > MOST_REFERENCES {
                        return Err(Miss::Reported);
                    }
                }
            }
        }
        whole.ok_or(Miss::Reported)
    }

    fn miss(&self, at: usize, span: Span, text: &str, miss: &Miss) -> Option<Diag> {
        let parts = if let Miss::Output(_, _, parts) = miss { *parts } else { 1 };
        let end = text.match_indices('.').nth(parts - 1).map(|(at, _)| at);
        let (name, output) = end.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
        Some(match miss {
            Miss::Reported => return None,
            // Unquoted paths, and words that are neither a number nor a name, are reported by the parser.
            Miss::Name if text.contains('/') && span.end - span.start == text.len() => return None,
            Miss::Name if crate::lang::is_reported_as_number(text, span) => return None,
            Miss::Name
                if text.contains(['/', '\\']) || [".pth", ".safetensors"].iter().any(|end| text.ends_with(end)) =>
            {
                let found = Diag::error("unknown-name", span, format!("unknown stage `{text}`"));
                found
                    .hint("a port takes a stage: `idrid` and `folder` read photographs, `weights` reads a weights file")
            }
            Miss::Name => {
                let most = if self.diags.len() < MOST_NEAR { usize::MAX } else { 0 };
                let names = self.names_in_reach(at);
                let hint = match self.inside_repeat(at, name) {
                    Some(inside) => format!("it is inside a `repeat`: write `{inside}` for all of them"),
                    None => near::hint(
                        name,
                        names.iter().map(String::as_str).take(most),
                        "stages may be in any order, but each must be declared",
                    ),
                };
                Diag::error("unknown-name", span, format!("unknown stage `{name}`")).hint(hint)
            }
            Miss::OfPort(declared) => {
                Diag::error("unknown-name", span, format!("`{name}` is a port and has no outputs"))
                    .also(*declared, "declared here")
                    .hint(format!("write only `{name}`"))
            }
            Miss::Copies(index) => {
                let inner = self.first_copy(*index).map(|frame| frame.declared.keys().map(String::as_str));
                let inner: Vec<String> = inner.into_iter().flatten().map(|inner| format!("{name}.{inner}")).collect();
                let found = Diag::error("unknown-name", span, format!("`{name}` stands for several stages"));
                found.hint(format!("name one of its stages: {}", near::names(inner.iter().map(String::as_str))))
            }
            Miss::Copy(index, reference) => {
                let copies = &self.repeats[*index];
                let last = copies.from + copies.frames.len().saturating_sub(1);
                let mut parts = reference.split('.');
                let (repeat, number) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                let message = if reference == text {
                    format!("`{repeat}` has no copy {number}")
                } else {
                    format!("`{text}` is `{reference}` of its body, but `{repeat}` has no copy {number}")
                };
                let found = Diag::error("unknown-name", span, message);
                found.hint(format!("its copies are {} to {last}", copies.from))
            }
            Miss::InCopies(index) => {
                let wanted = text.split('.').skip(1).find(|part| !super::repeat::is_number(part)).unwrap_or_default();
                let inner = self.first_copy(*index).map(|frame| frame.declared.keys().map(String::as_str));
                let hint = near::hint(wanted, inner.into_iter().flatten(), "name a stage inside its braces");
                Diag::error("unknown-name", span, format!("`{name}` has no stage `{wanted}`")).hint(hint)
            }
            Miss::Circle => Diag::error("cycle", span, format!("`{text}` depends on itself"))
                .hint("change the input of one of the stages in the cycle"),
            Miss::Output(declared, signature, _) => {
                let ports = signature.outputs.iter().map(|out| out.name.as_str());
                let all: Vec<String> = ports.clone().map(|port| format!("{name}.{port}")).collect();
                let all = near::names(all.iter().map(String::as_str));
                let (message, hint) = if let Some(output) = output {
                    let near = near::near(output, ports).map(|port| format!("did you mean `{name}.{port}`?"));
                    let all = if signature.outputs.len() == 1 {
                        format!("write only `{name}`")
                    } else {
                        format!("it has {all}")
                    };
                    (format!("`{name}` has no output `{output}`"), near.unwrap_or(all))
                } else {
                    (format!("`{name}` has several outputs"), format!("choose one: {all}"))
                };
                Diag::error("unknown-name", span, message).also(*declared, "declared here").hint(hint)
            }
        })
    }

    /// The outputs of an instance and the stages that give them; several for an output that stands for the copies of a `repeat`.
    pub(super) fn outlets(&self, at: usize, signature: &Signature) -> Vec<(String, Reference)> {
        let gives = signature.body.iter().flat_map(|body| &body.gives);
        let mut outlets = Vec::new();
        for (out, entry) in signature.outputs.iter().zip(gives) {
            let Some(text) = entry.as_ref().and_then(NodeEntry::text) else { continue };
            let found = self.find(at, text, &mut Vec::new());
            outlets.extend(found.into_iter().flat_map(|found| found.from).map(|from| (out.name.clone(), from)));
        }
        outlets
    }
}

fn with_step(step: &(Span, String), rest: Vec<(Span, String)>) -> Vec<(Span, String)> {
    std::iter::once(step.clone()).chain(rest).collect()
}

fn shown(entry: &NodeEntry) -> &str {
    entry.text().unwrap_or_default()
}

/// Gives each stage whose outputs follow an input port the signature with the type of what that port gets.
fn take_variants(drafts: &mut [Draft]) {
    let followers: Vec<usize> = (0..drafts.len()).filter(|at| !drafts[*at].signature.variants.is_empty()).collect();
    if followers.is_empty() {
        return;
    }
    let by_name: BTreeMap<String, usize> =
        (0..).zip(&*drafts).map(|(at, draft)| (draft.spec.name.clone(), at)).collect();
    // A follower may follow a follower that comes after it.
    for _ in 0..followers.len() {
        let mut changed = false;
        for &at in &followers {
            let draft = &drafts[at];
            let follows = draft.signature.outputs.iter().find_map(|out| out.follows.as_ref());
            let input = draft.spec.inputs.iter().find(|input| Some(&input.port) == follows);
            let source = input.and_then(|input| Some((input.from.first()?, by_name.get(&input.from.first()?.stage)?)));
            let given = source.and_then(|(from, source)| drafts[*source].signature.output(Some(&from.port)));
            let of_type =
                |signature: &&Signature| signature.outputs.iter().any(|out| Some(&out.ty) == given.map(|out| &out.ty));
            let Some(variant) = draft.signature.variants.iter().find(of_type) else { continue };
            let outputs =
                variant.outputs.iter().map(|out| Output { port: out.name.clone(), ty: out.ty.clone() }).collect();
            drafts[at].signature = variant;
            drafts[at].spec.outputs = outputs;
            changed = true;
        }
        if !changed {
            return;
        }
    }
}
