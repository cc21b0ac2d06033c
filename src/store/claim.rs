//! Claims: who computes a key. A claim is a locked file, so it ends with its process whatever happens to that.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::action::{self, Record};
use super::{Layout, Objects, StoreError};
use crate::base::{Digest, disk};

/// The right and the duty to compute a key. Committing it is the only way to record a result; dropping it gives it back, and
/// what lies in [`Claim::partial`] waits for the next holder.
#[derive(Debug)]
pub struct Claim {
    key: Digest,
    path: PathBuf,
    layout: Layout,
    _lock: File,
}

impl Claim {
    /// Claims `key`; [`None`] where another holds it.
    pub(super) fn take(layout: &Layout, key: &Digest) -> Result<Option<Self>, StoreError> {
        let path = layout.claim(key);
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                // Never through a link, which could lead out of the store.
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
                .open(&path)
                .map_err(StoreError::disk("write", &path))?;
            disk::share(&file, &path);
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(StoreError::Disk { doing: "lock", path, error: error.into() }),
            }
            // The former holder removes the file while it holds the lock; then this one locks a file without a name.
            if same_file(&file, &path) {
                return Ok(Some(Self { key: *key, path, layout: layout.clone(), _lock: file }));
            }
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &Digest {
        &self.key
    }

    /// The folder for checkpoints of this key, with what an earlier holder left there.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn partial(&self) -> Result<PathBuf, StoreError> {
        let folder = self.layout.partial(&self.key);
        // What a link leads to is not the store's to write into.
        if folder.is_symlink() {
            std::fs::remove_file(&folder).map_err(StoreError::disk("delete", &folder))?;
        }
        disk::make_folder(&folder).map_err(StoreError::disk("create", &folder))?;
        Ok(folder)
    }

    /// Records a result: brings its objects to the disk, then the record, then lets go of the checkpoints.
    ///
    /// # Errors
    /// [`StoreError::Disk`]; then nothing is recorded.
    pub fn commit(self, objects: &Objects, record: &Record) -> Result<(), StoreError> {
        objects.publish()?;
        action::write(&self.layout.action(&self.key, &record.class), record)?;
        // The result stands. What is left over is swept by the next claim of the key or by collection.
        let _ = std::fs::remove_dir_all(self.layout.partial(&self.key));
        let _ = std::fs::remove_file(&self.path);
        Ok(())
    }
}

/// Whether a living process computes `key`.
pub(super) fn held(layout: &Layout, key: &Digest) -> bool {
    File::open(layout.claim(key))
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK))
}

fn same_file(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(named)) = (file.metadata(), path.metadata()) else { return false };
    (held.dev(), held.ino()) == (named.dev(), named.ino())
}
