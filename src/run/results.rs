//! `results/<pipeline>/<stage>/`: the last outputs under names that people know, as links into the store.

mod change;
mod readme;
mod stamp;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use stamp::Stamp;

use crate::base::lock::{self, Ask, Locked};
use crate::base::{Digest, disk};
use crate::plan::{Engine, Known, StageId};
use crate::store::{Artifact, Entry, Objects, StoreError, Tree};

/// What is being made, and what is on its way out. Nobody's once the folder's lock is held: their process died.
const NEW: &str = ".new-";
const OLD: &str = ".old-";

/// Held while results are linked: other machines see locks of files alone, not of folders.
const LOCK: &str = ".lock";

/// Links a stage's outputs below `folder`. Outputs that are linked there already are left alone. Hold the folder's lock ([`lock()`]).
///
/// # Errors
/// What the system says.
pub fn link(folder: &Path, engine: &Engine, id: StageId, known: &Known) -> io::Result<()> {
    let (objects, place) = (&engine.store.objects, folder.join(&engine.stage(id).name));
    if is_linked(&place, known, objects).map_err(io::Error::other)? {
        return Ok(());
    }
    let (stamp, shown) = (Stamp::of(&known.outputs, objects), read(known, objects).map_err(io::Error::other)?);
    let readme = readme::text(&engine.stage(id).name, &shown);
    if let Some(changes) = change::find(&place, &stamp, known, &shown, objects) {
        let new = || changes.values().flat_map(|change| &change.new);
        if new().any(|(_, entry)| objects.locate(entry).is_none()) {
            engine.locate(id).map_err(io::Error::other)?;
        }
        let path = place.join("README.txt");
        let made = change::make(&place, &shown, &changes, objects);
        let made = made.and_then(|()| disk::write_lightly(&path, readme.as_bytes()));
        if made.and_then(|()| disk::write_lightly(&place.join(stamp::FILE), stamp.text().as_bytes())).is_ok() {
            return Ok(());
        }
    }
    // Outputs may name files of the user's.
    engine.locate(id).map_err(io::Error::other)?;
    std::fs::create_dir_all(folder)?;
    let fresh = tempfile::Builder::new().prefix(NEW).tempdir_in(folder)?;
    for (port, tree) in &shown.outputs {
        fill(&below(fresh.path(), port, &shown), tree.entries.iter(), objects)?;
    }
    // An output may have one of these names: it is a link then, and writing would go through it into the store.
    write_new(&fresh.path().join("README.txt"), &readme)?;
    let _ = std::fs::remove_file(fresh.path().join(stamp::FILE));
    write_new(&fresh.path().join(stamp::FILE), &stamp.text())?;
    disk::permit(&File::open(fresh.path())?, 0o755)?;
    if place.exists() {
        // What a person put there is not macula's to delete.
        if !place.join(stamp::FILE).exists() && std::fs::read_dir(&place)?.next().is_some() {
            return Err(io::Error::other(format!("`{}` was not made by macula", place.display())));
        }
        // Out of the way in one step: what a kill leaves of it can't be taken for a person's.
        let old = tempfile::Builder::new().prefix(OLD).tempdir_in(folder)?;
        std::fs::rename(&place, old.path().join("was"))?;
        std::fs::rename(fresh.keep(), &place)?;
        return old.close();
    }
    std::fs::rename(fresh.keep(), &place)
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
    if let Some(changes) = change::find(&place, &Stamp::of(&known.outputs, objects), known, &shown, objects) {
        let mut new = changes.values().flat_map(|change| &change.new);
        return new.try_for_each(|(_, entry)| objects.verify_stored(entry));
    }
    shown.outputs.values().flat_map(|tree| tree.entries.values()).try_for_each(|entry| objects.verify_stored(entry))
}

/// Whether a folder shows a stage's outputs as the store has them now.
fn is_linked(place: &Path, known: &Known, objects: &Objects) -> Result<bool, StoreError> {
    let (stamp, linked) = (Stamp::of(&known.outputs, objects), Stamp::read(place));
    if !linked.same_trees(&stamp) {
        return Ok(false);
    }
    let unharmed = linked.after == stamp.after && known.outputs.values().any(is_large);
    if !unharmed && !shows(place, &read(known, objects)?, objects) {
        return Ok(false);
    }
    // That it can't be written only means looking at each file again, or linking each.
    let _ = (linked != stamp).then(|| disk::write_lightly(&place.join(stamp::FILE), stamp.text().as_bytes()));
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
pub fn lock(folder: &Path) -> Option<File> {
    let held = lock::open(&folder.join(LOCK)).ok()?;
    disk::share(&held, &folder.join(LOCK));
    if lock::lock(&held, Ask::Alone).ok()? != Locked::Held {
        return None;
    }
    // Another machine may have replaced what this one believes to be there.
    disk::look_anew(&[folder]);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if [NEW, OLD].iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Some(held)
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
        tree.entries.iter().map(move |(name, entry)| (folder.join(name), entry))
    });
    files.all(|(path, entry)| is_of(&path, entry, objects))
}

fn is_of(path: &Path, entry: &Entry, objects: &Objects) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(shown) = path.metadata() else { return false };
    let stored = objects.locate(entry).and_then(|object| object.metadata().ok());
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
        let path = folder.join(name);
        if let Some(parent) = path.parent().filter(|parent| *parent != made) {
            std::fs::create_dir_all(parent)?;
            parent.clone_into(&mut made);
        }
        let object =
            objects.locate(entry).ok_or_else(|| io::Error::other(format!("`{name}` is not there any more")))?;
        place(&object, &path, entry.size)?;
    }
    Ok(())
}

/// A hard link: programs go by a file's ending, and those that follow a symbolic link (browsers do) would find the object's
/// name, which has none. A file outside the store has its ending and is the user's to move: a symbolic link. Across file
/// systems small files are copied, large ones linked symbolically. What is there is never written through: it may be a link itself.
fn place(object: &Path, path: &Path, size: u64) -> io::Result<()> {
    const SMALL: u64 = 16 << 20;
    let bare = object.extension().is_none();
    if bare && std::fs::hard_link(object, path).is_ok() {
        return Ok(());
    }
    let object = &object.canonicalize()?;
    if (!bare || size > SMALL) && std::os::unix::fs::symlink(object, path).is_ok() {
        return Ok(());
    }
    disk::copy_new(object, path).map_err(|error| {
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
        let [one, other, name] = ["one", "other", "A.png"].map(|name| folder.path().join(name));
        std::fs::write(&one, "one").expect("written");
        std::fs::write(&other, "other").expect("written");
        place(&one, &name, 3).expect("linked");
        let error = place(&other, &name, 5).expect_err("the name is taken");
        assert!(error.to_string().contains("`A.png` and the name of another file"), "{error}");
        assert_eq!(std::fs::read_to_string(&one).expect("there"), "one");
    }
}
