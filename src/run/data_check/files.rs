//! Files of a project as a source sees them while its data is checked: a file that cannot be used is remembered, and the source continues, so
//! that all such files are reported. What a source returns then is never cached, and no stage may read it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::base::Digest;
use crate::base::sync;
use crate::run::files::ProjectFiles;
use crate::stage::{Files, StageError};
use crate::store::{Asked, Entry, Fingerprint};

/// The files of a project, and those of them that cannot be used.
pub(super) struct CollectingFiles<'a> {
    files: ProjectFiles<'a>,
    seen: Mutex<SeenFiles>,
}

/// What a source saw.
#[derive(Debug, Default)]
pub(super) struct SeenFiles {
    /// The files that cannot be used, with the reason.
    pub(super) refused: BTreeMap<PathBuf, StageError>,
    /// The file at each path of the source's tree.
    pub(super) placed: BTreeMap<String, PathBuf>,
}

impl<'a> CollectingFiles<'a> {
    pub(super) fn new(files: ProjectFiles<'a>) -> Self {
        Self { files, seen: Mutex::default() }
    }

    /// What was seen since the last call.
    pub(super) fn take(&self) -> SeenFiles {
        std::mem::take(&mut sync::lock(&self.seen))
    }

    /// Remembers a file that cannot be used, unless that was the reason before.
    fn note(&self, file: &Path, error: StageError) -> Result<(), StageError> {
        if !matches!(error, StageError::Input { .. } | StageError::Store(_)) {
            return Err(error);
        }
        sync::lock(&self.seen).refused.entry(file.to_owned()).or_insert(error);
        Ok(())
    }
}

impl Files for CollectingFiles<'_> {
    fn list(&self, folder: &Path) -> Result<Vec<String>, StageError> {
        let (found, broken) = self.files.list_with_broken(folder)?;
        for (link, error) in broken {
            self.note(&link, error)?;
        }
        Ok(found)
    }

    fn entry(&self, file: &Path) -> Result<Entry, StageError> {
        self.files.entry(file)
    }

    fn entries(&self, files: &[PathBuf]) -> Result<Vec<Entry>, StageError> {
        if let Ok(entries) = self.files.entries(files) {
            return Ok(entries);
        }
        let one = |file: &PathBuf| match self.files.entry(file) {
            Ok(entry) => Ok(entry),
            Err(error) => {
                self.note(file, error)?;
                // Of no content, and different for each file.
                Ok(Entry { digest: Digest::of(file.as_os_str().as_encoded_bytes()), size: 0 })
            }
        };
        files.iter().map(one).collect()
    }

    fn placed(&self, entry: &Entry, place: &str, file: &Path) {
        self.files.placed(entry, place, file);
        sync::lock(&self.seen).placed.insert(place.to_owned(), file.to_owned());
    }

    fn refuse(&self, file: &Path, error: StageError) -> Result<(), StageError> {
        self.note(file, error)
    }

    fn put(&self, bytes: &[u8]) -> Result<Entry, StageError> {
        self.files.put(bytes)
    }

    fn resolve(&self, path: &str) -> PathBuf {
        self.files.resolve(path)
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        self.files.program(name)
    }

    fn own_program(&self, word: &str) -> Option<PathBuf> {
        self.files.own_program(word)
    }

    fn fingerprint(&self, asked: &[Asked]) -> Option<Fingerprint> {
        self.files.fingerprint(asked)
    }

    fn worth_remembering(&self) -> usize {
        usize::MAX
    }

    fn now(&self) -> u64 {
        self.files.now()
    }
}
