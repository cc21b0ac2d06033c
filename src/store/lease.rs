//! Leases: what each running process uses, registered where collection can see it.
//!
//! Before a process relies on something in the store (a record, an object that it does not write again, an item
//! segment), it registers it in a file of its own that it keeps locked. Collection takes the GC lock, reads the leases
//! of all running processes, and keeps everything in them. Registering takes the GC lock too, so nothing is registered
//! while collection deletes: what a process looks up afterwards is either kept, or found missing and computed again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use super::{Layout, StoreError};
use crate::base::flock::{self, LockMode, LockStatus};
use crate::base::sync;
use crate::base::{Digest, disk};

/// Something in the store that a process relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// The results of a key and all of their objects.
    Key(Digest),
    /// One object.
    Object(Digest),
    /// The items of a map stage, by the digest of what they have in common.
    Items(Digest),
}

/// GC lease held by this process: the keys and objects it relies on.
#[derive(Debug)]
pub struct Lease {
    layout: Layout,
    state: Mutex<LeaseState>,
}

#[derive(Debug, Default)]
struct LeaseState {
    gc_lock: Option<File>,
    own: Option<File>,
    registered: BTreeSet<Use>,
    /// Set if the store is not writable: then nobody can collect there either.
    disabled: bool,
}

impl Lease {
    pub(super) fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone(), state: Mutex::default() }
    }

    /// No-op lease for read-only opens; objects may disappear under it.
    pub(super) fn disabled(layout: &Layout) -> Self {
        Self { layout: layout.clone(), state: Mutex::new(LeaseState { disabled: true, ..LeaseState::default() }) }
    }

    /// Registers what this process relies on from now on. Returns whether any of it is new: then the caller must look
    /// it up again. Blocks while collection deletes.
    pub fn register(&self, uses: impl IntoIterator<Item = Use>) -> bool {
        let mut state = self.lock();
        if state.disabled {
            return false;
        }
        let new: Vec<Use> = uses.into_iter().filter(|one| !state.registered.contains(one)).collect();
        if new.is_empty() {
            return false;
        }
        match state.write(&self.layout, &new) {
            Ok(()) => state.registered.extend(new),
            // Without write permission, nothing can be registered. On a full disk, the next call tries again; what is
            // deleted until then is found missing and computed again.
            Err(_) => state.disabled = state.own.is_none(),
        }
        true
    }

    /// A time no later than now by the disk's own clock, which may differ from this machine's; [`None`] if nothing was
    /// registered.
    pub(super) fn moment(&self) -> Option<u64> {
        let facts = self.lock().own.as_ref()?.metadata().ok()?;
        Some(disk::modified(&facts))
    }

    fn lock(&self) -> MutexGuard<'_, LeaseState> {
        sync::lock(&self.state)
    }
}

impl LeaseState {
    fn write(&mut self, layout: &Layout, uses: &[Use]) -> std::io::Result<()> {
        // The leading line break separates it from a line that a full disk may have cut short.
        let text: String = ["\n".to_owned()].into_iter().chain(uses.iter().map(|one| line(*one))).collect();
        let gc_lock = match &mut self.gc_lock {
            Some(gc_lock) => gc_lock,
            none => none.insert(open_gc_lock(layout)?),
        };
        if flock::lock(gc_lock, LockMode::Shared)? != LockStatus::Held {
            return Err(flock::unsupported());
        }
        let own = match &mut self.own {
            Some(own) => Ok(own),
            none => new_own(layout).map(|own| none.insert(own)),
        };
        // On NFS, locking the file again flushes it to the server, where collection on another machine reads it.
        let written = own.and_then(|own| {
            own.write_all(text.as_bytes()).and_then(|()| flock::lock(own, LockMode::Exclusive).map(|_| ()))
        });
        flock::unlock(gc_lock)?;
        written
    }
}

fn open_gc_lock(layout: &Layout) -> std::io::Result<File> {
    let path = layout.gc_lock();
    let file = flock::open(&path)?;
    disk::share(&file, &path);
    Ok(file)
}

/// The lease file of this process, locked. Created while the GC lock is held: collection removes unlocked leases as
/// those of dead processes.
fn new_own(layout: &Layout) -> std::io::Result<File> {
    let folder = layout.live();
    disk::make_folder(&folder)?;
    let file = tempfile::Builder::new().prefix(&format!("{}-", std::process::id())).tempfile_in(&folder)?;
    flock::lock(file.as_file(), LockMode::Exclusive)?;
    // Other users' collection must be able to read it.
    disk::permit(file.as_file(), 0o644)?;
    let (file, _) = file.keep().map_err(|error| error.error)?;
    Ok(file)
}

fn line(one: Use) -> String {
    match one {
        Use::Key(digest) => format!("key {digest}\n"),
        Use::Object(digest) => format!("object {digest}\n"),
        Use::Items(digest) => format!("items {digest}\n"),
    }
}

fn parse(line: &str) -> Option<Use> {
    let (kind, digest) = line.split_once(' ')?;
    let digest = digest.parse().ok()?;
    match kind {
        "key" => Some(Use::Key(digest)),
        "object" => Some(Use::Object(digest)),
        "items" => Some(Use::Items(digest)),
        _ => None,
    }
}

/// The GC lock, held: no other process registers or deletes anything until it is dropped.
#[derive(Debug)]
pub struct GcLock {
    _held: File,
    /// What running processes use.
    pub leases: Leases,
}

/// What the leases of running processes name.
#[derive(Debug, Default)]
pub struct Leases {
    /// What they use.
    pub used: BTreeSet<Use>,
    /// Number of running processes.
    pub living: usize,
}

impl GcLock {
    /// Waits for the GC lock and reads the leases of running processes; removes those of dead processes.
    ///
    /// # Errors
    /// [`StoreError::Disk`] if the store is not writable or its disk has no locks: then nothing may be deleted.
    pub fn acquire(layout: &Layout) -> Result<Self, StoreError> {
        let path = layout.gc_lock();
        let held = open_gc_lock(layout).map_err(StoreError::disk("open", &path))?;
        match flock::lock(&held, LockMode::Exclusive) {
            Ok(LockStatus::Held) => {}
            Ok(_) => return Err(StoreError::disk("lock", &path)(flock::unsupported())),
            Err(error) => return Err(StoreError::disk("lock", &path)(error)),
        }
        // Failing to remove a dead process's lease (another user's) is harmless.
        let leases = Leases::read(layout, |dead| _ = std::fs::remove_file(dead))?;
        Ok(Self { _held: held, leases })
    }

    /// Whether a running process uses it.
    #[must_use]
    pub fn uses(&self, one: Use) -> bool {
        self.leases.used.contains(&one)
    }
}

impl Leases {
    /// What running processes use at this moment. Without the GC lock, it may be something else at the next.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn now(layout: &Layout) -> Result<Self, StoreError> {
        Self::read(layout, |_| {})
    }

    fn read(layout: &Layout, of_dead: impl Fn(&Path)) -> Result<Self, StoreError> {
        let mut leases = Self::default();
        disk::revalidate_dirs(&[&layout.live()]);
        for entry in std::fs::read_dir(layout.live()).into_iter().flatten().flatten() {
            leases.add(&entry.path(), &of_dead)?;
        }
        Ok(leases)
    }

    fn add(&mut self, path: &Path, of_dead: impl Fn(&Path)) -> Result<(), StoreError> {
        let file = match File::open(path) {
            // A dead process's, removed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            file => file.map_err(StoreError::disk("read", path))?,
        };
        if matches!(flock::lock(&file, LockMode::TryShared), Ok(LockStatus::Held)) {
            of_dead(path);
            return Ok(());
        }
        let text = std::fs::read_to_string(path).map_err(StoreError::disk("read", path))?;
        self.used.extend(text.lines().filter_map(parse));
        self.living += 1;
        Ok(())
    }
}
