//! What differs between the outputs that a folder below `results/` shows and those that it should show: where that is little of
//! much, only that is linked anew.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::marker::{self, Marker};
use super::user_files::{Linked, README};
use super::{Shown, below, is_large};
use crate::base::{Digest, disk};
use crate::plan::Known;
use crate::store::{Entry, Objects, Tree, as_path};

/// What has to be done within the folder of one port.
#[derive(Debug, Default)]
pub(super) struct Change<'a> {
    /// Names that show something else, or nothing any more.
    gone: Vec<String>,
    /// Names that show something new.
    pub(super) new: Vec<(&'a String, &'a Entry)>,
}

/// What differs, by port, where the folder `place` shows outputs of the same ports, most of which stay; [`None`] where all is to be
/// linked anew. `marker` is what it should say then.
pub(super) fn find<'a>(
    place: &Path,
    marker: &Marker,
    known: &Known,
    shown: &Shown<'a>,
    objects: &Objects,
) -> Option<BTreeMap<&'a String, Change<'a>>> {
    let linked = Marker::read(place);
    // What was put into quarantine meanwhile may be linked under any name.
    if linked.after != marker.after
        || !linked.ports.keys().eq(marker.ports.keys())
        || !known.outputs.values().any(is_large)
    {
        return None;
    }
    let mut changes = BTreeMap::new();
    for (&port, &tree) in &shown.outputs {
        let old = linked.ports.get(port)?.object?;
        let old = objects.read_tree(&old).ok()?;
        let change = Change::between(&old, tree);
        if change.new.len() + change.gone.len() > tree.entries.len() / 4 {
            return None;
        }
        // Names of files that macula itself writes there.
        let own = |tree: &Tree| tree.get(README).is_some() || tree.get(marker::FILE).is_some();
        if shown.outputs.len() == 1 && (own(&old) || own(tree)) {
            return None;
        }
        changes.insert(port, change);
    }
    Some(changes)
}

impl<'a> Change<'a> {
    fn between(old: &Tree, new: &'a Tree) -> Self {
        let mut change = Self::default();
        let mut before = old.entries.iter().peekable();
        for (name, entry) in &new.entries {
            while let Some((gone, _)) = before.next_if(|(other, _)| *other < name) {
                change.gone.push(gone.clone());
            }
            match before.next_if(|(other, _)| *other == name) {
                Some((_, was)) if was == entry => {}
                was => {
                    change.gone.extend(was.map(|(name, _)| name.clone()));
                    change.new.push((name, entry));
                }
            }
        }
        change.gone.extend(before.map(|(name, _)| name.clone()));
        change
    }
}

/// Makes the changes, and writes what the folder says. What is killed meanwhile leaves a folder that says that it shows nothing.
///
/// # Errors
/// What the system says, or that a person's file is in the way; then all is to be linked anew.
pub(super) fn make(
    place: &Path,
    shown: &Shown,
    changes: &BTreeMap<&String, Change>,
    (marker, readme): (&Marker, &str),
    objects: &Objects,
) -> io::Result<()> {
    let say = |name: &str, text: &str| disk::write_lightly(&place.join(name), text.as_bytes());
    let linked = Linked::of(place, objects);
    if !linked.may_go(place, Path::new(README), objects) {
        return Err(in_the_way(README));
    }
    let before = std::fs::read_to_string(place.join(marker::FILE))?;
    let after = marker.text(Some(Digest::of(readme.as_bytes())));
    say(marker::FILE, &[marker::CHANGING, &before, &after].concat())?;
    for (port, change) in changes {
        let folder = below(place, port, shown);
        let inner = folder.strip_prefix(place).unwrap_or(Path::new(""));
        for name in &change.gone {
            let name = &*as_path(name);
            if !linked.may_go(place, &inner.join(name), objects) {
                return Err(in_the_way(name));
            }
            remove(&folder.join(name))?;
            let parents = Path::new(name).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
            // A folder that is not empty stays.
            let _ = parents.map(|above| folder.join(above)).try_for_each(std::fs::remove_dir);
        }
        super::fill(&folder, change.new.iter().copied(), objects)?;
    }
    super::write_tables(place, marker, objects)?;
    say(README, readme)?;
    say(marker::FILE, &after)
}

fn in_the_way(name: &str) -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, format!("`{name}` is not what was linked"))
}

/// Removes a file; one that is not there is well gone.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        other => other,
    }
}
