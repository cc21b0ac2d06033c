//! What sources found, remembered while no file that they asked for looks different. Such a memory only saves the look: it says
//! which trees came of it, and those are verified like any other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Entry, Store, StoredTree};
use crate::base::{Digest, disk};

/// A question that a source asked about files outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// For the files below a folder; asking for those themselves is no further question.
    Listed(PathBuf),
    /// For one file.
    Read(PathBuf),
    /// For a program by name.
    Program(String, Option<PathBuf>),
}

/// How the files that were asked for look: a digest of all their names, sizes, times and inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The digest.
    pub digest: Digest,
    /// The youngest modification of a file: nanoseconds since 1970.
    pub modified: u64,
    /// The youngest change of a file's or a folder's own facts (its name, its links).
    pub changed: u64,
}

impl Fingerprint {
    /// Whether nothing can have changed unseen since `began`, when the source began to look. As for a file's digest, what was
    /// modified shortly before may be modified again within the same time; and what was put into its place since then shows in
    /// its own facts.
    #[must_use]
    pub fn trusted(&self, began: u64) -> bool {
        self.modified.saturating_add(super::files::RACY) < began && self.changed < began
    }
}

/// What came of a look.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceSnapshot {
    /// What the source asked.
    pub asked: Vec<Asked>,
    /// How that looked.
    #[serde(rename = "stamp")]
    pub fingerprint: Digest,
    /// What it found.
    pub outputs: BTreeMap<String, StoredTree>,
    /// Objects that it made (an index), which `outputs` name.
    pub made: Vec<Entry>,
    /// What people are told.
    pub summary: serde_json::Value,
}

impl Store {
    /// What a source found the last time, where that can be read; `source` is the digest of its manifest. Whether its objects
    /// are there is for [`Store::is_available`] to say.
    #[must_use]
    pub fn source_snapshot(&self, source: &Digest) -> Option<SourceSnapshot> {
        let bytes = std::fs::read(self.layout.snapshot(source)).ok()?;
        let (digest, text) = bytes.split_at_checked(64)?;
        let text = text.strip_prefix(b"\n")?;
        (Digest::of(text).to_string().as_bytes() == digest).then(|| serde_json::from_slice(text).ok())?
    }

    /// Whether all that the store itself holds of a look is there and whole. Collection leaves it from then on.
    #[must_use]
    pub fn is_available(&self, snapshot: &SourceSnapshot) -> bool {
        let trees = snapshot.outputs.values().map(|stored| stored.object);
        let whole = |object: Entry| self.objects.relies_on(&object) && self.objects.read(&object).is_ok();
        trees.into_iter().all(whole) && snapshot.made.iter().all(|made| self.objects.relies_on(made))
    }

    /// Forgets a file of the user's that was found to hold other bytes than it looked to, and the looks that may have seen it.
    pub fn forget_file(&self, path: &Path) {
        self.files.forget(path);
        let _ = std::fs::remove_dir_all(self.layout.all_snapshots());
    }

    /// Remembers a look. That it can't be (a read-only store) only costs time later.
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
