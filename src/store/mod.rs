//! The store: content-addressed objects, keys, actions. Knows digests only, no stage.

pub mod action;
pub mod artifact;
pub mod claim;
pub mod collect;
pub mod error;
pub mod files;
pub mod incoming;
pub mod inventory;
pub mod items;
pub mod layout;
pub mod lease;
pub mod manifest;
pub mod objects;
mod presence;
pub mod remote;
pub mod runs;
pub mod source_cache;
pub mod tree;
pub mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

pub use action::{Absent, Accept, EVERYWHERE, Found, Made, Recipe, RecipeInput, Record, StoredTree};
pub use artifact::Artifact;
pub use claim::Claim;
pub use error::StoreError;
pub use files::FileDigests;
pub use incoming::ObjectWriter;
pub use inventory::Inventory;
pub use items::{ItemRecord, Results, Segment};
pub use layout::Layout;
pub use lease::{GcLock, Lease, Use};
pub use manifest::{Difference, Field, Kind, Manifest};
pub use objects::{Blob, Location, Objects};
pub use remote::{RemoteHit, Remotes};
pub use runs::{RunOutcome, RunRecord, Runs, StageOutcome, StageRun};
pub use source_cache::{Asked, Fingerprint, SourceSnapshot};
pub use tree::{Entry, Tree, as_path};

use crate::base::{Digest, disk};

/// A store, opened.
#[derive(Debug)]
pub struct Store {
    layout: Layout,
    lease: Arc<Lease>,
    /// Its objects.
    pub objects: Objects,
    /// Digests of files outside.
    pub files: FileDigests,
    /// Records of runs.
    pub runs: Runs,
    /// Where results are shared.
    pub remotes: Arc<Remotes>,
}

/// What is known of a key.
#[derive(Debug)]
pub enum Lookup {
    /// Its result.
    Hit(Box<Found>),
    /// There is none, and the caller is the one to compute it.
    Miss(Claim, Absent),
    /// There is none, and another computes it.
    Busy,
}

impl Store {
    /// Opens the store at `root` (`.macula`), making it where it is missing.
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

    /// Opens the store at `root` to look at it alone: nothing is written into it, and what is put is kept elsewhere until the
    /// process ends. None where there is no store.
    #[must_use]
    pub fn open_read_only(root: &Path) -> Option<Self> {
        let layout = Layout::at(root)?;
        let objects = Objects::read_only(&layout.objects()).remembering(layout.whole());
        let files = FileDigests::open(layout.files());
        let lease = Arc::new(Lease::disabled(&layout));
        Some(Self { objects, files, runs: Runs::read_only(&layout), layout, lease, remotes: Arc::default() })
    }

    /// With places where results are shared.
    #[must_use]
    pub fn with_remotes(self, remotes: Remotes) -> Self {
        let remotes = Arc::new(remotes);
        Self { objects: self.objects.with_remotes(&remotes), remotes, ..self }
    }

    /// With the folders of objects listed for results of `many` objects and more, and remembered where they were left alone for
    /// `racy` nanoseconds; tests list always.
    #[must_use]
    pub fn listing(self, many: usize, racy: u64) -> Self {
        Self { objects: self.objects.listing(many, racy), ..self }
    }

    /// The runs that collection leaves alone.
    #[must_use]
    pub fn pins(&self) -> BTreeSet<String> {
        let pins = std::fs::read_dir(self.layout.pins()).into_iter().flatten().flatten();
        pins.filter_map(|pin| pin.file_name().into_string().ok()).collect()
    }

    /// Lets collection leave what a run used alone.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn pin(&self, run: &str) -> Result<(), StoreError> {
        let folder = self.layout.pins();
        disk::make_folder(&folder).map_err(StoreError::disk("create", &folder))?;
        let path = folder.join(run);
        disk::write_whole(&path, b"").map_err(StoreError::disk("write", &path))
    }

    /// Takes a pin back.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn unpin(&self, run: &str) -> Result<(), StoreError> {
        let path = self.layout.pins().join(run);
        std::fs::remove_file(&path).map_err(StoreError::disk("delete", &path))
    }

    /// Where things lie.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The result of a key, if all of it is there; it is verified when it is read.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn find(&self, key: &Digest, target: &str, accept: Accept) -> Result<Result<Found, Absent>, StoreError> {
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
        // Another may have committed between the two looks, on another machine too.
        disk::revalidate_dirs(&[&self.layout.all_actions(), &self.layout.actions(key)]);
        Ok(match self.find(key, target, accept)? {
            Ok(found) => Lookup::Hit(Box::new(found)),
            Err(absent) => Lookup::Miss(claim, absent),
        })
    }

    /// Whether a living process computes a key now.
    #[must_use]
    pub fn is_claimed(&self, key: &Digest) -> bool {
        claim::held(&self.layout, key)
    }

    /// The result of a key where a remote has it and the store has not; it is brought with [`Store::download`].
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

    /// Forgets the results of a key, so that it is computed again.
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

    /// Writes a record anew without its recipe, because that names what is lost.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn without_recipe(&self, record: &Record) -> Result<(), StoreError> {
        let record = Record { recipe: None, ..record.clone() };
        action::write(&self.layout.action(&record.key, &record.target), &record)
    }

    /// The results of the items of a map stage, to be looked up; `stage` is the digest of what they have in common.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn results(&self, stage: &Digest) -> Result<Results<'_>, StoreError> {
        Ok(Results::new(self.segment(stage)?, &self.objects))
    }

    /// The segment of the items of a map stage, to be appended to; `stage` is the digest of what they have in common.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn segment(&self, stage: &Digest) -> Result<Segment, StoreError> {
        self.lease.register([Use::Items(*stage)]);
        // What another machine left unfinished is gone on from.
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
            // The record says which tree the object holds, and was read whole; the object's bytes are verified.
            if self.objects.holds_tree(&stored.object)? != Some(true) {
                return Ok(Err(Absent::Lost));
            }
            outputs.insert(port.clone(), Artifact::stored(stored));
        }
        Ok(Ok(Found { record, outputs }))
    }
}

/// What the store writes down. Only types that always serialise come here: no maps with other keys than text.
fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("records serialise")
}
