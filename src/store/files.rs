//! Digests of files outside the store, remembered while size, modification time and inode stay.
//!
//! A file that was changed less than two seconds before its digest was taken may change again without a new time (git calls
//! such entries racy), so those are never trusted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Entry;
use crate::base::{Digest, disk};

const RACY: u64 = 2_000_000_000;

/// The remembered digests.
#[derive(Debug)]
pub struct FileDigests {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    files: BTreeMap<String, Remembered>,
    changed: bool,
}

/// What is remembered of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    size: u64,
    /// Modification time, nanoseconds since 1970.
    modified: u64,
    inode: u64,
    /// When the digest was taken.
    taken: u64,
    digest: Digest,
}

impl FileDigests {
    /// Reads what is remembered; nothing where that can't be read, because it can be found anew.
    pub(super) fn open(path: PathBuf) -> Self {
        let files = std::fs::read(&path).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default();
        Self { path, known: Mutex::new(Known { files, changed: false }) }
    }

    /// The entry of a file that is remembered and can be trusted; its bytes are not read.
    #[must_use]
    pub fn remembered(&self, path: &Path) -> Option<Entry> {
        let facts = std::fs::metadata(path).ok()?;
        let modified = (facts.mtime() as u64).wrapping_mul(1_000_000_000).wrapping_add(facts.mtime_nsec() as u64);
        let known = self.lock().files.get(path.to_str()?).copied()?;
        let same = (known.size, known.modified, known.inode) == (facts.len(), modified, facts.ino());
        let trusted = same && known.modified.saturating_add(RACY) < known.taken;
        trusted.then_some(Entry { digest: known.digest, size: known.size })
    }

    /// The entry of a file, from memory where it can be trusted. `now` is nanoseconds since 1970.
    ///
    /// # Errors
    /// What the system says.
    pub fn entry(&self, path: &Path, now: u64) -> io::Result<Entry> {
        let facts = std::fs::metadata(path)?;
        if !facts.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let modified = (facts.mtime() as u64).wrapping_mul(1_000_000_000).wrapping_add(facts.mtime_nsec() as u64);
        let name = path.to_str();
        if let Some(entry) = self.remembered(path) {
            return Ok(entry);
        }
        let entry = digest_of_file(File::open(path)?)?;
        if let Some(name) = name {
            let known = Remembered { size: entry.size, modified, inode: facts.ino(), taken: now, digest: entry.digest };
            let mut all = self.lock();
            all.files.insert(name.to_owned(), known);
            all.changed = true;
        }
        Ok(entry)
    }

    /// All files that are remembered, with what they were.
    #[must_use]
    pub fn all(&self) -> Vec<(PathBuf, Entry)> {
        let known = self.lock();
        let entry = |known: &Remembered| Entry { digest: known.digest, size: known.size };
        known.files.iter().map(|(path, known)| (PathBuf::from(path), entry(known))).collect()
    }

    /// Writes what is remembered. That it can't be written (a read-only store) only costs time later.
    pub fn save(&self) {
        let mut known = self.lock();
        if known.changed {
            let text = super::json(&known.files);
            let digest = Digest::of(&text).to_string();
            let bytes = [digest.as_bytes(), b"\n", &text].concat();
            known.changed = disk::write_lightly(&self.path, &bytes).is_err();
        }
    }

    /// Forgets a file that was found to hold other bytes than its size and time had led to believe.
    pub fn forget(&self, path: &Path) {
        let mut known = self.lock();
        let gone = path.to_str().and_then(|name| known.files.remove(name));
        known.changed |= gone.is_some();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is remembered, under its own digest: a byte that changed on the disk must not make a file look like another.
fn parse(bytes: &[u8]) -> Option<BTreeMap<String, Remembered>> {
    let (digest, text) = bytes.split_at_checked(Digest::of(b"").to_string().len())?;
    let text = text.strip_prefix(b"\n")?;
    (digest == Digest::of(text).to_string().as_bytes()).then(|| serde_json::from_slice(text).ok())?
}

/// Reads a file once, in large pieces, hashing each over all threads of the pool.
pub(super) fn digest_of_file(mut file: File) -> io::Result<Entry> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 4 << 20];
    let mut size = 0;
    loop {
        // Filled before it is hashed: small pieces would not be shared between threads.
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        if filled == 0 {
            return Ok(Entry { digest: Digest::from_bytes(*hasher.finalize().as_bytes()), size });
        }
        size += filled as u64;
        if filled >= 1 << 20 {
            hasher.update_rayon(&buffer[..filled]);
        } else {
            hasher.update(&buffer[..filled]);
        }
    }
}
