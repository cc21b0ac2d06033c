//! Files outside the store, as sources see them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::World;
use crate::stage::{Files, StageError};
use crate::store::{Entry, Store};

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
        found.sort();
        Ok(found)
    }

    fn entry(&self, file: &Path) -> Result<Entry, StageError> {
        let entry = self.store.files.entry(file, self.world.nanoseconds()).map_err(|error| {
            let code = if error.kind() == ErrorKind::NotFound { "missing-file" } else { "unreadable-file" };
            StageError::input(code, format!("cannot read `{}`: {error}", file.display()))
        })?;
        self.store.objects.put_external(&entry, file);
        Ok(entry)
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
}

/// Links are followed; a ring of links ends at this depth.
const DEEPEST: usize = 32;

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
        let path = format!("{prefix}{name}");
        // A link that leads nowhere is as good as hidden.
        let Ok(facts) = std::fs::metadata(entry.path()) else { continue };
        if facts.is_dir() {
            walk(&entry.path(), &format!("{path}/"), depth + 1, found)?;
        } else if facts.is_file() {
            found.push(path);
        }
    }
    Ok(())
}
