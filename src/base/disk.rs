//! What macula asks of a file system: files that appear whole or not at all, and free space. Knows no store.

mod part;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use part::Part;
pub use part::sweep;

/// Writes `bytes` to `path` so that after a crash either the old or the new content is there, on the disk before it returns.
///
/// # Errors
/// What the system says.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let part = Part::of(folder, bytes)?;
    part.file().sync_data()?;
    readable(part.file())?;
    part.replace(path)?;
    sync_folder(folder)
}

/// As [`write_whole`], where there is no file of that name yet. Returns whether there was none: of several that try, one writes.
///
/// # Errors
/// What the system says.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let folder = folder_of(path);
    if path.exists() {
        return Ok(false);
    }
    let part = Part::of(folder, bytes)?;
    part.file().sync_data()?;
    readable(part.file())?;
    if part.appear(path)? { sync_folder(folder).map(|()| true) } else { Ok(false) }
}

/// As [`write_whole`], without waiting for the disk: for what can be made again.
///
/// # Errors
/// What the system says.
pub fn write_lightly(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = Part::of(folder_of(path), bytes)?;
    readable(part.file())?;
    part.replace(path)
}

/// As [`write_whole`], for a file of the user's: a link stays a link, its permissions stay, and a read-only file is left alone.
///
/// # Errors
/// What the system says, also where `path` is not there.
pub fn rewrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = path.canonicalize()?;
    let permissions = path.metadata()?.permissions();
    if permissions.readonly() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only"));
    }
    let folder = folder_of(&path);
    sweep(folder);
    let part = Part::of(folder, bytes)?;
    bear(part.file().set_permissions(permissions))?;
    part.file().sync_data()?;
    part.replace(&path)?;
    sync_folder(folder)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Temporary files are made for their owner alone; what they become is for whoever may see the folder.
fn readable(file: &File) -> io::Result<()> {
    permit(file, 0o644)
}

/// Says who may do what with a file or folder. Where the disk keeps no rights of its own (FAT, some network disks), nothing is said.
///
/// # Errors
/// What the system says.
pub fn permit(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    bear(file.set_permissions(std::fs::Permissions::from_mode(mode)))
}

/// That a disk can't do something that only makes things better is no error.
fn bear(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if is_unknown(&error) { Ok(()) } else { Err(error) })
}

/// Whether a disk says that it does not know something: some say that it is not permitted, or not valid.
fn is_unknown(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), PermissionDenied | InvalidInput | Unsupported)
}

/// Writes `bytes` to a new file with these permissions, without waiting for the disk; an existing file is an error.
///
/// # Errors
/// What the system says.
pub fn write_once(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    permit(&file, mode)
}

/// Lets the system ask how folders look now, those above others first. What it believes of a network's disk may be a minute old:
/// without this, a name that another machine made is not seen.
pub fn revalidate_dirs(folders: &[&Path]) {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
        for folder in folders {
            // Where it can't be asked for, the system believes what it does.
            let _ = statx(CWD, *folder, AtFlags::STATX_FORCE_SYNC, StatxFlags::BASIC_STATS);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = folders;
}

/// Whether a name is there only because its folder takes another for the same: one that tells no upper from lower case.
#[must_use]
pub fn is_other_name(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
    let listed = || std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| entry.file_name() == name);
    path.symlink_metadata().is_ok() && !listed()
}

/// Makes a folder where it is missing, those above it too. Where a group may write into the one above it (and new files get
/// that group), it may write into this one as well, whatever the process's mask says: so users share a store whose folder was
/// once made with `chmod g+ws`.
///
/// # Errors
/// What the system says.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(above)?;
    match std::fs::create_dir(folder) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => return Ok(()),
        made => made?,
    }
    let (mode, own) = (above.metadata()?.permissions().mode(), folder.metadata()?.permissions().mode());
    if mode & SHARED == SHARED && own & SHARED != SHARED {
        bear(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(own | SHARED)))?;
    }
    Ok(())
}

/// The group may write, and what is made in the folder belongs to that group.
const SHARED: u32 = 0o2020;

/// Lets the group write to a file that several users lock or append to, where they share its folder. That it can't be said
/// (another user's file) is no error: then its owner did.
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

/// Makes the names in `folder` lasting, as far as the disk knows how to.
///
/// # Errors
/// What the system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    bear(File::open(folder)?.sync_all())
}

/// Brings all that was written to the disk of `file` there. False, and nothing done, where that is no disk of which the system tells
/// through `file` what could not be written since it was opened (Linux from 5.8 on; network disks and others have rules of their own).
///
/// # Errors
/// What the system says.
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

/// Whether `syncfs` of this release of Linux tells what could not be written: from 5.8 on, by syncfs(2).
#[cfg(target_os = "linux")]
fn tells(release: &str) -> bool {
    let mut numbers = release.split('.').map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(8))
}

/// Asks the system to begin bringing what was written of `file` to the disk, without waiting for it: a later sync then has less to
/// do. Where the system can't, nothing happens.
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

/// Whether nobody can write to the bytes of `file`, which was opened for reading: not by a descriptor that is open, nor by memory that
/// it is mapped into. False where the system does not say (macOS, network disks, another user's file).
#[must_use]
pub fn nobody_writes(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        /// As the kernel's headers have it; the `libc` crate does not everywhere.
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

/// Gives `to`, which is empty, the bytes of `from` by reference, as far as the disk can (Btrfs, XFS): neither sees what is written to
/// the other later. Returns whether it could.
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

/// Lets the owner of the folders at and below `folder` list and empty them, whatever their modes say. What can't be changed stays.
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

/// Bytes that may still be written below `path`; [`None`] where the system does not say.
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
    fn an_old_system_or_an_unknown_one_does_not_tell_what_syncfs_could_not_write() {
        assert!(["5.8.0-1-amd64\n", "5.10.0", "6.1.0-rc1", "10.0"].into_iter().all(tells));
        assert!(["5.7.19", "4.19.0-27", "5.8-rc1", "5", "", "linux"].into_iter().all(|release| !tells(release)));
    }
}
