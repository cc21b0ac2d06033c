//! The stages that read a stage, directly or through others: it cannot read them. By the words of the text alone.

use std::collections::{BTreeMap, BTreeSet};

use super::scope::{ScopeNames, stage_name};
use super::{NameScope, SymbolIndex};
use crate::base::FileId;
use crate::lang::keywords::REPEAT;
use crate::lang::lower::repeat::is_number;
use crate::syntax::{Node, NodeEntry};

/// For each stage, by its dotted name, what each of its ports is given.
type PortsByStage = BTreeMap<String, BTreeMap<String, Vec<String>>>;

impl SymbolIndex<'_> {
    /// Dotted names of the stages of a scope that read the stage `own`, or one that reads it.
    #[must_use]
    pub fn readers(&self, scope: &NameScope, own: &str) -> BTreeSet<String> {
        let mut ports = PortsByStage::new();
        let Some(names) = self.names_of(scope) else { return BTreeSet::new() };
        match scope {
            NameScope::Pipeline(file, name) => {
                if let Some((file, node)) = self.pipeline(*file, Some(name)) {
                    self.ports_of_pipeline(&names, file, node, &mut Vec::new(), &mut ports);
                }
            }
            NameScope::Body(definition) => {
                let document = definition.file.and_then(|file| self.module.documents.get(&file));
                let is_it = |node: &&Node| {
                    node.name.text == "stage" && node.args().next().and_then(NodeEntry::text) == Some(&definition.name)
                };
                let node = document.and_then(|document| document.nodes.iter().find(is_it));
                if let Some(body) = node.and_then(|node| node.child("body")) {
                    self.ports(&names, body, "", &mut ports);
                }
            }
        }
        let mut found = BTreeSet::from([own.to_owned()]);
        loop {
            // A repeat stands for the stages inside.
            let reads =
                |given: &String| found.iter().any(|name| name == given || name.starts_with(&format!("{given}.")));
            let more: Vec<String> = ports
                .iter()
                .filter(|(stage, ports)| !found.contains(*stage) && ports.values().flatten().any(reads))
                .map(|(stage, _)| stage.clone())
                .collect();
            if more.is_empty() {
                break;
            }
            found.extend(more);
        }
        found.remove(own);
        found
    }

    /// Those of a pipeline after those of the one that it extends.
    fn ports_of_pipeline(
        &self,
        names: &ScopeNames,
        file: FileId,
        node: &Node,
        chain: &mut Vec<(FileId, usize)>,
        all: &mut PortsByStage,
    ) {
        chain.push((file, node.span.start));
        if let Some((there, base)) =
            self.base(file, node).filter(|(there, base)| !chain.contains(&(*there, base.span.start)))
        {
            self.ports_of_pipeline(names, there, base, chain, all);
        }
        self.ports(names, node, "", all);
    }

    fn ports(&self, names: &ScopeNames, node: &Node, prefix: &str, all: &mut PortsByStage) {
        for child in node.nodes() {
            let Some((name, _)) = stage_name(child) else { continue };
            let path = format!("{prefix}{name}");
            if child.name.text == REPEAT {
                self.ports(names, child, &format!("{path}."), all);
                continue;
            }
            let Some(signature) = self.signature(&child.name.text, child.name.span) else { continue };
            let own = all.entry(path).or_default();
            for port in child.nodes().iter().filter(|port| signature.input(&port.name.text).is_some()) {
                let given = port.args().filter_map(NodeEntry::text);
                own.insert(port.name.text.clone(), given.filter_map(|text| resolved(names, prefix, text)).collect());
            }
        }
    }
}

/// The dotted name of the stage or repeat that a reference inside `prefix` names.
fn resolved(names: &ScopeNames, prefix: &str, reference: &str) -> Option<String> {
    let parts: Vec<&str> = reference.split('.').filter(|part| !is_number(part)).collect();
    let mut prefix = prefix;
    loop {
        for count in (1..=parts.len()).rev() {
            let path = format!("{prefix}{}", parts[..count].join("."));
            if names.stages.contains_key(&path) {
                return Some(path);
            }
        }
        let outer = prefix.strip_suffix('.')?;
        prefix = outer.rfind('.').map_or("", |dot| &prefix[..=dot]);
    }
}
