//! `preprocess`: photographs changed before patches are cut, one item a photograph.
//!
//! In order: crop, shrink, contrast. Photographs become PNG; masks become PNG whose values say how many pixels of the release
//! are lesion there, so that `extract`'s `min-pixels` counts pixels as released at any scale.

use crate::data::bitmap::Rect;
use crate::data::change::{clahe, field_of_view, local_mean, shrink, shrink_mask};
use crate::data::counts::counted;
use crate::data::decode::Photograph;
use crate::data::item::{self, Opened};
use crate::data::mask::Mask;
use crate::data::photographs::{PhotographFacts, PhotographSet};
use crate::data::picture::{Samples, png};
use crate::stage::{Ctx, Determinism, Implementation, Item, Outcome, StageError, Summary, Work};
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
    work: Work::Map { items, one, gather, listing: &[] },
};

fn items(ctx: &Ctx) -> Result<Vec<Item>, StageError> {
    item::items(ctx.inputs.one("from")?, ctx.objects)
}

fn one(ctx: &Ctx, item: &Item) -> Result<Tree, StageError> {
    ctx.stop.check()?;
    let by = ctx.params.count("shrink")?;
    let opened = Opened::new(&item.name, &item.tree, ctx.objects)?;
    let mut original = Photograph::default();
    opened.photograph(&mut original)?;
    let rect = match ctx.params.text("crop")? {
        "field-of-view" => field_of_view(&original),
        _ => Rect { left: 0, top: 0, right: original.width, bottom: original.height },
    };
    if (rect.right - rect.left).min(rect.bottom - rect.top) < by {
        let text = format!("`{}` is too small to be divided by {by}", item.name);
        return Err(StageError::input("too-small", text).field("shrink"));
    }
    let mut changed = shrink(&original, rect, by);
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
    let picture = png(&changed.rgb, changed.width as u32, changed.height as u32, Samples::Rgb);
    tree.insert("photograph.png", ctx.objects.put(&picture)?);
    for (k, class) in opened.classes.iter().enumerate() {
        if let Some(mask) = opened.mask(k, &original)? {
            let picture = counts_picture(&shrink_mask(&mask, rect, by));
            tree.insert(format!("mask.{class}.png"), ctx.objects.put(&picture)?);
        }
    }
    let facts = PhotographFacts { scale: opened.facts.scale * by as u32, mask_from: 1, counted: true, ..opened.facts };
    tree.insert("facts.json", ctx.objects.put(&json(&facts)?)?);
    Ok(tree)
}

/// The counts of a mask as a grey picture, of 8 bits where they fit.
fn counts_picture(mask: &Mask) -> Vec<u8> {
    let (width, height) = (mask.bits().width(), mask.bits().height());
    let counts = || (0..height).flat_map(|y| (0..width).map(move |x| mask.native(x, y)));
    if counts().all(|count| count <= 255) {
        let bytes: Vec<u8> = counts().map(|count| count as u8).collect();
        png(&bytes, width as u32, height as u32, Samples::Grey)
    } else {
        let bytes: Vec<u8> = counts().flat_map(u16::to_ne_bytes).collect();
        png(&bytes, width as u32, height as u32, Samples::Grey16)
    }
}

fn gather(ctx: &Ctx, results: &[(Item, Tree)]) -> Result<Outcome, StageError> {
    let mut tree = Tree::default();
    for (item, result) in results {
        tree.entries.extend(result.entries.iter().map(|(file, entry)| (format!("{}/{file}", item.name), *entry)));
    }
    let set = PhotographSet {
        classes: item::classes(ctx.inputs.one("from")?, ctx.objects)?,
        photographs: results.iter().map(|(item, _)| item.name.clone()).collect(),
    };
    tree.insert("set.json", ctx.objects.put(&json(&set)?)?);
    let headline = format!("{} changed", counted(results.len() as u64, "photograph"));
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary: Summary { headline, ..Summary::default() } })
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, StageError> {
    serde_json::to_vec_pretty(value).map_err(|error| StageError::Bug(error.to_string()))
}
