//! Digests of files outside the store, cached while size, times and inode stay the same.
//!
//! A file modified less than two seconds before its digest was taken may change again without a new modification time
//! (git calls such entries racy), so these digests are never trusted.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rayon::prelude::*;

use super::Entry;
use crate::base::sync;
use crate::base::{Digest, disk, regular};

/// Resolution of modification times, nanoseconds: two changes this close may have the same time. File systems store
/// times to the nanosecond, to the clock tick (4 to 10 ms), to the second (ext3, HFS+) or to two seconds (FAT).
pub(super) const RACY: u64 = 2_000_000_000;

/// A cache of file digests.
#[derive(Debug)]
pub struct FileDigests {
    path: PathBuf,
    known: Mutex<KnownDigests>,
}

#[derive(Debug, Default)]
struct KnownDigests {
    /// Read on first use: a run with nothing to do may not need it.
    files: Option<BTreeMap<String, Remembered>>,
    changed: bool,
}

/// A cached digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Remembered {
    facts: Facts,
    /// When the digest was taken.
    taken: u64,
    digest: Digest,
}

/// What `stat` reports of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    size: u64,
    /// Modification time of its content, which users can set; nanoseconds since 1970.
    modified: u64,
    /// Time of its last change of any kind (ctime), which nobody can set.
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
        Self { size: facts.len(), modified: disk::modified(facts), changed, inode: facts.ino() }
    }
}

impl Remembered {
    /// The digest, if the file's facts are unchanged and a change since would have altered them.
    fn trusted(&self, now: Facts) -> Option<Entry> {
        let trusted = self.facts == now && now.modified.saturating_add(RACY) < self.taken;
        trusted.then_some(Entry { digest: self.digest, size: now.size })
    }
}

impl FileDigests {
    pub(super) fn open(path: PathBuf) -> Self {
        Self { path, known: Mutex::default() }
    }

    /// The cached entry of a file, if it can be trusted; its bytes are not read.
    #[must_use]
    pub fn remembered(&self, path: &Path) -> Option<Entry> {
        self.known_as(path, Facts::of(&std::fs::metadata(path).ok()?))
    }

    fn known_as(&self, path: &Path, facts: Facts) -> Option<Entry> {
        self.with(|files| files.get(path.to_str()?).copied())?.trusted(facts)
    }

    /// The entry of a file, from the cache if it can be trusted. `now` is nanoseconds since 1970.
    ///
    /// # Errors
    /// The system's error.
    pub fn entry(&self, path: &Path, now: u64) -> io::Result<Entry> {
        let facts = Facts::of_file(path)?;
        if let Some(entry) = self.known_as(path, facts) {
            return Ok(entry);
        }
        let entry = digest_of_file(regular::open(path)?)?;
        self.note(path, Remembered { facts, taken: now, digest: entry.digest });
        Ok(entry)
    }

    /// The entries of many files, read in parallel; see [`FileDigests::entry`].
    ///
    /// # Errors
    /// The first file that cannot be read, and the system's error.
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
        // Hold no lock while hashing: a rayon worker may pick up other work that comes back here.
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

    /// All cached files and their entries.
    #[must_use]
    pub fn all(&self) -> Vec<(PathBuf, Entry)> {
        let entry = |known: &Remembered| Entry { digest: known.digest, size: known.facts.size };
        self.with(|files| files.iter().map(|(path, known)| (PathBuf::from(path), entry(known))).collect())
    }

    /// Writes the cache. A failure (a read-only store) only costs time later.
    pub fn save(&self) {
        let mut known = self.lock();
        if let (true, Some(files)) = (known.changed, &known.files) {
            let bytes = encode(files);
            let bytes = [Digest::of(&bytes).bytes().as_slice(), &bytes].concat();
            known.changed = disk::write_lightly(&self.path, &bytes).is_err();
        }
    }

    /// Removes a file from the cache whose content turned out to differ although its facts did not change.
    pub fn forget(&self, path: &Path) {
        let gone = self.with(|files| path.to_str().and_then(|name| files.remove(name)));
        self.lock().changed |= gone.is_some();
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Remembered>) -> T) -> T {
        let mut known = self.lock();
        // Empty if it cannot be read: it can be rebuilt.
        let read = || std::fs::read(&self.path).ok().and_then(|bytes| decode(&bytes)).unwrap_or_default();
        work(known.files.get_or_insert_with(read))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, KnownDigests> {
        sync::lock(&self.known)
    }
}

/// Distinguishes this format from that of older versions.
const MAGIC: &[u8; 16] = b"macula files 1\n\0";

/// The cache as bytes. Each file is the length of its path, the path, five numbers and the digest; all numbers are 8
/// bytes, little-endian.
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

/// Reads [`encode`]d bytes below their digest: a flipped byte on disk must not make one file look like another.
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

/// Takes the next bytes off.
pub(super) fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

/// Takes the next number off.
pub(super) fn number(rest: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?))
}

/// The entry of a file, read once in large pieces, each hashed on all threads of the pool.
///
/// # Errors
/// The system's error.
pub fn digest_of_file(file: File) -> io::Result<Entry> {
    digest_while(file, &|| true)?.ok_or_else(|| io::ErrorKind::Interrupted.into())
}

/// As [`digest_of_file`], while `on_progress` returns true; [`None`] once it does not. A sparse file may be longer than
/// anybody wants to wait for.
pub(super) fn digest_while(mut file: File, on_progress: &dyn Fn() -> bool) -> io::Result<Option<Entry>> {
    let mut hasher = blake3::Hasher::new();
    let most = file.metadata()?.len().saturating_add(1).clamp(1 << 10, 4 << 20);
    let mut buffer = vec![0; most as usize];
    let mut size = 0;
    loop {
        if !on_progress() {
            return Ok(None);
        }
        // Fill the buffer before hashing: small pieces would not be shared between threads.
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
