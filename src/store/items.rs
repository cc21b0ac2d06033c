//! Results of a map stage's items: one append-only file per map stage, because a file and a wait for the disk per item would
//! cost milliseconds each.
//!
//! A record is `MARK`, the payload's length (8 bytes, little-endian), the first 16 bytes of its BLAKE3 digest, and the payload
//! (JSON). A damaged record is skipped: reading goes on at the next mark. What follows the last good record when a process
//! died while it wrote is cut off before the next record is appended.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::action::{Accept, EVERYWHERE};
use super::{Objects, StoreError, Tree};
use crate::base::{Digest, disk};

const MARK: &[u8; 8] = b"\nmacula1";
const HEAD: usize = 8 + 8 + 16;

/// The result of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemRecord {
    /// The item's key.
    pub key: Digest,
    /// The item's name; for people.
    pub name: String,
    /// The realisation class.
    pub class: String,
    /// The result.
    pub tree: Tree,
}

/// The segment of one map stage.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    records: BTreeMap<Digest, BTreeMap<String, Tree>>,
    /// The end of the last good record, as far as this process knows.
    sound: u64,
}

impl Segment {
    /// Reads a segment; one that is not there is empty.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(StoreError::disk("read", &path)(error)),
        };
        let mut records: BTreeMap<Digest, BTreeMap<String, Tree>> = BTreeMap::new();
        let Scanned { records: found, end, .. } = scan(&bytes);
        for record in found {
            records.entry(record.key).or_default().insert(record.class, record.tree);
        }
        Ok(Self { path, records, sound: end })
    }

    /// The result of an item whose objects are all there: of the class `class`, else of any where that will do.
    #[must_use]
    pub fn find(&self, objects: &Objects, key: &Digest, class: &str, accept: Accept) -> Option<&Tree> {
        let records = self.records.get(key)?;
        let whole = |tree: &&Tree| tree.entries.values().all(|entry| objects.holds(entry));
        let own = [class, EVERYWHERE].into_iter().filter_map(|class| records.get(class)).find(whole);
        match accept {
            Accept::AnyClass => own.or_else(|| records.values().find(whole)),
            Accept::OwnClass => own,
        }
    }

    /// Appends results whose objects are published already, and waits for the disk.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn append(&mut self, records: &[ItemRecord]) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        self.sound = append(&self.path, records, self.sound).map_err(StoreError::disk("write", &self.path))?;
        for record in records {
            self.records.entry(record.key).or_default().insert(record.class.clone(), record.tree.clone());
        }
        Ok(())
    }
}

/// Appends and returns the new end. `sound` is where the last good record was known to end.
fn append(path: &Path, records: &[ItemRecord], sound: u64) -> std::io::Result<u64> {
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    disk::share(&file, path);
    flock(&file, FlockOperation::LockExclusive)?;
    // Another process may have appended meanwhile, or died while it did.
    let end = if file.metadata()?.len() == sound { sound } else { sound_end(&mut file)? };
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    let bytes = bytes_of(records);
    let written = file.write_all(&bytes).and_then(|()| file.sync_data());
    if written.is_err() {
        // A half-written record would be cut off by the next writer; do it now where the disk lets us.
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
        let payload = super::json(record);
        bytes.extend_from_slice(MARK);
        bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&Digest::of(&payload).bytes()[..16]);
        bytes.extend_from_slice(&payload);
    }
    bytes
}

/// The end of the last good record: what a killed writer left after it is no record.
fn sound_end(file: &mut File) -> std::io::Result<u64> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(scan(&bytes).end)
}

/// What a segment holds.
#[derive(Debug, Default)]
pub struct Scanned {
    /// The good records, in order.
    pub records: Vec<ItemRecord>,
    /// The end of the last one.
    pub end: u64,
    /// Stretches that are no records: damaged ones, or what a killed writer left at the end.
    pub damaged: usize,
}

/// The good records, and what lies between them.
fn scan(bytes: &[u8]) -> Scanned {
    let mut found = Scanned::default();
    let mut at = 0;
    while at < bytes.len() {
        if let Some((record, size)) = parse(&bytes[at..]) {
            found.records.push(record);
            at += size;
            found.end = at as u64;
        } else {
            found.damaged += 1;
            let next = memchr::memmem::find(&bytes[at + 1..], MARK);
            at = next.map_or(bytes.len(), |next| at + 1 + next);
        }
    }
    found
}

/// Reads a segment as it lies.
///
/// # Errors
/// [`StoreError::Disk`].
pub(super) fn read(path: &Path) -> Result<Scanned, StoreError> {
    Ok(scan(&std::fs::read(path).map_err(StoreError::disk("read", path))?))
}

/// Replaces a segment by one of these records alone; removes it where there are none. Only while the gate is held and no
/// living process uses it: one that has it open would append to what is no longer there.
///
/// # Errors
/// [`StoreError::Disk`].
pub(super) fn replace(path: &Path, records: &[ItemRecord]) -> Result<(), StoreError> {
    if records.is_empty() {
        return std::fs::remove_file(path).map_err(StoreError::disk("delete", path));
    }
    disk::write_whole(path, &bytes_of(records)).map_err(StoreError::disk("write", path))
}

fn parse(bytes: &[u8]) -> Option<(ItemRecord, usize)> {
    if !bytes.starts_with(MARK) {
        return None;
    }
    let size = usize::try_from(u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?)).ok()?;
    let end = HEAD.checked_add(size)?;
    let payload = bytes.get(HEAD..end)?;
    let record =
        (Digest::of(payload).bytes()[..16] == bytes[16..HEAD]).then(|| serde_json::from_slice(payload).ok())??;
    Some((record, end))
}
