//! `heat-map`: maps of a classifier's scores, or of the mean of several, over photographs, one item per photograph. Cells and overlays are in
//! [`crate::data::heat`], scores and metrics in [`crate::learn::maps`], the summary in [`crate::report::maps`].

use std::collections::{BTreeMap, BTreeSet};

use super::inference::{self, EMBEDDINGS, narrowed};
use crate::data::black_filter::BlackFilter;
use crate::data::decode::Photograph;
use crate::data::embeddings::{Control, JoinedEmbeddings, of_photographs};
use crate::data::heat::{CellGrid, MapInfo, OverlayStyle, ScoreMap, class_picture, overlay, visible};
use crate::data::image_issues;
use crate::data::item::{self, Annotation, OpenPhotograph};
use crate::data::mask::Mask;
use crate::data::patches::{Label, photographs};
use crate::data::table::{Column, Columns};
use crate::engine::gpu::is_approximate;
use crate::lang::value::Value;
use crate::learn::evaluation::HALF;
use crate::learn::maps::{CellDecision, CellMetrics, MapMetrics, Maps, cell_metrics, held, release, scores};
use crate::learn::model::{Classifier, DESCRIPTION, ModelInfo, Scoring, WEIGHTS};
use crate::learn::model_inputs::{assigned, control_warning, give, read_given};
use crate::learn::tuning::Thresholds;
use crate::report::maps::summary;
use crate::stage::{
    ConnectedPorts, Ctx, Determinism, Implementation, Inputs, Item, ItemResult, Narrow, Outcome, Params, ReadPart,
    StageError, Tolerance, Warning, Work, combined_target,
};
use crate::store::{Objects, Tree};

/// The implementation.
pub const HEAT_MAP: Implementation = Implementation {
    name: "heat-map",
    version: 2,
    revised: None,
    seeded: false,
    determinism: Determinism::PathExact {
        path: inference::target,
        approximate: is_approximate,
        tolerance: Tolerance { metrics: 0.002, exempt: &[] },
    },
    check: Some(check),
    foresee: Some(inference::foresee_device),
    narrow: Some(Narrow { upstream: EMBEDDINGS, read: read_by_maps }),
    work: Work::Map { items, one, gather, enumeration_params: &[] },
};

/// Files of a model that an item needs, below `model/`.
pub const MODEL: [&str; 2] = [DESCRIPTION, WEIGHTS];
/// File with the scores of a photograph's patches, within its result.
pub const PATCHES: &str = "patches.parquet";
/// File with the tuned thresholds of a model's classes, within an item.
const THRESHOLDS: &str = "thresholds.json";

fn check(params: &Params, _: &ConnectedPorts) -> Result<Vec<StageError>, StageError> {
    let mut names = inputs_named(params);
    names.sort();
    if let Some([name, _]) = names.array_windows().find(|[one, next]| one == next) {
        let text = format!("`as` has the name `{name}` twice");
        return Err(StageError::input("input-name", text).hint("give each input embeddings once").field("as"));
    }
    Ok(inference::doubts(params))
}

/// Names of the network's inputs that the embeddings are for, in their order.
fn inputs_named(params: &Params) -> Vec<String> {
    params.list("as").iter().map(Value::to_string).collect()
}

/// Of the embeddings, maps read those of the mapped photographs that the model has inputs for; of `only`, none.
fn read_by_maps(params: &Params, inputs: &Inputs, objects: &Objects) -> Result<Vec<ReadPart>, StageError> {
    let mut parts = narrowed(inputs, &["only"], &BTreeSet::new());
    let given = inputs.many("embeddings");
    // A mistake is reported when the items are listed.
    let Ok(info) = models(inputs, objects) else { return Ok(parts) };
    let Ok(places) = assigned(&info, &inputs_named(params), given.len()) else { return Ok(parts) };
    let only: Option<BTreeSet<&str>> = inputs.optional("only").map(|tree| photographs(tree).collect());
    let mapped: BTreeSet<String> = item::names(inputs.one("from")?, objects)?.into_iter().collect();
    for (at, named) in given.iter().enumerate() {
        let mut readers = info.embeddings.iter().zip(&places).filter(|(_, place)| **place == at).peekable();
        let tree = if readers.peek().is_none() {
            Tree::default()
        } else if readers.all(|(joined, _)| joined.control == Control::Zero) {
            of_photographs(&named.tree, |_| false)
        } else {
            let is_mapped = |name: &str| mapped.contains(name) && only.as_ref().is_none_or(|only| only.contains(name));
            of_photographs(&named.tree, is_mapped)
        };
        parts.push(("embeddings".to_owned(), at, tree));
    }
    Ok(parts)
}

fn items(ctx: &Ctx) -> Result<Vec<Item>, StageError> {
    let from = ctx.inputs.one("from")?;
    let info = models(ctx.inputs, ctx.objects)?;
    fits(ctx, &info)?;
    let thresholds = match ctx.inputs.optional("thresholds") {
        Some(tree) => {
            let tuned = Thresholds::read(tree, ctx.objects)?.of_classes(&info.classes)?;
            Some(ctx.objects.put(&json(&tuned)?)?)
        }
        None => None,
    };
    let only: Option<BTreeSet<&str>> = ctx.inputs.optional("only").map(|tree| photographs(tree).collect());
    let mut items = item::items(from, ctx.objects)?;
    items.retain(|item| only.as_ref().is_none_or(|only| only.contains(item.name.as_str())));
    let embeddings = read_given(&info, &inputs_named(ctx.params), ctx.inputs.many("embeddings"), ctx.objects)?;
    give(&mut items, &embeddings, ctx.objects)?;
    for item in &mut items {
        for (at, model) in ctx.inputs.many("model").iter().enumerate() {
            for name in MODEL {
                let missing = || StageError::Bug(format!("a model without `{name}`"));
                let file = format!("{}{name}", folder(at));
                item.tree.insert(file, *model.tree.get(name).ok_or_else(missing)?);
            }
        }
        if let Some(entry) = thresholds {
            item.tree.insert(THRESHOLDS, entry);
        }
    }
    Ok(items)
}

/// Folder of a model within an item, by its position at the port.
fn folder(at: usize) -> String {
    if at == 0 { "model/".to_owned() } else { format!("model-{}/", at + 1) }
}

fn models(inputs: &Inputs, objects: &Objects) -> Result<ModelInfo, StageError> {
    let infos = inputs.many("model").iter().map(|named| Classifier::info(&named.tree, objects));
    combined(infos.collect::<Result<_, _>>()?)
}

/// The first of several models whose scores are averaged, with the embeddings that any of them reads.
///
/// # Errors
/// `models-differ` if their scores cannot be averaged.
pub fn combined(infos: Vec<ModelInfo>) -> Result<ModelInfo, StageError> {
    let mut infos = infos.into_iter();
    let mut info = infos.next().ok_or_else(|| StageError::Bug("no model".to_owned()))?;
    for other in infos {
        let differ = |what: String| {
            let hint = "the scores of several models are averaged: use models of the same classes, patches and inputs";
            StageError::input("models-differ", format!("the models differ: {what}")).hint(hint).field("model")
        };
        if other.classes != info.classes {
            let (one, two) = (info.classes.join(" "), other.classes.join(" "));
            return Err(differ(format!("classes `{one}` and `{two}`")));
        }
        if other.activation != info.activation {
            return Err(differ("one chooses one class, the other scores each class by itself".to_owned()));
        }
        if (other.size, other.scale) != (info.size, info.scale) {
            let of = |info: &ModelInfo| format!("patches of {} px at 1/{}", info.size, info.scale);
            return Err(differ(format!("{} and {}", of(&info), of(&other))));
        }
        for joined in other.embeddings {
            match info.embeddings.iter().find(|known| known.name == joined.name) {
                Some(known) if *known != joined => {
                    return Err(differ(format!("embeddings `{}` of two kinds", joined.name)));
                }
                Some(_) => {}
                None => info.embeddings.push(joined),
            }
        }
    }
    info.embeddings.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(info)
}

/// Rejects classes that the model does not have, and photographs of other lesions.
fn fits(ctx: &Ctx, info: &ModelInfo) -> Result<(), StageError> {
    mapped(ctx, info)?;
    let theirs = item::classes(ctx.inputs.one("from")?, ctx.objects)?;
    if !theirs.is_empty() && !theirs.iter().any(|class| info.classes.contains(class)) {
        let (ours, theirs) = (info.classes.join(" "), theirs.join(" "));
        let text = format!("the model was trained on classes `{ours}`, but the photographs have `{theirs}`");
        let hint = "use the class names of the model, or photographs without masks";
        return Err(StageError::input("other-classes", text).hint(hint).field("from"));
    }
    Ok(())
}

/// Indices of the mapped classes among the model's.
fn mapped(ctx: &Ctx, info: &ModelInfo) -> Result<Vec<usize>, StageError> {
    let wanted = ctx.params.list("classes");
    if wanted.is_empty() {
        return Ok((0..info.classes.len()).collect());
    }
    let place = |value: &Value| {
        let name = if let Value::Text(name) = value { name.as_str() } else { "" };
        info.classes.iter().position(|class| class == name).ok_or_else(|| {
            let text = format!("the model has no class `{name}`");
            let hint = format!("its classes are {}", info.classes.join(", "));
            StageError::input("other-classes", text).hint(hint).field("classes")
        })
    };
    let places: BTreeSet<usize> = wanted.iter().map(place).collect::<Result<_, _>>()?;
    Ok(places.into_iter().collect())
}

/// Map of one photograph: `scores.safetensors`, `map.json`, `patches.parquet`, `overlay.png`, and an image of each class's cells.
fn one(ctx: &Ctx, item: &Item) -> Result<ItemResult, StageError> {
    ctx.stop.check()?;
    let mut trees = Vec::new();
    for at in 0..ctx.inputs.many("model").len() {
        let mut files = Tree::default();
        item.tree.under(&folder(at)).for_each(|(name, entry)| files.insert(name, *entry));
        trees.push(files);
    }
    let models = held(&trees, ctx.objects, inference::device(ctx.params), ctx.progress)?;
    let info = &models.first().ok_or_else(|| StageError::Bug("no model".to_owned()))?.info;
    let thresholds: Option<Vec<f64>> = match ctx.objects.read_in(&item.tree, THRESHOLDS)? {
        Some(bytes) => Some(serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(error.to_string()))?),
        None => None,
    };
    let classes = mapped(ctx, info)?;
    let opened = OpenPhotograph::new(&item.name, &item.tree, ctx.objects)?;
    let mut photograph = Photograph::default();
    opened.photograph(&mut photograph)?;
    let cover = cover(ctx, info, &photograph, &item.name)?;
    let black = BlackFilter { below: ctx.params.real("black.below")?, fraction: ctx.params.real("black.share")? };
    let (places, left_out) = visible(&photograph, &cover, black);
    let joined = JoinedEmbeddings::read_all(&item.tree, ctx.objects)?;
    let joined: BTreeMap<String, Vec<f32>> = joined
        .iter()
        .map(|one| Ok((one.name.clone(), one.values(&item.name, &item.tree, ctx.objects)?)))
        .collect::<Result<_, StageError>>()?;
    let scores = scores(&models, &photograph, &places, &joined, Scoring::from_params(ctx.params)?, ctx.stop)?;
    let chosen: Vec<f64> =
        scores.chunks_exact(info.classes.len()).flat_map(|scores| classes.iter().map(|&class| scores[class])).collect();
    let names: Vec<String> = classes.iter().map(|&class| info.classes[class].clone()).collect();
    let known =
        names.iter().map(|name| annotation(&opened, name, &photograph)).collect::<Result<Vec<_>, StageError>>()?;
    let map = ScoreMap {
        scores: cover.means(&places, &chosen, names.len()),
        lesion: known.iter().flat_map(|known| cell_labels(known, &cover)).collect(),
        info: MapInfo {
            classes: names,
            width: cover.width as u32,
            height: cover.height as u32,
            scale: opened.facts.scale,
            size: cover.size as u32,
            stride: cover.stride as u32,
            columns: cover.columns() as u32,
            rows: cover.rows() as u32,
            scored: places.len() as u64,
            black: left_out,
            thresholds: thresholds.map(|all| classes.iter().map(|&class| all[class]).collect()),
        },
    };
    let style = OverlayStyle { alpha: ctx.params.real("overlay.alpha")?, side: ctx.params.count("overlay.side")? };
    let masks: Vec<Option<&Mask>> = known.iter().map(Annotation::mask).collect();
    let mut tree = Tree::default();
    map.write(&mut tree, ctx.objects)?;
    let table = patches(&item.name, &places, &chosen, &map.info.classes).to_parquet();
    tree.insert(PATCHES, ctx.objects.put(&table.map_err(|error| StageError::Bug(error.to_string()))?)?);
    tree.insert("overlay.png", ctx.objects.put(&overlay(&photograph, &masks, &map, style).png())?);
    for (class, name) in map.info.classes.iter().enumerate() {
        tree.insert(picture_name(class, name), ctx.objects.put(&class_picture(&map, class).png())?);
    }
    image_issues::write(&opened.issues(), &mut tree, ctx.objects)?;
    let targets: Vec<String> = models.iter().map(Classifier::target).collect();
    Ok(ItemResult { tree, target: Some(combined_target(targets.iter().map(String::as_str))) })
}

/// Table of the scored patches, in the format of predictions: `photograph`, `x`, `y`, and `score.K` of each class.
fn patches(photograph: &str, places: &[(usize, usize)], scores: &[f64], classes: &[String]) -> Columns {
    let mut table = Columns::default();
    table.push("photograph", Column::Text(vec![Some(photograph.to_owned()); places.len()]));
    table.push("x", Column::Count(places.iter().map(|place| Some(place.0 as u32)).collect()));
    table.push("y", Column::Count(places.iter().map(|place| Some(place.1 as u32)).collect()));
    for (class, name) in classes.iter().enumerate() {
        let of_class = scores.iter().skip(class).step_by(classes.len()).copied().map(Some);
        table.push(format!("score.{name}"), Column::Real(of_class.collect()));
    }
    table
}

/// File name of a class's image. The number distinguishes classes whose names differ only in characters not allowed in file names.
fn picture_name(class: usize, name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("cells/{}-{plain}.png", class + 1)
}

fn cover(ctx: &Ctx, info: &ModelInfo, photograph: &Photograph, name: &str) -> Result<CellGrid, StageError> {
    let size = info.size as usize;
    let stride = ctx.params.count_or_none("stride")?.unwrap_or_else(|| (size / 2).max(1));
    if photograph.width < size || photograph.height < size {
        let text = format!(
            "`{name}` is {} x {} px, smaller than a patch of the model ({size} px)",
            photograph.width, photograph.height
        );
        let hint = "use photographs after the same `preprocess` as in training";
        return Err(StageError::input("too-small", text).hint(hint).field("from"));
    }
    Ok(CellGrid { size, stride, width: photograph.width, height: photograph.height })
}

/// Annotation of one of the model's classes in a photograph; unknown if the photographs do not have the class.
fn annotation(opened: &OpenPhotograph<'_>, class: &str, photograph: &Photograph) -> Result<Annotation, StageError> {
    let k = opened.classes.iter().position(|own| own == class);
    k.map_or(Ok(Annotation::Unknown), |k| opened.annotation(k, photograph))
}

/// Whether a pixel of the lesion is in each cell, row by row.
fn cell_labels(known: &Annotation, cover: &CellGrid) -> Vec<Label> {
    let label = |at: usize| match known {
        Annotation::Present | Annotation::Unknown => Label::Unknown,
        Annotation::Mask(mask) if mask.native_in(cover.cell(at % cover.columns(), at / cover.columns())) > 0 => {
            Label::Present
        }
        Annotation::Mask(_) | Annotation::Absent => Label::Absent,
    };
    (0..cover.columns() * cover.rows()).map(label).collect()
}

fn gather(ctx: &Ctx, results: &[(Item, Tree)]) -> Result<Outcome, StageError> {
    if inference::device(ctx.params).may_be_gpu() {
        release();
    }
    let info = models(ctx.inputs, ctx.objects)?;
    let classes: Vec<String> = mapped(ctx, &info)?.into_iter().map(|class| info.classes[class].clone()).collect();
    let decision = if info.activation.is_sigmoid() {
        CellDecision::Threshold
    } else if classes.len() == info.classes.len() {
        CellDecision::Highest
    } else {
        CellDecision::Half
    };
    let (mut tree, mut maps, mut photographs) = (Tree::default(), Vec::new(), Vec::new());
    for (item, result) in results {
        let map = ScoreMap::read(result, ctx.objects)?;
        photographs.push(MapMetrics {
            photograph: item.name.clone(),
            scored: map.info.scored,
            black: map.info.black,
            classes: of_classes(std::slice::from_ref(&map), decision),
        });
        maps.push(map);
        let files = result.entries.iter().filter(|(file, _)| *file != image_issues::FILE);
        tree.entries.extend(files.map(|(file, entry)| (format!("{}/{file}", item.name), *entry)));
    }
    let first = maps.first().map(|map| &map.info);
    let found = Maps {
        thresholds: first.and_then(|info| info.thresholds.clone()),
        size: info.size,
        stride: first.map_or(0, |info| info.stride),
        all: if maps.is_empty() { vec![CellMetrics::default(); classes.len()] } else { of_classes(&maps, decision) },
        photographs,
        classes,
        decision,
    };
    tree.insert("maps.json", ctx.objects.put(&json(&found)?)?);
    let mut warnings = warnings(ctx, &info, &maps, &found);
    warnings.extend(image_issues::warnings(results, ctx.objects)?);
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary: summary(&found, warnings), target: None })
}

/// Metrics of each class over these maps, which have the same classes and thresholds.
fn of_classes(maps: &[ScoreMap], decision: CellDecision) -> Vec<CellMetrics> {
    let Some(first) = maps.first().map(|map| &map.info) else { return Vec::new() };
    let threshold = |class: usize| match decision {
        CellDecision::Highest => None,
        CellDecision::Threshold | CellDecision::Half => Some(first.thresholds.as_ref().map_or(HALF, |all| all[class])),
    };
    (0..first.classes.len()).map(|class| cell_metrics(maps, class, threshold(class))).collect()
}

fn warnings(ctx: &Ctx, info: &ModelInfo, maps: &[ScoreMap], found: &Maps) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code: &str, text: &str| warnings.push(Warning { code: code.to_owned(), text: text.to_owned() });
    if maps.is_empty() {
        warn("nothing-left", "no photograph is mapped: `only` contains none of those in `from`");
    }
    if ctx.inputs.optional("only").is_none() && found.all.iter().any(|class| class.known > 0) {
        let text =
            "metrics include photographs that the model may have been trained on; connect the test set to `only`";
        warn("seen-photographs", text);
    }
    let other = maps.iter().map(|map| map.info.scale).find(|scale| *scale != info.scale);
    warnings.extend(other.and_then(|scale| info.scale_warning(scale, "photographs")));
    warnings.extend(control_warning(info));
    warnings
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, StageError> {
    serde_json::to_vec_pretty(value).map_err(|error| StageError::Bug(error.to_string()))
}
