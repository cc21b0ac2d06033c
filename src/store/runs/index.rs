//! What is asked of the records of runs most often, in one small file beside them, so that a plan does not read them all. It only saves
//! reading: missing, damaged or out of date it is made from the records again.
//!
//! Nobody locks it. It is replaced as a whole, so a killed process leaves the one before; of two processes that write it the last one's stays,
//! and whoever reads it next adds the runs that it lacks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::{action, inventory::nanoseconds};
use super::{RunRecord, read};
use crate::base::disk;

/// The index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Index {
    /// The runs by id, which sorts as time does.
    runs: BTreeMap<String, Row>,
    /// Of each pipeline's stages, where to look.
    stages: BTreeMap<String, BTreeMap<String, Last>>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    /// Its pipeline; none where the record is missing or can't be read.
    pipeline: Option<String>,
    /// Whether the record says how it ended: then it is not written again.
    ended: bool,
    /// Size and time of the record's file; 0 where it is missing.
    size: u64,
    modified: u64,
}

/// What is known of a stage of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Last {
    /// The last run in which its key was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known: Option<String>,
    /// The last run in which it was computed with its memory on record, and how much that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory: Option<(String, u64)>,
}

impl Last {
    fn names(&self, run: &str) -> bool {
        self.known.as_deref() == Some(run) || self.memory.as_ref().is_some_and(|(id, _)| id == run)
    }
}

impl Index {
    /// The index in `path` as the records in `folder` now stand, and whether it differs from what `path` holds.
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

    /// Writes it. That it can't be (a read-only store) only costs time later.
    pub(super) fn save(&self, path: &Path) {
        let _ = disk::write_lightly(path, &action::sealed(self));
    }

    /// The runs whose records can be read, the newest first; of one pipeline where it is given.
    pub(super) fn newest_first(&self, pipeline: Option<&str>) -> Vec<String> {
        let of = |row: &Row| row.pipeline.as_deref().is_some_and(|name| pipeline.is_none_or(|wanted| wanted == name));
        self.runs.iter().rev().filter(|(_, row)| of(row)).map(|(id, _)| id.clone()).collect()
    }

    /// The last run of a pipeline in which the key of a stage was known.
    pub(super) fn last_of(&self, pipeline: &str, stage: &str) -> Option<&str> {
        self.stages.get(pipeline)?.get(stage)?.known.as_deref()
    }

    /// How much memory a stage of a pipeline held when it was last computed.
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
        // What they were the last of, others are now.
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
            let (size, modified) = path.metadata().map_or((0, 0), |facts| (facts.len(), nanoseconds(&facts)));
            if before.is_some_and(|row| (row.size, row.modified) == (size, modified)) {
                continue;
            }
            if before.is_some() {
                stale.extend(self.named_by(id));
            }
            let record = read(&path);
            let ended = record.as_ref().is_some_and(RunRecord::has_ended);
            let pipeline = record.as_ref().map(|record| record.pipeline.clone());
            self.runs.insert(id.clone(), Row { pipeline, ended, size, modified });
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

    /// The pipelines of which a run is the last in something.
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
