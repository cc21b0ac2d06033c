//! `preprocess`: changes photographs before patches are extracted, one item per photograph.
//!
//! In order: crop, shrink, fit, contrast. Photographs become PNG; masks become PNG whose values are counts of native lesion pixels, so that
//! `extract`'s `min-pixels` refers to native pixels at any scale.

use std::collections::BTreeMap;

use crate::base::figure::{counted, thousands};
use crate::data::bitmap::Rect;
use crate::data::change::{clahe, field_of_view, fit, fit_mask, local_mean, shrink, shrink_mask};
use crate::data::decode::Photograph;
use crate::data::image_issues;
use crate::data::item::{self, OpenPhotograph};
use crate::data::mask::Mask;
use crate::data::photographs::{PhotographFacts, PhotographSet};
use crate::data::png_image::{PixelFormat, png};
use crate::stage::{Ctx, Determinism, Implementation, Item, ItemResult, Outcome, StageError, Summary, Warning, Work};
use crate::store::Tree;

/// The implementation of `preprocess`.
pub const PREPROCESS: Implementation = Implementation {
    name: "preprocess",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Map { items, one, gather, enumeration_params: &[] },
};

fn items(ctx: &Ctx) -> Result<Vec<Item>, StageError> {
    item::items(ctx.inputs.one("from")?, ctx.objects)
}

fn one(ctx: &Ctx, item: &Item) -> Result<ItemResult, StageError> {
    ctx.stop.check()?;
    let by = ctx.params.count("shrink")?;
    let opened = OpenPhotograph::new(&item.name, &item.tree, ctx.objects)?;
    let mut original = Photograph::default();
    opened.photograph(&mut original)?;
    let rect = match ctx.params.text("crop")? {
        "field-of-view" => field_of_view(&original),
        _ => Rect { left: 0, top: 0, right: original.width, bottom: original.height },
    };
    if (rect.right - rect.left).min(rect.bottom - rect.top) < by {
        let text = format!("`{}` is too small to shrink by {by}", item.name);
        return Err(StageError::input("too-small", text).field("shrink"));
    }
    let side = ctx.params.count_or_none("fit")?;
    let mut changed = shrink(&original, rect, by);
    if let Some(side) = side {
        changed = fit(&changed, side);
    }
    match ctx.params.text("contrast")? {
        "clahe" => {
            clahe(&mut changed, ctx.params.count("contrast.tiles")?, ctx.params.real("contrast.clip")?);
        }
        "local-mean" => {
            let field = field_of_view(&changed);
            let radius = (field.right - field.left) as f64 / 2.0;
            local_mean(&mut changed, ctx.params.real("contrast.radius")? * radius, ctx.params.real("contrast.gain")?);
        }
        _ => {}
    }
    let mut tree = Tree::default();
    let picture = png(&changed.rgb, changed.width as u32, changed.height as u32, PixelFormat::Rgb);
    tree.insert("photograph.png", ctx.objects.put(&picture)?);
    let mut dropped = LostPixels::new();
    for (k, class) in opened.classes.iter().enumerate() {
        if let Some(mask) = opened.mask(k, &original)? {
            let shrunk = shrink_mask(&mask, rect, by);
            let lost = pixels(&mask).saturating_sub(pixels(&shrunk));
            let changed = side.map_or(shrunk.clone(), |side| fit_mask(&shrunk, side));
            let picture = counts_picture(&changed);
            tree.insert(format!("mask.{class}.png"), ctx.objects.put(&picture)?);
            let _ = (lost > 0).then(|| dropped.insert(class.clone(), lost));
        }
    }
    let issues = opened.issues();
    if !dropped.is_empty() {
        tree.insert(DROPPED, ctx.objects.put(&json(&dropped)?)?);
    }
    // Photographs of different sizes are fitted by different factors, which are no whole numbers.
    let scale = if side.is_some() { 1 } else { opened.facts.scale * by as u32 };
    let part = opened.is_part();
    let facts = PhotographFacts { scale, mask_from: 1, counted: true, mask_values: Vec::new(), part, ..opened.facts };
    tree.insert("facts.json", ctx.objects.put(&json(&facts)?)?);
    image_issues::write(&issues, &mut tree, ctx.objects)?;
    Ok(tree.into())
}

/// Native lesion pixels outside the changed photograph, per class.
type LostPixels = BTreeMap<String, u64>;

/// File with a photograph's [`LostPixels`] in its result, if there are any; not part of the changed set.
const DROPPED: &str = "dropped.json";

/// Native lesion pixels of a mask.
fn pixels(mask: &Mask) -> u64 {
    let (width, height) = (mask.bits().width(), mask.bits().height());
    u64::from(mask.native_in(Rect { left: 0, top: 0, right: width, bottom: height }))
}

/// Counts of a mask as a grey PNG, 8-bit if they fit.
fn counts_picture(mask: &Mask) -> Vec<u8> {
    let (width, height) = (mask.bits().width(), mask.bits().height());
    let counts = || (0..height).flat_map(|y| (0..width).map(move |x| mask.native(x, y)));
    if counts().all(|count| count <= 255) {
        let bytes: Vec<u8> = counts().map(|count| count as u8).collect();
        png(&bytes, width as u32, height as u32, PixelFormat::Grey)
    } else {
        let bytes: Vec<u8> = counts().flat_map(u16::to_ne_bytes).collect();
        png(&bytes, width as u32, height as u32, PixelFormat::Grey16)
    }
}

fn gather(ctx: &Ctx, results: &[(Item, Tree)]) -> Result<Outcome, StageError> {
    let mut tree = Tree::default();
    let (mut dropped, mut photographs, mut first) = (LostPixels::new(), 0_u64, "");
    for (item, result) in results {
        let kept = result.entries.iter().filter(|(file, _)| *file != DROPPED && *file != image_issues::FILE);
        tree.entries.extend(kept.map(|(file, entry)| (format!("{}/{file}", item.name), *entry)));
        let Some(bytes) = ctx.objects.read_in(result, DROPPED)? else { continue };
        let own: LostPixels = serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(error.to_string()))?;
        for (class, lost) in own {
            *dropped.entry(class).or_default() += lost;
        }
        photographs += 1;
        first = if photographs == 1 { &item.name } else { first };
    }
    let set = PhotographSet {
        classes: item::classes(ctx.inputs.one("from")?, ctx.objects)?,
        photographs: results.iter().map(|(item, _)| item.name.clone()).collect(),
        labels: item::labels(ctx.inputs.one("from")?, ctx.objects)?,
    };
    tree.insert("set.json", ctx.objects.put(&json(&set)?)?);
    let headline = format!("{} preprocessed", counted(results.len() as u64, "photograph", "photographs"));
    let mut warnings = image_issues::warnings(results, ctx.objects)?;
    if photographs > 0 {
        let lost: Vec<String> =
            dropped.iter().map(|(class, lost)| format!("{} of `{class}`", thousands(*lost))).collect();
        let text = format!(
            "lesion pixels lost at the borders: {}, in {} (first: `{first}`)",
            lost.join(", "),
            counted(photographs, "photograph", "photographs")
        );
        warnings.push(Warning { code: "dropped-lesions".to_owned(), text });
    }
    let summary = Summary { headline, warnings, ..Summary::default() };
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, StageError> {
    serde_json::to_vec_pretty(value).map_err(|error| StageError::Bug(error.to_string()))
}
