//! Verification of a whole store: every object, every record, every item. Changes nothing, and knows no stage.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;

use super::inventory::Inventory;
use super::{Record, Store, StoreError};
use crate::base::Digest;

/// What verification found.
#[derive(Debug, Default)]
pub struct Verified {
    /// Objects that were read.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Records that were read.
    pub records: usize,
    /// Items on record.
    pub items: usize,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub wrong: Wrong,
    /// Where it came from, where a record says so.
    pub maker: Option<Maker>,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The bytes of an object are not what its name says.
    Damaged(Digest),
    /// A record names an object that is not there.
    Missing(Digest),
    /// A record can't be read, or is not where its key belongs.
    Record(PathBuf),
    /// A segment of items holds stretches that are no records.
    Items {
        /// The segment.
        path: PathBuf,
        /// How many stretches.
        stretches: usize,
    },
}

/// Where an object came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    /// The pipeline.
    pub pipeline: String,
    /// The stage.
    pub stage: String,
    /// The run.
    pub run: String,
    /// Of a map stage, the item.
    pub item: Option<String>,
}

/// Reads and verifies all that lies in the store.
///
/// # Errors
/// [`StoreError::Disk`].
pub fn verify(store: &Store, inventory: &Inventory) -> Result<Verified, StoreError> {
    let objects: Vec<&Digest> = inventory.objects.keys().collect();
    let damaged: Vec<Option<Digest>> = objects
        .par_iter()
        .map(|digest| match store.objects.verify(digest) {
            // One that went away meanwhile (collection) is missing where a record names it.
            Ok(_) | Err(StoreError::Missing { .. }) => Ok(None),
            Err(StoreError::Damaged { digest, .. }) => Ok(Some(digest)),
            Err(error) => Err(error),
        })
        .collect::<Result<_, _>>()?;
    let makers = makers(inventory);
    let maker = |digest: &Digest| makers.get(digest).cloned();
    let mut findings: Vec<Finding> = damaged
        .into_iter()
        .flatten()
        .map(|digest| Finding { maker: maker(&digest), wrong: Wrong::Damaged(digest) })
        .collect();
    let missing = missing(store, inventory);
    findings.extend(missing.iter().map(|digest| Finding { maker: maker(digest), wrong: Wrong::Missing(*digest) }));
    let unreadable = inventory.records.iter().filter(|listed| listed.record.is_none());
    findings.extend(unreadable.map(|listed| Finding { wrong: Wrong::Record(listed.path.clone()), maker: None }));
    for segment in inventory.segments.iter().filter(|segment| segment.found.damaged > 0) {
        let wrong = Wrong::Items { path: segment.path.clone(), stretches: segment.found.damaged };
        let item = segment.found.records.iter().flat_map(|item| item.tree.entries.values()).next();
        let maker = item.and_then(|entry| maker(&entry.digest)).map(|maker| Maker { item: None, ..maker });
        findings.push(Finding { wrong, maker });
    }
    Ok(Verified {
        objects: objects.len(),
        bytes: inventory.bytes(),
        records: inventory.records.len(),
        items: inventory.items(),
        findings,
    })
}

/// Objects that records or items name and that are nowhere. The user's own files, which inputs name, are not the store's.
#[must_use]
pub fn missing(store: &Store, inventory: &Inventory) -> BTreeSet<Digest> {
    let outside = store.files.all().into_iter().filter(|(path, _)| path.exists()).map(|(_, entry)| entry.digest);
    let outside: BTreeSet<Digest> = outside.collect();
    let outputs = inventory.whole().flat_map(|record| inventory.outputs(record));
    let recipes = inventory.whole().flat_map(|record| &record.recipe).flat_map(|recipe| &recipe.inputs);
    let items = inventory.segments.iter().flat_map(|segment| &segment.found.records);
    let named = outputs
        .chain(recipes.map(|given| given.tree.object))
        .chain(items.flat_map(|item| item.tree.entries.values().copied()));
    named
        .map(|entry| entry.digest)
        .filter(|digest| !inventory.objects.contains_key(digest) && !outside.contains(digest))
        .collect()
}

/// For each object the first stage that made it.
fn makers(inventory: &Inventory) -> BTreeMap<Digest, Maker> {
    let mut found = BTreeMap::new();
    for record in inventory.whole() {
        for entry in inventory.outputs(record) {
            found.entry(entry.digest).or_insert_with(|| maker(record));
        }
    }
    for item in inventory.segments.iter().flat_map(|segment| &segment.found.records) {
        for entry in item.tree.entries.values() {
            if let Some(maker) = found.get_mut(&entry.digest) {
                maker.item.get_or_insert_with(|| item.name.clone());
            }
        }
    }
    found
}

/// Where a record's result came from.
#[must_use]
pub fn maker(record: &Record) -> Maker {
    let made = &record.made;
    Maker { pipeline: made.pipeline.clone(), stage: made.stage.clone(), run: made.run.clone(), item: None }
}
