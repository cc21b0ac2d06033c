//! Why a stage runs or is reused: its manifest compared with that of the last run.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::graph::StageId;
use super::{Decision, Engine};
use crate::store::{Absent, Difference, Kind, Manifest, RunRecord, StageRun};

/// Why a stage will run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No earlier run of this pipeline had a stage with this name.
    New,
    /// These facts differ from the last run.
    Changed(Vec<Difference>),
    /// The same facts, but no result: it was removed from the store.
    Removed,
    /// The result is damaged or missing, at least in part.
    Lost,
    /// There is a result computed on another target, and `--exact` was given.
    OtherTarget(String),
}

impl Reason {
    /// Why a stage without a usable result runs.
    #[must_use]
    pub fn find(absent: &Absent, manifest: &Manifest, last: Option<&StageRun>) -> Self {
        match (absent, last.and_then(|last| last.manifest.as_ref())) {
            (Absent::Lost, _) => Self::Lost,
            (Absent::OtherTarget(target), _) => Self::OtherTarget(target.clone()),
            (Absent::Never, None) => Self::New,
            (Absent::Never, Some(old)) => match manifest.since(old) {
                differences if differences.is_empty() => Self::Removed,
                differences => Self::Changed(differences),
            },
        }
    }

    /// A few words: `size 128 -> 64, data changed`.
    #[must_use]
    pub fn short(&self) -> String {
        match self {
            Self::New => "new (no earlier run)".into(),
            Self::Removed => "result is no longer in the store".into(),
            Self::Lost => "result damaged or missing".into(),
            Self::OtherTarget(target) => format!("result was computed on `{target}`"),
            Self::Changed(differences) => {
                let mut words: Vec<String> = differences.iter().take(3).map(short).collect();
                if differences.len() > 3 {
                    words.push(format!("{} more", differences.len() - 3));
                }
                words.join(", ")
            }
        }
    }
}

fn short(difference: &Difference) -> String {
    let Difference { path, kind, old, new } = difference;
    match (kind, old, new) {
        (Kind::Input | Kind::Files | Kind::Summary | Kind::Name, ..) => format!("`{path}` changed"),
        (_, Some(old), Some(new)) => format!("{path} {} -> {}", clip(old), clip(new)),
        (_, None, Some(new)) => format!("{path} {} added", clip(new)),
        (_, old, None) => format!("{path} {} removed", clip(old.as_deref().unwrap_or_default())),
    }
}

/// Shortens a long value; `why` shows it in full.
fn clip(text: &str) -> String {
    if text.chars().count() <= 32 { text.to_owned() } else { text.chars().take(31).chain(['…']).collect() }
}

/// An implementation with a different version than in the last run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// The implementation.
    pub implementation: String,
    /// Its version in the last run.
    pub old: String,
    /// Its version now.
    pub new: String,
    /// macula's own version in the last run.
    pub macula: String,
    /// The stages that run again because of it.
    pub stages: Vec<String>,
}

/// Stages that run again because macula computes them differently than in the last run.
#[must_use]
pub fn upgrades(engine: &Engine, explained: &[(StageId, &Decision, Explanation)]) -> Vec<Upgrade> {
    let mut found: Vec<Upgrade> = Vec::new();
    for (id, _, explanation) in explained.iter().filter(|(_, decision, _)| matches!(decision, Decision::Run(_))) {
        let version = |known: &&Difference| known.kind == Kind::Implementation && known.path == "version";
        let Some(Difference { old: Some(old), new: Some(new), .. }) = explanation.differences.iter().find(version)
        else {
            continue;
        };
        let implementation = engine.implementation(*id).name;
        let macula = explanation.last.as_ref().map(|(run, _)| run.macula.as_str()).unwrap_or_default();
        let same = |known: &&mut Upgrade| {
            (&*known.implementation, &known.old, &*known.macula) == (implementation, old, macula)
        };
        let stage = engine.stage(*id).name.clone();
        if let Some(known) = found.iter_mut().find(same) {
            known.stages.push(stage);
            continue;
        }
        let (implementation, macula) = (implementation.to_owned(), macula.to_owned());
        found.push(Upgrade { implementation, old: old.clone(), new: new.clone(), macula, stages: vec![stage] });
    }
    found
}

/// Most stages named in the message on an upgrade.
const MOST_NAMED: usize = 5;

impl Upgrade {
    /// The message: which version changed, and which stages run again.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { implementation, old, new, macula, stages } = self;
        let now = env!("CARGO_PKG_VERSION");
        let releases = if macula == now { String::new() } else { format!(" (macula {macula} -> {now})") };
        let mut names: Vec<String> = stages.iter().take(MOST_NAMED).map(|stage| format!("`{stage}`")).collect();
        if stages.len() > MOST_NAMED {
            names.push(format!("{} more", stages.len() - MOST_NAMED));
        }
        let run = if stages.len() == 1 { "runs" } else { "run" };
        format!("version {old} -> {new} of `{implementation}`{releases}: {} {run} again", names.join(", "))
    }
}

/// One stage explained.
#[derive(Debug)]
pub struct Explanation {
    /// Its id.
    pub stage: StageId,
    /// The last run of this pipeline in which its key was known.
    pub last: Option<(Arc<RunRecord>, StageRun)>,
    /// The differences from then, if the manifest is known now.
    pub differences: Vec<Difference>,
    /// Why it will run, if it will.
    pub reason: Option<Reason>,
}

impl Explanation {
    /// Explains the decision for a stage.
    #[must_use]
    pub fn of(engine: &Engine, stage: StageId, decision: &Decision) -> Self {
        let last = engine.store.runs.last_of(&engine.pipeline.name, &engine.stage(stage).name);
        Self::beside(stage, decision, last)
    }

    /// Explains the decision for a stage compared with one run.
    #[must_use]
    pub fn since(engine: &Engine, stage: StageId, decision: &Decision, run: &Arc<RunRecord>) -> Self {
        let then = run.stages.get(&engine.stage(stage).name).filter(|then| then.manifest.is_some());
        Self::beside(stage, decision, then.map(|then| (Arc::clone(run), then.clone())))
    }

    /// Estimated time to compute a stage that runs or may run, seconds: that of its last computation; of a map stage, for the items that
    /// are missing. [`None`] if it is not known.
    #[must_use]
    pub fn estimate(&self, decision: &Decision) -> Option<f64> {
        let (_, last) = self.last.as_ref()?;
        let whole = if last.full_seconds > 0.0 { last.full_seconds } else { last.last_seconds };
        let seconds = match decision {
            Decision::Run(task) => match task.items.filter(|items| items.total > 0) {
                Some(items) => {
                    let then = last.items.map_or(items.total, |then| then.total).max(1);
                    whole * items.total.saturating_sub(items.reused) as f64 / then as f64
                }
                None => whole,
            },
            Decision::Unknown(_) => whole,
            _ => return None,
        };
        (whole > 0.0).then_some(seconds)
    }

    fn beside(stage: StageId, decision: &Decision, last: Option<(Arc<RunRecord>, StageRun)>) -> Self {
        let old = last.as_ref().map(|(_, stage)| stage);
        let (manifest, reason) = match decision {
            Decision::Source(known) | Decision::Reuse(known, _) => (Some(&known.manifest), None),
            Decision::Run(task) => (Some(&task.manifest), Some(Reason::find(&task.absent, &task.manifest, old))),
            Decision::Unknown(_) | Decision::Failed(_) | Decision::Blocked(_) => (None, None),
        };
        let differences = match (manifest, old.and_then(|old| old.manifest.as_ref())) {
            (Some(new), Some(old)) => new.since(old),
            _ => Vec::new(),
        };
        Self { stage, last, differences, reason }
    }
}
