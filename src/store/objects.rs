//! Content-addressed objects: bytes in, digest out; digest in, verified bytes out.
//!
//! This is the part of the store that stages see. An object may also be a file outside the store that a source found (a
//! user's photograph): then its path is known, and its bytes are verified on every read like any other's.
//!
//! New objects wait in a folder of their own (`incoming/`), where they can already be read; [`Objects::publish`]
//! flushes them to disk together and renames them to their final path. So an object at its final path is complete, and
//! many small objects do not wait for the disk one by one.

mod check;
mod external;
mod ingest;
mod open_part;
mod publish;
mod verified_path;
mod writer;

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use self::check::PresenceCheck;
use self::external::ExternalFiles;
pub use self::open_part::PartialRead;
use self::open_part::VerifiedParts;
pub use self::verified_path::Location;
use self::verified_path::{Intact, VerifiedFacts};
pub use self::writer::ObjectWriter;
pub use super::error::StoreError;
use super::incoming::{Incoming, Unpublished};
use super::presence::{Folders, Presence};
use super::quarantine::Quarantine;
use super::remote::Remotes;
use super::tree::Encoded;
use super::{Entry, Lease, Tree, Use};
use crate::base::sync::lock;
use crate::base::{Digest, disk, regular, threads};

/// Objects of at least this size are mapped instead of read.
const MAPPED_FROM: u64 = 64 << 10;

/// Parallelism for flushing files to disk (a journal commits them together) and for network transfers.
pub(super) const AT_ONCE: usize = 16;

/// Verified bytes of an object, mapped or in memory.
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
    /// Whether the store is opened read-write or read-only.
    access: Access,
    /// Where this process registers what it relies on.
    lease: Option<Arc<Lease>>,
    /// Where missing objects are looked for.
    remotes: Arc<Remotes>,
    /// Objects that this process wrote and has not published yet.
    unpublished: Unpublished,
    /// Files outside the store.
    external: Mutex<ExternalFiles>,
    /// Objects whose bytes this process has verified or written.
    intact: Intact,
    /// Large files that this process has verified.
    parts: VerifiedParts,
    /// Which objects are present.
    presence: Presence,
    /// Which objects are damaged.
    quarantine: Quarantine,
}

/// Whether the store is opened read-write or read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// New objects are published, damaged ones are moved to quarantine.
    ReadWrite,
    /// New objects are kept elsewhere until the process ends, damaged ones stay in place.
    ReadOnly,
}

impl Objects {
    /// Opens the objects under `root`, creating the folder if it is missing.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if the folder cannot be created.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        disk::make_folder(root).map_err(StoreError::disk("create", root))?;
        super::incoming::sweep(&root.join("incoming"));
        Ok(Self::new(root, Access::ReadWrite))
    }

    /// Sets the lease in which this process registers what it relies on.
    pub(super) fn leased(self, lease: &Arc<Lease>) -> Self {
        Self { lease: Some(Arc::clone(lease)), ..self }
    }

    /// Sets the file that caches which large trees are complete.
    pub(super) fn remembering(self, path: PathBuf) -> Self {
        Self { presence: self.presence.cached_in(path), ..self }
    }

    /// Sets from how many objects on folders are listed, and how long they must have been unchanged.
    pub(super) fn listing(self, many: usize, racy: u64) -> Self {
        Self { presence: self.presence.listing_from(many, racy), ..self }
    }

    /// Sets the remotes to look for missing objects in.
    pub(super) fn with_remotes(self, remotes: &Arc<Remotes>) -> Self {
        Self { remotes: Arc::clone(remotes), ..self }
    }

    /// Opens the objects under `root` read-only.
    pub(super) fn read_only(root: &Path) -> Self {
        Self::new(root, Access::ReadOnly)
    }

    fn new(root: &Path, access: Access) -> Self {
        Self {
            root: root.to_owned(),
            access,
            lease: None,
            remotes: Arc::default(),
            unpublished: Unpublished::default(),
            external: Mutex::default(),
            intact: Intact::default(),
            parts: VerifiedParts::default(),
            presence: Presence::default(),
            quarantine: Quarantine::new(root),
        }
    }

    /// Stores bytes; storing the same bytes again costs only the hash.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn put(&self, bytes: &[u8]) -> Result<Entry, StoreError> {
        let _span = tracing::debug_span!(target: "macula::store", "put", bytes = bytes.len()).entered();
        let entry = Entry { digest: Digest::of(bytes), size: bytes.len() as u64 };
        if !self.relies_on(&entry) {
            let mut file = self.temporary()?;
            file.write_all(bytes).map_err(StoreError::disk("write", file.path()))?;
            self.adopt_written(file, entry)?;
        }
        Ok(entry)
    }

    /// A writer for a large object; [`ObjectWriter::finish`] stores it.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn writer(&self) -> Result<ObjectWriter<'_>, StoreError> {
        Ok(ObjectWriter { objects: self, file: self.temporary()?, hasher: blake3::Hasher::new(), size: 0 })
    }

    /// Registers files outside the store as the bytes of entries.
    pub fn put_external<'a>(&self, found: impl IntoIterator<Item = (&'a Entry, &'a Path)>) {
        let mut external = lock(&self.external);
        found.into_iter().for_each(|(entry, path)| external.add(entry, path));
    }

    /// Registers which of several external files with the same bytes stands at a path in a tree; all of them are
    /// registered already.
    pub fn put_place(&self, entry: &Entry, place: &str, path: &Path) {
        lock(&self.external).add_place(entry, place, path);
    }

    /// The external file at a path in a tree; [`None`] if the store itself has the bytes.
    #[must_use]
    pub fn outside(&self, entry: &Entry, place: &str) -> Option<PathBuf> {
        if self.place(&entry.digest).exists() {
            return None;
        }
        lock(&self.external).at(&entry.digest, place).map(Path::to_owned)
    }

    /// The bytes of an entry, verified against its digest: small objects on every read, mapped ones once per process.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Damaged`] (the object is then in quarantine), [`StoreError::Changed`] or
    /// [`StoreError::Disk`].
    pub fn read(&self, entry: &Entry) -> Result<Blob, StoreError> {
        let digest = &entry.digest;
        let _span = tracing::debug_span!(target: "macula::store", "read", %digest, bytes = entry.size).entered();
        let Some((file, path)) = self.open_object(&entry.digest)? else {
            return self.read_external(entry);
        };
        let facts = file.metadata().map_err(StoreError::disk("read", &path))?;
        if facts.len() != entry.size {
            return self.reread(entry, path);
        }
        let seen = VerifiedFacts::of(&facts);
        if entry.size < MAPPED_FROM {
            let bytes = read_all(&file).map_err(StoreError::disk("read", &path))?;
            if Digest::of(&bytes) != entry.digest {
                return self.reread(entry, path);
            }
            self.intact.note_verified(&entry.digest, seen);
            return Ok(Blob::Owned(bytes));
        }
        let map = map(&file).map_err(StoreError::disk("map", &path))?;
        // Hold no lock while hashing: a rayon worker may pick up other work that comes back here.
        if !self.intact.is_verified(&entry.digest, seen) {
            if digest_of_large(&map) != entry.digest {
                return self.reread(entry, path);
            }
            self.intact.note_verified(&entry.digest, seen);
        }
        Ok(Blob::Mapped(map))
    }

    /// The bytes of the entry `name` of a tree; [`None`] if the tree has no such name.
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
    /// As [`Objects::read`]; [`StoreError::Damaged`] if the object is not a tree.
    pub fn read_tree(&self, entry: &Entry) -> Result<Tree, StoreError> {
        let bytes = self.read(entry)?;
        let tree = Encoded::of(&bytes).and_then(Encoded::tree);
        tree.ok_or_else(|| StoreError::Damaged { digest: entry.digest, path: self.place(&entry.digest) })
    }

    /// Whether all objects of a stored tree are present, without decoding its names; [`None`] if the tree itself is
    /// damaged or missing.
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
        let complete = self.presence.complete(encoded.len());
        let unharmed = || self.quarantine.is_empty();
        if complete.is_some_and(|complete| unharmed() && complete.says(&entry.digest, Folders::of(&self.root))) {
            return Ok(Some(true));
        }
        let presence = self.presence_check(encoded.len());
        let mut by_name = true;
        let all = encoded.all(|entry| {
            let listed = presence.lists(entry);
            by_name &= listed;
            listed || self.holds(entry)
        });
        if let (Some(complete), true, true) = (complete, all && by_name, self.writable()) {
            presence.note(complete, entry.digest);
        }
        Ok(Some(all))
    }

    /// The first entry of a tree whose bytes are missing.
    pub fn first_missing<'t>(&self, tree: &'t Tree) -> Option<(&'t String, &'t Entry)> {
        let presence = self.presence_check(tree.entries.len());
        tree.entries.iter().find(|(_, entry)| !presence.holds(entry))
    }

    /// A presence check for `many` objects.
    pub(super) fn presence_check(&self, many: usize) -> PresenceCheck<'_> {
        PresenceCheck::new(self, many)
    }

    /// Whether the bytes of an entry are present, by name and size only: they are verified on read.
    #[must_use]
    pub fn holds(&self, entry: &Entry) -> bool {
        if self.stores(entry) {
            return true;
        }
        let external = lock(&self.external).paths(&entry.digest);
        external.iter().any(|path| path.metadata().is_ok_and(|facts| facts.len() == entry.size))
            || self.revalidated_path(&entry.digest).is_some() && self.stores(entry)
    }

    /// Whether the store itself has the bytes. A stage's output must not depend on a user's file that happens to have
    /// the same bytes.
    #[must_use]
    pub fn stores(&self, entry: &Entry) -> bool {
        if self.presence.has(&entry.digest) || self.unpublished.has(&entry.digest) {
            return true;
        }
        if self.is_stuck(&entry.digest) {
            return false;
        }
        let there = self.place(&entry.digest).metadata().is_ok_and(|facts| facts.len() == entry.size);
        if there {
            self.presence.note(&entry.digest);
        }
        there
    }

    /// Whether the store is opened read-write.
    pub(super) fn writable(&self) -> bool {
        self.access == Access::ReadWrite
    }

    /// Time of the last quarantine by the disk's clock, nanoseconds since 1970: an older hard link may lead to a
    /// damaged object.
    #[must_use]
    pub fn last_quarantined(&self) -> u64 {
        self.quarantine.last()
    }

    /// Whether the store has the bytes, so that they need not be written; registers them in the lease.
    pub(super) fn relies_on(&self, entry: &Entry) -> bool {
        if self.unpublished.has(&entry.digest) {
            return true;
        }
        if !self.stores(entry) {
            return false;
        }
        let new = self.lease.as_ref().is_some_and(|lease| lease.register([Use::Object(entry.digest)]));
        // Opened rather than `stat`ed: opening revalidates NFS caches.
        let facts = || File::open(self.place(&entry.digest)).and_then(|file| file.metadata());
        let there = !new || facts().is_ok_and(|facts| facts.len() == entry.size);
        if !there {
            self.presence.forget(&entry.digest);
        }
        there
    }

    /// The path of an object that exists after all: another machine created it, and this one's cached listing was
    /// stale.
    fn revalidated_path(&self, digest: &Digest) -> Option<PathBuf> {
        let place = self.place(digest);
        disk::revalidate_dirs(&[&self.root, place.parent().unwrap_or(&self.root)]);
        (!self.is_stuck(digest) && place.exists()).then_some(place)
    }

    /// The objects that this process found damaged, each of them in quarantine.
    #[must_use]
    pub fn damaged(&self) -> Vec<Digest> {
        self.quarantine.damaged().into_iter().collect()
    }

    /// Verifies an object on disk without marking it as verified; a damaged one stays in place. Returns its size.
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

    /// The bytes now at `path`, after those that were opened turned out wrong. Another process may have repaired the
    /// object meanwhile, and the repaired one must not go to quarantine.
    fn reread(&self, entry: &Entry, path: PathBuf) -> Result<Blob, StoreError> {
        match std::fs::read(&path) {
            Ok(bytes) if bytes.len() as u64 == entry.size && digest_of_large(&bytes) == entry.digest => {
                Ok(Blob::Owned(bytes))
            }
            _ => Err(self.quarantine_damaged(&entry.digest, path)),
        }
    }

    /// Moves an object to quarantine.
    pub fn quarantine(&self, digest: &Digest) {
        let _ = self.quarantine_damaged(digest, self.place(digest));
    }

    /// Moves a damaged object to quarantine, so that recomputing it puts it back.
    fn quarantine_damaged(&self, digest: &Digest, path: PathBuf) -> StoreError {
        let moved = self.writable() && self.quarantine.take_in(digest, &path);
        tracing::warn!(target: "macula::store", %digest, path = %path.display(), moved, "damaged object");
        self.quarantine.note(digest, !moved && path == self.place(digest));
        self.presence.forget(digest);
        self.intact.forget(digest);
        self.unpublished.remove(digest);
        StoreError::Damaged { digest: *digest, path }
    }

    fn open_object(&self, digest: &Digest) -> Result<Option<(File, PathBuf)>, StoreError> {
        // Another thread may rename an object from pending to its final path between the first two attempts; hence the
        // third.
        let place = self.place(digest);
        let pending = self.unpublished.path(digest);
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
            self.presence.forget(&entry.digest);
            if self.remotes.download(self, entry)? {
                return self.read(entry);
            }
            return Err(StoreError::Missing { digest: entry.digest });
        };
        // Read, never mapped: the user may truncate the file at any time.
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

    /// As [`Objects::adopt`], for bytes that this process wrote itself.
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
        self.unpublished.add(entry.digest, path);
        Ok(())
    }

    /// The folder of this process's new objects.
    pub(super) fn incoming(&self) -> Result<PathBuf, StoreError> {
        self.unpublished.folder(|| match self.access {
            Access::ReadWrite => Incoming::new(&self.root.join("incoming")),
            Access::ReadOnly => Incoming::aside(),
        })
    }

    fn temporary(&self) -> Result<tempfile::NamedTempFile, StoreError> {
        let folder = self.incoming()?;
        tempfile::Builder::new().prefix("").tempfile_in(&folder).map_err(StoreError::disk("create a file in", &folder))
    }

    /// The final path of an object, whether it exists or not.
    pub(super) fn place(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(&name[2..])
    }
}

/// The digest of bytes, hashed on all threads of the current pool if there are many.
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

/// Runs `work` on all `items` in parallel, for work that waits for disk or network rather than the processor.
pub(super) fn at_once<T: Sync, E: Send>(items: &[T], work: impl Fn(&T) -> Result<(), E> + Sync) -> Result<(), E> {
    if let [one] = items {
        return work(one);
    }
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let span = tracing::Span::current();
    threads::side_by_side(AT_ONCE.min(items.len()), || {
        let _span = span.enter();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = work(item) {
                lock(&failure).get_or_insert(error);
                return;
            }
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}
