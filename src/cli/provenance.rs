//! Photographs and patients that a model has seen: found on request from the pipeline that trained it and the photographs in the store,
//! so that neither the store nor a model that leaves it names them unasked.

use std::collections::BTreeMap;
use std::path::Path;

use super::failure::warn;
use super::{Failure, Loaded};
use crate::base::figure::counted;
use crate::base::{Digest, regular, shown};
use crate::data::patches::photographs;
use crate::data::photographs::file_and_patient;
use crate::data::provenance::{DataUse, Provenance};
use crate::plan::{Decision, Engine, StageId, StageResult, photograph_sources, training_data};
use crate::progress::out;
use crate::run::{self, Host, Options};
use crate::store::Tree;

/// Number of photographs that a message names.
const NAMED: usize = 5;

/// What the model of `stage` has seen.
///
/// # Errors
/// A [`Failure`] if a result between the photographs and the model is not in the store.
pub(super) fn of_model(host: &Host, loaded: &Loaded, stage: &str) -> Result<Provenance, Failure> {
    let options = Options { targets: vec![stage.to_owned()], ..Options::usual(host.processors) };
    run::plan(host, &loaded.project(), &options, |engine, explained| {
        let known = explained.into_iter().filter_map(|(id, decision, _)| match decision {
            Decision::Source(result) | Decision::Reuse(result, _) => Some((id, result.as_ref())),
            _ => None,
        });
        let known = Known { engine, results: known.collect() };
        engine.graph.find(stage).map_or_else(|| Err(absent(stage)), |id| known.provenance(id))
    })?
}

/// Results of the stages behind a model.
struct Known<'a> {
    engine: &'a Engine<'a>,
    results: BTreeMap<StageId, &'a StageResult>,
}

impl Known<'_> {
    fn provenance(&self, model: StageId) -> Result<Provenance, Failure> {
        let data = training_data(self.engine.pipeline, &self.engine.graph, model);
        let mut provenance = Provenance::default();
        let fitted = data.fitted.iter().map(|patches| (DataUse::Fitted, patches));
        for (purpose, &(stage, port)) in fitted.chain(data.chosen.iter().map(|patches| (DataUse::Chosen, patches))) {
            let sources = photograph_sources(self.engine.pipeline, &self.engine.graph, stage);
            let sources = sources.into_iter().map(|source| self.trees(source)).collect::<Result<Vec<_>, _>>()?.concat();
            let patches = self.tree(stage, port)?;
            for name in photographs(patches) {
                let (photograph, patient) = self.original(&sources, name)?;
                provenance.add(purpose, photograph, patient.as_deref());
            }
        }
        for &source in &data.weights {
            for tree in self.trees(source)? {
                provenance.weights.extend(tree.entries.values().map(|entry| entry.digest));
            }
        }
        Ok(provenance)
    }

    /// Digest and patient of a photograph, as its source found it.
    fn original(&self, sources: &[&Tree], name: &str) -> Result<(Digest, Option<String>), Failure> {
        for set in sources {
            if let Some(found) = file_and_patient(set, name, &self.engine.store.objects)? {
                return Ok(found);
            }
        }
        Err(Failure::user(format!("no source of the pipeline has photograph `{name}`, which the model was trained on")))
    }

    fn result(&self, id: StageId) -> Result<&StageResult, Failure> {
        self.results.get(&id).copied().ok_or_else(|| absent(&self.engine.stage(id).name))
    }

    fn tree(&self, id: StageId, port: &str) -> Result<&Tree, Failure> {
        let artifact = self.result(id)?.outputs.get(port).ok_or_else(|| absent(&self.engine.stage(id).name))?;
        Ok(artifact.tree(&self.engine.store.objects)?)
    }

    fn trees(&self, id: StageId) -> Result<Vec<&Tree>, Failure> {
        let outputs = self.result(id)?.outputs.values();
        outputs.map(|artifact| Ok(artifact.tree(&self.engine.store.objects)?)).collect()
    }
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
