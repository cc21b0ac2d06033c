//! Quarantine: damaged objects, moved out of the way so that recomputing them puts them back.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::base::sync::lock;
use crate::base::{Digest, disk};

/// The folder of damaged objects, and the damage that this process found.
#[derive(Debug)]
pub(super) struct Quarantine {
    folder: PathBuf,
    /// Objects that this process found damaged.
    damaged: Mutex<BTreeSet<Digest>>,
    /// Damaged objects that are still at their final path because they could not be moved.
    stuck: Mutex<BTreeSet<Digest>>,
}

impl Quarantine {
    /// The quarantine of the objects under `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self { folder: root.join("quarantine"), damaged: Mutex::default(), stuck: Mutex::default() }
    }

    /// Moves the file of a damaged object here. Returns whether it is gone from `path`.
    pub(super) fn take_in(&self, digest: &Digest, path: &Path) -> bool {
        disk::make_folder(&self.folder)
            .and_then(|()| std::fs::rename(path, self.file(digest)))
            .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .is_ok()
    }

    /// Notes a damaged object. If it could not be moved (a read-only store), its file is ignored until something replaces it.
    pub(super) fn note(&self, digest: &Digest, stuck: bool) {
        if stuck {
            lock(&self.stuck).insert(*digest);
        }
        lock(&self.damaged).insert(*digest);
    }

    /// Notes that an intact object replaced the damaged file at its final path.
    pub(super) fn replaced(&self, digest: &Digest) {
        lock(&self.stuck).remove(digest);
    }

    /// Whether the file at an object's final path is damaged and must be ignored.
    pub(super) fn is_stuck(&self, digest: &Digest) -> bool {
        lock(&self.stuck).contains(digest)
    }

    /// The objects that this process found damaged.
    pub(super) fn damaged(&self) -> BTreeSet<Digest> {
        lock(&self.damaged).clone()
    }

    /// Whether this process found nothing damaged.
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.damaged).is_empty()
    }

    /// Time of the last quarantine by the disk's clock, nanoseconds since 1970; 0 if there was none.
    pub(super) fn last(&self) -> u64 {
        self.folder.metadata().map_or(0, |facts| disk::modified(&facts))
    }

    /// Metadata of the damaged bytes of an object.
    pub(super) fn facts(&self, digest: &Digest) -> Option<Metadata> {
        self.file(digest).metadata().ok()
    }

    fn file(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }
}
