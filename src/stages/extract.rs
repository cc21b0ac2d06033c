//! `extract`: cuts photographs into patches, on a grid or around lesions, one item per photograph.

use crate::base::figure::{counted, noun, thousands};
use crate::data::extraction::{self, ClassTally, ExtractionSpec, ImageLabels, LESIONS, PLACED, PatchTally, Tallies};
use crate::data::grid::{EdgePolicy, PatchGrid};
use crate::data::image_issues;
use crate::data::item::{self, OpenPhotograph};
use crate::data::lesion_patches::{LesionPlacement, PlacementCounts};
use crate::data::patches::SetInfo;
use crate::data::photographs::WithoutMask;
use crate::lang::value::Value;
use crate::stage::{
    Cell, ConnectedPorts, Ctx, Determinism, Implementation, Item, ItemResult, Outcome, Params, StageError, Summary,
    Table, Warning, Work,
};
use crate::store::{Objects, Tree};

/// The implementation of `extract`.
pub const EXTRACT: Implementation = Implementation {
    name: "extract",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: Some(check),
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
        around: placement(params)?,
        grid: PatchGrid { size, stride: params.count_or_none("stride")?.unwrap_or(size), edge },
        margin: params.count("margin")?,
        masks: params.flag("masks")?,
        min_pixels: params.count("label.min-pixels")? as u32,
        min_fraction: params.real("label.min-share")?,
        image_labels: match params.get("label.photograph") {
            Value::Text(which) if which == "every" => ImageLabels::Every,
            _ => ImageLabels::Covering,
        },
    })
}

/// How patches are placed around lesions; [`None`] for the grid.
fn placement(params: &Params) -> Result<Option<LesionPlacement>, StageError> {
    if !matches!(params.get("around"), Value::Text(around) if around == "lesions") {
        return Ok(None);
    }
    Ok(Some(LesionPlacement {
        per_lesion: params.count("around.per-lesion")?,
        jitter: params.real("around.jitter")?,
        merge: params.real("around.merge")?,
        healthy_per_lesion_patch: params.real("around.healthy-per-lesion-patch")?,
        healthy_per_photograph: params.count("around.healthy-per-photograph")?,
        keep_out: params.count("around.keep-out")?,
        seed: params.count("around.seed")? as u64,
    }))
}

/// Rejects parameters of the grid if there is none.
fn check(params: &Params, _: &ConnectedPorts) -> Result<Vec<StageError>, StageError> {
    if placement(params)?.is_none() {
        return Ok(Vec::new());
    }
    let drops = matches!(params.get("edge"), Value::Text(edge) if edge == "drop");
    let of_grid = if params.count_or_none("stride")?.is_some() { Some("stride") } else { (!drops).then_some("edge") };
    let Some(name) = of_grid else { return Ok(Vec::new()) };
    let text = format!("`{name}` is a parameter of the grid, but patches are placed around lesions");
    let hint = format!("remove `{name}`: patches around lesions are moved to lie within the photograph");
    Err(StageError::input("around-lesions", text).hint(hint).field(name))
}

fn items(ctx: &Ctx) -> Result<Vec<Item>, StageError> {
    let mut items = item::items(ctx.inputs.one("from")?, ctx.objects)?;
    let Some(lesions) = ctx.inputs.optional("lesions") else { return Ok(items) };
    if placement(ctx.params)?.is_none() {
        let text = "patches are cut on a grid, which does not depend on `lesions`";
        let hint = "add `around lesions`, or remove `lesions`";
        return Err(StageError::input("around-lesions", text).hint(hint).field("lesions"));
    }
    for item in &mut items {
        let missing = || {
            let text = format!("the set at `lesions` has no photograph `{}`", item.name);
            let hint = "find lesions in the photographs that are cut";
            StageError::input("other-lesions", text).hint(hint).field("lesions")
        };
        let entry = *lesions.get(&format!("lesions/{}.parquet", item.name)).ok_or_else(missing)?;
        item.tree.insert(LESIONS, entry);
    }
    Ok(items)
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
        resampled: rule.around.is_some(),
        min_pixels: rule.min_pixels,
        min_fraction: rule.min_fraction,
        labels: item::labels(ctx.inputs.one("from")?, ctx.objects)?,
    };
    tree.insert("set.json", info.write(ctx.objects)?);
    let mut summary = summary(&info, &total, results.len());
    summary.warnings.extend(without_place(results, &rule, &total, ctx.objects)?);
    if rule.around.is_some() {
        placed(results, &mut summary, ctx)?;
    }
    let issues = image_issues::warnings(results, ctx.objects)?;
    // An inverted mask makes every patch positive and is reported already.
    if !issues.iter().any(|issue| issue.code == image_issues::COVERS_MOST) {
        summary.warnings.extend(all_positive(&classes, &total));
    }
    summary.warnings.extend(issues);
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// Warning if lesions are known of photographs only, and no patch has them.
fn without_place(
    results: &[(Item, Tree)],
    rule: &ExtractionSpec,
    total: &PatchTally,
    objects: &Objects,
) -> Result<Option<Warning>, StageError> {
    let is_absent = |class: usize| total.classes[class].present[0] == 0;
    if rule.image_labels == ImageLabels::Every || !(0..total.classes.len()).any(is_absent) {
        return Ok(None);
    }
    let mut photographs = 0;
    for (item, _) in results {
        let facts = OpenPhotograph::new(&item.name, &item.tree, objects)?.facts;
        let of_photograph = facts.without_mask.iter().enumerate();
        let lost = |(class, label): (usize, &WithoutMask)| *label == WithoutMask::Present && is_absent(class);
        photographs += u64::from(of_photograph.into_iter().any(lost));
    }
    let text = format!(
        "labels of {} are known without a place, and no patch covers its photograph, so they are unknown",
        counted(photographs, "photograph", "photographs")
    );
    Ok((photographs > 0).then(|| Warning { code: "labels-without-place".to_owned(), text }))
}

/// Adds how patches were placed around lesions to the summary.
fn placed(results: &[(Item, Tree)], summary: &mut Summary, ctx: &Ctx) -> Result<(), StageError> {
    let mut total = PlacementCounts::default();
    for (_, result) in results {
        let missing = || StageError::Bug(format!("a result without `{PLACED}`"));
        let bytes = ctx.objects.read_in(result, PLACED)?.ok_or_else(missing)?;
        total.add(&serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(error.to_string()))?);
    }
    let row = |name: &str, count: u64| vec![Cell::Text(name.to_owned()), Cell::Int(count as i64)];
    summary.tables.push(Table {
        title: "placement".to_owned(),
        columns: ["", "count"].map(str::to_owned).to_vec(),
        rows: vec![
            row("lesions", total.lesions),
            row("centres", total.centres),
            row("patches around them", total.around),
            row("patches away from them", total.healthy),
        ],
    });
    if total.healthy < total.healthy_wanted {
        let text = format!(
            "only {} of {} found away from lesions",
            thousands(total.healthy),
            counted(total.healthy_wanted, "healthy patch", "healthy patches")
        );
        summary.warnings.push(Warning { code: "few-healthy".to_owned(), text });
    }
    Ok(())
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

fn summary(info: &SetInfo, total: &PatchTally, photographs: usize) -> Summary {
    let classes = &info.classes;
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
            "{} of {photographs} {}{}",
            counted(all[0], "patch", "patches"),
            noun(photographs as u64, "photograph", "photographs"),
            // With one class each, no patch is without any.
            if info.labels.is_multi_label() { format!(", {} healthy", thousands(healthy[0])) } else { String::new() }
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
