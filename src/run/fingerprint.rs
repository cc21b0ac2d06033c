//! Fingerprints of folders: all names, sizes, times and inodes below a folder as one digest. Opens no file; calls
//! `stat` by name within the open folder, in parallel.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};

use super::listing::{self, DEEPEST, Identity};
use crate::base::Hasher;
use crate::store::Fingerprint;

/// Number of files that one thread checks in a row.
const IN_A_ROW: usize = 512;

/// A fingerprint under construction.
pub(super) struct FingerprintBuilder {
    hasher: Hasher,
    modified: u64,
    changed: u64,
    /// The folders on the path to the current one.
    chain: Vec<Identity>,
}

impl FingerprintBuilder {
    pub(super) fn new() -> Self {
        Self { hasher: Hasher::new("macula stamp 3"), modified: 0, changed: 0, chain: Vec::new() }
    }

    /// Adds one file; [`None`] if it does not exist.
    pub(super) fn file(&mut self, file: &Path) -> Option<()> {
        let facts = rustix::fs::stat(file).ok().filter(|facts| kind(facts) == FileType::RegularFile)?;
        let mut seen = FileFacts::default();
        seen.add(file.as_os_str().as_encoded_bytes(), &facts);
        self.take(&seen);
        Some(())
    }

    /// Adds all files and folders below `folder`, in the order in which the system lists them: a different order is a
    /// different fingerprint. [`None`] if something cannot be listed or disappears meanwhile, or for a dangling link, a
    /// link to a parent folder, a FIFO, or a system folder such as `/proc`.
    pub(super) fn folder(&mut self, folder: &Path) -> Option<()> {
        self.chain = listing::above(folder).ok()?;
        // `below` adds the folder itself.
        self.chain.pop();
        self.below(CWD, &folder.as_os_str().as_encoded_bytes().iter().copied().chain([0]).collect::<Vec<u8>>(), 0)
    }

    pub(super) fn finish(&self) -> Fingerprint {
        Fingerprint { digest: self.hasher.finish(), modified: self.modified, changed: self.changed }
    }

    /// Adds a folder; `name` ends with a zero byte.
    fn below(&mut self, above: BorrowedFd, name: &[u8], depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(above, CStr::from_bytes_with_nul(name).ok()?, flags, Mode::empty()).ok()?;
        let facts = rustix::fs::fstat(&folder).ok()?;
        let identity = (device(&facts), facts.st_ino);
        let elsewhere = self.chain.last().is_none_or(|(device, _)| *device != identity.0);
        if self.chain.contains(&identity) || elsewhere && listing::shows_the_system(&folder) {
            return None;
        }
        let mut own = FileFacts::default();
        own.add(name, &facts);
        self.take(&own);
        let names = Names::of(&folder)?;
        let parts: Vec<FileFacts> = names
            .ends
            .par_chunks(IN_A_ROW)
            .enumerate()
            .map(|(at, ends)| names.look(folder.as_fd(), at * IN_A_ROW, ends))
            .collect::<Option<_>>()?;
        self.hasher.int(names.ends.len() as u64);
        for part in &parts {
            self.take(part);
        }
        self.chain.push(identity);
        for inner in parts.iter().flat_map(|part| &part.folders) {
            self.below(folder.as_fd(), inner, depth + 1)?;
        }
        self.chain.pop();
        Some(())
    }

    fn take(&mut self, seen: &FileFacts) {
        self.hasher.bytes(&seen.facts);
        self.modified = self.modified.max(seen.modified);
        self.changed = self.changed.max(seen.changed);
    }
}

/// The names in a folder, concatenated, each with a zero byte at its end.
struct Names {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Names {
    /// The names that are not hidden; [`None`] if one is not UTF-8.
    fn of(folder: &OwnedFd) -> Option<Self> {
        let mut names = Self { text: Vec::new(), ends: Vec::new() };
        for entry in Dir::read_from(folder).ok()? {
            let entry = entry.ok()?;
            let name = entry.file_name();
            if name.to_bytes().starts_with(b".") {
                continue;
            }
            name.to_str().ok()?;
            names.text.extend_from_slice(name.to_bytes_with_nul());
            names.ends.push(names.text.len());
        }
        Some(names)
    }

    /// The facts of the files whose names end at `ends`, which start at index `first`.
    fn look(&self, folder: BorrowedFd, first: usize, ends: &[usize]) -> Option<FileFacts> {
        let mut from = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        let mut seen = FileFacts::default();
        for &end in ends {
            let name = &self.text[std::mem::replace(&mut from, end)..end];
            let path = CStr::from_bytes_with_nul(name).ok()?;
            let facts = rustix::fs::statat(folder, path, AtFlags::empty()).ok()?;
            match kind(&facts) {
                FileType::RegularFile => seen.add(name, &facts),
                FileType::Directory => seen.folders.push(name.to_vec()),
                _ => return None,
            }
        }
        Some(seen)
    }
}

/// Facts of several files.
#[derive(Default)]
struct FileFacts {
    facts: Vec<u8>,
    /// The folders among them.
    folders: Vec<Vec<u8>>,
    modified: u64,
    changed: u64,
}

impl FileFacts {
    fn add(&mut self, name: &[u8], facts: &Stat) {
        self.facts.extend_from_slice(name);
        let since = nanoseconds(facts.st_mtime, facts.st_mtime_nsec);
        let moved = nanoseconds(facts.st_ctime, facts.st_ctime_nsec);
        // A folder's size and modification time follow from the names in it.
        let file = kind(facts) == FileType::RegularFile;
        let (size, modified) = if file { (facts.st_size as u64, since) } else { (0, 0) };
        for fact in [device(facts), facts.st_ino, u64::from(facts.st_mode), size, modified, moved] {
            self.facts.extend_from_slice(&fact.to_le_bytes());
        }
        self.modified = self.modified.max(modified);
        self.changed = self.changed.max(moved);
    }
}

fn kind(facts: &Stat) -> FileType {
    FileType::from_raw_mode(facts.st_mode)
}

/// The number of the file system; of 32 bits with a sign on macOS.
fn device(facts: &Stat) -> u64 {
    let number: i128 = facts.st_dev.into();
    number as u64
}

fn nanoseconds(seconds: impl TryInto<i64>, rest: impl TryInto<i64>) -> u64 {
    let [seconds, rest] = [seconds.try_into().unwrap_or(0), rest.try_into().unwrap_or(0)];
    (seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(rest as u64)
}
