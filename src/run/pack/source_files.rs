//! The files that sources read, found by evaluating the sources once more.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::lang::spec::StageSpec;
use crate::stage::{Files, Implementation, Params, StageError, Work};
use crate::store::Entry;

/// What a source read.
#[derive(Debug, Default)]
pub(super) struct SourceFiles {
    /// Its files.
    pub(super) files: BTreeMap<PathBuf, Entry>,
    /// Programs among them that were looked up by name: they belong to the system.
    pub(super) programs: BTreeSet<PathBuf>,
}

/// The files that a source reads; none for other stages.
///
/// # Errors
/// Those of the source.
pub(super) fn files_of(
    stage: &StageSpec,
    implementation: &Implementation,
    files: &dyn Files,
) -> Result<SourceFiles, StageError> {
    let Work::Source(look) = implementation.work else { return Ok(SourceFiles::default()) };
    let noting = NotingFiles { files, noted: RefCell::default() };
    look(&Params(stage.values()), &noting)?;
    Ok(noting.noted.into_inner())
}

/// Files that notes which ones were read.
struct NotingFiles<'a> {
    files: &'a dyn Files,
    noted: RefCell<SourceFiles>,
}

impl Files for NotingFiles<'_> {
    fn list(&self, folder: &Path) -> Result<Vec<String>, StageError> {
        self.files.list(folder)
    }

    fn entry(&self, file: &Path) -> Result<Entry, StageError> {
        let entry = self.files.entry(file)?;
        self.noted.borrow_mut().files.insert(file.to_owned(), entry);
        Ok(entry)
    }

    fn entries(&self, files: &[PathBuf]) -> Result<Vec<Entry>, StageError> {
        let entries = self.files.entries(files)?;
        self.noted.borrow_mut().files.extend(files.iter().cloned().zip(entries.iter().copied()));
        Ok(entries)
    }

    fn placed(&self, entry: &Entry, place: &str, file: &Path) {
        self.files.placed(entry, place, file);
    }

    fn refuse(&self, file: &Path, error: StageError) -> Result<(), StageError> {
        self.files.refuse(file, error)
    }

    fn put(&self, bytes: &[u8]) -> Result<Entry, StageError> {
        self.files.put(bytes)
    }

    fn resolve(&self, path: &str) -> PathBuf {
        self.files.resolve(path)
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        let found = self.files.program(name);
        if !name.contains('/') {
            self.noted.borrow_mut().programs.extend(found.clone());
        }
        found
    }
}
