//! A remote in a folder: a shared or removable disk.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::site::{Fault, Site};
use crate::base::disk;

/// A folder that serves as a remote.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    absent: MissingRoot,
}

/// What a missing root folder means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MissingRoot {
    /// The remote cannot be reached: its disk is not mounted.
    Unreachable,
    /// Nothing was written yet.
    Empty,
}

impl Folder {
    /// A remote in the folder at `root`, which others write.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, absent: MissingRoot::Unreachable }
    }

    /// A remote in the folder at `root`, which is created with the first file.
    #[must_use]
    pub fn to_write(root: PathBuf) -> Self {
        Self { root, absent: MissingRoot::Empty }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A missing file is only missing if the folder exists: an unmounted disk holds nothing either.
    fn missing<T>(&self) -> Result<Option<T>, Fault> {
        if self.absent == MissingRoot::Empty || self.root.is_dir() {
            return Ok(None);
        }
        let text = format!("folder `{}` does not exist", self.root.display());
        Err(Fault::hinted(text, "mount its disk, or push to it first"))
    }

    fn ready(&self, name: &str) -> Result<PathBuf, Fault> {
        let file = self.file(name);
        let folder = file.parent().unwrap_or(&self.root);
        disk::make_folder(folder).map_err(failed("create", folder))?;
        Ok(file)
    }
}

impl Site for Folder {
    fn fetch(&self, name: &str, most: u64, into: &mut dyn Write) -> Result<Option<u64>, Fault> {
        let path = self.file(name);
        let file = match regular(&path) {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return self.missing(),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let Some((file, size)) = file else { return Err(Fault::Wrong(format!("`{}` is not a file", path.display()))) };
        if size > most {
            return Err(Fault::longer(name, most));
        }
        let copied = std::io::copy(&mut file.take(most + 1), into).map_err(failed("read", &path))?;
        if copied > most { Err(Fault::longer(name, most)) } else { Ok(Some(copied)) }
    }

    fn size(&self, name: &str) -> Result<Option<u64>, Fault> {
        let path = self.file(name);
        match path.metadata() {
            Ok(facts) => Ok(facts.is_file().then_some(facts.len())),
            Err(error) if is_missing(&error) => self.missing(),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    fn put(&self, name: &str, bytes: Bytes, _go_on: &dyn Fn() -> bool) -> Result<(), Fault> {
        let path = self.ready(name)?;
        disk::write_whole(&path, &bytes).map_err(failed("write", &path))
    }

    fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Fault> {
        let path = self.ready(name)?;
        disk::write_new(&path, &bytes).map_err(failed("write", &path))
    }
}

/// An open regular file and its size; [`None`] for anything else: opening a pipe would block.
fn regular(path: &Path) -> std::io::Result<Option<(File, u64)>> {
    if !path.metadata()?.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    Ok(Some((file, size)))
}

fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Fault {
    let path = path.to_owned();
    move |error| {
        let store = super::super::StoreError::Disk { doing, path, error };
        let text = store.to_string();
        if store.can_pass() { Fault::Passing(text) } else { Fault::lasting(text) }
    }
}
