//! `augment`: adds an augmentation recipe to a patch set. No pixels are changed here; `train` applies the recipe.

use std::collections::BTreeMap;

use crate::base::figure::counted;
use crate::data::patches::PatchSet;
use crate::engine::augment::{Augmentation, RECIPE};
use crate::stage::{Cell, Ctx, Determinism, Implementation, Outcome, StageError, Summary, Table, Warning, Work};

/// The implementation.
pub const AUGMENT: Implementation = Implementation {
    name: "augment",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Whole(augment),
};

fn augment(ctx: &Ctx) -> Result<Outcome, StageError> {
    let mut tree = ctx.inputs.one("from")?.clone();
    let set = PatchSet::read(&tree, ctx.objects)?;
    let recipe = Augmentation::from_params(ctx.params)?;
    let bytes = serde_json::to_vec_pretty(&recipe).map_err(|error| StageError::Bug(error.to_string()))?;
    tree.insert(RECIPE, ctx.objects.put(&bytes)?);
    let summary = Summary {
        headline: format!("{}, augmented randomly in every epoch", counted(set.len(), "patch", "patches")),
        tables: vec![table(&recipe, set.info.masks)],
        warnings: warnings(&recipe, &set),
        ..Summary::default()
    };
    Ok(Outcome { outputs: BTreeMap::from([("out".to_owned(), tree)]), summary, target: None })
}

/// Warnings about a recipe with geometric changes that lacks masks or margin.
fn warnings(recipe: &Augmentation, set: &PatchSet) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if recipe.moves() && !set.info.masks {
        let text = "rotation and shift can move a lesion out of its patch without changing the label; extract with `masks #true` to recompute labels";
        warnings.push(Warning { code: "moved-labels".to_owned(), text: text.to_owned() });
    }
    // The corners of a rotated square extend (sqrt 2 - 1)/2 of its side beyond it.
    let corner = if recipe.rotate_degrees > 0.0 { 0.2072 * f64::from(set.info.size) } else { 0.0 };
    let wanted = (corner + recipe.shift_px).ceil() as u32;
    if recipe.moves() && set.info.margin < wanted {
        let text = format!(
            "rotation and shift reach up to {wanted} px beyond the patch, but the margin is {} px, so borders are filled in; extract with `margin {wanted}`",
            set.info.margin
        );
        warnings.push(Warning { code: "no-margin".to_owned(), text });
    }
    warnings
}

fn table(recipe: &Augmentation, masks: bool) -> Table {
    let cutmix = if masks {
        "alpha; labels are recomputed from masks"
    } else {
        "alpha; labels are mixed by area, without masks"
    };
    let row = |name: &str, value: f64, unit: &str| {
        vec![Cell::Text(name.to_owned()), Cell::Real(value), Cell::Text(unit.to_owned())]
    };
    let rows = [
        ("flip horizontal", recipe.flip_horizontal, "probability"),
        ("flip vertical", recipe.flip_vertical, "probability"),
        ("transpose", recipe.transpose, "probability"),
        ("rotate", recipe.rotate_degrees, "degrees at most"),
        ("shift", recipe.shift_px, "px at most"),
        ("brightness", recipe.brightness, "factor 1 +- x"),
        ("contrast", recipe.contrast, "factor 1 +- x"),
        ("saturation", recipe.saturation, "factor 1 +- x"),
        ("hue", recipe.hue, "of a turn, +- x"),
        ("blur", recipe.blur_probability, "probability"),
        ("mixup", recipe.mixup_alpha, "alpha; labels are mixed"),
        ("cutmix", recipe.cutmix_alpha, cutmix),
    ];
    let used = rows.into_iter().filter(|(_, value, _)| *value > 0.0);
    Table {
        title: "recipe".to_owned(),
        columns: ["change", "reach", "unit"].map(str::to_owned).to_vec(),
        rows: used.map(|(name, value, unit)| row(name, value, unit)).collect(),
    }
}
