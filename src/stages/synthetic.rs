//! `synthetic`: synthetic photographs as a photograph set, one item per photograph.

use std::collections::BTreeSet;

use crate::base::figure::noun;
use crate::data::photographs::{LabelScheme, PhotographFacts, PhotographSet, WithoutMask};
use crate::data::png_image::{PixelFormat, png};
use crate::data::synthetic::{CLASSES, FundusSpec, Laterality, fundus};
use crate::stage::{
    Cell, Ctx, Determinism, Implementation, Item, ItemResult, Outcome, StageError, Summary, Table, Work,
};
use crate::store::Tree;

/// The implementation of `synthetic`.
pub const SYNTHETIC: Implementation = Implementation {
    name: "synthetic",
    version: 1,
    revised: None,
    seeded: true,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Map { items, one, gather, enumeration_params: &["photographs"] },
};

fn recipe(ctx: &Ctx) -> Result<FundusSpec, StageError> {
    Ok(FundusSpec {
        size: ctx.params.count("size")? as u32,
        healthy: ctx.params.real("healthy")?,
        severity: ctx.params.real("severity")?,
        per_patient: ctx.params.count("photographs-per-patient")? as u64,
    })
}

fn items(ctx: &Ctx) -> Result<Vec<Item>, StageError> {
    let size = ctx.params.count("size")? as u64;
    let item = |number| Item {
        name: name_of(number),
        tree: Tree::default(),
        // Per pixel: two f32 images, vessels and masks.
        bytes_in_flight: size * size * 40,
    };
    Ok((0..ctx.params.count("photographs")? as u64).map(item).collect())
}

fn name_of(number: u64) -> String {
    format!("synthetic_{:05}", number + 1)
}

fn number_of(name: &str) -> Result<u64, StageError> {
    let digits = name.strip_prefix("synthetic_").and_then(|digits| digits.parse::<u64>().ok());
    digits
        .and_then(|number| number.checked_sub(1))
        .ok_or_else(|| StageError::Bug(format!("no synthetic photograph is called `{name}`")))
}

fn one(ctx: &Ctx, item: &Item) -> Result<ItemResult, StageError> {
    ctx.stop.check()?;
    let recipe = recipe(ctx)?;
    let made = fundus(&recipe, &ctx.streams, number_of(&item.name)?);
    let mut tree = Tree::default();
    let picture = png(&made.rgb, recipe.size, recipe.size, PixelFormat::Rgb);
    tree.insert("photograph.png", ctx.objects.put(&picture)?);
    for (class, mask) in CLASSES.iter().zip(&made.masks) {
        if mask.iter().any(|value| *value != 0) {
            let picture = png(mask, recipe.size, recipe.size, PixelFormat::Grey);
            tree.insert(format!("mask.{class}.png"), ctx.objects.put(&picture)?);
        }
    }
    let facts = PhotographFacts {
        patient: Some(format!("patient_{:05}", made.patient + 1)),
        ..PhotographFacts::released(vec![WithoutMask::Absent; CLASSES.len()])
    };
    tree.insert("facts.json", ctx.objects.put(&json(&facts)?)?);
    Ok(tree.into())
}

fn gather(ctx: &Ctx, made: &[(Item, Tree)]) -> Result<Outcome, StageError> {
    let recipe = recipe(ctx)?;
    let mut tree = Tree::default();
    let mut with = [0_i64; CLASSES.len()];
    let (mut healthy, mut patients, mut left) = (0_i64, BTreeSet::new(), 0_i64);
    for (item, files) in made {
        for (name, entry) in &files.entries {
            tree.insert(format!("{}/{name}", item.name), *entry);
        }
        let has = CLASSES.map(|class| files.get(&format!("mask.{class}.png")).is_some());
        with.iter_mut().zip(has).for_each(|(count, has)| *count += i64::from(has));
        healthy += i64::from(!has.contains(&true));
        let number = number_of(&item.name)?;
        patients.insert(number / recipe.per_patient);
        left += i64::from(Laterality::of(number % recipe.per_patient) == Laterality::Left);
    }
    let set = PhotographSet {
        classes: CLASSES.map(str::to_owned).to_vec(),
        photographs: made.iter().map(|(item, _)| item.name.clone()).collect(),
        labels: LabelScheme::MultiLabel,
    };
    tree.insert("set.json", ctx.objects.put(&json(&set)?)?);

    let total = made.len() as i64;
    let mut rows = vec![vec![Cell::Text("without a lesion".into()), Cell::Int(healthy)]];
    rows.extend(
        CLASSES.iter().zip(with).map(|(class, count)| vec![Cell::Text(format!("with {class}")), Cell::Int(count)]),
    );
    rows.push(vec![Cell::Text("right eyes".into()), Cell::Int(total - left)]);
    rows.push(vec![Cell::Text("left eyes".into()), Cell::Int(left)]);
    let summary = Summary {
        headline: format!(
            "{total} synthetic {} of {} {}, {} x {} px, {healthy} without a lesion",
            noun(total as u64, "photograph", "photographs"),
            patients.len(),
            noun(patients.len() as u64, "patient", "patients"),
            recipe.size,
            recipe.size
        ),
        tables: vec![Table {
            title: "synthetic photographs".into(),
            columns: vec![String::new(), "photographs".into()],
            rows,
        }],
        warnings: Vec::new(),
        ..Summary::default()
    };
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, StageError> {
    serde_json::to_vec_pretty(value).map_err(|error| StageError::Bug(error.to_string()))
}
