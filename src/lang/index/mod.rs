//! Symbol index: the meaning of each word of a text, and its declaration. For editors; it decides nothing and reports nothing.
//! `scope` knows the names of a pipeline or a template body, `walk` goes through a text, `network` through networks, `tap` finds
//! the network that declares a tap, `sweep` goes through sweeps, `readers` finds what reads a stage, `numbers` the units of numbers.

mod network;
mod numbers;
mod readers;
mod scope;
mod sweep;
mod tap;
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

pub use numbers::NumberUnit;
pub use scope::{NameInfo, ScopeNames};
pub use sweep::AxisPath;

/// Something declared at the top level of a file: a stage type or a network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Definition {
    /// The user's file; [`None`] for the standard library.
    pub file: Option<FileId>,
    /// Its name there.
    pub name: String,
}

/// The meaning of a word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Symbol {
    /// A pipeline, by file and name.
    Pipeline(FileId, String),
    /// A stage of a pipeline or of a template body.
    Stage(NameScope, String),
    /// A parameter of a pipeline.
    Value(NameScope, String),
    /// A stage type.
    StageType(Definition),
    /// An input port of a stage type.
    Port(Definition, String),
    /// An output port of a stage type.
    Output(Definition, String),
    /// A parameter of a stage type, by its dotted name; within a case of a choice `loss:focal.gamma`.
    Param(Definition, String),
    /// A case of a choice, by stage type, parameter and case.
    Case(Definition, String, String),
    /// A network.
    Network(Definition),
    /// A parameter of a network, or of one of its blocks: the block, if any, and the parameter.
    NetworkParam(Definition, Option<String>, String),
    /// A block of a network.
    Block(Definition, String),
    /// A tap of a network, by the name in its declaration.
    Tap(Definition, String),
    /// A layer type.
    Layer(String),
    /// A property of a layer type.
    LayerParam(String, String),
    /// A module of the standard library, without `std:`.
    Module(String),
    /// Another file.
    File(FileId),
    /// The alias of an imported module (`as=`).
    Alias(FileId, String),
}

/// The owner of a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameScope {
    /// A pipeline, by file and name.
    Pipeline(FileId, String),
    /// The template body of a stage type.
    Body(Definition),
}

/// Whether a word declares a name or uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameRole {
    /// A declaration.
    Declares,
    /// A use.
    Uses,
}

/// A word with a meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    /// Its position, without quotes and without the `$` of a parameter.
    pub span: Span,
    /// What it means.
    pub symbol: Symbol,
    /// Whether it declares the name.
    pub role: NameRole,
}

/// The names of an analysis: those available at a position, and the meaning of each word.
pub struct SymbolIndex<'a> {
    module: &'a Module,
    sources: &'a Sources,
    scope: FileScope<'a>,
}

impl Analysis {
    /// Its symbol index; `sources` are those of the analysis.
    #[must_use]
    pub fn index<'a>(&'a self, sources: &'a Sources) -> SymbolIndex<'a> {
        SymbolIndex { module: &self.module, sources, scope: FileScope::new(&self.module, &mut Vec::new()) }
    }
}

impl<'a> SymbolIndex<'a> {
    /// The words with a meaning in the text and in its imports, by position.
    #[must_use]
    pub fn occurrences(&self) -> Vec<Occurrence> {
        let mut walker = walk::Walker { index: self, found: Vec::new() };
        for (file, document) in &self.module.documents {
            walker.document(*file, document);
        }
        let mut found = walker.found;
        found.sort();
        found.dedup();
        found
    }

    /// The signature of a stage type as named at `span`.
    #[must_use]
    pub fn signature(&self, kind: &str, span: Span) -> Option<&'a Signature> {
        let all = || stdlib().templates.iter().find(|signature| signature.name == kind);
        self.scope.stage(kind, span).or_else(all)
    }

    /// The network named at `span`.
    #[must_use]
    pub fn network(&self, name: &str, span: Span) -> Option<&'a Described> {
        self.scope.network(name, span)
    }

    /// Every stage type available in a file, by its name there.
    #[must_use]
    pub fn kinds(&self, file: FileId) -> BTreeMap<String, &'a Signature> {
        let library = stdlib().signatures.iter().chain(&stdlib().templates);
        let mut all: BTreeMap<String, &Signature> =
            library.map(|signature| (signature.name.clone(), signature)).collect();
        all.extend(self.scope.stages(file).map(|(name, signature)| (name.to_owned(), signature)));
        all
    }

    /// Every network available in a file, by its name there.
    #[must_use]
    pub fn networks(&self, file: FileId) -> BTreeMap<String, &'a Described> {
        self.scope.networks(file).map(|(name, network)| (name.to_owned(), network)).collect()
    }

    /// The definition that a signature belongs to.
    fn kind(&self, signature: &Signature) -> Definition {
        let user =
            |stage: &&super::module::Stage| stage.origin == Origin::User && stage.signature.span == signature.span;
        Definition { file: self.module.stages.iter().find(user).map(|stage| stage.file), name: signature.name.clone() }
    }

    fn definition(&self, network: &Described) -> Definition {
        let user =
            |(_, other): &&(FileId, Described)| other.span == network.span && other.spec.name == network.spec.name;
        Definition {
            file: self.module.networks.iter().find(user).map(|(file, _)| *file),
            name: network.spec.name.clone(),
        }
    }

    /// The definition of a name in a file.
    fn declared(&self, file: FileId, name: &str) -> Definition {
        let library = self.sources.get(file).name.starts_with("std:") && self.sources.get(file).path.is_none();
        Definition { file: (!library).then_some(file), name: name.to_owned() }
    }
}

/// The words with a meaning in a module of the standard library (`stages/extract`); spans refer to [`stdlib`]'s own sources.
#[must_use]
pub fn in_module(module: &str) -> Vec<Occurrence> {
    let sources = &stdlib().sources;
    let name = format!("std:{module}");
    let Some((file, source)) = sources.iter().find(|(_, source)| source.name == name) else { return Vec::new() };
    let (document, _) = syntax::parse(file, &source.text);
    let module = Module::alone(file, Rc::new(document));
    let contents = Contents { pipelines: Vec::new(), sweeps: Vec::new() };
    let analysis = Analysis { file, contents, diags: Vec::new(), module };
    analysis.index(sources).occurrences()
}

/// The module of the standard library that declares a symbol.
#[must_use]
pub fn module_of(symbol: &Symbol) -> Option<&'static str> {
    if let Symbol::Module(module) = symbol {
        return MODULES.iter().map(|(name, _)| *name).find(|name| name == module);
    }
    let definition = symbol.definition()?;
    if definition.file.is_some() {
        return None;
    }
    let network = matches!(symbol, Symbol::Network(_) | Symbol::NetworkParam(..) | Symbol::Block(..) | Symbol::Tap(..));
    let mut modules =
        MODULES.iter().map(|(module, _)| *module).filter(|module| module.starts_with("networks/") == network);
    modules.find(|module| module.rsplit('/').next() == Some(definition.name.as_str()))
}

impl Symbol {
    /// The top-level definition that contains it.
    #[must_use]
    pub fn definition(&self) -> Option<&Definition> {
        match self {
            Self::StageType(definition)
            | Self::Port(definition, _)
            | Self::Output(definition, _)
            | Self::Param(definition, _)
            | Self::Case(definition, ..)
            | Self::Stage(NameScope::Body(definition), _)
            | Self::Value(NameScope::Body(definition), _)
            | Self::Network(definition)
            | Self::NetworkParam(definition, ..)
            | Self::Tap(definition, _)
            | Self::Block(definition, _) => Some(definition),
            _ => None,
        }
    }

    /// The user's file that declares it, if other files can refer to it.
    #[must_use]
    pub fn file(&self) -> Option<FileId> {
        match self {
            Self::Pipeline(file, _)
            | Self::Stage(NameScope::Pipeline(file, _), _)
            | Self::Value(NameScope::Pipeline(file, _), _) => Some(*file),
            Self::Stage(..) | Self::Value(..) | Self::Block(..) => None,
            other => other.definition().and_then(|definition| definition.file),
        }
    }

    /// The same symbol, declared in `file`: two analyses have different ids for one file.
    #[must_use]
    pub fn in_file(&self, file: FileId) -> Self {
        let mut symbol = self.clone();
        match &mut symbol {
            Self::Pipeline(own, _)
            | Self::Stage(NameScope::Pipeline(own, _), _)
            | Self::Value(NameScope::Pipeline(own, _), _) => *own = file,
            Self::StageType(definition)
            | Self::Port(definition, _)
            | Self::Output(definition, _)
            | Self::Param(definition, _)
            | Self::Case(definition, ..)
            | Self::Network(definition)
            | Self::Tap(definition, _)
            | Self::NetworkParam(definition, ..) => definition.file = Some(file),
            _ => {}
        }
        symbol
    }
}

/// The first value of everything in a stage's braces, by dotted name; for a choice it is the case.
#[must_use]
pub fn chosen(stage: &Node) -> BTreeMap<String, String> {
    let mut chosen = BTreeMap::new();
    stage.nodes().iter().for_each(|child| walk::choices(child, "", &mut chosen));
    chosen
}

/// A parameter of a signature, found by dotted name.
#[derive(Clone, Debug)]
pub struct FoundParam<'a> {
    /// The parameter.
    pub param: &'a Param,
    /// The case that it belongs to, if any.
    pub case: Option<&'a Case>,
    /// Its name as in [`Symbol::Param`].
    pub path: String,
}

/// The parameter with a dotted name. `chosen` returns the case of the choice with a dotted name, if the text selects one: a name
/// that several cases have is that of the selected one.
pub fn param_at<'a>(
    signature: &'a Signature,
    path: &str,
    chosen: &dyn Fn(&str) -> Option<String>,
) -> Option<FoundParam<'a>> {
    let mut params: Vec<(&Param, Option<&Case>)> = signature.params.iter().map(|param| (param, None)).collect();
    let mut plain = String::new();
    let mut full = String::new();
    let mut found: Option<FoundParam> = None;
    for segment in path.split('.') {
        let (param, case) = params.iter().find(|(param, _)| param.name == segment).copied()?;
        match (plain.is_empty(), case) {
            (true, _) => segment.clone_into(&mut full),
            (false, Some(case)) => full = format!("{full}:{}.{segment}", case.name),
            (false, None) => full = format!("{full}.{segment}"),
        }
        plain = if plain.is_empty() { segment.to_owned() } else { format!("{plain}.{segment}") };
        params = inner(param, chosen(&plain).as_deref());
        found = Some(FoundParam { param, case, path: full.clone() });
    }
    found
}

/// The parameters below a parameter: its own, those of the selected case, then those of the other cases.
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
