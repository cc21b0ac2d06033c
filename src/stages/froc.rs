//! `froc`: lesions detected by the peaks of heat maps, by the number of false alarms. Peaks are in [`crate::data::heat`], hits and metrics in
//! [`crate::learn::lesion_level`], the summary in [`crate::report::froc`].

use std::collections::BTreeMap;

use crate::data::heat::ScoreMap;
use crate::data::lesions::PhotographLesions;
use crate::data::lesions::shape::LesionShapes;
use crate::data::table::Columns;
use crate::learn::lesion_level::{
    ClassDetections, MappedLesions, curve_table, detection_table, detections, froc, froc_table, lesion_table,
};
use crate::learn::maps::Maps;
use crate::learn::metrics::FrocPlace;
use crate::report::froc::summary;
use crate::stage::{Ctx, Determinism, Implementation, Named, Outcome, StageError, Work};
use crate::store::Tree;

/// The implementation.
pub const FROC: Implementation = Implementation {
    name: "froc",
    version: 1,
    revised: None,
    seeded: true,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

fn run(ctx: &Ctx<'_>) -> Result<Outcome, StageError> {
    let given = ctx.inputs.many("maps");
    let lesions = ctx.inputs.one("lesions")?;
    let folds: Vec<Maps> = given.iter().map(|named| described(ctx, named)).collect::<Result<_, _>>()?;
    let first = folds.first().ok_or_else(|| StageError::Bug("no maps".to_owned()))?;
    if let Some(other) = folds.iter().find(|other| (&other.classes, other.stride) != (&first.classes, first.stride)) {
        let of = |maps: &Maps| format!("classes {} in cells of {} px", maps.classes.join(" "), maps.stride);
        return Err(StageError::input("maps-differ", format!("the maps have {}, and {}", of(first), of(other)))
            .hint("map the photographs of all folds with the same `classes` and `stride`")
            .field("maps"));
    }
    let tolerance = match ctx.params.real_or_none("tolerance")? {
        Some(tolerance) => tolerance,
        None => f64::from(first.stride) / std::f64::consts::SQRT_2,
    };
    let (mut all, mut groups, mut seen) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    let mut patients = true;
    for ((named, maps), fold) in given.iter().zip(&folds).zip(0u32..) {
        for photograph in maps.photographs.iter().map(|map| &map.photograph) {
            ctx.stop.check()?;
            if let Some(other) = seen.insert(photograph.clone(), &named.name) {
                let text = format!("`{photograph}` is mapped by `{other}` and by `{}`", named.name);
                return Err(StageError::input("not-once", text)
                    .hint("map each photograph once, by a model that was not trained on it: `only` takes the test set")
                    .field("maps"));
            }
            let (map, found, shapes) = of_photograph(ctx, &named.tree, lesions, photograph)?;
            let key = found.patient.clone().map_or((1, photograph.clone()), |patient| (0, patient));
            patients &= key.0 == 0;
            let next = groups.len() as u32;
            let group = *groups.entry(key).or_insert(next);
            all.push(MappedLesions { photograph: photograph.clone(), place: FrocPlace { group, fold }, map, shapes });
        }
    }
    let classes = first.classes.iter().filter(|class| all.iter().any(|one| one.shapes.classes.contains(class)));
    let found: Vec<ClassDetections> = classes.map(|class| detections(&all, class, tolerance)).collect();
    if found.is_empty() {
        let text =
            format!("the maps have classes `{}`, none of which is annotated at `lesions`", first.classes.join(" "));
        return Err(StageError::input("other-classes", text)
            .hint("find the lesions of the photographs that are mapped")
            .field("lesions"));
    }
    let froc = froc(&found, tolerance, first.stride, (groups.len(), patients), folds.len() as u32, &ctx.streams);
    let bug = |error: &dyn std::fmt::Display| StageError::Bug(error.to_string());
    let mut tree = Tree::default();
    tree.insert("froc.json", ctx.objects.put(&serde_json::to_vec_pretty(&froc).map_err(|error| bug(&error))?)?);
    let tables: [(&str, Columns); 4] = [
        ("froc.parquet", froc_table(&froc)),
        ("curves.parquet", curve_table(&found)),
        ("detections.parquet", detection_table(&found)),
        ("lesions.parquet", lesion_table(&found)),
    ];
    for (name, table) in tables {
        tree.insert(name, ctx.objects.put(&table.to_parquet().map_err(|error| bug(&error))?)?);
    }
    let summary = summary(&froc, all.len() as u64);
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

fn described(ctx: &Ctx<'_>, named: &Named) -> Result<Maps, StageError> {
    let bug = |error: &dyn std::fmt::Display| StageError::Bug(format!("`{}`: {error}", named.name));
    let bytes = ctx.objects.read_in(&named.tree, "maps.json")?.ok_or_else(|| bug(&"no `maps.json`"))?;
    let maps: Maps = serde_json::from_slice(&bytes).map_err(|error| bug(&error))?;
    if maps.photographs.is_empty() {
        let text = format!("`{}` has no maps", named.name);
        return Err(StageError::input("no-photographs", text).hint("see the warnings of `heat-map`").field("maps"));
    }
    Ok(maps)
}

/// The map of a photograph, the table of its lesions, and their shapes.
fn of_photograph(
    ctx: &Ctx<'_>,
    maps: &Tree,
    lesions: &Tree,
    name: &str,
) -> Result<(ScoreMap, PhotographLesions, LesionShapes), StageError> {
    let other = |text: String| {
        let hint =
            "connect `lesions` of the photographs at `from` of `heat-map`, or of those that these were shrunk from";
        StageError::input("other-lesions", text).hint(hint).field("lesions")
    };
    let mut files = Tree::default();
    maps.under(&format!("{name}/")).for_each(|(file, entry)| files.insert(file, *entry));
    let map = ScoreMap::read(&files, ctx.objects)?;
    let read = |file: String| {
        let missing = || other(format!("`lesions` has no photograph `{name}`"));
        ctx.objects.read_in(lesions, &file)?.ok_or_else(missing)
    };
    let found = PhotographLesions::from_parquet(name, &read(format!("lesions/{name}.parquet"))?)?;
    let shapes = LesionShapes::from_geojson(name, &read(format!("outlines/{name}.geojson"))?)?;
    // Shrinking drops the rest of a division.
    let native = |side: u32, scale: u32| i64::from(side) * i64::from(scale);
    let coarse = i64::from(map.info.scale.max(shapes.scale));
    let sides = [(map.info.width, shapes.size[0]), (map.info.height, shapes.size[1])];
    let differ =
        |(mapped, own): (u32, u32)| (native(mapped, map.info.scale) - native(own, shapes.scale)).abs() >= coarse;
    if sides.into_iter().any(differ) {
        return Err(other(format!(
            "`{name}` has {} x {} px at 1/{} in the maps, and {} x {} px at 1/{} at `lesions`",
            map.info.width, map.info.height, map.info.scale, shapes.size[0], shapes.size[1], shapes.scale
        )));
    }
    Ok((map, found, shapes))
}
