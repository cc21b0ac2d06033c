//! Records of runs: what each stage's key was and what became of it. `why` compares with the last one; `runs` lists them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Layout, Manifest};
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
    /// How it ended: `done`, `failed`, `stopped`; `running` until then (or when it was killed).
    pub ended: String,
    /// macula's version.
    pub macula: String,
    /// The machine and how it was used: `os`, `arch`, `processors`, `threads`, `jobs`. No name of it or of its user.
    #[serde(default)]
    pub machine: BTreeMap<String, String>,
    /// The most memory that macula's process held, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// The most memory that one of the commands it started held, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands_peak_bytes: Option<u64>,
    /// Its stages by name.
    pub stages: BTreeMap<String, StageRun>,
}

/// One stage in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRun {
    /// `computed`, `reused`, `repaired`, `source`, `failed`, `stopped` or `not-run`.
    pub became: String,
    /// The key, where it was known.
    pub key: Option<Digest>,
    /// What the key was made of.
    pub manifest: Option<Manifest>,
    /// For each output port the digest of its tree.
    pub outputs: BTreeMap<String, Digest>,
    /// How long it took here, seconds.
    pub seconds: f64,
    /// How long computing it took when it was computed, seconds.
    pub cost: f64,
    /// How long computing all of it again takes, seconds; 0 in records of before it was kept.
    #[serde(default)]
    pub anew: f64,
    /// Items of a map stage: computed here and in all.
    pub items: Option<(u64, u64)>,
    /// The headline of its summary.
    pub headline: String,
    /// What it is an instance of.
    #[serde(default)]
    pub kind: String,
    /// The figures of its summary.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
    /// Where it was computed here, the most memory that the process held meanwhile beyond what it held before, bytes. What ran
    /// beside it is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// The folder of runs.
pub struct Runs {
    folder: PathBuf,
    /// What was read of one pipeline's runs, so that asking for each of its stages reads them once.
    read: Mutex<Option<Read>>,
}

struct Read {
    pipeline: String,
    runs: Vec<Arc<RunRecord>>,
    rest: Box<dyn Iterator<Item = RunRecord> + Send>,
}

impl std::fmt::Debug for Runs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runs").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Runs {
    pub(super) fn new(layout: &Layout) -> Self {
        Self { folder: layout.runs(), read: Mutex::default() }
    }

    /// The folder of one run.
    #[must_use]
    pub fn folder(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }

    /// Writes a run's record into its folder. Not being able to must not break a run, so nothing is returned but whether.
    pub fn write(&self, record: &RunRecord) -> bool {
        *self.lock() = None;
        let folder = self.folder(&record.id);
        let text = super::json(record);
        std::fs::create_dir_all(&folder).and_then(|()| disk::write_lightly(&folder.join("run.json"), &text)).is_ok()
    }

    /// All runs that can be read, the newest first; of one pipeline where it is given.
    pub fn newest_first(&self, pipeline: Option<&str>) -> impl Iterator<Item = RunRecord> + use<> {
        let mut ids: Vec<String> = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        let pipeline = pipeline.map(str::to_owned);
        let folder = self.folder.clone();
        ids.into_iter()
            .filter_map(move |id| read(&folder.join(id).join("run.json")))
            .filter(move |record| pipeline.as_ref().is_none_or(|name| *name == record.pipeline))
    }

    /// The last run of a pipeline, among its last 100, in which the key of `stage` was known, and the stage in it.
    #[must_use]
    pub fn last_of(&self, pipeline: &str, stage: &str) -> Option<(Arc<RunRecord>, StageRun)> {
        self.last_where(pipeline, stage, |run| run.manifest.is_some())
    }

    /// How much memory a stage of a pipeline held when it was last computed.
    #[must_use]
    pub fn memory_of(&self, pipeline: &str, stage: &str) -> Option<u64> {
        self.last_where(pipeline, stage, |run| run.memory.is_some())?.1.memory
    }

    fn last_where(
        &self,
        pipeline: &str,
        stage: &str,
        is: impl Fn(&StageRun) -> bool,
    ) -> Option<(Arc<RunRecord>, StageRun)> {
        let mut read = self.lock();
        if read.as_ref().is_none_or(|read| read.pipeline != pipeline) {
            let rest = Box::new(self.newest_first(Some(pipeline)).take(100));
            *read = Some(Read { pipeline: pipeline.to_owned(), runs: Vec::new(), rest });
        }
        let read = read.as_mut()?;
        for at in 0.. {
            if at == read.runs.len() {
                read.runs.push(Arc::new(read.rest.next()?));
            }
            let run = &read.runs[at];
            if let Some(found) = run.stages.get(stage).filter(|run| is(run)) {
                return Some((Arc::clone(run), found.clone()));
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Option<Read>> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Option<RunRecord> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
