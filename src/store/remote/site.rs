//! Where a remote's files lie, as the store sees it: names and bytes, synchronous. Knows no result and no digest.

use std::fmt::Debug;
use std::io::Write;

use bytes::Bytes;

use super::super::StoreError;

/// A place with files under names such as `v1/objects/ab/cdef…`: lower-case digits, letters, `/`, `.`, `-` and `_`.
pub trait Site: Debug + Send + Sync {
    /// Writes the bytes of a file into `into`, and returns how many; [`None`] where there is no such file. A file with more than
    /// `most` bytes is [`Fault::Wrong`].
    ///
    /// # Errors
    /// [`Fault`].
    fn fetch(&self, name: &str, most: u64, into: &mut dyn Write) -> Result<Option<u64>, Fault>;

    /// How many bytes a file has; [`None`] where there is none.
    ///
    /// # Errors
    /// [`Fault`].
    fn size(&self, name: &str) -> Result<Option<u64>, Fault>;

    /// Writes a file, whole or not at all, over one that is there. A file that goes in pieces is taken back when `on_progress` says no
    /// between two of them: [`Fault::Stopped`].
    ///
    /// # Errors
    /// [`Fault`].
    fn put(&self, name: &str, bytes: Bytes, on_progress: &dyn Fn() -> bool) -> Result<(), Fault>;

    /// Writes a file where there is none of that name. Returns whether it did: of several that try, one does.
    ///
    /// # Errors
    /// [`Fault`].
    fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Fault>;
}

/// What goes wrong between macula and a remote. Holds no credentials, and no address with its query.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It may go well a moment later.
    #[error("{0}")]
    Passing(String),
    /// It will not.
    #[error("{text}")]
    Lasting {
        /// What.
        text: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// What arrived is not what it should be.
    #[error("{0}")]
    Wrong(String),
    /// The user asked to stop.
    #[error("stopped")]
    Stopped,
    /// The own store or its disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Fault {
    /// One that will not pass.
    pub(super) fn lasting(text: impl Into<String>) -> Self {
        Self::Lasting { text: text.into(), hint: None }
    }

    /// One that will not pass, and what to do about it.
    pub(super) fn hinted(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Lasting { text: text.into(), hint: Some(hint.into()) }
    }

    /// A file with more bytes than it should have.
    pub(super) fn longer(name: &str, most: u64) -> Self {
        Self::Wrong(format!("`{name}` has more than its {most} bytes"))
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Lasting { hint, .. } => hint.clone(),
            Self::Store(error) => error.hint(),
            Self::Passing(_) | Self::Wrong(_) | Self::Stopped => None,
        }
    }
}
