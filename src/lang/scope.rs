//! The names in scope in each file: its declarations, its imports, and the standard library. Does no I/O.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::describe::Described;
use super::hints;
use super::module::{Module, Stage, UseNode};
use super::near;
use super::signature::{Origin, Signature};
use super::stdlib::stdlib;
use crate::base::{FileId, Span};
use crate::diag::Diag;

/// The meaning of the names in a pipeline and in the templates it uses. A name has the meaning of the file where it is written.
pub(super) struct Scope<'a> {
    files: BTreeMap<FileId, FileNames<'a>>,
    /// The templates of the standard library that are used, with texts of their own.
    templates: BTreeMap<&'a str, &'a Signature>,
    /// The file for names outside any file, as in `--set`.
    root: FileId,
}

/// The names of one file; those of modules imported with `as=` have a prefix.
#[derive(Default)]
struct FileNames<'a> {
    stages: BTreeMap<String, &'a Signature>,
    networks: BTreeMap<String, &'a Described>,
}

impl<'a> Scope<'a> {
    /// The names of every file; collisions are reported.
    pub(super) fn new(module: &'a Module, diags: &mut Vec<Diag>) -> Self {
        let mut files: BTreeMap<FileId, FileNames> = BTreeMap::new();
        let mut reported = BTreeSet::new();
        // Imported files come first: a collision is reported where it arises.
        for &file in module.documents.keys().rev() {
            let mut names = FileNames::default();
            for (name, found) in visible(module, file) {
                if let Some(found) = collision(name, &found, &mut reported) {
                    diags.push(found);
                }
                names.add(name, found[0].1);
            }
            for used in module.uses_of(file) {
                let Some((alias, _)) = &used.alias else { continue };
                match used.file {
                    Some(target) => {
                        for (name, found) in visible(module, target) {
                            names.add(&format!("{alias}.{name}"), found[0].1);
                        }
                    }
                    None => names.library(&used.target, alias),
                }
            }
            files.insert(file, names);
        }
        let library = module.stages.iter().filter(|stage| stage.origin == Origin::Library);
        let templates = library.map(|stage| (stage.signature.name.as_str(), &stage.signature)).collect();
        Self { files, templates, root: module.root }
    }

    /// The names of the file that `span` lies in.
    fn names(&self, span: Span) -> &FileNames<'a> {
        self.files.get(&span.file).unwrap_or_else(|| &self.files[&self.root])
    }

    /// The stage type that `kind` refers to at `span`.
    pub(super) fn stage(&self, kind: &str, span: Span) -> Option<&'a Signature> {
        let builtin = || stdlib().signatures.iter().find(|signature| signature.name == kind);
        let of_file = self.names(span).stages.get(kind).copied();
        // A template of the standard library under an alias is the one that was imported.
        let of_file = of_file.map(|signature| {
            let template = stdlib().templates.iter().any(|template| std::ptr::eq(template, signature));
            self.templates.get(signature.name.as_str()).copied().filter(|_| template).unwrap_or(signature)
        });
        of_file.or_else(builtin).or_else(|| self.templates.get(kind).copied())
    }

    /// The network that `name` refers to at `span`.
    pub(super) fn network(&self, name: &str, span: Span) -> Option<&'a Described> {
        let builtin = || stdlib().networks.iter().find(|network| network.spec.name == name);
        self.names(span).networks.get(name).copied().or_else(builtin)
    }

    /// The hint for an unknown stage type.
    pub(super) fn near_stage(&self, kind: &str, span: Span) -> String {
        let library = stdlib().signatures.iter().chain(&stdlib().templates).map(|signature| signature.name.as_str());
        let own = self.names(span).stages.keys().map(String::as_str);
        near_name(kind, library.chain(own).collect(), hints::node(kind), "`macula doc` lists the stage types")
    }

    /// The hint for an unknown network.
    pub(super) fn near_network(&self, name: &str, span: Span) -> String {
        let library = stdlib().networks.iter().map(|network| network.spec.name.as_str());
        let own = self.names(span).networks.keys().map(String::as_str);
        near_name(name, library.chain(own).collect(), None, "define it with `network NAME { … }`")
    }

    /// The templates that a file declares or imports, by their names there.
    pub(super) fn stages(&self, file: FileId) -> impl Iterator<Item = (&str, &'a Signature)> {
        let own = self.files.get(&file).into_iter().flat_map(|names| &names.stages);
        own.map(|(name, signature)| (name.as_str(), *signature))
    }

    /// All networks available in a file, by their names there.
    pub(super) fn networks(&self, file: FileId) -> impl Iterator<Item = (&str, &'a Described)> {
        let library = stdlib().networks.iter().map(|network| (network.spec.name.as_str(), network));
        let own = self.files.get(&file).into_iter().flat_map(|names| &names.networks);
        library.chain(own.map(|(name, network)| (name.as_str(), *network)))
    }

    /// The networks of users' files, under any name.
    pub(super) fn own_networks(&self) -> impl Iterator<Item = &'a Described> {
        let is_own = |network: &&Described| !stdlib().networks.iter().any(|other| std::ptr::eq(other, *network));
        self.files.values().flat_map(|names| names.networks.values().copied()).filter(is_own)
    }
}

/// A template or a network declared in a file.
#[derive(Clone, Copy)]
enum Declaration<'a> {
    Stage(&'a Stage),
    Network(&'a Described),
}

impl Declaration<'_> {
    fn span(&self) -> Span {
        match self {
            Self::Stage(stage) => stage.signature.span,
            Self::Network(network) => network.span,
        }
    }

    const fn noun(&self) -> &'static str {
        match self {
            Self::Stage(_) => "stage",
            Self::Network(_) => "network",
        }
    }
}

impl<'a> FileNames<'a> {
    fn add(&mut self, name: &str, thing: Declaration<'a>) {
        match thing {
            Declaration::Stage(stage) => _ = self.stages.insert(name.to_owned(), &stage.signature),
            Declaration::Network(network) => _ = self.networks.insert(name.to_owned(), network),
        }
    }

    /// Adds a module of the standard library under an alias.
    fn library(&mut self, module: &str, alias: &str) {
        // Every module contains one thing, with the same name.
        let name = module.rsplit('/').next().unwrap_or(module);
        let all = stdlib().signatures.iter().chain(&stdlib().templates);
        let stage = all.into_iter().find(|signature| signature.name == name);
        let network = stdlib().networks.iter().find(|network| network.spec.name == name);
        self.stages.extend(stage.map(|stage| (format!("{alias}.{name}"), stage)));
        self.networks.extend(network.map(|network| (format!("{alias}.{name}"), network)));
    }
}

/// The names that a file declares and those that it imports without a prefix, directly or indirectly; each with the `use` that
/// imports it. If several things share a name, the file's own comes first, then in the order of `use`.
type Visible<'a> = BTreeMap<&'a str, Vec<(Option<&'a UseNode>, Declaration<'a>)>>;

fn visible(module: &Module, file: FileId) -> impl Iterator<Item = (&str, Vec<(Option<&UseNode>, Declaration<'_>)>)> {
    let (mut stages, mut networks) = (Visible::new(), Visible::new());
    let mut seen = BTreeSet::from([file]);
    let mut todo: VecDeque<(FileId, Option<&UseNode>)> = VecDeque::from([(file, None)]);
    while let Some((from, by)) = todo.pop_front() {
        for stage in module.stages.iter().filter(|stage| stage.file == from && stage.origin == Origin::User) {
            stages.entry(stage.signature.name.as_str()).or_default().push((by, Declaration::Stage(stage)));
        }
        for (_, network) in module.networks.iter().filter(|(declared, _)| *declared == from) {
            networks.entry(network.spec.name.as_str()).or_default().push((by, Declaration::Network(network)));
        }
        for used in module.uses_of(from).filter(|used| used.alias.is_none()) {
            if let Some(target) = used.file.filter(|target| seen.insert(*target)) {
                todo.push_back((target, by.or(Some(used))));
            }
        }
    }
    stages.into_iter().chain(networks)
}

/// The diagnostic for two things with one name from two files.
fn collision(
    name: &str,
    found: &[(Option<&UseNode>, Declaration)],
    reported: &mut BTreeSet<(Span, Span)>,
) -> Option<Diag> {
    let [(first_by, first), (Some(by), second), ..] = found else { return None };
    if !reported.insert((first.span(), second.span())) {
        return None;
    }
    let noun = first.noun();
    let other = match first_by {
        Some(first_by) => format!("`{}`", first_by.target),
        None => "this file".to_owned(),
    };
    let message = format!("`{}` declares a {noun} `{name}`, and so does {other}", by.target);
    let hint = if by.verb == "use" {
        let stem = by.target.rsplit(['/', ':']).next().unwrap_or_default().trim_end_matches(".kdl");
        let alias = if super::is_name(stem) { stem } else { "other" };
        format!("write `use \"{}\" as={alias}` and refer to it as `{alias}.{name}`", by.target)
    } else {
        "rename one of them".to_owned()
    };
    let diag = Diag::error("duplicate-name", by.span, message);
    let diag = match first_by {
        Some(first_by) => diag.also(first_by.span, "the other one is imported here"),
        None => diag.also(first.span(), "declared here"),
    };
    Some(diag.also(second.span(), "declared there").hint(hint))
}

/// A hint: the same name in a module imported with `as=`, `known`, or a similar name.
fn near_name(name: &str, candidates: Vec<&str>, known: Option<String>, otherwise: &str) -> String {
    let qualified = candidates.iter().find(|one| one.rsplit_once('.').is_some_and(|(_, last)| last == name));
    match qualified {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => known.unwrap_or_else(|| near::hint(name, candidates, otherwise)),
    }
}
