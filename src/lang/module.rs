//! A file and its imports, other than pipelines: templates and networks. Which of them are in scope where is decided by
//! [`super::scope`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::describe::Described;
use super::package::{self, PackageFiles};
use super::project::{self, Package, ProjectFile};
use super::signature::{self, Origin, Signature};
use super::stdlib::{self, stdlib};
use super::{near, text};
use crate::base::{FileId, Sources, Span};
use crate::diag::Diag;
use crate::syntax::{self, Document, Node};

/// A file and everything that it imports.
#[derive(Debug)]
pub(super) struct Module {
    /// Networks with mistakes in their definition, which were reported.
    pub(super) broken: Vec<(FileId, String)>,
    /// The file that was loaded.
    pub(super) root: FileId,
    /// Files that were read, by canonical path.
    pub(super) files: BTreeMap<PathBuf, FileId>,
    /// Their trees; the first is the root's.
    pub(super) documents: BTreeMap<FileId, Rc<Document>>,
    /// Networks that are still to be described.
    pub(super) declared: Vec<(FileId, Node)>,
    pub(super) networks: Vec<(FileId, Described)>,
    pub(super) stages: Vec<Stage>,
    pub(super) uses: Vec<UseNode>,
    /// The `project.kdl`, if there is one.
    project: Option<ProjectFile>,
    /// Packages that were read ([`None`] if that failed), and the files that came from one, with their names in it.
    packages: BTreeMap<String, Option<PackageFiles>>,
    packaged: BTreeMap<FileId, (String, String)>,
    pub(super) diags: Vec<Diag>,
}

/// A template: its signature, the node that declares it, and its file.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) signature: Signature,
    pub(super) node: Node,
    pub(super) origin: Origin,
    pub(super) file: FileId,
}

/// One `use` or `extends` of a file.
#[derive(Debug)]
pub(super) struct UseNode {
    /// The file that contains it.
    within: FileId,
    /// Its target, as written; for a module of the standard library without `std:`.
    pub(super) target: String,
    /// The file that it refers to; [`None`] for the standard library.
    pub(super) file: Option<FileId>,
    /// The alias for everything that it imports.
    pub(super) alias: Option<(String, Span)>,
    /// `use`, or `extends`.
    pub(super) verb: &'static str,
    /// Position of the target.
    pub(super) span: Span,
}

impl Module {
    /// The loaded file, with everything that it imports.
    pub(super) fn new(file: FileId, document: &Rc<Document>, sources: &mut Sources) -> Self {
        let mut module = Self::alone(file, Rc::clone(document));
        let project = sources.get(file).path.as_deref().and_then(project::find);
        match project.map(|path| (project::read(&path, sources), path)) {
            Some((Ok((project, diags)), _)) => {
                module.project = Some(project);
                module.diags = diags;
            }
            Some((Err(error), path)) => {
                let shown = path.display().to_string();
                let span = Span::new(sources.add(shown.as_str(), Some(path), ""), 0..0);
                let hint = "it declares the store, packages and remotes; fix or remove it";
                module.error("unreadable-file", span, format!("cannot read `{shown}`: {error}"), hint);
            }
            None => {}
        }
        if let Some(real) = sources.get(file).path.as_ref().and_then(|path| fs::canonicalize(path).ok()) {
            module.files.insert(real, file);
        }
        module.read(file, document, sources);
        module
    }

    /// A file of which only the tree is known.
    pub(super) fn alone(file: FileId, document: Rc<Document>) -> Self {
        Self {
            broken: Vec::new(),
            root: file,
            files: BTreeMap::new(),
            documents: BTreeMap::from([(file, document)]),
            declared: Vec::new(),
            networks: Vec::new(),
            stages: Vec::new(),
            uses: Vec::new(),
            project: None,
            packages: BTreeMap::new(),
            packaged: BTreeMap::new(),
            diags: Vec::new(),
        }
    }

    /// The imports of a file.
    pub(super) fn uses_of(&self, file: FileId) -> impl Iterator<Item = &UseNode> {
        self.uses.iter().filter(move |used| used.within == file)
    }

    pub(super) fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.diags.push(Diag::error(code, span, message).hint(hint));
    }

    fn read(&mut self, file: FileId, document: &Document, sources: &mut Sources) {
        for node in &document.nodes {
            let name = node.name.text.as_str();
            match name {
                "use" => self.bring(file, node, sources),
                "network" => self.declared.push((file, node.clone())),
                // Read separately; a file that is imported for its networks may contain some, too.
                "pipeline" | "sweep" => {}
                "stage" => self.stage(file, node),
                _ => {
                    let known = ["pipeline", "stage", "network", "sweep", "use"];
                    let stages = super::hints::signature(name).is_some();
                    let hint = if ["package", "store", "remote"].contains(&name) {
                        "it belongs in `project.kdl`".to_owned()
                    } else if stages {
                        "stages belong inside `pipeline NAME { … }`".to_owned()
                    } else {
                        super::hints::node(name).unwrap_or_else(|| near::hint(name, known, ""))
                    };
                    self.error("unknown-node", node.name.span, format!("`{name}` is not allowed here"), hint);
                }
            }
        }
    }

    fn stage(&mut self, file: FileId, node: &Node) {
        let (signature, diags) = signature::read(node, Origin::User);
        self.diags.extend(diags);
        let Some(signature) = signature else { return };
        let (name, span) = (signature.name.as_str(), signature.span);
        let builtin = stdlib().signatures.iter().any(|builtin| builtin.name == name);
        let reserved = ["pipeline", "stage", "network", "use", "doc", "param", "sweep", "extends", "body"];
        let same = |stage: &&Stage| stage.file == file && stage.signature.name == name;
        if let Some(first) = self.stages.iter().find(same) {
            let found = Diag::error("duplicate-name", span, format!("stage `{name}` is declared twice"));
            self.diags.push(found.also(first.signature.span, "first here").hint("rename one of them"));
        } else if builtin || reserved.contains(&name) {
            let message = format!("`{name}` is already taken");
            self.error("duplicate-name", span, message, "rename the stage");
        } else if !super::is_name(name) && !super::is_reported_as_number(name, span) {
            self.error("bad-name", span, format!("`{name}` is not a valid name"), super::NAME_RULE);
        } else {
            self.stages.push(Stage { signature, node: node.clone(), origin: Origin::User, file });
        }
    }

    /// Imports the templates of the standard library that are used, also in bodies, with texts of their own so that messages
    /// can show them.
    pub(super) fn templates<'a>(&mut self, pipelines: impl Iterator<Item = &'a Node>, sources: &mut Sources) {
        let kinds = |within: &Node| -> BTreeSet<String> {
            let names = within.nodes().iter().map(|node| node.name.text.as_str());
            names.map(|kind| kind.rsplit('.').next().unwrap_or(kind).to_owned()).collect()
        };
        let mut todo: Vec<BTreeSet<String>> = pipelines.map(kinds).collect();
        todo.extend(self.stages.iter().filter_map(|stage| stage.node.child("body")).map(kinds));
        while let Some(within) = todo.pop() {
            for kind in within.iter().map(String::as_str) {
                let there = |stage: &Stage| stage.origin == Origin::Library && stage.signature.name == kind;
                if self.stages.iter().any(there) {
                    continue;
                }
                let Some((name, text)) = stdlib::template(kind) else { continue };
                let file = sources.add(format!("std:{name}"), None, text);
                let (document, _) = syntax::parse(file, text);
                let declared = document.nodes.iter().find(|node| node.name.text == "stage").cloned();
                self.documents.insert(file, Rc::default());
                let Some(node) = declared else { continue };
                let Some(signature) = signature::read(&node, Origin::Library).0 else { continue };
                todo.extend(node.child("body").map(kinds));
                self.stages.push(Stage { signature, node, origin: Origin::Library, file });
            }
        }
    }

    fn bring(&mut self, file: FileId, node: &Node, sources: &mut Sources) {
        let argument = node.args().next().and_then(|entry| Some((entry.text()?.to_owned(), entry.span)));
        let Some((target, span)) = argument else {
            return self.error("missing-name", node.head, "`use` needs a module", "write `use \"networks.kdl\"`");
        };
        for extra in node.args().skip(1) {
            let hint = "write one `use` for each module, with `as=NAME` for an alias";
            self.error("value-count", extra.whole, "`use` takes one module", hint);
        }
        let alias = self.alias(file, node);
        if let Some(module) = target.strip_prefix("std:") {
            // All of `std:` is in scope without `use`, but may be imported explicitly.
            if stdlib::MODULES.iter().all(|(name, _)| *name != module) {
                let near = near::near(module, stdlib::MODULES.iter().map(|(name, _)| *name));
                let hint = near.map(|name| format!("did you mean `std:{name}`?"));
                let hint = hint.unwrap_or_else(|| "`macula std list` lists the modules".to_owned());
                self.error("unknown-module", span, format!("unknown module `std:{module}`"), hint);
            }
            let target = module.to_owned();
            return self.uses.push(UseNode { within: file, target, file: None, alias, verb: "use", span });
        }
        self.open(file, &target, span, "use", alias, sources);
    }

    /// The alias given by `as=`.
    fn alias(&mut self, file: FileId, node: &Node) -> Option<(String, Span)> {
        for (key, entry) in node.props().filter(|(key, _)| key.text != "as") {
            let hint = near::hint(&key.text, ["as"], "");
            self.error("unknown-param", entry.whole, format!("`use` has no property `{}`", key.text), hint);
        }
        let entry = node.prop("as")?;
        let alias = entry.text().unwrap_or_default();
        if !super::is_name(alias) {
            self.error("bad-name", entry.span, "`as=` takes a name", super::NAME_RULE);
        }
        let first = self.uses_of(file).filter_map(|used| used.alias.as_ref()).find(|(name, _)| name == alias);
        if let Some((_, first)) = first {
            let found = Diag::error("duplicate-name", entry.span, format!("two modules have the alias `{alias}`"));
            let found = found.also(*first, "first here").hint("rename one of them");
            self.diags.push(found);
        }
        Some((alias.to_owned(), entry.span))
    }

    /// Imports the file that `verb` names in `file`: its declarations and its tree. [`None`] after reporting that it cannot be
    /// read.
    pub(super) fn open(
        &mut self,
        file: FileId,
        target: &str,
        span: Span,
        verb: &'static str,
        alias: Option<(String, Span)>,
        sources: &mut Sources,
    ) -> Option<FileId> {
        let place = self.place(file, target, span, sources)?;
        let real = match &place {
            ModuleLocation::Disk(path) => fs::canonicalize(path).unwrap_or_else(|_| path.clone()),
            ModuleLocation::Package(package, name, _) => PathBuf::from(format!("{package}:{name}")),
        };
        // Imported already, or a cycle: either way its declarations are here.
        let there = if let Some(known) = self.files.get(&real).copied() {
            known
        } else {
            let text = match &place {
                ModuleLocation::Disk(path) => text_of(path, &real, sources).map_err(|error| {
                    let near = near_file(path).map(|name| Path::new(target).with_file_name(name));
                    let hint = match near {
                        Some(near) => format!("did you mean `{}`?", near.display()),
                        None => format!("name a file; paths in `{verb}` are relative to the folder of this file"),
                    };
                    (format!("cannot read `{}`: {error}", path.display()), hint)
                }),
                ModuleLocation::Package(package, name, _) => {
                    let files = self.packages.get(package).and_then(Option::as_ref)?;
                    files.get(name).cloned().ok_or_else(|| {
                        let hint = near::hint(name, files.keys().map(String::as_str), "see the files in its folder");
                        (format!("package `{package}` has no file `{name}`"), hint)
                    })
                }
            };
            match text {
                Ok(text) => self.add(place, real, &text, sources),
                Err((message, hint)) => {
                    self.error("unreadable-file", span, message, hint);
                    return None;
                }
            }
        };
        self.uses.push(UseNode { within: file, target: target.to_owned(), file: Some(there), alias, verb, span });
        Some(there)
    }

    fn add(&mut self, place: ModuleLocation, real: PathBuf, text: &str, sources: &mut Sources) -> FileId {
        let (shown, path) = match &place {
            ModuleLocation::Disk(path) => (path.display().to_string(), path.clone()),
            ModuleLocation::Package(package, name, folder) => (format!("{package}:{name}"), folder.join(name)),
        };
        let there = sources.add(shown, Some(path), text);
        if let ModuleLocation::Package(package, name, _) = place {
            self.packaged.insert(there, (package, name));
        }
        let (document, diags) = syntax::parse(there, text);
        let document = Rc::new(document);
        self.diags.extend(diags);
        self.files.insert(real, there);
        self.documents.insert(there, Rc::clone(&document));
        self.read(there, &document, sources);
        there
    }

    /// The location of a target: next to the file that names it, or in a package.
    fn place(&mut self, file: FileId, target: &str, span: Span, sources: &Sources) -> Option<ModuleLocation> {
        let named = target.split_once(':').filter(|(package, _)| super::is_name(package));
        if let Some((package, name)) = self.packaged.get(&file).cloned() {
            let folder = sources.get(file).path.as_deref()?.ancestors().nth(name.split('/').count())?.to_owned();
            let found = package::within(&name, target).filter(|_| named.is_none());
            if found.is_none() {
                let message = format!("`{target}` is not in package `{package}`");
                let hint = "a package can import only `std:` and its own files, so that its digest covers everything";
                self.error("outside-package", span, message, hint);
            }
            return found.map(|name| ModuleLocation::Package(package, name, folder));
        }
        let Some((package, name)) = named else {
            let beside = sources.get(file).path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
            return Some(ModuleLocation::Disk(beside.join(target)));
        };
        let folder = self.package(package, span)?;
        let found = package::within("", name);
        if found.is_none() {
            let message = format!("`{name}` is outside package `{package}`");
            self.error("outside-package", span, message, "name a file in it");
        }
        found.map(|name| ModuleLocation::Package(package.to_owned(), name, folder))
    }

    /// The folder of a package, after it was read and verified against the digest in `project.kdl`.
    fn package(&mut self, name: &str, span: Span) -> Option<PathBuf> {
        let packages = self.project.iter().flat_map(|project| &project.packages);
        let Some(package) = packages.clone().find(|package| package.name == name) else {
            let form = format!("declare it in `project.kdl`: `package {name} {{ path \"vendor/{name}\" }}`");
            let near = near::near(name, packages.map(|package| package.name.as_str()).chain(["std"]));
            let hint = near.map_or(form, |near| format!("did you mean `{near}:`?"));
            self.error("unknown-package", span, format!("unknown package `{name}`"), hint);
            return None;
        };
        let folder = package.folder(self.project.as_ref()?)?;
        if !self.packages.contains_key(name) {
            let checked = if package.wrong { Err(None) } else { verified(package, &folder, span).map_err(Some) };
            let files = checked.map_err(|diag| self.diags.extend(diag)).ok();
            self.packages.insert(name.to_owned(), files);
        }
        self.packages.get(name)?.as_ref().map(|_| folder)
    }
}

/// The location of a file.
enum ModuleLocation {
    Disk(PathBuf),
    /// A package, a name in it, and the package's folder.
    Package(String, String, PathBuf),
}

/// The files of a package that is used at `span`, if they match the pinned digest.
fn verified(package: &Package, folder: &Path, span: Span) -> Result<PackageFiles, Diag> {
    let name = &package.name;
    let pin = format!("`macula package pin {name}`");
    let files = package::read(folder).map_err(|why| {
        let found = Diag::error("package-files", package.span, format!("package `{name}`: {why}"));
        found.also(span, "used here").hint(format!("its folder is `{}`", folder.display()))
    })?;
    let found = package::digest(&files);
    match package.digest {
        Some((pinned, _)) if pinned == found => Ok(files),
        Some((pinned, at)) => {
            let message = format!("package `{name}` does not match its pinned digest");
            let diag = Diag::error("package-digest", at, message)
                .here(format!("its files have digest {}", package::written(&found)));
            let path = package.path.as_deref().unwrap_or_default();
            Err(diag.also(span, "used here").hint(format!(
                "expected {}; review what changed in `{path}`, and if that is intended, write the new digest with {pin}",
                package::written(&pinned)
            )))
        }
        None => {
            let diag = Diag::error("package-unpinned", package.span, format!("package `{name}` is not pinned"));
            Err(diag.also(span, "used here").hint(format!("review its files, then write their digest with {pin}")))
        }
    }
}

/// The text of a file: an editor's, if it has the file open.
fn text_of(path: &Path, real: &Path, sources: &Sources) -> std::io::Result<String> {
    sources.held(real).map_or_else(|| text::read(path), |text| Ok(text.to_owned()))
}

/// The file in the same folder whose name is most similar to a missing one.
fn near_file(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let files = fs::read_dir(folder).ok()?.take(1000).flatten().filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    near::near(wanted, names.iter().map(String::as_str)).filter(|name| *name != wanted).map(str::to_owned)
}
