//! Thresholds and calibrations of the classifier that a stage uses: what scores patches must be what they were made for.

use std::collections::BTreeSet;

use super::{DraftGraph, in_bodies};
use crate::diag::Diag;
use crate::lang::draft::{Draft, ReferenceSite};
use crate::lang::spec::Input;
use crate::lang::value::Value;

/// Mark of classifiers that choose a single class.
const EXCLUSIVE: &str = "exclusive";

/// Parameter of stages that score patches.
const TTA: &str = "tta";

impl DraftGraph<'_> {
    /// Warnings for thresholds that were tuned on scores of another classifier, and errors for classifiers that were calibrated with
    /// another test-time augmentation, or that choose a single class where each class needs scores of its own.
    pub(super) fn scorers(&self, order: &[usize]) -> Vec<Diag> {
        let mut diags = Vec::new();
        let mut same = None;
        for (stage, draft) in self.drafts.iter().enumerate() {
            if let Some((tuning, place)) = self.one_of_type(stage, "thresholds") {
                let same = same.get_or_insert_with(|| self.same(order, &vec![true; self.drafts.len()]));
                let found = self.other_thresholds(stage, tuning, place, same);
                diags.extend(found.map(|diag| in_bodies(diag, draft)));
            }
            if let Some((model, place)) = self.one_of_type(stage, "model") {
                diags.extend(self.other_calibration(stage, model, place).map(|diag| in_bodies(diag, draft)));
            }
            diags.extend(self.single_class(stage).map(|diag| in_bodies(diag, draft)));
        }
        diags
    }

    /// An error if a stage needs scores of each class by itself, and gets those of a classifier that chooses one.
    fn single_class(&self, stage: usize) -> Option<Diag> {
        let draft = &self.drafts[stage];
        let refuses = |input: &&Input| draft.signature.input(&input.port).is_some_and(|port| port.refuses(EXCLUSIVE));
        draft.signature.inputs.iter().find(|port| port.refuses(EXCLUSIVE))?;
        let mut models = self.models_of(stage);
        models.extend(self.scored_by(stage).unwrap_or_default());
        let (source, (param, case)) = models.into_iter().find_map(|at| Some((at, self.exclusive(at)?)))?;
        let spec = &draft.spec;
        let of_scores = || scores_of(draft).next();
        let input = spec.inputs.iter().find(refuses).or_else(of_scores)?;
        let at = spec.inputs.iter().position(|other| other.port == input.port)?;
        let place = draft.sites.get(at)?.first()?;
        let model = &self.drafts[source].spec;
        let message = format!(
            "`{} {}` is for scores of each class by itself, but `{}` chooses one class (`{param} {case}`)",
            spec.stage_type, spec.name, model.name
        );
        let found = Diag::error("single-label", place.span, message).also(model.span, "chooses the highest score");
        Some(found.hint("remove this stage and what uses it: the class with the highest score needs no threshold"))
    }

    /// The parameter and case by which a classifier chooses a single class.
    fn exclusive(&self, stage: usize) -> Option<&(String, String)> {
        let draft = &self.drafts[stage];
        let marked = draft.signature.outputs.iter().filter(|out| out.marks.iter().any(|mark| mark == EXCLUSIVE));
        let holds = |(param, case): &&(String, String)| matches!(draft.spec.value(param), Some(Value::Text(value)) if value == case);
        marked.filter_map(|out| out.marks_with.as_ref()).find(holds)
    }

    /// A warning if a stage's thresholds are those of another classifier.
    fn other_thresholds(&self, stage: usize, tuning: usize, place: &ReferenceSite, same: &[usize]) -> Option<Diag> {
        let ids = |of: &BTreeSet<usize>| of.iter().map(|at| same[*at]).collect::<BTreeSet<usize>>();
        let (used, tuned) = (self.scored_by(stage)?, self.scored_by(tuning)?);
        if ids(&used) == ids(&tuned) {
            return None;
        }
        let spec = &self.drafts[stage].spec;
        let message = format!(
            "`{} {}` uses scores of {}, but its thresholds were tuned on scores of {}",
            spec.stage_type,
            spec.name,
            self.names_of(&used),
            self.names_of(&tuned),
        );
        let found = Diag::warning("other-thresholds", place.span, message);
        let found = found.also(self.drafts[tuning].spec.span, "tunes the thresholds");
        Some(found.hint("tune thresholds on scores of the same classifier: each has its own scale"))
    }

    /// The classifiers whose scores a stage uses: that of its own, or those behind the predictions that it reads. [`None`] if they are not
    /// known: predictions from files, and scores of folds.
    fn scored_by(&self, stage: usize) -> Option<BTreeSet<usize>> {
        let scores: Vec<&Input> = scores_of(&self.drafts[stage]).collect();
        if scores.is_empty() {
            let models = self.models_of(stage);
            return (!models.is_empty()).then_some(models);
        }
        let mut all = BTreeSet::new();
        for from in scores.iter().flat_map(|input| &input.from) {
            let source = *self.by_name.get(from.stage.as_str())?;
            let out = self.drafts[source].signature.output(Some(&from.port))?;
            if out.ty != "predictions" {
                return None;
            }
            all.extend(self.scored_by(source)?);
        }
        Some(all)
    }

    /// The classifiers that a stage uses itself: heat maps are means of several.
    fn models_of(&self, stage: usize) -> BTreeSet<usize> {
        let draft = &self.drafts[stage];
        let takes = |input: &&Input| draft.signature.input(&input.port).is_some_and(|port| port.types == ["model"]);
        let given = draft.spec.inputs.iter().filter(takes).flat_map(|input| &input.from);
        given.filter_map(|from| self.by_name.get(from.stage.as_str()).copied()).collect()
    }

    /// An error if a stage scores patches with another augmentation than its classifier was calibrated with.
    fn other_calibration(&self, stage: usize, model: usize, place: &ReferenceSite) -> Option<Diag> {
        let (calibrated, used) = (&self.drafts[model].spec, &self.drafts[stage].spec);
        // A stage that gives a model and has this parameter is one that fits scores.
        let [Some(Value::Text(ours)), Some(Value::Text(theirs))] = [calibrated, used].map(|spec| spec.value(TTA))
        else {
            return None;
        };
        if ours == theirs {
            return None;
        }
        let message = format!(
            "`{} {}` has `tta {theirs}`, but `{}` was calibrated with `tta {ours}`",
            used.stage_type, used.name, calibrated.name
        );
        let found = Diag::error("calibration-tta", place.span, message);
        Some(found.hint(format!("set `tta {theirs}` in `{}`, or `tta {ours}` here", calibrated.name)))
    }

    /// The stage that a port for a single input of this type reads, and where it is named.
    fn one_of_type(&self, stage: usize, ty: &str) -> Option<(usize, &ReferenceSite)> {
        let source = self.input_of_type(stage, ty)?;
        let draft = &self.drafts[stage];
        let port = draft.signature.inputs.iter().find(|port| !port.many && port.types == [ty])?;
        let at = draft.spec.inputs.iter().position(|input| input.port == port.name)?;
        Some((source, draft.sites.get(at)?.first()?))
    }

    fn names_of(&self, stages: &BTreeSet<usize>) -> String {
        let names: Vec<String> = stages.iter().map(|at| format!("`{}`", self.drafts[*at].spec.name)).collect();
        names.join(" and ")
    }
}

/// The inputs of a stage that take scores.
fn scores_of<'d>(draft: &'d Draft) -> impl Iterator<Item = &'d Input> {
    let takes = |input: &&Input| {
        let port = draft.signature.input(&input.port);
        port.is_some_and(|port| port.types.iter().any(|ty| ty == "predictions"))
    };
    draft.spec.inputs.iter().filter(takes)
}
