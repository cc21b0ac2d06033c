//! The only way to get an object's path out of the store (for `results/`, commands, `get`): this process has read or
//! written its bytes, they matched the digest, and the file is unchanged since.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;

use super::{Entry, Objects, StoreError, lock};
use crate::base::{Digest, disk};

/// Location of an entry's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the store: verified by this process; must never be written to.
    Stored(PathBuf),
    /// Outside the store, where a source found them: the user may change them at any time, and [`Objects::read`]
    /// verifies them.
    Outside(PathBuf),
}

/// File facts at the time when the bytes matched the digest. A file that was replaced or written to since differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VerifiedFacts {
    inode: u64,
    modified: u64,
}

impl VerifiedFacts {
    pub(super) fn of(facts: &Metadata) -> Self {
        Self { inode: facts.ino(), modified: disk::modified(facts) }
    }
}

/// Objects whose bytes matched the digest in this process, with their file facts at that time.
#[derive(Debug, Default)]
pub(super) struct Intact {
    /// Objects that were read.
    verified: Mutex<BTreeMap<Digest, VerifiedFacts>>,
    /// Objects that were written.
    written: Mutex<BTreeMap<Digest, VerifiedFacts>>,
}

impl Intact {
    /// Notes that an object was read and verified.
    pub(super) fn note_verified(&self, digest: &Digest, seen: VerifiedFacts) {
        lock(&self.verified).insert(*digest, seen);
    }

    /// Notes that an object was written.
    fn note_written(&self, digest: &Digest, seen: VerifiedFacts) {
        lock(&self.written).insert(*digest, seen);
    }

    /// Whether an object was read and verified, and its file is unchanged since.
    pub(super) fn is_verified(&self, digest: &Digest, seen: VerifiedFacts) -> bool {
        lock(&self.verified).get(digest) == Some(&seen)
    }

    /// Whether an object was verified or written, and its file is unchanged since.
    fn has(&self, digest: &Digest, seen: VerifiedFacts) -> bool {
        self.is_verified(digest, seen) || lock(&self.written).get(digest) == Some(&seen)
    }

    /// Forgets an object that is damaged now.
    pub(super) fn forget(&self, digest: &Digest) {
        lock(&self.verified).remove(digest);
        lock(&self.written).remove(digest);
    }
}

impl Objects {
    /// Location of an entry's bytes; those in the store are verified by this process. Every path that leaves the store
    /// comes from here.
    ///
    /// # Errors
    /// As [`Objects::read`].
    pub fn verified_path(&self, entry: &Entry) -> Result<Location, StoreError> {
        if let Some(path) = self.own_path(&entry.digest) {
            if !self.is_known(entry, &path) {
                self.read(entry)?;
            }
            return Ok(Location::Stored(path));
        }
        if let Some(path) = self.outside_path(entry) {
            return Ok(Location::Outside(path));
        }
        // A remote may have it.
        self.read(entry)?;
        let path = self.own_path(&entry.digest).ok_or(StoreError::Missing { digest: entry.digest })?;
        Ok(Location::Stored(path))
    }

    /// Verifies the store's own objects among `entries` that this process has not verified yet, on the current thread
    /// pool. All damaged ones go to quarantine.
    ///
    /// # Errors
    /// The first error, as of [`Objects::read`].
    pub fn verify_all(&self, entries: &[&Entry]) -> Result<(), StoreError> {
        let verified: Vec<Result<(), StoreError>> = entries
            .par_iter()
            .map(|entry| match self.own_path(&entry.digest) {
                Some(path) if !self.is_known(entry, &path) => self.read(entry).map(drop),
                _ => Ok(()),
            })
            .collect();
        verified.into_iter().collect()
    }

    /// A path of an entry's bytes outside the store; [`None`] if no such file exists. For messages use
    /// [`Objects::outside`], which picks the right one of several.
    #[must_use]
    pub fn outside_path(&self, entry: &Entry) -> Option<PathBuf> {
        let paths = lock(&self.external).paths(&entry.digest);
        paths.into_iter().find(|path| path.exists())
    }

    /// Metadata of the store's own object, if it exists. Its bytes may be damaged.
    #[must_use]
    pub fn own_facts(&self, entry: &Entry) -> Option<Metadata> {
        self.own_path(&entry.digest)?.metadata().ok()
    }

    /// Metadata of the damaged bytes of an object in quarantine.
    #[must_use]
    pub fn quarantined(&self, digest: &Digest) -> Option<Metadata> {
        self.quarantine.facts(digest)
    }

    /// Path of the store's own object: final or still pending.
    pub(super) fn own_path(&self, digest: &Digest) -> Option<PathBuf> {
        let place = Some(self.place(digest)).filter(|place| !self.is_stuck(digest) && place.exists());
        let pending = || self.unpublished.path(digest).filter(|path| path.exists());
        place.or_else(pending).or_else(|| self.revalidated_path(digest))
    }

    /// Whether the bytes at `path` matched the digest in this process and the file is unchanged since.
    fn is_known(&self, entry: &Entry, path: &Path) -> bool {
        let Ok(facts) = path.metadata() else { return false };
        facts.len() == entry.size && self.intact.has(&entry.digest, VerifiedFacts::of(&facts))
    }

    /// Remembers that this process wrote these bytes and knows their digest.
    pub(super) fn note_written(&self, entry: &Entry, facts: &Metadata) {
        self.intact.note_written(&entry.digest, VerifiedFacts::of(facts));
    }

    /// Whether an object is damaged and could not be moved to quarantine: its file is ignored.
    pub(super) fn is_stuck(&self, digest: &Digest) -> bool {
        self.quarantine.is_stuck(digest)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn stored(objects: &Objects, bytes: &[u8]) -> Entry {
        let entry = objects.put(bytes).expect("put");
        objects.publish().expect("published");
        entry
    }

    fn overwrite(path: &Path, bytes: &[u8]) {
        fs::remove_file(path).expect("removed");
        fs::write(path, bytes).expect("written");
    }

    #[test]
    fn no_path_leaves_the_store_before_its_bytes_were_verified() {
        let place = tempfile::tempdir().expect("a folder");
        let objects = Objects::open(&place.path().join("objects")).expect("a store");
        for bytes in [vec![b'x'; 20], vec![b'y'; 100_000]] {
            let entry = stored(&objects, &bytes);
            let path = objects.place(&entry.digest);
            assert_eq!(objects.verified_path(&entry).expect("there"), Location::Stored(path.clone()));
            // Another process verifies it, and finds it damaged after it was replaced.
            let other = Objects::open(&place.path().join("objects")).expect("a store");
            assert_eq!(other.verified_path(&entry).expect("there"), Location::Stored(path.clone()));
            overwrite(&path, &bytes[1..]);
            assert!(matches!(other.verified_path(&entry), Err(StoreError::Damaged { .. })));
            assert!(!path.exists(), "it is in quarantine");
        }
    }

    #[test]
    fn all_that_is_damaged_is_found_at_once() {
        let place = tempfile::tempdir().expect("a folder");
        let root = place.path().join("objects");
        let objects = Objects::open(&root).expect("a store");
        let entries: Vec<Entry> = (0..6_u8).map(|at| stored(&objects, &[at; 9])).collect();
        let other = Objects::open(&root).expect("a store");
        for entry in [entries[1], entries[4]] {
            overwrite(&other.place(&entry.digest), b"wrong....");
        }
        let all: Vec<&Entry> = entries.iter().collect();
        let error = other.verify_all(&all).expect_err("two are damaged");
        assert!(matches!(error, StoreError::Damaged { digest, .. } if digest == entries[1].digest), "{error}");
        let left: Vec<bool> = entries.iter().map(|entry| other.place(&entry.digest).exists()).collect();
        assert_eq!(left, [true, false, true, true, false, true]);
    }

    /// As in a folder without write permission: here a file blocks the quarantine folder.
    #[test]
    fn what_cannot_be_moved_out_of_the_way_is_not_taken_for_the_object() {
        let place = tempfile::tempdir().expect("a folder");
        let root = place.path().join("objects");
        let entry = stored(&Objects::open(&root).expect("a store"), b"right");
        let objects = Objects::open(&root).expect("a store");
        overwrite(&objects.place(&entry.digest), b"wrong");
        fs::set_permissions(objects.place(&entry.digest), fs::Permissions::from_mode(0o444)).expect("permitted");
        fs::write(root.join("quarantine"), "").expect("written");
        assert!(objects.read(&entry).is_err());
        assert!(!objects.holds(&entry), "what lies there is wrong");
        objects.put(b"right").expect("put");
        assert_eq!(&*objects.read(&entry).expect("from where it waits"), b"right");
        objects.publish().expect("it takes the place of the damaged one");
        assert_eq!(fs::read(objects.place(&entry.digest)).expect("there"), b"right");
        assert!(objects.holds(&entry));
    }
}
