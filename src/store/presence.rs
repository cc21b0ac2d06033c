//! Presence checks by listing the object folders: for results of many objects, far cheaper than one `stat` each. A
//! complete tree is remembered until an object folder changes: then not even listing is needed.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use super::files::{RACY, take};
use crate::base::sync::lock;
use crate::base::{Digest, Hasher, disk};

/// For at least this many objects, the folders are listed instead of checking each object.
pub(super) const MANY: usize = 1000;

/// What this process knows about which objects are present.
#[derive(Debug)]
pub(super) struct Presence {
    /// Objects that were seen at their final path with the right size.
    seen: Mutex<BTreeSet<Digest>>,
    /// Listing of the object folders, from the last check of many objects.
    listing: Mutex<Option<Arc<Listing>>>,
    /// Number of objects from which on the folders are listed.
    many: usize,
    /// Trees known to be complete.
    complete: Option<CompleteTrees>,
}

impl Default for Presence {
    fn default() -> Self {
        Self { seen: Mutex::default(), listing: Mutex::default(), many: MANY, complete: None }
    }
}

impl Presence {
    /// Sets the file that caches which large trees are complete.
    pub(super) fn cached_in(self, path: PathBuf) -> Self {
        Self { complete: Some(CompleteTrees::new(path, RACY)), ..self }
    }

    /// Sets from how many objects on folders are listed, and for how many nanoseconds they must have been unchanged.
    pub(super) fn listing_from(self, many: usize, racy: u64) -> Self {
        Self { many, complete: self.complete.map(|complete| complete.within(racy)), ..self }
    }

    /// Whether so many objects are checked by listing the folders.
    pub(super) fn is_many(&self, count: usize) -> bool {
        count >= self.many
    }

    /// The cache of complete trees, for a tree of `count` entries.
    pub(super) fn complete(&self, count: usize) -> Option<&CompleteTrees> {
        self.complete.as_ref().filter(|_| self.is_many(count))
    }

    /// The listing of the objects under `root`, made on first use. `moment` is a time no later than now by the disk's clock.
    pub(super) fn listing(&self, root: &Path, moment: impl FnOnce() -> Option<u64>) -> Arc<Listing> {
        // Not held while listing: rayon's workers may pick up other work that comes back here.
        if let Some(known) = lock(&self.listing).clone() {
            return known;
        }
        let racy = self.complete.as_ref().map_or(RACY, CompleteTrees::racy);
        let new = Arc::new(Listing::of(root, moment(), racy));
        *lock(&self.listing) = Some(Arc::clone(&new));
        new
    }

    /// Whether an object was seen.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        lock(&self.seen).contains(digest)
    }

    /// Notes that an object was seen.
    pub(super) fn note(&self, digest: &Digest) {
        lock(&self.seen).insert(*digest);
    }

    /// Notes that an object turned out to be missing or damaged.
    pub(super) fn forget(&self, digest: &Digest) {
        lock(&self.seen).remove(digest);
    }

    /// Notes objects that were just published.
    pub(super) fn published(&self, digests: impl Iterator<Item = Digest>) {
        if let Some(listing) = &mut *lock(&self.listing) {
            Arc::make_mut(listing).add(digests);
        }
    }
}

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
            let modified = disk::modified(&facts);
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
    known: Mutex<Option<KnownFolders>>,
}

#[derive(Debug, Default)]
struct KnownFolders {
    folders: Option<Digest>,
    trees: BTreeSet<Digest>,
}

impl CompleteTrees {
    /// The cache in `path`, read on first use.
    fn new(path: PathBuf, racy: u64) -> Self {
        Self { path, racy, known: Mutex::default() }
    }

    /// Sets for how many nanoseconds folders must have been unchanged.
    fn within(self, racy: u64) -> Self {
        Self { racy, ..self }
    }

    /// For how many nanoseconds folders must have been unchanged.
    fn racy(&self) -> u64 {
        self.racy
    }

    /// Whether a tree was complete when the folders had this fingerprint.
    pub(super) fn says(&self, tree: &Digest, folders: Folders) -> bool {
        self.with(|known| known.folders == Some(folders.fingerprint) && known.trees.contains(tree))
    }

    /// Remembers that a tree is complete. A failed write (a read-only store) only costs time later.
    pub(super) fn note(&self, tree: Digest, folders: Digest) {
        let bytes = self.with(|known| {
            if known.folders != Some(folders) {
                *known = KnownFolders { folders: Some(folders), trees: BTreeSet::new() };
            }
            known.trees.insert(tree).then(|| known.encode()).flatten()
        });
        if let Some(bytes) = bytes {
            let _ = disk::write_lightly(&self.path, &bytes);
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut KnownFolders) -> T) -> T {
        let mut known = lock(&self.known);
        let read = || std::fs::read(&self.path).ok().and_then(|bytes| KnownFolders::decode(&bytes)).unwrap_or_default();
        work(known.get_or_insert_with(read))
    }
}

const MAGIC: &[u8; 16] = b"macula whole 1\n\0";

impl KnownFolders {
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
    folders: Vec<DigestFolder>,
    /// What this process added since.
    added: BTreeSet<Digest>,
}

/// Digests in one folder, grouped by their second byte.
#[derive(Clone, Debug)]
struct DigestFolder {
    digests: Vec<Digest>,
    /// Start of each group, and the end of the last.
    starts: Vec<u32>,
}

impl Listing {
    /// Lists the objects under `root`. A folder that cannot be listed counts as empty, so each of its objects is
    /// checked. `moment` is a time no later than now by the disk's clock.
    fn of(root: &Path, moment: Option<u64>, racy: u64) -> Self {
        let before = Folders::of(root);
        let trusted = moment.is_some_and(|moment| before.tells(moment, racy));
        Self {
            before: trusted.then_some(before.fingerprint),
            folders: (0..=u8::MAX).into_par_iter().map(|first| DigestFolder::of(root, first)).collect(),
            added: BTreeSet::new(),
        }
    }

    /// Whether an object is listed.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.folders[usize::from(digest.bytes()[0])].has(digest) || self.added.contains(digest)
    }

    /// Fingerprint of the folders before listing, if any later change must alter it.
    pub(super) fn before(&self) -> Option<Digest> {
        self.before
    }

    /// Adds objects that were just published.
    fn add(&mut self, digests: impl Iterator<Item = Digest>) {
        self.before = None;
        self.added.extend(digests);
    }
}

impl DigestFolder {
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
