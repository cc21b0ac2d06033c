//! Trees: an artifact is names and the digests of their bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Hasher};

/// The bytes behind a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Their BLAKE3 digest.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
}

/// An artifact: relative names (with `/` between parts, never `..`) and the bytes behind them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Sorted by name.
    pub entries: BTreeMap<String, Entry>,
}

impl Tree {
    /// Its digest: of all names, sizes and digests, in the order of names.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new("macula tree 1");
        hasher.int(self.entries.len() as u64);
        for (name, entry) in &self.entries {
            hasher.text(name).int(entry.size).digest(&entry.digest);
        }
        hasher.finish()
    }

    /// The entry of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Adds or replaces `name`.
    pub fn insert(&mut self, name: impl Into<String>, entry: Entry) {
        self.entries.insert(name.into(), entry);
    }

    /// Entries whose name begins with `prefix`, the prefix cut off.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.entries
            .range(prefix.to_owned()..)
            .map_while(move |(name, entry)| name.strip_prefix(prefix).map(|rest| (rest, entry)))
    }

    /// The sum of its entries' sizes, bytes (an object under two names counts twice).
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entries.values().map(|entry| entry.size).sum()
    }
}
