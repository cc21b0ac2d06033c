//! Packs: a pipeline with all that it uses, its results, and if asked for its data, as one file for a colleague.
//!
//! A pack is a zip archive and at the same time a Workflow Run RO-Crate. It holds no names of photographs, patients, users or
//! machines, and no photographs or pieces of them, unless that is asked for. [`write`] makes one, `read` unpacks one that
//! nobody vouches for: nothing in it is believed without its digest, and nothing in it is run.

mod archive;
mod card;
mod contents;
mod placement;
mod privacy;
mod read;
mod research_object;
mod source_files;
mod summary;
mod write;

pub use contents::{PackContents, PackedPipeline, PackedResult, Withheld};
pub use read::{Unpacked, unpack};
pub use write::{PackOptions, WrittenPack, pack};

use super::PlanError;
use crate::stage::StageError;
use crate::store::StoreError;

/// Why a pack cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Something that the user can change.
    #[error("{text}")]
    User {
        /// The message.
        text: String,
        /// What to do about it; may be empty.
        hint: String,
    },
    /// A result is missing.
    #[error("`{stage}` has no result to pack")]
    NoResult {
        /// The stage.
        stage: String,
    },
    /// The file is not a pack that may be unpacked.
    #[error("{0}")]
    Refused(String),
    /// No plan is possible.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An error of a stage or the store.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A file that cannot be read or written.
    #[error("{doing}: {error}")]
    Io {
        /// What failed.
        doing: String,
        /// The system's error.
        error: std::io::Error,
    },
    /// The user asked to stop.
    #[error("stopped")]
    Stopped,
}

impl PackError {
    fn user(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::User { text: text.into(), hint: hint.into() }
    }

    fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Io { doing, error: crate::base::disk::without_path(error) }
    }
}

impl From<StoreError> for PackError {
    fn from(error: StoreError) -> Self {
        Self::Stage(error.into())
    }
}
