//! Differences between the linked outputs in a folder below `results/` and the current ones: if few of many files
//! differ, only those are relinked.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::marker::{self, Marker};
use super::user_files::{Linked, README};
use super::{ShownResult, below, is_large};
use crate::base::{Digest, disk};
use crate::plan::StageResult;
use crate::store::{Entry, Objects, Tree, as_path};

/// Changes within the folder of one port.
#[derive(Debug, Default)]
pub(super) struct Change<'a> {
    /// Names with other content, or none, from now on.
    gone: Vec<String>,
    /// Names with new content.
    pub(super) new: Vec<(&'a String, &'a Entry)>,
}

/// The changes by port, if the folder `place` shows outputs of the same ports and most files stay; [`None`] if
/// everything must be relinked. `marker` is the folder's new marker.
pub(super) fn find<'a>(
    place: &Path,
    marker: &Marker,
    known: &StageResult,
    shown: &ShownResult<'a>,
    objects: &Objects,
) -> Option<BTreeMap<&'a String, Change<'a>>> {
    let linked = Marker::read(place);
    // Objects quarantined meanwhile may be linked under any name.
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

/// Applies the changes and updates the marker. A process killed meanwhile leaves a marker that says that the folder
/// shows nothing.
///
/// # Errors
/// The system's error, or a user's file is in the way; then everything must be relinked.
pub(super) fn make(
    place: &Path,
    shown: &ShownResult,
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
            // Folders that are not empty stay.
            let _ = parents.map(|above| folder.join(above)).try_for_each(std::fs::remove_dir);
        }
        super::fill(&folder, change.new.iter().copied(), objects)?;
    }
    super::write_tables(place, marker, objects)?;
    say(README, readme)?;
    say(marker::FILE, &after)
}

fn in_the_way(name: &str) -> io::Error {
    io::Error::new(ErrorKind::AlreadyExists, format!("`{name}` is not macula's link"))
}

/// Removes a file; a missing file is not an error.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        other => other,
    }
}
