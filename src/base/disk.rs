//! File system operations: atomic and durable writes, permissions, free space.

mod part;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use part::PartFile;
pub use part::sweep;

/// Writes `bytes` to `path` atomically and durably: after a crash, the old or the new content is there.
///
/// # Errors
/// The system's error.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let part = PartFile::of(folder, bytes)?;
    part.file().sync_data()?;
    readable(part.file())?;
    part.replace(path)?;
    sync_folder(folder)
}

/// As [`write_whole`], if no file of that name exists. Returns whether it wrote: of several concurrent calls, one does.
///
/// # Errors
/// The system's error.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let folder = folder_of(path);
    if path.exists() {
        return Ok(false);
    }
    let part = PartFile::of(folder, bytes)?;
    part.file().sync_data()?;
    readable(part.file())?;
    if part.appear(path)? { sync_folder(folder).map(|()| true) } else { Ok(false) }
}

/// As [`write_whole`], but not durable: for files that can be rebuilt.
///
/// # Errors
/// The system's error.
pub fn write_lightly(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = PartFile::of(folder_of(path), bytes)?;
    readable(part.file())?;
    part.replace(path)
}

/// As [`write_whole`], for a user's file: keeps symbolic links and permissions, and refuses read-only files.
///
/// # Errors
/// The system's error, also if `path` does not exist.
pub fn rewrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = path.canonicalize()?;
    let permissions = path.metadata()?.permissions();
    if permissions.readonly() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only"));
    }
    let folder = folder_of(&path);
    sweep(folder);
    let part = PartFile::of(folder, bytes)?;
    bear(part.file().set_permissions(permissions))?;
    part.file().sync_data()?;
    part.replace(&path)?;
    sync_folder(folder)
}

/// An error without the path that `tempfile` adds to it, for messages that name it themselves.
#[must_use]
pub fn without_path(error: io::Error) -> io::Error {
    // The system's own errors are numbers.
    if error.raw_os_error().is_some() {
        return error;
    }
    let text = error.to_string();
    match text.rsplit_once(" at path \"") {
        Some((own, _)) => io::Error::new(error.kind(), own),
        None => error,
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Temporary files are private to their owner; the final file is for everyone who may see the folder.
fn readable(file: &File) -> io::Result<()> {
    permit(file, 0o644)
}

/// Sets the permissions of a file or folder. Does nothing on file systems without permissions (FAT, some network
/// disks).
///
/// # Errors
/// The system's error.
pub fn permit(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    bear(file.set_permissions(std::fs::Permissions::from_mode(mode)))
}

/// Ignores `EPERM`/`EINVAL`/`ENOTSUP`: the operation is best-effort.
fn bear(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if is_unknown(&error) { Ok(()) } else { Err(error) })
}

/// Whether an error means that the file system lacks an operation: some report "not permitted" or "invalid".
fn is_unknown(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), PermissionDenied | InvalidInput | Unsupported)
}

/// Creates a file with these bytes and permissions, not durably; an existing file is an error.
///
/// # Errors
/// The system's error.
pub fn write_once(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    permit(&file, mode)
}

/// Revalidates the system's cached attributes of folders, outermost first. Cached data of a network disk may be a
/// minute old and hide names that another machine created.
pub fn revalidate_dirs(folders: &[&Path]) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
        for folder in folders {
            // If revalidation fails, the cached data stays.
            let _ = statx(CWD, *folder, AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = folders;
}

/// Whether a name exists only because its folder is case-insensitive, under another spelling.
#[must_use]
pub fn is_other_name(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
    let listed = || std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| entry.file_name() == name);
    path.symlink_metadata().is_ok() && !listed()
}

/// Creates a folder and its missing parents. If the parent is group-writable and setgid, the new folder is too,
/// whatever the umask: so users share a store whose folder was prepared with `chmod g+ws`.
///
/// # Errors
/// The system's error.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(above)?;
    match std::fs::create_dir(folder) {
        // Another process created it first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        made => made?,
    }
    let (mode, own) = (above.metadata()?.permissions().mode(), folder.metadata()?.permissions().mode());
    if mode & SHARED == SHARED && own & SHARED != SHARED {
        bear(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(own | SHARED)))?;
    }
    Ok(())
}

/// Group-writable and setgid.
const SHARED: u32 = 0o2020;

/// Makes a file that several users lock or append to group-writable if its folder is shared. Failure (another user's
/// file) is not an error: its owner did it.
pub fn share(file: &File, path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let shared = |mode: u32, bits: u32| mode & bits == bits;
    let folder = path.parent().and_then(|folder| folder.metadata().ok());
    let (Some(folder), Ok(own)) = (folder, file.metadata()) else { return };
    let mode = own.permissions().mode();
    if shared(folder.permissions().mode(), SHARED) && !shared(mode, 0o020) {
        let _ = file.set_permissions(std::fs::Permissions::from_mode(mode | 0o020));
    }
}

/// Flushes the names in `folder` to disk, if the file system can.
///
/// # Errors
/// The system's error.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    bear(File::open(folder)?.sync_all())
}

/// Flushes the file system of `file`. Returns false without flushing if the system cannot report through `file` every
/// write that failed since it was opened (it can on Linux from 5.8 on, for local file systems).
///
/// # Errors
/// The system's error.
pub fn sync_disk(file: &File) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        // ext4, XFS and Btrfs, by statfs(2).
        const TOLD: [i64; 3] = [0xEF53, 0x5846_5342, 0x9123_683E];
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        if tells(&release) && TOLD.contains(&(rustix::fs::fstatfs(file)?.f_type as i64)) {
            rustix::fs::syncfs(file)?;
            return Ok(true);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
    Ok(false)
}

/// Whether `syncfs` reports failed writes on this Linux release: from 5.8 on, by syncfs(2).
#[cfg(target_os = "linux")]
fn tells(release: &str) -> bool {
    let mut numbers = release.split('.').map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(8))
}

/// Starts writing a file's data to disk without waiting, so that a later sync has less to do. Does nothing if the
/// system cannot.
pub fn begin_writing(file: &File) {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        #[expect(unsafe_code, reason = "a system call that neither std nor rustix has")]
        // SAFETY: the descriptor is open as long as `file` is borrowed, and the call touches no memory of the process.
        // Its failure is no matter: it is only a hint.
        unsafe {
            libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Whether nobody can write to `file`, which is open for reading: neither through an open descriptor nor a mapping.
/// False if the system cannot tell (macOS, network disks, another user's file).
#[must_use]
pub fn nobody_writes(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        /// From the kernel's headers; the `libc` crate lacks it on some platforms.
        const F_SETSIG: libc::c_int = 10;
        let file = file.as_raw_fd();
        #[expect(unsafe_code, reason = "system calls that neither std nor rustix has")]
        // SAFETY: the descriptor is open as long as `file` is borrowed, and the calls touch no memory of the process. A read lease is
        // given where nobody has the file open for writing. Whoever opens it so while the lease is held has this process sent
        // the signal that was set before, which nobody heeds, and not the usual one, which would end it.
        unsafe {
            libc::fcntl(file, F_SETSIG, libc::SIGURG) == 0
                && libc::fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) == 0
                && libc::fcntl(file, libc::F_SETLEASE, libc::F_UNLCK) == 0
        }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        false
    }
}

/// Copies `from` into the empty file `to` by reference (copy-on-write, on Btrfs and XFS). Returns whether the file
/// system supports it.
#[must_use]
pub fn share_bytes(from: &File, to: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        rustix::fs::ioctl_ficlone(to, from).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (from, to);
        false
    }
}

/// Lets the owner list and empty all folders at and below `folder`, whatever their permissions. Ignores failures.
pub fn unlock_folders(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    const OWNERS: u32 = 0o700;
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(facts) = folder.symlink_metadata() else { continue };
        let mode = facts.permissions().mode();
        if !facts.is_dir() {
            continue;
        }
        if mode & OWNERS != OWNERS {
            let _ = std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode & 0o7777 | OWNERS));
        }
        let below = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        open.extend(below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()));
    }
}

/// Modification time of a file: nanoseconds since 1970.
#[must_use]
pub fn modified(facts: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    (facts.mtime() as u64).wrapping_mul(1_000_000_000).wrapping_add(facts.mtime_nsec() as u64)
}

/// Free bytes for files below `path`; [`None`] if unknown.
#[must_use]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|ancestor| ancestor.exists())?;
    let figures = rustix::fs::statvfs(there).ok()?;
    Some(figures.f_bavail * figures.f_frsize)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn an_old_system_or_an_unknown_one_does_not_report_what_syncfs_could_not_write() {
        assert!(["5.8.0-1-amd64\n", "5.10.0", "6.1.0-rc1", "10.0"].into_iter().all(tells));
        assert!(["5.7.19", "4.19.0-27", "5.8-rc1", "5", "", "linux"].into_iter().all(|release| !tells(release)));
    }
}
