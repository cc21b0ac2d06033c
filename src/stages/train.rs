//! `train`: fits a classifier to patches and outputs the model of its best epoch.

use std::collections::BTreeMap;

use super::fitting::{
    APART, WEIGHTS, chosen_epoch, foresee_weights, initial, names, network, open, read_by_network, real, starts_table,
    surroundings, target, task, without_gpu,
};
use super::inference::EMBEDDINGS;
use crate::base::figure::per_class;
use crate::data::patches::SetInfo;
use crate::data::rebalance::NO_HEALTHY_CLASS;
use crate::engine::gpu;
use crate::engine::normalise::Normalisation;
use crate::lang::network::parts::is_below;
use crate::lang::value::Value;
use crate::learn::fit::classification::{Classification, Labels};
use crate::learn::fit::metrics::{EpochMetrics, SetMetrics, metric, table};
use crate::learn::fit::settings::{ClassifierSettings, FitSettings, LossSettings, idle};
use crate::learn::fit::{FitNotes, Fitted, fit};
use crate::learn::model::ModelInfo;
use crate::learn::spread::metric_name;
use crate::stage::{
    Cell, ConnectedPorts, Ctx, Determinism, Implementation, Inputs, Narrow, Outcome, Params, StageError, Summary,
    Table, Warning, Work,
};
use crate::store::{Objects, Tree};

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
    LossSettings::from_params(params)?.check()?;
    Ok(without_gpu(params)?.into_iter().collect())
}

/// Warnings before training: whether there is something to learn, and which weights the network will use.
fn foreseen(params: &Params, inputs: &Inputs, objects: &Objects) -> Result<Vec<Warning>, StageError> {
    let Value::Network(network) = params.get("network") else { return Ok(Vec::new()) };
    without_gpu(params)?.map_or(Ok(()), Err)?;
    Ok(idle(params, network)?.into_iter().chain(foresee_weights(params, inputs, objects)?).collect())
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

fn train(ctx: &Ctx) -> Result<Outcome, StageError> {
    let network = network(ctx.params)?;
    let settings = FitSettings::from_params(ctx.params, ctx.params.count("batch")?)?;
    let sets = open(ctx, network, settings.normal)?;
    let info = &sets.data.set.info;
    let of_classifier = ClassifierSettings::from_params(ctx.params, &info.classes)?;
    let init = ctx.inputs.optional("init").map(|tree| initial(tree, ctx.objects)).transpose()?;
    let task = task(ctx, &TRAIN, (&settings, network), &sets, init.as_ref());
    let mut notes = FitNotes::default();
    let goal = Classification::new(&task, &of_classifier, &mut notes)?;
    let mut fitted = fit(&task, &goal, notes)?;
    fitted.notes.warnings.extend(idle(ctx.params, network)?);
    fitted.notes.warnings.extend(surroundings(network, &sets.data));
    fitted.notes.warnings.extend(without_healthy(ctx.params, info));
    let model = ModelInfo {
        network: network.clone(),
        inputs: network.inputs(),
        embeddings: sets.embeddings.clone(),
        classes: info.classes.clone(),
        size: info.size,
        scale: info.scale,
        margin: info.margin,
        normalisation: settings.normal,
        labels: goal.labels.there.clone(),
        chosen_epoch: fitted.chosen,
        epochs: fitted.epochs.len() as u64,
        kernel_path: fitted.target.clone(),
        activation: goal.activation(),
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

/// Warning if healthy patches are drawn from a set that has none by its nature.
fn without_healthy(params: &Params, info: &SetInfo) -> Option<Warning> {
    let is_drawn = params.text("sampler").is_ok_and(|rule| rule == "balanced");
    (is_drawn && !info.labels.is_multi_label()).then(|| {
        let text = format!("`sampler balanced` draws every patch once: {NO_HEALTHY_CLASS}");
        Warning { code: "no-healthy-class".to_owned(), text }
    })
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
    Summary {
        metrics: chosen.map(|epoch| named_metrics(epoch, classes)).unwrap_or_default(),
        headline: chosen_epoch(fitted, settings.choose.words()) + &of,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::network::{Layer, Linear, NetworkSpec};

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
