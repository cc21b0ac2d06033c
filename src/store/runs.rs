//! Records of runs: what each stage's key was and what became of it. `why` compares with the last one; `runs` lists them.

mod index;
mod items;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};

use self::index::Index;
pub use self::items::{ComputedItems, ReusedItems};
pub use self::outcome::{RunOutcome, StageOutcome};
use super::{Layout, Manifest};
use crate::base::sync;
use crate::base::{Digest, disk};

/// One run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// `TIME-ID`, also the name of its folder.
    pub id: String,
    /// The pipeline.
    pub pipeline: String,
    /// Its file, as given.
    pub file: String,
    /// When it began: nanoseconds since 1970, UTC.
    pub began: u64,
    /// How long it took, seconds.
    pub seconds: f64,
    /// How it ended.
    pub ended: RunOutcome,
    /// macula's version.
    pub macula: String,
    /// The machine and how it was used: `os`, `arch`, `processors`, `threads`, `jobs`. No host or user name.
    #[serde(default)]
    pub machine: BTreeMap<String, String>,
    /// Peak memory of macula's process, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// Peak memory of the largest command that it started, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands_peak_bytes: Option<u64>,
    /// Its stages by name.
    pub stages: BTreeMap<String, StageRun>,
    /// Keys of comparisons of its photographs, which are no stages of it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub compared: BTreeSet<Digest>,
}

/// One stage in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRun {
    /// How it ended.
    pub became: StageOutcome,
    /// The key, if it was known.
    pub key: Option<Digest>,
    /// What the key was computed from.
    pub manifest: Option<Manifest>,
    /// The digest of each output port's tree.
    pub outputs: BTreeMap<String, Digest>,
    /// How long it took in this run, seconds.
    pub seconds: f64,
    /// Duration of the computation that produced the result, seconds.
    #[serde(rename = "cost")]
    pub last_seconds: f64,
    /// Estimated duration of computing all of it, seconds; 0 in old records.
    #[serde(default, rename = "anew")]
    pub full_seconds: f64,
    /// Items of a map stage: computed in this run, and in total.
    pub items: Option<ComputedItems>,
    /// The headline of its summary.
    pub headline: String,
    /// The type of the stage.
    #[serde(default)]
    pub kind: String,
    /// The metrics of its summary.
    #[serde(rename = "figures", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Peak memory of the process while the stage was computed, minus what it held before, bytes; includes stages that
    /// ran in parallel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

impl RunRecord {
    /// Whether the record says how the run ended; that of a killed run never does.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended != RunOutcome::Running
    }
}

/// Prefix of a run folder that is being removed.
const GONE: &str = ".gone-";

/// The folder of runs.
#[derive(Debug)]
pub struct Runs {
    folder: PathBuf,
    index: PathBuf,
    /// Whether the index may be written.
    writes: bool,
    read: Mutex<ReadRuns>,
}

/// Run records read by this process.
#[derive(Debug, Default)]
struct ReadRuns {
    index: Option<Index>,
    /// Whether the index was already rebuilt because it did not match the records.
    again: bool,
    /// Records read so far.
    records: BTreeMap<String, Arc<RunRecord>>,
}

impl Runs {
    pub(super) fn new(layout: &Layout) -> Self {
        Self { folder: layout.runs(), index: layout.runs_index(), writes: true, read: Mutex::default() }
    }

    /// The runs of a store that is opened read-only.
    pub(super) fn read_only(layout: &Layout) -> Self {
        Self { writes: false, ..Self::new(layout) }
    }

    /// The folder of one run.
    #[must_use]
    pub fn folder(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }

    /// Writes a run's record into its folder. Returns whether that worked: a failure must not break the run.
    pub fn write(&self, record: &RunRecord) -> bool {
        let folder = self.folder(&record.id);
        let text = super::json(record);
        let written =
            std::fs::create_dir_all(&folder).and_then(|()| disk::write_lightly(&folder.join("run.json"), &text));
        *self.lock() = ReadRuns::default();
        written.is_ok()
    }

    /// All runs with readable records, the newest first; optionally of one pipeline.
    pub fn newest_first(&self, pipeline: Option<&str>) -> impl Iterator<Item = RunRecord> + use<> {
        let ids = self.with_index(|index| index.newest_first(pipeline));
        let pipeline = pipeline.map(str::to_owned);
        let folder = self.folder.clone();
        ids.into_iter()
            .filter_map(move |id| read(&folder.join(id).join("run.json")))
            .filter(move |record| pipeline.as_ref().is_none_or(|name| *name == record.pipeline))
    }

    /// The runs of a pipeline whose records do not say how they ended, the newest first. Reads no other record.
    pub fn open(&self, pipeline: &str) -> impl Iterator<Item = RunRecord> + use<> {
        let ids = self.with_index(|index| index.open(pipeline));
        let folder = self.folder.clone();
        ids.into_iter()
            .filter_map(move |id| read(&folder.join(id).join("run.json")))
            .filter(|record| !record.has_ended())
    }

    /// The ids of all runs with readable records, the newest first.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.with_index(|index| index.newest_first(None))
    }

    /// The ids of all runs of a pipeline with readable records, the newest first.
    #[must_use]
    pub fn ids_of(&self, pipeline: &str) -> Vec<String> {
        self.with_index(|index| index.newest_first(Some(pipeline)))
    }

    /// Removes a run's folder. A failure is harmless: it is found again.
    pub(super) fn remove(&self, id: &str) {
        // Renamed first, so that a killed process does not leave half a folder under its name.
        let gone = self.folder(&format!("{GONE}{id}"));
        if std::fs::rename(self.folder(id), &gone).is_ok() {
            let _ = std::fs::remove_dir_all(&gone);
        }
        *self.lock() = ReadRuns::default();
    }

    /// Finishes the removals of killed processes.
    pub(super) fn sweep(&self) {
        for folder in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if folder.file_name().to_string_lossy().starts_with(GONE) {
                let _ = std::fs::remove_dir_all(folder.path());
            }
        }
    }

    /// Bytes of the files in the folder of a run.
    pub(super) fn bytes(&self, id: &str) -> u64 {
        let files = std::fs::read_dir(self.folder(id)).into_iter().flatten().flatten();
        files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
    }

    /// The record of a run.
    #[must_use]
    pub fn record(&self, id: &str) -> Option<RunRecord> {
        read(&self.folder(id).join("run.json"))
    }

    /// The last run of a pipeline in which the key of `stage` was known, and that stage's part of it.
    #[must_use]
    pub fn last_of(&self, pipeline: &str, stage: &str) -> Option<(Arc<RunRecord>, StageRun)> {
        let mut all = self.lock();
        loop {
            let id = self.index(&mut all).last_of(pipeline, stage)?.to_owned();
            let record = match all.records.get(&id) {
                Some(record) => Some(Arc::clone(record)),
                None => self.record(&id).map(Arc::new),
            };
            let of_stage = record.and_then(|record| {
                let run = record.stages.get(stage).filter(|run| run.manifest.is_some()).cloned()?;
                Some((record, run))
            });
            if let Some((record, run)) = of_stage {
                all.records.insert(id, Arc::clone(&record));
                return Some((record, run));
            }
            // The index does not match the records.
            if std::mem::replace(&mut all.again, true) {
                return None;
            }
            all.index = None;
        }
    }

    /// Memory that a stage of a pipeline held when it was last computed, bytes.
    #[must_use]
    pub fn memory_of(&self, pipeline: &str, stage: &str) -> Option<u64> {
        self.with_index(|index| index.memory_of(pipeline, stage))
    }

    fn with_index<T>(&self, work: impl FnOnce(&Index) -> T) -> T {
        work(self.index(&mut self.lock()))
    }

    fn index<'a>(&self, all: &'a mut ReadRuns) -> &'a Index {
        let again = all.again;
        all.index.get_or_insert_with(|| {
            let (index, differs) =
                if again { (Index::of(&self.folder), true) } else { Index::load(&self.index, &self.folder) };
            if differs && self.writes {
                index.save(&self.index);
            }
            index
        })
    }

    fn lock(&self) -> MutexGuard<'_, ReadRuns> {
        sync::lock(&self.read)
    }
}

fn read(path: &Path) -> Option<RunRecord> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
