//! Compares two sets of results: which stages match the lock file, which are within tolerance, which differ, and why.
//! Reads no files.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{LockedStage, Lockfile};
use crate::base::Sources;
use crate::base::figure::{counted, thousands};
use crate::lang::spec::{Pipeline, StageSpec};
use crate::run::Project;
use crate::stage::{Determinism, Implementation, Tolerance};

/// Outcome of comparing a stage with the lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every output has the locked bytes.
    BitForBit,
    /// Bytes differ, but its own or an upstream determinism class allows it and every metric is within tolerance.
    WithinTolerance,
    /// Bytes differ.
    Differs,
    /// In the pipeline, but not in the lock file.
    New,
    /// In the lock file, but not in the pipeline.
    Gone,
    /// The stage failed or did not run.
    Missing,
}

impl Verdict {
    /// Whether the lock file is satisfied.
    #[must_use]
    pub const fn as_locked(self) -> bool {
        matches!(self, Self::BitForBit | Self::WithinTolerance)
    }
}

/// A cause of a difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// `data`, `version`, `parameter`, `seed`, `input`, `follows`, `class`, `figure` or `promise`.
    pub kind: &'static str,
    /// The explanation.
    pub text: String,
    /// `file:line` in the pipeline.
    pub at: Option<String>,
}

/// A stage, compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The stage.
    pub stage: String,
    /// Its determinism, as locked.
    #[serde(rename = "class")]
    pub determinism: String,
    /// The outcome.
    pub verdict: Verdict,
    /// Tolerance for its metrics, if they may differ.
    pub bound: Option<f64>,
    /// The metric with the largest difference, and that difference.
    pub farthest: Option<(String, f64)>,
    /// Causes, most important first.
    pub why: Vec<Why>,
}

/// Compares results with a lock file. In a partial run, locked stages outside of it do not count as removed.
#[must_use]
pub fn judge(locked: &Lockfile, now: &Lockfile, project: &Project, wanted: &[&str]) -> Vec<Judged> {
    let mut judging = Judging { locked, now, project, judged: BTreeMap::new() };
    let mut found: Vec<Judged> = judging.in_order(wanted).into_iter().map(|stage| judging.of(stage)).collect();
    let known = |stage: &&LockedStage| !project.pipeline.stages.iter().any(|own| own.name == stage.name);
    if wanted.len() == project.pipeline.stages.len() {
        found.extend(locked.stages.iter().filter(known).map(|gone| bare(&gone.name, &gone.determinism, Verdict::Gone)));
    }
    found
}

fn bare(stage: &str, determinism: &str, verdict: Verdict) -> Judged {
    Judged {
        stage: stage.to_owned(),
        determinism: determinism.to_owned(),
        verdict,
        bound: None,
        farthest: None,
        why: Vec::new(),
    }
}

struct Judging<'a> {
    locked: &'a Lockfile,
    now: &'a Lockfile,
    project: &'a Project<'a>,
    /// For stages within tolerance, the tolerance; [`None`] for stages that differ.
    judged: BTreeMap<String, Option<f64>>,
}

impl<'a> Judging<'a> {
    /// The wanted stages, each after its dependencies.
    fn in_order(&self, wanted: &[&str]) -> Vec<&'a StageSpec> {
        let Pipeline { stages, .. } = self.project.pipeline;
        let (graph, _) = crate::plan::Graph::new(self.project.pipeline);
        let order = graph.order().iter().map(|id| &stages[id.0]);
        order.filter(|stage| wanted.contains(&stage.name.as_str())).collect()
    }

    fn of(&mut self, stage: &StageSpec) -> Judged {
        let name = stage.name.as_str();
        let judged = match (self.locked.stage(name), self.now.stage(name)) {
            (None, Some(now)) => bare(name, &now.determinism, Verdict::New),
            (old, None) => bare(name, old.map_or("", |old| old.determinism.as_str()), Verdict::Missing),
            (Some(old), Some(now)) => self.compared(stage, old, now),
        };
        if judged.verdict != Verdict::BitForBit {
            self.judged.insert(name.to_owned(), judged.bound.filter(|_| judged.verdict.as_locked()));
        }
        judged
    }

    fn compared(&self, stage: &StageSpec, old: &LockedStage, now: &LockedStage) -> Judged {
        let mut judged = bare(&old.name, &old.determinism, Verdict::BitForBit);
        judged.why = self.changes(stage, old, now);
        if old.outputs == now.outputs {
            return judged;
        }
        judged.verdict = Verdict::Differs;
        let found = self.project.implementations.iter().find(|known| known.name == stage.implementation);
        let own = found.and_then(|found| apart(found, old, now));
        if let Some(own) = own {
            let text = if now.target == old.target {
                format!("`{}` does not promise the same bytes: metrics may differ by {}", now.target, own.metrics)
            } else {
                let (now, old) = (&now.target, &old.target);
                format!("computed on `{now}`, locked on `{old}`: metrics may differ by {}", own.metrics)
            };
            judged.why.push(Why { kind: "class", text, at: None });
        }
        // A stage within tolerance passes its tolerance on; one that differs without a bound leaves no bound.
        let above: Vec<Option<f64>> = stage
            .inputs
            .iter()
            .flat_map(|input| &input.from)
            .filter_map(|from| self.judged.get(&from.stage).copied())
            .collect();
        if above.is_empty() && own.is_none() && judged.why.is_empty() {
            judged.why.push(unexplained(old));
            return judged;
        }
        let innocent = judged.why.iter().all(|why| why.kind == "class" || why.kind == "follows");
        let Some(above) = above.into_iter().collect::<Option<Vec<f64>>>().filter(|_| innocent) else { return judged };
        let bound = own.map_or(0.0, |own| own.metrics) + above.into_iter().fold(0.0, f64::max);
        judged.bound = Some(bound);
        judged.farthest = farthest(old, now, own.map_or(&[], |own| own.exempt));
        let lost = old.metrics.keys().find(|name| !now.metrics.contains_key(*name));
        let beyond = judged.farthest.as_ref().filter(|(_, by)| *by > bound);
        match (lost, beyond) {
            (None, None) => judged.verdict = Verdict::WithinTolerance,
            (Some(name), _) => judged.why.insert(0, metric(format!("metric `{name}` is missing"))),
            (None, Some((name, by))) => {
                judged.why.insert(
                    0,
                    metric(format!("`{name}` differs by {by:.4} from the locked value (tolerance {bound:.3})")),
                );
            }
        }
        judged
    }

    /// What changed in a stage's own facts and in its inputs.
    fn changes(&self, stage: &StageSpec, old: &LockedStage, now: &LockedStage) -> Vec<Why> {
        let sources = self.project.sources;
        let mut found = data(old, now);
        if (&old.implementation, old.version) != (&now.implementation, now.version) {
            let text = format!(
                "version changed: {} {} -> {} {} (macula {} -> {})",
                old.implementation, old.version, now.implementation, now.version, self.locked.macula, self.now.macula
            );
            found.push(Why { kind: "version", text, at: None });
        }
        if old.seed != now.seed {
            let shown = |seed: &Option<String>| seed.clone().unwrap_or_else(|| "none".into());
            let text = format!("seed {} -> {}", shown(&old.seed), shown(&now.seed));
            found.push(Why { kind: "seed", text, at: cite(sources, Some(self.project.pipeline.span)) });
        }
        found.extend(params(stage, old, now, sources));
        for input in &stage.inputs {
            let (then, is) = (old.inputs.get(&input.port), now.inputs.get(&input.port));
            if then != is {
                let words = |from: Option<&Vec<String>>| from.map_or_else(|| "nothing".into(), |from| from.join(" "));
                let text = format!("input `{}` is {}, was {}", input.port, words(is), words(then));
                found.push(Why { kind: "input", text, at: cite(sources, Some(input.span)) });
            } else if let Some(from) = input.from.iter().find(|from| self.judged.contains_key(&from.stage)) {
                let text = format!("caused by `{}` at input `{}`", from.stage, input.port);
                found.push(Why { kind: "follows", text, at: None });
            }
        }
        let gone = old.inputs.keys().filter(|port| !now.inputs.contains_key(*port));
        found.extend(gone.map(|port| {
            let text = format!("input `{port}` is no longer connected");
            Why { kind: "input", text, at: cite(sources, Some(stage.span)) }
        }));
        found
    }
}

/// The tolerance between two results, if their targets differ or do not promise the same bytes.
fn apart(implementation: &Implementation, old: &LockedStage, now: &LockedStage) -> Option<Tolerance> {
    match implementation.determinism {
        Determinism::PathExact { tolerance, approximate, .. }
            if old.target != now.target || approximate(&now.target) =>
        {
            Some(tolerance)
        }
        _ => None,
    }
}

fn unexplained(old: &LockedStage) -> Why {
    let text = match old.determinism.as_str() {
        "unknown" => {
            "the command produced different bytes from the same inputs; commands are not required to be deterministic"
                .to_owned()
        }
        class => format!("nothing changed, but a `{class}` stage must produce the same bytes: this is a bug in macula"),
    };
    Why { kind: "promise", text, at: None }
}

fn metric(text: String) -> Why {
    Why { kind: "figure", text, at: None }
}

fn farthest(old: &LockedStage, now: &LockedStage, exempt: &[&str]) -> Option<(String, f64)> {
    let apart = old.metrics.iter().filter(|(name, _)| !exempt.contains(&name.as_str())).filter_map(|(name, old)| {
        let by = (now.metrics.get(name)? - old).abs();
        Some((name.clone(), by))
    });
    apart.fold(None, |most, next| if most.as_ref().is_some_and(|most| most.1 >= next.1) { most } else { Some(next) })
}

/// What changed in a source's files.
fn data(old: &LockedStage, now: &LockedStage) -> Vec<Why> {
    let why = |text: String| Why { kind: "data", text, at: None };
    if old.outputs == now.outputs || now.count == 0 {
        return Vec::new();
    }
    if old.files.is_empty() || now.files.is_empty() {
        return vec![why(format!("data changed: {}, was {}", counted(now.count as u64, "file", "files"), old.count))];
    }
    let shown = |name: &Option<String>| name.clone().unwrap_or_default();
    let mut found: Vec<Why> = Vec::new();
    for (of_name, file) in &now.files {
        match old.files.get(of_name) {
            Some(locked) if locked.content == file.content => {}
            Some(_) => found.push(why(format!("data changed: `{}`", shown(&file.name)))),
            None => found.push(why(format!("data added: `{}`", shown(&file.name)))),
        }
    }
    found.sort_by(|one, other| one.text.cmp(&other.text));
    let gone = old.files.keys().filter(|of_name| !now.files.contains_key(*of_name)).count();
    if gone > 0 {
        found.push(why(missing(gone as u64)));
    }
    found
}

/// The text for locked files that are gone: their names are not known.
fn missing(count: u64) -> String {
    if count == 1 {
        return "1 locked file is missing (the lock stores its digest, not its name)".to_owned();
    }
    format!("{} locked files are missing (the lock stores their digests, not their names)", thousands(count))
}

fn params(stage: &StageSpec, old: &LockedStage, now: &LockedStage, sources: &Sources) -> Vec<Why> {
    let names: std::collections::BTreeSet<&String> = old.params.keys().chain(now.params.keys()).collect();
    let changed = names.into_iter().filter_map(|name| {
        let text = match (old.params.get(name), now.params.get(name)) {
            (Some(old), Some(now)) if old == now => return None,
            (Some(old), Some(now)) => format!("`{name}` {old} -> {now}"),
            (None, Some(now)) => format!("`{name}` {now} was added"),
            (old, None) => format!("`{name}` {} was removed", old.map_or("", String::as_str)),
        };
        let span = stage.params.get(name).and_then(|param| param.span).or(Some(stage.span));
        Some(Why { kind: "parameter", text, at: cite(sources, span) })
    });
    changed.collect()
}

fn cite(sources: &Sources, span: Option<crate::base::Span>) -> Option<String> {
    // A pipeline built in code has no text.
    sources.iter().next().is_some().then(|| span.map(|span| sources.cite(span)))?
}
