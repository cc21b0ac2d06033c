//! A run's folder: `plan.json`, `events.jsonl`, `run.json`. A failure to record never fails the run.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use serde_json::{Value, json};

use super::events::{Event, Watch};
use super::host::Host;
use super::resources::ResourceRequest;
use super::status::{EVENTS, ProgressFile, Steps};
use crate::base::flock::{self, LockMode};
use crate::base::sync;
use crate::plan::causes::{decisions, waits_for};
use crate::plan::{Decision, Engine, Explanation, StageId};

/// Writes events to a run's folder and passes them on.
pub struct Recorder<'a> {
    folder: PathBuf,
    file: Option<Mutex<BufWriter<File>>>,
    progress: Mutex<ProgressFile>,
    host: &'a Host,
    next: &'a dyn Watch,
}

impl<'a> Recorder<'a> {
    /// A recorder into `folder`.
    #[must_use]
    pub fn new(folder: &Path, host: &'a Host, next: &'a dyn Watch) -> Self {
        let file = std::fs::create_dir_all(folder).and_then(|()| File::create(folder.join(EVENTS))).ok();
        if let Some(file) = &file {
            // Held as long as the process lives, so that others can tell.
            let _ = flock::lock(file, LockMode::TryExclusive);
        }
        let file = file.map(|file| Mutex::new(BufWriter::new(file)));
        Self { folder: folder.to_owned(), file, progress: Mutex::default(), host, next }
    }
}

impl Recorder<'_> {
    fn progress(&self) -> MutexGuard<'_, ProgressFile> {
        sync::lock(&self.progress)
    }
}

impl Watch for Recorder<'_> {
    fn event(&self, event: &Event) {
        // Steps are frequent and only for display.
        if let (Some(file), false) = (&self.file, matches!(event, Event::Step { .. })) {
            let mut file = sync::lock(file);
            let _ = writeln!(file, "{}", line(event, self.host.nanoseconds()));
            let _ = file.flush();
        }
        match event {
            Event::Step { stage, done, total, unit, now } => {
                let steps = Steps { done: *done, total: *total, unit: unit.clone(), now: now.clone() };
                self.progress().step(&self.folder, stage, steps);
            }
            Event::StageEnded { stage, .. } | Event::StageFailed { stage, .. } | Event::ComparisonEnded { stage } => {
                self.progress().ended(stage);
            }
            Event::RunEnded { .. } => ProgressFile::remove(&self.folder),
            _ => {}
        }
        self.next.event(event);
    }
}

/// An event as a line of JSON, with its time in milliseconds since 1970.
#[must_use]
pub fn line(event: &Event, now: u64) -> String {
    let mut value = serde_json::to_value(event).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut value {
        fields.insert("time".into(), json!(now / 1_000_000));
    }
    value.to_string()
}

/// A plan as JSON: the decision and its reason for each stage.
#[must_use]
pub fn plan(engine: &Engine, explained: &[(StageId, &Decision, Explanation)]) -> Value {
    let names = |ids: &[StageId]| ids.iter().map(|id| engine.stage(*id).name.clone()).collect::<Vec<_>>();
    let decisions = decisions(explained);
    let stages = explained.iter().map(|(id, decision, explanation)| {
        let stage = engine.stage(*id);
        let mut facts = match decision {
            Decision::Source(_) => json!({"will": "source"}),
            Decision::Reuse(known, reused) => json!({
                "will": "reuse", "key": known.key, "from": reused.made, "class": reused.other_target,
                "remote": reused.remote_hit.as_ref().map(|hit| hit.remote()),
            }),
            Decision::Run(task) => json!({
                "will": "run", "key": task.key, "items": task.items, "needs": ResourceRequest::of(engine, *id),
                "reason": explanation.reason.as_ref().map(crate::plan::Reason::short),
            }),
            Decision::Unknown(until) => json!({
                "will": "unknown", "until": names(until), "waits": names(&waits_for(engine, *id, &decisions)),
            }),
            Decision::Failed(error) => json!({"will": "fail", "error": error.to_string()}),
            Decision::Blocked(by) => json!({"will": "blocked", "by": names(by)}),
        };
        if let Value::Object(facts) = &mut facts {
            facts.insert("stage".into(), json!(stage.name));
            facts.insert("kind".into(), json!(stage.stage_type));
            facts.insert("differences".into(), json!(explanation.differences));
            if let Some(seconds) = explanation.estimate(decision) {
                facts.insert("estimate".into(), json!(seconds));
            }
        }
        facts
    });
    let upgrades = crate::plan::upgrades(engine, explained);
    let warnings: Vec<Value> = engine
        .foreseen(explained.iter().map(|(id, decision, _)| (*id, *decision)))
        .into_iter()
        .map(|(id, warning)| json!({"stage": engine.stage(id).name, "code": warning.code, "text": warning.text}))
        .collect();
    let mut plan =
        json!({"pipeline": engine.pipeline.name, "upgrades": upgrades, "stages": stages.collect::<Vec<_>>()});
    if let (Value::Object(plan), false) = (&mut plan, warnings.is_empty()) {
        plan.insert("warnings".into(), warnings.into());
    }
    plan
}
