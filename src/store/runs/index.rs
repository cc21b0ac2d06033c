//! Index of the run records, so that a plan does not read them all. It is a cache: if missing, damaged or out of date,
//! it is rebuilt from the records.
//!
//! It is not locked. It is replaced atomically, so a killed process leaves the previous one; of two concurrent writers
//! the last one wins, and the next reader adds the runs that it lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::action;
use super::{RunRecord, read};
use crate::base::disk;

/// The index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Index {
    /// The runs by id, in order of time.
    runs: BTreeMap<String, IndexRow>,
    /// The relevant runs of each stage, by pipeline.
    stages: BTreeMap<String, BTreeMap<String, Last>>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct IndexRow {
    /// Its pipeline; [`None`] if the record is missing or unreadable.
    pipeline: Option<String>,
    /// Whether the record says how the run ended: then it is final.
    ended: bool,
    /// Size and modification time of the record's file; 0 if it is missing.
    size: u64,
    modified: u64,
}

/// The latest runs of a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Last {
    /// The last run in which its key was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known: Option<String>,
    /// The last run that recorded its memory, and that memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory: Option<(String, u64)>,
}

impl Last {
    fn names(&self, run: &str) -> bool {
        self.known.as_deref() == Some(run) || self.memory.as_ref().is_some_and(|(id, _)| id == run)
    }
}

impl Index {
    /// The index in `path`, updated to the records in `folder`, and whether the update changed it.
    pub(super) fn load(path: &Path, folder: &Path) -> (Self, bool) {
        let stored: Option<Self> = std::fs::read(path).ok().and_then(|bytes| action::unsealed(&bytes));
        let mut index = stored.clone().unwrap_or_default();
        index.update(folder);
        let differs = stored.as_ref() != Some(&index);
        (index, differs)
    }

    /// The index of the records in `folder`.
    pub(super) fn of(folder: &Path) -> Self {
        let mut index = Self::default();
        index.update(folder);
        index
    }

    /// Writes the index. A failure (a read-only store) only costs time later.
    pub(super) fn save(&self, path: &Path) {
        let _ = disk::write_lightly(path, &action::sealed(self));
    }

    /// All runs with readable records, the newest first; optionally of one pipeline.
    pub(super) fn newest_first(&self, pipeline: Option<&str>) -> Vec<String> {
        let of =
            |row: &IndexRow| row.pipeline.as_deref().is_some_and(|name| pipeline.is_none_or(|wanted| wanted == name));
        self.runs.iter().rev().filter(|(_, row)| of(row)).map(|(id, _)| id.clone()).collect()
    }

    /// The runs of a pipeline whose records do not say how they ended, the newest first.
    pub(super) fn open(&self, pipeline: &str) -> Vec<String> {
        let open = self.runs.iter().rev().filter(|(_, row)| !row.ended && row.pipeline.as_deref() == Some(pipeline));
        open.map(|(id, _)| id.clone()).collect()
    }

    /// The last run of a pipeline in which the key of a stage was known.
    pub(super) fn last_of(&self, pipeline: &str, stage: &str) -> Option<&str> {
        self.stages.get(pipeline)?.get(stage)?.known.as_deref()
    }

    /// Memory that a stage of a pipeline held when it was last computed, bytes.
    pub(super) fn memory_of(&self, pipeline: &str, stage: &str) -> Option<u64> {
        Some(self.stages.get(pipeline)?.get(stage)?.memory.as_ref()?.1)
    }

    fn update(&mut self, folder: &Path) {
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|id| !id.starts_with('.'))
            .collect();
        let gone: Vec<String> = self.runs.keys().filter(|id| !there.contains(*id)).cloned().collect();
        // Pipelines whose latest run is gone: another run takes its place.
        let mut stale = BTreeSet::new();
        for id in gone {
            stale.extend(self.named_by(&id));
            self.runs.remove(&id);
        }
        for id in &there {
            let before = self.runs.get(id);
            if before.is_some_and(|row| row.ended) {
                continue;
            }
            let path = folder.join(id).join("run.json");
            let (size, modified) = path.metadata().map_or((0, 0), |facts| (facts.len(), disk::modified(&facts)));
            if before.is_some_and(|row| (row.size, row.modified) == (size, modified)) {
                continue;
            }
            if before.is_some() {
                stale.extend(self.named_by(id));
            }
            let record = read(&path);
            let ended = record.as_ref().is_some_and(RunRecord::has_ended);
            let pipeline = record.as_ref().map(|record| record.pipeline.clone());
            self.runs.insert(id.clone(), IndexRow { pipeline, ended, size, modified });
            if let Some(record) = record {
                self.take(id, &record);
            }
        }
        for pipeline in stale {
            self.stages.remove(&pipeline);
            for id in self.newest_first(Some(&pipeline)) {
                if let Some(record) = read(&folder.join(&id).join("run.json")) {
                    self.take(&id, &record);
                }
            }
        }
    }

    /// The pipelines in which a run is the latest of some stage.
    fn named_by(&self, run: &str) -> Vec<String> {
        let names = self.stages.iter().filter(|(_, stages)| stages.values().any(|last| last.names(run)));
        names.map(|(pipeline, _)| pipeline.clone()).collect()
    }

    fn take(&mut self, id: &str, record: &RunRecord) {
        for (name, run) in &record.stages {
            if run.manifest.is_none() && run.memory.is_none() {
                continue;
            }
            let last = self.stages.entry(record.pipeline.clone()).or_default().entry(name.clone()).or_default();
            if run.manifest.is_some() && last.known.as_deref().is_none_or(|known| known <= id) {
                last.known = Some(id.to_owned());
            }
            if let Some(memory) = run.memory
                && last.memory.as_ref().is_none_or(|(known, _)| known.as_str() <= id)
            {
                last.memory = Some((id.to_owned(), memory));
            }
        }
    }
}
