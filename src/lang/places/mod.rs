//! Places of names: what each word of a text means, and where that is declared. For editors; decides nothing, and says nothing
//! of what is wrong. `scope` says which names a pipeline or a body has, `walk` goes through a text, `network` through networks, `sweep` through
//! sweeps.

mod network;
mod scope;
mod sweep;
mod walk;

use std::collections::BTreeMap;
use std::rc::Rc;

use super::describe::Described;
use super::load::Analysis;
use super::module::Module;
use super::scope::Scope as FileScope;
use super::signature::{Case, Origin, Param, Signature};
use super::spec::Contents;
use super::stdlib::{MODULES, stdlib};
use crate::base::{FileId, Sources, Span};
use crate::syntax::{self, Node};

pub use scope::{Named, Names};
pub use sweep::Axis;

/// Something that is declared on the top level of a file: a kind of stage, or a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    /// The user's file; none for the standard library.
    pub file: Option<FileId>,
    /// Its name there.
    pub name: String,
}

/// What a word can mean.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Symbol {
    /// A pipeline, by its file and name.
    Pipeline(FileId, String),
    /// A stage of a pipeline or of a body.
    Stage(Scope, String),
    /// A parameter of a pipeline.
    Value(Scope, String),
    /// A kind of stage.
    Kind(Thing),
    /// An input port of a kind.
    Port(Thing, String),
    /// An output port of a kind.
    Output(Thing, String),
    /// A parameter of a kind, by its dotted name; below a case of a choice `loss:focal.gamma`.
    Param(Thing, String),
    /// A case of a choice, by the kind, the parameter and the case.
    Case(Thing, String, String),
    /// A network.
    Network(Thing),
    /// A parameter of a network, or of a block of one: the block, where it is of one, and the parameter.
    NetworkParam(Thing, Option<String>, String),
    /// A block of a network.
    Block(Thing, String),
    /// A kind of layer.
    Layer(String),
    /// A property of a kind of layer.
    LayerParam(String, String),
    /// A module of the standard library, without `std:`.
    Module(String),
    /// Another file.
    File(FileId),
    /// The name that a module was brought in `as=`.
    Alias(FileId, String),
}

/// Whose names they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// A pipeline's, by its file and name.
    Pipeline(FileId, String),
    /// Those of the body of a kind.
    Body(Thing),
}

/// Whether a word makes a name or uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It declares it.
    Declares,
    /// It uses it.
    Uses,
}

/// A word with a meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    /// Where it stands, without quotes and without the `$` of a parameter.
    pub span: Span,
    /// What it means.
    pub symbol: Symbol,
    /// Whether it makes the name.
    pub role: Role,
}

/// What an analysis says of names: which there are at a place, and what a word means.
pub struct Places<'a> {
    module: &'a Module,
    sources: &'a Sources,
    scope: FileScope<'a>,
}

impl Analysis {
    /// What it says of names; `sources` are those that it was made with.
    #[must_use]
    pub fn places<'a>(&'a self, sources: &'a Sources) -> Places<'a> {
        Places { module: &self.module, sources, scope: FileScope::new(&self.module, &mut Vec::new()) }
    }
}

impl<'a> Places<'a> {
    /// The words with a meaning in the text and in those that it brings in, by place.
    #[must_use]
    pub fn occurrences(&self) -> Vec<Occurrence> {
        let mut walker = walk::Walker { places: self, found: Vec::new() };
        for (file, document) in &self.module.documents {
            walker.document(*file, document);
        }
        let mut found = walker.found;
        found.sort();
        found.dedup();
        found
    }

    /// The signature of a kind as it is named at `span`.
    #[must_use]
    pub fn signature(&self, kind: &str, span: Span) -> Option<&'a Signature> {
        let all = || stdlib().templates.iter().find(|signature| signature.name == kind);
        self.scope.stage(kind, span).or_else(all)
    }

    /// The network that a name means at `span`.
    #[must_use]
    pub fn network(&self, name: &str, span: Span) -> Option<&'a Described> {
        self.scope.network(name, span)
    }

    /// Every kind that can stand in a pipeline of a file, by the name that it has there.
    #[must_use]
    pub fn kinds(&self, file: FileId) -> BTreeMap<String, &'a Signature> {
        let library = stdlib().signatures.iter().chain(&stdlib().templates);
        let mut all: BTreeMap<String, &Signature> =
            library.map(|signature| (signature.name.clone(), signature)).collect();
        all.extend(self.scope.stages(file).map(|(name, signature)| (name.to_owned(), signature)));
        all
    }

    /// Every network that a file may name, by the name that it has there.
    #[must_use]
    pub fn networks(&self, file: FileId) -> BTreeMap<String, &'a Described> {
        self.scope.networks(file).map(|(name, network)| (name.to_owned(), network)).collect()
    }

    /// The kind that a signature is of.
    fn kind(&self, signature: &Signature) -> Thing {
        let user =
            |stage: &&super::module::Stage| stage.origin == Origin::User && stage.signature.span == signature.span;
        Thing { file: self.module.stages.iter().find(user).map(|stage| stage.file), name: signature.name.clone() }
    }

    fn thing(&self, network: &Described) -> Thing {
        let user =
            |(_, other): &&(FileId, Described)| other.span == network.span && other.spec.name == network.spec.name;
        Thing { file: self.module.networks.iter().find(user).map(|(file, _)| *file), name: network.spec.name.clone() }
    }

    /// The owner of what a file declares under a name.
    fn declared(&self, file: FileId, name: &str) -> Thing {
        let library = self.sources.get(file).name.starts_with("std:") && self.sources.get(file).path.is_none();
        Thing { file: (!library).then_some(file), name: name.to_owned() }
    }
}

/// The words with a meaning in a module of the standard library (`stages/extract`); spans point into [`stdlib`]'s own sources.
#[must_use]
pub fn in_module(module: &str) -> Vec<Occurrence> {
    let sources = &stdlib().sources;
    let name = format!("std:{module}");
    let Some((file, source)) = sources.iter().find(|(_, source)| source.name == name) else { return Vec::new() };
    let (document, _) = syntax::parse(file, &source.text);
    let module = Module::alone(file, Rc::new(document));
    let contents = Contents { pipelines: Vec::new(), sweeps: Vec::new() };
    let analysis = Analysis { file, contents, diags: Vec::new(), module };
    analysis.places(sources).occurrences()
}

/// The module of the standard library that declares a symbol.
#[must_use]
pub fn module_of(symbol: &Symbol) -> Option<&'static str> {
    if let Symbol::Module(module) = symbol {
        return MODULES.iter().map(|(name, _)| *name).find(|name| name == module);
    }
    let thing = symbol.thing()?;
    if thing.file.is_some() {
        return None;
    }
    let network = matches!(symbol, Symbol::Network(_) | Symbol::NetworkParam(..) | Symbol::Block(..));
    let mut modules =
        MODULES.iter().map(|(module, _)| *module).filter(|module| module.starts_with("networks/") == network);
    modules.find(|module| module.rsplit('/').next() == Some(thing.name.as_str()))
}

impl Symbol {
    /// What is declared on the top level of a file and holds it.
    #[must_use]
    pub fn thing(&self) -> Option<&Thing> {
        match self {
            Self::Kind(thing)
            | Self::Port(thing, _)
            | Self::Output(thing, _)
            | Self::Param(thing, _)
            | Self::Case(thing, ..)
            | Self::Stage(Scope::Body(thing), _)
            | Self::Value(Scope::Body(thing), _)
            | Self::Network(thing)
            | Self::NetworkParam(thing, ..)
            | Self::Block(thing, _) => Some(thing),
            _ => None,
        }
    }

    /// The user's file that declares it, where other files can name it.
    #[must_use]
    pub fn file(&self) -> Option<FileId> {
        match self {
            Self::Pipeline(file, _)
            | Self::Stage(Scope::Pipeline(file, _), _)
            | Self::Value(Scope::Pipeline(file, _), _) => Some(*file),
            Self::Stage(..) | Self::Value(..) | Self::Block(..) => None,
            other => other.thing().and_then(|thing| thing.file),
        }
    }

    /// The same, declared in `file`: the symbols of two analyses name one file by two ids.
    #[must_use]
    pub fn in_file(&self, file: FileId) -> Self {
        let mut symbol = self.clone();
        match &mut symbol {
            Self::Pipeline(own, _)
            | Self::Stage(Scope::Pipeline(own, _), _)
            | Self::Value(Scope::Pipeline(own, _), _) => *own = file,
            Self::Kind(thing)
            | Self::Port(thing, _)
            | Self::Output(thing, _)
            | Self::Param(thing, _)
            | Self::Case(thing, ..)
            | Self::Network(thing)
            | Self::NetworkParam(thing, ..) => thing.file = Some(file),
            _ => {}
        }
        symbol
    }
}

/// The first value of everything in a stage's braces, by its dotted name: of a choice that is its case.
#[must_use]
pub fn chosen(stage: &Node) -> BTreeMap<String, String> {
    let mut chosen = BTreeMap::new();
    stage.nodes().iter().for_each(|child| walk::choices(child, "", &mut chosen));
    chosen
}

/// A parameter of a signature, found by its dotted name.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The parameter.
    pub param: &'a Param,
    /// The case that it belongs to, where it belongs to one.
    pub case: Option<&'a Case>,
    /// Its name as [`Symbol::Param`] has it.
    pub path: String,
}

/// The parameter at a dotted name. `chosen` gives the case of the choice at a dotted name, where the text says it: a name that
/// several cases have is that of the chosen one.
pub fn param_at<'a>(
    signature: &'a Signature,
    path: &str,
    chosen: &dyn Fn(&str) -> Option<String>,
) -> Option<Place<'a>> {
    let mut params: Vec<(&Param, Option<&Case>)> = signature.params.iter().map(|param| (param, None)).collect();
    let mut plain = String::new();
    let mut full = String::new();
    let mut found: Option<Place> = None;
    for segment in path.split('.') {
        let (param, case) = params.iter().find(|(param, _)| param.name == segment).copied()?;
        match (plain.is_empty(), case) {
            (true, _) => segment.clone_into(&mut full),
            (false, Some(case)) => full = format!("{full}:{}.{segment}", case.name),
            (false, None) => full = format!("{full}.{segment}"),
        }
        plain = if plain.is_empty() { segment.to_owned() } else { format!("{plain}.{segment}") };
        params = inner(param, chosen(&plain).as_deref());
        found = Some(Place { param, case, path: full.clone() });
    }
    found
}

/// What may stand below a parameter: its own parameters, those of the chosen case, then those of the others.
#[must_use]
pub fn inner<'a>(param: &'a Param, chosen: Option<&str>) -> Vec<(&'a Param, Option<&'a Case>)> {
    let default = match &param.default {
        Some(super::value::Value::Text(case)) => Some(case.as_str()),
        _ => None,
    };
    let chosen = chosen.or(default);
    let (first, rest): (Vec<&Case>, Vec<&Case>) =
        param.cases.iter().partition(|case| Some(case.name.as_str()) == chosen);
    let shared = param.params.iter().map(|param| (param, None));
    let of_cases =
        first.into_iter().chain(rest).flat_map(|case| case.params.iter().map(move |param| (param, Some(case))));
    shared.chain(of_cases).collect()
}
