//! The folder where one process's new objects wait. Knows no digest.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::StoreError;
use crate::base::disk;

/// The folder of one process's new objects. Its lock tells others that the process is alive.
#[derive(Debug)]
pub(super) struct Incoming {
    folder: tempfile::TempDir,
    _lock: File,
}

impl Incoming {
    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A folder outside the store, for one that is only looked at.
    pub(super) fn aside() -> Result<Self, StoreError> {
        let root = std::env::temp_dir();
        let folder = tempfile::Builder::new().prefix("macula-").tempdir_in(&root);
        let folder = folder.map_err(StoreError::disk("create a folder in", &root))?;
        let lock = folder.path().join("lock");
        let file = File::create(&lock).map_err(StoreError::disk("create", &lock))?;
        Ok(Self { folder, _lock: file })
    }

    pub(super) fn new(root: &Path) -> Result<Self, StoreError> {
        disk::make_folder(root).map_err(StoreError::disk("create", root))?;
        let folder = tempfile::Builder::new()
            .prefix(&format!("{}-", std::process::id()))
            .tempdir_in(root)
            .map_err(StoreError::disk("create a folder in", root))?;
        // Locked before it has its name: a lock that nobody holds would be swept as a dead process's.
        let [unnamed, named] = ["lock.new", "lock"].map(|name| folder.path().join(name));
        let lock = File::create(&unnamed).map_err(StoreError::disk("create", &unnamed))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| StoreError::disk("lock", &unnamed)(error.into()))?;
        std::fs::rename(&unnamed, &named).map_err(StoreError::disk("rename into", &named))?;
        Ok(Self { folder, _lock: lock })
    }
}

/// Removes what killed processes left: folders whose lock nobody holds. Failing to is harmless.
pub(super) fn sweep(root: &Path) {
    let Ok(folders) = std::fs::read_dir(root) else { return };
    for folder in folders.flatten().map(|folder| folder.path()) {
        let dead = File::open(folder.join("lock"))
            .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok());
        if dead {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}
