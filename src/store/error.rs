//! What goes wrong between macula and the disk, and what to do about it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::base::Digest;
use crate::base::disk::free_bytes;
use crate::base::figure;

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
    /// A store of a later macula.
    #[error("the store `{}` has the layout v{version}, which this macula does not know", .path.display())]
    Version {
        /// The store.
        path: PathBuf,
        /// Its layout's version.
        version: u32,
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

impl StoreError {
    /// For `map_err`: what was being done to which path.
    pub fn disk(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Disk { doing, path: path.to_owned(), error }
    }

    /// Whether the same may go well a moment later: a network disk that does not answer, or what another process holds.
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

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { .. } | Self::Missing { .. } => {
                Some("run `macula run` again: what is damaged or missing is computed anew".into())
            }
            Self::Changed { .. } => None,
            Self::Version { .. } => Some(
                "use the macula that made it, or another store with MACULA_STORE=FOLDER: nothing was touched".into(),
            ),
            Self::Disk { doing: "lock", .. } => Some(
                "what others use there can't be known; mount that disk with locks, or put the store elsewhere with MACULA_STORE=FOLDER"
                    .into(),
            ),
            Self::Disk { path, error, .. } => match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    let free = free_bytes(path).map_or_else(|| "an unknown amount".into(), figure::size);
                    Some(format!(
                        "{free} is free there; make room, or put the store on another disk with MACULA_STORE=FOLDER, and run again: nothing that was finished is lost"
                    ))
                }
                ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                    Some("the store must be writable; put it elsewhere with MACULA_STORE=FOLDER".into())
                }
                _ => None,
            },
        }
    }
}
