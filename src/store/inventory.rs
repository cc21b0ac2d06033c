//! All that lies in a store, listed: objects, records, segments of items. Knows nothing of what is done about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirEntry;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::action::{self, Record};
use super::items::{self, ItemRecord, Scanned};
use super::{Entry, Layout, Store, StoreError, Tree};
use crate::base::{Digest, disk};

/// All that lies in a store.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The objects in their places.
    pub objects: BTreeMap<Digest, Placed>,
    /// The records, those that can't be read too; the oldest result first.
    pub records: Vec<Listed>,
    /// The segments of items.
    pub segments: Vec<SegmentFile>,
    /// Where to read trees.
    trees: BTreeMap<Digest, Option<Tree>>,
}

/// An object in its place.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Its bytes.
    pub size: u64,
    /// Whether it has other names too: then deleting it here frees nothing.
    pub linked: bool,
}

/// The file of a record.
#[derive(Debug)]
pub struct Listed {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says; [`None`] where it is damaged.
    pub record: Option<Record>,
}

/// The file of a map stage's items.
#[derive(Debug)]
pub struct SegmentFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What the items have in common.
    pub stage: Digest,
    /// When it was last written: nanoseconds since 1970.
    pub modified: u64,
    /// What it holds.
    pub found: Scanned,
}

impl Inventory {
    /// Lists a store.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn of(store: &Store) -> Result<Self, StoreError> {
        let layout = store.layout();
        let mut found = Self { objects: objects(layout)?, ..Self::default() };
        for path in below(&layout.all_actions())?.iter().filter(|path| named_by_digest(path)) {
            let record = action::read(path)?.ok().filter(|record| layout.action(&record.key, &record.target) == *path);
            found.records.push(Listed { path: path.clone(), record });
        }
        found.records.sort_by_cached_key(|listed| {
            let made = listed.record.as_ref().map(|record| (record.made.began, record.key));
            (made, listed.path.clone())
        });
        for file in files(&layout.all_items())? {
            let Some(stage) = file.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let path = file.path();
            let facts = file.metadata().map_err(StoreError::disk("read", &path))?;
            found.segments.push(SegmentFile { found: items::read(&path)?, stage, modified: nanoseconds(&facts), path });
        }
        found.read_trees(store);
        Ok(found)
    }

    /// Trees of outputs that can be read; the others are damaged or missing.
    fn read_trees(&mut self, store: &Store) {
        let wanted: BTreeSet<Entry> = self.whole().flat_map(tree_objects).collect();
        self.trees = wanted.into_iter().map(|entry| (entry.digest, store.objects.read_tree(&entry).ok())).collect();
    }

    /// The records that can be read, the oldest result first.
    pub fn whole(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter_map(|listed| listed.record.as_ref())
    }

    /// A tree that a record names, where it can be read.
    #[must_use]
    pub fn tree(&self, object: &Digest) -> Option<&Tree> {
        self.trees.get(object)?.as_ref()
    }

    /// The objects of a record's outputs: the trees and what they name.
    #[must_use]
    pub fn outputs(&self, record: &Record) -> BTreeSet<Entry> {
        let trees = record.outputs.values().map(|stored| stored.object);
        let within = record.outputs.values().filter_map(|stored| self.tree(&stored.object.digest));
        trees.chain(within.flat_map(|tree| tree.entries.values().copied())).collect()
    }

    /// The objects that computing a record again takes, as far as they are listed in its recipe: trees and what they name.
    #[must_use]
    pub fn inputs(&self, record: &Record) -> BTreeSet<Entry> {
        let given = || record.recipe.iter().flat_map(|recipe| &recipe.inputs);
        let within = given().filter_map(|given| self.tree(&given.tree.object.digest));
        given().map(|given| given.tree.object).chain(within.flat_map(|tree| tree.entries.values().copied())).collect()
    }

    /// Whether a tree that a record's recipe names is not there.
    #[must_use]
    pub fn lacks_inputs(&self, record: &Record) -> bool {
        let mut given = record.recipe.iter().flat_map(|recipe| &recipe.inputs);
        given.any(|given| !self.objects.contains_key(&given.tree.object.digest))
    }

    /// Bytes of all objects.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.objects.values().map(|object| object.size).sum()
    }

    /// Items on record.
    #[must_use]
    pub fn items(&self) -> usize {
        self.segments.iter().map(|segment| segment.found.records.len()).sum()
    }
}

impl SegmentFile {
    /// The records to keep, where that is not all as it lies: damaged stretches go, and items whose objects are gone.
    #[must_use]
    pub fn repaired(&self, inventory: &Inventory) -> Option<Vec<ItemRecord>> {
        let whole =
            |item: &&ItemRecord| item.tree.entries.values().all(|entry| inventory.objects.contains_key(&entry.digest));
        let kept: Vec<ItemRecord> = self.found.records.iter().filter(whole).cloned().collect();
        (self.found.damaged > 0 || kept.len() < self.found.records.len()).then_some(kept)
    }

    /// Replaces the segment by one of these records alone. Only while the gate is held and no living process uses it.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn replace(&self, records: &[ItemRecord]) -> Result<(), StoreError> {
        items::replace(&self.path, records)
    }
}

fn tree_objects(record: &Record) -> impl Iterator<Item = Entry> {
    let outputs = record.outputs.values().map(|stored| stored.object);
    let inputs = record.recipe.iter().flat_map(|recipe| &recipe.inputs).map(|given| given.tree.object);
    outputs.chain(inputs)
}

fn objects(layout: &Layout) -> Result<BTreeMap<Digest, Placed>, StoreError> {
    let mut found = BTreeMap::new();
    for folder in files(&layout.objects())? {
        let name = folder.file_name();
        let Some(prefix) = name.to_str().filter(|name| name.len() == 2) else { continue };
        for file in files(&folder.path())? {
            let Some(rest) = file.file_name().to_str().map(str::to_owned) else { continue };
            let Ok(digest) = format!("{prefix}{rest}").parse() else { continue };
            // One that goes away meanwhile is not there.
            let Ok(facts) = file.metadata() else { continue };
            found.insert(digest, Placed { size: facts.len(), linked: facts.nlink() > 1 });
        }
    }
    Ok(found)
}

/// The files in the folders of a folder, sorted.
fn below(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    for inner in files(folder)? {
        found.extend(files(&inner.path())?.into_iter().map(|file| file.path()));
    }
    found.sort();
    Ok(found)
}

/// What a folder holds; nothing where it is not there.
pub(super) fn files(folder: &Path) -> Result<Vec<DirEntry>, StoreError> {
    // What another machine finished must not be taken for what nothing names.
    disk::revalidate_dirs(&[folder]);
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.collect::<Result<_, _>>().map_err(StoreError::disk("list", folder)),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(StoreError::disk("list", folder)(error)),
    }
}

/// Whether a file is a record and no temporary one: `cdef….CLASS`.
fn named_by_digest(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let key = name.and_then(|name| name.split_once('.')).map(|(key, _)| key);
    key.is_some_and(|key| key.len() == 62 && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// When a file was last written: nanoseconds since 1970.
pub(super) fn nanoseconds(facts: &std::fs::Metadata) -> u64 {
    (facts.mtime() as u64).wrapping_mul(1_000_000_000).wrapping_add(facts.mtime_nsec() as u64)
}
