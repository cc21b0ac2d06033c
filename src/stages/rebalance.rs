//! `rebalance`: changes the proportions of lesion and healthy patches in a training set.

use crate::base::figure::{counted, thousands};
use crate::data::counts::{PatchCounts, table};
use crate::data::patches::PatchSet;
use crate::data::rebalance::{LesionSampling, RebalanceSpec, Undetermined, check, rebalance, target};
use crate::stage::{Cell, Ctx, Determinism, Implementation, Outcome, Params, StageError, Summary, Table, Work};

/// The implementation of `rebalance`.
pub const REBALANCE: Implementation = Implementation {
    name: "rebalance",
    version: 1,
    revised: None,
    seeded: true,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

fn recipe(params: &Params) -> Result<RebalanceSpec, StageError> {
    let lesions = match params.text("lesions")? {
        "keep" => LesionSampling::Keep,
        "undersample" => LesionSampling::Undersample,
        "cap" => LesionSampling::Cap(params.count("lesions.at")? as u64),
        "oversample" => LesionSampling::Oversample { at_most: params.count("lesions.at-most")? as u32 },
        other => return Err(StageError::Bug(format!("`lesions` has no case `{other}`"))),
    };
    let undetermined = match params.text("undetermined")? {
        "keep" => Undetermined::Keep,
        _ => Undetermined::Drop,
    };
    Ok(RebalanceSpec {
        lesions,
        healthy_per_lesion_patch: params.real_or_none("healthy.per-lesion-patch")?,
        undetermined,
    })
}

fn run(ctx: &Ctx) -> Result<Outcome, StageError> {
    let set = PatchSet::read(ctx.inputs.one("from")?, ctx.objects)?;
    let recipe = recipe(ctx.params)?;
    let before = PatchCounts::of(&set);
    if before.patches == 0 {
        return Err(StageError::input("no-patches", "no patches to rebalance").field("from"));
    }
    let drawn = rebalance(&set, &recipe, &ctx.streams);
    let after = PatchCounts::of(&drawn);
    let classes = &set.info.classes;
    let mut tables = vec![table("patches", classes, &[("before", &before), ("after", &after)])];
    if let Some(target) = target(recipe.lesions, &before.positives) {
        tables.push(targets(classes, target, &before, &after));
    }
    let summary = Summary {
        headline: format!(
            "{} of {}: {} with a lesion (before: {}), {} healthy (before: {})",
            counted(after.patches, "patch", "patches"),
            thousands(before.patches),
            thousands(after.lesion),
            thousands(before.lesion),
            thousands(after.healthy),
            thousands(before.healthy)
        ),
        tables,
        warnings: check(&recipe, &set.info, &before, &after),
        ..Summary::default()
    };
    Ok(Outcome { outputs: [("out".to_owned(), drawn.write(ctx.objects)?)].into(), summary, target: None })
}

/// Positives per class, and their target.
fn targets(classes: &[String], target: u64, before: &PatchCounts, after: &PatchCounts) -> Table {
    let columns = ["class", "before", "target", "after", "excess"].map(str::to_owned).to_vec();
    let rows = classes.iter().zip(before.positives.iter().zip(&after.positives)).map(|(class, (had, has))| {
        let over = has.saturating_sub(target);
        vec![
            Cell::Text(class.clone()),
            Cell::Int(*had as i64),
            if *had == 0 { Cell::Null(()) } else { Cell::Int(target as i64) },
            Cell::Int(*has as i64),
            Cell::Int(over as i64),
        ]
    });
    Table { title: "positives per class".into(), columns, rows: rows.collect() }
}
