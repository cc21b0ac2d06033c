//! A list of everything in a store: objects, records, item segments.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirEntry;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::action::{self, Record};
use super::items::{self, ItemRecord, Scanned};
use super::{Entry, Layout, Order, Store, StoreError, Tree};
use crate::base::{Digest, disk};

/// Everything in a store.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The objects.
    pub objects: BTreeMap<Digest, Placed>,
    /// The records, unreadable ones included, sorted by time.
    pub records: Vec<Listed>,
    /// The item segments.
    pub segments: Vec<SegmentFile>,
    /// Orders to a cluster without a result.
    pub orders: Vec<Order>,
    /// Trees of the records, as far as they can be read.
    trees: BTreeMap<Digest, Option<Tree>>,
}

/// An object on disk.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Its bytes.
    pub size: u64,
    /// Whether it has other hard links, so that deleting it here frees nothing.
    pub linked: bool,
}

/// A record's file.
#[derive(Debug)]
pub struct Listed {
    /// Its path.
    pub path: PathBuf,
    /// Its content; [`None`] if it is damaged.
    pub record: Option<Record>,
}

/// A file with the item results of a map stage.
#[derive(Debug)]
pub struct SegmentFile {
    /// Its path.
    pub path: PathBuf,
    /// The digest of what all of its items have in common.
    pub stage: Digest,
    /// Modification time: nanoseconds since 1970.
    pub modified: u64,
    /// Its content.
    pub found: Scanned,
}

impl Inventory {
    /// Lists a store.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn of(store: &Store) -> Result<Self, StoreError> {
        let layout = store.layout();
        let mut found = Self { objects: objects(layout)?, records: records(layout)?, ..Self::default() };
        for file in files(&layout.all_items())? {
            let Some(stage) = file.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let path = file.path();
            let facts = file.metadata().map_err(StoreError::disk("read", &path))?;
            found.segments.push(SegmentFile {
                found: items::read(&path)?,
                stage,
                modified: disk::modified(&facts),
                path,
            });
        }
        let made: BTreeSet<Digest> = found.whole().map(|record| record.key).collect();
        found.orders = Order::all(layout).into_iter().filter(|order| !made.contains(&order.key)).collect();
        found.read_trees(store);
        Ok(found)
    }

    /// Reads the trees of outputs and inputs; those that cannot be read are damaged or missing.
    fn read_trees(&mut self, store: &Store) {
        let ordered = self.orders.iter().flat_map(|order| &order.recipe.inputs).map(|given| given.tree.object);
        let wanted: BTreeSet<Entry> = self.whole().flat_map(tree_objects).chain(ordered).collect();
        self.trees = wanted.into_iter().map(|entry| (entry.digest, store.objects.read_tree(&entry).ok())).collect();
    }

    /// The readable records, the oldest first.
    pub fn whole(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter_map(|listed| listed.record.as_ref())
    }

    /// A tree that a record refers to, if it can be read.
    #[must_use]
    pub fn tree(&self, object: &Digest) -> Option<&Tree> {
        self.trees.get(object)?.as_ref()
    }

    /// The objects of a record's outputs: the trees and their entries.
    #[must_use]
    pub fn outputs(&self, record: &Record) -> BTreeSet<Entry> {
        let trees = record.outputs.values().map(|stored| stored.object);
        let within = record.outputs.values().filter_map(|stored| self.tree(&stored.object.digest));
        trees.chain(within.flat_map(|tree| tree.entries.values().copied())).collect()
    }

    /// The objects of a record's inputs, as listed in its recipe: the trees and their entries.
    #[must_use]
    pub fn inputs(&self, record: &Record) -> BTreeSet<Entry> {
        let given = || record.recipe.iter().flat_map(|recipe| &recipe.inputs);
        let within = given().filter_map(|given| self.tree(&given.tree.object.digest));
        given().map(|given| given.tree.object).chain(within.flat_map(|tree| tree.entries.values().copied())).collect()
    }

    /// The objects that the jobs of orders read.
    #[must_use]
    pub fn ordered(&self) -> BTreeSet<Digest> {
        let given = || self.orders.iter().flat_map(|order| &order.recipe.inputs);
        let within = given().filter_map(|given| self.tree(&given.tree.object.digest));
        let entries = within.flat_map(|tree| tree.entries.values()).map(|entry| entry.digest);
        given().map(|given| given.tree.object.digest).chain(entries).collect()
    }

    /// Whether a tree in a record's recipe is missing.
    #[must_use]
    pub fn lacks_inputs(&self, record: &Record) -> bool {
        let mut given = record.recipe.iter().flat_map(|recipe| &recipe.inputs);
        given.any(|given| !self.objects.contains_key(&given.tree.object.digest))
    }

    /// Total bytes of all objects.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.objects.values().map(|object| object.size).sum()
    }

    /// Total number of items on record.
    #[must_use]
    pub fn items(&self) -> usize {
        self.segments.iter().map(|segment| segment.found.records.len()).sum()
    }
}

impl SegmentFile {
    /// The records to keep if the file needs repair: without damaged stretches and without items whose objects are
    /// gone. [`None`] if it is intact.
    #[must_use]
    pub fn repaired(&self, inventory: &Inventory) -> Option<Vec<ItemRecord>> {
        let whole =
            |item: &&ItemRecord| item.tree.entries.values().all(|entry| inventory.objects.contains_key(&entry.digest));
        let kept: Vec<ItemRecord> = self.found.records.iter().filter(whole).cloned().collect();
        (self.found.damaged > 0 || kept.len() < self.found.records.len()).then_some(kept)
    }

    /// Replaces the file by one with only these records. Requires the GC lock, and that no running process uses the
    /// file.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn replace(&self, records: &[ItemRecord]) -> Result<(), StoreError> {
        items::replace(&self.path, records)
    }
}

impl Store {
    /// The readable records of all results, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn records(&self) -> Result<Vec<Record>, StoreError> {
        Ok(records(self.layout())?.into_iter().filter_map(|listed| listed.record).collect())
    }
}

/// All records, unreadable ones included, sorted by time.
fn records(layout: &Layout) -> Result<Vec<Listed>, StoreError> {
    let mut found = Vec::new();
    for path in below(&layout.all_actions())?.iter().filter(|path| named_by_digest(path)) {
        let record = action::read(path)?.ok().filter(|record| layout.action(&record.key, &record.target) == *path);
        found.push(Listed { path: path.clone(), record });
    }
    found.sort_by_cached_key(|listed| {
        let made = listed.record.as_ref().map(|record| (record.made.began, record.key));
        (made, listed.path.clone())
    });
    Ok(found)
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
            // Deleted meanwhile.
            let Ok(facts) = file.metadata() else { continue };
            found.insert(digest, Placed { size: facts.len(), linked: facts.nlink() > 1 });
        }
    }
    Ok(found)
}

/// The files in the subfolders of a folder, sorted.
fn below(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    for inner in files(folder)? {
        found.extend(files(&inner.path())?.into_iter().map(|file| file.path()));
    }
    found.sort();
    Ok(found)
}

/// The entries of a folder; none if it does not exist.
pub(super) fn files(folder: &Path) -> Result<Vec<DirEntry>, StoreError> {
    // See what other machines finished, so that it does not look unreferenced.
    disk::revalidate_dirs(&[folder]);
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.collect::<Result<_, _>>().map_err(StoreError::disk("list", folder)),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(StoreError::disk("list", folder)(error)),
    }
}

/// Whether a file is a record and not a temporary file: `cdef….TARGET`.
fn named_by_digest(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let key = name.and_then(|name| name.split_once('.')).map(|(key, _)| key);
    key.is_some_and(|key| key.len() == 62 && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
