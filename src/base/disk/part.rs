//! The content of a file before it gets its name. On Linux, it has no name at all until it is complete, so a killed
//! process leaves nothing behind; elsewhere, and briefly while it replaces another file, its name identifies the
//! process.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Prefix and suffix of temporary names: `.macula-PROCESS-NUMBER.part`.
const BEGIN: &str = ".macula-";
const END: &str = ".part";

/// Age from which the file of an unknown process counts as left behind by a killed one, here or on another machine.
const OLD: Duration = Duration::from_hours(1);

/// A file being written.
pub(super) struct PartFile {
    file: File,
    /// Its temporary name, if it has one; removed on drop.
    name: Option<tempfile::TempPath>,
}

impl PartFile {
    /// A file with these bytes, for `folder`.
    pub(super) fn of(folder: &Path, bytes: &[u8]) -> io::Result<Self> {
        let mut part = match nameless(folder) {
            Some(file) => Self { file, name: None },
            None => Self::named(folder)?,
        };
        part.file.write_all(bytes)?;
        Ok(part)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn named(folder: &Path) -> io::Result<Self> {
        loop {
            let path = fresh(folder);
            let mut options = File::options();
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            match options.read(true).write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return Ok(Self { file: made?, name: Some(tempfile::TempPath::try_from_path(path)?) }),
            }
        }
    }

    /// Gives it a temporary name in its folder.
    fn name(&mut self, path: &Path) -> io::Result<tempfile::TempPath> {
        if let Some(name) = self.name.take() {
            return Ok(name);
        }
        let folder = super::folder_of(path);
        loop {
            let name = fresh(folder);
            match link(&self.file, &name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => return linked.and_then(|()| tempfile::TempPath::try_from_path(name)),
            }
        }
    }

    /// Moves it to this path, replacing an existing file.
    pub(super) fn replace(mut self, path: &Path) -> io::Result<()> {
        if self.name.is_none() && !path.exists() && link(&self.file, path).is_ok() {
            return Ok(());
        }
        self.name(path)?.persist(path).map_err(|error| error.error)
    }

    /// Moves it to this path if no file exists there. Returns whether it did.
    pub(super) fn appear(mut self, path: &Path) -> io::Result<bool> {
        let there = |error: &io::Error| error.kind() == io::ErrorKind::AlreadyExists;
        if self.name.is_none() {
            match link(&self.file, path) {
                Ok(()) => return Ok(true),
                Err(error) if there(&error) => return Ok(false),
                Err(_) => {}
            }
        }
        match self.name(path)?.persist_noclobber(path) {
            Ok(()) => Ok(true),
            Err(error) if there(&error.error) => Ok(false),
            // A file system without hard links and without exclusive renaming: of several concurrent writers, the last
            // one wins.
            Err(error) if super::is_unknown(&error.error) && !path.exists() => {
                error.path.persist(path).map(|()| true).map_err(|error| error.error)
            }
            Err(error) => Err(error.error),
        }
    }
}

/// An unnamed file in a folder; [`None`] if the file system or the system does not support it.
fn nameless(folder: &Path) -> Option<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags};
        // It is named through /proc.
        static NAMES: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| Path::new("/proc/self/fd").exists());
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let made = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR).ok().filter(|_| *NAMES)?;
        Some(File::from(made))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        None
    }
}

/// Names an unnamed file.
fn link(file: &File, path: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;

        use rustix::fs::{AtFlags, CWD, linkat};
        let own = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(linkat(CWD, own, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (file, path);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A temporary name of this process.
fn fresh(folder: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    folder.join(format!("{BEGIN}{}-{number}{END}", std::process::id()))
}

/// Removes old temporary files of killed processes from a user's folder.
pub fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let left = |name: &str| is_left(name, |process| Path::new(&format!("/proc/{process}")).exists());
        let old = || {
            let changed = entry.metadata().ok().filter(std::fs::Metadata::is_file)?.modified().ok()?;
            changed.elapsed().ok().filter(|age| *age > OLD)
        };
        if entry.file_name().to_str().is_some_and(left) && old().is_some() {
            // A file that cannot be removed does no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether a name is a temporary name of a process that no longer exists.
fn is_left(name: &str, lives: impl Fn(u32) -> bool) -> bool {
    let whose = name.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)?.split_once('-'));
    whose.is_some_and(|(process, number)| {
        number.parse::<u64>().is_ok() && process.parse().is_ok_and(|process| !lives(process))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn while_a_file_is_written_its_folder_shows_nothing_or_whose_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.kdl");
        for bytes in [b"one", b"two"] {
            let part = PartFile::of(folder.path(), bytes).expect("written");
            assert!(names(folder.path()).iter().all(|name| name == "a.kdl" || is_left(name, |_| false)));
            part.replace(&path).expect("in place");
            assert_eq!(
                (names(folder.path()), std::fs::read(&path).expect("there")),
                (vec!["a.kdl".to_owned()], bytes.to_vec())
            );
        }
        let appear =
            |name: &str| PartFile::of(folder.path(), b"new").expect("written").appear(&folder.path().join(name));
        assert!(!appear("a.kdl").expect("told") && appear("b.kdl").expect("told"));
        assert_eq!(names(folder.path()), ["a.kdl", "b.kdl"]);
        // The same for files that are named from the start.
        let named = || PartFile::named(folder.path()).expect("a file");
        named().replace(&path).expect("in place");
        assert!(!named().appear(&path).expect("told") && named().appear(&folder.path().join("c.kdl")).expect("told"));
        drop(named());
        assert_eq!(names(folder.path()), ["a.kdl", "b.kdl", "c.kdl"]);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        // No process has this id.
        let gone = ".macula-4294967295-0.part";
        for name in [gone, ".macula-1-0.part", ".macula-x-0.part", ".tmpABCDEF", "notes.part"] {
            let file = File::create(folder.path().join(name)).expect("written");
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("set");
        }
        File::create(folder.path().join(".macula-4294967295-1.part")).expect("written");
        sweep(folder.path());
        let left = [".macula-1-0.part", ".macula-4294967295-1.part", ".macula-x-0.part", ".tmpABCDEF", "notes.part"];
        assert_eq!(names(folder.path()), left);
    }
}
