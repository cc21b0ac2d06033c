//! Errors of the store and its disk, with hints.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::base::disk::{free_bytes, without_path};
use crate::base::figure;

/// An error of the store or its disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An object's bytes do not match its digest.
    #[error("object {} in {} is damaged: its bytes do not match its digest", .digest.short(), .path.display())]
    Damaged {
        /// The expected digest.
        digest: Digest,
        /// Where the object is.
        path: PathBuf,
    },
    /// The store has no object of this digest.
    #[error("object {} is missing from the store", .digest.short())]
    Missing {
        /// The digest.
        digest: Digest,
    },
    /// A file outside the store changed since the source read it.
    #[error("`{}` changed while macula was running; run again", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A store written by a newer macula.
    #[error("store `{}` has layout v{version}, which is newer than this macula supports (v1)", .path.display())]
    Version {
        /// The store.
        path: PathBuf,
        /// The version of its layout.
        version: u32,
    },
    /// A failed system call (disk full, read-only, no permission, …).
    #[error("cannot {doing} `{}`: {error}", .path.display())]
    Disk {
        /// What failed, as a verb.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
}

impl StoreError {
    /// For `map_err`: what was being done to which path. An error of the store that was passed on as the system's stays what it is.
    pub fn disk(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| match error.downcast::<Self>() {
            Ok(own) => own,
            Err(error) => Self::Disk { doing, path: path.to_owned(), error: without_path(error) },
        }
    }

    /// Whether a retry may succeed: the network disk did not answer, or another process holds the file.
    #[must_use]
    pub fn can_pass(&self) -> bool {
        let Self::Disk { error, .. } = self else { return false };
        matches!(
            error.kind(),
            ErrorKind::Interrupted
                | ErrorKind::WouldBlock
                | ErrorKind::TimedOut
                | ErrorKind::ResourceBusy
                | ErrorKind::StaleNetworkFileHandle
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::NetworkDown
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
        )
    }

    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { .. } | Self::Missing { .. } => {
                Some("run `macula run` again to recompute damaged or missing results".into())
            }
            Self::Changed { .. } => None,
            Self::Version { .. } => Some(
                "upgrade macula, or use another store with MACULA_STORE=FOLDER; nothing was changed".into(),
            ),
            Self::Disk { doing: "lock", .. } => Some(
                "the store needs file locks; mount the disk with lock support, or move the store with MACULA_STORE=FOLDER"
                    .into(),
            ),
            Self::Disk { path, error, .. } => match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    let free = free_bytes(path).map_or_else(|| "an unknown amount".into(), figure::size);
                    Some(format!(
                        "{free} free; free up space or move the store with MACULA_STORE=FOLDER, then run again: finished results are kept"
                    ))
                }
                ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                    Some("the store must be writable; move it with MACULA_STORE=FOLDER".into())
                }
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_named_once() {
        let full = || io::Error::from(ErrorKind::StorageFull);
        let place = Path::new("/store/incoming/x");
        // As `tempfile` words it.
        let named = io::Error::new(ErrorKind::StorageFull, format!("{} at path {place:?}", full()));
        let error = StoreError::disk("write", place)(named);
        assert_eq!(error.to_string(), format!("cannot write `/store/incoming/x`: {}", full()));
        assert!(error.hint().is_some_and(|hint| hint.contains("free up space")));
        let outer = StoreError::disk("copy", Path::new("/data/a.jpg"))(io::Error::other(error));
        assert_eq!(outer.to_string(), format!("cannot write `/store/incoming/x`: {}", full()));
    }
}
