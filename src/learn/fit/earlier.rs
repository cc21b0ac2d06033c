//! Trainings of the same thing for fewer epochs: their last state is kept, and a longer one goes on from it. Knows no runner's key.
//!
//! A family's folder holds a folder per data, with a checkpoint and, written after it, the number of its epochs.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Task;
use crate::base::figure::counted;
use crate::base::{Digest, disk};
use crate::learn::checkpoint::{Checkpoint, FILE};
use crate::learn::schedule::Schedule;
use crate::stage::StageError;
use crate::store::StoreError;

/// The file that says how many epochs a state has behind it.
const EPOCHS: &str = "epochs";

/// Trainings that differ in the number of their epochs, and perhaps in their data.
#[derive(Clone, Debug)]
pub struct Family {
    /// A folder of their own.
    pub folder: PathBuf,
    /// All that this one is fitted to and begins with.
    pub data: Digest,
}

impl Family {
    fn own(&self) -> PathBuf {
        self.folder.join(self.data.to_string())
    }
}

/// What an earlier training left for this one.
pub(super) enum Earlier {
    /// Nothing.
    None,
    /// A state to go on from, of that many epochs.
    State(Box<Checkpoint>, u64),
    /// Nothing that can be used, and why.
    Refused(String),
}

/// What there is to go on from.
pub(super) fn find(task: &Task<'_>) -> Earlier {
    let family = &task.family;
    let wanted = task.settings.epochs;
    let Some(there) = epochs(&family.own()) else {
        return match other_data(family, wanted) {
            Some(there) => Earlier::Refused(format!(
                "there is a training of {} that differs in its data, too: this one begins anew",
                counted(there, "epoch", "epochs")
            )),
            None => Earlier::None,
        };
    };
    if there >= wanted {
        return Earlier::None;
    }
    if !prolongs(&task.settings.schedule) {
        let what = if task.settings.schedule.warmup > 0.0 { "its warm-up is a share of" } else { "a cosine spans" };
        return Earlier::Refused(format!(
            "there is a training of {}, but {what} all epochs, so that its rates were others: this one begins anew",
            counted(there, "epoch", "epochs")
        ));
    }
    match Checkpoint::read(&family.own()) {
        Some(state) if state.facts.epochs.len() as u64 == there => Earlier::State(Box::new(state), there),
        _ => Earlier::None,
    }
}

/// Keeps the last state of a training, whose checkpoint lies in `partial`, for a longer one.
///
/// # Errors
/// What the disk says; but where collection takes the family's folder meanwhile, because nobody touched it for long, only time is lost.
pub(super) fn keep(task: &Task<'_>, done: u64) -> Result<(), StageError> {
    let own = task.family.own();
    if epochs(&own).is_some_and(|there| there >= done) {
        return Ok(());
    }
    match write(task, &own, done) {
        Err(StoreError::Disk { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(()),
        written => Ok(written?),
    }
}

fn write(task: &Task<'_>, own: &Path, done: u64) -> Result<(), StoreError> {
    fs::create_dir_all(own).map_err(StoreError::disk("create", own))?;
    // A state that can't be prolonged is told of, and not kept.
    if prolongs(&task.settings.schedule) {
        let (from, to) = (task.partial.join(FILE), own.join(FILE));
        // Trainings of other lengths may end at the same time.
        let new = own.join(format!("{FILE}.{}-{done}", std::process::id()));
        let _ = fs::remove_file(&new);
        // Checkpoints are replaced whole and never written into, so that a link is as good as a copy.
        if fs::hard_link(&from, &new).is_err() {
            fs::copy(&from, &new).map_err(StoreError::disk("write", &new))?;
        }
        fs::rename(&new, &to).map_err(StoreError::disk("write", &to))?;
    }
    let path = own.join(EPOCHS);
    disk::write_whole(&path, done.to_string().as_bytes()).map_err(StoreError::disk("write", &path))
}

/// Whether the rates of the first epochs do not depend on how many follow.
fn prolongs(schedule: &Schedule) -> bool {
    let rates = |epochs| (0..4).map(move |step| schedule.factor(step, 2, epochs));
    schedule.warmup == 0.0 && rates(2).eq(rates(64))
}

/// The epochs of the state in `folder`, where there is one.
fn epochs(folder: &Path) -> Option<u64> {
    fs::read_to_string(folder.join(EPOCHS)).ok()?.parse().ok()
}

/// The most epochs of a shorter training on other data.
fn other_data(family: &Family, wanted: u64) -> Option<u64> {
    let folders = fs::read_dir(&family.folder).ok()?.flatten();
    folders.filter_map(|entry| epochs(&entry.path())).filter(|&there| there < wanted).max()
}
