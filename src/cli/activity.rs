//! Notes about other processes: what they compute of a pipeline just now.

use super::Loaded;
use crate::base::shown;
use crate::progress::activity::{activity, live_run};
use crate::progress::out;
use crate::run::status;

/// Says on stderr which runs of the pipeline other processes execute now, and how far they are.
pub(super) fn note_runs(loaded: &Loaded) {
    for live in status::live(&loaded.store, &loaded.pipeline.name) {
        out::note(&format!("note: {}\n", shown::line(&live_run(&live))));
    }
}

/// Says on stderr if another process computes this stage now, and how far it is.
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
