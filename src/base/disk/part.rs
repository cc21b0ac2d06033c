//! The new content of a file before it has its name. Where the system can, it has none at all until it is whole, so that a process
//! that is killed leaves nothing behind; elsewhere, and for the moment in which it takes another's place, its name says whose it is.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a name begins and ends with that stands there for a moment: `.macula-PROCESS-NUMBER.part`.
const BEGIN: &str = ".macula-";
const END: &str = ".part";

/// What is older, and of a process that this system does not know, was left by one that was killed, here or on another machine.
const OLD: Duration = Duration::from_hours(1);

/// A file that is being written.
pub(super) struct Part {
    file: File,
    /// Its name, where it has one; taken away when this is dropped.
    name: Option<tempfile::TempPath>,
}

impl Part {
    /// A file with these bytes, to be one of `folder`.
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

    /// Gives it a name in its folder.
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

    /// Becomes the file of this path, in place of what is there.
    pub(super) fn replace(mut self, path: &Path) -> io::Result<()> {
        if self.name.is_none() && !path.exists() && link(&self.file, path).is_ok() {
            return Ok(());
        }
        self.name(path)?.persist(path).map_err(|error| error.error)
    }

    /// Becomes the file of this path, where there is none. Returns whether there was none.
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
            // A disk without links that can't spare what is there when it renames: of several at once, the last one's stays.
            Err(error) if super::is_unknown(&error.error) && !path.exists() => {
                error.path.persist(path).map(|()| true).map_err(|error| error.error)
            }
            Err(error) => Err(error.error),
        }
    }
}

/// A file of a folder without a name; [`None`] where the disk or the system knows no such thing.
fn nameless(folder: &Path) -> Option<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags};
        // Without /proc there would be no way to give it a name.
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

/// Gives a file without a name this one.
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

/// A name of this process's.
fn fresh(folder: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    folder.join(format!("{BEGIN}{}-{number}{END}", std::process::id()))
}

/// Takes away what killed processes left in a folder of the user's: parts of files, old, and of no process that lives here.
pub fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let left = |name: &str| is_left(name, |process| Path::new(&format!("/proc/{process}")).exists());
        let old = || {
            let changed = entry.metadata().ok().filter(std::fs::Metadata::is_file)?.modified().ok()?;
            changed.elapsed().ok().filter(|age| *age > OLD)
        };
        if entry.file_name().to_str().is_some_and(left) && old().is_some() {
            // What can't be taken away does no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether a name is that of a part whose process is gone.
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
            let part = Part::of(folder.path(), bytes).expect("written");
            assert!(names(folder.path()).iter().all(|name| name == "a.kdl" || is_left(name, |_| false)));
            part.replace(&path).expect("in place");
            assert_eq!(
                (names(folder.path()), std::fs::read(&path).expect("there")),
                (vec!["a.kdl".to_owned()], bytes.to_vec())
            );
        }
        let appear = |name: &str| Part::of(folder.path(), b"new").expect("written").appear(&folder.path().join(name));
        assert!(!appear("a.kdl").expect("told") && appear("b.kdl").expect("told"));
        assert_eq!(names(folder.path()), ["a.kdl", "b.kdl"]);
        // The same where files have names from the beginning.
        let named = || Part::named(folder.path()).expect("a file");
        named().replace(&path).expect("in place");
        assert!(!named().appear(&path).expect("told") && named().appear(&folder.path().join("c.kdl")).expect("told"));
        drop(named());
        assert_eq!(names(folder.path()), ["a.kdl", "b.kdl", "c.kdl"]);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        // No process has this number.
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
