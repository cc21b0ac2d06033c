//! Files outside the store, as sources see them.

use std::io::Error;
use std::path::{Path, PathBuf};

use super::Host;
use super::commands::program::{is_input, is_of_project};
use super::fingerprint::FingerprintBuilder;
use super::listing::{ListedWithBroken, is_missing, list, list_with_broken, unreadable};
use super::missing::missing;
use crate::stage::{Files, StageError};
use crate::store::{Asked, Entry, Fingerprint, Store};

/// The files of a project.
pub struct ProjectFiles<'a> {
    folder: PathBuf,
    host: &'a Host,
    store: &'a Store,
}

impl<'a> ProjectFiles<'a> {
    /// The files of the project in `folder`; relative paths start there.
    #[must_use]
    pub fn new(host: &'a Host, folder: &Path, store: &'a Store) -> Self {
        Self { folder: folder.to_owned(), host, store }
    }

    /// The error for a path that does not exist; none if it does.
    fn missing(&self, code: &'static str, path: &Path) -> Option<StageError> {
        is_missing(path).then(|| {
            let found = missing(code, path, &self.folder, self.host);
            let error = StageError::input(found.code, found.text);
            match found.hint {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })
    }

    /// The files below a folder as [`Files::list`], with links that cannot be followed among them, and the error of each.
    ///
    /// # Errors
    /// As [`Files::list`], but for such links.
    pub(super) fn list_with_broken(&self, folder: &Path) -> Result<ListedWithBroken, StageError> {
        list_with_broken(folder, &self.folder.join("results"))
            .map_err(|error| self.missing("missing-folder", folder).unwrap_or(error))
    }

    fn unreadable(&self, file: &Path, error: &Error) -> StageError {
        self.missing("missing-file", file).unwrap_or_else(|| unreadable(file, error))
    }
}

impl Files for ProjectFiles<'_> {
    fn list(&self, folder: &Path) -> Result<Vec<String>, StageError> {
        list(folder, &self.folder.join("results"))
            .map_err(|error| self.missing("missing-folder", folder).unwrap_or(error))
    }

    fn entry(&self, file: &Path) -> Result<Entry, StageError> {
        let entry =
            self.store.files.entry(file, self.host.nanoseconds()).map_err(|error| self.unreadable(file, &error))?;
        self.store.objects.put_external([(&entry, file)]);
        Ok(entry)
    }

    fn entries(&self, files: &[PathBuf]) -> Result<Vec<Entry>, StageError> {
        let found = self.store.files.entries(files, self.host.nanoseconds());
        let found = found.map_err(|(file, error)| self.unreadable(file, &error))?;
        self.store.objects.put_external(found.iter().zip(files.iter().map(PathBuf::as_path)));
        Ok(found)
    }

    fn placed(&self, entry: &Entry, place: &str, file: &Path) {
        self.store.objects.put_place(entry, place, file);
    }

    fn put(&self, bytes: &[u8]) -> Result<Entry, StageError> {
        Ok(self.store.objects.put(bytes)?)
    }

    fn resolve(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        self.host.program(name, &self.folder)
    }

    fn own_program(&self, word: &str) -> Option<PathBuf> {
        if is_input(word) {
            return None;
        }
        self.program(word).filter(|program| is_of_project(program, &self.folder))
    }

    fn fingerprint(&self, asked: &[Asked]) -> Option<Fingerprint> {
        let mut builder = FingerprintBuilder::new();
        for asked in asked {
            match asked {
                Asked::Listed(folder) => builder.folder(folder)?,
                Asked::Read(file) => builder.file(file)?,
                Asked::Program(name, found) if self.program(name) == *found => {}
                Asked::Program(..) => return None,
            }
        }
        Some(builder.finish())
    }

    fn worth_remembering(&self) -> usize {
        // Tests cache everything.
        self.host.variable("MACULA_LOOKS").and_then(|from| from.parse().ok()).unwrap_or(1000)
    }

    fn now(&self) -> u64 {
        self.host.nanoseconds()
    }
}
