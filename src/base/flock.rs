//! Locks on files, which end with their process, and disks that know none. Knows no store.
//!
//! A network's disk (NFS) locks only what is open for it: a file that is open for reading can be shared, one that is open for
//! writing held alone. Folders it does not lock for other machines at all.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// How a lock is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// With others that share it; waits for who holds it alone.
    Shared,
    /// Alone; waits for all others.
    Exclusive,
    /// As [`LockMode::Shared`], without waiting.
    TryShared,
    /// As [`LockMode::Exclusive`], without waiting.
    TryExclusive,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockStatus {
    /// It is held until it is given back or the file is closed.
    Held,
    /// Another holds it.
    Busy,
    /// The disk knows no locks: nobody is kept out.
    Unsupported,
}

/// Opens a file that is locked, to read and to write, making it where it is missing; never through a link, which could lead elsewhere.
///
/// # Errors
/// What the system says.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, OFlags::NOFOLLOW.bits() as i32);
    options.open(path)
}

/// Locks a file that [`open`] opened.
///
/// # Errors
/// What the system says.
pub fn lock(file: &File, mode: LockMode) -> io::Result<LockStatus> {
    let operation = match mode {
        LockMode::Shared => FlockOperation::LockShared,
        LockMode::Exclusive => FlockOperation::LockExclusive,
        LockMode::TryShared => FlockOperation::NonBlockingLockShared,
        LockMode::TryExclusive => FlockOperation::NonBlockingLockExclusive,
    };
    match flock(file, operation) {
        Ok(()) => Ok(LockStatus::Held),
        Err(Errno::WOULDBLOCK) => Ok(LockStatus::Busy),
        Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(LockStatus::Unsupported),
        Err(error) => Err(error.into()),
    }
}

/// Gives a lock back.
///
/// # Errors
/// What the system says.
pub fn unlock(file: &File) -> io::Result<()> {
    Ok(flock(file, FlockOperation::Unlock)?)
}

/// The error of what can't be done without locks.
#[must_use]
pub fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "its disk knows no locks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_keeps_others_out_until_its_file_is_closed() {
        let folder = tempfile::tempdir().expect("a folder");
        let [one, other] = [(); 2].map(|()| open(&folder.path().join("lock")).expect("opened"));
        assert_eq!(lock(&one, LockMode::TryExclusive).expect("asked"), LockStatus::Held);
        assert_eq!(lock(&one, LockMode::TryExclusive).expect("asked again"), LockStatus::Held);
        assert_eq!(lock(&other, LockMode::TryExclusive).expect("asked"), LockStatus::Busy);
        assert_eq!(lock(&other, LockMode::TryShared).expect("asked"), LockStatus::Busy);
        drop(one);
        assert_eq!(lock(&other, LockMode::TryShared).expect("asked"), LockStatus::Held);
    }

    /// NFS takes a lock for what the file is open for alone; this system takes any, so it is looked how the file is open.
    #[test]
    fn what_is_locked_is_open_for_both_and_never_through_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("lock"), folder.path().join("link"));
        let file = open(&path).expect("opened");
        let flags = rustix::fs::fcntl_getfl(&file).expect("flags");
        assert_eq!(flags & OFlags::RWMODE, OFlags::RDWR);
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        open(&link).expect_err("not followed");
    }
}
