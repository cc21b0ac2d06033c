//! Content-addressed objects: bytes in, digest out; digest in, verified bytes out.
//!
//! This is the part of the store that stages see. An object may also lie outside, where a source found it (a photograph of
//! the user's): then its path is known and its bytes are verified at each read like any other's.
//!
//! New objects wait in a folder of their own (`incoming/`) and can be read from there; [`Objects::publish`] brings them to the
//! disk together and renames them to their place. So whatever stands in its place is whole, and many small objects do not
//! wait for the disk one by one.

mod external;
mod ingest;
mod publish;
mod verified_path;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::external::ExternalFiles;
pub use self::verified_path::Location;
use self::verified_path::Seen;
pub use super::error::StoreError;
use super::files::RACY;
use super::incoming::{Incoming, ObjectWriter};
use super::presence::{CompleteTrees, Folders, Listing, PresenceCheck};
use super::remote::Remotes;
use super::tree::Encoded;
use super::{Entry, Lease, Tree, Use};
use crate::base::{Digest, disk, regular, threads};

/// Objects from this size on are mapped instead of read.
const MAPPED_FROM: u64 = 64 << 10;

/// From so many objects on the folders are listed instead of asking for each.
const MANY: usize = 1000;

/// How many files are brought to the disk at the same time (a journal commits them together), or over the network.
pub(super) const AT_ONCE: usize = 16;

/// Bytes of an object, verified: mapped or in memory.
#[derive(Debug)]
pub enum Blob {
    /// In memory.
    Owned(Vec<u8>),
    /// Mapped from a read-only object of the store.
    Mapped(memmap2::Mmap),
}

impl AsRef<[u8]> for Blob {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

/// The objects of a store. Cheap to share between threads.
#[derive(Debug)]
pub struct Objects {
    root: PathBuf,
    /// Whether the folder may be changed.
    access: Access,
    /// Where this process says what it relies on.
    lease: Option<Arc<Lease>>,
    /// Where objects are asked for that are not here.
    remotes: Arc<Remotes>,
    incoming: Mutex<Option<Incoming>>,
    /// Written, not yet in their place: digest and temporary file.
    pending: Mutex<BTreeMap<Digest, PathBuf>>,
    /// Held while pending objects are published, so that two publishers do not rename the same file.
    publishing: Mutex<()>,
    /// Outside the store.
    external: Mutex<ExternalFiles>,
    /// Objects that this process read and found right, and how they looked.
    verified: Mutex<BTreeMap<Digest, Seen>>,
    /// Objects that this process wrote, and how they looked.
    written: Mutex<BTreeMap<Digest, Seen>>,
    /// Objects that were seen in their place with their size in this process.
    present: Mutex<BTreeSet<Digest>>,
    /// What the folders held when a result of many objects was last looked for.
    listed: Mutex<Option<Arc<Listing>>>,
    /// From so many objects on the folders are listed.
    many: usize,
    /// Results that were whole, and when such a memory is trusted.
    whole: Option<CompleteTrees>,
    /// Objects that were found damaged in this process.
    damaged: Mutex<BTreeSet<Digest>>,
    /// Those of them that could not be moved out of their places.
    stuck: Mutex<BTreeSet<Digest>>,
}

/// What is done with the folder of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// New objects go there, damaged ones go out.
    ReadWrite,
    /// It is looked at: new objects are kept elsewhere until the process ends, damaged ones stay.
    ReadOnly,
}

impl Objects {
    /// Opens the objects under `root`, making the folder where it is missing.
    ///
    /// # Errors
    /// [`StoreError::Disk`] where the folder can't be made.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        disk::make_folder(root).map_err(StoreError::disk("create", root))?;
        super::incoming::sweep(&root.join("incoming"));
        Ok(Self::new(root, Access::ReadWrite))
    }

    /// With a place to say what this process relies on.
    pub(super) fn leased(self, lease: &Arc<Lease>) -> Self {
        Self { lease: Some(Arc::clone(lease)), ..self }
    }

    /// With a file that remembers which results of many objects were whole.
    pub(super) fn remembering(self, path: PathBuf) -> Self {
        Self { whole: Some(CompleteTrees::new(path, RACY)), ..self }
    }

    /// With another measure of what are many, and of how long a folder must have been left alone.
    pub(super) fn listing(mut self, many: usize, racy: u64) -> Self {
        self.whole = self.whole.map(|whole| whole.within(racy));
        Self { many, ..self }
    }

    /// With places to ask for what is not here.
    pub(super) fn with_remotes(self, remotes: &Arc<Remotes>) -> Self {
        Self { remotes: Arc::clone(remotes), ..self }
    }

    /// The objects under `root`, to be looked at alone.
    pub(super) fn read_only(root: &Path) -> Self {
        Self::new(root, Access::ReadOnly)
    }

    fn new(root: &Path, access: Access) -> Self {
        Self {
            root: root.to_owned(),
            access,
            lease: None,
            remotes: Arc::default(),
            incoming: Mutex::default(),
            pending: Mutex::default(),
            publishing: Mutex::default(),
            external: Mutex::default(),
            verified: Mutex::default(),
            written: Mutex::default(),
            present: Mutex::default(),
            listed: Mutex::default(),
            many: MANY,
            whole: None,
            damaged: Mutex::default(),
            stuck: Mutex::default(),
        }
    }

    /// Stores bytes; storing the same bytes twice is free.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn put(&self, bytes: &[u8]) -> Result<Entry, StoreError> {
        let entry = Entry { digest: Digest::of(bytes), size: bytes.len() as u64 };
        if !self.relies_on(&entry) {
            let mut file = self.temporary()?;
            file.write_all(bytes).map_err(StoreError::disk("write", file.path()))?;
            self.adopt_written(file, entry)?;
        }
        Ok(entry)
    }

    /// For large objects: takes bytes piece by piece; [`ObjectWriter::finish`] stores them.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn writer(&self) -> Result<ObjectWriter<'_>, StoreError> {
        Ok(ObjectWriter { objects: self, file: self.temporary()?, hasher: blake3::Hasher::new(), size: 0 })
    }

    /// Makes known that the bytes of entries are those of files outside the store, where a source found them.
    pub fn put_external<'a>(&self, found: impl IntoIterator<Item = (&'a Entry, &'a Path)>) {
        let mut external = lock(&self.external);
        found.into_iter().for_each(|(entry, path)| external.add(entry, path));
    }

    /// Makes known which of several files with the same bytes stands at a place in a tree; all of them are known already.
    pub fn put_place(&self, entry: &Entry, place: &str, path: &Path) {
        lock(&self.external).add_place(entry, place, path);
    }

    /// The file outside the store that stands at a place in a tree; [`None`] where the store itself has the bytes.
    #[must_use]
    pub fn outside(&self, entry: &Entry, place: &str) -> Option<PathBuf> {
        if self.place(&entry.digest).exists() {
            return None;
        }
        lock(&self.external).at(&entry.digest, place).map(Path::to_owned)
    }

    /// The bytes of an entry, verified against its digest. Small objects are verified at each read, mapped ones once a process.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`] (then it was put into quarantine), [`StoreError::Changed`] or
    /// [`StoreError::Disk`].
    pub fn read(&self, entry: &Entry) -> Result<Blob, StoreError> {
        let Some((file, path)) = self.open_object(&entry.digest)? else {
            return self.read_external(entry);
        };
        let facts = file.metadata().map_err(StoreError::disk("read", &path))?;
        if facts.len() != entry.size {
            return self.reread(entry, path);
        }
        let seen = Seen::of(&facts);
        if entry.size < MAPPED_FROM {
            let bytes = read_all(&file).map_err(StoreError::disk("read", &path))?;
            if Digest::of(&bytes) != entry.digest {
                return self.reread(entry, path);
            }
            lock(&self.verified).insert(entry.digest, seen);
            return Ok(Blob::Owned(bytes));
        }
        let map = map(&file).map_err(StoreError::disk("map", &path))?;
        // The lock must not be held while hashing: rayon's workers take up other work that may come here.
        let known = lock(&self.verified).get(&entry.digest) == Some(&seen);
        if !known {
            if digest_of_large(&map) != entry.digest {
                return self.reread(entry, path);
            }
            lock(&self.verified).insert(entry.digest, seen);
        }
        Ok(Blob::Mapped(map))
    }

    /// The bytes of a tree's entry `name`; [`None`] where the tree has no such name.
    ///
    /// # Errors
    /// As [`Objects::read`].
    pub fn read_in(&self, tree: &Tree, name: &str) -> Result<Option<Blob>, StoreError> {
        tree.get(name).map(|entry| self.read(entry)).transpose()
    }

    /// Stores a tree as an object.
    ///
    /// # Errors
    /// As [`Objects::put`].
    pub fn put_tree(&self, tree: &Tree) -> Result<Entry, StoreError> {
        self.put(&tree.encode())
    }

    /// Reads a tree that [`Objects::put_tree`] stored.
    ///
    /// # Errors
    /// As [`Objects::read`]; [`StoreError::Damaged`] where the object is no tree.
    pub fn read_tree(&self, entry: &Entry) -> Result<Tree, StoreError> {
        let bytes = self.read(entry)?;
        let tree = Encoded::of(&bytes).and_then(Encoded::tree);
        tree.ok_or_else(|| StoreError::Damaged { digest: entry.digest, path: self.place(&entry.digest) })
    }

    /// Whether all that a stored tree names is there, without its names; [`None`] where the tree itself is damaged or missing.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub(super) fn holds_tree(&self, entry: &Entry) -> Result<Option<bool>, StoreError> {
        let bytes = match self.read(entry) {
            Ok(bytes) => bytes,
            Err(StoreError::Damaged { .. } | StoreError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(encoded) = Encoded::of(&bytes) else { return Ok(None) };
        let whole = self.whole.as_ref().filter(|_| encoded.len() >= self.many);
        if whole.is_some_and(|whole| self.unharmed() && whole.says(&entry.digest, Folders::of(&self.root))) {
            return Ok(Some(true));
        }
        let presence = self.presence_check(encoded.len());
        let mut by_name = true;
        let all = encoded.all(|entry| {
            let listed = presence.lists(entry);
            by_name &= listed;
            listed || self.holds(entry)
        });
        if let (Some(whole), true, true) = (whole, all && by_name, self.writable()) {
            presence.note(whole, entry.digest);
        }
        Ok(Some(all))
    }

    /// Whether nothing was found damaged in this process.
    fn unharmed(&self) -> bool {
        lock(&self.damaged).is_empty()
    }

    /// The first of many entries whose bytes are not there.
    pub fn first_missing<'t>(&self, tree: &'t Tree) -> Option<(&'t String, &'t Entry)> {
        let presence = self.presence_check(tree.entries.len());
        tree.entries.iter().find(|(_, entry)| !presence.holds(entry))
    }

    /// A look for `many` objects.
    pub(super) fn presence_check(&self, many: usize) -> PresenceCheck<'_> {
        let listing = (many >= self.many).then(|| {
            let known = lock(&self.listed).clone();
            known.unwrap_or_else(|| {
                let moment = self.lease.as_ref().and_then(|lease| lease.moment());
                let racy = self.whole.as_ref().map_or(RACY, CompleteTrees::racy);
                let new = Arc::new(Listing::of(&self.root, moment, racy));
                *lock(&self.listed) = Some(Arc::clone(&new));
                new
            })
        });
        PresenceCheck::new(self, listing, lock(&self.damaged).clone())
    }

    /// Whether the bytes of an entry are there, by name and size alone: they are verified when they are read.
    #[must_use]
    pub fn holds(&self, entry: &Entry) -> bool {
        if self.stores(entry) {
            return true;
        }
        let external = lock(&self.external).paths(&entry.digest);
        external.iter().any(|path| path.metadata().is_ok_and(|facts| facts.len() == entry.size))
            || self.revalidated_path(&entry.digest).is_some() && self.stores(entry)
    }

    /// Whether the store itself has the bytes: what a stage makes must not depend on a file of the user's that happens to
    /// hold the same.
    pub(super) fn stores(&self, entry: &Entry) -> bool {
        if lock(&self.present).contains(&entry.digest) || lock(&self.pending).contains_key(&entry.digest) {
            return true;
        }
        if self.is_stuck(&entry.digest) {
            return false;
        }
        let there = self.place(&entry.digest).metadata().is_ok_and(|facts| facts.len() == entry.size);
        if there {
            lock(&self.present).insert(entry.digest);
        }
        there
    }

    /// Whether the folder of objects may be changed.
    pub(super) fn writable(&self) -> bool {
        self.access == Access::ReadWrite
    }

    /// When an object was last put into quarantine, as far as the disk tells: what was linked before may lead to a damaged one.
    #[must_use]
    pub fn last_quarantined(&self) -> u64 {
        self.root.join("quarantine").metadata().map_or(0, |facts| super::inventory::nanoseconds(&facts))
    }

    /// As [`Objects::stores`], for what is not written because it is there: collection is told to leave it.
    pub(super) fn relies_on(&self, entry: &Entry) -> bool {
        if lock(&self.pending).contains_key(&entry.digest) {
            return true;
        }
        if !self.stores(entry) {
            return false;
        }
        let new = self.lease.as_ref().is_some_and(|lease| lease.register([Use::Object(entry.digest)]));
        // Opened, and not only asked for: that asks a network's disk, too.
        let facts = || File::open(self.place(&entry.digest)).and_then(|file| file.metadata());
        let there = !new || facts().is_ok_and(|facts| facts.len() == entry.size);
        if !there {
            lock(&self.present).remove(&entry.digest);
        }
        there
    }

    /// The place of an object that is there after all: another machine put it there, and this one believed that it was not.
    fn revalidated_path(&self, digest: &Digest) -> Option<PathBuf> {
        let place = self.place(digest);
        disk::revalidate_dirs(&[&self.root, place.parent().unwrap_or(&self.root)]);
        (!self.is_stuck(digest) && place.exists()).then_some(place)
    }

    /// The objects that were found damaged in this process, each of them in quarantine.
    #[must_use]
    pub fn damaged(&self) -> Vec<Digest> {
        lock(&self.damaged).iter().copied().collect()
    }

    /// Verifies the bytes of an object in its place, without taking it for verified; a damaged one stays where it is.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`] or [`StoreError::Disk`].
    pub fn verify(&self, digest: &Digest) -> Result<u64, StoreError> {
        let path = self.place(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(StoreError::Missing { digest: *digest }),
            Err(error) => return Err(StoreError::disk("open", &path)(error)),
        };
        let found = super::files::digest_of_file(file).map_err(StoreError::disk("read", &path))?;
        if found.digest == *digest { Ok(found.size) } else { Err(StoreError::Damaged { digest: *digest, path }) }
    }

    /// The bytes that lie at `path` now, where those that were opened are not what they should be. Another may have found that
    /// before, and it may have been made anew since: what is right now must not go into quarantine.
    fn reread(&self, entry: &Entry, path: PathBuf) -> Result<Blob, StoreError> {
        match std::fs::read(&path) {
            Ok(bytes) if bytes.len() as u64 == entry.size && digest_of_large(&bytes) == entry.digest => {
                Ok(Blob::Owned(bytes))
            }
            _ => Err(self.quarantine_damaged(&entry.digest, path)),
        }
    }

    /// Moves an object out of the way, into quarantine.
    pub fn quarantine(&self, digest: &Digest) {
        let _ = self.quarantine_damaged(digest, self.place(digest));
    }

    /// Moves a damaged object out of the way, so that computing it again puts it back.
    fn quarantine_damaged(&self, digest: &Digest, path: PathBuf) -> StoreError {
        let folder = self.root.join("quarantine");
        let moved = self.access == Access::ReadWrite
            && disk::make_folder(&folder)
                .and_then(|()| std::fs::rename(&path, folder.join(digest.to_string())))
                .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
                .is_ok();
        // Where it can't be moved (a read-only store) it stays, and counts for nothing until something takes its place.
        if !moved && path == self.place(digest) {
            lock(&self.stuck).insert(*digest);
        }
        lock(&self.present).remove(digest);
        lock(&self.verified).remove(digest);
        lock(&self.written).remove(digest);
        lock(&self.pending).remove(digest);
        lock(&self.damaged).insert(*digest);
        StoreError::Damaged { digest: *digest, path }
    }

    fn open_object(&self, digest: &Digest) -> Result<Option<(File, PathBuf)>, StoreError> {
        // An object may be renamed from pending to its place between two looks, hence the third.
        let place = self.place(digest);
        let pending = lock(&self.pending).get(digest).cloned();
        let first = (!self.is_stuck(digest)).then(|| place.clone());
        for path in [first, pending, Some(place)].into_iter().flatten() {
            match File::open(&path) {
                Ok(file) => return Ok(Some((file, path))),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::Disk { doing: "open", path, error }),
            }
        }
        Ok(None)
    }

    fn read_external(&self, entry: &Entry) -> Result<Blob, StoreError> {
        let paths = lock(&self.external).paths(&entry.digest);
        let Some(path) = paths.first().cloned() else {
            if self.revalidated_path(&entry.digest).is_some_and(|place| File::open(place).is_ok()) {
                return self.read(entry);
            }
            lock(&self.present).remove(&entry.digest);
            if self.remotes.download(self, entry)? {
                return self.read(entry);
            }
            return Err(StoreError::Missing { digest: entry.digest });
        };
        // Read, never mapped: the user may cut the file short at any time.
        let is_of = |bytes: &Vec<u8>| digest_of_large(bytes) == entry.digest;
        let first = regular::read(&path);
        if !first.as_ref().is_ok_and(is_of)
            && let Some(bytes) = paths[1..].iter().find_map(|path| regular::read(path).ok().filter(is_of))
        {
            return Ok(Blob::Owned(bytes));
        }
        match first {
            Ok(bytes) if is_of(&bytes) => Ok(Blob::Owned(bytes)),
            Ok(_) => Err(StoreError::Changed { path }),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::Changed { path }),
            Err(error) => Err(StoreError::Disk { doing: "read", path, error }),
        }
    }

    /// As [`Objects::adopt`], of bytes that this process wrote itself.
    pub(super) fn adopt_written(&self, file: tempfile::NamedTempFile, entry: Entry) -> Result<(), StoreError> {
        let facts = file.as_file().metadata().map_err(StoreError::disk("read", file.path()))?;
        self.adopt(file, entry)?;
        self.note_written(&entry, &facts);
        Ok(())
    }

    pub(super) fn adopt(&self, file: tempfile::NamedTempFile, entry: Entry) -> Result<(), StoreError> {
        disk::permit(file.as_file(), 0o444).map_err(StoreError::disk("protect", file.path()))?;
        let (_, path) = file.keep().map_err(|error| StoreError::Disk {
            doing: "keep",
            path: self.root.clone(),
            error: error.error,
        })?;
        lock(&self.pending).entry(entry.digest).or_insert(path);
        Ok(())
    }

    /// The folder of this process's new objects.
    pub(super) fn incoming(&self) -> Result<PathBuf, StoreError> {
        let mut incoming = lock(&self.incoming);
        let incoming = match &mut *incoming {
            Some(incoming) => incoming,
            none => none.insert(match self.access {
                Access::ReadWrite => Incoming::new(&self.root.join("incoming"))?,
                Access::ReadOnly => Incoming::aside()?,
            }),
        };
        Ok(incoming.path().to_owned())
    }

    fn temporary(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        let folder = self.incoming()?;
        tempfile::Builder::new().prefix("").tempfile_in(&folder).map_err(StoreError::disk("create a file in", &folder))
    }

    /// The place of an object, whether it is there or not.
    pub(super) fn place(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(&name[2..])
    }
}

/// The digest of bytes that may be many: over all threads of the current pool where that pays.
#[must_use]
pub fn digest_of_large(bytes: &[u8]) -> Digest {
    if bytes.len() < 1 << 20 {
        return Digest::of(bytes);
    }
    Digest::from_bytes(*blake3::Hasher::new().update_rayon(bytes).finalize().as_bytes())
}

fn read_all(mut file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut file, &mut bytes)?;
    Ok(bytes)
}

#[expect(unsafe_code, reason = "mapping is what lets shards larger than memory be read")]
fn map(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: objects are read-only files that macula replaces by renaming and never writes or shortens in place.
    unsafe { memmap2::Mmap::map(file) }
}

/// Does `work` on all of `items` from several threads, waiting for the disk or the network rather than for the processor.
pub(super) fn at_once<T: Sync, E: Send>(items: &[T], work: impl Fn(&T) -> Result<(), E> + Sync) -> Result<(), E> {
    if let [one] = items {
        return work(one);
    }
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    threads::side_by_side(AT_ONCE.min(items.len()), || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = work(item) {
                lock(&failure).get_or_insert(error);
                return;
            }
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// A panic elsewhere leaves these maps whole, so a poisoned lock is taken all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
