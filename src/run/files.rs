//! Files outside the store, as sources see them.

use std::fs::DirEntry;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::World;
use super::commands::program::{is_input, is_of_project};
use super::stamp::Stamping;
use crate::stage::{Files, StageError};
use crate::store::{Asked, Entry, Stamp, Store};

/// The files of a project.
pub struct ProjectFiles<'a> {
    folder: PathBuf,
    world: &'a World,
    store: &'a Store,
}

impl<'a> ProjectFiles<'a> {
    /// The files that paths against `folder` lead to.
    #[must_use]
    pub fn new(world: &'a World, folder: &Path, store: &'a Store) -> Self {
        Self { folder: folder.to_owned(), world, store }
    }
}

impl Files for ProjectFiles<'_> {
    fn list(&self, folder: &Path) -> Result<Vec<String>, StageError> {
        let mut found = Vec::new();
        walk(folder, "", 0, &mut found)?;
        found.par_sort_unstable();
        Ok(found)
    }

    fn entry(&self, file: &Path) -> Result<Entry, StageError> {
        let entry = self.store.files.entry(file, self.world.nanoseconds()).map_err(|error| unreadable(file, &error))?;
        self.store.objects.put_external([(&entry, file)]);
        Ok(entry)
    }

    fn entries(&self, files: &[PathBuf]) -> Result<Vec<Entry>, StageError> {
        let found = self.store.files.entries(files, self.world.nanoseconds());
        let found = found.map_err(|(file, error)| unreadable(file, &error))?;
        self.store.objects.put_external(found.iter().zip(files.iter().map(PathBuf::as_path)));
        Ok(found)
    }

    fn put(&self, bytes: &[u8]) -> Result<Entry, StageError> {
        Ok(self.store.objects.put(bytes)?)
    }

    fn resolve(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        self.world.program(name, &self.folder)
    }

    fn own_program(&self, word: &str) -> Option<PathBuf> {
        if is_input(word) {
            return None;
        }
        self.program(word).filter(|program| is_of_project(program, &self.folder))
    }

    fn stamp(&self, asked: &[Asked]) -> Option<Stamp> {
        let mut stamping = Stamping::new();
        for asked in asked {
            match asked {
                Asked::Listed(folder) => stamping.folder(folder)?,
                Asked::Read(file) => stamping.file(file)?,
                Asked::Program(name, found) if self.program(name) == *found => {}
                Asked::Program(..) => return None,
            }
        }
        Some(stamping.finish())
    }

    fn worth_remembering(&self) -> usize {
        // Tests remember everything.
        self.world.variable("MACULA_LOOKS").and_then(|from| from.parse().ok()).unwrap_or(1000)
    }

    fn now(&self) -> u64 {
        self.world.nanoseconds()
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> StageError {
    let code = if error.kind() == ErrorKind::NotFound { "missing-file" } else { "unreadable-file" };
    StageError::input(code, format!("cannot read `{}`: {error}", file.display()))
}

/// What lies in a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
}

/// Links are followed; a ring of links ends at this depth.
pub(super) const DEEPEST: usize = 32;

/// Adds every file below `folder` by its path from there.
fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) -> Result<(), StageError> {
    let fail = |error: std::io::Error| {
        let code = if error.kind() == ErrorKind::NotFound { "missing-folder" } else { "unreadable-folder" };
        StageError::input(code, format!("cannot list the folder `{}`: {error}", folder.display()))
            .hint("paths start from the project's folder: the nearest one above the pipeline that holds `project.kdl`, else the current one")
    };
    if depth > DEEPEST {
        let text = format!("`{}` lies more than {DEEPEST} folders deep", folder.display());
        return Err(StageError::input("unreadable-folder", text).hint("does a link lead back to a folder above it?"));
    }
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().into_string().map_err(|name| {
            let text = format!("the name of `{}` in `{}` is not UTF-8", name.display(), folder.display());
            StageError::input("unreadable-file", text).hint("rename it")
        })?;
        if name.starts_with('.') {
            continue;
        }
        let path = if prefix.is_empty() { name } else { format!("{prefix}{name}") };
        match kind_of(&entry) {
            Some(Kind::File) => found.push(path),
            Some(Kind::Folder) => walk(&entry.path(), &format!("{path}/"), depth + 1, found)?,
            None => {}
        }
    }
    Ok(())
}

/// What an entry is, or leads to as a link. A link that leads nowhere is as good as hidden.
fn kind_of(entry: &DirEntry) -> Option<Kind> {
    let own = entry.file_type().ok()?;
    if own.is_file() {
        return Some(Kind::File);
    }
    if own.is_dir() {
        return Some(Kind::Folder);
    }
    let facts = std::fs::metadata(entry.path()).ok()?;
    if facts.is_file() { Some(Kind::File) } else { facts.is_dir().then_some(Kind::Folder) }
}
