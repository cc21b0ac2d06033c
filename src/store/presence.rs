//! Presence checks by listing the object folders: for results of many objects, far cheaper than one `stat` each. A
//! complete tree is remembered until an object folder changes: then not even listing is needed.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::files::take;
use super::inventory::nanoseconds;
use super::{Entry, Objects};
use crate::base::{Digest, Hasher, disk};

/// Fingerprint of all object folders: a digest of their inodes and times. Adding or removing a name changes its
/// folder's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Folders {
    fingerprint: Digest,
    /// The latest of all times: nanoseconds since 1970.
    changed: u64,
}

impl Folders {
    pub(super) fn of(root: &Path) -> Self {
        let mut hasher = Hasher::new("macula folders of objects 1");
        let mut changed = 0;
        for first in 0..=u8::MAX {
            let Ok(facts) = folder(root, first).metadata() else {
                hasher.int(0);
                continue;
            };
            let moved = (facts.ctime() as u64).wrapping_mul(1_000_000_000).wrapping_add(facts.ctime_nsec() as u64);
            let modified = nanoseconds(&facts);
            hasher.int(1).int(facts.dev()).int(facts.ino()).int(modified).int(moved);
            changed = changed.max(modified).max(moved);
        }
        Self { fingerprint: hasher.finish(), changed }
    }

    /// True if any directory change after `moment` must alter the directory mtime (outside the racy window, see
    /// [`RACY`](super::files::RACY)).
    fn tells(&self, moment: u64, racy: u64) -> bool {
        self.changed.saturating_add(racy) < moment
    }
}

fn folder(root: &Path, first: u8) -> PathBuf {
    root.join(format!("{first:02x}"))
}

/// Trees whose objects were all present, valid for one fingerprint of the object folders; cached in a file of the
/// store.
#[derive(Debug)]
pub(super) struct CompleteTrees {
    path: PathBuf,
    racy: u64,
    known: Mutex<Option<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    folders: Option<Digest>,
    trees: BTreeSet<Digest>,
}

impl CompleteTrees {
    /// The cache in `path`, read on first use.
    pub(super) fn new(path: PathBuf, racy: u64) -> Self {
        Self { path, racy, known: Mutex::default() }
    }

    /// Sets for how many nanoseconds folders must have been unchanged.
    pub(super) fn within(self, racy: u64) -> Self {
        Self { racy, ..self }
    }

    /// For how many nanoseconds folders must have been unchanged.
    pub(super) fn racy(&self) -> u64 {
        self.racy
    }

    /// Whether a tree was complete when the folders had this fingerprint.
    pub(super) fn says(&self, tree: &Digest, folders: Folders) -> bool {
        self.with(|known| known.folders == Some(folders.fingerprint) && known.trees.contains(tree))
    }

    /// Remembers that a tree is complete. A failed write (a read-only store) only costs time later.
    fn note(&self, tree: Digest, folders: Digest) {
        let bytes = self.with(|known| {
            if known.folders != Some(folders) {
                *known = Known { folders: Some(folders), trees: BTreeSet::new() };
            }
            known.trees.insert(tree).then(|| known.encode()).flatten()
        });
        if let Some(bytes) = bytes {
            let _ = disk::write_lightly(&self.path, &bytes);
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || std::fs::read(&self.path).ok().and_then(|bytes| Known::decode(&bytes)).unwrap_or_default();
        work(known.get_or_insert_with(read))
    }
}

const MAGIC: &[u8; 16] = b"macula whole 1\n\0";

impl Known {
    /// The cache as bytes below their digest: a flipped byte on disk must not make a tree look complete.
    fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(self.folders?.bytes());
        self.trees.iter().for_each(|tree| bytes.extend_from_slice(tree.bytes()));
        Some([Digest::of(&bytes).bytes().as_slice(), &bytes].concat())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (digest, bytes) = bytes.split_at_checked(32)?;
        if digest != Digest::of(bytes).bytes() {
            return None;
        }
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut digests = std::iter::from_fn(|| take(&mut rest, 32)?.try_into().ok().map(Digest::from_bytes));
        Some(Self { folders: Some(digests.next()?), trees: digests.collect() })
    }
}

/// Digests in the object folders at one time.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    /// Fingerprint of the folders before listing, if any later change must alter it.
    before: Option<Digest>,
    /// By their first byte.
    folders: Vec<Folder>,
    /// What this process added since.
    added: BTreeSet<Digest>,
}

/// Digests in one folder, grouped by their second byte.
#[derive(Clone, Debug)]
struct Folder {
    digests: Vec<Digest>,
    /// Start of each group, and the end of the last.
    starts: Vec<u32>,
}

impl Listing {
    /// Lists the objects under `root`. A folder that cannot be listed counts as empty, so each of its objects is
    /// checked. `moment` is a time no later than now by the disk's clock.
    pub(super) fn of(root: &Path, moment: Option<u64>, racy: u64) -> Self {
        let before = Folders::of(root);
        let trusted = moment.is_some_and(|moment| before.tells(moment, racy));
        Self {
            before: trusted.then_some(before.fingerprint),
            folders: (0..=u8::MAX).into_par_iter().map(|first| Folder::of(root, first)).collect(),
            added: BTreeSet::new(),
        }
    }

    /// Whether an object is listed.
    fn has(&self, digest: &Digest) -> bool {
        self.folders[usize::from(digest.bytes()[0])].has(digest) || self.added.contains(digest)
    }

    /// Adds objects that were just published.
    pub(super) fn add(&mut self, digests: impl Iterator<Item = Digest>) {
        self.before = None;
        self.added.extend(digests);
    }
}

impl Folder {
    fn of(root: &Path, first: u8) -> Self {
        use rustix::fs::{CWD, Dir, Mode, OFlags, openat};
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let entries = openat(CWD, folder(root, first), flags, Mode::empty()).and_then(Dir::new);
        let entries = entries.into_iter().flatten().flatten();
        let found: Vec<Digest> = entries.filter_map(|entry| digest(first, entry.file_name().to_bytes())).collect();
        let mut starts = vec![0_u32; 257];
        for digest in &found {
            starts[usize::from(digest.bytes()[1]) + 1] += 1;
        }
        (1..257).for_each(|at| starts[at] += starts[at - 1]);
        let (mut next, mut digests) = (starts.clone(), found.clone());
        for digest in found {
            let at = &mut next[usize::from(digest.bytes()[1])];
            digests[*at as usize] = digest;
            *at += 1;
        }
        Self { digests, starts }
    }

    fn has(&self, digest: &Digest) -> bool {
        let second = usize::from(digest.bytes()[1]);
        self.digests[self.starts[second] as usize..self.starts[second + 1] as usize].contains(digest)
    }
}

/// A presence check for one or many objects.
#[derive(Debug)]
pub(super) struct PresenceCheck<'a> {
    objects: &'a Objects,
    listing: Option<Arc<Listing>>,
    /// Listed, but found damaged since.
    damaged: BTreeSet<Digest>,
}

impl<'a> PresenceCheck<'a> {
    pub(super) fn new(objects: &'a Objects, listing: Option<Arc<Listing>>, damaged: BTreeSet<Digest>) -> Self {
        Self { objects, listing, damaged }
    }

    /// As [`Objects::holds`]; a listed object counts as present whatever its size: truncation is found on read.
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        self.lists(entry) || self.objects.holds(entry)
    }

    /// Whether an object is listed and not damaged.
    pub(super) fn lists(&self, entry: &Entry) -> bool {
        let listed = self.listing.as_ref().is_some_and(|listing| listing.has(&entry.digest));
        listed && !self.damaged.contains(&entry.digest)
    }

    /// Remembers a tree all of whose objects were listed.
    pub(super) fn note(&self, whole: &CompleteTrees, tree: Digest) {
        if let Some(folders) = self.listing.as_ref().and_then(|listing| listing.before) {
            whole.note(tree, folders);
        }
    }
}

/// A digest from its first byte and the hexadecimal digits of the others.
fn digest(first: u8, rest: &[u8]) -> Option<Digest> {
    let mut bytes = [first; 32];
    if rest.len() != 62 {
        return None;
    }
    for (byte, pair) in bytes[1..].iter_mut().zip(rest.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(Digest::from_bytes(bytes))
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}
