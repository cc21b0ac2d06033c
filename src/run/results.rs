//! `results/<pipeline>/<stage>/`: the latest outputs under readable names, as links into the store.

mod change;
mod marker;
mod owner;
mod readme;
mod user_files;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use marker::Marker;
pub(super) use owner::own;
pub use owner::owner;
use user_files::README;
pub use user_files::Renamed;

use crate::base::flock::{self, LockMode, LockStatus};
use crate::base::{Digest, disk};
use crate::plan::{Engine, StageId, StageResult};
use crate::store::{Artifact, Entry, Location, Objects, StoreError, Tree, as_path};

/// Prefixes of folders being built and being replaced. Once the lock is held, such folders were left by dead processes.
const NEW: &str = ".new-";
const OLD: &str = ".old-";

/// In a folder being replaced: the previous content.
const WAS: &str = "was";

/// Lock file for linking. Locks on folders are not visible to other machines.
const LOCK: &str = ".lock";

/// In a folder being replaced: the name of its stage, for whoever finishes that.
const STAGE: &str = "stage";

/// Links a stage's outputs below `folder`. Up-to-date links and users' files are left alone; a user's file in the way
/// is renamed, and the new name is returned. Hold the folder's lock ([`lock()`]).
///
/// # Errors
/// The system's error.
pub fn link(folder: &Path, engine: &Engine, id: StageId, known: &StageResult) -> io::Result<Vec<Renamed>> {
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
    // Outputs may refer to users' files.
    engine.locate(id).map_err(io::Error::other)?;
    std::fs::create_dir_all(folder)?;
    let there = place.symlink_metadata().ok();
    // Never replace what a user put there.
    let theirs = |facts: &std::fs::Metadata| !facts.is_dir() || !is_ours(&place);
    if there.as_ref().is_some_and(theirs) {
        return Err(io::Error::other(format!("`{}` was not created by macula", place.display())));
    }
    let fresh = tempfile::Builder::new().prefix(NEW).tempdir_in(folder)?;
    for (port, tree) in &shown.outputs {
        fill(&below(fresh.path(), port, &shown), tree.entries.iter(), objects)?;
    }
    // An output may have one of these names: then it is a link, and writing would go through it into the store.
    write_new(&fresh.path().join(README), &readme)?;
    write_tables(fresh.path(), &marker, objects)?;
    let _ = std::fs::remove_file(fresh.path().join(marker::FILE));
    write_new(&fresh.path().join(marker::FILE), &marker.text(Some(Digest::of(readme.as_bytes()))))?;
    disk::permit(&File::open(fresh.path())?, 0o755)?;
    if there.is_none() {
        return std::fs::rename(fresh.keep(), &place).map(|()| Vec::new());
    }
    // Renamed in one step: after a kill it is clear what is macula's, and users' files in it can be moved back.
    let old = tempfile::Builder::new().prefix(OLD).tempdir_in(folder)?;
    std::fs::write(old.path().join(STAGE), name)?;
    std::fs::rename(&place, old.path().join(WAS))?;
    let old = old.keep();
    std::fs::rename(fresh.keep(), &place)?;
    finish(&old, &place, objects)
}

/// Moves users' files out of a replaced folder and removes the rest.
fn finish(old: &Path, place: &Path, objects: &Objects) -> io::Result<Vec<Renamed>> {
    let renamed = user_files::give_back(&old.join(WAS), place, objects)?;
    let _ = std::fs::remove_file(old.join(STAGE));
    std::fs::remove_dir(old)?;
    Ok(renamed)
}

/// Folder of the images that `macula show` writes next to a stage's outputs, maybe before these are linked.
pub const PICTURES: &str = "pictures";

/// Whether a folder is macula's: it has a marker, or holds nothing but the images of `show`.
fn is_ours(place: &Path) -> bool {
    let only_pictures = |entries: std::fs::ReadDir| entries.flatten().all(|entry| entry.file_name() == PICTURES);
    place.join(marker::FILE).exists() || std::fs::read_dir(place).is_ok_and(only_pictures)
}

/// Verifies a stage's outputs in the store unless they are linked already, so that no damaged file gets a readable
/// name.
///
/// # Errors
/// [`StoreError::Damaged`], or another error of the store.
pub fn verify(folder: &Path, engine: &Engine, id: StageId, known: &StageResult) -> Result<(), StoreError> {
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
fn is_linked(place: &Path, known: &StageResult, objects: &Objects) -> Result<bool, StoreError> {
    let (marker, linked) = (Marker::of(&known.outputs, objects), Marker::read(place));
    if !linked.same_trees(&marker) {
        return Ok(false);
    }
    let unharmed = linked.after == marker.after && known.outputs.values().any(is_large);
    if !unharmed && !shows(place, &read(known, objects)?, objects) {
        return Ok(false);
    }
    // A failed write only costs a full check or relinking later.
    if linked != marker {
        let path = place.join(marker::FILE);
        let readme = std::fs::read_to_string(&path).ok().and_then(|text| marker::readmes(&text).pop());
        let _ = disk::write_lightly(&path, marker.text(readme).as_bytes());
    }
    Ok(true)
}

/// Writes a file unless it exists.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    match File::create_new(path) {
        Ok(mut file) => io::Write::write_all(&mut file, text.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Waits until no other process links below `folder`, and cleans up after dead processes. Without file locks, does
/// neither.
#[must_use]
pub fn lock(folder: &Path, objects: &Objects) -> Option<File> {
    let held = flock::open(&folder.join(LOCK)).ok()?;
    disk::share(&held, &folder.join(LOCK));
    if flock::lock(&held, LockMode::Exclusive).ok()? != LockStatus::Held {
        return None;
    }
    // Another machine may have replaced what is cached here.
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

/// Finishes a replacement that a dead process began. What cannot be moved stays where it is.
fn sweep(folder: &Path, old: &Path, objects: &Objects) {
    if !old.join(WAS).join(marker::FILE).exists() {
        // An older version was removing all of it, or it was empty.
        let _ = std::fs::remove_dir_all(old);
        return;
    }
    let stage = std::fs::read_to_string(old.join(STAGE)).ok();
    // Older versions did not write the stage's name.
    let place = stage.filter(|stage| !stage.is_empty()).map_or_else(|| old.join("left"), |stage| folder.join(stage));
    if place.is_dir() || place.starts_with(old) {
        let _ = finish(old, &place, objects);
    } else if place.symlink_metadata().is_err() {
        // The process died between two steps: the previous content stays until everything is linked again.
        let _ = std::fs::rename(old.join(WAS), &place).and_then(|()| std::fs::remove_dir_all(old));
    }
}

/// Links the tables of names next to the outputs.
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
struct ShownResult<'a> {
    outputs: BTreeMap<&'a String, &'a Tree>,
    headline: &'a str,
}

fn read<'a>(known: &'a StageResult, objects: &Objects) -> Result<ShownResult<'a>, StoreError> {
    let outputs = known.outputs.iter().map(|(port, artifact)| Ok((port, artifact.tree(objects)?)));
    Ok(ShownResult { outputs: outputs.collect::<Result<_, StoreError>>()?, headline: &known.summary.headline })
}

/// Whether checking every linked file would take longer than an up-to-date run: then it is enough that nothing was
/// quarantined since.
fn is_large(artifact: &Artifact) -> bool {
    artifact.object().is_some_and(|object| object.size >= 64 << 10)
}

/// The folder of a port's files within a stage's folder.
fn below(place: &Path, port: &str, known: &ShownResult) -> PathBuf {
    if known.outputs.len() > 1 { place.join(port) } else { place.to_owned() }
}

/// Whether every file exists and is what the store has now: a repaired object is a different file, and the old link
/// still leads to the damaged one.
fn shows(place: &Path, known: &ShownResult, objects: &Objects) -> bool {
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
        // A copy on another file system is only checked by size; one on the store's, where no link could be made, is
        // read.
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

/// Links an object: a hard link, because programs go by a file's extension, and those that follow symbolic links
/// (browsers do) would see the object's name, which has none. Users' files have their extension and may be moved: a
/// symbolic link. Across file systems, small files are copied and large ones linked symbolically. Existing files are
/// never written through: they may be links.
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
        // The folder was created just now.
        if error.kind() != io::ErrorKind::AlreadyExists {
            return error;
        }
        let name = path.file_name().unwrap_or_default().display();
        io::Error::other(format!("`{name}` and another file name differ only in case and collide on this file system"))
    })
}

/// A folder's identity under any name: device and inode.
#[must_use]
pub fn identity(place: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    place.metadata().ok().map(|facts| (facts.dev(), facts.ino()))
}

/// The folder of a pipeline's results.
#[must_use]
pub fn folder(project: &Path, pipeline: &str) -> PathBuf {
    project.join("results").join(pipeline)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As on a case-insensitive file system, where `A.png` and `a.png` are one: the second name already exists.
    #[test]
    fn what_is_linked_is_never_written_through() {
        let folder = tempfile::tempdir().expect("a folder");
        let objects = Objects::open(&folder.path().join("objects")).expect("a store");
        let name = folder.path().join("A.png");
        let [one, other] = ["one", "other"].map(|text| objects.put(text.as_bytes()).expect("put"));
        put(&one, &name, &objects).expect("linked");
        let error = put(&other, &name, &objects).expect_err("the name is taken");
        assert!(error.to_string().contains("`A.png` and another file name"), "{error}");
        assert_eq!(std::fs::read_to_string(&name).expect("there"), "one");
    }
}
