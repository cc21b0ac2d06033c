//! New objects of this process: the folder in which they wait until they are published, and large ones on their way there.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::{Entry, Objects, StoreError};
use crate::base::{Digest, disk};

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

    /// Its lock, held: opened before anything was written.
    pub(super) fn lock(&self) -> Option<File> {
        self._lock.try_clone().ok()
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

/// Takes a large object piece by piece.
pub struct ObjectWriter<'a> {
    pub(super) objects: &'a Objects,
    pub(super) file: tempfile::NamedTempFile,
    pub(super) hasher: blake3::Hasher,
    pub(super) size: u64,
}

impl ObjectWriter<'_> {
    /// Stores what was written.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn finish(self) -> Result<Entry, StoreError> {
        let entry = Entry { digest: Digest::from_bytes(*self.hasher.finalize().as_bytes()), size: self.size };
        self.keep(entry)?;
        Ok(entry)
    }

    /// Stores what was written where it is `entry`; else it is let go. Returns whether it is.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn finish_as(self, entry: &Entry) -> Result<bool, StoreError> {
        let written = Entry { digest: Digest::from_bytes(*self.hasher.finalize().as_bytes()), size: self.size };
        if written != *entry {
            return Ok(false);
        }
        self.keep(written)?;
        Ok(true)
    }

    fn keep(self, entry: Entry) -> Result<(), StoreError> {
        if !self.objects.relies_on(&entry) {
            disk::begin_writing(self.file.as_file());
            self.objects.adopt(self.file, entry)?;
        }
        Ok(())
    }

    /// Writes bytes; as [`Write::write_all`], with the store's error.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.file.path().to_owned();
        self.write_all(bytes).map_err(StoreError::disk("write", &path))
    }
}

impl Write for ObjectWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
