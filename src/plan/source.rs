//! Evaluation of sources: the last result is reused while none of the files that it asked for has changed. Does no
//! I/O itself; [`Files`] knows the state of files.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::keys;
use super::result::{Cost, StageResult};
use crate::base::{Digest, Hasher};
use crate::lang::spec::StageSpec;
use crate::stage::{Files, Implementation, Outcome, Params, StageError, Work};
use crate::store::{Artifact, Asked, EVERYWHERE, Entry, Kind, Manifest, SourceSnapshot, Store, StoredTree, Tree};

/// A source, and what it is evaluated with.
pub(super) struct SourceStage<'a> {
    pub(super) stage: &'a StageSpec,
    pub(super) implementation: &'a Implementation,
    /// Where its last result is remembered.
    pub(super) store: &'a Store,
    pub(super) files: &'a dyn Files,
}

/// The result of a source, remembered or evaluated, and whether the store can locate its files now: for a remembered one
/// it cannot, see [`locate`].
pub(super) fn known(source: &SourceStage) -> Result<(StageResult, bool), StageError> {
    let common = keys::common(source.stage, source.implementation)?;
    let key = Hasher::new("macula source 3")
        .digest(&common.key())
        .bytes(source.files.resolve("").as_os_str().as_encoded_bytes())
        .finish();
    if let Some(snapshot) = source.store.source_snapshot(&key)
        && source
            .files
            .fingerprint(&snapshot.asked)
            .is_some_and(|fingerprint| fingerprint.digest == snapshot.fingerprint)
        && source.store.is_available(&snapshot)
    {
        let outputs = snapshot.outputs.iter().map(|(port, stored)| (port.clone(), Artifact::stored(stored))).collect();
        let outcome = StageResult {
            outputs,
            summary: serde_json::from_value(snapshot.summary).unwrap_or_default(),
            manifest: common,
            key: None,
            target: EVERYWHERE.to_owned(),
            cost: Cost::default(),
        };
        return Ok((with_manifest(outcome), false));
    }
    let began = source.files.now();
    let seen = RecordingFiles::new(source.files);
    let outcome = look(source, &seen)?;
    remember(source, &key, seen, &outcome, began)?;
    let outputs = outcome.outputs.into_iter().map(|(port, tree)| (port, Artifact::from(tree))).collect();
    let known = StageResult {
        outputs,
        summary: outcome.summary,
        manifest: common,
        key: None,
        target: EVERYWHERE.to_owned(),
        cost: Cost::default(),
    };
    Ok((with_manifest(known), true))
}

/// Evaluates a remembered source, so that the store can locate its files.
pub(super) fn locate(source: &SourceStage) -> Result<(), StageError> {
    look(source, source.files).map(|_| ())
}

fn look(source: &SourceStage, files: &dyn Files) -> Result<Outcome, StageError> {
    let Work::Source(look) = source.implementation.work else {
        return Err(StageError::Bug(format!("`{}` is not a source", source.stage.stage_type)));
    };
    look(&Params(source.stage.values()), files)
}

fn with_manifest(mut known: StageResult) -> StageResult {
    let fact = |manifest: &mut Manifest, port: &String, artifact: &Artifact| {
        manifest.push(Kind::Files, port, artifact.digest().short(), artifact.digest());
    };
    known.outputs.iter().for_each(|(port, artifact)| fact(&mut known.manifest, port, artifact));
    known
}

fn remember(
    source: &SourceStage,
    key: &Digest,
    seen: RecordingFiles,
    outcome: &Outcome,
    began: u64,
) -> Result<(), StageError> {
    let entries: usize = outcome.outputs.values().map(|tree| tree.entries.len()).sum();
    let (asked, made) = (seen.asked.into_inner(), seen.made.into_inner());
    // What a source makes, it parsed from files: each KiB takes about as long as looking at an entry.
    let parsed: u64 = made.iter().map(|entry| entry.size / 1024).sum();
    if entries.saturating_add(parsed as usize) < source.files.worth_remembering() {
        return Ok(());
    }
    // Taken after everything was read: later changes are younger than `began`.
    let Some(fingerprint) = source.files.fingerprint(&asked).filter(|fingerprint| fingerprint.trusted(began)) else {
        return Ok(());
    };
    let stored = |tree: &Tree| -> Result<StoredTree, StageError> {
        Ok(StoredTree { tree: tree.digest(), object: source.store.objects.put_tree(tree)? })
    };
    let outputs: BTreeMap<String, StoredTree> = outcome
        .outputs
        .iter()
        .map(|(port, tree)| Ok((port.clone(), stored(tree)?)))
        .collect::<Result<_, StageError>>()?;
    let summary = serde_json::to_value(&outcome.summary).map_err(|error| StageError::Bug(error.to_string()))?;
    let snapshot =
        SourceSnapshot { asked, fingerprint: fingerprint.digest, outputs, made: made.into_iter().collect(), summary };
    source.store.save_snapshot(key, &snapshot);
    Ok(())
}

/// Records what a source asks for.
struct RecordingFiles<'a> {
    files: &'a dyn Files,
    asked: RefCell<Vec<Asked>>,
    /// Folders, each with a trailing `/`, and their files, sorted.
    listed: RefCell<Vec<(String, Vec<String>)>>,
    made: RefCell<BTreeSet<Entry>>,
}

impl<'a> RecordingFiles<'a> {
    fn new(files: &'a dyn Files) -> Self {
        Self { files, asked: RefCell::default(), listed: RefCell::default(), made: RefCell::default() }
    }

    /// Records that a file was asked for, unless it belongs to a folder that was listed.
    fn note(&self, file: &Path) {
        let listed = self.listed.borrow();
        let covers = |file: &str| {
            let below = |(folder, files): &(String, Vec<String>)| {
                file.strip_prefix(folder)
                    .is_some_and(|file| files.binary_search_by(|other| other.as_str().cmp(file)).is_ok())
            };
            listed.iter().any(below)
        };
        if !file.to_str().is_some_and(covers) {
            self.asked.borrow_mut().push(Asked::Read(file.to_owned()));
        }
    }
}

impl Files for RecordingFiles<'_> {
    fn list(&self, folder: &Path) -> Result<Vec<String>, StageError> {
        let found = self.files.list(folder)?;
        self.asked.borrow_mut().push(Asked::Listed(folder.to_owned()));
        if let Some(folder) = folder.to_str() {
            self.listed.borrow_mut().push((format!("{}/", folder.trim_end_matches('/')), found.clone()));
        }
        Ok(found)
    }

    fn entry(&self, file: &Path) -> Result<Entry, StageError> {
        let entry = self.files.entry(file)?;
        self.note(file);
        Ok(entry)
    }

    fn entries(&self, files: &[PathBuf]) -> Result<Vec<Entry>, StageError> {
        let entries = self.files.entries(files)?;
        for file in files {
            self.note(file);
        }
        Ok(entries)
    }

    fn placed(&self, entry: &Entry, place: &str, file: &Path) {
        self.files.placed(entry, place, file);
    }

    fn refuse(&self, file: &Path, error: StageError) -> Result<(), StageError> {
        self.files.refuse(file, error)
    }

    fn put(&self, bytes: &[u8]) -> Result<Entry, StageError> {
        let entry = self.files.put(bytes)?;
        self.made.borrow_mut().insert(entry);
        Ok(entry)
    }

    fn resolve(&self, path: &str) -> PathBuf {
        self.files.resolve(path)
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        let found = self.files.program(name);
        self.asked.borrow_mut().push(Asked::Program(name.to_owned(), found.clone()));
        found
    }
}
