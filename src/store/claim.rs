//! Claims: which process computes a key. A claim is a locked file, so it ends with its process, however that ends.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::action::{self, Record};
use super::{Layout, Objects, StoreError};
use crate::base::flock::{self, LockMode, LockStatus};
use crate::base::{Digest, disk};

/// The exclusive right to compute a key. Committing it is the only way to record a result; dropping it releases the
/// key, and the checkpoints in [`Claim::partial`] wait for the next holder.
#[derive(Debug)]
pub struct Claim {
    key: Digest,
    path: PathBuf,
    layout: Layout,
    status: LockStatus,
    lock: File,
}

impl Claim {
    /// Claims `key`; [`None`] if another process holds it.
    pub(super) fn take(layout: &Layout, key: &Digest) -> Result<Option<Self>, StoreError> {
        let path = layout.claim(key);
        loop {
            let file = flock::open(&path).map_err(StoreError::disk("write", &path))?;
            disk::share(&file, &path);
            let status = flock::lock(&file, LockMode::TryExclusive).map_err(StoreError::disk("lock", &path))?;
            if status == LockStatus::Busy {
                return Ok(None);
            }
            // The previous holder removes the file while holding the lock; then this lock is on a file without a name.
            if same_file(&file, &path) {
                return Ok(Some(Self { key: *key, path, layout: layout.clone(), status, lock: file }));
            }
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &Digest {
        &self.key
    }

    /// Whether the claim keeps other processes out: the file system supports locks.
    #[must_use]
    pub fn excludes(&self) -> bool {
        self.status == LockStatus::Held
    }

    /// The folder for checkpoints of this key, with those of an earlier holder.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn partial(&self) -> Result<PathBuf, StoreError> {
        let folder = self.layout.partial(&self.key);
        // The earlier holder may have run on another machine.
        disk::revalidate_dirs(&[&self.layout.all_partial(), &folder]);
        // Never write through a symbolic link: its target is not the store's.
        if folder.is_symlink() {
            std::fs::remove_file(&folder).map_err(StoreError::disk("delete", &folder))?;
        }
        disk::make_folder(&folder).map_err(StoreError::disk("create", &folder))?;
        Ok(folder)
    }

    /// Releases the key and deletes its checkpoints.
    pub(super) fn discard(self) {
        // Whatever is left is found again by the next collection.
        let _ = std::fs::remove_dir_all(self.layout.partial(&self.key));
        let _ = std::fs::remove_file(&self.path);
    }

    /// Records a result: flushes its objects to disk, writes the record, deletes the checkpoints.
    ///
    /// # Errors
    /// [`StoreError::Disk`]; then nothing is recorded.
    pub fn commit(self, objects: &Objects, record: &Record) -> Result<(), StoreError> {
        let _span = tracing::debug_span!(target: "macula::store", "commit", key = %self.key).entered();
        objects.publish()?;
        action::write(&self.layout.action(&self.key, &record.target), record)?;
        // The result is recorded. The next claim of the key or collection removes what is left here.
        let _ = std::fs::remove_dir_all(self.layout.partial(&self.key));
        let _ = std::fs::remove_file(&self.path);
        Ok(())
    }
}

/// Closing the file is not enough: a command that is being started has a copy of it until it runs, and with it the lock.
impl Drop for Claim {
    fn drop(&mut self) {
        let _ = flock::unlock(&self.lock);
    }
}

/// Whether a running process computes `key`.
pub(super) fn held(layout: &Layout, key: &Digest) -> bool {
    let file = File::open(layout.claim(key));
    file.is_ok_and(|file| matches!(flock::lock(&file, LockMode::TryShared), Ok(LockStatus::Busy)))
}

fn same_file(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(named)) = (file.metadata(), path.metadata()) else { return false };
    (held.dev(), held.ino()) == (named.dev(), named.ino())
}
