//! Orders: stages that jobs of a cluster compute. An order holds everything that its job needs, so that editing the pipeline
//! changes nothing for jobs that wait in a queue. Knows no cluster.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::action::{sealed, unsealed};
use super::{Layout, Manifest, Recipe, StoreError};
use crate::base::{Digest, disk};

/// File of an order in the folder of its key.
const ORDER: &str = "order";

/// Folder of attempts in the folder of a key.
const ATTEMPTS: &str = "attempts";

/// Orders that are older are removed by collection: nanoseconds.
const OLD: u64 = 30 * 24 * 3600 * 1_000_000_000;

/// A stage to be computed by a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The key of its result.
    pub key: Digest,
    /// What the key was computed from.
    pub manifest: Manifest,
    /// The stage and its inputs.
    pub recipe: Recipe,
    /// The pipeline.
    pub pipeline: String,
    /// The stage's name in it.
    pub stage: String,
    /// The run that ordered it.
    pub run: String,
    /// The pipeline's file, as given.
    pub file: String,
    /// The project's folder.
    pub project: PathBuf,
    /// Whether only results of the job's own target count.
    pub exact: bool,
    /// Whether commands are sandboxed.
    pub sandboxed: bool,
    /// Whether the user trusts the pipeline and the code of its commands, which was checked when it was ordered.
    pub trusted: bool,
    /// Digest of macula's binary, a copy of which computes it.
    pub binary: Digest,
    /// Digest of what the items of a map stage have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Digest>,
}

/// How an attempt of a job ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobAttempt {
    /// The job's id.
    pub job: String,
    /// The machine that it ran on.
    pub node: String,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// How long it took, seconds.
    pub seconds: f64,
    /// Peak memory of its process, bytes.
    pub peak_bytes: Option<u64>,
    /// Items of a map stage that it computed, of how many.
    pub items: Option<(u64, u64)>,
}

/// End of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum AttemptOutcome {
    /// Its result is recorded.
    Computed,
    /// The result was there already.
    Reused,
    /// Another process computes the result.
    Busy,
    /// It was asked to stop; the next attempt resumes.
    Stopped {
        /// Where, if it left a checkpoint or items.
        resume: Option<String>,
    },
    /// It failed.
    Failed {
        /// The kind of error: `input`, `store` or `bug`.
        kind: String,
        /// Code of the error, if it has one.
        code: Option<String>,
        /// The problem.
        text: String,
        /// What to do about it.
        hint: Option<String>,
        /// The parameter that it is about.
        field: Option<String>,
    },
}

impl Order {
    /// Writes it into the folder of its key. Returns the digest of what was written.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn write(&self, layout: &Layout) -> Result<Digest, StoreError> {
        let folder = layout.job(&self.key);
        disk::make_folder(&folder).map_err(StoreError::disk("create", &folder))?;
        let bytes = sealed(self);
        let path = folder.join(ORDER);
        disk::write_whole(&path, &bytes).map_err(StoreError::disk("write", &path))?;
        Ok(Digest::of(&bytes))
    }

    /// The order of a key with the digest of its file; [`None`] if there is none, or if it is damaged.
    #[must_use]
    pub fn read(layout: &Layout, key: &Digest) -> Option<(Self, Digest)> {
        disk::revalidate_dirs(&[&layout.job(key)]);
        let bytes = std::fs::read(layout.job(key).join(ORDER)).ok()?;
        Some((unsealed(&bytes)?, Digest::of(&bytes)))
    }

    /// The orders of a store.
    #[must_use]
    pub fn all(layout: &Layout) -> Vec<Self> {
        let folders = std::fs::read_dir(layout.jobs()).into_iter().flatten().flatten();
        let keys = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<Digest>().ok());
        keys.filter_map(|key| Self::read(layout, &key)).map(|(order, _)| order).collect()
    }

    /// Removes the folders of old orders, and copies of the binary that no order names. `now` is nanoseconds since 1970.
    pub(super) fn sweep(layout: &Layout, now: u64) {
        let listed = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().collect::<Vec<_>>();
        for folder in listed(&layout.jobs()) {
            let modified = folder.path().join(ORDER).metadata().or_else(|_| folder.metadata());
            if modified.is_ok_and(|facts| disk::modified(&facts).saturating_add(OLD) < now) {
                let _ = std::fs::remove_dir_all(folder.path());
            }
        }
        let used: BTreeSet<String> = Self::all(layout).iter().map(|order| order.binary.to_string()).collect();
        for binary in listed(&layout.binaries()) {
            let name = binary.file_name().to_string_lossy().into_owned();
            // One that was copied just now belongs to an order that is about to be written.
            let new = binary.metadata().is_ok_and(|facts| disk::modified(&facts).saturating_add(OLD / 30) >= now);
            if !used.contains(&name) && !new {
                let _ = std::fs::remove_dir_all(binary.path());
            }
        }
    }
}

impl JobAttempt {
    /// Writes it into the folder of a key.
    ///
    /// # Errors
    /// [`StoreError::Disk`].
    pub fn write(&self, layout: &Layout, key: &Digest) -> Result<(), StoreError> {
        let folder = layout.job(key).join(ATTEMPTS);
        disk::make_folder(&folder).map_err(StoreError::disk("create", &folder))?;
        let path = folder.join(&self.job);
        disk::write_whole(&path, &sealed(self)).map_err(StoreError::disk("write", &path))
    }

    /// Forgets the attempt of a job.
    pub fn remove(layout: &Layout, key: &Digest, job: &str) {
        // Without it, there is nothing to forget.
        let _ = std::fs::remove_file(layout.job(key).join(ATTEMPTS).join(job));
    }

    /// The last attempt of a job; [`None`] if it left no record.
    #[must_use]
    pub fn read(layout: &Layout, key: &Digest, job: &str) -> Option<Self> {
        let folder = layout.job(key).join(ATTEMPTS);
        disk::revalidate_dirs(&[&layout.job(key), &folder]);
        unsealed(&std::fs::read(folder.join(job)).ok()?)
    }
}
