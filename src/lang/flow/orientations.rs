//! Scores and thresholds of different test-time augmentation.

use std::collections::BTreeSet;

use super::DraftGraph;
use crate::diag::Diag;
use crate::lang::draft::ReferenceSite;
use crate::lang::value::Value;

/// The parameter.
const TTA: &str = "tta";

impl DraftGraph<'_> {
    /// Warnings for thresholds that were tuned on scores of another augmentation, and for means of scores of different ones.
    pub(super) fn orientations(&self) -> Vec<Diag> {
        let mut diags = Vec::new();
        for (stage, draft) in self.drafts.iter().enumerate() {
            let title = format!("`{} {}`", draft.spec.stage_type, draft.spec.name);
            let scores: Vec<(usize, &ReferenceSite)> = self.read(stage, "predictions").collect();
            let of_scores = self.of_all(&scores);
            let thresholds: Vec<(usize, &ReferenceSite)> = self.read(stage, "thresholds").collect();
            let own = if scores.is_empty() { self.own(stage) } else { of_scores.clone() };
            for (source, place) in &thresholds {
                let tuned = self.augmentation(*source);
                if let (Some(used), Some(tuned)) = (one(&own), one(&tuned))
                    && used != tuned
                {
                    let message =
                        format!("{title} uses thresholds tuned with `tta {tuned}` on scores with `tta {used}`");
                    let found = Diag::warning("tta-differs", place.span, message);
                    let hint = "set the same `tta` wherever these patches are scored";
                    diags.push(super::in_bodies(found.hint(hint), draft));
                }
            }
            if let [_, .., (_, place)] = scores.as_slice()
                && of_scores.len() > 1
            {
                let kinds: Vec<String> = of_scores.iter().map(|kind| format!("`tta {kind}`")).collect();
                let message = format!("{title} gets scores with {}", kinds.join(" and "));
                let found = Diag::warning("tta-differs", place.span, message);
                let hint = "set the same `tta` wherever these patches are scored";
                diags.push(super::in_bodies(found.hint(hint), draft));
            }
        }
        diags
    }

    /// The stages with an output of this type that a stage reads.
    fn read<'a>(&'a self, stage: usize, ty: &'a str) -> impl Iterator<Item = (usize, &'a ReferenceSite)> {
        self.contents(stage).filter_map(move |(reference, place, source)| {
            let out = self.drafts[source].signature.output(Some(&reference.port))?;
            (out.ty == ty).then_some((source, place))
        })
    }

    /// The value of its own parameter.
    fn own(&self, stage: usize) -> BTreeSet<String> {
        match self.drafts[stage].spec.value(TTA) {
            Some(Value::Text(kind)) => BTreeSet::from([kind.clone()]),
            _ => BTreeSet::new(),
        }
    }

    /// The augmentations of the scores that a stage gives, or that its thresholds were tuned on.
    fn augmentation(&self, stage: usize) -> BTreeSet<String> {
        let scores: Vec<(usize, &ReferenceSite)> = self.read(stage, "predictions").collect();
        if scores.is_empty() { self.own(stage) } else { self.of_all(&scores) }
    }

    fn of_all(&self, scores: &[(usize, &ReferenceSite)]) -> BTreeSet<String> {
        scores.iter().flat_map(|(source, _)| self.augmentation(*source)).collect()
    }
}

fn one(kinds: &BTreeSet<String>) -> Option<&String> {
    kinds.first().filter(|_| kinds.len() == 1)
}
