//! The interface of a remote's storage: named files, blocking. Knows no results and no digests.

use std::fmt::Debug;
use std::io::Write;

use bytes::Bytes;

use super::super::StoreError;

/// Storage of files with names such as `v1/objects/ab/cdef…`: lower-case letters, digits, `/`, `.`, `-` and `_`.
pub trait Site: Debug + Send + Sync {
    /// Writes the bytes of a file to `into` and returns their number; [`None`] if the file does not exist. A file of
    /// more than `most` bytes is [`Fault::Wrong`].
    ///
    /// # Errors
    /// [`Fault`].
    fn fetch(&self, name: &str, most: u64, into: &mut dyn Write) -> Result<Option<u64>, Fault>;

    /// The size of a file in bytes; [`None`] if it does not exist.
    ///
    /// # Errors
    /// [`Fault`].
    fn size(&self, name: &str) -> Result<Option<u64>, Fault>;

    /// Writes a file atomically, replacing an existing one. An upload in parts is aborted with [`Fault::Stopped`] if
    /// `on_progress` returns false between two parts.
    ///
    /// # Errors
    /// [`Fault`].
    fn put(&self, name: &str, bytes: Bytes, on_progress: &dyn Fn() -> bool) -> Result<(), Fault>;

    /// Creates a file if the name is free. Returns whether it did: of several concurrent calls, one does.
    ///
    /// # Errors
    /// [`Fault`].
    fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Fault>;
}

/// An error of a remote. Contains no credentials and no URL queries.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A transient error: a retry may succeed.
    #[error("{0}")]
    Passing(String),
    /// A permanent error.
    #[error("{text}")]
    Lasting {
        /// The message.
        text: String,
        /// What the user can do about it.
        hint: Option<String>,
    },
    /// The data received is not as expected.
    #[error("{0}")]
    Wrong(String),
    /// The user asked to stop.
    #[error("stopped")]
    Stopped,
    /// An error of the local store or its disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault {
    /// A permanent error.
    pub(super) fn lasting(text: impl Into<String>) -> Self {
        Self::Lasting { text: text.into(), hint: None }
    }

    /// A permanent error with a hint.
    pub(super) fn hinted(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Lasting { text: text.into(), hint: Some(hint.into()) }
    }

    /// A file with more bytes than expected.
    pub(super) fn longer(name: &str, most: u64) -> Self {
        Self::Wrong(format!("`{name}` is larger than the expected {most} bytes"))
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Lasting { hint, .. } => hint.clone(),
            Self::Store(error) => error.hint(),
            Self::Passing(_) | Self::Wrong(_) | Self::Stopped => None,
        }
    }
}
