//! Digests of files outside the store, remembered while size, times and inode stay.
//!
//! A file that was modified less than two seconds before its digest was taken may change again without a new time (git calls
//! such entries racy), so those are never trusted.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::Entry;
use super::inventory::nanoseconds;
use crate::base::{Digest, disk, regular};

/// Changes within so many nanoseconds may have the same time: file systems keep times to a nanosecond, to the tick of a clock (4
/// to 10 ms), to a second (ext3, HFS+) or to two (FAT).
pub(super) const RACY: u64 = 2_000_000_000;

/// The remembered digests.
#[derive(Debug)]
pub struct FileDigests {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Read when it is first asked for: a run that has nothing to do may not ask.
    files: Option<BTreeMap<String, Remembered>>,
    changed: bool,
}

/// What is remembered of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Remembered {
    facts: Facts,
    /// When the digest was taken.
    taken: u64,
    digest: Digest,
}

/// How a file looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    size: u64,
    /// When its bytes were last changed, as it says; nanoseconds since 1970.
    modified: u64,
    /// When anything of it was last changed, as the system says: nobody can set that.
    changed: u64,
    inode: u64,
}

impl Facts {
    fn of_file(path: &Path) -> io::Result<Self> {
        let facts = std::fs::metadata(path)?;
        if !facts.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self::of(&facts))
    }

    fn of(facts: &Metadata) -> Self {
        let changed = (facts.ctime() as u64).wrapping_mul(1_000_000_000).wrapping_add(facts.ctime_nsec() as u64);
        Self { size: facts.len(), modified: nanoseconds(facts), changed, inode: facts.ino() }
    }
}

impl Remembered {
    /// The digest, where the file looks as it did and can't have changed since without looking otherwise.
    fn trusted(&self, now: Facts) -> Option<Entry> {
        let trusted = self.facts == now && now.modified.saturating_add(RACY) < self.taken;
        trusted.then_some(Entry { digest: self.digest, size: now.size })
    }
}

impl FileDigests {
    pub(super) fn open(path: PathBuf) -> Self {
        Self { path, known: Mutex::default() }
    }

    /// The entry of a file that is remembered and can be trusted; its bytes are not read.
    #[must_use]
    pub fn remembered(&self, path: &Path) -> Option<Entry> {
        self.known_as(path, Facts::of(&std::fs::metadata(path).ok()?))
    }

    fn known_as(&self, path: &Path, facts: Facts) -> Option<Entry> {
        self.with(|files| files.get(path.to_str()?).copied())?.trusted(facts)
    }

    /// The entry of a file, from memory where it can be trusted. `now` is nanoseconds since 1970.
    ///
    /// # Errors
    /// What the system says.
    pub fn entry(&self, path: &Path, now: u64) -> io::Result<Entry> {
        let facts = Facts::of_file(path)?;
        if let Some(entry) = self.known_as(path, facts) {
            return Ok(entry);
        }
        let entry = digest_of_file(regular::open(path)?)?;
        self.note(path, Remembered { facts, taken: now, digest: entry.digest });
        Ok(entry)
    }

    /// As [`FileDigests::entry`] of many files, several at a time.
    ///
    /// # Errors
    /// The first file that can't be read, and what the system says.
    pub fn entries<'a>(&self, paths: &'a [PathBuf], now: u64) -> Result<Vec<Entry>, (&'a Path, io::Error)> {
        let facts: Vec<io::Result<Facts>> = paths.par_iter().map(|path| Facts::of_file(path)).collect();
        let facts = paths.iter().zip(facts).map(|(path, facts)| facts.map_err(|error| (path.as_path(), error)));
        let facts: Vec<Facts> = facts.collect::<Result<_, _>>()?;
        let known = |files: &BTreeMap<String, Remembered>| -> Vec<Option<Entry>> {
            let known = |(path, facts): (&PathBuf, &Facts)| files.get(path.to_str()?)?.trusted(*facts);
            paths.iter().zip(&facts).map(known).collect()
        };
        let mut found = self.with(|files| known(files));
        let new: Vec<usize> = (0..paths.len()).filter(|&at| found[at].is_none()).collect();
        // No lock is held while hashing: rayon's workers take up other work that may come here.
        let read: Vec<io::Result<Entry>> =
            new.par_iter().map(|&at| regular::open(&paths[at]).and_then(digest_of_file)).collect();
        for (at, entry) in new.into_iter().zip(read) {
            let entry = entry.map_err(|error| (paths[at].as_path(), error))?;
            self.note(&paths[at], Remembered { facts: facts[at], taken: now, digest: entry.digest });
            found[at] = Some(entry);
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn note(&self, path: &Path, known: Remembered) {
        if let Some(name) = path.to_str() {
            self.with(|files| files.insert(name.to_owned(), known));
            self.lock().changed = true;
        }
    }

    /// All files that are remembered, with what they were.
    #[must_use]
    pub fn all(&self) -> Vec<(PathBuf, Entry)> {
        let entry = |known: &Remembered| Entry { digest: known.digest, size: known.facts.size };
        self.with(|files| files.iter().map(|(path, known)| (PathBuf::from(path), entry(known))).collect())
    }

    /// Writes what is remembered. That it can't be written (a read-only store) only costs time later.
    pub fn save(&self) {
        let mut known = self.lock();
        if let (true, Some(files)) = (known.changed, &known.files) {
            let bytes = encode(files);
            let bytes = [Digest::of(&bytes).bytes().as_slice(), &bytes].concat();
            known.changed = disk::write_lightly(&self.path, &bytes).is_err();
        }
    }

    /// Forgets a file that was found to hold other bytes than its size and time had led to believe.
    pub fn forget(&self, path: &Path) {
        let gone = self.with(|files| path.to_str().and_then(|name| files.remove(name)));
        self.lock().changed |= gone.is_some();
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Remembered>) -> T) -> T {
        let mut known = self.lock();
        // Nothing where it can't be read, because it can be found anew.
        let read = || std::fs::read(&self.path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        work(known.files.get_or_insert_with(read))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the rows of an earlier macula do not begin with.
const MAGIC: &[u8; 16] = b"macula files 1\n\0";

/// For each file the length of its path, the path, five numbers and the digest, all numbers of 8 bytes, little-endian.
fn encode(files: &BTreeMap<String, Remembered>) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (path, Remembered { facts, taken, digest }) in files {
        bytes.extend_from_slice(&(path.len() as u64).to_le_bytes());
        bytes.extend_from_slice(path.as_bytes());
        for number in [facts.size, facts.modified, facts.changed, facts.inode, *taken] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(digest.bytes());
    }
    bytes
}

/// What is remembered, under its own digest: a byte that changed on the disk must not make a file look like another.
fn decode(bytes: &[u8]) -> Option<BTreeMap<String, Remembered>> {
    let (digest, bytes) = bytes.split_at_checked(32)?;
    if digest != Digest::of(bytes).bytes() {
        return None;
    }
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(number(&mut rest)?).ok()?;
        let path = std::str::from_utf8(take(&mut rest, length)?).ok()?;
        let [size, modified, changed, inode, taken] =
            [number(&mut rest)?, number(&mut rest)?, number(&mut rest)?, number(&mut rest)?, number(&mut rest)?];
        let digest = Digest::from_bytes(take(&mut rest, 32)?.try_into().ok()?);
        let facts = Facts { size, modified, changed, inode };
        found.push((path.to_owned(), Remembered { facts, taken, digest }));
    }
    Some(found.into_iter().collect())
}

/// The next bytes, taken off.
pub(super) fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

/// The next number, taken off.
pub(super) fn number(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?))
}

/// Reads a file once, in large pieces, hashing each over all threads of the pool.
///
/// # Errors
/// What the system says.
pub fn digest_of_file(file: File) -> io::Result<Entry> {
    digest_while(file, &|| true)?.ok_or_else(|| io::ErrorKind::Interrupted.into())
}

/// As [`digest_of_file`], as long as `go_on` says so; [`None`] once it does not. A file without bytes on the disk may be longer than
/// anybody wants to wait.
pub(super) fn digest_while(mut file: File, go_on: &dyn Fn() -> bool) -> io::Result<Option<Entry>> {
    let mut hasher = blake3::Hasher::new();
    let most = file.metadata()?.len().saturating_add(1).clamp(1 << 10, 4 << 20);
    let mut buffer = vec![0; most as usize];
    let mut size = 0;
    loop {
        if !go_on() {
            return Ok(None);
        }
        // Filled before it is hashed: small pieces would not be shared between threads.
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        if filled == 0 {
            return Ok(Some(Entry { digest: Digest::from_bytes(*hasher.finalize().as_bytes()), size }));
        }
        size += filled as u64;
        if filled >= 1 << 20 {
            hasher.update_rayon(&buffer[..filled]);
        } else {
            hasher.update(&buffer[..filled]);
        }
    }
}
