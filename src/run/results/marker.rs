//! The marker file in a folder below `results/`: which outputs the folder shows, so that an unchanged folder is left
//! alone and one that differs little is only updated.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::base::Digest;
use crate::store::{Artifact, Entry, Objects};

/// File name of the marker.
pub(super) const FILE: &str = ".macula";

/// First line while a folder is being changed: it shows nothing, and the other lines list what may be linked there.
pub(super) const CHANGING: &str = "being changed\n";

/// First word of the line with the digest of the folder's `README.txt`; no port has this name.
const README: &str = ".readme";

/// What a folder shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marker {
    /// Time of the last quarantine before it was linked; [`None`] in old markers.
    pub(super) after: Option<u64>,
    /// The tree of each port.
    pub(super) ports: BTreeMap<String, Shown>,
}

/// A linked tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Its digest.
    pub(super) tree: Digest,
    /// The object that holds its names; [`None`] in old markers.
    pub(super) object: Option<Entry>,
}

impl Marker {
    /// The marker for a stage's outputs, linked now.
    pub(super) fn of(outputs: &BTreeMap<String, Artifact>, objects: &Objects) -> Self {
        let shown = |artifact: &Artifact| Shown { tree: artifact.digest(), object: artifact.object() };
        Self {
            after: Some(objects.last_quarantined()),
            ports: outputs.iter().map(|(port, artifact)| (port.clone(), shown(artifact))).collect(),
        }
    }

    /// The marker of the folder `place`.
    pub(super) fn read(place: &Path) -> Self {
        let text = std::fs::read_to_string(place.join(FILE)).unwrap_or_default();
        Self::parse(&text).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut found = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["after", time] => found.after = Some(time.parse().ok()?),
                [README, _] => {}
                [port, tree, ref object @ ..] => {
                    let tree = tree.parse().ok()?;
                    found.ports.insert(port.to_owned(), Shown { tree, object: entry(object) });
                }
                _ => return None,
            }
        }
        Some(found)
    }

    /// Whether both have the same trees.
    pub(super) fn same_trees(&self, other: &Self) -> bool {
        let same = |((port, mine), (also, other)): ((&String, &Shown), (&String, &Shown))| {
            port == also && mine.tree == other.tree
        };
        self.ports.len() == other.ports.len() && self.ports.iter().zip(&other.ports).all(same)
    }

    /// The marker's text, with the digest of the folder's `README.txt`.
    pub(super) fn text(&self, readme: Option<Digest>) -> String {
        let mut text = self.after.map(|time| format!("after {time}\n")).unwrap_or_default();
        for (port, Shown { tree, object }) in &self.ports {
            let object = object.map(|object| format!(" {} {}", object.digest, object.size)).unwrap_or_default();
            let _ = writeln!(text, "{port} {tree}{object}");
        }
        text.extend(readme.map(|readme| format!("{README} {readme}\n")));
        text
    }
}

fn entry(words: &[&str]) -> Option<Entry> {
    let [digest, size] = words else { return None };
    Some(Entry { digest: digest.parse().ok()?, size: size.parse().ok()? })
}

/// The object with the names of each port, whether the folder is being changed or not.
pub(super) fn objects(text: &str) -> Vec<(String, Option<Entry>)> {
    let ports = text.lines().filter_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        ["after" | README, _] => None,
        [port, tree, ref object @ ..] => tree.parse::<Digest>().ok().map(|_| (port.to_owned(), entry(object))),
        _ => None,
    });
    ports.collect()
}

/// Digests of the folder's `README.txt`: one, or two while the folder is being changed; none in old markers.
pub(super) fn readmes(text: &str) -> Vec<Digest> {
    text.lines().filter_map(|line| line.strip_prefix(README)?.trim_start().parse().ok()).collect()
}
