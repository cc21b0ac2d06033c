//! Facts of a run in words, from its record, its pipeline and the command line.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Arguments, ReportedStage};
use crate::base::figure::bytes;
use crate::base::shell::quoted;
use crate::cli::{Loaded, PipelineArguments, load};
use crate::lang;
use crate::lang::spec::{Pipeline, Points, StageSpec};
use crate::progress::text::duration;
use crate::report::names::NameReplacements;
use crate::report::run::{BaseDifference, RunFacts, StageFacts};
use crate::run::time;
use crate::store::{RunOutcome, RunRecord};

/// Date, duration, machine and versions of a run; `id` is its short id.
pub(super) fn of_record(record: &RunRecord, id: &str) -> Vec<(String, String)> {
    let row = |label: &str, value: String| (label.to_owned(), value);
    let ended = match record.ended {
        RunOutcome::Done => "done",
        RunOutcome::Running => "did not record its end",
        RunOutcome::Failed => "failed",
        RunOutcome::Stopped => "stopped",
    };
    let mut rows = vec![
        row("run", format!("`{id}`, {}, {ended}", time::shown(record.began))),
        row("duration", duration(record.seconds)),
        row("macula", record.macula.clone()),
    ];
    let machine: Vec<String> = record.machine.iter().map(|(name, value)| format!("{name} {value}")).collect();
    if !machine.is_empty() {
        rows.push(row("machine", machine.join(", ")));
    }
    if let Some(peak) = record.peak_bytes {
        rows.push(row("peak memory", bytes(peak)));
    }
    rows
}

/// Facts of a stage.
pub(super) fn of_stage(stage: &ReportedStage) -> StageFacts {
    StageFacts {
        name: stage.name.clone(),
        kind: stage.kind.clone(),
        state: stage.state.clone(),
        time: stage.seconds.map_or_else(|| "–".to_owned(), duration),
        run: stage.run.clone(),
        version: stage.version.clone(),
        outputs: stage.digests.clone(),
    }
}

/// Commands that repeat what is on the page.
pub(super) fn commands(file: &str, arguments: &Arguments) -> Vec<String> {
    let mut options = String::new();
    let mut option = |name: &str, value: &str| options.extend([" --", name, " ", &quoted(value)]);
    if let Some(name) = &arguments.pipeline {
        option("pipeline", name);
    }
    if let Some(name) = &arguments.sweep {
        option("sweep", name);
    }
    for set in &arguments.set {
        let set =
            set.split_once('=').map_or_else(|| set.clone(), |(path, value)| format!("{path}={}", private_path(value)));
        option("set", &set);
    }
    let file = quoted(&private_file(file));
    let mut commands = vec![format!("macula run {file}{options}")];
    if arguments.sweep.is_none() {
        commands.push(format!("macula lock {file}{options}            # record the results"));
        commands.push(format!("macula run {file}{options} --locked    # compare with the lock file"));
    }
    commands.push(format!("macula report {file}{options}"));
    commands
}

/// A pipeline's file without the folders of somebody's machine: of an absolute path, the last name, which its folder understands.
pub(super) fn private_file(file: &str) -> String {
    let path = Path::new(file);
    path.file_name()
        .filter(|_| path.is_absolute())
        .map_or_else(|| file.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// A value without the folders of somebody's machine: of an absolute path, the last name.
pub(super) fn private_path(value: &str) -> String {
    let path = Path::new(value);
    match path.file_name() {
        Some(name) if path.is_absolute() => format!("…/{}", name.to_string_lossy()),
        _ => value.to_owned(),
    }
}

/// What differs from the pipeline that this one extends; [`None`] if it extends none that can be read.
pub(super) fn base_difference(loaded: &Loaded) -> Option<BaseDifference> {
    let own = loaded.sweep.as_ref().map_or(&loaded.pipeline, |swept| &swept.sweep.base);
    let (file, name) = lang::base_of(Path::new(&loaded.file), &own.name)?;
    let arguments = PipelineArguments { file, pipeline: name.clone(), sweep: None, set: Vec::new() };
    let (contents, ..) = load::read(&arguments, Points::OneByOne).ok()?;
    let is_meant = |pipeline: &Pipeline| name.as_ref().is_none_or(|name| *name == pipeline.name);
    let base = contents.pipelines.into_iter().find(is_meant)?;
    Some(BaseDifference { rows: differences(&base, own), base: base.name })
}

/// Stages and parameters in which two pipelines differ: stage, what, there, here.
fn differences(base: &Pipeline, own: &Pipeline) -> Vec<[String; 4]> {
    let of = |pipeline: &'_ Pipeline| -> BTreeMap<String, StageSpec> {
        pipeline.stages.iter().map(|stage| (stage.base_name.clone(), stage.clone())).collect()
    };
    let (there, here) = (of(base), of(own));
    let mut rows = Vec::new();
    let row = |stage: &str, what: &str, there: &str, here: &str| [stage, what, there, here].map(str::to_owned);
    if base.seed != own.seed {
        rows.push(row("", "seed", &base.seed.to_string(), &own.seed.to_string()));
    }
    for (name, stage) in &here {
        let Some(other) = there.get(name) else {
            rows.push(row(name, "stage", "–", &stage.stage_type));
            continue;
        };
        if other.stage_type != stage.stage_type {
            rows.push(row(name, "stage", &other.stage_type, &stage.stage_type));
        }
        let values = |stage: &StageSpec| -> BTreeMap<String, String> {
            let value = |(name, param): (&String, &lang::spec::ParamValue)| {
                (name.clone(), private_path(&param.value.to_string()))
            };
            let inputs = stage.inputs.iter().map(|input| {
                let from = input.from.iter().map(|from| match from.port.as_str() {
                    "out" => from.stage.clone(),
                    port => format!("{}.{port}", from.stage),
                });
                (format!("input {}", input.port), from.collect::<Vec<_>>().join(" "))
            });
            stage.params.iter().map(value).chain(inputs).collect()
        };
        let (before, now) = (values(other), values(stage));
        let mut all: Vec<&String> = before.keys().chain(now.keys()).collect();
        all.sort_unstable();
        all.dedup();
        for what in all {
            let of = |values: &BTreeMap<String, String>| values.get(what).cloned().unwrap_or_else(|| "–".to_owned());
            if before.get(what) != now.get(what) {
                rows.push(row(name, what, &of(&before), &of(&now)));
            }
        }
    }
    let gone = there.iter().filter(|(name, _)| !here.contains_key(*name));
    rows.extend(gone.map(|(name, stage)| row(name, "stage", &stage.stage_type, "–")));
    rows
}

/// Facts with the names of photographs and patients replaced.
pub(super) fn redacted(mut facts: RunFacts, names: &NameReplacements) -> RunFacts {
    let redact = |text: &mut String| *text = names.redact(text);
    facts.params.iter_mut().for_each(|param| redact(&mut param.value));
    facts.base.iter_mut().flat_map(|base| base.rows.iter_mut().flatten()).for_each(redact);
    facts.rows.iter_mut().for_each(|(_, value)| redact(value));
    facts.commands.iter_mut().for_each(redact);
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell_only_if_they_must_be() {
        assert_eq!([quoted("a/b-1.kdl"), quoted("x y"), quoted("it's")], ["a/b-1.kdl", "'x y'", "'it'\\''s'"]);
    }

    #[test]
    fn folders_of_a_machine_are_not_shown() {
        assert_eq!(private_path("/srv/people/ann/idrid"), "…/idrid");
        assert_eq!([private_path("data/idrid"), private_path("0.5")], ["data/idrid", "0.5"]);
    }
}
