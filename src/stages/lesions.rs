//! `lesions`: finds the lesions in the masks of photographs, one item per photograph.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::figure::{counted, thousands};
use crate::data::image_issues;
use crate::data::item::{self, OpenPhotograph};
use crate::data::lesions::{self, LesionsInfo, PhotographLesions, geojson, quantile};
use crate::data::slide_region;
use crate::data::table::{Column, Columns};
use crate::stage::{
    Cell, Ctx, Determinism, Implementation, Item, ItemResult, Outcome, StageError, Summary, Table, Work,
};
use crate::store::{Entry, Tree};

/// The implementation of `lesions`.
pub const LESIONS: Implementation = Implementation {
    name: "lesions",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Map { items, one, gather, enumeration_params: &[] },
};

/// Folder within an item with the photograph and the mask of its optic disc.
const DISC: &str = "disc/";

/// File of a result with its [`LesionAreas`], not part of the output.
const AREAS: &str = "areas.json";

/// Lesions of one photograph as far as the summary needs them.
#[derive(Debug, Serialize, Deserialize)]
struct LesionAreas {
    /// Side of one pixel in native pixels.
    scale: u32,
    /// The patient, if known.
    patient: Option<String>,
    /// Areas of the lesions of each class, native pixels; [`None`] if the class is not annotated.
    classes: Vec<Option<Vec<u32>>>,
}

impl LesionAreas {
    fn of(found: &PhotographLesions) -> Self {
        let areas = |class: usize| -> Vec<u32> {
            found.lesions.iter().filter(|lesion| lesion.class == class).map(|lesion| lesion.area).collect()
        };
        let classes = found.classes.iter().enumerate().map(|(class, (_, known))| known.then(|| areas(class)));
        Self { scale: found.scale, patient: found.patient.clone(), classes: classes.collect() }
    }
}

fn items(ctx: &Ctx) -> Result<Vec<Item>, StageError> {
    let mut items = item::items(ctx.inputs.one("from")?, ctx.objects)?;
    let Some(set) = ctx.inputs.optional("disc") else { return Ok(items) };
    let wrong = |text: String| {
        let hint = "give `disc` the same photographs with masks of the optic disc as their only class";
        StageError::input("other-discs", text).hint(hint).field("disc")
    };
    let classes = item::classes(set, ctx.objects)?;
    if classes.len() != 1 {
        return Err(wrong(format!("`disc` has classes `{}`, not one", classes.join(" "))));
    }
    let discs: BTreeMap<String, Item> =
        item::items(set, ctx.objects)?.into_iter().map(|disc| (disc.name.clone(), disc)).collect();
    let mut matched = 0;
    for item in &mut items {
        let Some(disc) = discs.get(&item.name) else { continue };
        if photograph(&item.tree) != photograph(&disc.tree) {
            return Err(wrong(format!("`{}` is another photograph at `disc` than at `from`", item.name)));
        }
        let files = disc.tree.entries.iter().map(|(file, entry)| (format!("{DISC}{file}"), *entry));
        item.tree.entries.extend(files);
        matched += 1;
    }
    if matched == 0 && !items.is_empty() {
        return Err(wrong(format!("`disc` has no photograph named like one at `from`, such as `{}`", items[0].name)));
    }
    Ok(items)
}

/// The photograph's file in an item, and the region of it that is meant, if it is a slide.
fn photograph(item: &Tree) -> Option<(Entry, Option<Entry>)> {
    item.under("photograph.").next().map(|(_, entry)| (*entry, item.get(slide_region::FILE).copied()))
}

fn one(ctx: &Ctx, item: &Item) -> Result<ItemResult, StageError> {
    ctx.stop.check()?;
    let name = &item.name;
    let mut of_disc = Tree::default();
    for (file, entry) in item.tree.under(DISC) {
        of_disc.insert(file, *entry);
    }
    let opened = OpenPhotograph::new(name, &item.tree, ctx.objects)?;
    let disc = match photograph(&of_disc) {
        Some(_) => Some(OpenPhotograph::new(name, &of_disc, ctx.objects)?),
        None => None,
    };
    let (found, outlines) = lesions::find(name, &opened, disc.as_ref())?;
    let mut tree = Tree::default();
    tree.insert(format!("lesions/{name}.parquet"), ctx.objects.put(&found.to_parquet()?)?);
    tree.insert(format!("outlines/{name}.geojson"), ctx.objects.put(&geojson::collection(&found, &outlines)?)?);
    tree.insert(AREAS, ctx.objects.put(&json(&LesionAreas::of(&found))?)?);
    let mut issues = opened.issues();
    issues.extend(disc.iter().flat_map(OpenPhotograph::issues));
    image_issues::write(&issues, &mut tree, ctx.objects)?;
    Ok(tree.into())
}

fn gather(ctx: &Ctx, results: &[(Item, Tree)]) -> Result<Outcome, StageError> {
    let classes = item::classes(ctx.inputs.one("from")?, ctx.objects)?;
    let (mut tree, mut all) = (Tree::default(), Vec::new());
    let mut scale = None;
    for (item, result) in results {
        let missing = || StageError::Bug(format!("a result without `{AREAS}`"));
        let areas = ctx.objects.read_in(result, AREAS)?.ok_or_else(missing)?;
        let areas: LesionAreas = serde_json::from_slice(&areas).map_err(|error| StageError::Bug(error.to_string()))?;
        if scale.replace(areas.scale).is_some_and(|other| other != areas.scale) {
            let text = format!("`{}` has a different scale than the other photographs", item.name);
            return Err(StageError::input("mixed-scales", text).field("from"));
        }
        all.push((item.name.as_str(), areas));
        tree.entries.extend(result.entries.iter().filter(|(name, _)| name.contains('/')).map(|(n, e)| (n.clone(), *e)));
    }
    let counts = counts(&classes, &all).to_parquet().map_err(|error| StageError::Bug(error.to_string()))?;
    tree.insert("counts.parquet", ctx.objects.put(&counts)?);
    let info = LesionsInfo { classes, scale: scale.unwrap_or(1) };
    tree.insert("lesions.json", ctx.objects.put(&json(&info)?)?);
    let mut summary = summary(&info, &all);
    summary.warnings.extend(image_issues::warnings(results, ctx.objects)?);
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// One row per photograph and class: `photograph`, `patient`, `class`, `lesions`, `area` (of all of them, native pixels); the last two are
/// null if the class is not annotated.
fn counts(classes: &[String], all: &[(&str, LesionAreas)]) -> Columns {
    let rows =
        || all.iter().flat_map(|(name, areas)| classes.iter().zip(&areas.classes).map(move |of| (name, areas, of)));
    let total = |areas: &Vec<u32>| areas.iter().map(|area| i64::from(*area)).sum();
    let mut table = Columns::default();
    table.push("photograph", Column::Text(rows().map(|(name, ..)| Some((*name).to_owned())).collect()));
    table.push("patient", Column::Text(rows().map(|(_, areas, _)| areas.patient.clone()).collect()));
    table.push("class", Column::Text(rows().map(|(.., (class, _))| Some(class.clone())).collect()));
    let lesions = rows().map(|(.., (_, areas))| areas.as_ref().map(|areas| areas.len() as u32));
    table.push("lesions", Column::Count(lesions.collect()));
    table.push("area", Column::Int(rows().map(|(.., (_, areas))| areas.as_ref().map(total)).collect()));
    table
}

fn summary(info: &LesionsInfo, all: &[(&str, LesionAreas)]) -> Summary {
    let mut rows = Vec::new();
    let mut lesions = 0;
    for (class, name) in info.classes.iter().enumerate() {
        let known = || all.iter().filter_map(|(_, areas)| areas.classes.get(class)?.as_ref());
        let unknown = all.len() - known().count();
        let with = known().filter(|areas| !areas.is_empty()).count();
        let mut areas: Vec<u32> = known().flatten().copied().collect();
        areas.sort_unstable();
        lesions += areas.len() as u64;
        let count = |count: usize| Cell::Int(count as i64);
        let mut row = vec![Cell::Text(name.clone()), count(with), count(unknown), count(areas.len())];
        let quartiles = [0.25, 0.5, 0.75].map(|at| quantile(&areas, at).map_or(Cell::Null(()), Cell::Real));
        row.extend(quartiles);
        rows.push(row);
    }
    let columns = ["lesion", "photographs", "unknown", "lesions", "area 25%", "median area", "area 75%"];
    let scale = match info.scale {
        1 => String::new(),
        scale => format!(", in masks at 1/{} of the original resolution", thousands(scale.into())),
    };
    Summary {
        headline: format!(
            "{} in {}{scale}",
            counted(lesions, "lesion", "lesions"),
            counted(all.len() as u64, "photograph", "photographs")
        ),
        tables: vec![Table { title: "lesions".to_owned(), columns: columns.map(str::to_owned).to_vec(), rows }],
        ..Summary::default()
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, StageError> {
    serde_json::to_vec(value).map_err(|error| StageError::Bug(error.to_string()))
}
