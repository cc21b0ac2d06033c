//! The names of a pipeline or a template body: its own, and those of the pipeline that it extends.

use std::collections::BTreeMap;

use super::{NameScope, SymbolIndex};
use crate::base::{FileId, Span};
use crate::lang::keywords::REPEAT;
use crate::lang::signature::{InPort, Signature};
use crate::syntax::{Node, NodeEntry};

/// A name in a scope.
#[derive(Clone, Debug)]
pub struct NameInfo {
    /// Its owner: a pipeline that extends another also has the other's names.
    pub scope: NameScope,
    /// Its name there; dotted inside a `repeat`: `fold.classifier`.
    pub path: String,
    /// The stage type, `repeat`, or the type of a parameter.
    pub kind: String,
    /// The name in its declaration.
    pub span: Span,
    /// The default of a parameter, as written.
    pub default: Option<String>,
}

/// The names of a pipeline or of a template body.
#[derive(Clone, Debug)]
pub struct ScopeNames {
    /// Their owner.
    pub scope: NameScope,
    /// Stages; those inside a `repeat` by dotted names.
    pub stages: BTreeMap<String, NameInfo>,
    /// Parameters, used as `$name`.
    pub values: BTreeMap<String, NameInfo>,
    /// Ports of the template whose body it is.
    pub ports: BTreeMap<String, InPort>,
}

impl ScopeNames {
    /// The names inside a `repeat`: its stages by their own names, its number, and everything around it.
    #[must_use]
    pub fn inside(&self, repeat: &str) -> Self {
        let mut names = self.clone();
        let prefix = format!("{repeat}.");
        let own = self.stages.iter().filter_map(|(name, named)| Some((name.strip_prefix(&prefix)?, named)));
        names.stages.extend(own.map(|(name, named)| (name.to_owned(), named.clone())));
        if let Some(named) = self.stages.get(repeat) {
            names.values.insert(repeat.to_owned(), NameInfo { kind: "count".to_owned(), ..named.clone() });
        }
        names
    }
}

impl<'a> SymbolIndex<'a> {
    /// The names at a position: those of the pipeline or body around it, or of the pipeline that a sweep varies, and that
    /// node.
    #[must_use]
    pub fn names_at(&self, file: FileId, at: usize) -> Option<(ScopeNames, &'a Node)> {
        let document = self.module.documents.get(&file)?;
        let around = |node: &&Node| node.span.start <= at && at <= node.span.end;
        // Between two nodes, or in a block that is not closed yet, the later one is being written.
        let node = document
            .nodes
            .iter()
            .rfind(around)
            .or_else(|| document.nodes.iter().rfind(|node| node.span.start <= at))?;
        match node.name.text.as_str() {
            "stage" => Some((self.of_stage(file, node)?, node)),
            "pipeline" => Some((self.of_pipeline(file, node), node)),
            "sweep" => Some((self.of_sweep(file, node)?, node)),
            _ => None,
        }
    }

    /// The names of a scope.
    #[must_use]
    pub fn names_of(&self, scope: &NameScope) -> Option<ScopeNames> {
        let named = |node: &&Node, word: &str, wanted: &str| {
            node.name.text == word && text_of(node).is_some_and(|(name, _)| name == wanted)
        };
        match scope {
            NameScope::Pipeline(file, name) => {
                let document = self.module.documents.get(file)?;
                let node = document.nodes.iter().find(|node| named(node, "pipeline", name))?;
                Some(self.of_pipeline(*file, node))
            }
            NameScope::Body(definition) => {
                let file = definition.file?;
                let document = self.module.documents.get(&file)?;
                let node = document.nodes.iter().find(|node| named(node, "stage", &definition.name))?;
                self.of_stage(file, node)
            }
        }
    }

    /// The names of a pipeline.
    pub(super) fn of_pipeline(&self, file: FileId, node: &Node) -> ScopeNames {
        self.with_bases(file, node, &mut Vec::new())
    }

    fn with_bases(&self, file: FileId, node: &Node, chain: &mut Vec<(FileId, usize)>) -> ScopeNames {
        let name = text_of(node).map(|(name, _)| name).unwrap_or_default();
        let scope = NameScope::Pipeline(file, name);
        let mut names = ScopeNames {
            scope: scope.clone(),
            stages: BTreeMap::new(),
            values: BTreeMap::new(),
            ports: BTreeMap::new(),
        };
        chain.push((file, node.span.start));
        let base = self.base(file, node).filter(|(there, base)| !chain.contains(&(*there, base.span.start)));
        if let Some((there, base)) = base {
            let of_base = self.with_bases(there, base, chain);
            (names.stages, names.values) = (of_base.stages, of_base.values);
        }
        for child in node.nodes() {
            match child.name.text.as_str() {
                "doc" | "extends" => {}
                "without" => child.args().filter_map(NodeEntry::text).for_each(|name| _ = names.stages.remove(name)),
                "param" => add(&mut names.values, child, &scope, property(child, "type")),
                _ => add_stage(&mut names.stages, child, &scope, ""),
            }
        }
        names
    }

    /// The names of a body.
    pub(super) fn of_stage(&self, file: FileId, node: &Node) -> Option<ScopeNames> {
        let (kind, span) = text_of(node)?;
        let scope = NameScope::Body(self.declared(file, &kind));
        let ports = self.signature(&kind, span).map(|signature| signature.inputs.as_slice()).unwrap_or_default();
        let ports = ports.iter().map(|port| (port.name.clone(), port.clone())).collect();
        let mut names = ScopeNames { scope: scope.clone(), stages: BTreeMap::new(), values: BTreeMap::new(), ports };
        for child in node.nodes() {
            match child.name.text.as_str() {
                "param" => add(&mut names.values, child, &scope, property(child, "type")),
                "body" => {
                    for stage in child.nodes() {
                        add_stage(&mut names.stages, stage, &scope, "");
                    }
                }
                _ => {}
            }
        }
        Some(names)
    }

    /// The pipeline that a pipeline extends.
    pub(super) fn base(&self, file: FileId, node: &Node) -> Option<(FileId, &'a Node)> {
        self.target(file, node.child("extends")?)
    }

    /// The pipeline that `extends` or a sweep's `of` names, in this file or another.
    pub(super) fn target(&self, file: FileId, node: &Node) -> Option<(FileId, &'a Node)> {
        let target = node.args().next()?;
        let text = target.text()?;
        if target.quoted {
            self.pipeline(self.file_of(file, text)?, node.prop("pipeline").and_then(NodeEntry::text))
        } else {
            self.pipeline(file, Some(text))
        }
    }

    /// A pipeline of a file: the one with that name, or the first.
    pub(super) fn pipeline(&self, file: FileId, wanted: Option<&str>) -> Option<(FileId, &'a Node)> {
        let document = self.module.documents.get(&file)?;
        let mut pipelines = document.nodes.iter().filter(|node| node.name.text == "pipeline");
        let found = match wanted {
            Some(name) => pipelines.find(|node| text_of(node).is_some_and(|(other, _)| other == name)),
            None => pipelines.next(),
        };
        found.map(|node| (file, node))
    }

    /// The names in the body of a template.
    pub(super) fn of_body(&self, signature: &Signature) -> Option<ScopeNames> {
        let body = signature.body.as_ref()?;
        let scope = NameScope::Body(self.kind(signature));
        let (values, ports) = (BTreeMap::new(), BTreeMap::new());
        let mut names = ScopeNames { scope: scope.clone(), stages: BTreeMap::new(), values, ports };
        for node in &body.nodes {
            add_stage(&mut names.stages, node, &scope, "");
        }
        Some(names)
    }

    /// The file that another file imports by a path.
    pub(super) fn file_of(&self, file: FileId, target: &str) -> Option<FileId> {
        self.module.uses_of(file).find(|used| used.target == target).and_then(|used| used.file)
    }
}

fn property(node: &Node, key: &str) -> String {
    node.prop(key).and_then(NodeEntry::text).unwrap_or_default().to_owned()
}

fn add(names: &mut BTreeMap<String, NameInfo>, node: &Node, scope: &NameScope, kind: String) {
    let Some((name, span)) = text_of(node) else { return };
    let default = node.prop("default").map(|entry| entry.value.to_string());
    // A repeated name is the other pipeline's, changed.
    if let Some(named) = names.get_mut(&name) {
        named.kind = kind;
    } else {
        let path = name.clone();
        names.insert(name, NameInfo { scope: scope.clone(), path, kind, span, default });
    }
}

/// Adds a stage, or a `repeat` and the stages inside, named `REPEAT.STAGE`.
fn add_stage(names: &mut BTreeMap<String, NameInfo>, node: &Node, scope: &NameScope, prefix: &str) {
    let Some((name, span)) = stage_name(node) else { return };
    let path = format!("{prefix}{name}");
    let kind = node.name.text.clone();
    if let Some(named) = names.get_mut(&path) {
        named.kind = kind;
    } else {
        let named = NameInfo { scope: scope.clone(), path: path.clone(), kind, span, default: None };
        names.insert(path.clone(), named);
    }
    if node.name.text == REPEAT {
        for stage in node.nodes() {
            add_stage(names, stage, scope, &format!("{path}."));
        }
    }
}

/// The entry with the name of a stage, or of a `repeat`, which stands after its count.
pub(super) fn name_entry(node: &Node) -> Option<&NodeEntry> {
    node.args().nth(usize::from(node.name.text == REPEAT))
}

/// The name of a stage or of a `repeat`, and its position.
pub(super) fn stage_name(node: &Node) -> Option<(String, Span)> {
    let entry = name_entry(node)?;
    Some((entry.text()?.to_owned(), entry.span))
}

/// The name of a node, and its position.
pub(super) fn text_of(node: &Node) -> Option<(String, Span)> {
    let entry = node.args().next()?;
    Some((entry.text()?.to_owned(), entry.span))
}
