//! `train`: fits a classifier to patches and outputs the model of its best epoch.

use std::collections::BTreeMap;
use std::io::BufReader;

use super::inference::{EMBEDDINGS, narrowed};
use crate::base::figure::per_class;
use crate::base::{Hasher, regular};
use crate::data::embeddings::JoinedEmbeddings;
use crate::data::patches::PatchSet;
use crate::engine::augment::{Augmentation, RECIPE};
use crate::engine::gpu::{self, DeviceChoice, DeviceRequest, Precision};
use crate::engine::network::{Missing, NetworkWork, Weights, WeightsHeader, canvas, device_for, foresee};
use crate::engine::normalise::Normalisation;
use crate::lang::network::NetworkSpec;
use crate::lang::network::parts::is_below;
use crate::lang::value::Value;
use crate::learn::fit::classification::{Classification, Labels};
use crate::learn::fit::metrics::{EpochMetrics, SetMetrics, metric, table};
use crate::learn::fit::settings::{ClassifierSettings, FitSettings, idle};
use crate::learn::fit::{Family, FitNotes, FitTask, Fitted, InitialWeights, fit};
use crate::learn::loader::OpenPatchSet;
use crate::learn::model::{Classifier, ModelInfo, same_encoder};
use crate::learn::spread::metric_name;
use crate::stage::{
    Cell, ConnectedPorts, Ctx, Determinism, Implementation, Inputs, Narrow, Outcome, Params, ReadPart, StageError,
    Summary, Table, Tolerance, Warning, Work,
};
use crate::store::{Entry, Objects, Tree};

/// The implementation.
pub const TRAIN: Implementation = Implementation {
    name: "train",
    version: 3,
    revised: Some(revised),
    seeded: true,
    determinism: Determinism::PathExact { path: target, approximate: gpu::is_approximate, tolerance: APART },
    check: Some(check),
    foresee: Some(foreseen),
    narrow: Some(Narrow { upstream: EMBEDDINGS, read: read_by_network }),
    work: Work::Whole(train),
};

/// Mistakes in the parameters, and a doubt about a GPU that this macula cannot use.
fn check(params: &Params, _: &ConnectedPorts) -> Result<Vec<StageError>, StageError> {
    Normalisation::from_params(params)?;
    Ok(without_gpu(params)?.into_iter().collect())
}

fn without_gpu(params: &Params) -> Result<Option<StageError>, StageError> {
    let request = DeviceRequest::from_values(&params.0, DeviceChoice::Auto);
    Ok(gpu::not_built_for(request, Precision::from_name(params.text("precision")?)))
}

/// Warnings before training: whether there is something to learn, and which weights the network will use, by the names in their header.
fn foreseen(params: &Params, inputs: &Inputs, objects: &Objects) -> Result<Vec<Warning>, StageError> {
    let Value::Network(network) = params.get("network") else { return Ok(Vec::new()) };
    without_gpu(params)?.map_or(Ok(()), Err)?;
    let mut warnings: Vec<Warning> = idle(params, network)?.into_iter().collect();
    let Some(tree) = inputs.optional("init") else { return Ok(warnings) };
    let (shown, entry) = weights_file(tree, objects)?;
    let Some(Ok(file)) = objects.outside_path(&entry).map(|path| regular::open(&path)) else { return Ok(warnings) };
    let header = WeightsHeader::read(&shown, BufReader::new(file))?;
    let report = foresee(&header, &shown, network, Missing::from_params(params)?)?;
    warnings.extend(report.doubt(&header.name(&shown), &network.name));
    Ok(warnings)
}

/// Of the embeddings that patches carry, a training reads those that its network has inputs for.
fn read_by_network(params: &Params, inputs: &Inputs, _: &Objects) -> Result<Vec<ReadPart>, StageError> {
    let Value::Network(network) = params.get("network") else {
        return Err(StageError::Bug("parameter `network` should be a network".to_owned()));
    };
    Ok(narrowed(inputs, &["data", "valid"], &network.embeddings()))
}

/// Version 3 computes class weights from what the sampler draws, and matches names in `freeze` and `rate` up to a dot. Trainings that
/// this does not affect keep version 2.
fn revised(params: &BTreeMap<String, Value>) -> u32 {
    if counts_draws(params) || cuts_names(params) { 3 } else { 2 }
}

/// Whether weights depend on label counts and an epoch's labels differ from the set's.
fn counts_draws(params: &BTreeMap<String, Value>) -> bool {
    let is = |name: &str, word: &str| matches!(params.get(name), Some(Value::Text(text)) if text == word);
    let takes = match params.get("take") {
        Some(Value::Map(times)) => times.values().any(|times| *times != Value::Int(1)),
        _ => false,
    };
    // A balanced epoch has all positives, and fewer negatives.
    is("loss.class-weights", "inverse-frequency") && takes
        || is("loss.positive-weights", "balanced") && (takes || is("sampler", "balanced"))
}

/// Whether a name in `freeze` or `rate` ends within the name of a part of the network.
fn cuts_names(params: &BTreeMap<String, Value>) -> bool {
    let Some(Value::Network(network)) = params.get("network") else { return false };
    let mut parts = Vec::new();
    if let Some(Value::List(frozen)) = params.get("freeze") {
        parts.extend(frozen.iter().map(Value::to_string));
    }
    if let Some(Value::Map(rates)) = params.get("rate") {
        parts.extend(rates.keys().cloned());
    }
    let cut = |tensor: &String| parts.iter().any(|part| tensor.starts_with(part.as_str()) && !is_below(tensor, part));
    !parts.is_empty() && network.tensors().iter().any(cut)
}

/// Rounding differs from path to path, and training enlarges it: docs/lock.md says what was measured.
const APART: Tolerance = Tolerance { metrics: 0.05, exempt: &["epoch"] };

/// The class of a training: that of the device which computes it.
fn target(params: &BTreeMap<String, Value>) -> String {
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

/// Warning if the augmentation moves the surroundings of a patch beyond its margin.
fn surroundings(network: &NetworkSpec, data: &OpenPatchSet) -> Option<Warning> {
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

fn train(ctx: &Ctx) -> Result<Outcome, StageError> {
    let Value::Network(network) = ctx.params.get("network") else {
        return Err(StageError::Bug("parameter `network` should be a network".to_owned()));
    };
    let (data, valid) = (ctx.inputs.one("data")?, ctx.inputs.one("valid")?);
    let set = PatchSet::read(data, ctx.objects)?;
    let settings = FitSettings::from_params(ctx.params, ctx.params.count("batch")?)?;
    let of_classifier = ClassifierSettings::from_params(ctx.params, &set.info.classes)?;
    let data = OpenPatchSet::open(set, recipe(data, ctx.objects)?, settings.normal, ctx.objects)?;
    let data = data.for_network(network, ctx.objects)?;
    let valid = OpenPatchSet::open(PatchSet::read(valid, ctx.objects)?, None, settings.normal, ctx.objects)?;
    let valid = valid.for_network(network, ctx.objects).map_err(|error| error.field("valid"))?;
    let embeddings = embeddings(network, &data.set, &valid.set)?;
    let init = ctx.inputs.optional("init").map(|tree| initial(tree, ctx.objects)).transpose()?;
    let task = FitTask {
        settings: &settings,
        network,
        data: &data,
        valid: &valid,
        init: init.as_ref(),
        streams: &ctx.streams,
        partial: ctx.partial,
        family: family(ctx),
        progress: ctx.progress,
        stop: ctx.stop,
    };
    let mut notes = FitNotes::default();
    let goal = Classification::new(&task, &of_classifier, &mut notes)?;
    let mut fitted = fit(&task, &goal, notes)?;
    fitted.notes.warnings.extend(idle(ctx.params, network)?);
    fitted.notes.warnings.extend(surroundings(network, &data));
    let info = &data.set.info;
    let model = ModelInfo {
        network: network.as_ref().clone(),
        inputs: network.inputs(),
        embeddings,
        classes: info.classes.clone(),
        size: info.size,
        scale: info.scale,
        margin: info.margin,
        normalisation: settings.normal,
        labels: goal.labels.there.clone(),
        chosen_epoch: fitted.chosen,
        epochs: fitted.epochs.len() as u64,
        kernel_path: fitted.target.clone(),
        calibration: None,
        provenance: None,
    };
    let json = serde_json::to_vec_pretty(&model).map_err(|error| StageError::Bug(error.to_string()))?;
    let mut tree = Tree::default();
    tree.insert("model.json", ctx.objects.put(&json)?);
    tree.insert(WEIGHTS, ctx.objects.put(&fitted.best)?);
    tree.insert("last.safetensors", ctx.objects.put(&fitted.last)?);
    tree.insert("epochs.parquet", ctx.objects.put(&table(&fitted.epochs, &info.classes)?)?);
    let summary = summary(&fitted, &goal.labels, &of_classifier, &info.classes);
    Ok(Outcome { outputs: BTreeMap::from([("out".to_owned(), tree)]), summary, target: Some(fitted.target) })
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

/// Trainings that differ in `epochs` and data: a second key, under which the last state of a shorter one is found. It names all
/// that the first epochs depend on but for the data, which has its own digest; `checkpoint` changes no byte, and `device` none but by the class.
fn family(ctx: &Ctx) -> Family {
    let mut key = Hasher::new("macula training family 1");
    key.int(u64::from(TRAIN.version_of(&ctx.params.0))).text(&target(&ctx.params.0)).int(ctx.streams.rank(
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

/// The augmentation recipe of a tree; [`None`] for plain patches.
fn recipe(tree: &Tree, objects: &Objects) -> Result<Option<Augmentation>, StageError> {
    let Some(bytes) = objects.read_in(tree, RECIPE)? else { return Ok(None) };
    let recipe = serde_json::from_slice(&bytes);
    recipe.map(Some).map_err(|error| StageError::Bug(format!("`{RECIPE}` does not parse: {error}")))
}

/// The only file of a tree of weights, or the weights of a model, and its name.
pub(super) fn weights_file(tree: &Tree, objects: &Objects) -> Result<(String, Entry), StageError> {
    let of_model = tree.entries.get_key_value(WEIGHTS).filter(|_| is_model(tree));
    let Some((name, entry)) = of_model.or_else(|| tree.entries.iter().next()) else {
        return Err(StageError::Bug("weights without a file".to_owned()));
    };
    // A source's file stays where the user has it, and is shown by that path.
    let own = objects.outside_path(entry);
    Ok((own.map_or_else(|| name.clone(), |path| path.display().to_string()), *entry))
}

/// File of a model with the weights of its selected epoch.
const WEIGHTS: &str = "weights.safetensors";

/// Whether a tree is a model, and not a file of weights.
pub(super) fn is_model(tree: &Tree) -> bool {
    tree.get("model.json").is_some()
}

fn initial(tree: &Tree, objects: &Objects) -> Result<InitialWeights, StageError> {
    let (shown, entry) = weights_file(tree, objects)?;
    let weights = Weights::parse(&shown, &objects.read(&entry)?)?;
    let model = if is_model(tree) { Some(Classifier::info(tree, objects)?) } else { None };
    Ok(InitialWeights { weights, model })
}

fn summary(
    fitted: &Fitted<EpochMetrics>,
    labels: &Labels,
    settings: &ClassifierSettings,
    classes: &[String],
) -> Summary {
    let epochs: Vec<EpochMetrics> = fitted.epochs.iter().cloned().map(EpochMetrics::bounded).collect();
    let chosen = epochs.iter().find(|epoch| epoch.epoch == fitted.chosen);
    let of = chosen.map_or(String::new(), |epoch| {
        let each = per_class(classes, epoch.valid.ranking.iter().map(|ranking| ranking.average_precision));
        format!("; validation AP {} ({each})", metric(epoch.valid.average_precision()))
    });
    let ran = epochs.len();
    let stopped = if (ran as u64) < fitted.planned { format!(" (at most {})", fitted.planned) } else { String::new() };
    Summary {
        metrics: chosen.map(|epoch| named_metrics(epoch, classes)).unwrap_or_default(),
        headline: format!("epoch {} of {ran}{stopped} chosen by {}{of}", fitted.chosen, settings.choose.words()),
        tables: [
            chosen.map(|epoch| metrics_table(epoch, classes)),
            Some(epochs_table(&epochs)),
            Some(labels_table(labels, settings, classes)),
            starts_table(fitted),
        ]
        .into_iter()
        .flatten()
        .collect(),
        warnings: fitted.notes.warnings.clone(),
        ..Summary::default()
    }
}

/// Validation metrics of the chosen epoch, by the names of the signature.
fn named_metrics(epoch: &EpochMetrics, classes: &[String]) -> BTreeMap<String, f64> {
    let SetMetrics { loss, figures, ranking, .. } = &epoch.valid;
    let mut all = BTreeMap::from([("epoch".to_owned(), epoch.epoch as f64)]);
    all.extend(loss.map(|loss| ("loss".to_owned(), loss)));
    let of_class = |at: usize| {
        [
            ("average precision", ranking[at].average_precision),
            ("AUROC", ranking[at].auroc),
            ("F1", figures.classes[at].f1),
        ]
    };
    let over_all = [
        ("mean average precision", epoch.valid.average_precision()),
        ("micro F1", figures.micro.f1),
        ("macro F1", figures.macro_f1.value),
        ("Hamming loss", figures.hamming_loss),
        ("subset accuracy", figures.subset_accuracy),
    ];
    let named = over_all.map(|(words, value)| (metric_name(words, None), value)).into_iter();
    let classes = classes.iter().enumerate();
    let per_class =
        classes.flat_map(|(at, class)| of_class(at).map(|(words, value)| (metric_name(words, Some(class)), value)));
    all.extend(named.chain(per_class).filter_map(|(name, value)| Some((name, value?))));
    all
}

fn real(value: Option<f64>) -> Cell {
    value.map_or(Cell::Null(()), Cell::Real)
}

fn names(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|name| (*name).to_owned()).collect()
}

fn metrics_table(epoch: &EpochMetrics, classes: &[String]) -> Table {
    let row = |(class, name): (usize, &String)| {
        let SetMetrics { figures, ranking, baselines, .. } = &epoch.valid;
        let (own, base) = (&figures.classes[class], &baselines.classes[class]);
        vec![
            Cell::Text(name.clone()),
            real(ranking[class].average_precision),
            real(base.prevalence),
            real(own.f1),
            real(base.always_yes_f1),
            real(own.precision),
            real(own.recall),
            real(own.predicted_ratio),
        ]
    };
    Table {
        title: format!("validation after epoch {}, at threshold 0.5", epoch.epoch),
        columns: names(&[
            "class",
            "average precision",
            "prevalence",
            "F1",
            "all-positive F1",
            "precision",
            "recall",
            "predicted / labelled",
        ]),
        rows: classes.iter().enumerate().map(row).collect(),
    }
}

fn epochs_table(epochs: &[EpochMetrics]) -> Table {
    let row = |epoch: &EpochMetrics| {
        vec![
            Cell::Int(epoch.epoch as i64),
            Cell::Real(epoch.rate),
            real(epoch.training.loss),
            real(epoch.subset.as_ref().and_then(|set| set.loss)),
            real(epoch.valid.loss),
            real(epoch.subset.as_ref().and_then(SetMetrics::average_precision)),
            real(epoch.valid.average_precision()),
            real(epoch.valid.figures.micro.f1),
            real(epoch.valid.figures.hamming_loss),
            real(epoch.valid.figures.subset_accuracy),
            real(epoch.valid.figures.all_zero),
        ]
    };
    Table {
        title: "epochs".to_owned(),
        columns: names(&[
            "epoch",
            "learning rate",
            "training loss",
            "subset loss",
            "validation loss",
            "subset AP",
            "validation AP",
            "micro F1",
            "Hamming loss",
            "subset accuracy",
            "none predicted",
        ]),
        rows: epochs.iter().map(row).collect(),
    }
}

fn labels_table(labels: &Labels, settings: &ClassifierSettings, classes: &[String]) -> Table {
    let weights = settings.loss.weights(&labels.drawn);
    let row = |((name, count), weight): ((&String, &crate::learn::model::LabelCounts), f64)| {
        let int = |value: u64| Cell::Int(value as i64);
        vec![
            Cell::Text(name.clone()),
            int(count.present),
            int(count.absent),
            int(count.unknown),
            real(weight.is_finite().then_some(weight)),
        ]
    };
    Table {
        title: "training labels".to_owned(),
        columns: names(&["class", "present", "absent", "unknown", "class weight"]),
        rows: classes.iter().zip(&labels.there).zip(weights).map(row).collect(),
    }
}

fn starts_table<E>(fitted: &Fitted<E>) -> Option<Table> {
    let row = |(what, count, tensors): &(String, usize, String)| {
        vec![Cell::Text(what.clone()), Cell::Int(*count as i64), Cell::Text(tensors.clone())]
    };
    (!fitted.notes.starts.is_empty()).then(|| Table {
        title: "initialisation of tensors".to_owned(),
        columns: names(&["source", "tensors", "names"]),
        rows: fitted.notes.starts.iter().map(row).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::network::{Layer, Linear};

    fn version(changes: &[(&str, Value)]) -> u32 {
        let text = |text: &str| Value::Text(text.to_owned());
        let linear = |name: &str| Layer::Linear(Linear { name: name.to_owned(), out: None, bias: true, expects: None });
        let layers = vec![linear("block1"), linear("block10")];
        let mut params = BTreeMap::from([
            ("loss.class-weights".to_owned(), text("none")),
            ("loss.positive-weights".to_owned(), text("none")),
            ("sampler".to_owned(), text("natural")),
            ("network".to_owned(), Value::Network(NetworkSpec::new("n".to_owned(), layers).into())),
        ]);
        params.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        TRAIN.version_of(&params)
    }

    #[test]
    fn only_trainings_whose_result_changed_have_the_new_version() {
        let text = |text: &str| Value::Text(text.to_owned());
        let take = |times| Value::Map(BTreeMap::from([("SE".to_owned(), Value::Int(times))]));
        let (class, positive) = ("loss.class-weights", "loss.positive-weights");
        let (balanced, inverse) = (text("balanced"), text("inverse-frequency"));
        let old: [&[(&str, Value)]; 8] = [
            &[],
            &[(positive, balanced.clone())],
            &[("sampler", balanced.clone()), ("take", take(3))],
            &[(class, inverse.clone()), ("sampler", balanced.clone())],
            &[(class, inverse.clone()), (positive, balanced.clone()), ("take", take(1))],
            &[("freeze", Value::List(vec![text("block1."), text("block10")]))],
            &[("freeze", Value::List(vec![text("")]))],
            &[("rate", Value::Map(BTreeMap::from([("block10".to_owned(), Value::Real(0.1))])))],
        ];
        for changes in old {
            assert_eq!(version(changes), 2, "{changes:?}");
        }
        let new: [&[(&str, Value)]; 5] = [
            &[(positive, balanced.clone()), ("sampler", balanced)],
            &[(positive, text("balanced")), ("take", take(3))],
            &[(class, inverse), ("take", take(0))],
            &[("freeze", Value::List(vec![text("block1")]))],
            &[("rate", Value::Map(BTreeMap::from([("block1".to_owned(), Value::Real(0.1))])))],
        ];
        for changes in new {
            assert_eq!(version(changes), 3, "{changes:?}");
        }
    }
}
