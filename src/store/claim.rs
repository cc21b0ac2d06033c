//! Claims: who computes a key. A claim is a locked file, so it ends with its process whatever happens to that.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::action::{self, Record};
use super::{Layout, Objects, StoreError};
use crate::base::flock::{self, LockMode, LockStatus};
use crate::base::{Digest, disk};

/// The right and the duty to compute a key. Committing it is the only way to record a result; dropping it gives it back, and
/// what lies in [`Claim::partial`] waits for the next holder.
#[derive(Debug)]
pub struct Claim {
    key: Digest,
    path: PathBuf,
    layout: Layout,
    status: LockStatus,
    _lock: File,
}

impl Claim {
    /// Claims `key`; [`None`] where another holds it.
    pub(super) fn take(layout: &Layout, key: &Digest) -> Result<Option<Self>, StoreError> {
        let path = layout.claim(key);
        loop {
            let file = flock::open(&path).map_err(StoreError::disk("write", &path))?;
            disk::share(&file, &path);
            let locked = flock::lock(&file, LockMode::TryExclusive).map_err(StoreError::disk("lock", &path))?;
            if locked == LockStatus::Busy {
                return Ok(None);
            }
            // The former holder removes the file while it holds the lock; then this one locks a file without a name.
            if same_file(&file, &path) {
                return Ok(Some(Self { key: *key, path, layout: layout.clone(), locked, _lock: file }));
            }
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &Digest {
        &self.key
    }

    /// Whether others are kept from computing the key meanwhile: the disk knows locks.
    #[must_use]
    pub fn excludes(&self) -> bool {
        self.locked == LockStatus::Held
    }

    /// The folder for checkpoints of this key, with what an earlier holder left there.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn partial(&self) -> Result<PathBuf, StoreError> {
        let folder = self.layout.partial(&self.key);
        // What another machine left there is gone on from.
        disk::revalidate_dirs(&[&self.layout.all_partial(), &folder]);
        // What a link leads to is not the store's to write into.
        if folder.is_symlink() {
            std::fs::remove_file(&folder).map_err(StoreError::disk("delete", &folder))?;
        }
        disk::make_folder(&folder).map_err(StoreError::disk("create", &folder))?;
        Ok(folder)
    }

    /// Lets go of the key and of the checkpoints that lie there.
    pub(super) fn discard(self) {
        // What stays is old again the next time.
        let _ = std::fs::remove_dir_all(self.layout.partial(&self.key));
        let _ = std::fs::remove_file(&self.path);
    }

    /// Records a result: brings its objects to the disk, then the record, then lets go of the checkpoints.
    ///
    /// # Errors
    /// [`StoreError::Disk`]; then nothing is recorded.
    pub fn commit(self, objects: &Objects, record: &Record) -> Result<(), StoreError> {
        objects.publish()?;
        action::write(&self.layout.action(&self.key, &record.target), record)?;
        // The result stands. What is left over is swept by the next claim of the key or by collection.
        let _ = std::fs::remove_dir_all(self.layout.partial(&self.key));
        let _ = std::fs::remove_file(&self.path);
        Ok(())
    }
}

/// Whether a living process computes `key`.
pub(super) fn held(layout: &Layout, key: &Digest) -> bool {
    let file = File::open(layout.claim(key));
    file.is_ok_and(|file| matches!(flock::lock(&file, LockMode::TryShared), Ok(LockStatus::Busy)))
}

fn same_file(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(named)) = (file.metadata(), path.metadata()) else { return false };
    (held.dev(), held.ino()) == (named.dev(), named.ino())
}
