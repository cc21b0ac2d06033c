//! The networks that the files of a module declare: described after all files are read, each after those that it uses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::describe::used::{name_of, words};
use super::describe::{Described, KnownNetwork, KnownNetworks, describe};
use super::module::Module;
use super::stdlib::stdlib;
use crate::base::FileId;
use crate::diag::Diag;
use crate::syntax::Node;

/// Longest chain of networks that use each other.
const DEEPEST: usize = 64;

/// Network node and the file that declares it.
type NetworkNode = (FileId, Node);

/// The networks of the standard library, for a network that may use them.
#[must_use]
pub fn library_networks() -> KnownNetworks {
    stdlib().networks.iter().map(|network| (network.spec.name.clone(), whole(network.clone()))).collect()
}

fn whole(described: Described) -> KnownNetwork {
    KnownNetwork::Whole(Arc::new(described))
}

/// How far a declared network is described.
#[derive(Clone)]
enum DescribeState {
    New,
    /// It is being described, after those that it uses.
    Open,
    Done(KnownNetwork),
}

impl Module {
    /// Describes the networks of all files that were read.
    pub(super) fn describe_networks(&mut self) {
        let nodes = std::mem::take(&mut self.declared);
        let mut states = vec![DescribeState::New; nodes.len()];
        for at in 0..nodes.len() {
            self.describe_network(at, &nodes, &mut states, 0);
        }
    }

    fn describe_network(
        &mut self,
        at: usize,
        nodes: &[NetworkNode],
        states: &mut [DescribeState],
        depth: usize,
    ) -> KnownNetwork {
        match &states[at] {
            DescribeState::Done(known) => return known.clone(),
            DescribeState::Open => return KnownNetwork::Broken,
            DescribeState::New => states[at] = DescribeState::Open,
        }
        let (file, node) = &nodes[at];
        if depth > DEEPEST {
            let message = format!("networks use each other more than {DEEPEST} deep");
            self.error("network-size", node.head, message, "write the layers directly");
            states[at] = DescribeState::Done(KnownNetwork::Broken);
            return KnownNetwork::Broken;
        }
        let own = name_of(node).unwrap_or_default();
        let mut known = KnownNetworks::new();
        let mut names = BTreeMap::new();
        words(node, &mut names);
        for (name, used) in names {
            let found = match self.target(*file, name, nodes) {
                None => continue,
                Some(NamedNetwork::Library(network)) => whole(network.clone()),
                Some(NamedNetwork::Declared(other)) => {
                    if matches!(states[other], DescribeState::Open) {
                        let message = if other == at {
                            format!("network `{own}` uses itself")
                        } else {
                            format!("network `{own}` uses `{name}`, which uses `{own}`")
                        };
                        self.error("cycle", used.name.span, message, "write the layers directly, or use `repeat`");
                    }
                    self.describe_network(other, nodes, states, depth + 1)
                }
            };
            known.insert(name.to_owned(), found);
        }
        let (described, diags) = describe(node, &known);
        self.diags.extend(diags);
        let found = described.clone().map_or(KnownNetwork::Broken, whole);
        states[at] = DescribeState::Done(found.clone());
        match described {
            Some(described) => self.declare(*file, described),
            None => self.broken.extend(name_of(node).map(|name| (*file, name.to_owned()))),
        }
        found
    }

    /// Adds a network to those of its file, unless its name is not available.
    fn declare(&mut self, file: FileId, described: Described) {
        let (name, span) = (described.spec.name.as_str(), described.span);
        let same = |(other, network): &&(FileId, Described)| *other == file && network.spec.name == name;
        if super::is_reported_as_number(name, span) {
            return;
        }
        if !super::is_name(name) {
            return self.error("bad-name", span, format!("`{name}` is not a valid name"), super::NAME_RULE);
        }
        let first = self.networks.iter().find(same).map(|(_, network)| network.span);
        if first.is_some() || super::is_builtin(name) {
            let found = Diag::error("duplicate-name", span, format!("network `{name}` already exists"));
            let found = first.into_iter().fold(found, |found, first| found.also(first, "first here"));
            self.diags.push(found.hint("rename it"));
        } else {
            self.networks.push((file, described));
        }
    }

    /// The network that a name means in a file.
    fn target(&self, file: FileId, name: &str, nodes: &[NetworkNode]) -> Option<NamedNetwork> {
        let library = |name: &str| stdlib().networks.iter().find(|network| network.spec.name == name);
        let aliased = name.split_once('.').and_then(|(alias, rest)| {
            let of = |used: &&super::module::UseNode| used.alias.as_ref().is_some_and(|(name, _)| name == alias);
            let used = self.uses_of(file).find(of)?;
            match used.file {
                Some(target) => self.visible_node(target, rest, nodes).map(NamedNetwork::Declared),
                None => {
                    library(rest).filter(|_| used.target.rsplit('/').next() == Some(rest)).map(NamedNetwork::Library)
                }
            }
        });
        let plain = || self.visible_node(file, name, nodes).map(NamedNetwork::Declared);
        aliased.or_else(plain).or_else(|| library(name).map(NamedNetwork::Library))
    }

    /// The network of that name that a file declares or imports without a prefix.
    fn visible_node(&self, file: FileId, name: &str, nodes: &[NetworkNode]) -> Option<usize> {
        let mut seen = BTreeSet::from([file]);
        let mut todo = VecDeque::from([file]);
        while let Some(from) = todo.pop_front() {
            let declared = |(file, node): &NetworkNode| *file == from && name_of(node) == Some(name);
            if let Some(at) = nodes.iter().position(declared) {
                return Some(at);
            }
            let targets = self.uses_of(from).filter(|used| used.alias.is_none()).filter_map(|used| used.file);
            todo.extend(targets.filter(|target| seen.insert(*target)));
        }
        None
    }
}

/// What a name of a network means.
enum NamedNetwork {
    Declared(usize),
    Library(&'static Described),
}
