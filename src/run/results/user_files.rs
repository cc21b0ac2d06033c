//! Users' files in a folder below `results/`: macula removes only its own links that are still what it linked.
//! Everything else stays, renamed if its name is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::marker;
use crate::base::Digest;
use crate::store::files::digest_of_file;
use crate::store::{Entry, Objects, Tree, as_path};

/// Prefix of the tables of linked names, one per port, hard-linked from the store. They survive collection of the
/// store's own.
const TABLE: &str = ".macula.";

/// The file that describes a folder's content.
pub(super) const README: &str = "README.txt";

/// File name of a port's table.
pub(super) fn table(port: &str) -> String {
    format!("{TABLE}{port}")
}

/// What macula linked in a folder, as far as known.
#[derive(Debug, Default)]
pub(super) struct Linked {
    /// Names and what they were linked to. A port's name may stand for itself or below the port, so the bytes are
    /// compared too.
    files: BTreeMap<PathBuf, BTreeSet<Entry>>,
    /// Names that are folders of others.
    folders: BTreeSet<PathBuf>,
    /// Digests of earlier texts of [`README`], if known.
    readmes: Vec<Digest>,
    /// Whether a table of linked names is lost: older versions wrote none, and the store no longer has it.
    unknown: bool,
}

impl Linked {
    /// What macula linked in `place`.
    pub(super) fn of(place: &Path, objects: &Objects) -> Self {
        let mut linked = Self::default();
        let text = fs::read_to_string(place.join(marker::FILE)).unwrap_or_default();
        let stated = marker::objects(&text);
        linked.readmes = marker::readmes(&text);
        let mut tables = BTreeSet::new();
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(port) = name.strip_prefix(TABLE) else { continue };
            let bytes = entry.path().symlink_metadata().is_ok_and(|facts| facts.is_file());
            if let Some(bytes) = bytes.then(|| fs::read(entry.path()).ok()).flatten()
                && let Some(tree) = Tree::decode(&bytes)
            {
                tables.insert(Digest::of(&bytes));
                linked.add(port, &tree);
            }
        }
        for (port, object) in stated {
            if object.is_some_and(|object| tables.contains(&object.digest)) {
                continue;
            }
            match object.filter(|object| objects.holds(object)).and_then(|object| objects.read_tree(&object).ok()) {
                Some(tree) => linked.add(&port, &tree),
                None => linked.unknown = true,
            }
        }
        linked
    }

    fn add(&mut self, port: &str, tree: &Tree) {
        for (name, entry) in &tree.entries {
            let name = &*as_path(name);
            for name in [PathBuf::from(name), Path::new(port).join(name)] {
                self.folders.extend(name.ancestors().skip(1).map(Path::to_owned));
                self.files.entry(name).or_default().insert(*entry);
            }
        }
    }

    /// Whether `name` in `place` is only macula's and may be removed.
    pub(super) fn may_go(&self, place: &Path, name: &Path, objects: &Objects) -> bool {
        let path = place.join(name);
        let Ok(facts) = path.symlink_metadata() else { return true };
        let linked = self.files.get(name);
        if linked.into_iter().flatten().any(|entry| is_still(&path, &facts, entry, objects)) {
            return true;
        }
        let own = name.to_str().unwrap_or_default();
        if facts.is_file() && (own == marker::FILE || own.starts_with(TABLE)) {
            return true;
        }
        if facts.is_file() && own == README {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let known = self.readmes.contains(&Digest::of(text.as_bytes()));
            return known || self.readmes.is_empty() && is_readme(&text);
        }
        // The store has the file's current bytes: nothing is lost.
        let stored = || digest(&path).is_some_and(|entry| objects.own_facts(&entry).is_some());
        self.unknown && facts.is_file() && stored()
    }
}

/// Whether a name still leads to what was linked there.
fn is_still(path: &Path, facts: &Metadata, entry: &Entry, objects: &Objects) -> bool {
    let stored = objects.own_facts(entry);
    if facts.is_symlink() {
        // Symbolic links lead to a user's file by absolute path, or to an object on another file system.
        let target = fs::read_link(path).unwrap_or_default();
        let object = entry.digest.to_string();
        let of_object = target.file_name().is_some_and(|name| object.ends_with(&*name.to_string_lossy()));
        return target.is_absolute() && (of_object || stored.is_none());
    }
    if !facts.is_file() {
        return false;
    }
    let same =
        |other: Option<Metadata>| other.is_some_and(|other| (other.dev(), other.ino()) == (facts.dev(), facts.ino()));
    // An object that somebody made writable may have been changed; a quarantined one stays as it is.
    same(stored) && facts.permissions().mode() & 0o222 == 0
        || same(objects.quarantined(&entry.digest))
        || facts.len() == entry.size && digest(path) == Some(*entry)
}

fn digest(path: &Path) -> Option<Entry> {
    digest_of_file(fs::File::open(path).ok()?).ok()
}

/// Whether a text is an unedited README of an older version, which did not record the digest.
fn is_readme(text: &str) -> bool {
    const LINKS: &str = "Links into macula's store, made anew by each run; copy what you want to change.";
    let ours = |line: &str| line.is_empty() || line.starts_with("import ") || line.starts_with("from ");
    text.split_once(LINKS).is_some_and(|(_, rest)| rest.lines().all(ours))
}

/// A user's file that was in the way, and its new name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// Its name within the stage's folder.
    pub name: PathBuf,
    /// Its name now.
    pub now: PathBuf,
}

/// Empties the replaced folder `from`: removes macula's links and moves everything else to its name below `to`. Returns
/// what had to be renamed.
///
/// # Errors
/// The system's error; files that were not moved are still there.
pub(super) fn give_back(from: &Path, to: &Path, objects: &Objects) -> io::Result<Vec<Renamed>> {
    let linked = Linked::of(from, objects);
    let mut renamed = Vec::new();
    let mut own = Vec::new();
    empty(from, to, Path::new(""), &linked, objects, &mut own, &mut renamed)?;
    // The marker goes last: the process may be killed before.
    own.iter().try_for_each(|name| fs::remove_file(from.join(name)))?;
    fs::remove_dir(from)?;
    Ok(renamed)
}

fn empty(
    from: &Path,
    to: &Path,
    folder: &Path,
    linked: &Linked,
    objects: &Objects,
    own: &mut Vec<PathBuf>,
    renamed: &mut Vec<Renamed>,
) -> io::Result<()> {
    for entry in fs::read_dir(from.join(folder))? {
        let entry = entry?;
        let name = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() && linked.folders.contains(&name) {
            empty(from, to, &name, linked, objects, own, renamed)?;
            fs::remove_dir(from.join(&name))?;
        } else if entry.file_type()?.is_dir() || !linked.may_go(from, &name, objects) {
            let now = free(to, &name);
            let path = to.join(&now);
            fs::create_dir_all(path.parent().unwrap_or(to))?;
            fs::rename(from.join(&name), &path)?;
            if now != name {
                renamed.push(Renamed { name, now });
            }
        } else if name.to_str().is_some_and(|name| name == marker::FILE || name.starts_with(TABLE)) {
            own.push(name);
        } else {
            fs::remove_file(from.join(&name))?;
        }
    }
    Ok(())
}

/// `name`, or a similar name that is free below `to`; existing folders are entered.
fn free(to: &Path, name: &Path) -> PathBuf {
    let mut found = PathBuf::new();
    let mut parts = name.iter().peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        let fits = |name: &OsString| match to.join(found.join(name)).symlink_metadata() {
            Ok(facts) => !last && facts.is_dir(),
            Err(_) => true,
        };
        let like = |at: usize| {
            let mut like = part.to_owned();
            match at {
                0 => {}
                1 => like.push(".kept"),
                at => like.push(format!(".kept-{at}")),
            }
            like
        };
        let part = (0..=u16::MAX.into()).map(like).find(fits).unwrap_or_else(|| part.to_owned());
        found.push(part);
    }
    found
}
