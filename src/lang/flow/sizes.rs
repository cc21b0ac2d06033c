//! Patches of another size than a stage's other patches, than those that its classifier was trained on, or than those whose
//! scores it gets.

use super::{DraftGraph, in_bodies};
use crate::base::Span;
use crate::diag::Diag;
use crate::lang::signature::InPort;

/// Classifiers behind a classifier are fewer.
const MOST_STEPS: usize = 100;

/// What a side is compared with: its length, px, the stage that cut the patches, and what they are for the message.
#[derive(Clone)]
struct PatchSide {
    side: usize,
    cut: usize,
    what: String,
}

impl DraftGraph<'_> {
    /// Errors for patches of the wrong size.
    pub(super) fn sizes(&self) -> Vec<Diag> {
        let mut diags = Vec::new();
        for (stage, draft) in self.drafts.iter().enumerate() {
            let mut first = self.trained_on(stage);
            for (port, place, side) in self.sides_of(stage) {
                let own = PatchSide { what: format!("`{port}`"), ..side };
                let first = first.get_or_insert_with(|| own.clone());
                if first.side == own.side {
                    continue;
                }
                let title = format!("`{} {}`", draft.spec.stage_type, draft.spec.name);
                let message = format!(
                    "{title} gets patches of {} px at {}, but {} has patches of {} px",
                    own.side, own.what, first.what, first.side
                );
                let mut found = Diag::error("other-size", place, message);
                for cut in [&*first, &own] {
                    let text = format!("cuts patches of {} px", cut.side);
                    found = found.also(self.drafts[cut.cut].spec.span, text);
                }
                diags.push(in_bodies(found.hint("cut both with the same `size`"), draft));
            }
        }
        diags
    }

    /// The size of the patches that the classifier of a stage was trained on.
    fn trained_on(&self, stage: usize) -> Option<PatchSide> {
        let mut model = self.input_of_type(stage, "model")?;
        let name = self.drafts[model].spec.name.clone();
        for _ in 0..MOST_STEPS {
            match self.input_of_type(model, "model") {
                Some(before) => model = before,
                None => break,
            }
        }
        let (_, _, side) = self.sides_of(model).into_iter().next()?;
        Some(PatchSide { what: format!("the training of `{name}`"), ..side })
    }

    /// The ports of a stage that take patches, where each is connected, and the size of the patches there.
    fn sides_of(&self, stage: usize) -> Vec<(&str, Span, PatchSide)> {
        let draft = &self.drafts[stage];
        let passes = |port: &str| {
            draft.signature.input(port).is_none_or(|port: &InPort| !port.excludes() && !port.informs() && !port.sides())
        };
        let mut found = Vec::new();
        for (port, reference, place, source) in self.reads(stage).filter(|(port, ..)| passes(port)) {
            let Some(out) = self.drafts[source].signature.output(Some(&reference.port)) else { continue };
            let cut = match out.ty.as_str() {
                "patches" | "views" if out.side.is_some() => Some((source, out)),
                "patches" | "views" => self.cuts(source).next(),
                // Scores of patches, joined with those of another port by their place alone.
                _ if draft.signature.input(port).is_some_and(|port| port.joins.is_some()) => self.cuts(source).next(),
                _ => continue,
            };
            let Some(cut) = cut else { continue };
            if let Some(side) = self.side(cut) {
                found.push((port, place.span, PatchSide { side, cut: cut.0, what: String::new() }));
            }
        }
        found
    }
}
