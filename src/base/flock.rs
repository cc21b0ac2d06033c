//! File locks (`flock`), which end with their process, and file systems that have none.
//!
//! NFS requires a read-open fd for a shared and a write-open fd for an exclusive lock, and does not lock directories
//! across hosts.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Kind of lock, and whether to wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Shared lock (`LOCK_SH`), blocking.
    Shared,
    /// Exclusive lock (`LOCK_EX`), blocking.
    Exclusive,
    /// Shared lock, non-blocking.
    TryShared,
    /// Exclusive lock, non-blocking.
    TryExclusive,
}

/// Outcome of locking a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockStatus {
    /// Locked, until it is unlocked or the file is closed.
    Held,
    /// Another process holds it.
    Busy,
    /// The file system has no locks: nobody is kept out.
    Unsupported,
}

/// Opens a lock file for reading and writing, creating it if it is missing; does not follow a symbolic link.
///
/// # Errors
/// The system's error.
pub fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true);
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, OFlags::NOFOLLOW.bits() as i32);
    options.open(path)
}

/// Locks a file that [`open`] opened.
///
/// # Errors
/// The system's error.
pub fn lock(file: &File, mode: LockMode) -> io::Result<LockStatus> {
    let waited = |done: io::Result<()>| done.map_err(TryLockError::Error);
    let done = match mode {
        LockMode::Shared => waited(file.lock_shared()),
        LockMode::Exclusive => waited(file.lock()),
        LockMode::TryShared => file.try_lock_shared(),
        LockMode::TryExclusive => file.try_lock(),
    };
    match done {
        Ok(()) => Ok(LockStatus::Held),
        Err(TryLockError::WouldBlock) => Ok(LockStatus::Busy),
        Err(TryLockError::Error(error)) => match Errno::from_io_error(&error) {
            Some(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(LockStatus::Unsupported),
            _ => Err(error),
        },
    }
}

/// Unlocks a file.
///
/// # Errors
/// The system's error.
pub fn unlock(file: &File) -> io::Result<()> {
    file.unlock()
}

/// The error of an operation that needs locks.
#[must_use]
pub fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "its file system has no locks")
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

    /// This system locks any file, NFS only one opened for the purpose; so the open mode is checked.
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
