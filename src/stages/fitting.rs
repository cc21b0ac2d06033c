//! What the stages that train a network share: its patches, its initial weights, its class of results, and tables.

use std::collections::BTreeMap;
use std::io::BufReader;

use super::inference::narrowed;
use crate::base::{Hasher, regular};
use crate::data::embeddings::JoinedEmbeddings;
use crate::data::patches::PatchSet;
use crate::engine::augment::{Augmentation, RECIPE};
use crate::engine::gpu::{self, DeviceChoice, DeviceRequest, Precision};
use crate::engine::network::{Missing, NetworkWork, Weights, WeightsHeader, canvas, device_for, foresee};
use crate::engine::normalise::Normalisation;
use crate::lang::network::NetworkSpec;
use crate::lang::value::Value;
use crate::learn::fit::settings::FitSettings;
use crate::learn::fit::{Family, FitTask, Fitted, InitialWeights, TrainedOn};
use crate::learn::loader::OpenPatchSet;
use crate::learn::model::{self, Classifier, same_encoder};
use crate::learn::pretrain::{self, PretrainedInfo};
use crate::stage::{Cell, Ctx, Implementation, Inputs, Params, ReadPart, StageError, Table, Tolerance, Warning};
use crate::store::{Entry, Objects, Tree};

/// The network of a stage.
pub(super) fn network(params: &Params) -> Result<&NetworkSpec, StageError> {
    match params.get("network") {
        Value::Network(network) => Ok(network),
        _ => Err(StageError::Bug("parameter `network` should be a network".to_owned())),
    }
}

/// Rounding differs from path to path, and training enlarges it: docs/lock.md says what was measured.
pub(super) const APART: Tolerance = Tolerance { metrics: 0.05, exempt: &["epoch"] };

/// The class of a training: that of the device which computes it.
pub(super) fn target(params: &BTreeMap<String, Value>) -> String {
    let text = |name: &str| match params.get(name) {
        Some(Value::Text(text)) => text.as_str(),
        _ => "",
    };
    let device = DeviceRequest::from_values(params, DeviceChoice::Auto);
    let device = match params.get("network") {
        Some(Value::Network(network)) => device_for(device, network, NetworkWork::Training),
        _ => device,
    };
    gpu::target(device, Precision::from_name(text("precision")))
}

/// Doubt about a GPU that this macula cannot use.
pub(super) fn without_gpu(params: &Params) -> Result<Option<StageError>, StageError> {
    let request = DeviceRequest::from_values(&params.0, DeviceChoice::Auto);
    Ok(gpu::not_built_for(request, Precision::from_name(params.text("precision")?)))
}

/// Warning about the weights that the network will use, by the names in their header, before anything runs.
///
/// # Errors
/// [`StageError::Input`] if they lack tensors.
pub(super) fn foresee_weights(
    params: &Params,
    inputs: &Inputs,
    objects: &Objects,
) -> Result<Option<Warning>, StageError> {
    let (Value::Network(network), Some(tree)) = (params.get("network"), inputs.optional("init")) else {
        return Ok(None);
    };
    let (shown, entry) = weights_file(tree, objects)?;
    let Some(Ok(file)) = objects.outside_path(&entry).map(|path| regular::open(&path)) else { return Ok(None) };
    let header = WeightsHeader::read(&shown, BufReader::new(file))?;
    let report = foresee(&header, &shown, network, Missing::from_params(params)?)?;
    Ok(report.doubt(&header.name(&shown), &network.name, &[]))
}

/// Of the embeddings that patches carry, a training reads those that its network has inputs for.
pub(super) fn read_by_network(params: &Params, inputs: &Inputs, _: &Objects) -> Result<Vec<ReadPart>, StageError> {
    Ok(narrowed(inputs, &["data", "valid"], &network(params)?.embeddings()))
}

/// Training and validation patches, open for a network.
pub(super) struct OpenSets {
    pub(super) data: OpenPatchSet,
    pub(super) valid: OpenPatchSet,
    /// Embeddings of the training patches that the network reads.
    pub(super) embeddings: Vec<JoinedEmbeddings>,
}

/// Opens the patches of the ports `data` and `valid` for a network.
///
/// # Errors
/// [`StageError::Input`] if they lack what the network reads; errors of the store.
pub(super) fn open(ctx: &Ctx, network: &NetworkSpec, normal: Normalisation) -> Result<OpenSets, StageError> {
    let (data, valid) = (ctx.inputs.one("data")?, ctx.inputs.one("valid")?);
    let set = PatchSet::read(data, ctx.objects)?;
    let data = OpenPatchSet::open(set, recipe(data, ctx.objects)?, normal, ctx.objects)?;
    let data = data.for_network(network, ctx.objects)?;
    let valid = OpenPatchSet::open(PatchSet::read(valid, ctx.objects)?, None, normal, ctx.objects)?;
    let valid = valid.for_network(network, ctx.objects).map_err(|error| error.field("valid"))?;
    let embeddings = embeddings(network, &data.set, &valid.set)?;
    Ok(OpenSets { data, valid, embeddings })
}

/// Embeddings of the training patches that a network reads; those of the validation patches must be by the same encoder.
fn embeddings(network: &NetworkSpec, data: &PatchSet, valid: &PatchSet) -> Result<Vec<JoinedEmbeddings>, StageError> {
    let names = network.embeddings();
    let used = |set: &PatchSet| -> Vec<JoinedEmbeddings> {
        set.embeddings.iter().filter(|joined| names.contains(&joined.name)).cloned().collect()
    };
    let (data, valid) = (used(data), used(valid));
    for (ours, theirs) in data.iter().zip(&valid) {
        same_encoder(ours, &theirs.info, "the validation patches").map_err(|error| error.field("valid"))?;
    }
    Ok(data)
}

/// The task of a fit: its parts, and what the runner gives to `implementation`.
pub(super) fn task<'a>(
    ctx: &'a Ctx<'a>,
    implementation: &Implementation,
    (settings, network): (&'a FitSettings, &'a NetworkSpec),
    sets: &'a OpenSets,
    init: Option<&'a InitialWeights>,
) -> FitTask<'a> {
    FitTask {
        settings,
        network,
        data: &sets.data,
        valid: &sets.valid,
        init,
        streams: &ctx.streams,
        partial: ctx.partial,
        family: family(ctx, implementation),
        progress: ctx.progress,
        stop: ctx.stop,
    }
}

/// The selected epoch in words: `epoch 3 of 5 (at most 10) chosen by loss`.
pub(super) fn chosen_epoch<E>(fitted: &Fitted<E>, by: &str) -> String {
    let ran = fitted.epochs.len();
    let stopped = if (ran as u64) < fitted.planned { format!(" (at most {})", fitted.planned) } else { String::new() };
    format!("epoch {} of {ran}{stopped} chosen by {by}", fitted.chosen)
}

/// The augmentation recipe of a tree; [`None`] for plain patches.
fn recipe(tree: &Tree, objects: &Objects) -> Result<Option<Augmentation>, StageError> {
    let Some(bytes) = objects.read_in(tree, RECIPE)? else { return Ok(None) };
    let recipe = serde_json::from_slice(&bytes);
    recipe.map(Some).map_err(|error| StageError::Bug(format!("`{RECIPE}` does not parse: {error}")))
}

/// The only file of a tree of weights, or the weights of a model or of a pretraining, and its name.
pub(super) fn weights_file(tree: &Tree, objects: &Objects) -> Result<(String, Entry), StageError> {
    let trained = tree.entries.get_key_value(WEIGHTS).filter(|_| is_model(tree) || tree.get(PRETRAINED).is_some());
    let Some((name, entry)) = trained.or_else(|| tree.entries.iter().next()) else {
        return Err(StageError::Bug("weights without a file".to_owned()));
    };
    // A source's file stays where the user has it, and is shown by that path.
    let own = objects.outside_path(entry);
    Ok((own.map_or_else(|| name.clone(), |path| path.display().to_string()), *entry))
}

/// File of a model or a pretraining with the weights of its selected epoch.
pub(super) const WEIGHTS: &str = model::WEIGHTS;

/// File of a pretraining that describes it.
pub(super) const PRETRAINED: &str = pretrain::DESCRIPTION;

/// Whether a tree is a model, and not a file of weights.
pub(super) fn is_model(tree: &Tree) -> bool {
    tree.get("model.json").is_some()
}

/// Weights that a training starts from.
pub(super) fn initial(tree: &Tree, objects: &Objects) -> Result<InitialWeights, StageError> {
    let (shown, entry) = weights_file(tree, objects)?;
    let weights = Weights::parse(&shown, &objects.read(&entry)?)?;
    Ok(InitialWeights { weights, trained: trained_on(tree, objects)? })
}

/// What weights were trained on, if macula trained them.
fn trained_on(tree: &Tree, objects: &Objects) -> Result<Option<TrainedOn>, StageError> {
    if is_model(tree) {
        return Ok(Some(TrainedOn::model(Classifier::info(tree, objects)?)));
    }
    Ok(PretrainedInfo::read(tree, objects)?.map(PretrainedInfo::trained_on))
}

/// Warning if weights were trained on pixels of another normalisation.
pub(super) fn other_normalisation(
    tree: &Tree,
    normal: &Normalisation,
    objects: &Objects,
) -> Result<Option<Warning>, StageError> {
    Ok(trained_on(tree, objects)?.and_then(|trained| trained.other_normalisation(normal)))
}

/// Trainings that differ in `epochs` and data: a second key, under which the last state of a shorter one is found. It names all
/// that the first epochs depend on but for the data, which has its own digest; `checkpoint` changes no byte, and `device` none but by the class.
fn family(ctx: &Ctx, implementation: &Implementation) -> Family {
    let mut key = Hasher::new("macula training family 1");
    key.int(u64::from(implementation.version_of(&ctx.params.0))).text(&target(&ctx.params.0)).int(ctx.streams.rank(
        "family",
        0,
        &[],
    ));
    for (name, value) in &ctx.params.0 {
        if !["epochs", "checkpoint", "device", "device.index", "device.engine"].contains(&name.as_str()) {
            value.hash(key.text(name));
        }
    }
    let mut data = Hasher::new("macula training data 1");
    for port in ["data", "valid", "init"] {
        if let Some(tree) = ctx.inputs.optional(port) {
            data.text(port).digest(&tree.digest());
        }
    }
    Family { folder: ctx.partial.with_file_name(key.finish().to_string()), data: data.finish() }
}

/// Warning if the augmentation moves the surroundings of a patch beyond its margin.
pub(super) fn surroundings(network: &NetworkSpec, data: &OpenPatchSet) -> Option<Warning> {
    let info = &data.set.info;
    let size = info.size as usize;
    let wanted = data.recipe.as_ref()?.reach(canvas(network, size), size);
    if network.margin(size) == 0 || wanted <= info.margin as usize {
        return None;
    }
    let text = format!(
        "rotation and shift move what input `wide` of network `{}` sees up to {wanted} px beyond the patch, but the margin is {} px, so corners are filled in; extract with `margin {wanted}`",
        network.name, info.margin
    );
    Some(Warning { code: "no-margin".to_owned(), text })
}

/// A metric in a table.
pub(super) fn real(value: Option<f64>) -> Cell {
    value.map_or(Cell::Null(()), Cell::Real)
}

/// Heads of columns.
pub(super) fn names(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|name| (*name).to_owned()).collect()
}

/// Origin of the tensors; [`None`] if all are random.
pub(super) fn starts_table<E>(fitted: &Fitted<E>) -> Option<Table> {
    let row = |(what, count, tensors): &(String, usize, String)| {
        vec![Cell::Text(what.clone()), Cell::Int(*count as i64), Cell::Text(tensors.clone())]
    };
    (!fitted.notes.starts.is_empty()).then(|| Table {
        title: "initialisation of tensors".to_owned(),
        columns: names(&["source", "tensors", "names"]),
        rows: fitted.notes.starts.iter().map(row).collect(),
    })
}
