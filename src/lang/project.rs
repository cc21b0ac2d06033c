//! `project.kdl`: settings for all pipelines of a folder: packages, the location of the store, and
//! remotes. Knows no pipeline.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::executor::{self, ExecutorSpec};
use super::remote::RemoteSpec;
use super::{near, text};
use crate::base::{Digest, FileId, Sources, Span};
use crate::diag::Diag;
use crate::syntax::{self, Document, Node, NodeEntry, Scalar};

/// The file's name.
pub const FILE: &str = "project.kdl";

/// The contents of a `project.kdl`.
#[derive(Clone, Debug)]
pub struct ProjectFile {
    /// Its id among the sources.
    pub file: FileId,
    /// The folder that contains it.
    pub folder: PathBuf,
    /// The packages, in order.
    pub packages: Vec<Package>,
    /// The store's folder, relative to the project's, and its position.
    pub store: Option<(PathBuf, Span)>,
    /// The remotes, in the order in which they are tried.
    pub remotes: Vec<RemoteSpec>,
    /// Whether photographs are compared with each other, if it says so.
    pub near_duplicates: Option<bool>,
    /// Whether looks at test sets are recorded, if it says so.
    pub test_looks: Option<bool>,
    /// Folders in which runs are recorded for the dashboards of other tools, relative to the project's, by the tool's word.
    pub tracking: BTreeMap<&'static str, PathBuf>,
    /// Where stages run, if it says so.
    pub executor: Option<ExecutorSpec>,
}

/// Words for the folders of other tools' dashboards: `tensorboard "FOLDER"`.
pub const TRACKING: [&str; 3] = ["tensorboard", "mlflow", "wandb"];

/// What a project file may contain.
const WORDS: [&str; 9] =
    ["package", "store", "remote", "near-duplicates", "test-looks", "executor", TRACKING[0], TRACKING[1], TRACKING[2]];

/// A folder of KDL files that pipelines may import.
#[derive(Clone, Debug)]
pub struct Package {
    /// Its name in `use "NAME:file.kdl"`.
    pub name: String,
    /// Position of the name.
    pub span: Span,
    /// Its folder, as written.
    pub path: Option<String>,
    /// The pinned digest and its position; [`None`] if it is not pinned.
    pub digest: Option<(Digest, Span)>,
    /// Whether it has a mistake, which was reported.
    pub wrong: bool,
    /// The node, for edits of its text.
    pub node: Node,
}

impl Package {
    /// Its folder.
    #[must_use]
    pub fn folder(&self, project: &ProjectFile) -> Option<PathBuf> {
        Some(project.folder.join(self.path.as_ref()?))
    }
}

/// The nearest `project.kdl` at or above the folder of a file.
#[must_use]
pub fn find(file: &Path) -> Option<PathBuf> {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    file.ancestors()
        .skip(1)
        .map(|folder| folder.join(FILE))
        .find(|path| path.symlink_metadata().is_ok_and(|facts| !facts.is_dir()))
}

/// Reads a `project.kdl`, and reports all mistakes in it.
///
/// # Errors
/// If the file cannot be read.
pub fn read(path: &Path, sources: &mut Sources) -> std::io::Result<(ProjectFile, Vec<Diag>)> {
    let text = text::read(path)?;
    let file = sources.add(path.display().to_string(), Some(path.to_owned()), text.as_str());
    let (document, mut diags) = syntax::parse(file, &text);
    let project = understood(path, file, &document, &mut diags);
    Ok((project, diags))
}

/// The contents of a `project.kdl`; all mistakes are added to `diags`.
pub(super) fn understood(path: &Path, file: FileId, document: &Document, diags: &mut Vec<Diag>) -> ProjectFile {
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut project = ProjectFile {
        file,
        folder,
        packages: Vec::new(),
        store: None,
        remotes: Vec::new(),
        near_duplicates: None,
        test_looks: None,
        tracking: BTreeMap::new(),
        executor: None,
    };
    for node in &document.nodes {
        match node.name.text.as_str() {
            "package" => project.package(node, diags),
            "store" => match one(node, diags) {
                Some(_) if project.store.is_some() => {
                    let found = Diag::error("duplicate-param", node.head, "`store` is set twice");
                    diags.push(found.hint("remove one of them"));
                }
                store => project.store = store.and_then(|store| folder_of_store(store, diags)),
            },
            "remote" => project.remote(node, diags),
            "near-duplicates" => switch(node, &mut project.near_duplicates, diags),
            "test-looks" => switch(node, &mut project.test_looks, diags),
            "executor" if project.executor.is_some() => diags.push(executor::twice(node.head)),
            "executor" => project.executor = ExecutorSpec::of(node, diags),
            word if TRACKING.contains(&word) => {
                for tool in TRACKING.into_iter().filter(|tool| *tool == word) {
                    project.tracking(tool, node, diags);
                }
            }
            other => {
                let found = Diag::error("unknown-node", node.name.span, format!("`{other}` is not allowed here"));
                diags.push(found.hint(near::hint(other, WORDS, "")));
            }
        }
    }
    project
}

impl ProjectFile {
    /// The lines that set its switches.
    #[must_use]
    pub fn switches(&self) -> String {
        let switches = [("near-duplicates", self.near_duplicates), ("test-looks", self.test_looks)];
        let set = switches.into_iter().filter_map(|(name, value)| Some(format!("{name} #{}\n", value?)));
        set.collect()
    }

    /// The package with a name.
    #[must_use]
    pub fn package_named(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    fn tracking(&mut self, tool: &'static str, node: &Node, diags: &mut Vec<Diag>) {
        let Some(folder) = one(node, diags).and_then(|folder| spelled_out(folder, diags)) else { return };
        let (path, span) = folder;
        if path.contains("://") {
            let message = format!("`{tool}` takes a folder of this machine, not `{path}`");
            diags.push(
                Diag::error("wrong-kind", span, message).hint("write a path; servers of that tool read the folder"),
            );
        } else if self.tracking.insert(tool, PathBuf::from(path)).is_some() {
            let found = Diag::error("duplicate-param", node.head, format!("`{tool}` is set twice"));
            diags.push(found.hint("remove one of them"));
        }
    }

    fn remote(&mut self, node: &Node, diags: &mut Vec<Diag>) {
        let Some(remote) = RemoteSpec::of(node, diags) else { return };
        if self.remotes.iter().any(|other| other.name == remote.name) {
            let found = Diag::error("duplicate-name", node.head, format!("two remotes are named `{}`", remote.name));
            return diags.push(found.hint("rename or remove one of them"));
        }
        self.remotes.push(remote);
    }

    fn package(&mut self, node: &Node, diags: &mut Vec<Diag>) {
        let Some((name, span)) = node.args().next().and_then(|entry| Some((entry.text()?.to_owned(), entry.span)))
        else {
            let found = Diag::error("missing-name", node.head, "a package needs a name");
            return diags.push(found.hint("write `package lesions { path \"vendor/lesions\" }`"));
        };
        if !super::is_name(&name) || name == "std" {
            let rule = if name == "std" { "`std:` is the standard library" } else { super::NAME_RULE };
            diags.push(Diag::error("bad-name", span, format!("`{name}` is not a valid package name")).hint(rule));
        }
        if let Some(first) = self.package_named(&name) {
            let found = Diag::error("duplicate-name", span, format!("two packages are named `{name}`"));
            return diags.push(found.also(first.span, "first here").hint("rename one of them"));
        }
        for entry in node.entries.iter().skip(1) {
            let found = Diag::error("outside-braces", entry.whole, "this is outside the braces");
            diags.push(found.hint(format!("write `package {name} {{ path \"…\" }}`")));
        }
        let before = diags.len();
        let mut package = Package { name, span, path: None, digest: None, wrong: false, node: node.clone() };
        for child in node.nodes() {
            match child.name.text.as_str() {
                "path" => {
                    package.path = one(child, diags).and_then(|path| spelled_out(path, diags)).map(|(path, _)| path);
                }
                "digest" => package.digest = one(child, diags).and_then(|(text, span)| digest(&text, span, diags)),
                other => {
                    let message = format!("a package has no property `{other}`");
                    let found = Diag::error("unknown-param", child.name.span, message);
                    diags.push(found.hint(near::hint(other, ["path", "digest"], "")));
                }
            }
        }
        package.wrong = diags.len() > before;
        if package.path.is_none() && node.child("path").is_none() {
            package.wrong = true;
            let found =
                Diag::error("missing-param", span, format!("package `{}` needs `path`: its folder", package.name));
            diags.push(found.hint("write `path \"vendor/…\"`, relative to the folder of this file"));
        }
        self.packages.push(package);
    }
}

/// The folder of a store, which is on this machine.
fn folder_of_store(store: (String, Span), diags: &mut Vec<Diag>) -> Option<(PathBuf, Span)> {
    let (path, span) = spelled_out(store, diags)?;
    if path.contains("://") {
        let message = format!("a store is a folder of this machine, not `{path}`");
        let hint = format!("share results there: `remote \"{path}\"`; the store stays a folder");
        diags.push(Diag::error("wrong-kind", span, message).hint(hint));
        return None;
    }
    Some((PathBuf::from(path), span))
}

/// A path, unless it begins with `~`, which only a shell expands.
fn spelled_out(path: (String, Span), diags: &mut Vec<Diag>) -> Option<(String, Span)> {
    if path.0 == "~" || path.0.starts_with("~/") {
        let message = format!("`~` is not expanded here: `{}` would be in a folder called `~`", path.0);
        diags.push(
            Diag::error("wrong-kind", path.1, message).hint("write the whole path, or one relative to this file"),
        );
        return None;
    }
    Some(path)
}

fn digest(text: &str, span: Span, diags: &mut Vec<Diag>) -> Option<(Digest, Span)> {
    let digest = text.strip_prefix("blake3:").and_then(|digits| digits.parse().ok());
    if digest.is_none() {
        let found = Diag::error("wrong-kind", span, "this is not a digest");
        diags.push(found.hint("write it with `macula package pin NAME`: `blake3:` and 64 hexadecimal digits"));
    }
    digest.map(|digest| (digest, span))
}

/// Sets a switch to the truth value of a node, once.
fn switch(node: &Node, known: &mut Option<bool>, diags: &mut Vec<Diag>) {
    match truth(node, diags) {
        Some(_) if known.is_some() => {
            let found = Diag::error("duplicate-param", node.head, format!("`{}` is set twice", node.name.text));
            diags.push(found.hint("remove one of them"));
        }
        said => *known = said.or(*known),
    }
}

/// The single truth value of a node.
fn truth(node: &Node, diags: &mut Vec<Diag>) -> Option<bool> {
    match node.entries.as_slice() {
        [NodeEntry { key: None, value: Scalar::Bool(value), .. }] if node.children.is_none() => Some(*value),
        _ => {
            let name = &node.name.text;
            let found = Diag::error("wrong-kind", node.head, format!("`{name}` takes `#true` or `#false`"));
            diags.push(found.hint(format!("write `{name} #false` to turn it off")));
            None
        }
    }
}

/// The single string of a node.
fn one(node: &Node, diags: &mut Vec<Diag>) -> Option<(String, Span)> {
    let name = &node.name.text;
    match node.entries.as_slice() {
        [entry @ NodeEntry { key: None, .. }]
            if entry.text().is_some_and(|text| !text.is_empty()) && node.children.is_none() =>
        {
            Some((entry.text()?.to_owned(), entry.span))
        }
        _ => {
            let found = Diag::error("wrong-kind", node.head, format!("`{name}` takes one string"));
            diags.push(found.hint(format!("write `{name} \"…\"`")));
            None
        }
    }
}
