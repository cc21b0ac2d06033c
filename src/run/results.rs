//! `results/<pipeline>/<stage>/`: the last outputs under names that people know, as links into the store.

mod change;
mod marker;
mod readme;
mod user_files;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use marker::Marker;
use user_files::README;
pub use user_files::Renamed;

use crate::base::flock::{self, LockMode, LockStatus};
use crate::base::{Digest, disk};
use crate::plan::{Engine, Known, StageId};
use crate::store::{Artifact, Entry, Location, Objects, StoreError, Tree, as_path};

/// What is being made, and what is on its way out. Nobody's once the folder's lock is held: their process died.
const NEW: &str = ".new-";
const OLD: &str = ".old-";

/// Within what is on its way out: the folder as it was.
const WAS: &str = "was";

/// Held while results are linked: other machines see locks of files alone, not of folders.
const LOCK: &str = ".lock";

/// What replaced what is on its way out, for whoever finishes that.
const STAGE: &str = "stage";

/// Links a stage's outputs below `folder`. Outputs that are linked there already are left alone, and so is what macula did not link: where
/// a name of such a file is needed it gets another, which is returned. Hold the folder's lock ([`lock()`]).
///
/// # Errors
/// What the system says.
pub fn link(folder: &Path, engine: &Engine, id: StageId, known: &Known) -> io::Result<Vec<Renamed>> {
    let (objects, name) = (&engine.store.objects, &engine.stage(id).name);
    let place = folder.join(name);
    if is_linked(&place, known, objects).map_err(io::Error::other)? {
        return Ok(Vec::new());
    }
    let (marker, shown) = (Marker::of(&known.outputs, objects), read(known, objects).map_err(io::Error::other)?);
    let readme = readme::text(name, &shown);
    if let Some(changes) = change::find(&place, &marker, known, &shown, objects) {
        let new = || changes.values().flat_map(|change| &change.new);
        if new().any(|(_, entry)| objects.own_facts(entry).is_none() && objects.outside_path(entry).is_none()) {
            engine.locate(id).map_err(io::Error::other)?;
        }
        if change::make(&place, &shown, &changes, (&marker, &readme), objects).is_ok() {
            return Ok(Vec::new());
        }
    }
    // Outputs may name files of the user's.
    engine.locate(id).map_err(io::Error::other)?;
    std::fs::create_dir_all(folder)?;
    let there = place.symlink_metadata().ok();
    // What a person put there is not macula's to replace.
    let theirs = |facts: &std::fs::Metadata| !facts.is_dir() || !is_ours(&place);
    if there.as_ref().is_some_and(theirs) {
        return Err(io::Error::other(format!("`{}` was not made by macula", place.display())));
    }
    let fresh = tempfile::Builder::new().prefix(NEW).tempdir_in(folder)?;
    for (port, tree) in &shown.outputs {
        fill(&below(fresh.path(), port, &shown), tree.entries.iter(), objects)?;
    }
    // An output may have one of these names: it is a link then, and writing would go through it into the store.
    write_new(&fresh.path().join(README), &readme)?;
    write_tables(fresh.path(), &marker, objects)?;
    let _ = std::fs::remove_file(fresh.path().join(marker::FILE));
    write_new(&fresh.path().join(marker::FILE), &marker.text(Some(Digest::of(readme.as_bytes()))))?;
    disk::permit(&File::open(fresh.path())?, 0o755)?;
    if there.is_none() {
        return std::fs::rename(fresh.keep(), &place).map(|()| Vec::new());
    }
    // Out of the way in one step: what a kill leaves of it can't be taken for a person's, and what is a person's in it is given back.
    let old = tempfile::Builder::new().prefix(OLD).tempdir_in(folder)?;
    std::fs::write(old.path().join(STAGE), name)?;
    std::fs::rename(&place, old.path().join(WAS))?;
    let old = old.keep();
    std::fs::rename(fresh.keep(), &place)?;
    finish(&old, &place, objects)
}

/// Gives back what is a person's in a folder that was replaced, and removes the rest of it.
fn finish(old: &Path, place: &Path, objects: &Objects) -> io::Result<Vec<Renamed>> {
    let renamed = user_files::give_back(&old.join(WAS), place, objects)?;
    let _ = std::fs::remove_file(old.join(STAGE));
    std::fs::remove_dir(old)?;
    Ok(renamed)
}

/// Whether a folder is macula's: it says so, or is empty.
fn is_ours(place: &Path) -> bool {
    place.join(marker::FILE).exists() || std::fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none())
}

/// Verifies what the store has of a stage's outputs where they are not linked yet: nobody is handed a damaged file by a name.
///
/// # Errors
/// [`StoreError::Damaged`], or another of the store's.
pub fn verify(folder: &Path, engine: &Engine, id: StageId, known: &Known) -> Result<(), StoreError> {
    let (objects, place) = (&engine.store.objects, folder.join(&engine.stage(id).name));
    if is_linked(&place, known, objects)? {
        return Ok(());
    }
    let shown = read(known, objects)?;
    let changes = change::find(&place, &Marker::of(&known.outputs, objects), known, &shown, objects);
    let entries: Vec<&Entry> = match &changes {
        Some(changes) => changes.values().flat_map(|change| &change.new).map(|(_, entry)| *entry).collect(),
        None => shown.outputs.values().flat_map(|tree| tree.entries.values()).collect(),
    };
    objects.verify_all(&entries)
}

/// Whether a folder shows a stage's outputs as the store has them now.
fn is_linked(place: &Path, known: &Known, objects: &Objects) -> Result<bool, StoreError> {
    let (marker, linked) = (Marker::of(&known.outputs, objects), Marker::read(place));
    if !linked.same_trees(&marker) {
        return Ok(false);
    }
    let unharmed = linked.after == marker.after && known.outputs.values().any(is_large);
    if !unharmed && !shows(place, &read(known, objects)?, objects) {
        return Ok(false);
    }
    // That it can't be written only means looking at each file again, or linking each.
    if linked != marker {
        let path = place.join(marker::FILE);
        let readme = std::fs::read_to_string(&path).ok().and_then(|text| marker::readmes(&text).pop());
        let _ = disk::write_lightly(&path, marker.text(readme).as_bytes());
    }
    Ok(true)
}

/// Writes a file where there is none.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    match File::create_new(path) {
        Ok(mut file) => io::Write::write_all(&mut file, text.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Waits until no other process links below `folder`, and removes what one that died left there. Where the disk knows no locks,
/// there is no waiting and no removing.
#[must_use]
pub fn lock(folder: &Path, objects: &Objects) -> Option<File> {
    let held = flock::open(&folder.join(LOCK)).ok()?;
    disk::share(&held, &folder.join(LOCK));
    if flock::lock(&held, LockMode::Exclusive).ok()? != LockStatus::Held {
        return None;
    }
    // Another machine may have replaced what this one believes to be there.
    disk::revalidate_dirs(&[folder]);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        if name.to_string_lossy().starts_with(NEW) {
            let _ = std::fs::remove_dir_all(path);
        } else if name.to_string_lossy().starts_with(OLD) {
            sweep(folder, &path, objects);
        }
    }
    Some(held)
}

/// Finishes what a process that died had begun to replace. What can't be given back stays where it is.
fn sweep(folder: &Path, old: &Path, objects: &Objects) {
    if !old.join(WAS).join(marker::FILE).exists() {
        // An older macula was removing all of it, or there was nothing in it.
        let _ = std::fs::remove_dir_all(old);
        return;
    }
    let stage = std::fs::read_to_string(old.join(STAGE)).ok();
    // An older macula did not say which stage it was.
    let place = stage.filter(|stage| !stage.is_empty()).map_or_else(|| old.join("left"), |stage| folder.join(stage));
    if place.is_dir() || place.starts_with(old) {
        let _ = finish(old, &place, objects);
    } else if place.symlink_metadata().is_err() {
        // It died between two steps: what was there stays until all is linked again.
        let _ = std::fs::rename(old.join(WAS), &place).and_then(|()| std::fs::remove_dir_all(old));
    }
}

/// Beside the outputs the tables of their names, as links to the store's.
fn write_tables(place: &Path, marker: &Marker, objects: &Objects) -> io::Result<()> {
    for (port, shown) in &marker.ports {
        let path = place.join(user_files::table(port));
        let Some(object) = shown.object else { continue };
        if path.symlink_metadata().is_ok() {
            std::fs::remove_file(&path)?;
        }
        put(&object, &path, objects)?;
    }
    Ok(())
}

/// A result with its trees.
struct Shown<'a> {
    outputs: BTreeMap<&'a String, &'a Tree>,
    headline: &'a str,
}

fn read<'a>(known: &'a Known, objects: &Objects) -> Result<Shown<'a>, StoreError> {
    let outputs = known.outputs.iter().map(|(port, artifact)| Ok((port, artifact.tree(objects)?)));
    Ok(Shown { outputs: outputs.collect::<Result<_, StoreError>>()?, headline: &known.summary.headline })
}

/// Whether so many files were linked that looking at each takes longer than a run that has nothing to do: then it is enough that
/// nothing was put into quarantine since.
fn is_large(artifact: &Artifact) -> bool {
    artifact.object().is_some_and(|object| object.size >= 64 << 10)
}

/// Where a port's files lie within a stage's folder.
fn below(place: &Path, port: &str, known: &Shown) -> PathBuf {
    if known.outputs.len() > 1 { place.join(port) } else { place.to_owned() }
}

/// Whether every file is there and is what the store has now: an object that was damaged and made anew is another file, and the
/// link still leads to the damaged one.
fn shows(place: &Path, known: &Shown, objects: &Objects) -> bool {
    let mut files = known.outputs.iter().flat_map(|(port, tree)| {
        let folder = below(place, port, known);
        tree.entries.iter().map(move |(name, entry)| (folder.join(&*as_path(name)), entry))
    });
    files.all(|(path, entry)| is_of(&path, entry, objects))
}

fn is_of(path: &Path, entry: &Entry, objects: &Objects) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(shown) = path.metadata() else { return false };
    let stored =
        objects.own_facts(entry).or_else(|| objects.outside_path(entry).and_then(|object| object.metadata().ok()));
    stored.is_none_or(|stored| {
        // A copy on another disk is only looked at; one beside the store, which no link could be made to, is read.
        (shown.dev(), shown.ino()) == (stored.dev(), stored.ino())
            || shown.len() == entry.size
                && (shown.dev() != stored.dev()
                    || std::fs::read(path).is_ok_and(|bytes| Digest::of(&bytes) == entry.digest))
    })
}

fn fill<'a>(
    folder: &Path,
    entries: impl Iterator<Item = (&'a String, &'a Entry)>,
    objects: &Objects,
) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    let mut made = folder.clone();
    for (name, entry) in entries {
        let path = folder.join(&*as_path(name));
        if let Some(parent) = path.parent().filter(|parent| *parent != made) {
            std::fs::create_dir_all(parent)?;
            parent.clone_into(&mut made);
        }
        put(entry, &path, objects)?;
    }
    Ok(())
}

/// A hard link: programs go by a file's ending, and those that follow a symbolic link (browsers do) would find the object's
/// name, which has none. A file outside the store has its ending and is the user's to move: a symbolic link. Across file
/// systems small files are copied, large ones linked symbolically. What is there is never written through: it may be a link itself.
fn put(entry: &Entry, path: &Path, objects: &Objects) -> io::Result<()> {
    const SMALL: u64 = 16 << 20;
    let (object, stored) = match objects.verified_path(entry).map_err(io::Error::other)? {
        Location::Stored(object) => (object, true),
        Location::Outside(object) => (object, false),
    };
    if stored && std::fs::hard_link(&object, path).is_ok() {
        return Ok(());
    }
    let object = object.canonicalize()?;
    if (!stored || entry.size > SMALL) && std::os::unix::fs::symlink(&object, path).is_ok() {
        return Ok(());
    }
    let bytes = objects.read(entry).map_err(io::Error::other)?;
    disk::write_once(path, &bytes, 0o444).map_err(|error| {
        // The folder was made just now.
        if error.kind() != io::ErrorKind::AlreadyExists {
            return error;
        }
        let name = path.file_name().unwrap_or_default().display();
        io::Error::other(format!(
            "`{name}` and the name of another file differ in case alone, and are one on this disk"
        ))
    })
}

/// What a folder is, whatever it is called.
#[must_use]
pub fn identity(place: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    place.metadata().ok().map(|facts| (facts.dev(), facts.ino()))
}

/// Where the results of a pipeline are linked.
#[must_use]
pub fn folder(project: &Path, pipeline: &str) -> PathBuf {
    project.join("results").join(pipeline)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As on a disk where `A.png` and `a.png` are one: the second name is there when it is to be linked.
    #[test]
    fn what_is_linked_is_never_written_through() {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Objects::open(&folder.path().join("objects")).expect("a store");
        let name = folder.path().join("A.png");
        let [one, other] = ["one", "other"].map(|text| objects.put(text.as_bytes()).expect("put"));
        put(&one, &name, &objects).expect("linked");
        let error = put(&other, &name, &objects).expect_err("the name is taken");
        assert!(error.to_string().contains("`A.png` and the name of another file"), "{error}");
        assert_eq!(std::fs::read_to_string(&name).expect("there"), "one");
    }
}
