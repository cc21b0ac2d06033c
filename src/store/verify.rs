//! Verification of a whole store: every object, every record, every item. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;

use super::inventory::Inventory;
use super::{Record, Store, StoreError};
use crate::base::Digest;

/// Result of a verification.
#[derive(Debug, Default)]
pub struct Verified {
    /// Number of objects read.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Number of records read.
    pub records: usize,
    /// Number of items on record.
    pub items: usize,
    /// The problems found.
    pub findings: Vec<Finding>,
}

/// A problem in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The problem.
    pub wrong: Wrong,
    /// The stage that the damaged data came from, if known.
    pub maker: Option<Maker>,
}

/// Kinds of problems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// An object whose bytes do not match its digest.
    Damaged(Digest),
    /// An object that a record refers to and that does not exist.
    Missing(Digest),
    /// A record that cannot be read, or is not where its key belongs.
    Record(PathBuf),
    /// A segment with invalid stretches.
    Items {
        /// The segment.
        path: PathBuf,
        /// Number of invalid stretches.
        stretches: usize,
    },
}

/// The stage that an object came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    /// The pipeline.
    pub pipeline: String,
    /// The stage.
    pub stage: String,
    /// The run.
    pub run: String,
    /// The item, for a map stage.
    pub item: Option<String>,
}

/// Reads and verifies everything in the store.
///
/// # Errors
/// [`StoreError::Disk`].
pub fn verify(store: &Store, inventory: &Inventory) -> Result<Verified, StoreError> {
    let objects: Vec<&Digest> = inventory.objects.keys().collect();
    let damaged: Vec<Option<Digest>> = objects
        .par_iter()
        .map(|digest| match store.objects.verify(digest) {
            // An object deleted meanwhile (by collection) counts as missing if a record refers to it.
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

/// Objects that records or items refer to and that exist nowhere. Users' files among the inputs do not belong to the
/// store.
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

/// For each object, the first stage that produced it.
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

/// The stage that a record's result came from.
#[must_use]
pub fn maker(record: &Record) -> Maker {
    let made = &record.made;
    Maker { pipeline: made.pipeline.clone(), stage: made.stage.clone(), run: made.run.clone(), item: None }
}
