//! The store: content-addressed objects, keys, records of results and runs. Knows digests, not stages.

pub mod action;
pub mod artifact;
pub mod claim;
pub mod collect;
pub mod error;
pub mod files;
mod import;
pub mod incoming;
pub mod inventory;
pub mod items;
pub mod layout;
pub mod lease;
pub mod manifest;
pub mod objects;
pub mod order;
mod presence;
mod quarantine;
pub mod remote;
pub mod runs;
pub mod source_cache;
pub mod tree;
pub mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

pub use action::{Absent, Accept, EVERYWHERE, Found, Made, Recipe, RecipeInput, Record};
pub use artifact::Artifact;
pub use claim::Claim;
pub use error::StoreError;
pub use files::FileDigests;
pub use inventory::Inventory;
pub use items::{ItemHit, ItemRecord, Results, Segment};
pub use layout::Layout;
pub use lease::{GcLock, Lease, Leases, Use};
pub use manifest::{Difference, Field, Kind, Manifest};
pub use objects::{Blob, Location, ObjectWriter, Objects, PartialRead};
pub use order::{AttemptOutcome, JobAttempt, Order};
pub use remote::{RemoteHit, Remotes};
pub use runs::{ComputedItems, ReusedItems, RunOutcome, RunRecord, Runs, StageOutcome, StageRun};
pub use source_cache::{Asked, Fingerprint, SourceSnapshot};
pub use tree::{Entry, StoredTree, Tree, as_path};

use crate::base::{Digest, disk};

/// An open store.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    lease: Arc<Lease>,
    /// Content-addressed objects.
    pub objects: Objects,
    /// Digests of files outside the store.
    pub files: FileDigests,
    /// Records of runs.
    pub runs: Runs,
    /// Remotes: where results are shared.
    pub remotes: Arc<Remotes>,
}

/// Outcome of looking up a key.
#[derive(Debug)]
pub enum Lookup {
    /// It has a result.
    Hit(Box<Found>),
    /// It has none, and the caller is to compute it.
    Miss(Claim, Absent),
    /// It has none, and another process is computing it.
    Busy,
}

impl Store {
    /// Opens the store at `root` (`.macula`), creating it if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let layout = Layout::open(root)?;
        let lease = Arc::new(Lease::new(&layout));
        let objects = Objects::open(&layout.objects())?.leased(&lease).remembering(layout.whole());
        let files = FileDigests::open(layout.files());
        Ok(Self { objects, files, runs: Runs::new(&layout), layout, lease, remotes: Arc::default() })
    }

    /// Opens the store at `root` read-only: nothing is written to it, and new objects are kept elsewhere until the
    /// process ends. [`None`] if there is no store.
    #[must_use]
    pub fn open_read_only(root: &Path) -> Option<Self> {
        let layout = Layout::at(root)?;
        let objects = Objects::read_only(&layout.objects()).remembering(layout.whole());
        let files = FileDigests::open(layout.files());
        let lease = Arc::new(Lease::disabled(&layout));
        Some(Self { objects, files, runs: Runs::read_only(&layout), layout, lease, remotes: Arc::default() })
    }

    /// Adds remotes.
    #[must_use]
    pub fn with_remotes(self, remotes: Remotes) -> Self {
        let remotes = Arc::new(remotes);
        Self { objects: self.objects.with_remotes(&remotes), remotes, ..self }
    }

    /// Sets from how many objects on the object folders are listed, and for how many nanoseconds they must have been
    /// unchanged for that to be cached; tests always list.
    #[must_use]
    pub fn listing(self, many: usize, racy: u64) -> Self {
        Self { objects: self.objects.listing(many, racy), ..self }
    }

    /// The pinned runs, which collection keeps.
    #[must_use]
    pub fn pins(&self) -> BTreeSet<String> {
        let pins = std::fs::read_dir(self.layout.pins()).into_iter().flatten().flatten();
        pins.filter_map(|pin| pin.file_name().into_string().ok()).collect()
    }

    /// Pins a run: collection keeps what it used.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn pin(&self, run: &str) -> Result<(), StoreError> {
        let folder = self.layout.pins();
        disk::make_folder(&folder).map_err(StoreError::disk("create", &folder))?;
        let path = folder.join(run);
        disk::write_whole(&path, b"").map_err(StoreError::disk("write", &path))
    }

    /// Removes a pin.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn unpin(&self, run: &str) -> Result<(), StoreError> {
        let path = self.layout.pins().join(run);
        std::fs::remove_file(&path).map_err(StoreError::disk("delete", &path))
    }

    /// The store's file layout.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The result of a key, if all of it is present; its bytes are verified on read.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn find(&self, key: &Digest, target: &str, accept: Accept) -> Result<Result<Found, Absent>, StoreError> {
        let _span = tracing::debug_span!(target: "macula::store", "find", %key, target).entered();
        self.lease.register([Use::Key(*key)]);
        let own = self.load(key, target)?;
        let Err(absent) = own else { return Ok(own) };
        let prefix = format!("{}.", &key.to_string()[2..]);
        let mut others: Vec<String> = std::fs::read_dir(self.layout.actions(key))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|file| file.file_name().to_str()?.strip_prefix(&prefix).map(str::to_owned))
            .filter(|other| self.layout.action(key, other) != self.layout.action(key, target))
            .collect();
        others.sort();
        for other in others {
            match (self.load(key, &other)?, accept) {
                (Ok(found), _) if found.record.target == EVERYWHERE => return Ok(Ok(found)),
                (Ok(found), Accept::AnyTarget) => return Ok(Ok(found)),
                (Ok(found), Accept::OwnTarget) => return Ok(Err(Absent::OtherTarget(found.record.target))),
                (Err(_), _) => {}
            }
        }
        Ok(Err(absent))
    }

    /// The result of a key, or the right to compute it.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn lookup(&self, key: &Digest, target: &str, accept: Accept) -> Result<Lookup, StoreError> {
        if let Ok(found) = self.find(key, target, accept)? {
            return Ok(Lookup::Hit(Box::new(found)));
        }
        let Some(claim) = Claim::take(&self.layout, key)? else { return Ok(Lookup::Busy) };
        // Another process may have committed between the two lookups, perhaps on another machine.
        disk::revalidate_dirs(&[&self.layout.all_actions(), &self.layout.actions(key)]);
        Ok(match self.find(key, target, accept)? {
            Ok(found) => Lookup::Hit(Box::new(found)),
            Err(absent) => Lookup::Miss(claim, absent),
        })
    }

    /// Whether there is a record of a key, for any target. What it names may be missing.
    #[must_use]
    pub fn is_recorded(&self, key: &Digest) -> bool {
        let folder = self.layout.actions(key);
        disk::revalidate_dirs(&[&self.layout.all_actions(), &folder]);
        let prefix = format!("{}.", &key.to_string()[2..]);
        let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.file_name());
        names.into_iter().any(|name| name.to_string_lossy().starts_with(&prefix))
    }

    /// Whether a running process computes a key.
    #[must_use]
    pub fn is_claimed(&self, key: &Digest) -> bool {
        claim::held(&self.layout, key)
    }

    /// The result of a key on a remote, if the store does not have it; [`Store::download`] fetches it.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn find_remote(
        &self,
        key: &Digest,
        target: &str,
        accept: Accept,
    ) -> Result<Option<Arc<RemoteHit>>, StoreError> {
        self.remotes.find(&self.objects, key, target, accept)
    }

    /// Deletes the results of a key, so that it is computed again.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn forget(&self, key: &Digest) -> Result<(), StoreError> {
        let prefix = format!("{}.", &key.to_string()[2..]);
        for file in std::fs::read_dir(self.layout.actions(key)).into_iter().flatten().flatten() {
            if file.file_name().to_string_lossy().starts_with(&prefix) {
                std::fs::remove_file(file.path()).map_err(StoreError::disk("delete", &file.path()))?;
            }
        }
        Ok(())
    }

    /// Rewrites a record without its recipe, which refers to lost data.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn without_recipe(&self, record: &Record) -> Result<(), StoreError> {
        let record = Record { recipe: None, ..record.clone() };
        action::write(&self.layout.action(&record.key, &record.target), &record)
    }

    /// Lookup of a map stage's item results; `stage` is the digest of what the items have in common.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn results(&self, stage: &Digest) -> Result<Results<'_>, StoreError> {
        Ok(Results::new(self.segment(stage)?, &self.objects))
    }

    /// The item segment of a map stage, for appending; `stage` is the digest of what the items have in common.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn segment(&self, stage: &Digest) -> Result<Segment, StoreError> {
        self.lease.register([Use::Items(*stage)]);
        // Another machine may have left unfinished work to resume.
        disk::revalidate_dirs(&[&self.layout.all_items()]);
        Segment::open(self.layout.items(stage))
    }

    fn load(&self, key: &Digest, target: &str) -> Result<Result<Found, Absent>, StoreError> {
        let record = match action::read(&self.layout.action(key, target))? {
            Ok(record) if record.key == *key => record,
            Ok(_) => return Ok(Err(Absent::Lost)),
            Err(absent) => return Ok(Err(absent)),
        };
        let mut outputs = BTreeMap::new();
        for (port, stored) in &record.outputs {
            // The record, verified by its own digest, says which tree the object holds; the object's bytes are verified
            // too.
            if self.objects.holds_tree(&stored.object)? != Some(true) {
                return Ok(Err(Absent::Lost));
            }
            outputs.insert(port.clone(), Artifact::stored(stored));
        }
        Ok(Ok(Found { record, outputs }))
    }
}

/// A value as JSON. Only for types that always serialise: no maps with non-text keys.
fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("records serialise")
}
