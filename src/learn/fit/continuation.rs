//! Continuation of a shorter training: its last state is kept, and a longer training that differs only in `epochs` starts from it. Knows
//! no key of the runner.
//!
//! The folder of a family holds a folder per data set, with a checkpoint and, written after it, its number of epochs.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::task::{Family, FitTask};
use crate::base::disk;
use crate::base::figure::counted;
use crate::learn::checkpoint::{Checkpoint, FILE};
use crate::learn::schedule::{Schedule, TrainingLength};
use crate::stage::StageError;
use crate::store::StoreError;

/// File with the number of epochs of a kept state.
const EPOCHS: &str = "epochs";

/// State left by a shorter training.
pub(super) enum Continuation<E> {
    /// No shorter training.
    None,
    /// State to continue from, and its number of epochs.
    State(Box<Checkpoint<E>>, u64),
    /// A shorter training that cannot be continued, and why.
    Refused(String),
}

/// Looks for a state to continue from.
pub(super) fn find<E: DeserializeOwned>(task: &FitTask<'_>) -> Continuation<E> {
    let family = &task.family;
    // The last epoch of a number of steps may be incomplete.
    let TrainingLength::Epochs(wanted) = task.settings.length else { return Continuation::None };
    let Some(there) = epochs(&family.own()) else {
        return match other_data(family, wanted) {
            Some(there) => Continuation::Refused(format!(
                "an earlier run of {} used other data: starting from epoch 1",
                counted(there, "epoch", "epochs")
            )),
            None => Continuation::None,
        };
    };
    if there >= wanted {
        return Continuation::None;
    }
    if !prolongs(&task.settings.schedule) {
        let what =
            if task.settings.schedule.warmup > 0.0 { "its warm-up is a fraction of" } else { "its cosine spans" };
        return Continuation::Refused(format!(
            "an earlier run of {} cannot be continued, because {what} all epochs: starting from epoch 1",
            counted(there, "epoch", "epochs")
        ));
    }
    match Checkpoint::<E>::read(&family.own()) {
        Some(checkpoint) if checkpoint.state.epochs.len() as u64 == there => {
            Continuation::State(Box::new(checkpoint), there)
        }
        _ => Continuation::None,
    }
}

/// Keeps the last state of a training, whose checkpoint lies in `partial`, for longer ones.
///
/// # Errors
/// If the state cannot be written. If garbage collection removes the folder in the meantime, the state is lost without an error.
pub(super) fn keep(task: &FitTask<'_>, done: u64) -> Result<(), StageError> {
    let own = task.family.own();
    if matches!(task.settings.length, TrainingLength::Steps(_)) {
        return Ok(());
    }
    if epochs(&own).is_some_and(|there| there >= done) {
        return Ok(());
    }
    match write(task, &own, done) {
        Err(StoreError::Disk { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(()),
        written => Ok(written?),
    }
}

fn write(task: &FitTask<'_>, own: &Path, done: u64) -> Result<(), StoreError> {
    fs::create_dir_all(own).map_err(StoreError::disk("create", own))?;
    // Of a training that cannot be continued, only the number of epochs is kept, so that this can be reported.
    if prolongs(&task.settings.schedule) {
        let (from, to) = (task.partial.join(FILE), own.join(FILE));
        // Trainings of other lengths may finish at the same time.
        let new = own.join(format!("{FILE}.{}-{done}", std::process::id()));
        let _ = fs::remove_file(&new);
        // Checkpoints are replaced atomically and never modified, so a hard link is as good as a copy.
        if fs::hard_link(&from, &new).is_err() {
            fs::copy(&from, &new).map_err(StoreError::disk("write", &new))?;
        }
        fs::rename(&new, &to).map_err(StoreError::disk("write", &to))?;
    }
    let path = own.join(EPOCHS);
    disk::write_whole(&path, done.to_string().as_bytes()).map_err(StoreError::disk("write", &path))
}

/// Whether the learning rates of the first epochs are independent of the number of epochs.
fn prolongs(schedule: &Schedule) -> bool {
    let rates = |epochs| (0..4).map(move |step| schedule.factor(step, &TrainingLength::Epochs(epochs).plan(2)));
    schedule.warmup == 0.0 && rates(2).eq(rates(64))
}

/// Number of epochs of the state in `folder`, if there is one.
fn epochs(folder: &Path) -> Option<u64> {
    fs::read_to_string(folder.join(EPOCHS)).ok()?.parse().ok()
}

/// Highest number of epochs of a shorter training on other data.
fn other_data(family: &Family, wanted: u64) -> Option<u64> {
    let folders = fs::read_dir(&family.folder).ok()?.flatten();
    folders.filter_map(|entry| epochs(&entry.path())).filter(|&there| there < wanted).max()
}
