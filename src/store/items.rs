//! Results of a map stage's items: one append-only file per map stage, because one file and one `fsync` per item would
//! cost milliseconds each.
//!
//! A record is `MARK`, the payload's length (8 bytes, little-endian), the first 16 bytes of its BLAKE3 digest, and the
//! payload (the item's key, name, target and tree). Readers skip a damaged record and continue at the next mark. The
//! next append first cuts off what a killed writer left after the last valid record.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::action::{Accept, EVERYWHERE};
use super::files::{number, take};
use super::objects::PresenceCheck;
use super::tree::Encoded;
use super::{Objects, StoreError, Tree};
use crate::base::flock::{self, LockMode, LockStatus};
use crate::base::{Digest, disk};

const MARK: &[u8; 8] = b"\nmacula1";
const HEAD: usize = 8 + 8 + 16;

/// The result of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRecord {
    /// The item's key.
    pub key: Digest,
    /// The item's name, for display.
    pub name: String,
    /// The target that it was computed on.
    #[serde(rename = "class")]
    pub target: String,
    /// The result.
    pub tree: Tree,
}

/// Stored result of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemHit {
    /// The result.
    pub tree: Tree,
    /// The target that it was computed on.
    pub target: String,
}

/// The segment of one map stage, read into memory: another process may truncate a torn end, which a mapping would not
/// survive.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    bytes: Vec<u8>,
    /// The payload of each valid record in `bytes`, by key; of equal keys in file order.
    index: Vec<(Digest, std::ops::Range<usize>)>,
    /// Length of the valid prefix in bytes, as far as this process knows.
    valid_len: u64,
}

impl Segment {
    /// Reads a segment; a missing file is an empty segment.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(StoreError::disk("read", &path)(error)),
        };
        let mut index = Vec::new();
        let (valid_len, _) = walk(&bytes, |payload| {
            let key = key_of(&bytes[payload.clone()])?;
            index.push((key, payload));
            Some(())
        });
        index.sort_by_key(|(key, _)| *key);
        Ok(Self { path, bytes, index, valid_len })
    }

    /// The result of an item whose objects are all present: for `target`, or for any target if that is accepted.
    #[must_use]
    pub(super) fn find(&self, objects: &PresenceCheck, key: &Digest, target: &str, accept: Accept) -> Option<ItemHit> {
        let from = self.index.partition_point(|(other, _)| other < key);
        let records = self.index[from..].iter().take_while(|(other, _)| other == key);
        let whole = |record: &ItemRecord| record.tree.entries.values().all(|entry| objects.holds(entry));
        let mut found: BTreeMap<String, ItemHit> = records
            .filter_map(|(_, payload)| decode(&self.bytes[payload.clone()]))
            .filter(whole)
            .map(|record| (record.target.clone(), ItemHit { tree: record.tree, target: record.target }))
            .collect();
        let own = [target, EVERYWHERE].into_iter().find_map(|target| found.remove(target));
        match accept {
            Accept::AnyTarget => own.or_else(|| found.into_values().next()),
            Accept::OwnTarget => own,
        }
    }

    /// Appends results whose objects are already published, and waits for the disk. This segment does not find them.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn append(&mut self, records: &[ItemRecord]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let _span = tracing::debug_span!(target: "macula::store", "append", items = records.len()).entered();
        self.valid_len = append(&self.path, records, self.valid_len).map_err(StoreError::disk("write", &self.path))?;
        Ok(())
    }
}

/// Lookup of item results with one shared presence check.
#[derive(Debug)]
pub struct Results<'a> {
    segment: Segment,
    presence: PresenceCheck<'a>,
}

impl<'a> Results<'a> {
    pub(super) fn new(segment: Segment, objects: &'a Objects) -> Self {
        let presence = objects.presence_check(segment.index.len());
        Self { segment, presence }
    }

    /// The result of an item, if all of its objects are present.
    #[must_use]
    pub fn find(&self, key: &Digest, target: &str, accept: Accept) -> Option<ItemHit> {
        self.segment.find(&self.presence, key, target, accept)
    }
}

/// Appends records and returns the new length. `valid_len` is the last known length of the valid prefix.
fn append(path: &Path, records: &[ItemRecord], valid_len: u64) -> std::io::Result<u64> {
    let mut file = flock::open(path)?;
    disk::share(&file, path);
    let alone = flock::lock(&file, LockMode::Exclusive)? == LockStatus::Held;
    // Another process may have appended meanwhile, or died while doing so.
    let there = file.metadata()?.len();
    let end = if there == valid_len { valid_len } else { find_valid_len(&mut file)? };
    // Without locks, a torn end may be a write in progress by another process.
    let end = if alone { end } else { there };
    if alone {
        file.set_len(end)?;
    }
    file.seek(SeekFrom::Start(end))?;
    let bytes = bytes_of(records);
    let written = file.write_all(&bytes).and_then(|()| file.sync_data());
    if written.is_err() && alone {
        // The next writer would cut off a half-written record; do it now if possible.
        let _ = file.set_len(end);
    }
    written?;
    if end == 0 {
        disk::sync_folder(path.parent().unwrap_or(Path::new(".")))?;
    }
    Ok(end + bytes.len() as u64)
}

fn bytes_of(records: &[ItemRecord]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in records {
        let payload = encode(record);
        bytes.extend_from_slice(MARK);
        bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&Digest::of(&payload).bytes()[..16]);
        bytes.extend_from_slice(&payload);
    }
    bytes
}

/// First byte of a payload; older versions wrote JSON.
const PAYLOAD: u8 = 1;

/// The key, the name and the target with their lengths, and the tree.
fn encode(record: &ItemRecord) -> Vec<u8> {
    let mut bytes = vec![PAYLOAD];
    bytes.extend_from_slice(record.key.bytes());
    for text in [&record.name, &record.target] {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.extend_from_slice(&record.tree.encode());
    bytes
}

fn decode(payload: &[u8]) -> Option<ItemRecord> {
    let Some((&PAYLOAD, mut rest)) = payload.split_first() else { return serde_json::from_slice(payload).ok() };
    let key = Digest::from_bytes(take(&mut rest, 32)?.try_into().ok()?);
    let mut text = || {
        let length = usize::try_from(number(&mut rest)?).ok()?;
        std::str::from_utf8(take(&mut rest, length)?).ok().map(str::to_owned)
    };
    let (name, target) = (text()?, text()?);
    Some(ItemRecord { key, name, target, tree: Encoded::of(rest)?.tree()? })
}

/// The key of a payload, without decoding the rest.
fn key_of(payload: &[u8]) -> Option<Digest> {
    let Some((&PAYLOAD, mut rest)) = payload.split_first() else { return decode(payload).map(|record| record.key) };
    Some(Digest::from_bytes(take(&mut rest, 32)?.try_into().ok()?))
}

/// Length of the valid prefix: what a killed writer left after it is not valid.
fn find_valid_len(file: &mut File) -> std::io::Result<u64> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(walk(&bytes, |payload| decode(&bytes[payload]).map(|_| ())).0)
}

/// Content of a segment.
#[derive(Debug, Default)]
pub struct Scanned {
    /// The valid records, in order.
    pub records: Vec<ItemRecord>,
    /// Number of invalid stretches: damage, or the torn end left by a killed writer.
    pub damaged: usize,
}

/// Passes the range of each payload with a valid digest to `take`; a record that it rejects counts as damaged. Returns
/// the length of the valid prefix and the number of invalid stretches.
fn walk(bytes: &[u8], mut take: impl FnMut(std::ops::Range<usize>) -> Option<()>) -> (u64, usize) {
    let (mut at, mut valid_len, mut damaged) = (0, 0, 0);
    while at < bytes.len() {
        if let Some(size) = valid_payload(&bytes[at..])
            && take(at + HEAD..at + HEAD + size).is_some()
        {
            at += HEAD + size;
            valid_len = at as u64;
        } else {
            damaged += 1;
            let next = memchr::memmem::find(&bytes[at + 1..], MARK);
            at = next.map_or(bytes.len(), |next| at + 1 + next);
        }
    }
    (valid_len, damaged)
}

/// The payload size of the record at the start of `bytes`, if its digest matches.
fn valid_payload(bytes: &[u8]) -> Option<usize> {
    if !bytes.starts_with(MARK) {
        return None;
    }
    let size = usize::try_from(u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?)).ok()?;
    let payload = bytes.get(HEAD..HEAD.checked_add(size)?)?;
    (Digest::of(payload).bytes()[..16] == bytes[16..HEAD]).then_some(size)
}

/// Reads a segment without changing it.
///
/// # Errors
/// [`StoreError::Disk`].
pub(super) fn read(path: &Path) -> Result<Scanned, StoreError> {
    let bytes = std::fs::read(path).map_err(StoreError::disk("read", path))?;
    let mut records = Vec::new();
    let (_, damaged) = walk(&bytes, |payload| decode(&bytes[payload]).map(|record| records.push(record)));
    Ok(Scanned { records, damaged })
}

/// Replaces a segment by one with only these records; removes it if there are none. Requires the GC lock, and that no
/// running process uses the segment: a process that has it open would append to a deleted file.
///
/// # Errors
/// [`StoreError::Disk`].
pub(super) fn replace(path: &Path, records: &[ItemRecord]) -> Result<(), StoreError> {
    if records.is_empty() {
        return std::fs::remove_file(path).map_err(StoreError::disk("delete", path));
    }
    disk::write_whole(path, &bytes_of(records)).map_err(StoreError::disk("write", path))
}
