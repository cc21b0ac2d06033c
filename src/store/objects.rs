//! Content-addressed objects: bytes in, digest out; digest in, verified bytes out.
//!
//! This is the part of the store that stages see. An object may also lie outside, where a source found it (a photograph of
//! the user's): then its path is known and its bytes are verified at each read like any other's.

use std::io::Write;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::{Entry, Tree};
use crate::base::Digest;

/// What goes wrong between macula and the disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An object's bytes are not what its digest says.
    #[error("object {} in {} is damaged: its bytes have another digest", .digest.short(), .path.display())]
    Damaged {
        /// What they should be.
        digest: Digest,
        /// Where they lie.
        path: PathBuf,
    },
    /// No bytes for a digest.
    #[error("object {} is missing from the store", .digest.short())]
    Missing {
        /// What was asked for.
        digest: Digest,
    },
    /// A file outside the store is not what it was when the source read it.
    #[error("`{}` changed while macula was running; run again", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The disk said no (full, read-only, permissions, …).
    #[error("cannot {doing} `{}`: {error}", .path.display())]
    Disk {
        /// A verb.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

/// Bytes of an object, verified: mapped or in memory.
#[derive(Debug)]
pub enum Blob {
    /// In memory.
    Owned(Vec<u8>),
    /// Mapped from a read-only object of the store.
    Mapped(memmap2::Mmap),
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

/// The objects of a store. Cheap to share between threads.
#[derive(Debug)]
pub struct Objects {
    root: PathBuf,
}

impl Objects {
    /// Opens the objects under `root`, making the folder where it is missing.
    ///
    /// # Errors
    /// [`StoreError::Disk`] where the folder can't be made.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(root).map_err(|error| StoreError::Disk {
            doing: "create",
            path: root.to_owned(),
            error,
        })?;
        Ok(Self { root: root.to_owned() })
    }

    /// Stores bytes; storing the same bytes twice is free.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn put(&self, bytes: &[u8]) -> Result<Entry, StoreError> {
        let entry = Entry { digest: Digest::of(bytes), size: bytes.len() as u64 };
        let path = self.path(&entry.digest);
        let fail = |doing| {
            let path = path.clone();
            move |error| StoreError::Disk { doing, path, error }
        };
        if !path.exists() {
            let mut file = tempfile::NamedTempFile::new_in(&self.root).map_err(fail("create a temporary file for"))?;
            file.write_all(bytes).map_err(fail("write"))?;
            file.persist(&path).map_err(|e| e.error).map_err(fail("rename into"))?;
        }
        Ok(entry)
    }

    /// The bytes of an entry, verified against its digest.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`], [`StoreError::Changed`] or [`StoreError::Disk`].
    pub fn read(&self, entry: &Entry) -> Result<Blob, StoreError> {
        let path = self.path(&entry.digest);
        let bytes = std::fs::read(&path).map_err(|_| StoreError::Missing { digest: entry.digest })?;
        if Digest::of(&bytes) != entry.digest {
            return Err(StoreError::Damaged { digest: entry.digest, path });
        }
        Ok(Blob::Owned(bytes))
    }

    /// The bytes of a tree's entry `name`; [`None`] where the tree has no such name.
    ///
    /// # Errors
    /// As [`Objects::read`].
    pub fn read_in(&self, tree: &Tree, name: &str) -> Result<Option<Blob>, StoreError> {
        tree.get(name).map(|entry| self.read(entry)).transpose()
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.to_string())
    }
}
