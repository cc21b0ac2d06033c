//! A writer for objects that do not fit in memory.

use std::io::{self, Write};

use super::{Entry, Objects, StoreError};
use crate::base::{Digest, disk};

/// Writer for an object that does not fit in memory.
pub struct ObjectWriter<'a> {
    pub(super) objects: &'a Objects,
    pub(super) file: tempfile::NamedTempFile,
    pub(super) hasher: blake3::Hasher,
    pub(super) size: u64,
}

impl ObjectWriter<'_> {
    /// Stores what was written and returns its entry.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn finish(self) -> Result<Entry, StoreError> {
        let entry = Entry { digest: Digest::from_bytes(*self.hasher.finalize().as_bytes()), size: self.size };
        self.keep(entry)?;
        Ok(entry)
    }

    /// Stores what was written if it matches `entry`, else discards it. Returns whether it matches.
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
        let _span = tracing::debug_span!(target: "macula::store", "keep", bytes = entry.size).entered();
        if !self.objects.relies_on(&entry) {
            disk::begin_writing(self.file.as_file());
            self.objects.adopt_written(self.file, entry)?;
        }
        Ok(())
    }

    /// Writes bytes: [`Write::write_all`] with the store's error.
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
