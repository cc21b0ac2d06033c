//! What a living process uses, told where collection sees it. Knows nothing of what collection takes away.
//!
//! Before a process relies on something that is in the store (a record that it found, an object that it need not write again,
//! a segment of items) it says so in a file of its own that it keeps locked. Collection takes the GC lock, reads what all living
//! processes registered, and takes away nothing of that. Saying takes the GC lock too, so nothing can be said while collection
//! deletes: what is looked for afterwards is either kept or found to be gone, and computed again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Layout, StoreError};
use crate::base::flock::{self, LockMode, LockStatus};
use crate::base::{Digest, disk};

/// Something in the store that a process relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// The results of a key, and all objects that they name.
    Key(Digest),
    /// One object.
    Object(Digest),
    /// The items of a map stage, by what they have in common.
    Items(Digest),
}

/// The word of this process.
#[derive(Debug)]
pub struct Lease {
    layout: Layout,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    gc_lock: Option<File>,
    own: Option<File>,
    registered: BTreeSet<Use>,
    /// A store that can't be written: nobody can collect there either.
    disabled: bool,
}

impl Lease {
    pub(super) fn new(layout: &Layout) -> Self {
        Self { layout: layout.clone(), state: Mutex::default() }
    }

    /// The word of a process that only looks: it says nothing, and bears that what it looked at goes away.
    pub(super) fn disabled(layout: &Layout) -> Self {
        Self { layout: layout.clone(), state: Mutex::new(State { disabled: true, ..State::default() }) }
    }

    /// Says what this process relies on from now on, and returns whether any of it is new: then it must be looked for again.
    /// Waits while collection deletes.
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
            // Where this process may not write, nothing can be registered. Where the disk is full it is tried again with the next
            // word; what goes away until then is found to be missing and computed again.
            Err(_) => state.disabled = state.own.is_none(),
        }
        true
    }

    /// A moment that is no later than now by the disk's own clock, which may not be this machine's; [`None`] where nothing was registered.
    pub(super) fn moment(&self) -> Option<u64> {
        let facts = self.lock().own.as_ref()?.metadata().ok()?;
        Some(super::inventory::nanoseconds(&facts))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, layout: &Layout, uses: &[Use]) -> std::io::Result<()> {
        // The line break before it parts it from what a full disk may have cut short.
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
        // Locking it again brings what was said to a network's disk, where another machine's collection reads it.
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

/// The file of this process, locked. Made while the gate is held: collection would take an unlocked one for a dead process's.
fn new_own(layout: &Layout) -> std::io::Result<File> {
    let folder = layout.live();
    disk::make_folder(&folder)?;
    let file = tempfile::Builder::new().prefix(&format!("{}-", std::process::id())).tempfile_in(&folder)?;
    flock::lock(file.as_file(), LockMode::Exclusive)?;
    // Collection of another user must be able to read it.
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

/// The GC lock, held: nobody else says or deletes anything until it is dropped.
#[derive(Debug)]
pub struct GcLock {
    _held: File,
    /// What living processes use.
    pub used: BTreeSet<Use>,
    /// How many of them there are.
    pub living: usize,
}

impl GcLock {
    /// Waits for the gate and reads what living processes use; sweeps what dead ones left of that.
    ///
    /// # Errors
    /// [`StoreError::Disk`] where the store can't be written or its disk knows no locks: then nothing may be deleted.
    pub fn acquire(layout: &Layout) -> Result<Self, StoreError> {
        let path = layout.gc_lock();
        let held = open_gc_lock(layout).map_err(StoreError::disk("open", &path))?;
        match flock::lock(&held, LockMode::Exclusive) {
            Ok(LockStatus::Held) => {}
            Ok(_) => return Err(StoreError::disk("lock", &path)(flock::unsupported())),
            Err(error) => return Err(StoreError::disk("lock", &path)(error)),
        }
        let mut gc_lock = Self { _held: held, used: BTreeSet::new(), living: 0 };
        disk::revalidate_dirs(&[&layout.live()]);
        for entry in std::fs::read_dir(layout.live()).into_iter().flatten().flatten() {
            gc_lock.read_lease(&entry.path())?;
        }
        Ok(gc_lock)
    }

    fn read_lease(&mut self, path: &Path) -> Result<(), StoreError> {
        let file = match File::open(path) {
            // It was a dead one's.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            file => file.map_err(StoreError::disk("read", path))?,
        };
        if matches!(flock::lock(&file, LockMode::TryShared), Ok(LockStatus::Held)) {
            // Its process is dead. That it can't be removed (another user's) does no harm.
            let _ = std::fs::remove_file(path);
            return Ok(());
        }
        let text = std::fs::read_to_string(path).map_err(StoreError::disk("read", path))?;
        self.used.extend(text.lines().filter_map(parse));
        self.living += 1;
        Ok(())
    }

    /// Whether a living process uses it.
    #[must_use]
    pub fn uses(&self, one: Use) -> bool {
        self.used.contains(&one)
    }
}
