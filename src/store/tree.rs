//! Trees: an artifact as names and the digests of their bytes.
//!
//! As an object, a tree is `MAGIC`, the number of entries (8 bytes, little-endian), for each entry in the order of
//! names its digest (32 bytes), its size (8) and where its name ends among all names (4), then the names, one after the
//! other. Older versions wrote JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::base::{Digest, Hasher};

/// The first bytes of a tree as an object.
const MAGIC: &[u8; 16] = b"macula tree 1\n\0\0";

/// Bytes of an entry in its object.
const ROW: usize = 32 + 8 + 4;

/// A tree in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTree {
    /// [`Tree::digest`].
    pub tree: Digest,
    /// The object that holds its names.
    pub object: Entry,
}

/// The bytes behind a name, by digest and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Their BLAKE3 digest.
    pub digest: Digest,
    /// Their length.
    pub size: u64,
}

/// An artifact: relative names (with `/` between parts, never `..`) and the bytes behind them. A tree with other names
/// is rejected: names become paths, and a shared store may hold trees of strangers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Tree {
    /// Sorted by name.
    pub entries: BTreeMap<String, Entry>,
}

/// A tree before its names are checked.
#[derive(Deserialize)]
struct Unchecked {
    entries: BTreeMap<String, Entry>,
}

impl TryFrom<Unchecked> for Tree {
    type Error = String;

    fn try_from(Unchecked { entries }: Unchecked) -> Result<Self, String> {
        match entries.keys().find(|name| !stays_below(name)) {
            Some(name) => Err(format!("`{name}` is not below its folder")),
            None => Ok(Self { entries }),
        }
    }
}

/// Whether a name, joined to a folder, stays below it.
fn stays_below(name: &str) -> bool {
    !name.contains('\0') && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Longest file name on common file systems, bytes.
const LONGEST: usize = 255;

/// A tree's name as a path. A part that is too long for a file system (a long photograph name plus macula's suffix)
/// keeps its start and its suffix, with eight digits of its digest between them.
#[must_use]
pub fn as_path(name: &str) -> Cow<'_, str> {
    if name.len() <= LONGEST || name.split('/').all(|part| part.len() <= LONGEST) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.split('/').map(shortened).collect::<Vec<_>>().join("/"))
}

fn shortened(part: &str) -> Cow<'_, str> {
    if part.len() <= LONGEST {
        return Cow::Borrowed(part);
    }
    let ending = part.rfind('.').map_or("", |dot| &part[dot..]);
    let ending = if ending.len() <= 32 { ending } else { "" };
    let digest = Digest::of(part.as_bytes()).short();
    let beginning = part.floor_char_boundary(LONGEST - ending.len() - digest.len() - 1);
    Cow::Owned(format!("{}~{digest}{ending}", &part[..beginning]))
}

impl Tree {
    /// A tree of names that come from elsewhere.
    ///
    /// # Errors
    /// The message, if a name does not stay below its folder.
    pub fn checked(entries: BTreeMap<String, Entry>) -> Result<Self, String> {
        Unchecked { entries }.try_into()
    }

    /// Its digest over all names, sizes and digests, in the order of names.
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

    /// Entries whose name starts with `prefix`, with the prefix removed.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.entries
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map_while(move |(name, entry)| name.strip_prefix(prefix).map(|rest| (rest, entry)))
    }

    /// The sum of its entries' sizes, bytes (bytes under two names count twice).
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entries.values().map(|entry| entry.size).sum()
    }

    /// Decodes an object; [`None`] if it is not a tree. Does not verify any bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Encoded::of(bytes).and_then(Encoded::tree)
    }

    /// The tree as an object.
    pub(super) fn encode(&self) -> Vec<u8> {
        let names: usize = self.entries.keys().map(String::len).sum();
        let mut bytes = Vec::with_capacity(MAGIC.len() + 8 + self.entries.len() * ROW + names);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        let mut end = 0_u32;
        for (name, entry) in &self.entries {
            end += name.len() as u32;
            bytes.extend_from_slice(entry.digest.bytes());
            bytes.extend_from_slice(&entry.size.to_le_bytes());
            bytes.extend_from_slice(&end.to_le_bytes());
        }
        self.entries.keys().for_each(|name| bytes.extend_from_slice(name.as_bytes()));
        bytes
    }
}

/// A tree in its encoded form.
pub(super) enum Encoded<'a> {
    /// Rows and names.
    Table {
        /// Of [`ROW`] bytes each.
        rows: &'a [u8],
        /// All names.
        names: &'a str,
    },
    /// As older versions wrote it.
    Json(Tree),
}

impl<'a> Encoded<'a> {
    /// Decodes an object; [`None`] if it is not a tree. Bytes that match a recorded digest are as they were written, so
    /// only memory safety is checked.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return serde_json::from_slice(bytes).ok().map(Self::Json);
        };
        let (count, rest) = rest.split_at_checked(8)?;
        let count = usize::try_from(u64::from_le_bytes(count.try_into().ok()?)).ok()?;
        let (rows, names) = rest.split_at_checked(count.checked_mul(ROW)?)?;
        Some(Self::Table { rows, names: std::str::from_utf8(names).ok()? })
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Table { rows, .. } => rows.len() / ROW,
            Self::Json(tree) => tree.entries.len(),
        }
    }

    /// Whether `is` holds for every entry.
    pub(super) fn all(&self, mut is: impl FnMut(&Entry) -> bool) -> bool {
        match self {
            Self::Table { rows, .. } => rows.chunks_exact(ROW).all(|row| is(&entry(row))),
            Self::Json(tree) => tree.entries.values().all(is),
        }
    }

    /// The tree with its names; [`None`] if a name is malformed.
    pub(super) fn tree(self) -> Option<Tree> {
        let (rows, names) = match self {
            Self::Table { rows, names } => (rows, names),
            Self::Json(tree) => return Some(tree),
        };
        let mut from = 0;
        let named = rows.chunks_exact(ROW).map(|row| {
            let to = u32::from_le_bytes(row[40..44].try_into().ok()?) as usize;
            let name = names.get(std::mem::replace(&mut from, to)..to)?;
            stays_below(name).then(|| (name.to_owned(), entry(row)))
        });
        Some(Tree { entries: named.collect::<Option<_>>()? })
    }
}

fn entry(row: &[u8]) -> Entry {
    let mut digest = [0; 32];
    digest.copy_from_slice(&row[..32]);
    let mut size = [0; 8];
    size.copy_from_slice(&row[32..40]);
    Entry { digest: Digest::from_bytes(digest), size: u64::from_le_bytes(size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_read_as_it_was_written() {
        let mut tree = Tree::default();
        assert_eq!(Encoded::of(&tree.encode()).and_then(Encoded::tree), Some(tree.clone()));
        for name in ["a/ü.png", "a/b", "z"] {
            tree.insert(name, Entry { digest: Digest::of(name.as_bytes()), size: name.len() as u64 });
        }
        let bytes = tree.encode();
        assert_eq!(Encoded::of(&bytes).and_then(Encoded::tree), Some(tree.clone()));
        assert_eq!(Encoded::of(&super::super::json(&tree)).and_then(Encoded::tree), Some(tree), "an older version's");
        assert!((0..bytes.len() - 1).all(|end| Encoded::of(&bytes[..end]).and_then(Encoded::tree).is_none()));
    }

    #[test]
    fn names_that_no_file_system_takes_are_shortened_and_stay_apart() {
        let long = |last: &str| format!("parts/{}{last}.parquet", "é".repeat(124));
        let [one, other] = [long("a"), long("b")].map(|name| as_path(&name).into_owned());
        assert!(one.split('/').all(|part| part.len() <= 255) && one.len() > 250 && one.ends_with(".parquet"), "{one}");
        assert_ne!(one, other);
        assert_eq!(as_path("parts/a.parquet"), "parts/a.parquet");
        let folder = format!("{}/a.png", "x".repeat(250));
        assert_eq!(as_path(&folder), folder, "a long path of short parts");
    }
}
