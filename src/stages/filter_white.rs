//! `filter-white`: drops patches that are mostly white.

use super::background::outcome;
use crate::data::patches::PatchSet;
use crate::data::white_filter::WhiteFilter;
use crate::stage::{Ctx, Determinism, Implementation, Outcome, StageError, Work};

/// The implementation of `filter-white`.
pub const FILTER_WHITE: Implementation = Implementation {
    name: "filter-white",
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
    let white = WhiteFilter { from: ctx.params.real("above")?, fraction: ctx.params.real("share")? };
    let (kept, dropped) = white.divide(&set);
    let rule = format!("`above` {:?} and `share` {:?}", white.from, white.fraction);
    outcome(ctx, &set, (&kept, &dropped), "white", &rule)
}
