//! Ports that need several inputs, and what these must be: predictions of different models, evaluations of all folds.

use std::collections::BTreeSet;

use super::lineage::Lineages;
use super::{DraftGraph, in_bodies};
use crate::base::figure::counted;
use crate::diag::Diag;
use crate::lang::draft::{Draft, ReferenceSite};
use crate::lang::signature::InPort;
use crate::lang::spec::Input;
use crate::lang::value::Value;

/// Parameters of a split for cross-validation, and its set that is evaluated.
const FOLDS: &str = "folds";
const FOLD: &str = "fold";
const TEST: &str = "test";

/// Parameter of stages that score patches: scores of one model with another value differ.
const TTA: &str = "tta";

/// The set of a fold: its split, the number of folds, and which of them it is.
struct TestFold {
    split: usize,
    folds: usize,
    fold: usize,
}

impl DraftGraph<'_> {
    /// Errors for ports with too few inputs or with some folds only; warnings for means of one model.
    pub(super) fn several(&self, order: &[usize], lineages: &Lineages) -> Vec<Diag> {
        let mut diags = Vec::new();
        let mut same = None;
        for (stage, draft) in self.drafts.iter().enumerate() {
            for port in draft.signature.inputs.iter().filter(|port| port.least > 1 && !draft.open) {
                let inputs = draft.spec.inputs.iter().zip(&draft.sites);
                let Some((input, sites)) = inputs.into_iter().find(|(input, _)| input.port == port.name) else {
                    continue;
                };
                if input.from.len() < port.least {
                    diags.extend(too_few(draft, port, input).map(|diag| in_bodies(diag, draft)));
                    continue;
                }
                if port.types.iter().any(|ty| ty == "predictions") {
                    let same = same.get_or_insert_with(|| self.same(order, &vec![true; self.drafts.len()]));
                    diags.extend(self.one_model(stage, input, sites, same).map(|diag| in_bodies(diag, draft)));
                }
                if draft.signature.inputs.iter().any(|port| port.refuses("resampled")) {
                    diags.extend(self.some_folds(stage, input, sites, lineages).map(|diag| in_bodies(diag, draft)));
                }
            }
        }
        diags
    }

    /// A warning if two predictions are the scores of one model.
    fn one_model(&self, stage: usize, input: &Input, sites: &[ReferenceSite], same: &[usize]) -> Option<Diag> {
        let spec = &self.drafts[stage].spec;
        let given: Vec<(usize, &ReferenceSite)> = input
            .from
            .iter()
            .zip(sites)
            .filter_map(|(from, site)| Some((*self.by_name.get(from.stage.as_str())?, site)))
            .collect();
        let scored = |source: usize| {
            let model = self.input_of_type(source, "model");
            (same[model.unwrap_or(source)], model, self.drafts[source].spec.value(TTA))
        };
        for (at, (source, site)) in given.iter().enumerate() {
            let (id, model, tta) = scored(*source);
            let twin = given[..at].iter().find(|(other, _)| {
                let (other, _, other_tta) = scored(*other);
                other == id && other_tta == tta
            });
            let Some((first, first_site)) = twin else { continue };
            let title = format!("`{} {}`", spec.stage_type, spec.name);
            let name = |at: usize| format!("`{}`", self.drafts[at].spec.name);
            let (message, hint) = match (scored(*first).1, model) {
                (Some(one), Some(two)) if one != two => (
                    format!("{title} gets predictions of {} and {}, which are the same training", name(one), name(two)),
                    "write `replicate 1` in the second one, or train it differently",
                ),
                (_, Some(model)) => (
                    format!("{title} gets several predictions of one model, {}", name(model)),
                    "average predictions of different models; `replicate 1` in a second `train` makes another one",
                ),
                _ => (
                    format!("{title} gets the same predictions several times"),
                    "average predictions of different models",
                ),
            };
            let found = Diag::warning("same-predictions", site.span, message);
            let found =
                if first_site.span == site.span { found } else { found.also(first_site.span, "the first of them") };
            return Some(found.hint(hint));
        }
        None
    }

    /// The stage that a port for a single input of this type reads.
    pub(super) fn input_of_type(&self, stage: usize, ty: &str) -> Option<usize> {
        let draft = &self.drafts[stage];
        let port = draft.signature.inputs.iter().find(|port| !port.many && port.types == [ty])?;
        let input = draft.spec.inputs.iter().find(|input| input.port == port.name)?;
        self.by_name.get(input.from.first()?.stage.as_str()).copied()
    }

    /// An error if evaluations are of the folds of one cross-validation of `data`, but not of each fold once.
    fn some_folds(&self, stage: usize, input: &Input, sites: &[ReferenceSite], lineages: &Lineages) -> Option<Diag> {
        let spec = &self.drafts[stage].spec;
        let source = |name: &str| self.by_name.get(name).copied();
        let found = input.from.iter().map(|from| self.test_fold(source(&from.stage)?, lineages));
        let found: Vec<TestFold> = found.collect::<Option<_>>()?;
        let (first, others) = found.split_first()?;
        if !others.iter().all(|other| self.of_one_division(first.split, other.split)) {
            return None;
        }
        let title = format!("`{} {}`", spec.stage_type, spec.name);
        for (at, fold) in found.iter().enumerate() {
            // The same evaluation twice is reported as such.
            let twin = found[..at]
                .iter()
                .zip(&input.from)
                .position(|(other, from)| other.fold == fold.fold && *from != input.from[at]);
            let Some(twin) = twin else { continue };
            let message = format!("{title} gets fold {} twice: its patches would have two scores", fold.fold);
            let found = Diag::error("not-once", sites[at].span, message).also(sites[twin].span, "the same fold");
            return Some(found.hint("connect one evaluation of each fold"));
        }
        // Of other patches it is not known whether those of the other folds are among them.
        let divided = self.given(first.split).next().and_then(|(.., data)| lineages.get(&data))?;
        let all = self.given(stage).next().and_then(|(.., data)| lineages.get(&data))?;
        let there: BTreeSet<usize> = found.iter().map(|fold| fold.fold).collect();
        let missing: Vec<String> =
            (1..=first.folds).filter(|fold| !there.contains(fold)).map(|fold| fold.to_string()).collect();
        if missing.is_empty() || all != divided {
            return None;
        }
        let noun = if missing.len() == 1 { "fold" } else { "folds" };
        let missing = match missing.as_slice() {
            [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
            _ => missing.concat(),
        };
        let message = format!(
            "{title} gets {} of {} folds: the patches of {noun} {missing} have no score",
            there.len(),
            first.folds
        );
        let hint = format!("connect the evaluation of {noun} {missing} too");
        Some(Diag::error("not-once", input.span, message).hint(hint))
    }

    /// The fold whose test set an evaluation reads.
    fn test_fold(&self, evaluation: usize, lineages: &Lineages) -> Option<TestFold> {
        let mut given = self.given(evaluation);
        let ((.., data), None) = (given.next()?, given.next()) else { return None };
        let mut splits = BTreeSet::new();
        for (_, sides) in lineages.get(&data)?.iter() {
            let of_folds = |(split, side): &(&usize, &&str)| **side == TEST && self.count(**split, FOLDS).is_some();
            let mut tested = sides.iter().filter(of_folds);
            let ((split, _), None) = (tested.next()?, tested.next()) else { return None };
            splits.insert(*split);
        }
        let split = splits.first().copied().filter(|_| splits.len() == 1)?;
        Some(TestFold { split, folds: self.count(split, FOLDS)?, fold: self.count(split, FOLD)? })
    }

    /// Whether two splits differ in nothing but the fold.
    fn of_one_division(&self, one: usize, other: usize) -> bool {
        let [one, other] = [one, other].map(|at| &self.drafts[at].spec);
        let params = |of: &'_ crate::lang::spec::StageSpec| -> Vec<(String, Value)> {
            let kept = of.keyed().filter(|(name, _)| *name != FOLD);
            kept.map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let inputs = one.inputs.iter().map(|input| (&input.port, &input.from));
        one.implementation == other.implementation
            && params(one) == params(other)
            && inputs.eq(other.inputs.iter().map(|input| (&input.port, &input.from)))
    }
}

/// An error about a port with too few inputs, unless one of those that are given is wrong, which was reported.
fn too_few(draft: &Draft, port: &InPort, input: &Input) -> Option<Diag> {
    let given = draft.given.iter().filter(|given| given.path == port.name);
    let written: usize = given.clone().map(|given| given.values.len()).sum();
    if written >= port.least || given.into_iter().any(|given| given.broken) {
        return None;
    }
    let (what, code) = if port.types.iter().any(|ty| ty == "predictions") {
        ("prediction", "one-prediction")
    } else {
        ("evaluation", "one-evaluation")
    };
    let title = format!("`{} {}`", draft.spec.stage_type, draft.spec.name);
    let one = counted(input.from.len() as u64, what, what);
    let message = format!("{title} gets {one} at `{}`, and needs {} or more", port.name, port.least);
    let examples: Vec<String> = (1..=port.least).map(|at| format!("STAGE-{at}")).collect();
    let hint = format!("connect several: `{} {}`", port.name, examples.join(" "));
    Some(Diag::error(code, input.span, message).hint(hint))
}
