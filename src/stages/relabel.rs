//! `relabel`: changes the rule by which patches are labelled positive.

use crate::base::figure::{counted, thousands};
use crate::data::counts::{PatchCounts, table};
use crate::data::patches::PatchSet;
use crate::data::relabel::{BelowRule, LabelRule, relabel};
use crate::stage::{Ctx, Determinism, Implementation, Outcome, StageError, Summary, Warning, Work};

/// The implementation of `relabel`.
pub const RELABEL: Implementation = Implementation {
    name: "relabel",
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
    let less = match ctx.params.text("less")? {
        "unknown" => BelowRule::Unknown,
        "drop" => BelowRule::Drop,
        _ => BelowRule::Absent,
    };
    if set.info.masks && less == BelowRule::Unknown {
        let text = "the patches keep their masks, from which augmentation would recompute unknown labels";
        return Err(StageError::input("kept-masks", text)
            .hint("extract without `masks #true`, or use `less absent` or `less drop`")
            .field("less"));
    }
    let min_pixels = u32::try_from(ctx.params.count("min-pixels")?).unwrap_or(u32::MAX);
    let rule = LabelRule { min_pixels, min_fraction: ctx.params.real("min-share")?, less };
    let (made, changed) = relabel(&set, &rule);
    let (before, after) = (PatchCounts::of(&set), PatchCounts::of(&made));
    let mut warnings = Vec::new();
    for (at, class) in set.info.classes.iter().enumerate() {
        if before.positives[at] > 0 && after.positives[at] == 0 {
            let text = format!(
                "no patch is positive for `{class}` by this rule; {} were before",
                thousands(before.positives[at])
            );
            warnings.push(Warning { code: "nothing-left".into(), text });
        }
    }
    let gone = before.patches - after.patches;
    let gone = if gone == 0 { String::new() } else { format!(", {} dropped", counted(gone, "patch", "patches")) };
    let summary = Summary {
        headline: format!(
            "{} of {} labels changed{gone}",
            thousands(changed.iter().sum()),
            thousands(before.positives.iter().sum())
        ),
        tables: vec![table("patches", &set.info.classes, &[("before", &before), ("after", &after)])],
        warnings,
        ..Summary::default()
    };
    Ok(Outcome { outputs: [("out".to_owned(), made.write(ctx.objects)?)].into(), summary, target: None })
}
