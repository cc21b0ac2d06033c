//! `encode`: describes photographs by a network up to a tap, one item per photograph. The encoder is in [`crate::learn::encoder`].

use std::io::BufReader;

use super::inference;
use super::train::weights_file;
use crate::base::figure::counted;
use crate::base::regular;
use crate::data::decode::Photograph;
use crate::data::embeddings::{Embeddings, EmbeddingsInfo, StoredAs};
use crate::data::image_issues;
use crate::data::item::{self, OpenPhotograph};
use crate::lang::value::Value;
use crate::learn::encoder::{Encoder, EncoderSettings, alike, lacking};
use crate::learn::gpu::is_approximate;
use crate::learn::network::{Missing, WeightsHeader, foresee};
use crate::learn::normalise::Normalisation;
use crate::stage::{
    Ctx, Determinism, Implementation, Inputs, Item, Outcome, Params, StageError, Summary, Tolerance, Warning, Work,
};
use crate::store::{Objects, Tree};

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

/// File of the weights in an item.
const WEIGHTS: &str = "weights";
/// Files of a result: the values, and what they share with those of other photographs.
const VALUES: &str = "values.safetensors";
const INFO: &str = "embeddings.json";

fn check(params: &Params) -> Result<(), StageError> {
    settings(params).map(drop)
}

fn settings(params: &Params) -> Result<EncoderSettings, StageError> {
    let Value::Network(network) = params.get("network") else {
        return Err(StageError::Bug("parameter `network` should be a network".to_owned()));
    };
    EncoderSettings::check(network)?;
    Ok(EncoderSettings {
        network: network.as_ref().clone(),
        side: params.count("side")?,
        normal: Normalisation::from_params(params)?,
        store: if params.text("store")? == "f16" { StoredAs::F16 } else { StoredAs::F32 },
        device: inference::device(params)?,
    })
}

/// Fails before anything runs if the weights lack tensors before the tap, by the names in their header.
fn foreseen(params: &Params, inputs: &Inputs, objects: &Objects) -> Result<Vec<Warning>, StageError> {
    let (Value::Network(network), Some(tree)) = (params.get("network"), inputs.optional("init")) else {
        return Ok(Vec::new());
    };
    let (shown, entry) = weights_file(tree, objects)?;
    let Some(Ok(file)) = objects.outside_path(&entry).map(|path| regular::open(&path)) else { return Ok(Vec::new()) };
    let header = WeightsHeader::read(&shown, BufReader::new(file))?;
    foresee(&header, &shown, network, Missing::Error).map(|_| Vec::new()).map_err(lacking)
}

fn items(ctx: &Ctx) -> Result<Vec<Item>, StageError> {
    let (_, weights) = weights_file(ctx.inputs.one("init")?, ctx.objects)?;
    let mut items = item::items(ctx.inputs.one("from")?, ctx.objects)?;
    for item in &mut items {
        item.tree.insert(WEIGHTS, weights);
    }
    Ok(items)
}

/// Values of one photograph.
fn one(ctx: &Ctx, item: &Item) -> Result<Tree, StageError> {
    ctx.stop.check()?;
    let missing = || StageError::Bug("an item without weights".to_owned());
    let weights = item.tree.get(WEIGHTS).ok_or_else(missing)?;
    let encoder = Encoder::held(&settings(ctx.params)?, weights, ctx.objects)?;
    let opened = OpenPhotograph::new(&item.name, &item.tree, ctx.objects)?;
    let mut photograph = Photograph::default();
    opened.photograph(&mut photograph)?;
    let (info, values) = encoder.encode(&item.name, &photograph)?;
    let mut tree = Tree::default();
    tree.insert(VALUES, ctx.objects.put(&info.file(&values)?)?);
    let json = serde_json::to_vec_pretty(&info).map_err(|error| StageError::Bug(error.to_string()))?;
    tree.insert(INFO, ctx.objects.put(&json)?);
    image_issues::write(&opened.issues(), &mut tree, ctx.objects)?;
    Ok(tree)
}

fn gather(ctx: &Ctx, results: &[(Item, Tree)]) -> Result<Outcome, StageError> {
    let (mut infos, mut photographs) = (Vec::new(), Vec::new());
    for (item, tree) in results {
        infos.push((item.name.clone(), info(tree, ctx.objects)?));
        let missing = || StageError::Bug(format!("no values of `{}`", item.name));
        photographs.push((item.name.clone(), *tree.get(VALUES).ok_or_else(missing)?));
    }
    alike(&infos)?;
    let Some((_, info)) = infos.into_iter().next() else {
        return Err(StageError::input("no-photographs", "no photographs to encode").field("from"));
    };
    photographs.sort_by(|(one, _), (other, _)| one.cmp(other));
    let count = counted(photographs.len() as u64, "photograph", "photographs");
    let headline = format!("{count} by {}: {}", info.description, info.shape());
    let tree = Embeddings { info, photographs }.write(ctx.objects)?;
    let warnings = image_issues::warnings(results, ctx.objects)?;
    let summary = Summary { headline, warnings, ..Summary::default() };
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

fn info(tree: &Tree, objects: &Objects) -> Result<EmbeddingsInfo, StageError> {
    let missing = || StageError::Bug(format!("a result without `{INFO}`"));
    let bytes = objects.read_in(tree, INFO)?.ok_or_else(missing)?;
    serde_json::from_slice(&bytes).map_err(|error| StageError::Bug(error.to_string()))
}
