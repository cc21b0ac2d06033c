//! Cached results of sources, valid while no file that the source asked for has changed. They only save listing and
//! reading: the trees that they refer to are verified like any other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Entry, Store, StoredTree};
use crate::base::{Digest, disk};

/// A question of a source about files outside the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// Which files are below a folder; reading one of these is not a further question.
    Listed(PathBuf),
    /// The content of one file.
    Read(PathBuf),
    /// Where a program is, by name.
    Program(String, Option<PathBuf>),
}

/// Fingerprint of the files that were asked for: a digest of all names, sizes, times and inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The digest.
    pub digest: Digest,
    /// The latest modification time of any file: nanoseconds since 1970.
    pub modified: u64,
    /// The latest change time (ctime) of any file or folder: nanoseconds since 1970.
    pub changed: u64,
}

impl Fingerprint {
    /// Whether nothing can have changed unnoticed since `began`, when the source started to read. As with file digests,
    /// a file modified shortly before may change again within the same modification time; a file that was replaced
    /// since shows a later ctime.
    #[must_use]
    pub fn trusted(&self, began: u64) -> bool {
        self.modified.saturating_add(super::files::RACY) < began && self.changed < began
    }
}

/// A cached result of a source.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceSnapshot {
    /// The questions that the source asked.
    pub asked: Vec<Asked>,
    /// The fingerprint of the answers.
    #[serde(rename = "stamp")]
    pub fingerprint: Digest,
    /// The outputs.
    pub outputs: BTreeMap<String, StoredTree>,
    /// Objects that the source created (an index), which `outputs` refer to.
    pub made: Vec<Entry>,
    /// The summary shown to the user.
    pub summary: serde_json::Value,
}

impl Store {
    /// The cached result of a source, if it can be read; `source` is the digest of its manifest.
    /// [`Store::is_available`] says whether its objects are still there.
    #[must_use]
    pub fn source_snapshot(&self, source: &Digest) -> Option<SourceSnapshot> {
        let bytes = std::fs::read(self.layout.snapshot(source)).ok()?;
        let (digest, text) = bytes.split_at_checked(64)?;
        let text = text.strip_prefix(b"\n")?;
        (Digest::of(text).to_string().as_bytes() == digest).then(|| serde_json::from_slice(text).ok())?
    }

    /// Whether the store has all objects of a cached result; registers them in the lease.
    #[must_use]
    pub fn is_available(&self, snapshot: &SourceSnapshot) -> bool {
        let trees = snapshot.outputs.values().map(|stored| stored.object);
        let whole = |object: Entry| self.objects.relies_on(&object) && self.objects.read(&object).is_ok();
        trees.into_iter().all(whole) && snapshot.made.iter().all(|made| self.objects.relies_on(made))
    }

    /// Drops the cached digest of a file whose content turned out to differ, and all cached results of sources, which
    /// may have used it.
    pub fn forget_file(&self, path: &Path) {
        self.files.forget(path);
        let _ = std::fs::remove_dir_all(self.layout.all_snapshots());
    }

    /// Caches a result of a source. A failure (a read-only store) only costs time later.
    pub fn save_snapshot(&self, source: &Digest, snapshot: &SourceSnapshot) {
        if !self.objects.writable() || self.objects.publish().is_err() {
            return;
        }
        let path = self.layout.snapshot(source);
        let text = super::json(snapshot);
        let bytes = [Digest::of(&text).to_string().as_bytes(), b"\n", &text].concat();
        let folder = path.parent().unwrap_or(Path::new("."));
        let _ = disk::make_folder(folder).and_then(|()| disk::write_lightly(&path, &bytes));
    }
}
