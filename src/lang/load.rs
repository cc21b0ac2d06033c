//! From a file to its pipelines, with what it brings in by `use`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::describe::Described;
use super::extend::{self, Extends};
use super::given::{Setting, settings};
use super::lower::{Told, check_body, lower};
use super::module::Module;
use super::scope::Scope;
use super::signature::Origin;
use super::spec::{Contents, Pipeline, Points, Sweep};
use super::sweep::{self, Reading};
use super::{hints, near, project, text};
use crate::base::{FileId, Sources, Span};
use crate::diag::{Diag, Severity};
use crate::syntax::{self, Document, Entry, Memory, Node};

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
    let text = text::read(file)?;
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
    let Analysis { contents, diags, .. } = analyse(name, path, text, (sets, points), &mut Memory::default(), sources);
    (contents, diags)
}

/// A text with all that was understood of it: what an editor asks about.
#[derive(Debug)]
pub struct Analysis {
    /// The text.
    pub file: FileId,
    /// What it holds, as [`load`] gives it.
    pub contents: Contents,
    /// All that is wrong, in order of place.
    pub diags: Vec<Diag>,
    /// What it declares, with what it brings in.
    pub(super) module: Module,
}

impl Analysis {
    /// The tree of the text.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.module.documents[&self.file]
    }
}

/// As [`load_text`], with all that was understood on the way. `memory` is that of the last reading of the text.
#[must_use]
pub fn analyse(
    name: &str,
    path: Option<PathBuf>,
    text: &str,
    (sets, points): (&[String], Points),
    memory: &mut Memory,
    sources: &mut Sources,
) -> Analysis {
    let file = sources.add(name, path, text);
    let (document, mut diags) = syntax::parse_with(file, text, memory);
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
    diags.append(&mut module.diags);
    let scope = Scope::new(&module, &mut diags);
    // A file of networks and stages alone is there for others to use.
    let shared = document.nodes.iter().any(|node| matches!(node.name.text.as_str(), "network" | "stage"));
    let runnable = Runnable { pipelines: &nodes, sweeps: &sweeps, points, expected: readable && !shared };
    let contents = contents(&runnable, &module, &scope, &settings, &mut diags);
    follow_from_errors(&module, &mut diags);
    in_order(&mut diags);
    drop(scope);
    Analysis { file, contents, diags, module }
}

/// As [`analyse`] for the text of a `project.kdl`, which holds no pipelines.
#[must_use]
pub fn analyse_project(path: &Path, text: &str, memory: &mut Memory, sources: &mut Sources) -> Analysis {
    let file = sources.add(path.display().to_string(), Some(path.to_owned()), text);
    let (document, mut diags) = syntax::parse_with(file, text, memory);
    let document = Rc::new(document);
    let mut module = Module::new(file, &document, sources);
    module.diags.clear();
    project::understood(path, file, &document, &mut diags);
    in_order(&mut diags);
    Analysis { file, contents: Contents::default(), diags, module }
}

/// The networks that a file may name: those that it describes or brings in, and those of the standard library.
///
/// # Errors
/// Where the file can't be read. What is wrong in it is not told here: [`load`] does.
pub fn networks(file: &Path, sources: &mut Sources) -> std::io::Result<BTreeMap<String, Described>> {
    let text = text::read(file)?;
    let id = sources.add(file.display().to_string(), Some(file.to_owned()), text.clone());
    let (document, _) = syntax::parse(id, &text);
    let module = Module::new(id, &Rc::new(document), sources);
    let scope = Scope::new(&module, &mut Vec::new());
    Ok(scope.networks(id).map(|(name, network)| (name.to_owned(), network.called(name))).collect())
}

/// Takes out what may only follow from another mistake: what is unused where something can't be read, and networks that are missing
/// because their description, in this file or in one that is brought in, is wrong.
fn follow_from_errors(module: &Module, diags: &mut Vec<Diag>) {
    if diags.iter().any(|diag| diag.severity == Severity::Error) {
        diags.retain(|diag| !matches!(diag.code, "unused-param" | "unused-stage"));
    }
    let follows = |diag: &Diag| {
        let file = diag.labels[0].span.file;
        module.broken.iter().any(|(of, name)| {
            let aliased = module.uses_of(file).filter_map(|used| Some(format!("{}.{name}", used.alias.as_ref()?.0)));
            let bare = *of == file || module.uses_of(file).next().is_some();
            aliased
                .chain(bare.then(|| name.clone()))
                .any(|name| diag.message == format!("there is no network `{name}`"))
        })
    };
    diags.retain(|diag| diag.code != "unknown-network" || !follows(diag));
}

/// Sorts by place, the errors of one place before its warnings, and drops what is said twice.
pub(super) fn in_order(diags: &mut Vec<Diag>) {
    diags.sort_by_key(|diag| {
        let place = diag.labels.first().map(|label| (label.span.file, label.span.start, label.span.end));
        (place, diag.severity)
    });
    diags.dedup();
}

/// What of a file can be run, before it is lowered.
struct Runnable<'a> {
    pipelines: &'a [Cow<'a, Node>],
    /// Sweeps, each with its pipeline.
    sweeps: &'a [(Reading, Node)],
    /// How far sweeps are worked out.
    points: Points<'a>,
    /// Whether the file must hold something.
    expected: bool,
}

fn contents(
    runnable: &Runnable,
    module: &Module,
    scope: &Scope,
    settings: &[Setting],
    diags: &mut Vec<Diag>,
) -> Contents {
    let mut told = Told::new();
    for stage in module.stages.iter().filter(|stage| stage.origin == Origin::User) {
        diags.extend(check_body(&stage.signature, &stage.node, scope, &mut told));
    }
    let mut all: Vec<Pipeline> = Vec::new();
    let mut met = BTreeSet::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    for node in runnable.pipelines {
        let lowered = lower(node, scope, settings, &mut told);
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
    let mut swept: Vec<Sweep> = Vec::new();
    for (reading, base) in runnable.sweeps {
        let made = sweep::sweep(reading, base, scope, settings, &mut told, runnable.points);
        diags.extend(made.diags);
        met.extend(made.met);
        names.extend(made.names);
        let named = all.iter().map(|pipeline| (&pipeline.name, pipeline.span));
        let mut named = named.chain(swept.iter().map(|sweep| (&sweep.name, sweep.span)));
        if let Some((name, first)) = named.find(|(name, _)| **name == made.sweep.name) {
            let found = Diag::error("duplicate-name", made.sweep.span, format!("there is a `{name}` already"));
            diags.push(found.also(first, "first here").hint("give one another name: their results are kept by it"));
        }
        swept.push(made.sweep);
    }
    let nothing = all.is_empty() && swept.is_empty();
    if nothing && runnable.expected && diags.iter().all(|diag| diag.severity != Severity::Error) {
        let found = Diag::error("no-pipeline", Span::new(module.root, 0..0), "there is no pipeline in this file");
        diags.push(found.hint("write `pipeline NAME seed=7 { … }`"));
    }
    for (_, setting) in settings.iter().enumerate().filter(|(i, _)| !met.contains(i)) {
        let first = setting.path.split('.').next().unwrap_or_default();
        let message = format!("there is no stage or parameter `{first}`");
        let known = || names.iter().map(String::as_str);
        let bases = all.iter().chain(swept.iter().map(|sweep| &sweep.base));
        let of = |pipeline: &Pipeline| {
            hints::settings(&setting.path, pipeline, |kind| scope.stage(kind, setting.given.name))
        };
        let found: BTreeSet<String> = if setting.path.contains('.') && near::near(first, known()).is_some() {
            BTreeSet::new()
        } else {
            bases.flat_map(of).collect()
        };
        let value = setting.given.plain.as_ref().map_or_else(|| "…".to_owned(), |(plain, _)| plain.value.to_string());
        let hint = hints::set(&setting.path, &found.into_iter().collect::<Vec<_>>(), &value)
            .unwrap_or_else(|| near::hint(first, known(), "write `--set stage.param=value`"));
        if !nothing {
            diags.push(Diag::error("unknown-name", setting.given.name, message).hint(hint));
        }
    }
    Contents { pipelines: all, sweeps: swept }
}

impl Module {
    /// A pipeline with that which it extends. `chain` holds the pipelines that led here, by file and name. None
    /// where that can't be had, which is told.
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
                self.wrong(
                    "unknown-node",
                    without.head,
                    "`without` says what of an extended pipeline is left out",
                    hint,
                );
            }
            let broken = node.nodes().iter().any(|child| child.name.text == "extends");
            return (!broken).then_some(Cow::Borrowed(node));
        };
        let (there, nodes, base) = self.named(file, document, (target, pipeline), (span, "extends"), sources)?;
        chain.push((file, name_of(node)));
        if chain.contains(&(there, name_of(&base))) {
            self.wrong("cycle", span, "this pipeline extends itself, by whatever way", "extend another one");
            return None;
        }
        let base = self.extended(there, &Document { nodes }, &base, chain, sources)?;
        let merged = extend::extended(&base, node, &mut diags);
        self.diags.append(&mut diags);
        Some(Cow::Owned(merged))
    }

    /// The pipeline that `verb` names: a name of this file's, or another file and which of its pipelines. With it the file
    /// that it stands in, and all that stands there.
    fn named(
        &mut self,
        file: FileId,
        document: &Document,
        (target, pipeline): (&Entry, Option<&Entry>),
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

    /// The pipeline that a sweep varies, with what it extends: the one it names, or the only one of the file.
    fn swept(&mut self, file: FileId, document: &Document, sweep: &Reading, sources: &mut Sources) -> Option<Node> {
        let (there, nodes, base) = if let Some((target, pipeline)) = &sweep.of {
            self.named(file, document, (target, pipeline.as_ref()), (target.span, "of"), sources)?
        } else {
            let mut pipelines = document.nodes.iter().filter(|node| node.name.text == "pipeline");
            let Some(only) = pipelines.next().filter(|_| pipelines.next().is_none()) else {
                let message = format!("which pipeline does `{}` vary?", sweep.name);
                let hint = "write `of baseline`, a pipeline of this file, or `of \"baseline.kdl\"`";
                self.wrong("missing-param", sweep.span, message, hint);
                return None;
            };
            (file, document.nodes.clone(), only.clone())
        };
        self.extended(there, &Document { nodes }, &base, &mut Vec::new(), sources).map(Cow::into_owned)
    }

    /// The pipeline of a file that is to be extended or varied.
    fn base(&mut self, nodes: &[Node], wanted: Option<&Entry>, (text, verb): (&str, &str), span: Span) -> Option<Node> {
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
                self.wrong("unknown-name", entry.span, format!("there is no pipeline `{name}`"), hint);
            }
            return found.map(|node| (*node).clone());
        }
        match pipelines.as_slice() {
            [one] => Some((*one).clone()),
            [] => {
                let message = format!("`{text}` holds no pipeline");
                self.wrong("no-pipeline", span, message, "name a file that does; `use` brings in networks and stages");
                None
            }
            _ => {
                let hint =
                    format!("say which: `{verb} \"{text}\" pipeline={}`", names.first().map_or("NAME", |name| name));
                self.wrong("unknown-name", span, format!("`{text}` holds several pipelines"), hint);
                None
            }
        }
    }
}

fn name_of(node: &Node) -> Option<String> {
    node.args().next().and_then(Entry::text).map(str::to_owned)
}
