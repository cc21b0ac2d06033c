//! Bytes of an image file, in memory or on disk. Headers are read from either, so finding out how to decode a file does not require
//! reading all of it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Number of bytes read from disk at a time.
const WINDOW: usize = 1 << 13;

/// Where bytes come from.
#[derive(Clone, Copy)]
pub(super) enum ByteSource<'a> {
    /// A whole file.
    Memory(&'a [u8]),
    /// A file of which only a few bytes are read.
    Disk(&'a FileWindow),
}

impl<'a> ByteSource<'a> {
    /// `len` bytes from offset `from`; [`None`] if the file is shorter or cannot be read.
    pub(super) fn at(self, from: usize, len: usize) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Memory(bytes) => bytes.get(from..from.checked_add(len)?).map(Cow::Borrowed),
            Self::Disk(file) => file.at(from, len).map(Cow::Owned),
        }
    }

    /// The byte at offset `at`.
    pub(super) fn byte(self, at: usize) -> Option<u8> {
        match self {
            Self::Memory(bytes) => bytes.get(at).copied(),
            Self::Disk(file) => file.at(at, 1).map(|bytes| bytes[0]),
        }
    }

    /// Size of the file, bytes.
    pub(super) const fn size(self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Disk(file) => file.size,
        }
    }
}

/// An open file with a window of the bytes read last.
pub(super) struct FileWindow {
    file: File,
    size: usize,
    /// Offset of the window, and its bytes.
    window: RefCell<(usize, Vec<u8>)>,
}

impl FileWindow {
    /// Opens a file.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::of(File::open(path)?)
    }

    /// A window of an open file.
    ///
    /// # Errors
    /// The system's error.
    pub(super) fn of(file: File) -> io::Result<Self> {
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        Ok(Self { file, size, window: RefCell::default() })
    }

    fn at(&self, from: usize, len: usize) -> Option<Vec<u8>> {
        let end = from.checked_add(len).filter(|end| *end <= self.size)?;
        let read = |len: usize| {
            let mut bytes = vec![0; len];
            self.file.read_exact_at(&mut bytes, from as u64).ok()?;
            Some(bytes)
        };
        // A copy of much is not kept.
        if len > WINDOW {
            return read(len);
        }
        let mut window = self.window.borrow_mut();
        if from < window.0 || end > window.0 + window.1.len() {
            *window = (from, read(WINDOW.min(self.size - from))?);
        }
        Some(window.1[from - window.0..][..len].to_vec())
    }
}
