//! `filter-black`: drops patches that are mostly black.

use crate::base::figure::{counted, thousands};
use crate::data::black_filter::BlackFilter;
use crate::data::counts::{PatchCounts, table};
use crate::data::patches::PatchSet;
use crate::stage::{Ctx, Determinism, Implementation, Outcome, StageError, Summary, Warning, Work};

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
    let (before, after, gone) = (PatchCounts::of(&set), PatchCounts::of(&kept), PatchCounts::of(&dropped));
    let mut warnings = Vec::new();
    if after.patches == 0 && before.patches > 0 {
        let text = format!("every patch is black with `below` {:?} and `share` {:?}", black.below, black.fraction);
        warnings.push(Warning { code: "nothing-left".into(), text });
    }
    let summary = Summary {
        headline: format!(
            "{} kept, {} black dropped ({} healthy, {} with a lesion{})",
            counted(after.patches, "patch", "patches"),
            thousands(gone.patches),
            thousands(gone.healthy),
            thousands(gone.lesion),
            if gone.undetermined > 0 { format!(", {} unknown", thousands(gone.undetermined)) } else { String::new() }
        ),
        tables: vec![table("patches", &set.info.classes, &[("before", &before), ("kept", &after), ("dropped", &gone)])],
        warnings,
        ..Summary::default()
    };
    let outputs = [("kept", &kept), ("dropped", &dropped)];
    let outputs = outputs.map(|(port, set)| Ok((port.to_owned(), set.write(ctx.objects)?)));
    Ok(Outcome { outputs: outputs.into_iter().collect::<Result<_, StageError>>()?, summary, target: None })
}
