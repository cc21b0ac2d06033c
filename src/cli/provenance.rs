//! Photographs and patients that a model has seen: found on request from the pipeline that trained it and the photographs in the store,
//! so that neither the store nor a model that leaves it names them unasked.

use std::path::Path;
use std::sync::Arc;

use super::failure::warn;
use super::{Failure, Loaded};
use crate::base::figure::counted;
use crate::base::{Digest, regular, shown};
use crate::data::provenance::{DataUse, Provenance};
use crate::plan::Decision;
use crate::progress::out;
use crate::run::provenance::{ProvenanceCache, ProvenanceLookup, UnknownProvenance};
use crate::run::{self, Host, Options};

/// Number of photographs that a message names.
const NAMED: usize = 5;

/// What any of the models of these stages has seen.
///
/// # Errors
/// A [`Failure`] if a result between the photographs and a model is not in the store.
pub(super) fn of_models(host: &Host, loaded: &Loaded, stages: &[&str]) -> Result<Provenance, Failure> {
    let targets = stages.iter().map(|&stage| stage.to_owned()).collect();
    let options = Options { targets, ..Options::usual(host.processors) };
    run::plan(host, &loaded.project(), &options, |engine, explained| {
        let known = explained.into_iter().filter_map(|(id, decision, _)| match decision {
            Decision::Source(result) | Decision::Reuse(result, _) => Some((id, Arc::clone(result))),
            _ => None,
        });
        let (known, cache) = (known.collect(), ProvenanceCache::default());
        let lookup = ProvenanceLookup { engine, known: &known, cache: &cache };
        let of_model = |stage: &&str| {
            let id = engine.graph.find(stage).ok_or_else(|| absent(stage))?;
            match lookup.seen(id) {
                Ok(seen) => Ok(seen.digests()),
                Err(UnknownProvenance::NoResult(id)) => Err(absent(&engine.stage(id).name)),
                Err(UnknownProvenance::Stage(error)) => Err(error.into()),
            }
        };
        stages.iter().map(of_model).try_fold(Provenance::default(), |all, one| Ok(all.and(one?)))
    })?
}

fn absent(stage: &str) -> Failure {
    Failure::user(format!("`{stage}` has no result in the store")).hint(format!("run `{stage}` again"))
}

/// What a model used the photograph in this file for.
pub(super) fn purpose(provenance: &Provenance, file: &Path) -> Option<DataUse> {
    regular::read(file).ok().and_then(|bytes| provenance.purpose(&Digest::of(&bytes)))
}

/// Reports which of these photographs, by name, a model has seen; or that it is not known.
pub(super) fn say(stage: &str, unknown: Option<&Failure>, photographs: &[(&str, Option<DataUse>)]) {
    if let Some(failure) = unknown {
        let text = format!("whether `{stage}` has seen these photographs is not known: {}", failure.text);
        out::note(&format!("note: {}\n", shown::line(&text)));
    }
    let all = counted(photographs.len() as u64, "photograph", "photographs");
    for (purpose, was, effect) in [
        (DataUse::Fitted, "was trained on", "the scores say nothing about new photographs"),
        (DataUse::Chosen, "was selected on", "the scores may be better than those of new photographs"),
    ] {
        let seen = photographs.iter().filter(|(_, seen)| *seen == Some(purpose));
        let seen: Vec<String> = seen.map(|(name, _)| format!("`{name}`")).collect();
        if seen.is_empty() {
            continue;
        }
        let more = seen.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let named = seen.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        warn("seen-photographs", &format!("`{stage}` {was} {} of {all}: {named}{more}; {effect}", seen.len()));
    }
}
