//! Notes about runs of the same pipeline in other processes.

use std::collections::{BTreeMap, BTreeSet};

use super::Loaded;
use super::run_id::RunIds;
use crate::base::{Digest, shown};
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

/// Keys of the stages that have to run, by name.
pub(super) type DueKeys = BTreeMap<String, Digest>;

/// Prints a note if another process is running this stage, with its progress.
pub(super) fn note_stage(host: &Host, loaded: &Loaded, stage: &str) {
    // `folds.train` is an output of `folds`.
    let of = |running: &str| running == stage || stage.strip_prefix(running).is_some_and(|rest| rest.starts_with('.'));
    note(loaded, of, &|| {
        let due = run::plan(host, &loaded.project(), &Options::usual(host.processors), |engine, explained| {
            due_keys(explained.iter().map(|(id, decision, _)| (engine.stage(*id).name.as_str(), *decision)))
        });
        due.ok()
    });
}

/// Prints a note for each of these stages that another process is running, with its progress; `due` are the keys that they have now.
pub(super) fn note_stages(loaded: &Loaded, stages: &BTreeSet<&str>, due: &DueKeys) {
    note(loaded, |running| stages.contains(running), &|| Some(due.clone()));
}

/// Keys of the stages that have to run, of a plan's names and decisions.
pub(super) fn due_keys<'a>(plan: impl Iterator<Item = (&'a str, &'a Decision)>) -> DueKeys {
    let key = |decision: &Decision| if let Decision::Run(task) = decision { Some(task.key) } else { None };
    plan.filter_map(|(name, decision)| Some((name.to_owned(), key(decision)?))).collect()
}

fn note(loaded: &Loaded, of: impl Fn(&str) -> bool, due: &dyn Fn() -> Option<DueKeys>) {
    for live in status::live(&loaded.store, &loaded.pipeline.name) {
        for running in live.stages.iter().filter(|running| of(&running.stage)) {
            let run = RunIds::of(&loaded.store);
            // The file may have been edited since that run began.
            let is_other = |key: &Digest| due().is_some_and(|due| due.get(&running.stage) != Some(key));
            let other = if running.key.as_ref().is_some_and(is_other) { " with other settings or data" } else { "" };
            let words = format!("note: run {} is computing {}{other}", run.short(&live.run), activity(running));
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
