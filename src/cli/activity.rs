//! Notes about runs of the same pipeline in other processes.

use std::collections::BTreeSet;

use super::Loaded;
use super::run_id::RunIds;
use crate::base::shown;
use crate::plan::Decision;
use crate::progress::activity::{activity, live_run};
use crate::progress::out;
use crate::progress::table::counted;
use crate::run::{self, Host, Options, status};

/// Prints a note for each run of the pipeline in another process, with its progress.
pub(super) fn note_runs(loaded: &Loaded) {
    for mut live in status::live(&loaded.store, &loaded.pipeline.name) {
        live.run = RunIds::of(&loaded.store).short(&live.run).to_owned();
        out::note(&format!("note: {}\n", shown::line(&live_run(&live))));
    }
}

/// Prints a note if another process is running this stage, with its progress.
pub(super) fn note_stage(loaded: &Loaded, stage: &str) {
    // `folds.train` is an output of `folds`.
    note(loaded, |running| running == stage || stage.strip_prefix(running).is_some_and(|rest| rest.starts_with('.')));
}

/// Prints a note for each of these stages that another process is running, with its progress.
pub(super) fn note_stages(loaded: &Loaded, stages: &BTreeSet<&str>) {
    note(loaded, |running| stages.contains(running));
}

fn note(loaded: &Loaded, of: impl Fn(&str) -> bool) {
    for live in status::live(&loaded.store, &loaded.pipeline.name) {
        for running in live.stages.iter().filter(|running| of(&running.stage)) {
            let run = RunIds::of(&loaded.store);
            let words = format!("note: run {} is computing {}", run.short(&live.run), activity(running));
            out::note(&format!("{}\n", shown::line(&words)));
        }
    }
}

/// Stages that the next run resumes, and where: `at epoch 6, batch 111`, `with 12 of 64 items done`. None if no plan can be made.
pub(super) fn resumed(host: &Host, loaded: &Loaded) -> Vec<(String, String)> {
    let places = run::plan(host, &loaded.project(), &Options::usual(host.processors), |engine, explained| {
        let place = |(id, decision, _): &(_, &Decision, _)| {
            let Decision::Run(task) = decision else { return None };
            if engine.store.is_claimed(&task.key) {
                return None;
            }
            let items = || {
                let items = task.items.filter(|items| items.reused > 0)?;
                Some(format!("with {} of {} done", items.reused, counted(items.total, "item", "items")))
            };
            Some((engine.stage(*id).name.clone(), status::resume(engine, task).or_else(items)?))
        };
        explained.iter().filter_map(place).collect()
    });
    places.unwrap_or_default()
}
