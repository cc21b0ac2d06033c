//! `filter-black`: drops patches that are mostly black.

use super::background::outcome;
use crate::data::black_filter::BlackFilter;
use crate::data::patches::PatchSet;
use crate::stage::{Ctx, Determinism, Implementation, Outcome, StageError, Work};

/// The implementation of `filter-black`.
pub const FILTER_BLACK: Implementation = Implementation {
    name: "filter-black",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

fn run(ctx: &Ctx) -> Result<Outcome, StageError> {
    let set = PatchSet::read(ctx.inputs.one("from")?, ctx.objects)?;
    let black = BlackFilter { below: ctx.params.real("below")?, fraction: ctx.params.real("share")? };
    let (kept, dropped) = black.divide(&set);
    let rule = format!("`below` {:?} and `share` {:?}", black.below, black.fraction);
    outcome(ctx, &set, (&kept, &dropped), "black", &rule)
}
