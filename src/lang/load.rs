//! From a file to its pipelines, with what it brings in by `use`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::describe::{Described, describe};
use super::extend::{self, Extends};
use super::given::{Setting, settings};
use super::lower::{Scope, Told, check_body, lower};
use super::near;
use super::signature::{self, Origin, Signature};
use super::spec::{Contents, Pipeline, Points};
use super::stdlib::{self, stdlib};
use crate::base::{FileId, Sources, Span};
use crate::diag::{Diag, Severity};
use crate::syntax::{self, Document, Entry, Node};

/// The pipelines and sweeps of a file, in its order, and all that is wrong with it, in order of place. `sets` are the arguments of
/// `--set`. What it holds can be used where no diagnostic is an error.
///
/// # Errors
/// Where the file can't be read; what it holds is never such an error.
pub fn load(
    file: &Path,
    sets: &[String],
    points: Points,
    sources: &mut Sources,
) -> std::io::Result<(Contents, Vec<Diag>)> {
    let text = read(file)?;
    Ok(load_text(&file.display().to_string(), Some(file.to_owned()), &text, sets, points, sources))
}

/// The same for a text that is at hand; files that it uses are found beside `path`.
#[must_use]
pub fn load_text(
    name: &str,
    path: Option<PathBuf>,
    text: &str,
    sets: &[String],
    points: Points,
    sources: &mut Sources,
) -> (Contents, Vec<Diag>) {
    let file = sources.add(name, path, text);
    let (document, mut diags) = syntax::parse(file, text);
    let readable = diags.is_empty();
    let (settings, found) = settings(sets, sources);
    diags.extend(found);
    let mut module = Module::new(sources);
    if let Some(real) = module.sources.get(file).path.as_ref().and_then(|path| fs::canonicalize(path).ok()) {
        module.files.insert(real, (file, document.clone()));
    }
    module.read(file, &document);
    let nodes: Vec<Node> = document.nodes.iter().filter(|node| node.name.text == "pipeline").cloned().collect();
    let nodes: Vec<Node> =
        nodes.iter().filter_map(|node| module.extended(file, &document, node, &mut Vec::new())).collect();
    module.templates(&nodes);
    let Module { networks, stages, diags: found, .. } = module;
    diags.extend(found);
    // A file of networks and stages alone is there for others to use.
    let module = document.nodes.iter().any(|node| matches!(node.name.text.as_str(), "network" | "stage"));
    let pipelines = pipelines(file, &nodes, (&networks, &stages), &settings, readable && !module, &mut diags);
    in_order(&mut diags);
    let _ = points;
    (Contents { pipelines, sweeps: Vec::new() }, diags)
}

/// The networks that a file describes or brings in, by name, beside those of the standard library.
///
/// # Errors
/// Where the file can't be read. What is wrong in it is not told here: [`load`] does.
pub fn networks(file: &Path, sources: &mut Sources) -> std::io::Result<BTreeMap<String, Described>> {
    let text = read(file)?;
    let id = sources.add(file.display().to_string(), Some(file.to_owned()), text.clone());
    let (document, _) = syntax::parse(id, &text);
    let mut module = Module::new(sources);
    module.read(id, &document);
    Ok(module.networks)
}

/// Reads a text file; bytes that are no UTF-8 are an error.
fn read(file: &Path) -> std::io::Result<String> {
    let limit = syntax::LARGEST as u64 + 1;
    if fs::metadata(file)?.len() > limit {
        // Only its size will be spoken of.
        return Ok(" ".repeat(usize::try_from(fs::metadata(file)?.len()).unwrap_or(usize::MAX).min(64 << 20)));
    }
    fs::read_to_string(file)
}

/// Sorts by place, the errors of one place before its warnings, and drops what is said twice.
pub(super) fn in_order(diags: &mut Vec<Diag>) {
    diags.sort_by_key(|diag| {
        let place = diag.labels.first().map(|label| (label.span.file, label.span.start, label.span.end));
        (place, diag.severity)
    });
    diags.dedup();
}

fn pipelines(
    file: FileId,
    nodes: &[Node],
    (networks, stages): (&BTreeMap<String, Described>, &BTreeMap<String, Stage>),
    settings: &[Setting],
    expected: bool,
    diags: &mut Vec<Diag>,
) -> Vec<Pipeline> {
    let builtin = stdlib().signatures.iter();
    let all = builtin.chain(stages.values().map(|stage| &stage.signature));
    let scope = Scope { signatures: all.map(|signature| (signature.name.as_str(), signature)).collect(), networks };
    let mut told = Told::new();
    for stage in stages.values().filter(|stage| stage.origin == Origin::User) {
        diags.extend(check_body(&stage.signature, &stage.node, &scope, &mut told));
    }
    let mut all: Vec<Pipeline> = Vec::new();
    let mut met = BTreeSet::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for node in nodes {
        let lowered = lower(node, &scope, settings, &mut told);
        diags.extend(lowered.diags);
        met.extend(lowered.met);
        names.extend(lowered.names);
        let pipeline = lowered.pipeline;
        if let Some(first) = all.iter().find(|other| other.name == pipeline.name && !other.name.is_empty()) {
            let found =
                Diag::error("duplicate-name", pipeline.span, format!("two pipelines are named `{}`", pipeline.name));
            diags.push(found.also(first.span, "first here").hint("give one another name"));
        }
        all.push(pipeline);
    }
    if all.is_empty() && expected && diags.iter().all(|diag| diag.severity != Severity::Error) {
        let found = Diag::error("no-pipeline", Span::new(file, 0..0), "there is no pipeline in this file");
        diags.push(found.hint("write `pipeline NAME seed=7 { … }`"));
    }
    for (_, setting) in settings.iter().enumerate().filter(|(i, _)| !met.contains(i)) {
        let first = setting.path.split('.').next().unwrap_or_default();
        let message = format!("there is no stage or parameter `{first}`");
        let hint = near::hint(first, names.iter().map(String::as_str), "write `--set stage.param=value`");
        if !all.is_empty() {
            diags.push(Diag::error("unknown-name", setting.given.name, message).hint(hint));
        }
    }
    all
}

/// What the top levels of a file and of those that it uses hold, beside pipelines.
struct Module<'a> {
    sources: &'a mut Sources,
    /// Files that were brought in, by their real paths.
    files: BTreeMap<PathBuf, (FileId, Document)>,
    networks: BTreeMap<String, Described>,
    stages: BTreeMap<String, Stage>,
    diags: Vec<Diag>,
}

/// A stage with a body: its signature, and the node that declares it.
struct Stage {
    signature: Signature,
    node: Node,
    origin: Origin,
}

impl<'a> Module<'a> {
    fn new(sources: &'a mut Sources) -> Self {
        let networks = stdlib().networks.iter().map(|network| (network.spec.name.clone(), network.clone()));
        Self {
            sources,
            files: BTreeMap::new(),
            networks: networks.collect(),
            stages: BTreeMap::new(),
            diags: Vec::new(),
        }
    }

    fn wrong(&mut self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.diags.push(Diag::error(code, span, message).hint(hint));
    }

    fn read(&mut self, file: FileId, document: &Document) {
        for node in &document.nodes {
            let name = node.name.text.as_str();
            match name {
                "use" => self.bring(file, node),
                "network" => self.network(node),
                "pipeline" => {} // read by themselves; a file that is used for its networks may hold some, too
                "stage" => self.stage(node),
                "sweep" => {
                    let message = format!("a `{name}` is not in this version yet");
                    self.wrong("not-yet", node.name.span, message, "write the stages out in the pipeline");
                }
                _ => {
                    let known = ["pipeline", "stage", "network", "use"];
                    let stages = stdlib().signatures.iter().any(|signature| signature.name == name);
                    let hint = if stages {
                        "stages stand inside `pipeline NAME { … }`".to_owned()
                    } else {
                        near::hint(name, known, "")
                    };
                    self.wrong("unknown-node", node.name.span, format!("`{name}` can't stand here"), hint);
                }
            }
        }
    }

    fn stage(&mut self, node: &Node) {
        let (signature, diags) = signature::read(node, Origin::User);
        self.diags.extend(diags);
        let Some(signature) = signature else { return };
        let (name, span) = (signature.name.clone(), signature.span);
        let builtin = stdlib().signatures.iter().any(|builtin| builtin.name == name);
        let reserved = ["pipeline", "stage", "network", "use", "doc", "param", "sweep", "extends", "body"];
        if let Some(first) = self.stages.get(&name) {
            let found = Diag::error("duplicate-name", span, format!("two stages are declared as `{name}`"));
            self.diags.push(found.also(first.signature.span, "first here").hint("give one another name"));
        } else if builtin || reserved.contains(&name.as_str()) {
            let message = format!("`{name}` has a meaning already");
            self.wrong("duplicate-name", span, message, "give the stage another name");
        } else {
            self.stages.insert(name, Stage { signature, node: node.clone(), origin: Origin::User });
        }
    }

    /// Brings in the templates of the standard library that the file uses, in bodies too: with texts of their own, so that
    /// messages can show them.
    fn templates(&mut self, pipelines: &[Node]) {
        let mut todo: Vec<Node> = pipelines.to_vec();
        todo.extend(self.stages.values().filter_map(|stage| stage.node.child("body")).cloned());
        while let Some(within) = todo.pop() {
            for kind in within.nodes().iter().map(|node| &node.name.text) {
                if self.stages.contains_key(kind) {
                    continue;
                }
                let Some((name, text)) = stdlib::template(kind) else { continue };
                let file = self.sources.add(format!("std:{name}"), None, text);
                let (document, _) = syntax::parse(file, text);
                let Some(node) = document.nodes.into_iter().find(|node| node.name.text == "stage") else { continue };
                let Some(signature) = signature::read(&node, Origin::Library).0 else { continue };
                todo.extend(node.child("body").cloned());
                self.stages.insert(kind.clone(), Stage { signature, node, origin: Origin::Library });
            }
        }
    }

    fn network(&mut self, node: &Node) {
        let (described, diags) = describe(node);
        self.diags.extend(diags);
        let Some(described) = described else { return };
        let name = described.spec.name.clone();
        let span = described.span;
        if let Some(first) = self.networks.insert(name.clone(), described) {
            let found = Diag::error("duplicate-name", span, format!("there is a network `{name}` already"));
            let found = if super::is_builtin(&name) { found } else { found.also(first.span, "first here") };
            self.diags.push(found.hint("give it another name"));
        }
    }

    fn bring(&mut self, file: FileId, node: &Node) {
        let argument = node.args().next().and_then(|entry| Some((entry.text()?.to_owned(), entry.span)));
        let Some((target, span)) = argument else {
            return self.wrong("missing-name", node.head, "`use` needs a module", "write `use \"networks.kdl\"`");
        };
        if let Some(module) = target.strip_prefix("std:") {
            // All of `std:` is in scope without it; it may be named all the same.
            if stdlib::MODULES.iter().all(|(name, _)| *name != module) {
                let near = near::near(module, stdlib::MODULES.iter().map(|(name, _)| *name));
                let hint = near.map(|name| format!("did you mean `std:{name}`?"));
                let hint = hint.unwrap_or_else(|| "`macula doc` lists what there is".to_owned());
                self.wrong("unknown-module", span, format!("there is no module `std:{module}`"), hint);
            }
            return;
        }
        self.open(file, &target, span, "use");
    }

    /// Brings in a file that `verb` names from `file`: what it declares, and its document. None where it can't be read, which
    /// is told.
    fn open(&mut self, file: FileId, target: &str, span: Span, verb: &str) -> Option<PathBuf> {
        let beside = self.sources.get(file).path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
        let path = beside.join(target);
        let real = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if self.files.contains_key(&real) {
            return Some(real); // brought in already, or a circle: either way what it declares is here
        }
        match read(&path) {
            Ok(text) => {
                let file = self.sources.add(path.display().to_string(), Some(path), text.clone());
                let (document, diags) = syntax::parse(file, &text);
                self.diags.extend(diags);
                self.files.insert(real.clone(), (file, document.clone()));
                self.read(file, &document);
                Some(real)
            }
            Err(error) => {
                let hint = format!("paths in `{verb}` start at the folder of the file that says it");
                self.wrong("unreadable-file", span, format!("`{}` can't be read: {error}", path.display()), hint);
                None
            }
        }
    }

    /// A pipeline with that which it extends. `chain` holds the pipelines that led here, by file and name. None
    /// where that can't be had, which is told.
    fn extended(
        &mut self,
        file: FileId,
        document: &Document,
        node: &Node,
        chain: &mut Vec<(FileId, Option<String>)>,
    ) -> Option<Node> {
        let mut diags = Vec::new();
        let extends = extend::extends(node, &mut diags);
        self.diags.append(&mut diags);
        let Some(Extends { target, pipeline, span }) = extends else {
            for without in node.nodes().iter().filter(|child| child.name.text == "without") {
                let hint = "write `extends \"baseline.kdl\"` before it";
                self.wrong(
                    "unknown-node",
                    without.head,
                    "`without` says what of an extended pipeline is left out",
                    hint,
                );
            }
            let broken = node.nodes().iter().any(|child| child.name.text == "extends");
            return (!broken).then(|| node.clone());
        };
        let text = target.text().unwrap_or_default();
        let (there, nodes) = if target.quoted {
            let path = self.open(file, text, target.span, "extends")?;
            let (there, document) = &self.files[&path];
            (*there, document.nodes.clone())
        } else {
            (file, document.nodes.clone())
        };
        let wanted = if target.quoted { pipeline } else { Some(target) };
        let base = self.base(&nodes, wanted, text, span)?;
        chain.push((file, name_of(node)));
        if chain.contains(&(there, name_of(&base))) {
            self.wrong("cycle", span, "this pipeline extends itself, by whatever way", "extend another one");
            return None;
        }
        let base = self.extended(there, &Document { nodes }, &base, chain)?;
        let merged = extend::extended(&base, node, &mut diags);
        self.diags.append(&mut diags);
        Some(merged)
    }

    /// The pipeline of a file that is to be extended.
    fn base(&mut self, nodes: &[Node], wanted: Option<&Entry>, text: &str, span: Span) -> Option<Node> {
        let pipelines: Vec<&Node> = nodes.iter().filter(|node| node.name.text == "pipeline").collect();
        let names: Vec<String> = pipelines.iter().filter_map(|node| name_of(node)).collect();
        if let Some(entry) = wanted {
            let name = entry.text().unwrap_or_default();
            let found = pipelines.iter().find(|node| name_of(node).as_deref() == Some(name));
            if found.is_none() {
                let hint = near::hint(name, names.iter().map(String::as_str), "write a file in quotes");
                self.wrong("unknown-name", entry.span, format!("there is no pipeline `{name}`"), hint);
            }
            return found.map(|node| (*node).clone());
        }
        match pipelines.as_slice() {
            [one] => Some((*one).clone()),
            [] => {
                let message = format!("`{text}` holds no pipeline");
                self.wrong(
                    "no-pipeline",
                    span,
                    message,
                    "extend a file that does; `use` brings in networks and stages",
                );
                None
            }
            _ => {
                let hint =
                    format!("say which: `extends \"{text}\" pipeline={}`", names.first().map_or("NAME", |name| name));
                self.wrong("unknown-name", span, format!("`{text}` holds several pipelines"), hint);
                None
            }
        }
    }
}

fn name_of(node: &Node) -> Option<String> {
    node.args().next().and_then(Entry::text).map(str::to_owned)
}
