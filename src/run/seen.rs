//! Check of what stages evaluate, choose by and score, by content: against the photographs and patients that the models behind them were
//! fitted on or chosen by, whichever stage they come from. Knows no stage.

use std::collections::{BTreeMap, BTreeSet};

use super::near::{NearDuplicates, NearPairs, NearPartner, folder_name};
use super::provenance::{Original, ProvenanceCache, ProvenanceLookup, UnknownProvenance, UsedPhotographs};
use crate::base::Digest;
use crate::base::figure::{counted, noun, thousands};
use crate::lang::param_role::ParamRole;
use crate::plan::training_data::signature;
use crate::plan::{
    ContentCheck, Engine, PatchUse, StageId, StageResults, UsedPatches, measured_maps, photograph_sources,
    training_data, used_patches,
};
use crate::stage::{StageError, Warning};

/// Number of photographs or patients that a message names.
const NAMED: usize = 5;

/// The check, with what it has read so far.
pub(super) struct SeenCheck<'a> {
    cache: ProvenanceCache,
    near: NearDuplicates<'a>,
}

impl<'a> SeenCheck<'a> {
    /// A check by content and by `near`.
    pub(super) fn new(near: NearDuplicates<'a>) -> Self {
        Self { cache: ProvenanceCache::default(), near }
    }
}

impl ContentCheck for SeenCheck<'_> {
    fn check(&self, engine: &Engine, id: StageId, known: &StageResults) -> Result<Vec<Warning>, StageError> {
        let used = used_patches(engine.pipeline, &engine.graph, id);
        // Each map is one of its own model: those of a fold have not seen what others have.
        let maps = measured_maps(engine.pipeline, &engine.graph, id);
        let own = (!used.is_empty()).then_some((id, used));
        let all = own.into_iter().chain(maps.into_iter().map(|(model, used)| (model, vec![used])));
        let lookup = ProvenanceLookup { engine, known, cache: &self.cache };
        let mut warnings: Vec<Warning> = Vec::new();
        for (model, used) in all {
            let patches = CheckedPatches { lookup, id, model, used: &used };
            match patches.check() {
                Ok(found) => {
                    let pairs = self.near.find(engine, model, known).filter(|pairs| !pairs.is_empty());
                    let near = pairs.and_then(|pairs| patches.near(&pairs).ok());
                    warnings.extend(found.into_iter().chain(near.unwrap_or_default()));
                }
                // Decided before everything above it is known: there will be another decision.
                Err(UnknownProvenance::NoResult(_)) => return Ok(Vec::new()),
                Err(UnknownProvenance::Stage(error)) => return Err(error),
            }
        }
        Ok(warnings)
    }
}

/// The patches that a stage gets.
struct CheckedPatches<'a> {
    lookup: ProvenanceLookup<'a>,
    id: StageId,
    /// The stage that scored them: itself, or that of the maps that it measures.
    model: StageId,
    used: &'a [UsedPatches<'a>],
}

impl CheckedPatches<'_> {
    fn check(&self) -> Result<Vec<Warning>, UnknownProvenance> {
        if self.graph_suffices()? {
            return Ok(Vec::new());
        }
        let seen = self.lookup.seen(self.model)?;
        let mut warnings = Vec::new();
        for used in self.used {
            let given = self.lookup.used(used.from.0, used.from.1)?;
            // A command may well have chosen its epoch by what thresholds are chosen by.
            let mut trained_on = seen.fitted.clone();
            trained_on.retain(|set| used.purpose != PatchUse::Chosen || !set.commanded);
            let fitted = Overlap::of(&given.photographs, &trained_on, |_, _| true);
            // Of one source, the checker has compared the sets of its splits, and warned.
            let chosen = Overlap::of(&given.photographs, &seen.chosen, |one, other| one.stage != other.stage);
            match used.purpose {
                PatchUse::Evaluated | PatchUse::Chosen if !fitted.is_empty() => {
                    return Err(self.refused(used, &fitted.text(&given, TRAINING)).into());
                }
                PatchUse::Evaluated if !chosen.is_empty() => {
                    warnings.push(warning("chosen-by", &chosen.text(&given, SELECTION), "the metrics are optimistic"));
                }
                PatchUse::Scored if !(fitted.is_empty() && chosen.is_empty()) => {
                    let parts = [(&fitted, TRAINING), (&chosen, SELECTION)].into_iter();
                    let parts = parts.filter(|(overlap, _)| !overlap.is_empty());
                    let parts: Vec<String> = parts.map(|(overlap, verb)| overlap.text(&given, verb)).collect();
                    let effect = "such scores say nothing about new photographs";
                    warnings.push(warning("seen-photographs", &parts.join("; "), effect));
                }
                PatchUse::Evaluated | PatchUse::Chosen | PatchUse::Scored => {}
            }
        }
        Ok(warnings)
    }

    /// Warnings about photographs that show the same picture as one that the models have seen.
    fn near(&self, pairs: &NearPairs) -> Result<Vec<Warning>, UnknownProvenance> {
        let seen = self.lookup.seen(self.model)?;
        let mut warnings = Vec::new();
        for used in self.used {
            let given = self.lookup.used(used.from.0, used.from.1)?;
            let fitted = NearOverlap::of(&given.photographs, &seen.fitted, pairs);
            let chosen = match used.purpose {
                PatchUse::Chosen => NearOverlap::default(),
                PatchUse::Evaluated | PatchUse::Scored => NearOverlap::of(&given.photographs, &seen.chosen, pairs),
            };
            let parts = [(&fitted, "used for training"), (&chosen, "that chose the epoch or the thresholds")];
            let parts = parts.into_iter().filter(|(overlap, _)| !overlap.0.is_empty());
            let parts: Vec<String> = parts.map(|(overlap, role)| overlap.text(&given, role)).collect();
            if parts.is_empty() {
                continue;
            }
            let effect = match used.purpose {
                PatchUse::Evaluated => "the metrics are optimistic",
                PatchUse::Chosen => "the choice is optimistic",
                PatchUse::Scored => "such scores say nothing about new photographs",
            };
            let pictures = format!("results/{}/{}", self.lookup.engine.pipeline.name, folder_name());
            warnings.push(warning("near-duplicate", &parts.join("; "), &format!("{effect}; pictures: `{pictures}`")));
        }
        Ok(warnings)
    }

    /// Whether the checker has seen all there is: all photographs come from one source, and no weights from a training recorded here. Then
    /// no tree has to be read.
    fn graph_suffices(&self) -> Result<bool, UnknownProvenance> {
        let engine = self.lookup.engine;
        let data = training_data(engine.pipeline, &engine.graph, self.model);
        let sets = data.fitted.iter().chain(&data.chosen).map(|(stage, _)| *stage);
        let sets: BTreeSet<StageId> = sets.chain(self.used.iter().map(|used| used.from.0)).collect();
        let sources = sets.into_iter().flat_map(|stage| photograph_sources(engine.pipeline, &engine.graph, stage));
        let sources: BTreeSet<StageId> = sources.collect();
        // Of maps, it does not know which photographs they are of.
        let scores = self.model != self.id || self.used.iter().any(|used| used.purpose == PatchUse::Scored);
        let suffices = sources.len() < 2 && !scores && data.commanded.is_empty();
        Ok(suffices && !self.lookup.has_own_weights(&data)?)
    }

    fn refused(&self, used: &UsedPatches, text: &str) -> StageError {
        let stage = self.lookup.engine.stage(self.id);
        let diagnosis = signature(stage)
            .and_then(|signature| signature.params.iter().find(|param| param.role == ParamRole::Diagnoses));
        let hint = match (used.purpose, diagnosis) {
            (PatchUse::Chosen, _) => {
                "select on photographs that were not used for training: on training data the last epoch looks best, and thresholds look better than they are".to_owned()
            }
            (_, Some(param)) => format!(
                "evaluate photographs that were not used for training; `{} #true` evaluates these on purpose",
                param.name
            ),
            (_, None) if self.model != self.id => format!(
                "connect the test set to `only` of `{}`, so that only its photographs are mapped",
                self.lookup.engine.stage(self.model).base_name
            ),
            (_, None) => "evaluate photographs that were not used for training".to_owned(),
        };
        StageError::input("fitted-on", text).hint(hint).field(used.port)
    }
}

fn warning(code: &str, text: &str, effect: &str) -> Warning {
    Warning { code: code.to_owned(), text: format!("{text}; {effect}") }
}

/// What photographs were used for, of one and of several.
const TRAINING: [&str; 2] = ["was used for training", "were used for training"];
const SELECTION: [&str; 2] = ["chose the epoch or the thresholds", "chose the epoch or the thresholds"];

/// What given photographs have in common with others.
#[derive(Default)]
struct Overlap {
    /// Names of the same photographs; if it has another name there, that too.
    photographs: Vec<String>,
    /// Patients with other photographs in those sets.
    patients: BTreeSet<String>,
    /// The sets that they are in.
    sets: BTreeSet<String>,
}

impl Overlap {
    /// Of `given` with `sets`, among the pairs of photographs that `counts` accepts.
    fn of(given: &[Original], sets: &[UsedPhotographs], counts: impl Fn(&Original, &Original) -> bool) -> Self {
        let mut files: BTreeMap<Digest, Vec<(&Original, &str)>> = BTreeMap::new();
        let mut patients: BTreeMap<&str, Vec<(&Original, &str)>> = BTreeMap::new();
        for (original, set) in sets.iter().flat_map(|set| set.photographs.iter().map(|one| (one, set.set.as_str()))) {
            files.entry(original.file).or_default().push((original, set));
            let known = original.patient.as_deref().map(|patient| patients.entry(patient).or_default());
            // One photograph of each set and source stands for all.
            if let Some(known) = known
                && !known.iter().any(|(one, of)| *of == set && one.source.tree == original.source.tree)
            {
                known.push((original, set));
            }
        }
        let mut related: BTreeMap<(Digest, Digest), bool> = BTreeMap::new();
        let mut found = Self::default();
        for one in given {
            let same = files.get(&one.file).into_iter().flatten().filter(|(other, _)| counts(one, other));
            let same: Vec<_> = same.collect();
            if let Some((first, _)) = same.first() {
                let other = if first.name == one.name { String::new() } else { format!(" (there `{}`)", first.name) };
                found.photographs.push(format!("`{}`{other}", one.name));
                found.sets.extend(same.iter().map(|(_, set)| (*set).to_owned()));
                continue;
            }
            let Some(patient) = &one.patient else { continue };
            for (other, set) in patients.get(patient.as_str()).into_iter().flatten() {
                let pair = (one.source.tree, other.source.tree);
                let related = related.entry(pair).or_insert_with(|| one.source.is_of_same_data(&other.source));
                if *related && counts(one, other) {
                    found.patients.insert(format!("`{patient}`"));
                    found.sets.insert((*set).to_owned());
                }
            }
        }
        found
    }

    fn is_empty(&self) -> bool {
        self.photographs.is_empty() && self.patients.is_empty()
    }

    /// `3 of 12 photographs of FOLDS.TEST were used for training, in FOLDS.TRAIN: …`.
    fn text(&self, given: &UsedPhotographs, [one, many]: [&str; 2]) -> String {
        let sets: Vec<&str> = self.sets.iter().map(String::as_str).filter(|set| *set != given.set).collect();
        let sets = if sets.is_empty() { String::new() } else { format!(", in {}", sets.join(", ")) };
        let count = self.photographs.len() as u64;
        let patients: Vec<String> = self.patients.iter().cloned().collect();
        let of_patients = counted(patients.len() as u64, "patient", "patients");
        if count == 0 {
            let named = named(&patients);
            return format!("other photographs of {of_patients} of {} {many}{sets}: {named}", given.set);
        }
        let all = counted(given.photographs.len() as u64, "photograph", "photographs");
        let also = if patients.is_empty() {
            String::new()
        } else {
            format!("; so were others of {of_patients}: {}", named(&patients))
        };
        format!(
            "{} of {all} of {} {}{sets}: {}{also}",
            thousands(count),
            given.set,
            noun(count, one, many),
            named(&self.photographs)
        )
    }
}

/// The first names, and how many more there are.
fn named(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {} more", thousands(more as u64)) } else { String::new() };
    names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ") + &more
}

/// Photographs that show the same picture as one of other sets: for each, its name, the other, and the set.
#[derive(Default)]
struct NearOverlap<'a>(Vec<(&'a str, &'a NearPartner, &'a str)>);

impl<'a> NearOverlap<'a> {
    fn of(given: &'a [Original], sets: &'a [UsedPhotographs], pairs: &'a NearPairs) -> Self {
        let mut seen: BTreeMap<(&str, Digest), Vec<(&Original, &str)>> = BTreeMap::new();
        for set in sets {
            for one in &set.photographs {
                seen.entry((one.name.as_str(), one.file)).or_default().push((one, set.set.as_str()));
            }
        }
        let mut found = Vec::new();
        for one in given {
            // Photographs of the same file from two stages are found by their content.
            let counts = |other: &Original| one.file != other.file || one.stage == other.stage;
            let near = pairs.partners(&one.name, one.file).iter().find_map(|partner| {
                let others = seen.get(&(partner.name.as_str(), partner.file))?;
                let (_, set) = others.iter().find(|(other, _)| counts(other))?;
                Some((one.name.as_str(), partner, *set))
            });
            found.extend(near);
        }
        Self(found)
    }

    /// `2 of 10 photographs of FOLDS.TEST show the same picture as photographs used for training, in FOLDS.TRAIN: …`.
    fn text(&self, given: &UsedPhotographs, role: &str) -> String {
        let (count, all) = (self.0.len() as u64, counted(given.photographs.len() as u64, "photograph", "photographs"));
        let sets: BTreeSet<&str> = self.0.iter().map(|(.., set)| *set).collect();
        let sets = sets.into_iter().collect::<Vec<_>>().join(", ");
        let name = |(name, partner, _): &(&str, &NearPartner, &str)| {
            let how = if partner.how.is_empty() { String::new() } else { format!(", {}", partner.how) };
            format!("`{name}` (there `{}`{how})", partner.name)
        };
        let named = self.0.iter().take(NAMED).map(name).collect::<Vec<_>>().join(", ");
        let more = (self.0.len()).saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let verb = noun(count, "shows", "show");
        let others = noun(count, "a photograph", "photographs");
        format!(
            "{} of {all} of {} {verb} the same picture{} as {others} {role}, in {sets}: {named}{more}",
            thousands(count),
            given.set,
            if self.0.iter().any(|(_, partner, _)| partner.partly) { " or a part of it" } else { "" }
        )
    }
}
