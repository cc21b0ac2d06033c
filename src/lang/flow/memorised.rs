//! Labels that are checked by the scores of a model that was trained on them.

use super::lineage::{Lineages, Model, meet};
use super::{DraftGraph, in_bodies};
use crate::diag::Diag;
use crate::lang::draft::ReferenceSite;

impl DraftGraph<'_> {
    /// A warning if one of `models` was trained on the patches of `data`, at a port for patches that are unseen.
    pub(super) fn memorised(
        &self,
        stage: usize,
        place: &ReferenceSite,
        data: (usize, &str),
        models: &[Model],
        lineages: &Lineages,
    ) -> Option<Diag> {
        let given = lineages.get(&data)?;
        let has_seen = |(at, port, _, seen): &&Model| {
            let seen = lineages.get(seen);
            let shared = seen.is_some_and(|seen| seen.iter().any(|seen| given.iter().any(|one| meet(seen, one))));
            self.fits(*at, port) && shared
        };
        let (at, port, fitted, _) = models.iter().find(has_seen)?;
        let (own, model) = (&self.drafts[stage].spec, &self.drafts[*at].spec);
        let message = format!(
            "`{} {}` gets patches that `{} {}` is trained on: labels that it has memorised look right",
            own.stage_type, own.name, model.stage_type, model.name
        );
        let found = Diag::warning("memorised-labels", place.span, message);
        let found = found.also(fitted.span, format!("trained here, at `{port}`"));
        let hint = "use scores by models that were not trained on these patches: those of `pool`, or of the test set";
        Some(in_bodies(found.hint(hint), &self.drafts[stage]))
    }
}
