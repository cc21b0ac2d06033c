//! `relabel`: changes the rule by which patches are labelled positive.

use crate::base::figure::{counted, thousands};
use crate::data::counts::{PatchCounts, table};
use crate::data::lesion_extent;
use crate::data::patches::{Label, PatchRow, PatchSet};
use crate::data::relabel::{BelowRule, LabelBounds, LabelRule, relabel};
use crate::stage::{
    ConnectedPorts, Ctx, Determinism, Implementation, Outcome, Params, StageError, Summary, Warning, Work,
};

/// The implementation of `relabel`.
pub const RELABEL: Implementation = Implementation {
    name: "relabel",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: Some(check),
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

/// The bounds of parameters that start with `prefix`, and whether any is set.
fn bounds(params: &Params, prefix: &str) -> Result<(LabelBounds, bool), StageError> {
    let any = LabelBounds::ANY;
    let of = |name: &str| format!("{prefix}{name}");
    let count = |name: &str| -> Result<Option<u32>, StageError> {
        Ok(params.count_or_none(&of(name))?.map(|count| u32::try_from(count).unwrap_or(u32::MAX)))
    };
    let (min_pixels, min_rim_distance) = (count("min-pixels")?, count("min-rim-distance")?);
    let real = |name: &str| params.real_or_none(&of(name));
    let (min_share, lesion) = (real("min-share")?, real("min-lesion-share")?);
    let centre = real("max-centre-distance")?;
    let is_set =
        min_pixels.is_some() || min_rim_distance.is_some() || [min_share, lesion, centre].iter().any(Option::is_some);
    let bounds = LabelBounds {
        min_pixels: min_pixels.unwrap_or(any.min_pixels),
        min_fraction: min_share.unwrap_or(any.min_fraction),
        min_lesion_share: lesion.unwrap_or(any.min_lesion_share),
        max_centre_distance: centre.unwrap_or(any.max_centre_distance),
        min_rim_distance: min_rim_distance.unwrap_or(any.min_rim_distance),
    };
    Ok((bounds, is_set))
}

fn rule(params: &Params) -> Result<LabelRule, StageError> {
    let less = match params.text("less")? {
        "unknown" => BelowRule::Unknown,
        "drop" => BelowRule::Drop,
        _ => BelowRule::Absent,
    };
    let (present, _) = bounds(params, "")?;
    let (unknown, is_set) = bounds(params, "unknown.")?;
    Ok(LabelRule { present, unknown: is_set.then_some(unknown), less })
}

/// Rejects bounds of unknown labels that are stricter than those of positive ones: no label would lie between them.
fn check(params: &Params, _: &ConnectedPorts) -> Result<Vec<StageError>, StageError> {
    let rule = rule(params)?;
    let Some(name) = rule.unknown.and_then(|unknown| unknown.stricter_than(&rule.present)) else {
        return Ok(Vec::new());
    };
    let text = format!("`{name}` of `unknown` is stricter than `{name}` of positive labels");
    let hint = "patches between the two are unknown: make the bound of `unknown` the weaker one";
    Err(StageError::input("label-bounds", text).hint(hint).field(format!("unknown.{name}")))
}

/// Number of unknown labels of a set.
fn unknown(set: &PatchSet) -> u64 {
    let of = |row: &PatchRow| {
        let unknown = row.labels.iter().filter(|label| **label == Label::Unknown).count();
        unknown as u64 * u64::from(row.copies)
    };
    set.parts.iter().flat_map(|part| &part.rows).map(of).sum()
}

fn run(ctx: &Ctx) -> Result<Outcome, StageError> {
    check(ctx.params, &ConnectedPorts::default())?;
    let set = PatchSet::read(ctx.inputs.one("from")?, ctx.objects)?;
    let rule = rule(ctx.params)?;
    let of_place = rule.present.depend_on_place();
    let field = if rule.less == BelowRule::Unknown {
        Some("less")
    } else if rule.unknown.is_some() {
        Some("unknown")
    } else {
        None
    };
    if set.info.masks && (field.is_some() || of_place) {
        let text = "the patches keep their masks, from which augmentation would recompute labels by their pixels only";
        let hint = if of_place {
            "extract without `masks #true`, or use only `min-pixels` and `min-share`"
        } else {
            "extract without `masks #true`, or use `less absent` or `less drop`"
        };
        let error = StageError::input("kept-masks", text).hint(hint);
        return Err(error.field(field.unwrap_or("from")));
    }
    let needed = rule.present.need_extents() || rule.unknown.is_some_and(|unknown| unknown.need_extents());
    let extents = match ctx.inputs.optional("masks") {
        Some(photographs) if needed => Some(lesion_extent::measure(&set, photographs, ctx.objects)?),
        None if needed => {
            let text = "`min-lesion-share` and `min-rim-distance` need the masks of the photographs";
            let hint = "connect the photographs that the patches were cut from: `masks fundus`";
            return Err(StageError::input("other-masks", text).hint(hint).field("from"));
        }
        _ => None,
    };
    let (made, changed) = relabel(&set, &rule, extents.as_ref());
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
    let between = match rule.unknown {
        Some(_) => format!(", {} now unknown", thousands(unknown(&made).saturating_sub(unknown(&set)))),
        None => String::new(),
    };
    let summary = Summary {
        headline: format!(
            "{} of {} labels changed{between}{gone}",
            thousands(changed.iter().sum()),
            thousands(before.positives.iter().sum())
        ),
        tables: vec![table("patches", &set.info.classes, &[("before", &before), ("after", &after)])],
        warnings,
        ..Summary::default()
    };
    Ok(Outcome { outputs: [("out".to_owned(), made.write(ctx.objects)?)].into(), summary, target: None })
}
