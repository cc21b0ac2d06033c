//! Opens users' files only if they are regular files: opening a FIFO blocks, and a device may never end.

use std::fs::{File, FileType, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Opens a regular file for reading.
///
/// # Errors
/// [`ErrorKind::IsADirectory`]; [`ErrorKind::InvalidInput`] naming a FIFO, a socket or a device; the system's error.
pub fn open(path: &Path) -> Result<File> {
    refuse(std::fs::metadata(path)?.file_type())?;
    // It may have been replaced since.
    let file = OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path)?;
    refuse(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a regular file.
///
/// # Errors
/// As [`open`].
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let mut file = open(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len()).unwrap_or(0).min(1 << 30));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a regular file as UTF-8.
///
/// # Errors
/// As [`open`]; [`ErrorKind::InvalidData`] if it is not UTF-8.
pub fn read_to_string(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}

fn refuse(kind: FileType) -> Result<()> {
    if kind.is_file() {
        Ok(())
    } else if kind.is_dir() {
        Err(Error::from(ErrorKind::IsADirectory))
    } else {
        Err(Error::new(ErrorKind::InvalidInput, format!("it is {}, not a file", named(kind))))
    }
}

/// What a special file is, in words.
#[must_use]
pub fn named(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused_by_name_without_being_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let [pipe, socket, file] = ["pipe", "socket", "file"].map(|name| folder.path().join(name));
        let made = rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        );
        made.expect("a FIFO");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        std::fs::write(&file, "text").expect("written");
        let said = |path: &Path| read(path).expect_err("no file").to_string();
        assert_eq!(said(&pipe), "it is a FIFO, not a file");
        assert_eq!(said(&socket), "it is a socket, not a file");
        assert_eq!(said(Path::new("/dev/zero")), "it is a device, not a file");
        assert_eq!(read(folder.path()).expect_err("a folder").kind(), ErrorKind::IsADirectory);
        assert_eq!(read_to_string(&file).expect("a file"), "text");
    }
}
