//! `suspects`: labels ranked by the loss of scores, with pictures of the highest. The ranking is in [`crate::learn::evaluation`], pictures
//! in [`crate::data::patch_picture`], the summary in [`crate::report::suspects`].

use std::collections::{BTreeMap, BTreeSet};

use super::given_scores::given_scores;
use crate::data::decode::Photograph;
use crate::data::item::{self, Annotation, OpenPhotograph};
use crate::data::patch_picture::{PictureBand, of_photograph, of_shard, picture_sheet};
use crate::data::patches::{Part, PatchSet, Shard};
use crate::learn::evaluation::{PicturedSuspect, ScoredSet, Suspect, Suspects, suspect_table, suspects};
use crate::report::suspects::{band_title, caption, summary};
use crate::stage::{Ctx, Determinism, Implementation, Item, Outcome, StageError, Warning, Work};
use crate::store::Tree;

/// The implementation.
pub const SUSPECTS: Implementation = Implementation {
    name: "suspects",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

/// Pictures in a row of the sheet.
const ACROSS: usize = 8;

fn run(ctx: &Ctx<'_>) -> Result<Outcome, StageError> {
    let set = PatchSet::read(ctx.inputs.one("data")?, ctx.objects)?;
    let given = given_scores(ctx, &set)?;
    let top = ctx.params.count("top")? as u64;
    let all = suspects(&given.judged);
    let shown: Vec<Suspect> = all.iter().filter(|suspect| suspect.rank <= top).copied().collect();
    let (pictures, outlined) = pictures(ctx, &given.judged, &shown)?;
    let facts: Vec<_> = given.judged.rows().collect();
    let pictured = shown.iter().map(|suspect| {
        let (part, row) = facts[suspect.row];
        PicturedSuspect {
            suspect: *suspect,
            photograph: part.photograph.clone(),
            x: row.x,
            y: row.y,
            mask_pixels: row.mask_pixels[suspect.class],
            file: file(&set, suspect),
        }
    });
    let found = Suspects { classes: set.info.classes.clone(), outlined, pictured: pictured.collect() };
    let bug = |error: &dyn std::fmt::Display| StageError::Bug(error.to_string());
    let mut tree = Tree::default();
    let picture = |suspect: &Suspect| (suspect.rank <= top).then(|| file(&set, suspect));
    let table = suspect_table(&given.judged, &all, &picture).to_parquet().map_err(|error| bug(&error))?;
    tree.insert("suspects.parquet", ctx.objects.put(&table)?);
    let json = serde_json::to_vec_pretty(&found).map_err(|error| bug(&error))?;
    tree.insert("suspects.json", ctx.objects.put(&json)?);
    if let Some(sheet) = picture_sheet(&bands(&found, &pictures), ACROSS).map_err(|error| bug(&error))? {
        tree.insert("sheet.png", ctx.objects.put(&sheet.png())?);
    }
    for (suspect, png) in found.pictured.iter().zip(&pictures) {
        tree.insert(suspect.file.clone(), ctx.objects.put(png)?);
    }
    let mut summary = summary(&given.judged, &all);
    if given.diagnosis {
        let text = "the scores are of patches that the model may have been trained on: labels that it has memorised look right";
        summary.warnings.push(Warning { code: "memorised-labels".to_owned(), text: text.to_owned() });
    }
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// File of a picture. The number of the class separates those whose names differ only in characters that file names cannot have.
fn file(set: &PatchSet, suspect: &Suspect) -> String {
    let name = &set.info.classes[suspect.class];
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("pictures/{}-{plain}/{}-{:03}.png", suspect.class + 1, suspect.kind.name(), suspect.rank)
}

/// A row of the sheet for each class and kind.
fn bands(found: &Suspects, pictures: &[Vec<u8>]) -> Vec<PictureBand> {
    let all: Vec<(&PicturedSuspect, &Vec<u8>)> = found.pictured.iter().zip(pictures).collect();
    let same = |a: &(&PicturedSuspect, &Vec<u8>), b: &(&PicturedSuspect, &Vec<u8>)| {
        (a.0.suspect.class, a.0.suspect.kind) == (b.0.suspect.class, b.0.suspect.kind)
    };
    let band = |of: &[(&PicturedSuspect, &Vec<u8>)]| {
        let suspect = of[0].0.suspect;
        PictureBand {
            title: band_title(&found.classes[suspect.class], suspect.kind),
            class: suspect.class,
            pictures: of.iter().map(|(suspect, png)| ((*png).clone(), caption(suspect))).collect(),
        }
    };
    all.chunk_by(same).map(band).collect()
}

/// Pictures of suspects as PNG, in their order, and whether masks are outlined: from the photographs, if they are connected, or from the
/// patches.
fn pictures(ctx: &Ctx<'_>, judged: &ScoredSet<'_>, shown: &[Suspect]) -> Result<(Vec<Vec<u8>>, bool), StageError> {
    let facts: Vec<_> = judged.rows().collect();
    let mut by_photograph: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, suspect) in shown.iter().enumerate() {
        by_photograph.entry(&facts[suspect.row].0.photograph).or_default().push(at);
    }
    let set = judged.set;
    let photographs = match ctx.inputs.optional("masks") {
        Some(tree) => Some(of_set(set, item::items(tree, ctx.objects)?, &by_photograph)?),
        None => None,
    };
    let mut pictures = vec![Vec::new(); shown.len()];
    let mut photograph = Photograph::default();
    for (name, places) in &by_photograph {
        ctx.stop.check()?;
        let part = facts[shown[places[0]].row].0;
        let Some(items) = &photographs else {
            let shard = Shard::open(part, &set.info, ctx.objects)?;
            for &at in places {
                let row = facts[shown[at].row].1;
                pictures[at] = of_shard(&shard, &set.info, row.index, shown[at].class).png();
            }
            continue;
        };
        let opened = OpenPhotograph::new(name, &items[*name].tree, ctx.objects)?;
        if opened.photograph(&mut photograph)? != part.digest || opened.facts.scale != set.info.scale {
            return Err(other(format!("`{name}` is another photograph at `masks` than that of the patches")));
        }
        let classes: BTreeSet<usize> = places.iter().map(|&at| shown[at].class).collect();
        let mut masks: BTreeMap<usize, Annotation> = BTreeMap::new();
        for class in classes {
            let own = opened.classes.iter().position(|name| *name == set.info.classes[class]);
            if let Some(own) = own {
                masks.insert(class, opened.annotation(own, &photograph)?);
            }
        }
        for &at in places {
            let (row, class) = (facts[shown[at].row].1, shown[at].class);
            let corner = (row.x as usize, row.y as usize);
            let mask = masks.get(&class).and_then(Annotation::mask);
            pictures[at] = of_photograph(&photograph, mask, corner, set.info.size as usize, class).png();
        }
    }
    Ok((pictures, photographs.is_some() || set.info.masks))
}

/// The photographs of the suspects, by name.
fn of_set(
    set: &PatchSet,
    items: Vec<Item>,
    wanted: &BTreeMap<&str, Vec<usize>>,
) -> Result<BTreeMap<String, Item>, StageError> {
    let found: BTreeMap<String, Item> = items.into_iter().map(|item| (item.name.clone(), item)).collect();
    let missing = set
        .parts
        .iter()
        .find(|part: &&Part| wanted.contains_key(part.photograph.as_str()) && !found.contains_key(&part.photograph));
    match missing {
        Some(part) => Err(other(format!("`masks` has no photograph `{}`", part.photograph))),
        None => Ok(found),
    }
}

fn other(text: String) -> StageError {
    let hint = "connect the photographs that the patches were cut from: those at `from` of `extract`";
    StageError::input("other-masks", text).hint(hint).field("masks")
}
