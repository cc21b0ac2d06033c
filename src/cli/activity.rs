//! Notes about runs of the same pipeline in other processes.

use super::Loaded;
use crate::base::shown;
use crate::progress::activity::{activity, live_run};
use crate::progress::out;
use crate::run::status;

/// Prints a note for each run of the pipeline in another process, with its progress.
pub(super) fn note_runs(loaded: &Loaded) {
    for live in status::live(&loaded.store, &loaded.pipeline.name) {
        out::note(&format!("note: {}\n", shown::line(&live_run(&live))));
    }
}

/// Prints a note if another process is running this stage, with its progress.
pub(super) fn note_stage(loaded: &Loaded, stage: &str) {
    // `folds.train` is an output of `folds`.
    let of = |running: &str| running == stage || stage.strip_prefix(running).is_some_and(|rest| rest.starts_with('.'));
    for live in status::live(&loaded.store, &loaded.pipeline.name) {
        for running in live.stages.iter().filter(|running| of(&running.stage)) {
            let words = format!("note: run {} is computing {}", live.run, activity(running));
            out::note(&format!("{}\n", shown::line(&words)));
        }
    }
}
