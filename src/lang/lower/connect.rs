//! References: from a name in a scope to the stages that it means in the end, through ports and outputs of bodies.

use super::frame::Declared;
use super::{Draft, Lowerer, Place};
use crate::base::Span;
use crate::diag::Diag;
use crate::lang::fill::lower_first;
use crate::lang::given::Given;
use crate::lang::near;
use crate::lang::signature::{ANY, InPort, OutPort, Signature};
use crate::lang::spec::{Input, Reference};
use crate::syntax::Entry;

/// References that a port can stand for; more come only from ports that multiply each other.
const MOST_REFERENCES: usize = 10_000;

/// Mistakes of a file after which no near misses are looked for.
const MOST_NEAR: usize = 500;

/// What a reference means.
pub(super) struct Found {
    /// The types that it may give, as they are declared where it points.
    pub(super) types: Vec<String>,
    /// Where what it names is declared.
    pub(super) declared: Span,
    /// The outputs of real stages; none where an optional port was given nothing.
    pub(super) from: Vec<Reference>,
    /// For each of them, the way to it through outputs and ports of bodies.
    ways: Vec<Vec<(Span, String)>>,
    /// Where the stage stands that gives it in the end, and its kind; none where it is a port's.
    origin: Option<(Span, String)>,
}

/// Why a reference means nothing.
enum Miss<'a> {
    /// There is no such name.
    Name,
    /// It has no such output, or several.
    Output(Span, &'a Signature),
    /// A port has no outputs.
    OfPort(Span),
    /// What it names was told to be wrong, or is wrong further on.
    Told,
    /// It leads back to itself.
    Circle,
}

impl<'a> Lowerer<'a> {
    /// Fills in the inputs of every stage, once all stages are known.
    pub(super) fn connect(&mut self) {
        let mut drafts = std::mem::take(&mut self.drafts);
        for draft in &mut drafts {
            let title = format!("`{} {}`", draft.spec.kind, draft.local);
            for port in &draft.signature.inputs {
                let given: Vec<&Given> = draft.given.iter().filter(|given| given.path == port.name).collect();
                let place = draft.spec.span;
                if let Some((input, places)) = self.port(draft.frame, &title, place, port, &given) {
                    draft.spec.inputs.push(input);
                    draft.places.push(places);
                }
            }
        }
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

    /// Whether each output of a body comes from a stage of its type.
    fn outputs(&mut self, at: usize, signature: &'a Signature) {
        let Some(body) = &signature.body else { return };
        for (out, entry) in signature.outputs.iter().zip(&body.gives) {
            let Some(entry) = entry else { continue };
            let wanted = InPort {
                name: out.name.clone(),
                types: vec![out.ty.clone()],
                many: false,
                optional: true,
                refuses: Vec::new(),
                doc: String::new(),
                span: out.span,
            };
            let output = if out.name == "out" { "the output".to_owned() } else { format!("output `{}`", out.name) };
            let wants = format!("{output} of `{}` is to be {}", signature.name, out.ty);
            self.reference(at, &wanted, entry, &wants);
        }
    }

    /// What a port is given, with the place of each reference; none where that is nothing.
    fn port(
        &mut self,
        at: usize,
        title: &str,
        place: Span,
        port: &InPort,
        given: &[&Given],
    ) -> Option<(Input, Vec<Place>)> {
        let Some(first) = given.first() else {
            if !port.optional {
                let message = format!("{title} needs `{}`: {}", port.name, lower_first(&port.doc));
                self.wrong(at, "missing-port", place, message, self.give(at, port));
            }
            return None;
        };
        let mut entries: Vec<&Entry> = given.iter().flat_map(|given| &given.values).collect();
        if entries.is_empty() && given.iter().all(|given| !given.broken) {
            let message = format!("`{}` names no stage", port.name);
            self.wrong(at, "missing-port", first.whole, message, self.give(at, port));
        }
        if entries.len() > 1 && !port.many {
            let message = format!("`{}` takes one stage, not {}", port.name, entries.len());
            let hint = match entries[1].text().filter(|_| given.len() == 1) {
                Some(word) => format!("leave one; or is a `;` missing before `{word}`?"),
                None => "leave one".to_owned(),
            };
            self.wrong(at, "value-count", entries[1].whole, message, hint);
            entries.truncate(1);
        }
        let (mut from, mut places) = (Vec::new(), Vec::new());
        for entry in entries {
            let wants = format!("`{}` of {title} takes {}", port.name, port.types.join(" or "));
            let Some(found) = self.reference(at, port, entry, &wants) else { continue };
            if found.from.is_empty() && !port.optional && !self.alone(at) {
                let message =
                    format!("{title} needs `{}`, and the port `{}` was given nothing", port.name, shown(entry));
                self.wrong(at, "missing-port", entry.span, message, "give it where the stage is used, or a stage here");
            }
            if found.from.len() > 1 && !port.many {
                let message = format!("`{}` takes one stage, and `{}` stands for several", port.name, shown(entry));
                self.wrong(at, "value-count", entry.span, message, "give it one where the stage is used");
            }
            for (reference, way) in found.from.into_iter().zip(found.ways) {
                if from.contains(&reference) {
                    let message = format!("`{}` is given this twice", port.name);
                    self.wrong(at, "duplicate-param", entry.span, message, "once is enough");
                }
                from.push(reference);
                places.push(Place { span: entry.span, way });
            }
        }
        (!from.is_empty()).then(|| (Input { port: port.name.clone(), from, span: first.whole }, places))
    }

    /// How to give a port something.
    fn give(&self, at: usize, port: &InPort) -> String {
        let fits = |types: &[String]| types.iter().all(|ty| port.types.contains(ty));
        let fitting = self.names(at, |out| fits(std::slice::from_ref(&out.ty)), |taken| fits(&taken.types));
        let stage = if let [only] = fitting.as_slice() { only } else { "STAGE" };
        format!("write `{} {stage}`, a stage that gives {}", port.name, port.types.join(" or "))
    }

    /// Whether a frame is that of a body checked by itself.
    fn alone(&self, at: usize) -> bool {
        let mut at = at;
        while let Some(instance) = &self.frames[at].of {
            let Some((_, parent)) = instance.used else { return true };
            at = parent;
        }
        false
    }

    /// What a reference means, where its type fits the port; tells what is wrong. `wants` is the port in words.
    fn reference(&mut self, at: usize, port: &InPort, entry: &Entry, wants: &str) -> Option<Found> {
        let Some(text) = entry.text() else {
            let message = format!("`{}` takes the name of a stage", port.name);
            self.wrong(at, "wrong-kind", entry.span, message, "write a stage's name");
            return None;
        };
        let found = match self.find(at, text, &mut Vec::new()) {
            Ok(found) => found,
            Err(miss) => {
                if let Some(diag) = self.miss(at, entry.span, text, &miss) {
                    self.tell(at, diag);
                }
                return None;
            }
        };
        let fits = |ty: &String| port.types.contains(ty) || ty == ANY || port.types.iter().any(|ty| ty == ANY);
        if found.types.iter().all(fits) {
            return Some(found);
        }
        let gives = found.types.join(" or ");
        // The way by which the wrong type came: what is named, each output and port on the way, the stage in the end.
        let mut diag = Diag::error("port-type", entry.span, format!("{wants}, `{text}` gives {gives}"));
        diag = diag.also(found.declared, format!("gives {gives}"));
        if let [way] = found.ways.as_slice() {
            diag = way.iter().fold(diag, |diag, (span, hop)| diag.also(*span, hop));
        }
        if let Some((span, kind)) = found.origin.filter(|(span, _)| *span != found.declared) {
            diag = diag.also(span, format!("this `{kind}` makes it"));
        }
        let fitting: Vec<String> = self.names(
            at,
            |out| port.types.contains(&out.ty),
            |taken| taken.types.iter().all(|ty| port.types.contains(ty)),
        );
        let hint = if fitting.is_empty() {
            format!("no stage here gives {}", port.types.join(" or "))
        } else {
            format!("it could take {}", near::names(fitting.iter().take(6).map(String::as_str)))
        };
        self.tell(at, diag.hint(hint));
        None
    }

    /// The references that could stand in a frame: outputs that fit, and ports that do.
    fn names(&self, at: usize, fits: impl Fn(&OutPort) -> bool, port: impl Fn(&InPort) -> bool) -> Vec<String> {
        let mut all = Vec::new();
        for (name, declared) in &self.frames[at].declared {
            match declared {
                Declared::Stage(_, Some(signature)) | Declared::Instance(_, signature, _) => {
                    let several = signature.outputs.len() > 1;
                    let fitting = signature.outputs.iter().filter(|out| fits(out));
                    all.extend(fitting.map(|out| if several { format!("{name}.{}", out.name) } else { name.clone() }));
                }
                Declared::Stage(_, None) => {}
                Declared::Port(_, taken) => all.extend(port(taken).then(|| name.clone())),
            }
        }
        all
    }

    /// Follows a reference. `way` is where it came along: names in frames.
    fn find(&self, at: usize, text: &str, way: &mut Vec<(usize, String)>) -> Result<Found, Miss<'a>> {
        let step = (at, text.to_owned());
        if way.contains(&step) {
            return Err(Miss::Circle);
        }
        way.push(step);
        let found = self.follow(at, text, way);
        way.pop();
        found
    }

    fn follow(&self, at: usize, text: &str, way: &mut Vec<(usize, String)>) -> Result<Found, Miss<'a>> {
        let (name, output) = text.split_once('.').map_or((text, None), |(name, output)| (name, Some(output)));
        let frame = &self.frames[at];
        match frame.declared.get(name) {
            None => Err(Miss::Name),
            Some(Declared::Stage(_, None)) => Err(Miss::Told),
            Some(&Declared::Stage(declared, Some(signature))) => {
                let out = signature.output(output).ok_or(Miss::Output(declared, signature))?;
                let reference = Reference { stage: format!("{}{name}", frame.prefix), port: out.name.clone() };
                let origin = Some((declared, signature.name.clone()));
                Ok(Found {
                    types: vec![out.ty.clone()],
                    declared,
                    from: vec![reference],
                    ways: vec![Vec::new()],
                    origin,
                })
            }
            Some(&Declared::Instance(declared, signature, body)) => {
                let out = signature.output(output).ok_or(Miss::Output(declared, signature))?;
                let index = signature.outputs.iter().position(|other| other.name == out.name);
                let gives = index.and_then(|index| signature.body.as_ref()?.gives.get(index)?.as_ref());
                let gives = gives.ok_or(Miss::Told)?;
                let inner = match self.find(body, shown(gives), way) {
                    Ok(found) => found,
                    Err(Miss::Circle) => return Err(Miss::Circle),
                    // Told where the body is checked.
                    Err(_) => return Err(Miss::Told),
                };
                let hop = (gives.span, format!("`{text}` is `{}` of its body", shown(gives)));
                let ways = inner.ways.into_iter().map(|rest| with_hop(&hop, rest)).collect();
                Ok(Found { types: vec![out.ty.clone()], declared, from: inner.from, ways, origin: inner.origin })
            }
            Some(&Declared::Port(declared, _)) if output.is_some() => Err(Miss::OfPort(declared)),
            Some(&Declared::Port(declared, port)) => {
                let (mut from, mut ways) = (Vec::new(), Vec::new());
                let instance = frame.of.as_ref();
                if let Some((_, parent)) = instance.and_then(|instance| instance.used) {
                    let given = instance.and_then(|instance| instance.given.get(name));
                    for entry in given.into_iter().flatten().flat_map(|given| &given.values) {
                        match self.find(parent, entry.text().ok_or(Miss::Told)?, way) {
                            Ok(found) => {
                                let hop = (entry.span, format!("`{name}` is given `{}`", shown(entry)));
                                ways.extend(found.ways.into_iter().map(|rest| with_hop(&hop, rest)));
                                from.extend(found.from);
                            }
                            Err(Miss::Circle) => return Err(Miss::Circle),
                            Err(_) => return Err(Miss::Told),
                        }
                    }
                    if from.is_empty() && !port.optional || from.len() > MOST_REFERENCES {
                        return Err(Miss::Told);
                    }
                }
                Ok(Found { types: port.types.clone(), declared, from, ways, origin: None })
            }
        }
    }

    fn miss(&self, at: usize, span: Span, text: &str, miss: &Miss) -> Option<Diag> {
        let (name, output) = text.split_once('.').map_or((text, None), |(name, output)| (name, Some(output)));
        Some(match miss {
            Miss::Told => return None,
            // An unquoted path was told of as one, and what is neither a number nor a name as that.
            Miss::Name if text.contains('/') && span.end - span.start == text.len() => return None,
            Miss::Name if crate::lang::is_told_as_number(text, span) => return None,
            Miss::Name
                if text.contains(['/', '\\']) || [".pth", ".safetensors"].iter().any(|end| text.ends_with(end)) =>
            {
                let found = Diag::error("unknown-name", span, format!("there is no stage named `{text}`"));
                found
                    .hint("a port takes a stage: `idrid` and `folder` read photographs, `weights` reads a model's file")
            }
            Miss::Name => {
                let most = if self.diags.len() < MOST_NEAR { usize::MAX } else { 0 };
                let names = self.frames[at].declared.keys().map(String::as_str).take(most);
                let hint = near::hint(name, names, "stages may stand in any order, but each must be there");
                Diag::error("unknown-name", span, format!("there is no stage named `{name}`")).hint(hint)
            }
            Miss::OfPort(declared) => {
                Diag::error("unknown-name", span, format!("`{name}` is a port and has no outputs"))
                    .also(*declared, "declared here")
                    .hint(format!("write `{name}` alone"))
            }
            Miss::Circle => Diag::error("cycle", span, format!("`{text}` leads back to itself"))
                .hint("one of the stages on the way must read something else"),
            Miss::Output(declared, signature) => {
                let ports = signature.outputs.iter().map(|out| out.name.as_str());
                let all: Vec<String> = ports.clone().map(|port| format!("{name}.{port}")).collect();
                let all = near::names(all.iter().map(String::as_str));
                let (message, hint) = if let Some(output) = output {
                    let near = near::near(output, ports).map(|port| format!("did you mean `{name}.{port}`?"));
                    let all = if signature.outputs.len() == 1 {
                        format!("write `{name}` alone")
                    } else {
                        format!("it has {all}")
                    };
                    (format!("`{name}` has no output `{output}`"), near.unwrap_or(all))
                } else {
                    (format!("`{name}` has several outputs"), format!("say which: {all}"))
                };
                Diag::error("unknown-name", span, message).also(*declared, "declared here").hint(hint)
            }
        })
    }

    /// The outputs of an instance and the stages that give them.
    pub(super) fn outlets(&self, at: usize, signature: &Signature) -> Vec<(String, Reference)> {
        let gives = signature.body.iter().flat_map(|body| &body.gives);
        let outlet = |(out, entry): (&OutPort, &Option<Entry>)| {
            let mut found = self.find(at, entry.as_ref()?.text()?, &mut Vec::new()).ok()?;
            (found.from.len() == 1).then(|| (out.name.clone(), found.from.remove(0)))
        };
        signature.outputs.iter().zip(gives).filter_map(outlet).collect()
    }
}

fn with_hop(hop: &(Span, String), rest: Vec<(Span, String)>) -> Vec<(Span, String)> {
    std::iter::once(hop.clone()).chain(rest).collect()
}

fn shown(entry: &Entry) -> &str {
    entry.text().unwrap_or_default()
}

impl Draft<'_> {
    /// The places where the stages with bodies stand that this stage lies in, the innermost first.
    pub(in crate::lang) fn used(&self) -> &[(Span, String)] {
        &self.used
    }
}
