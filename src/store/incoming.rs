//! New objects of this process: the folder in which they wait until they are published; until then nobody else sees them.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::StoreError;
use crate::base::flock::{self, LockMode, LockStatus};
use crate::base::sync::lock;
use crate::base::{Digest, disk};

/// Age in nanoseconds (one day) from which a folder without a lock file counts as a dead process's.
const OLD: u64 = 86_400_000_000_000;

/// The folder of one process's new objects. Its lock shows other processes that this one is alive.
#[derive(Debug)]
pub(super) struct Incoming {
    // Dropped first: NFS keeps open files in their folder, which could not be removed otherwise.
    lock: File,
    folder: tempfile::TempDir,
}

impl Incoming {
    /// Its path.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its lock file, held; opened before any object was written.
    pub(super) fn lock(&self) -> Option<File> {
        self.lock.try_clone().ok()
    }

    /// A folder outside the store, for a store that is opened read-only.
    pub(super) fn aside() -> Result<Self, StoreError> {
        let root = std::env::temp_dir();
        let folder = tempfile::Builder::new().prefix("macula-").tempdir_in(&root);
        let folder = folder.map_err(StoreError::disk("create a folder in", &root))?;
        let lock = folder.path().join("lock");
        let file = File::create(&lock).map_err(StoreError::disk("create", &lock))?;
        Ok(Self { lock: file, folder })
    }

    pub(super) fn new(root: &Path) -> Result<Self, StoreError> {
        disk::make_folder(root).map_err(StoreError::disk("create", root))?;
        let folder = tempfile::Builder::new()
            .prefix(&format!("{}-", std::process::id()))
            .tempdir_in(root)
            .map_err(StoreError::disk("create a folder in", root))?;
        // Locked before it gets its name: other processes remove a folder whose lock nobody holds.
        let [unnamed, named] = ["lock.new", "lock"].map(|name| folder.path().join(name));
        let file = flock::open(&unnamed).map_err(StoreError::disk("create", &unnamed))?;
        flock::lock(&file, LockMode::TryExclusive).map_err(StoreError::disk("lock", &unnamed))?;
        std::fs::rename(&unnamed, &named).map_err(StoreError::disk("rename into", &named))?;
        Ok(Self { lock: file, folder })
    }
}

/// Removes the folders of dead processes: those whose lock nobody holds, and those without a lock that are old by the
/// disk's own clock. Failure is harmless.
pub(super) fn sweep(root: &Path) {
    let (Ok(folders), Ok(facts)) = (std::fs::read_dir(root), root.metadata()) else { return };
    for folder in folders.flatten().map(|folder| folder.path()) {
        let dead = match OpenOptions::new().read(true).write(true).open(folder.join("lock")) {
            Ok(file) => matches!(flock::lock(&file, LockMode::TryExclusive), Ok(LockStatus::Held)),
            // The process died between two steps. A later process gave the parent folder a newer time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                folder.metadata().is_ok_and(|own| disk::modified(&own).saturating_add(OLD) < disk::modified(&facts))
            }
            Err(_) => false,
        };
        if dead {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

/// Objects that this process wrote and has not published yet.
#[derive(Debug, Default)]
pub(super) struct Unpublished {
    /// Created with the first object.
    folder: Mutex<Option<Incoming>>,
    /// Digests and temporary files.
    pending: Mutex<BTreeMap<Digest, PathBuf>>,
    publishing: Mutex<()>,
}

impl Unpublished {
    /// The folder of new objects, created by `make` on first use.
    pub(super) fn folder(&self, make: impl FnOnce() -> Result<Incoming, StoreError>) -> Result<PathBuf, StoreError> {
        let mut folder = lock(&self.folder);
        let folder = match &mut *folder {
            Some(folder) => folder,
            none => none.insert(make()?),
        };
        Ok(folder.path().to_owned())
    }

    /// The lock file of the folder; opened before any object was written.
    pub(super) fn lock_file(&self) -> Option<File> {
        lock(&self.folder).as_ref().and_then(Incoming::lock)
    }

    /// Adds an object; the first of several files with the same bytes is kept.
    pub(super) fn add(&self, digest: Digest, path: PathBuf) {
        lock(&self.pending).entry(digest).or_insert(path);
    }

    /// Removes an object.
    pub(super) fn remove(&self, digest: &Digest) {
        lock(&self.pending).remove(digest);
    }

    /// Whether an object is waiting.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        lock(&self.pending).contains_key(digest)
    }

    /// The temporary file of an object.
    pub(super) fn path(&self, digest: &Digest) -> Option<PathBuf> {
        lock(&self.pending).get(digest).cloned()
    }

    /// All waiting objects and their temporary files.
    pub(super) fn all(&self) -> Vec<(Digest, PathBuf)> {
        lock(&self.pending).iter().map(|(digest, path)| (*digest, path.clone())).collect()
    }

    /// Held while publishing, so that two threads do not rename the same file.
    pub(super) fn publishing(&self) -> MutexGuard<'_, ()> {
        lock(&self.publishing)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn age(path: &Path, hours: u64) {
        let time = UNIX_EPOCH + Duration::from_secs(1_800_000_000 - hours * 3600);
        File::open(path).and_then(|folder| folder.set_modified(time)).expect("a time");
    }

    #[test]
    fn a_folder_of_new_objects_goes_with_its_process_or_after_it() {
        let place = tempfile::tempdir().expect("a folder");
        let root = place.path().join("incoming");
        let living = Incoming::new(&root).expect("made");
        let killed = Incoming::new(&root).expect("made");
        let left = killed.path().to_owned();
        std::fs::write(left.join("object"), "bytes").expect("written");
        let Incoming { lock, folder } = killed;
        let _ = folder.keep();
        sweep(&root);
        assert!(left.exists(), "its lock is held");
        drop(lock);
        sweep(&root);
        assert!(!left.exists() && living.path().exists());
        let path = living.path().to_owned();
        drop(living);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_never_got_its_lock_goes_when_it_is_old_by_the_disks_clock() {
        let place = tempfile::tempdir().expect("a folder");
        let [new, old] = ["new", "old"].map(|name| place.path().join(name));
        for folder in [&new, &old] {
            std::fs::create_dir(folder).expect("made");
        }
        age(&new, 23);
        age(&old, 25);
        // Another clock: nobody came for long.
        age(place.path(), 24);
        sweep(place.path());
        assert!(old.exists());
        age(place.path(), 0);
        sweep(place.path());
        assert!(new.exists() && !old.exists());
    }
}
