//! Bundles: how a result is stored on a remote, as its record and the location of its output bytes.
//!
//! ```text
//! v1/
//!   actions/ab/cdef….TARGET  the bundle of a key: a line with the digest of the next line, and that line, JSON
//!   actions/ab/cdef….first   the same for readers that accept any target: the first one that was pushed
//!   packs/ab/cdef…           small objects of one result in one file, under the file's digest
//!   objects/ab/cdef…         large objects, each under its digest
//! ```
//!
//! A pack is `MAGIC`, the number of objects and the size of each (8 bytes each, little-endian), then the objects, one
//! after the other: first those that hold trees, then the others, each group in the order of digests.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{Entry, Record};
use crate::base::Digest;

/// Objects of at least this size are stored separately, so that results share them.
pub(super) const LARGE: u64 = 256 << 10;

/// Capacity for small objects of the first pack, which `plan` fetches, and of each later one.
const FIRST: u64 = 1 << 20;
const LATER: u64 = 16 << 20;

/// Upper limit for the size of a bundle; one that names 100,000 large objects has 10 MB.
pub(super) const LARGEST: u64 = 16 << 20;

/// Upper limits for the size of packs. The first one holds the trees: a tree of a million names has 100 MB.
const LARGEST_FIRST: u64 = 512 << 20;
const LARGEST_LATER: u64 = 64 << 20;

/// Bytes of packs in memory at the same time; a larger pack is loaded alone.
pub(super) const ROOM: u64 = 128 << 20;

/// Maximum length of a target's name, which becomes part of a file name.
const LONGEST_TARGET: usize = 100;

const MAGIC: &[u8; 16] = b"macula pack 1\n\0\0";

/// The target name under which readers look that accept any target.
pub(super) const ANY: &str = "first";

/// A result as stored on a remote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// Its record, without the recipe, which would name the trees of its inputs.
    pub record: Record,
    /// Packs with the small objects; the first also holds the trees.
    pub packs: Vec<Pack>,
    /// Large objects.
    pub alone: Vec<Entry>,
    /// Users' files that outputs refer to; a remote never holds them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<Entry>,
}

/// A pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// The file's digest and size.
    pub file: Entry,
    /// Number of small objects in it, not counting trees.
    pub small: usize,
}

impl Bundle {
    /// Whether the bundle is plausible. Its claims are checked as the bytes arrive.
    pub(super) fn is_sound(&self) -> bool {
        self.fits() && is_plain_record(&self.record) && !self.packs.is_empty() && self.record.recipe.is_none()
    }

    /// Whether all packs are within the size limits.
    pub(super) fn fits(&self) -> bool {
        let largest = |at: usize| if at == 0 { LARGEST_FIRST } else { LARGEST_LATER };
        self.packs.iter().enumerate().all(|(at, pack)| pack.file.size <= largest(at))
    }

    /// The objects that hold its trees, in the order of digests.
    pub(super) fn trees(&self) -> BTreeSet<Entry> {
        self.record.outputs.values().map(|stored| stored.object).collect()
    }

    /// Total bytes of its packs and large objects.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.packs.iter().map(|pack| pack.file.size).chain(self.alone.iter().map(|entry| entry.size)).sum()
    }
}

/// Whether the texts of a record that came from elsewhere may be displayed, and its target may become a file name.
pub(in super::super) fn is_plain_record(record: &Record) -> bool {
    let target = (1..=LONGEST_TARGET).contains(&record.target.len());
    let words = record.target.chars().chain(record.made.stage.chars()).chain(record.made.run.chars());
    target && !words.chain(record.made.pipeline.chars()).any(char::is_control) && is_plain(&record.summary)
}

/// Whether all texts in a value are free of terminal control characters: they are displayed as they are.
fn is_plain(value: &Value) -> bool {
    let text = |text: &str| !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t');
    match value {
        Value::String(words) => text(words),
        Value::Array(values) => values.iter().all(is_plain),
        Value::Object(fields) => fields.iter().all(|(name, value)| text(name) && is_plain(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// File name of a bundle.
pub(super) fn action(key: &Digest, target: &str) -> String {
    let name = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let target: String = target.chars().map(name).collect();
    format!("{}.{target}", place("actions", key))
}

/// File name of a pack.
pub(super) fn pack(digest: &Digest) -> String {
    place("packs", digest)
}

/// File name of an object.
pub(super) fn object(digest: &Digest) -> String {
    place("objects", digest)
}

fn place(kind: &str, digest: &Digest) -> String {
    let digits = digest.to_string();
    format!("v1/{kind}/{}/{}", &digits[..2], &digits[2..])
}

/// Splits small objects (in the order of digests) into packs; returns the number in each.
pub(super) fn parted(trees: &BTreeSet<Entry>, small: &[Entry]) -> Vec<usize> {
    let mut counts = vec![0];
    let (mut size, mut room) = (trees.iter().map(|tree| tree.size).sum::<u64>(), FIRST);
    for entry in small {
        if size + entry.size > room {
            counts.push(0);
            (size, room) = (0, LATER);
        }
        size += entry.size;
        if let Some(last) = counts.last_mut() {
            *last += 1;
        }
    }
    counts
}

/// Encodes objects as a pack.
pub(super) fn packed(objects: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let size: usize = objects.iter().map(|object| 8 + object.as_ref().len()).sum();
    let mut bytes = Vec::with_capacity(MAGIC.len() + 8 + size);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(objects.len() as u64).to_le_bytes());
    for object in objects {
        bytes.extend_from_slice(&(object.as_ref().len() as u64).to_le_bytes());
    }
    for object in objects {
        bytes.extend_from_slice(object.as_ref());
    }
    bytes
}

/// Decodes a pack; [`None`] if it is malformed.
pub(super) fn unpacked(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (count, rest) = rest.split_at_checked(8)?;
    let count = usize::try_from(number(count)?).ok()?;
    let (sizes, mut rest) = rest.split_at_checked(count.checked_mul(8)?)?;
    let mut objects = Vec::with_capacity(count);
    for size in sizes.chunks_exact(8) {
        let (object, after) = rest.split_at_checked(usize::try_from(number(size)?).ok()?)?;
        objects.push(object);
        rest = after;
    }
    rest.is_empty().then_some(objects)
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_is_read_as_it_was_written_and_no_part_of_it_is_one() {
        let objects: [&[u8]; 3] = [b"tree", b"", b"small"];
        let bytes = packed(&objects);
        assert_eq!(unpacked(&bytes).as_deref(), Some(&objects[..]));
        assert!((0..bytes.len()).all(|end| unpacked(&bytes[..end]).is_none()));
        assert!(unpacked(&[&bytes[..], b"x"].concat()).is_none());
        let mut absurd = bytes;
        absurd[16..24].fill(0xff);
        assert!(unpacked(&absurd).is_none());
    }

    #[test]
    fn small_objects_go_into_few_packs() {
        let entry = |size| Entry { digest: Digest::of(b"x"), size };
        let trees = [entry(1000)].into();
        assert_eq!(parted(&trees, &[]), [0]);
        assert_eq!(parted(&trees, &vec![entry(20); 1000]), [1000]);
        assert_eq!(parted(&trees, &[entry(200 << 10); 100]), [5, 81, 14]);
    }

    #[test]
    fn what_a_terminal_would_obey_is_no_summary() {
        assert!(is_plain(&serde_json::json!({"headline": "96 patches, größe\n", "tables": [1, null, "a"]})));
        assert!(!is_plain(&serde_json::json!({"tables": [{"title": "\u{1b}[2J"}]})));
    }

    #[test]
    fn names_lead_nowhere_else() {
        let name = action(&Digest::of(b"x"), "../../.ssh/authorized keys");
        assert!(name.ends_with("._______ssh_authorized_keys"), "{name}");
        assert_eq!(name.matches('/').count(), 3);
    }
}
