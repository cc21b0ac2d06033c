//! Access to files below an open folder, name by name: no symbolic link is followed, so nothing outside of the folder
//! is ever opened, whatever somebody swaps in meanwhile.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};

/// Maximum depth of subfolders.
const DEEPEST: usize = 128;

/// An open folder.
#[derive(Debug)]
pub struct Beneath {
    root: OwnedFd,
    path: PathBuf,
}

/// Why the files below a folder cannot be listed.
#[derive(Debug)]
pub enum Unlisted {
    /// The path of something that is neither a file nor a folder, has a name that is not UTF-8, or is too deep.
    Odd(String),
    /// The system's error.
    Disk(io::Error),
}

impl From<rustix::io::Errno> for Unlisted {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Disk(error.into())
    }
}

impl Beneath {
    /// Opens a folder, which must not be a symbolic link.
    ///
    /// # Errors
    /// The system's error.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = openat(rustix::fs::CWD, path, FOLDER, Mode::empty())?;
        Ok(Self { root, path: path.to_owned() })
    }

    /// The path by which it was opened, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All files below, as paths relative to the folder with `/`, sorted.
    ///
    /// # Errors
    /// [`Unlisted`].
    pub fn files(&self) -> Result<Vec<String>, Unlisted> {
        let mut found = Vec::new();
        list(&self.root, "", 0, &mut found)?;
        found.sort_unstable();
        Ok(found)
    }

    /// Opens a file below for reading.
    ///
    /// # Errors
    /// The system's error; also if the path is a symbolic link or not a regular file.
    pub fn file(&self, path: &str) -> io::Result<File> {
        let (folder, name) = self.parent(path)?;
        // Without `NONBLOCK`, opening a named pipe would block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&folder, name, flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
    }

    /// Moves a file or folder below to `place` on the same disk.
    ///
    /// # Errors
    /// The system's error.
    pub fn rename(&self, path: &str, place: &Path) -> io::Result<()> {
        let (folder, name) = self.parent(path)?;
        Ok(rustix::fs::renameat(&folder, name, rustix::fs::CWD, place)?)
    }

    /// The parent folder of a path, opened, and the last name.
    fn parent<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut at = self.root.try_clone()?;
        for folder in folders.split('/').filter(|folder| !folder.is_empty()) {
            if folder == ".." {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            }
            at = openat(&at, folder, FOLDER, Mode::empty())?;
        }
        Ok((at, name))
    }
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn list(folder: &OwnedFd, prefix: &str, depth: usize, found: &mut Vec<String>) -> Result<(), Unlisted> {
    if depth > DEEPEST {
        return Err(Unlisted::Odd(prefix.to_owned()));
    }
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(text) = name.to_str() else {
            return Err(Unlisted::Odd(format!("{prefix}{}", name.to_string_lossy())));
        };
        let path = format!("{prefix}{text}");
        let kind = match entry.file_type() {
            FileType::Unknown => FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode),
            known => known,
        };
        match kind {
            FileType::RegularFile => found.push(path),
            FileType::Directory => {
                let below = openat(folder, name, FOLDER, Mode::empty())?;
                list(&below, &format!("{path}/"), depth + 1, found)?;
            }
            _ => return Err(Unlisted::Odd(path)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_lies_below_is_found_and_no_link_is_followed() {
        let place = tempfile::tempdir().expect("a folder");
        let at = |path: &str| place.path().join(path);
        for folder in ["own/a/b", "private"] {
            fs::create_dir_all(at(folder)).expect("a folder");
        }
        for file in ["own/x", "own/a/b/y", "private/key"] {
            fs::write(at(file), file).expect("written");
        }
        let own = Beneath::open(&at("own")).expect("a folder");
        assert_eq!(own.files().expect("listed"), ["a/b/y", "x"]);
        assert!(own.file("a/b/y").is_ok() && own.file("a/b").is_err());
        // A link in place of a folder or a file, and a path upwards.
        fs::rename(at("own/a"), at("elsewhere")).expect("moved");
        symlink(at("private"), at("own/a")).expect("a link");
        symlink(at("private/key"), at("own/link")).expect("a link");
        assert!(own.file("a/key").is_err() && own.file("link").is_err() && own.file("../private/key").is_err());
        assert!(own.rename("a/key", &at("stolen")).is_err());
        assert!(matches!(own.files(), Err(Unlisted::Odd(path)) if path == "a" || path == "link"));
        assert!(Beneath::open(&at("own/a")).is_err());
        // The open folder is the same under another name.
        fs::rename(at("own"), at("renamed")).expect("moved");
        own.rename("x", &at("taken")).expect("moved");
        assert_eq!(fs::read_to_string(at("taken")).expect("read"), "own/x");
    }
}
