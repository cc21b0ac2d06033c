//! From a file to its pipelines, including everything that it imports with `use`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::arguments::{Setting, settings};
use super::describe::Described;
use super::extend::{self, Extends};
use super::lower::{Reported, check_body, lower};
use super::module::Module;
use super::scope::Scope;
use super::signature::Origin;
use super::spec::{Contents, Pipeline, Points, Sweep};
use super::sweep::{self, ParsedSweep};
use super::{hints, near, project, text};
use crate::base::{FileId, Sources, Span};
use crate::diag::{Diag, Severity};
use crate::syntax::{self, Document, Node, NodeEntry, ValidationCache};

/// The pipelines and sweeps of a file, in order, and all mistakes, in order of position. `sets` are the arguments of
/// `--set`. The contents are usable if no diagnostic is an error.
///
/// # Errors
/// If the file cannot be read; mistakes in its contents are diagnostics.
pub fn load(
    file: &Path,
    sets: &[String],
    points: Points,
    sources: &mut Sources,
) -> std::io::Result<(Contents, Vec<Diag>)> {
    let text = text::read(file)?;
    Ok(load_text(&file.display().to_string(), Some(file.to_owned()), &text, sets, points, sources))
}

/// As [`load`], for a text in memory; its imports are resolved relative to `path`.
#[must_use]
pub fn load_text(
    name: &str,
    path: Option<PathBuf>,
    text: &str,
    sets: &[String],
    points: Points,
    sources: &mut Sources,
) -> (Contents, Vec<Diag>) {
    let Analysis { contents, diags, .. } =
        analyse(name, path, text, (sets, points), &mut ValidationCache::default(), sources);
    (contents, diags)
}

/// A text with everything that was learnt about it, for editors.
#[derive(Debug)]
pub struct Analysis {
    /// The text.
    pub file: FileId,
    /// What it holds, as [`load`] gives it.
    pub contents: Contents,
    /// All mistakes, in order of position.
    pub diags: Vec<Diag>,
    /// Its declarations and imports.
    pub(super) module: Module,
}

impl Analysis {
    /// The tree of the text.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.module.documents[&self.file]
    }
}

/// As [`load_text`], with everything that was learnt on the way. `cache` is from the last parse of the text.
#[must_use]
pub fn analyse(
    name: &str,
    path: Option<PathBuf>,
    text: &str,
    (sets, points): (&[String], Points),
    cache: &mut ValidationCache,
    sources: &mut Sources,
) -> Analysis {
    let file = sources.add(name, path, text);
    let (document, mut diags) = syntax::parse_with(file, text, cache);
    let document = Rc::new(document);
    let readable = diags.is_empty();
    let (settings, found) = settings(sets, sources);
    diags.extend(found);
    let mut module = Module::new(file, &document, sources);
    let nodes = document.nodes.iter().filter(|node| node.name.text == "pipeline");
    let nodes: Vec<Cow<'_, Node>> =
        nodes.filter_map(|node| module.extended(file, &document, node, &mut Vec::new(), sources)).collect();
    let mut sweeps = Vec::new();
    for node in document.nodes.iter().filter(|node| node.name.text == "sweep") {
        let reading = sweep::read(node, text, &mut module.diags);
        let base = reading.as_ref().and_then(|reading| module.swept(file, &document, reading, sources));
        sweeps.extend(reading.zip(base));
    }
    let bases = sweeps.iter().map(|(_, base)| base);
    module.templates(nodes.iter().map(AsRef::as_ref).chain(bases), sources);
    module.describe_networks();
    diags.append(&mut module.diags);
    let scope = Scope::new(&module, &mut diags);
    // A file that contains only networks and templates is there for others to import.
    let shared = document.nodes.iter().any(|node| matches!(node.name.text.as_str(), "network" | "stage"));
    let runnable = Runnable { pipelines: &nodes, sweeps: &sweeps, points, expected: readable && !shared };
    let contents = contents(&runnable, &module, &scope, &settings, &mut diags);
    follow_from_errors(&module, &mut diags);
    in_order(&mut diags);
    drop(scope);
    Analysis { file, contents, diags, module }
}

/// As [`analyse`], for the text of a `project.kdl`, which contains no pipelines.
#[must_use]
pub fn analyse_project(path: &Path, text: &str, cache: &mut ValidationCache, sources: &mut Sources) -> Analysis {
    let file = sources.add(path.display().to_string(), Some(path.to_owned()), text);
    let (document, mut diags) = syntax::parse_with(file, text, cache);
    let document = Rc::new(document);
    let mut module = Module::new(file, &document, sources);
    module.diags.clear();
    project::understood(path, file, &document, &mut diags);
    in_order(&mut diags);
    Analysis { file, contents: Contents::default(), diags, module }
}

/// The networks available in a file: its own, imported ones, and those of the standard library.
///
/// # Errors
/// If the file cannot be read. Mistakes in it are not reported here: [`load`] does that.
pub fn networks(file: &Path, sources: &mut Sources) -> std::io::Result<BTreeMap<String, Described>> {
    let text = text::read(file)?;
    let id = sources.add(file.display().to_string(), Some(file.to_owned()), text.clone());
    let (document, _) = syntax::parse(id, &text);
    let mut module = Module::new(id, &Rc::new(document), sources);
    module.describe_networks();
    let scope = Scope::new(&module, &mut Vec::new());
    Ok(scope.networks(id).map(|(name, network)| (name.to_owned(), network.called(name))).collect())
}

/// The pipeline that a pipeline of a file extends: its file, and its name if the text says it. [`None`] if it extends none, or the file
/// cannot be read.
#[must_use]
pub fn base_of(file: &Path, pipeline: &str) -> Option<(PathBuf, Option<String>)> {
    let text = text::read(file).ok()?;
    let (document, _) = syntax::parse(FileId(0), &text);
    let is_own = |node: &&Node| node.name.text == "pipeline" && name_of(node).as_deref() == Some(pipeline);
    let node = document.nodes.iter().find(is_own)?;
    let Extends { target, pipeline, .. } = extend::extends(node, &mut Vec::new())?;
    let (target, quoted) = (target.text()?, target.quoted);
    if quoted {
        let name = pipeline.and_then(NodeEntry::text).map(str::to_owned);
        return Some((file.with_file_name("").join(target), name));
    }
    Some((file.to_owned(), Some(target.to_owned())))
}

/// Removes diagnostics that may only follow from another mistake: unused names in a file with errors, and unknown networks whose
/// definition, in this file or in an imported one, is wrong.
fn follow_from_errors(module: &Module, diags: &mut Vec<Diag>) {
    if diags.iter().any(|diag| diag.severity == Severity::Error) {
        diags.retain(|diag| !matches!(diag.code, "unused-param" | "unused-input" | "unused-stage"));
    }
    let follows = |diag: &Diag| {
        let file = diag.labels[0].span.file;
        module.broken.iter().any(|(of, name)| {
            let aliased = module.uses_of(file).filter_map(|used| Some(format!("{}.{name}", used.alias.as_ref()?.0)));
            let bare = *of == file || module.uses_of(file).next().is_some();
            aliased.chain(bare.then(|| name.clone())).any(|name| diag.message == format!("unknown network `{name}`"))
        })
    };
    diags.retain(|diag| diag.code != "unknown-network" || !follows(diag));
}

/// Sorts by position, errors before warnings at the same position, and removes duplicates.
pub(super) fn in_order(diags: &mut Vec<Diag>) {
    diags.sort_by_key(|diag| {
        let place = diag.labels.first().map(|label| (label.span.file, label.span.start, label.span.end));
        (place, diag.severity)
    });
    diags.dedup();
}

/// What a file contains that can be run, before lowering.
struct Runnable<'a> {
    pipelines: &'a [Cow<'a, Node>],
    /// Sweeps, each with its pipeline.
    sweeps: &'a [(ParsedSweep, Node)],
    /// Which points of sweeps are generated.
    points: Points<'a>,
    /// Whether the file must contain something to run.
    expected: bool,
}

fn contents(
    runnable: &Runnable,
    module: &Module,
    scope: &Scope,
    settings: &[Setting],
    diags: &mut Vec<Diag>,
) -> Contents {
    let mut reported = Reported::new();
    for stage in module.stages.iter().filter(|stage| stage.origin == Origin::User) {
        diags.extend(check_body(&stage.signature, &stage.node, scope, &mut reported));
    }
    let mut all: Vec<Pipeline> = Vec::new();
    let mut matched = BTreeSet::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for node in runnable.pipelines {
        let lowered = lower(node, scope, settings, &mut reported);
        diags.extend(lowered.diags);
        matched.extend(lowered.matched);
        names.extend(lowered.names);
        let pipeline = lowered.pipeline;
        if let Some(first) = all.iter().find(|other| other.name == pipeline.name && !other.name.is_empty()) {
            let found =
                Diag::error("duplicate-name", pipeline.span, format!("two pipelines are named `{}`", pipeline.name));
            diags.push(found.also(first.span, "first here").hint("rename one of them"));
        }
        all.push(pipeline);
    }
    let mut swept: Vec<Sweep> = Vec::new();
    for (reading, base) in runnable.sweeps {
        let made = sweep::sweep(reading, base, scope, settings, &mut reported, runnable.points);
        diags.extend(made.diags);
        matched.extend(made.matched);
        names.extend(made.names);
        let named = all.iter().map(|pipeline| (&pipeline.name, pipeline.span));
        let mut named = named.chain(swept.iter().map(|sweep| (&sweep.name, sweep.span)));
        if let Some((name, first)) = named.find(|(name, _)| **name == made.sweep.name) {
            let found = Diag::error("duplicate-name", made.sweep.span, format!("`{name}` already exists"));
            diags.push(found.also(first, "first here").hint("rename one of them; results are stored by name"));
        }
        swept.push(made.sweep);
    }
    let nothing = all.is_empty() && swept.is_empty();
    if nothing && runnable.expected && diags.iter().all(|diag| diag.severity != Severity::Error) {
        let found = Diag::error("no-pipeline", Span::new(module.root, 0..0), "this file contains no pipeline");
        diags.push(found.hint("write `pipeline NAME seed=7 { … }`"));
    }
    for (_, setting) in settings.iter().enumerate().filter(|(i, _)| !matched.contains(i)) {
        let first = setting.path.split('.').next().unwrap_or_default();
        let message = format!("unknown stage or parameter `{first}`");
        let known = || names.iter().map(String::as_str);
        let bases = all.iter().chain(swept.iter().map(|sweep| &sweep.base));
        let value = setting.given.plain.as_ref().map_or_else(|| "…".to_owned(), |(plain, _)| plain.value.to_string());
        let of = |pipeline: &Pipeline| {
            let of_kind = |kind: &str| scope.stage(kind, setting.given.name);
            let mut names = hints::settings(&setting.path, pipeline, of_kind);
            hints::keep_possible(&mut names, pipeline, of_kind, &value);
            names
        };
        let found: BTreeSet<String> = if setting.path.contains('.') && near::near(first, known()).is_some() {
            BTreeSet::new()
        } else {
            bases.flat_map(of).collect()
        };
        let hint = hints::set(&setting.path, &found.into_iter().collect::<Vec<_>>(), &value)
            .unwrap_or_else(|| near::hint(first, known(), "write `--set stage.param=value`"));
        if !nothing {
            diags.push(Diag::error("unknown-name", setting.given.name, message).hint(hint));
        }
    }
    Contents { pipelines: all, sweeps: swept }
}

impl Module {
    /// A pipeline with the pipelines that it extends merged in. `chain` holds the pipelines that led here, by file and name.
    /// [`None`] after reporting a diagnostic.
    fn extended<'a>(
        &mut self,
        file: FileId,
        document: &Document,
        node: &'a Node,
        chain: &mut Vec<(FileId, Option<String>)>,
        sources: &mut Sources,
    ) -> Option<Cow<'a, Node>> {
        let mut diags = Vec::new();
        let extends = extend::extends(node, &mut diags);
        self.diags.append(&mut diags);
        let Some(Extends { target, pipeline, span }) = extends else {
            for without in node.nodes().iter().filter(|child| child.name.text == "without") {
                let hint = "write `extends \"baseline.kdl\"` before it";
                self.error("unknown-node", without.head, "`without` needs an `extends`", hint);
            }
            let broken = node.nodes().iter().any(|child| child.name.text == "extends");
            return (!broken).then_some(Cow::Borrowed(node));
        };
        let (there, nodes, base) = self.named(file, document, (target, pipeline), (span, "extends"), sources)?;
        chain.push((file, name_of(node)));
        if chain.contains(&(there, name_of(&base))) {
            self.error(
                "cycle",
                span,
                "this pipeline extends itself, directly or indirectly",
                "extend another pipeline",
            );
            return None;
        }
        let base = self.extended(there, &Document { nodes }, &base, chain, sources)?;
        let merged = extend::extended(&base, node, &mut diags);
        self.diags.append(&mut diags);
        Some(Cow::Owned(merged))
    }

    /// The pipeline that `verb` names: one of this file, or another file and one of its pipelines. Returned with its file
    /// and all nodes of that file.
    fn named(
        &mut self,
        file: FileId,
        document: &Document,
        (target, pipeline): (&NodeEntry, Option<&NodeEntry>),
        (span, verb): (Span, &'static str),
        sources: &mut Sources,
    ) -> Option<(FileId, Vec<Node>, Node)> {
        let text = target.text().unwrap_or_default();
        let (there, nodes) = if target.quoted {
            let there = self.open(file, text, target.span, verb, None, sources)?;
            (there, self.documents[&there].nodes.clone())
        } else {
            (file, document.nodes.clone())
        };
        let wanted = if target.quoted { pipeline } else { Some(target) };
        let base = self.base(&nodes, wanted, (text, verb), span)?;
        Some((there, nodes, base))
    }

    /// The pipeline that a sweep varies, with its `extends` merged in: the one it names, or the only one of the file.
    fn swept(&mut self, file: FileId, document: &Document, sweep: &ParsedSweep, sources: &mut Sources) -> Option<Node> {
        let (there, nodes, base) = if let Some((target, pipeline)) = &sweep.of {
            self.named(file, document, (target, pipeline.as_ref()), (target.span, "of"), sources)?
        } else {
            let mut pipelines = document.nodes.iter().filter(|node| node.name.text == "pipeline");
            let Some(only) = pipelines.next().filter(|_| pipelines.next().is_none()) else {
                let message = format!("sweep `{}` does not say which pipeline it varies", sweep.name);
                let hint = "write `of baseline`, a pipeline of this file, or `of \"baseline.kdl\"`";
                self.error("missing-param", sweep.span, message, hint);
                return None;
            };
            (file, document.nodes.clone(), only.clone())
        };
        self.extended(there, &Document { nodes }, &base, &mut Vec::new(), sources).map(Cow::into_owned)
    }

    /// The pipeline of a file that is extended or varied.
    fn base(
        &mut self,
        nodes: &[Node],
        wanted: Option<&NodeEntry>,
        (text, verb): (&str, &str),
        span: Span,
    ) -> Option<Node> {
        let pipelines: Vec<&Node> = nodes.iter().filter(|node| node.name.text == "pipeline").collect();
        let names: Vec<String> = pipelines.iter().filter_map(|node| name_of(node)).collect();
        if let Some(entry) = wanted {
            let name = entry.text().unwrap_or_default();
            let found = pipelines.iter().find(|node| name_of(node).as_deref() == Some(name));
            if found.is_none() {
                let hint = if Path::new(name).extension().is_some_and(|extension| extension == "kdl") {
                    format!("write a file in quotes: `extends \"{name}\"`")
                } else {
                    near::hint(name, names.iter().map(String::as_str), "write a file in quotes")
                };
                self.error("unknown-name", entry.span, format!("unknown pipeline `{name}`"), hint);
            }
            return found.map(|node| (*node).clone());
        }
        match pipelines.as_slice() {
            [one] => Some((*one).clone()),
            [] => {
                let message = format!("`{text}` contains no pipeline");
                self.error("no-pipeline", span, message, "name a file that does; `use` imports networks and templates");
                None
            }
            _ => {
                let hint =
                    format!("choose one: `{verb} \"{text}\" pipeline={}`", names.first().map_or("NAME", |name| name));
                self.error("unknown-name", span, format!("`{text}` contains several pipelines"), hint);
                None
            }
        }
    }
}

fn name_of(node: &Node) -> Option<String> {
    node.args().next().and_then(NodeEntry::text).map(str::to_owned)
}
