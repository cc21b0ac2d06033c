//! `encode`: describes photographs, or their patches, by a network up to a tap, one item per photograph. The encoder is in
//! [`crate::learn::encoder`].

use std::collections::BTreeSet;
use std::io::BufReader;

use super::fitting::{is_model, other_normalisation, weights_file};
use super::inference;
use crate::base::figure::counted;
use crate::base::regular;
use crate::data::decode::Photograph;
use crate::data::embeddings::{Embeddings, EmbeddingsInfo, StoredAs};
use crate::data::image_issues;
use crate::data::item::{self, OpenPhotograph};
use crate::data::patches::{Part, PatchSet, SetInfo, Shard, grid_of, patches_in, photographs};
use crate::engine::gpu::is_approximate;
use crate::engine::network::{Missing, WeightsHeader, foresee};
use crate::engine::normalise::Normalisation;
use crate::lang::network::NetworkSpec;
use crate::lang::value::Value;
use crate::learn::encoder::{Encoder, EncoderSettings, EncoderView, PatchCells, alike, lacking};
use crate::learn::model::Classifier;
use crate::stage::{
    ConnectedPorts, Ctx, Determinism, Implementation, Inputs, Item, ItemResult, Outcome, Params, StageError, Summary,
    Tolerance, Warning, Work,
};
use crate::store::{Entry, Objects, Tree};

/// The implementation.
pub const ENCODE: Implementation = Implementation {
    name: "encode",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::PathExact {
        path: inference::target,
        approximate: is_approximate,
        tolerance: Tolerance { metrics: 0.0, exempt: &[] },
    },
    check: Some(check),
    foresee: Some(foreseen),
    narrow: None,
    work: Work::Map { items, one, gather, enumeration_params: &[] },
};

/// Files of the weights and of a classifier's classes in an item.
const WEIGHTS: &str = "weights";
const OUTPUTS: &str = "outputs.json";
/// Files of an item of patches: which are left of the photograph, and their pixels.
const CELLS: &str = "cells.json";
const SHARD: &str = "shard.safetensors";
/// Files of a result: the values, and what they share with those of other photographs.
const VALUES: &str = "values.safetensors";
const INFO: &str = "embeddings.json";

fn check(params: &Params, _: &ConnectedPorts) -> Result<Vec<StageError>, StageError> {
    settings(params)?;
    Ok(inference::doubts(params))
}

fn settings(params: &Params) -> Result<EncoderSettings, StageError> {
    let Value::Network(network) = params.get("network") else {
        return Err(StageError::Bug("parameter `network` should be a network".to_owned()));
    };
    Ok(EncoderSettings {
        network: network.as_ref().clone(),
        view: EncoderView::Whole(params.count("side")?),
        normal: Normalisation::from_params(params)?,
        store: if params.text("store")? == "f16" { StoredAs::F16 } else { StoredAs::F32 },
        device: inference::device(params),
        classes: Vec::new(),
    })
}

/// Fails before anything runs if the weights lack tensors before the tap, by the names in their header, or cannot be those of a classifier.
fn foreseen(params: &Params, inputs: &Inputs, objects: &Objects) -> Result<Vec<Warning>, StageError> {
    inference::without_gpu(params).map_or(Ok(()), Err)?;
    let (Value::Network(network), Some(tree)) = (params.get("network"), inputs.optional("init")) else {
        return Ok(Vec::new());
    };
    if network.is_classifier() && !is_model(tree) {
        return Err(EncoderSettings::no_classes(network));
    }
    let warnings: Vec<Warning> = rescaled(params, inputs, objects)?.into_iter().collect();
    let (shown, entry) = weights_file(tree, objects)?;
    let Some(Ok(file)) = objects.outside_path(&entry).map(|path| regular::open(&path)) else { return Ok(warnings) };
    let header = WeightsHeader::read(&shown, BufReader::new(file))?;
    foresee(&header, &shown, network, Missing::Error).map(|_| warnings).map_err(lacking)
}

/// Warning if the network was trained on pixels of another normalisation.
fn rescaled(params: &Params, inputs: &Inputs, objects: &Objects) -> Result<Option<Warning>, StageError> {
    let Some(tree) = inputs.optional("init") else { return Ok(None) };
    other_normalisation(tree, &Normalisation::from_params(params)?, objects)
}

fn items(ctx: &Ctx) -> Result<Vec<Item>, StageError> {
    let init = ctx.inputs.one("init")?;
    let (_, weights) = weights_file(init, ctx.objects)?;
    let outputs = outputs(&settings(ctx.params)?.network, init, ctx.objects)?;
    let except: BTreeSet<&str> = ctx.inputs.many("except").iter().flat_map(|named| photographs(&named.tree)).collect();
    let from = ctx.inputs.one("from")?;
    let mut items = match SetInfo::read(from, ctx.objects)? {
        Some(_) => items_of_patches(&PatchSet::read(from, ctx.objects)?, &except, ctx.objects)?,
        None => {
            item::items(from, ctx.objects)?.into_iter().filter(|item| !except.contains(item.name.as_str())).collect()
        }
    };
    for item in &mut items {
        item.tree.insert(WEIGHTS, weights);
        item.tree.entries.extend(outputs.map(|entry| (OUTPUTS.to_owned(), entry)));
    }
    Ok(items)
}

/// An item for each photograph that has patches. It holds their pixels and places, and no labels.
fn items_of_patches(set: &PatchSet, except: &BTreeSet<&str>, objects: &Objects) -> Result<Vec<Item>, StageError> {
    if set.info.resampled {
        let text = "these patches were resampled or cut around lesions; which ones there are depends on their labels";
        let hint = "encode the patches from before the resampling, or those of a grid";
        return Err(StageError::input("resampled-encoding", text).hint(hint).field("from"));
    }
    let used = set.parts.iter().filter(|part| !part.rows.is_empty() && !except.contains(part.photograph.as_str()));
    used.map(|part| item_of_patches(part, &set.info, objects)).collect()
}

fn item_of_patches(part: &Part, info: &SetInfo, objects: &Objects) -> Result<Item, StageError> {
    let cut = patches_in(part.shard.size, info);
    let Some([rows, columns]) = cut.and_then(|count| grid_of(&part.rows, count)) else {
        let text = match cut {
            Some(count) => format!(
                "cannot tell the grid of `{}`: {} of its {} left",
                part.photograph,
                part.rows.len(),
                counted(count as u64, "patch is", "patches are")
            ),
            None => format!("the patches of `{}` were not cut by `extract`", part.photograph),
        };
        return Err(StageError::input("no-grid", text).hint("leave the photograph out").field("from"));
    };
    let mut left: Vec<u32> = part.rows.iter().map(|row| row.index).collect();
    left.sort_unstable();
    let cells = PatchCells { size: info.size as usize, margin: info.margin as usize, rows, columns, left };
    let mut tree = Tree::default();
    tree.insert(CELLS, objects.put(&json(&cells)?)?);
    tree.insert(SHARD, part.shard);
    Ok(Item { name: part.photograph.clone(), tree, bytes_in_flight: 0 })
}

/// Classes of a whole classifier, as a file; [`None`] for a network that ends at a tap.
fn outputs(network: &NetworkSpec, init: &Tree, objects: &Objects) -> Result<Option<Entry>, StageError> {
    if !network.is_classifier() {
        return Ok(None);
    }
    if !is_model(init) {
        return Err(EncoderSettings::no_classes(network));
    }
    let json = serde_json::to_vec(&Classifier::info(init, objects)?.classes);
    Ok(Some(objects.put(&json.map_err(|error| StageError::Bug(error.to_string()))?)?))
}

/// Values of one photograph.
fn one(ctx: &Ctx, item: &Item) -> Result<ItemResult, StageError> {
    ctx.stop.check()?;
    let missing = || StageError::Bug("an item without weights".to_owned());
    let weights = item.tree.get(WEIGHTS).ok_or_else(missing)?;
    let mut settings = settings(ctx.params)?;
    if let Some(classes) = ctx.objects.read_in(&item.tree, OUTPUTS)? {
        settings.classes = serde_json::from_slice(&classes).map_err(|error| StageError::Bug(error.to_string()))?;
    }
    if let Some(bytes) = ctx.objects.read_in(&item.tree, CELLS)? {
        let cells: PatchCells = serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(error.to_string()))?;
        settings.view = EncoderView::Patches(cells.size);
        let encoder = Encoder::held(&settings, &called(ctx)?, weights, ctx.objects, ctx.progress)?;
        let missing = || StageError::Bug("an item without a shard".to_owned());
        let (shard, side) = (item.tree.get(SHARD).ok_or_else(missing)?, cells.size + 2 * cells.margin);
        let shard = Shard::open_pixels(shard, &item.name, side, ctx.objects)?;
        let (info, values) = encoder.encode_patches(&item.name, &shard, &cells)?;
        return Ok(ItemResult { tree: written(&info, &values, ctx.objects)?, target: Some(encoder.target()) });
    }
    let encoder = Encoder::held(&settings, &called(ctx)?, weights, ctx.objects, ctx.progress)?;
    let opened = OpenPhotograph::new(&item.name, &item.tree, ctx.objects)?;
    let mut photograph = Photograph::default();
    opened.photograph(&mut photograph)?;
    let (info, values) = encoder.encode(&item.name, &photograph)?;
    let mut tree = written(&info, &values, ctx.objects)?;
    image_issues::write(&opened.issues(), &mut tree, ctx.objects)?;
    Ok(ItemResult { tree, target: Some(encoder.target()) })
}

/// What the weights are called in messages: their file, or the model of a stage.
fn called(ctx: &Ctx) -> Result<String, StageError> {
    let Some(named) = ctx.inputs.many("init").first() else { return Ok("the weights".to_owned()) };
    let (file, _) = weights_file(&named.tree, ctx.objects)?;
    Ok(if is_model(&named.tree) && !named.name.is_empty() { named.name.clone() } else { file })
}

fn written(info: &EmbeddingsInfo, values: &[f32], objects: &Objects) -> Result<Tree, StageError> {
    let mut tree = Tree::default();
    tree.insert(VALUES, objects.put(&info.file(values)?)?);
    tree.insert(INFO, objects.put(&json(info)?)?);
    Ok(tree)
}

fn gather(ctx: &Ctx, results: &[(Item, Tree)]) -> Result<Outcome, StageError> {
    if inference::device(ctx.params).may_be_gpu() {
        Encoder::release();
    }
    let (mut infos, mut photographs) = (Vec::new(), Vec::new());
    for (item, tree) in results {
        infos.push((item.name.clone(), info(tree, ctx.objects)?));
        let missing = || StageError::Bug(format!("no values of `{}`", item.name));
        photographs.push((item.name.clone(), *tree.get(VALUES).ok_or_else(missing)?));
    }
    let of_patches = SetInfo::read(ctx.inputs.one("from")?, ctx.objects)?.is_some();
    let hint = if of_patches {
        "cut patches of photographs of one size"
    } else {
        "use a tap behind a global pooling, which gives one vector, or `preprocess { crop field-of-view }`"
    };
    alike(&infos, hint)?;
    let Some((_, info)) = infos.into_iter().next() else {
        let text = if of_patches { "no patches to encode" } else { "no photographs to encode" };
        let error = StageError::input("no-photographs", text).field("from");
        let left_out = !ctx.inputs.many("except").is_empty();
        return Err(if left_out { error.hint("`except` leaves out those of its patches") } else { error });
    };
    photographs.sort_by(|(one, _), (other, _)| one.cmp(other));
    let count = counted(photographs.len() as u64, "photograph", "photographs");
    let headline = format!("{count} by {}: {}", info.description, info.shape());
    let tree = Embeddings { info, photographs }.write(ctx.objects)?;
    let mut warnings = image_issues::warnings(results, ctx.objects)?;
    warnings.extend(rescaled(ctx.params, ctx.inputs, ctx.objects)?);
    let summary = Summary { headline, warnings, ..Summary::default() };
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, StageError> {
    serde_json::to_vec_pretty(value).map_err(|error| StageError::Bug(error.to_string()))
}

fn info(tree: &Tree, objects: &Objects) -> Result<EmbeddingsInfo, StageError> {
    let missing = || StageError::Bug(format!("a result without `{INFO}`"));
    let bytes = objects.read_in(tree, INFO)?.ok_or_else(missing)?;
    serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(error.to_string()))
}
