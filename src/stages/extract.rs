//! `extract`: cuts photographs into patches, one item per photograph.

use crate::base::figure::{counted, noun, thousands};
use crate::data::extraction::{self, ClassTally, ExtractionSpec, PatchTally, Tallies};
use crate::data::grid::{EdgePolicy, PatchGrid};
use crate::data::image_issues;
use crate::data::item;
use crate::data::patches::SetInfo;
use crate::stage::{
    Cell, Ctx, Determinism, Implementation, Item, ItemResult, Outcome, StageError, Summary, Table, Warning, Work,
};
use crate::store::Tree;

/// The implementation of `extract`.
pub const EXTRACT: Implementation = Implementation {
    name: "extract",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Map { items, one, gather, enumeration_params: &[] },
};

fn rule(ctx: &Ctx) -> Result<ExtractionSpec, StageError> {
    let params = ctx.params;
    let size = params.count("size")?;
    let edge = match params.text("edge")? {
        "shift" => EdgePolicy::Shift,
        "pad" => EdgePolicy::Pad,
        _ => EdgePolicy::Drop,
    };
    Ok(ExtractionSpec {
        grid: PatchGrid { size, stride: params.count_or_none("stride")?.unwrap_or(size), edge },
        margin: params.count("margin")?,
        masks: params.flag("masks")?,
        min_pixels: params.count("label.min-pixels")? as u32,
        min_fraction: params.real("label.min-share")?,
    })
}

fn items(ctx: &Ctx) -> Result<Vec<Item>, StageError> {
    item::items(ctx.inputs.one("from")?, ctx.objects)
}

fn one(ctx: &Ctx, item: &Item) -> Result<ItemResult, StageError> {
    ctx.stop.check()?;
    Ok(extraction::cut(&item.name, &item.tree, &rule(ctx)?, ctx.objects)?.into())
}

fn gather(ctx: &Ctx, results: &[(Item, Tree)]) -> Result<Outcome, StageError> {
    let rule = rule(ctx)?;
    let classes = item::classes(ctx.inputs.one("from")?, ctx.objects)?;
    let mut tree = Tree::default();
    let mut total = PatchTally::new(classes.len());
    let mut scale = None;
    let tallies = Tallies::read(results.iter().map(|(_, result)| result), ctx.objects)?;
    for (item, result) in results {
        let tally = tallies.of(result)?;
        if scale.replace(tally.scale).is_some_and(|other| other != tally.scale) {
            let text = format!("`{}` has a different scale than the other photographs", item.name);
            return Err(StageError::input("mixed-scales", text).field("from"));
        }
        total.add(tally);
        tree.entries.extend(result.entries.iter().filter(|(name, _)| name.contains('/')).map(|(n, e)| (n.clone(), *e)));
    }
    let info = SetInfo {
        classes: classes.clone(),
        size: rule.grid.size as u32,
        margin: rule.margin as u32,
        masks: rule.masks,
        scale: scale.unwrap_or(1),
        resampled: false,
        min_pixels: rule.min_pixels,
        min_fraction: rule.min_fraction,
    };
    tree.insert("set.json", info.write(ctx.objects)?);
    let mut summary = summary(&classes, &total, results.len());
    let issues = image_issues::warnings(results, ctx.objects)?;
    // An inverted mask makes every patch positive and is reported already.
    if !issues.iter().any(|issue| issue.code == image_issues::COVERS_MOST) {
        summary.warnings.extend(all_positive(&classes, &total));
    }
    summary.warnings.extend(issues);
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// Warnings about classes without a negative patch.
fn all_positive(classes: &[String], total: &PatchTally) -> Vec<Warning> {
    let patches: u64 = total.health.iter().map(|[patches, _]| patches).sum();
    let warning = |(class, seen): (&String, &ClassTally)| {
        let known = patches - seen.unknown;
        let text = format!(
            "all {} have `{class}`, so it has no negatives; check its masks, or extract smaller patches",
            counted(known, "patch", "patches")
        );
        (known > 1 && seen.present[0] == known).then(|| Warning { code: "all-positive".to_owned(), text })
    };
    classes.iter().zip(&total.classes).filter_map(warning).collect()
}

fn summary(classes: &[String], total: &PatchTally, photographs: usize) -> Summary {
    let [healthy, lesion, undetermined] = total.health;
    let row = |name: &str, [patches, black]: [u64; 2]| {
        vec![Cell::Text(name.to_owned()), Cell::Int(patches as i64), Cell::Int(black as i64)]
    };
    let all = [0, 1].map(|i| healthy[i] + lesion[i] + undetermined[i]);
    let mut warnings = Vec::new();
    let mut rows = Vec::new();
    for (class, seen) in classes.iter().zip(&total.classes) {
        if seen.present[0] == 0 {
            let text = format!("no patch has `{class}`, so it can be neither learnt nor evaluated");
            warnings.push(Warning { code: "no-positives".to_owned(), text });
        }
        let mut cells = row(class, seen.present);
        cells.extend([seen.unknown, seen.photographs, seen.mask_pixels].map(|count| Cell::Int(count as i64)));
        rows.push(cells);
    }
    if all[0] == 0 {
        let text = "no patches: the photographs are smaller than a patch".to_owned();
        warnings.push(Warning { code: "no-patches".to_owned(), text });
    }
    let heads = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Summary {
        headline: format!(
            "{} of {photographs} {}, {} healthy",
            counted(all[0], "patch", "patches"),
            noun(photographs as u64, "photograph", "photographs"),
            thousands(healthy[0])
        ),
        tables: vec![
            Table {
                title: "patches".to_owned(),
                columns: heads(&["", "patches", "black"]),
                rows: vec![
                    row("all", all),
                    row("healthy", healthy),
                    row("lesion", lesion),
                    row("undetermined", undetermined),
                ],
            },
            Table {
                title: "lesions".to_owned(),
                columns: heads(&["lesion", "patches", "black", "unknown", "photographs", "mask pixels"]),
                rows,
            },
        ],
        warnings,
        ..Summary::default()
    }
}
