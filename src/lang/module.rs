//! What a file and those that it brings in hold, beside pipelines: stages with bodies and networks. Which of it is in scope
//! where is [`super::scope`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::describe::{Described, describe};
use super::package::{self, Files};
use super::project::{self, Package, Project};
use super::signature::{self, Origin, Signature};
use super::stdlib::{self, stdlib};
use super::{near, text};
use crate::base::{FileId, Sources, Span};
use crate::diag::Diag;
use crate::syntax::{self, Document, Node};

/// A file and all that it brings in.
#[derive(Debug)]
pub(super) struct Module {
    /// Networks whose description is wrong, which was told.
    pub(super) broken: Vec<(FileId, String)>,
    /// The file that all began with.
    pub(super) root: FileId,
    /// Files that were read, by their real paths.
    pub(super) files: BTreeMap<PathBuf, FileId>,
    /// What they hold; the first is the root's.
    pub(super) documents: BTreeMap<FileId, Rc<Document>>,
    pub(super) networks: Vec<(FileId, Described)>,
    pub(super) stages: Vec<Stage>,
    pub(super) uses: Vec<Use>,
    /// What `project.kdl` says, where there is one.
    project: Option<Project>,
    /// Packages that were read, none where that was not possible; and the files that came from one, with their names in it.
    packages: BTreeMap<String, Option<Files>>,
    packaged: BTreeMap<FileId, (String, String)>,
    pub(super) diags: Vec<Diag>,
}

/// A stage with a body: its signature, the node that declares it, and where.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) signature: Signature,
    pub(super) node: Node,
    pub(super) origin: Origin,
    pub(super) file: FileId,
}

/// One `use` of a file.
#[derive(Debug)]
pub(super) struct Use {
    /// The file that says it.
    within: FileId,
    /// What it names, as written; for a module of the standard library without `std:`.
    pub(super) target: String,
    /// The file that it means; none for the standard library's.
    pub(super) file: Option<FileId>,
    /// The name before the dot of all that it brings in.
    pub(super) alias: Option<(String, Span)>,
    /// `use`, or `extends`.
    pub(super) verb: &'static str,
    /// Where it names the file.
    pub(super) span: Span,
}

impl Module {
    /// The file that all begins with, read with all that it brings in.
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
                let hint = "it says where the store, packages and remotes are; mend it, or take it away";
                module.wrong("unreadable-file", span, format!("`{shown}` can't be read: {error}"), hint);
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
            networks: Vec::new(),
            stages: Vec::new(),
            uses: Vec::new(),
            project: None,
            packages: BTreeMap::new(),
            packaged: BTreeMap::new(),
            diags: Vec::new(),
        }
    }

    /// What a file brings in.
    pub(super) fn uses_of(&self, file: FileId) -> impl Iterator<Item = &Use> {
        self.uses.iter().filter(move |used| used.within == file)
    }

    pub(super) fn wrong(
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
                "network" => self.network(file, node),
                // Read by themselves; a file that is used for its networks may hold some, too.
                "pipeline" | "sweep" => {}
                "stage" => self.stage(file, node),
                _ => {
                    let known = ["pipeline", "stage", "network", "sweep", "use"];
                    let stages = super::hints::signature(name).is_some();
                    let hint = if ["package", "store", "remote"].contains(&name) {
                        "it stands in the project's `project.kdl`".to_owned()
                    } else if stages {
                        "stages stand inside `pipeline NAME { … }`".to_owned()
                    } else {
                        super::hints::node(name).unwrap_or_else(|| near::hint(name, known, ""))
                    };
                    self.wrong("unknown-node", node.name.span, format!("`{name}` can't stand here"), hint);
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
            let found = Diag::error("duplicate-name", span, format!("two stages are declared as `{name}`"));
            self.diags.push(found.also(first.signature.span, "first here").hint("give one another name"));
        } else if builtin || reserved.contains(&name) {
            let message = format!("`{name}` has a meaning already");
            self.wrong("duplicate-name", span, message, "give the stage another name");
        } else if !super::is_name(name) && !super::is_told_as_number(name, span) {
            self.wrong("bad-name", span, format!("`{name}` can't be a name"), super::NAME_RULE);
        } else {
            self.stages.push(Stage { signature, node: node.clone(), origin: Origin::User, file });
        }
    }

    /// Brings in the templates of the standard library that are used, in bodies too: with texts of their own, so that messages
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

    fn network(&mut self, file: FileId, node: &Node) {
        let (described, diags) = describe(node);
        self.diags.extend(diags);
        let Some(described) = described else {
            let name = node.args().next().and_then(|entry| entry.text());
            self.broken.extend(name.map(|name| (file, name.to_owned())));
            return;
        };
        let (name, span) = (described.spec.name.as_str(), described.span);
        let same = |(other, network): &&(FileId, Described)| *other == file && network.spec.name == name;
        if super::is_told_as_number(name, span) {
            return;
        }
        if !super::is_name(name) {
            return self.wrong("bad-name", span, format!("`{name}` can't be a name"), super::NAME_RULE);
        }
        let first = self.networks.iter().find(same).map(|(_, network)| network.span);
        if first.is_some() || super::is_builtin(name) {
            let found = Diag::error("duplicate-name", span, format!("there is a network `{name}` already"));
            let found = first.into_iter().fold(found, |found, first| found.also(first, "first here"));
            self.diags.push(found.hint("give it another name"));
        } else {
            self.networks.push((file, described));
        }
    }

    fn bring(&mut self, file: FileId, node: &Node, sources: &mut Sources) {
        let argument = node.args().next().and_then(|entry| Some((entry.text()?.to_owned(), entry.span)));
        let Some((target, span)) = argument else {
            return self.wrong("missing-name", node.head, "`use` needs a module", "write `use \"networks.kdl\"`");
        };
        for extra in node.args().skip(1) {
            let hint = "write a `use` for each, and `as=NAME` for a name of its own";
            self.wrong("value-count", extra.whole, "`use` takes one module", hint);
        }
        let alias = self.alias(file, node);
        if let Some(module) = target.strip_prefix("std:") {
            // All of `std:` is in scope without it; it may be named all the same.
            if stdlib::MODULES.iter().all(|(name, _)| *name != module) {
                let near = near::near(module, stdlib::MODULES.iter().map(|(name, _)| *name));
                let hint = near.map(|name| format!("did you mean `std:{name}`?"));
                let hint = hint.unwrap_or_else(|| "`macula std list` lists what there is".to_owned());
                self.wrong("unknown-module", span, format!("there is no module `std:{module}`"), hint);
            }
            let target = module.to_owned();
            return self.uses.push(Use { within: file, target, file: None, alias, verb: "use", span });
        }
        self.open(file, &target, span, "use", alias, sources);
    }

    /// The name that `as=` gives.
    fn alias(&mut self, file: FileId, node: &Node) -> Option<(String, Span)> {
        for (key, entry) in node.props().filter(|(key, _)| key.text != "as") {
            let hint = near::hint(&key.text, ["as"], "");
            self.wrong("unknown-param", entry.whole, format!("`use` has no `{}`", key.text), hint);
        }
        let entry = node.prop("as")?;
        let alias = entry.text().unwrap_or_default();
        if !super::is_name(alias) {
            self.wrong("bad-name", entry.span, "`as=` takes a name", super::NAME_RULE);
        }
        let first = self.uses_of(file).filter_map(|used| used.alias.as_ref()).find(|(name, _)| name == alias);
        if let Some((_, first)) = first {
            let found = Diag::error("duplicate-name", entry.span, format!("two modules are used as `{alias}`"));
            let found = found.also(*first, "first here").hint("give one another name");
            self.diags.push(found);
        }
        Some((alias.to_owned(), entry.span))
    }

    /// Brings in a file that `verb` names from `file`: what it declares, and its document. None where it can't be read, which
    /// is told.
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
            Place::Disk(path) => fs::canonicalize(path).unwrap_or_else(|_| path.clone()),
            Place::Package(package, name, _) => PathBuf::from(format!("{package}:{name}")),
        };
        // Brought in already, or a circle: either way what it declares is here.
        let there = if let Some(known) = self.files.get(&real).copied() {
            known
        } else {
            let text = match &place {
                Place::Disk(path) => text_of(path, &real, sources).map_err(|error| {
                    let near = near_file(path).map(|name| Path::new(target).with_file_name(name));
                    let hint = match near {
                        Some(near) => format!("did you mean `{}`?", near.display()),
                        None => format!(
                            "it is to name a file; paths in `{verb}` start at the folder of the file that says it"
                        ),
                    };
                    (format!("`{}` can't be read: {error}", path.display()), hint)
                }),
                Place::Package(package, name, _) => {
                    let files = self.packages.get(package).and_then(Option::as_ref)?;
                    files.get(name).cloned().ok_or_else(|| {
                        let hint = near::hint(name, files.keys().map(String::as_str), "it holds other files");
                        (format!("package `{package}` has no file `{name}`"), hint)
                    })
                }
            };
            match text {
                Ok(text) => self.add(place, real, &text, sources),
                Err((message, hint)) => {
                    self.wrong("unreadable-file", span, message, hint);
                    return None;
                }
            }
        };
        self.uses.push(Use { within: file, target: target.to_owned(), file: Some(there), alias, verb, span });
        Some(there)
    }

    fn add(&mut self, place: Place, real: PathBuf, text: &str, sources: &mut Sources) -> FileId {
        let (shown, path) = match &place {
            Place::Disk(path) => (path.display().to_string(), path.clone()),
            Place::Package(package, name, folder) => (format!("{package}:{name}"), folder.join(name)),
        };
        let there = sources.add(shown, Some(path), text);
        if let Place::Package(package, name, _) = place {
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

    /// Where a target lies: beside the file that names it, or in a package.
    fn place(&mut self, file: FileId, target: &str, span: Span, sources: &Sources) -> Option<Place> {
        let named = target.split_once(':').filter(|(package, _)| super::is_name(package));
        if let Some((package, name)) = self.packaged.get(&file).cloned() {
            let folder = sources.get(file).path.as_deref()?.ancestors().nth(name.split('/').count())?.to_owned();
            let found = package::within(&name, target).filter(|_| named.is_none());
            if found.is_none() {
                let message = format!("`{target}` is not in package `{package}`");
                let hint = "a package uses `std:` and its own files alone, so that its digest covers all of it";
                self.wrong("outside-package", span, message, hint);
            }
            return found.map(|name| Place::Package(package, name, folder));
        }
        let Some((package, name)) = named else {
            let beside = sources.get(file).path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
            return Some(Place::Disk(beside.join(target)));
        };
        let folder = self.package(package, span)?;
        let found = package::within("", name);
        if found.is_none() {
            let message = format!("`{name}` leads out of package `{package}`");
            self.wrong("outside-package", span, message, "name a file in it");
        }
        found.map(|name| Place::Package(package.to_owned(), name, folder))
    }

    /// The folder of a package, once it was read and is what `project.kdl` pins.
    fn package(&mut self, name: &str, span: Span) -> Option<PathBuf> {
        let packages = self.project.iter().flat_map(|project| &project.packages);
        let Some(package) = packages.clone().find(|package| package.name == name) else {
            let form = format!("declare it in `project.kdl`: `package {name} {{ path \"vendor/{name}\" }}`");
            let near = near::near(name, packages.map(|package| package.name.as_str()).chain(["std"]));
            let hint = near.map_or(form, |near| format!("did you mean `{near}:`?"));
            self.wrong("unknown-package", span, format!("there is no package `{name}`"), hint);
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

/// Where a file lies.
enum Place {
    Disk(PathBuf),
    /// In a package, under a name there; and the package's folder.
    Package(String, String, PathBuf),
}

/// The files of a package that is used at `span`, where they are those that are pinned.
fn verified(package: &Package, folder: &Path, span: Span) -> Result<Files, Diag> {
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
            let message = format!("package `{name}` is not what it was pinned to");
            let diag =
                Diag::error("package-digest", at, message).here(format!("its files give {}", package::written(&found)));
            let path = package.path.as_deref().unwrap_or_default();
            Err(diag.also(span, "used here").hint(format!(
                "expected {}; a digest can't tell which of its files differ: look at what changed in `{path}`, and where that is \
                 meant, {pin} writes the new digest",
                package::written(&pinned)
            )))
        }
        None => {
            let diag = Diag::error("package-unpinned", package.span, format!("package `{name}` is not pinned"));
            Err(diag.also(span, "used here").hint(format!("look at its files, then {pin} writes their digest")))
        }
    }
}

/// The text of a file: an editor's, where it has the file open.
fn text_of(path: &Path, real: &Path, sources: &Sources) -> std::io::Result<String> {
    sources.held(real).map_or_else(|| text::read(path), |text| Ok(text.to_owned()))
}

/// The file beside a path that there is not whose name is most like it.
fn near_file(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let files = fs::read_dir(folder).ok()?.take(1000).flatten().filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = files.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    near::near(wanted, names.iter().map(String::as_str)).filter(|name| *name != wanted).map(str::to_owned)
}
