//! What macula asks of a file system: files that appear whole or not at all, and free space. Knows no store.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Writes `bytes` to `path` so that after a crash either the old or the new content is there, on the disk before it returns.
///
/// # Errors
/// What the system says.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_data()?;
    readable(file.as_file())?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// As [`write_whole`], where there is no file of that name yet. Returns whether there was none: of several that try, one writes.
///
/// # Errors
/// What the system says.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("."));
    if path.exists() {
        return Ok(false);
    }
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_data()?;
    readable(file.as_file())?;
    match file.persist_noclobber(path) {
        Ok(_) => sync_folder(folder).map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// As [`write_whole`], without waiting for the disk: for what can be made again.
///
/// # Errors
/// What the system says.
pub fn write_lightly(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    readable(file.as_file())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
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
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(permissions)?;
    file.as_file().sync_data()?;
    file.persist(&path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Temporary files are made for their owner alone; what they become is for whoever may see the folder.
fn readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
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
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(own | SHARED))?;
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

/// Makes the names in `folder` lasting.
///
/// # Errors
/// What the system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
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
        if TOLD.contains(&(rustix::fs::fstatfs(file)?.f_type as i64)) {
            rustix::fs::syncfs(file)?;
            return Ok(true);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = file;
    Ok(false)
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

/// Bytes that may still be written below `path`; [`None`] where the system does not say.
#[must_use]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|ancestor| ancestor.exists())?;
    let figures = rustix::fs::statvfs(there).ok()?;
    Some(figures.f_bavail * figures.f_frsize)
}

/// A number of bytes for people: `1.4 GiB`.
#[must_use]
pub fn bytes_shown(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} bytes") } else { format!("{value:.1} {}", units[unit]) }
}
