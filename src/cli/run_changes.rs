//! What a run changed against the run before it, in a few words. Knows no terminal.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::base::figure::counted;
use crate::store::{Difference, Kind, Manifest, RunOutcome, RunRecord, StageOutcome};

/// Stages of one kind that are named; more are counted.
const NAMED: usize = 2;

/// Maximum length of a value; `macula why` and `macula compare` show it in full.
const LONGEST: usize = 24;

/// What a run's plan in its folder says has changed, for each stage. A run that was interrupted records no more of the stages that it
/// did not finish.
pub(super) fn planned(folder: &Path) -> Vec<(String, Difference)> {
    let plan = std::fs::read(folder.join("plan.json")).unwrap_or_default();
    let plan: Value = serde_json::from_slice(&plan).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let difference = |found: &Value| {
        let kind: Kind = serde_json::from_value(found["kind"].clone()).ok()?;
        Some(Difference { path: text(&found["path"])?, kind, old: text(&found["old"]), new: text(&found["new"]) })
    };
    let of_stage = |stage: &Value| {
        let name = text(&stage["stage"]).unwrap_or_default();
        let found = stage["differences"].as_array().into_iter().flatten().filter_map(difference);
        found.map(|difference| (name.clone(), difference)).collect::<Vec<_>>()
    };
    plan["stages"].as_array().into_iter().flatten().flat_map(of_stage).collect()
}

/// What differs between two runs: failures first, then parameters, seeds, versions and files, then stages. Changes of inputs are left
/// out, because they follow from these. `planned` are the differences of stages that did not get as far as their key.
pub(super) fn changes(run: &RunRecord, before: Option<&RunRecord>, planned: &[(String, Difference)]) -> Vec<String> {
    let failed = run.stages.iter().filter(|(_, stage)| stage.became == StageOutcome::Failed);
    let mut words: Vec<String> = failed.map(|(name, _)| format!("`{name}` failed")).take(NAMED).collect();
    let Some(before) = before else {
        words.push("first run".to_owned());
        return words;
    };
    let mut found = differences(run, before);
    let reached = |run: &RunRecord, name: &String| run.stages.get(name).is_some_and(|stage| stage.manifest.is_some());
    for (name, difference) in planned.iter().filter(|(name, _)| !reached(run, name)) {
        found.extend(short(base_name(name), difference).filter(|text| !found.contains(text)));
    }
    let same = found.is_empty() && run.ended == RunOutcome::Done;
    if same && run.stages.keys().any(|name| reached(run, name) && !reached(before, name)) {
        // What it would have computed is not known, so neither is whether that has changed.
        words.push("after an unfinished run".to_owned());
    } else if same {
        let cached =
            run.stages.values().all(|stage| matches!(stage.became, StageOutcome::Reused | StageOutcome::Source));
        words.push(if cached { "no change, all cached" } else { "no change" }.to_owned());
    }
    words.extend(found);
    words
}

/// The run before another one, `earlier` being all runs before it, the newest first: stages that it did not reach are as in the last run
/// that did.
pub(super) fn run_before(run: &RunRecord, earlier: &[RunRecord]) -> Option<RunRecord> {
    // A killed run does not say what it had.
    let at = earlier.iter().position(|before| !before.stages.is_empty())?;
    let mut before = earlier[at].clone();
    let complete = before.has_ended() && before.stages.values().all(|stage| stage.manifest.is_some());
    for name in run.stages.keys().filter(|_| !complete) {
        if before.stages.get(name).is_some_and(|stage| stage.manifest.is_some()) {
            continue;
        }
        let reached = earlier[at + 1..].iter().filter_map(|older| older.stages.get(name));
        if let Some(stage) = reached.clone().find(|stage| stage.manifest.is_some()) {
            before.stages.insert(name.clone(), stage.clone());
        }
    }
    Some(before)
}

fn differences(run: &RunRecord, before: &RunRecord) -> Vec<String> {
    let known = |run: &RunRecord| -> BTreeSet<String> {
        let known = run.stages.iter().filter(|(_, stage)| stage.manifest.is_some());
        known.map(|(name, _)| name.clone()).collect()
    };
    let (now, then) = (known(run), known(before));
    let mut words: Vec<String> = Vec::new();
    let mut add = |text: String| {
        if !words.contains(&text) {
            words.push(text);
        }
    };
    for name in now.intersection(&then) {
        let manifest = |run: &RunRecord| -> Option<Manifest> { run.stages[name].manifest.clone() };
        let (Some(new), Some(old)) = (manifest(run), manifest(before)) else { continue };
        for difference in new.since(&old) {
            if let Some(text) = short(base_name(name), &difference) {
                add(text);
            }
        }
    }
    // Stages that a run did not reach are not gone.
    let reached = |run: &RunRecord| run.has_ended() && run.stages.values().all(|stage| stage.manifest.is_some());
    let of = |names: Vec<&String>, what: &str| match names.as_slice() {
        [] => None,
        few if few.len() <= NAMED => {
            let names: Vec<String> = few.iter().map(|name| format!("`{name}`")).collect();
            Some(format!("{what} {}", names.join(", ")))
        }
        many => Some(format!("{what} {}", counted(many.len() as u64, "stage", "stages"))),
    };
    if reached(before) {
        words.extend(of(now.difference(&then).collect(), "with"));
    }
    if reached(run) {
        words.extend(of(then.difference(&now).collect(), "without"));
    }
    words
}

/// `classifier.epochs 10 -> 20`; [`None`] for what follows from changes of other stages.
fn short(stage: &str, difference: &Difference) -> Option<String> {
    let Difference { path, kind, old, new } = difference;
    let value = |value: &Option<String>| clip(value.as_deref().unwrap_or("-"));
    match kind {
        Kind::Parameter => Some(format!("{stage}.{path} {} -> {}", value(old), value(new))),
        Kind::Seed => Some(format!("seed {} -> {}", value(old), value(new))),
        Kind::Implementation if path == "version" => {
            Some(format!("version of `{stage}` {} -> {}", value(old), value(new)))
        }
        Kind::Implementation => Some(format!("{stage} {} -> {}", value(old), value(new))),
        Kind::Files => Some(format!("files of `{stage}`")),
        Kind::Input | Kind::Name | Kind::Summary | Kind::Item => None,
    }
}

fn clip(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        text.to_owned()
    } else {
        text.chars().take(LONGEST - 1).chain(['…']).collect()
    }
}

/// The name without the values of a sweep's point.
fn base_name(stage: &str) -> &str {
    stage.split('@').next().unwrap_or(stage)
}

/// As many words as fit into `lines` lines of `width` columns; the others are counted.
pub(super) fn fitted(words: &[String], width: usize, lines: usize) -> Vec<String> {
    use crate::progress::table::{shortened, wrapped};
    for kept in (1..=words.len()).rev() {
        let more = words.len() - kept;
        let rest = if more > 0 { format!(", {more} more") } else { String::new() };
        let text = words[..kept].join(", ") + &rest;
        let broken = wrapped(&text, width);
        if broken.len() <= lines && broken.iter().all(|line| line.chars().count() <= width) {
            return broken;
        }
    }
    words.first().map(|word| shortened(word, width)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StageRun;

    fn stage(facts: &[(Kind, &str, &str)]) -> StageRun {
        let mut manifest = Manifest::default();
        for (kind, path, value) in facts {
            manifest.text(*kind, *path, value);
        }
        StageRun {
            became: StageOutcome::Computed,
            key: None,
            manifest: Some(manifest),
            outputs: [].into(),
            seconds: 0.0,
            last_seconds: 0.0,
            full_seconds: 0.0,
            items: None,
            headline: String::new(),
            kind: String::new(),
            metrics: [].into(),
            memory: None,
        }
    }

    fn run(stages: Vec<(&str, StageRun)>) -> RunRecord {
        let stages = stages.into_iter().map(|(name, stage)| (name.to_owned(), stage)).collect();
        RunRecord { ended: RunOutcome::Done, stages, ..RunRecord::default() }
    }

    #[test]
    fn causes_are_reported_and_not_what_follows_from_them() {
        let eyes = |digest| ("eyes", stage(&[(Kind::Files, "out", digest), (Kind::Seed, "seed", "1")]));
        let fit = |epochs, data| {
            (
                "fit",
                stage(&[(Kind::Parameter, "epochs", epochs), (Kind::Input, "data", data), (Kind::Seed, "seed", "1")]),
            )
        };
        let first = run(vec![eyes("a"), fit("10", "a")]);
        assert_eq!(changes(&first, None, &[]), ["first run"]);
        assert_eq!(changes(&first, Some(&first), &[]), ["no change"]);
        let second = run(vec![eyes("b"), fit("20", "b")]);
        assert_eq!(changes(&second, Some(&first), &[]), ["files of `eyes`", "fit.epochs 10 -> 20"]);
        let mut third = run(vec![eyes("b")]);
        assert_eq!(changes(&third, Some(&second), &[]), ["without `fit`"]);
        assert_eq!(changes(&second, Some(&third), &[]), ["with `fit`"]);
        for stage in third.stages.values_mut() {
            stage.became = StageOutcome::Failed;
        }
        third.ended = RunOutcome::Failed;
        assert_eq!(changes(&third, Some(&first), &[]), ["`eyes` failed", "files of `eyes`", "without `fit`"]);
    }

    #[test]
    fn of_an_interrupted_run_the_plan_says_what_changed() {
        let folder = tempfile::TempDir::new().expect("a folder");
        assert!(planned(folder.path()).is_empty());
        let plan = r#"{"stages": [{"stage": "eyes", "differences": [
            {"path": "size", "kind": "parameter", "old": "1", "new": "2"}]}, {"stage": "fit", "differences": [
            {"path": "epochs", "kind": "parameter", "old": "10", "new": "20"},
            {"path": "data", "kind": "input", "old": "a", "new": "b"}]}]}"#;
        std::fs::write(folder.path().join("plan.json"), plan).expect("written");
        let before = run(vec![("eyes", stage(&[])), ("fit", stage(&[]))]);
        let mut stopped = before.clone();
        stopped.ended = RunOutcome::Stopped;
        stopped.stages.get_mut("fit").expect("a stage").manifest = None;
        assert_eq!(changes(&stopped, Some(&before), &planned(folder.path())), ["fit.epochs 10 -> 20"]);
        assert!(changes(&stopped, Some(&before), &[]).is_empty());

        // The run after it is compared with what the last one before had, or says that it cannot be.
        let fit = |epochs| run(vec![("eyes", stage(&[])), ("fit", stage(&[(Kind::Parameter, "epochs", epochs)]))]);
        let later = fit("20");
        assert_eq!(changes(&later, Some(&stopped), &[]), ["after an unfinished run"]);
        let known = run_before(&later, &[stopped.clone(), fit("10")]);
        assert_eq!(changes(&later, known.as_ref(), &[]), ["fit.epochs 10 -> 20"]);
        assert!(run_before(&later, &[]).is_none());
    }

    #[test]
    fn a_sweep_changes_a_parameter_once() {
        let points = |batch| {
            let point = |name| (name, stage(&[(Kind::Parameter, "batch", batch)]));
            run(vec![point("fit@lr=1"), point("fit@lr=2")])
        };
        assert_eq!(changes(&points("32"), Some(&points("16")), &[]), ["fit.batch 16 -> 32"]);
    }

    #[test]
    fn words_that_do_not_fit_are_counted() {
        let words = ["fit.epochs 10 -> 20", "fit.batch 8 -> 16", "seed 1 -> 2"].map(str::to_owned);
        assert_eq!(fitted(&words, 80, 2), ["fit.epochs 10 -> 20, fit.batch 8 -> 16, seed 1 -> 2"]);
        assert_eq!(fitted(&words, 26, 2), ["fit.epochs 10 -> 20,", "fit.batch 8 -> 16, 1 more"]);
        assert_eq!(fitted(&words, 24, 2), ["fit.epochs 10 -> 20, 2", "more"]);
        assert_eq!(fitted(&words, 10, 2), ["fit.epoch…"]);
        assert!(fitted(&[], 10, 2).is_empty());
    }
}
