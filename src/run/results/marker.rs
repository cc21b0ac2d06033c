//! What a folder below `results/` says that it shows: a file in it, so that an unchanged one is left alone and one that shows nearly
//! the same is changed where it differs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::base::Digest;
use crate::store::{Artifact, Entry, Objects};

/// Its name.
pub(super) const FILE: &str = ".macula";

/// The first line while a folder is being changed: then it shows nothing, and the other lines say what may be linked there.
pub(super) const CHANGING: &str = "being changed\n";

/// The first word of the line with the digest of the folder's `README.txt`; no port is called so.
const README: &str = ".readme";

/// What a folder shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marker {
    /// When an object was last put into quarantine before it was linked. An older macula did not write it.
    pub(super) after: Option<u64>,
    /// For each port its tree.
    pub(super) ports: BTreeMap<String, Shown>,
}

/// A tree that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// Its digest.
    pub(super) tree: Digest,
    /// The object that holds its names. An older macula did not write it.
    pub(super) object: Option<Entry>,
}

impl Marker {
    /// Of a stage's outputs, shown now.
    pub(super) fn of(outputs: &BTreeMap<String, Artifact>, objects: &Objects) -> Self {
        let shown = |artifact: &Artifact| Shown { tree: artifact.digest(), object: artifact.object() };
        Self {
            after: Some(objects.last_quarantined()),
            ports: outputs.iter().map(|(port, artifact)| (port.clone(), shown(artifact))).collect(),
        }
    }

    /// What the folder `place` says.
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

    /// Whether both show the same trees.
    pub(super) fn same_trees(&self, other: &Self) -> bool {
        let same = |((port, mine), (also, other)): ((&String, &Shown), (&String, &Shown))| {
            port == also && mine.tree == other.tree
        };
        self.ports.len() == other.ports.len() && self.ports.iter().zip(&other.ports).all(same)
    }

    /// As it is written, beside a `README.txt` of this digest.
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

/// For each port that a text names the object that holds its names, whether the folder is being changed or not.
pub(super) fn objects(text: &str) -> Vec<(String, Option<Entry>)> {
    let ports = text.lines().filter_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
        ["after" | README, _] => None,
        [port, tree, ref object @ ..] => tree.parse::<Digest>().ok().map(|_| (port.to_owned(), entry(object))),
        _ => None,
    });
    ports.collect()
}

/// The digest of the folder's `README.txt`, and while it is being changed of the next one, too; none where an older macula wrote it.
pub(super) fn readmes(text: &str) -> Vec<Digest> {
    text.lines().filter_map(|line| line.strip_prefix(README)?.trim_start().parse().ok()).collect()
}
