//! `pretrain`: fits an encoder to pairs of patches and outputs the weights of its best epoch.

use std::collections::BTreeMap;

use super::fitting::{
    APART, PRETRAINED, WEIGHTS, chosen_epoch, foresee_weights, initial, names, network, open, read_by_network, real,
    starts_table, surroundings, target, task, without_gpu,
};
use super::inference::EMBEDDINGS;
use crate::base::figure::per_class;
use crate::engine::gpu;
use crate::engine::network::{Network, Weights};
use crate::engine::normalise::Normalisation;
use crate::learn::fit::metrics::metric;
use crate::learn::fit::settings::{FitSettings, nothing_to_train};
use crate::learn::fit::{FitNotes, Fitted, before, fit};
use crate::learn::model::shapes;
use crate::learn::pretrain::metrics::{PretrainMetrics, table};
use crate::learn::pretrain::settings::{MetricLoss, PretrainSettings};
use crate::learn::pretrain::{
    ClassRetrieval, Decks, Mining, PROJECTION, PretrainedInfo, Pretraining, Retrieval, with_projection,
};
use crate::learn::spread::metric_name;
use crate::stage::{
    Cell, ConnectedPorts, Ctx, Determinism, Implementation, Inputs, Narrow, Outcome, Params, StageError, Summary,
    Table, Warning, Work,
};
use crate::store::{Objects, Tree};

/// The implementation.
pub const PRETRAIN: Implementation = Implementation {
    name: "pretrain",
    version: 1,
    revised: None,
    seeded: true,
    determinism: Determinism::PathExact { path: target, approximate: gpu::is_approximate, tolerance: APART },
    check: Some(check),
    foresee: Some(foreseen),
    narrow: Some(Narrow { upstream: EMBEDDINGS, read: read_by_network }),
    work: Work::Whole(pretrain),
};

/// Mistakes in the parameters, and a doubt about a GPU that this macula cannot use.
fn check(params: &Params, _: &ConnectedPorts) -> Result<Vec<StageError>, StageError> {
    Normalisation::from_params(params)?;
    let mut found: Vec<StageError> = without_gpu(params)?.into_iter().collect();
    let PretrainSettings { sampler, .. } = PretrainSettings::from_params(params)?;
    if sampler.classes == Some(1) {
        let text = "batches of one class have no pairs of different classes";
        let hint = "set `classes` to 2 or more, or omit it for all";
        found.push(StageError::input("no-pairs", text).hint(hint).field("sampler.classes"));
    }
    if sampler.each * sampler.views < 2 {
        let text = "a batch with one view of one patch per class has no positive pairs";
        found
            .push(StageError::input("no-pairs", text).hint("set `each` or `views` to 2 or more").field("sampler.each"));
    }
    Ok(found)
}

/// Warnings before training: whether anything is trained, and which weights the network will use.
fn foreseen(params: &Params, inputs: &Inputs, objects: &Objects) -> Result<Vec<Warning>, StageError> {
    without_gpu(params)?.map_or(Ok(()), Err)?;
    let still = idle(params)?;
    Ok(still.into_iter().chain(foresee_weights(params, inputs, objects)?).collect())
}

/// Warning if a pretraining cannot change its encoder.
fn idle(params: &Params) -> Result<Option<Warning>, StageError> {
    let PretrainSettings { loss, head, .. } = PretrainSettings::from_params(params)?;
    let text = match loss {
        MetricLoss::Triplet(loss) if loss.mining == Mining::SemiHard && loss.margin == 0.0 => {
            "nothing to train: with `margin=0`, no triplet is semi-hard"
        }
        _ if head.last() == Some(&1) => {
            "nothing to train: a projection of one value, divided by its length, is 1 or -1 and has no gradient"
        }
        _ => return nothing_to_train(params, network(params)?),
    };
    Ok(Some(Warning { code: "nothing-to-learn".to_owned(), text: text.to_owned() }))
}

fn pretrain(ctx: &Ctx) -> Result<Outcome, StageError> {
    let encoder = network(ctx.params)?;
    let settings = PretrainSettings::from_params(ctx.params)?;
    let sets = open(ctx, encoder, Normalisation::from_params(ctx.params)?)?;
    let data = &sets.data;
    let info = &data.set.info;
    let decks = Decks::new(&data.set);
    let fit_settings = FitSettings::from_params(ctx.params, settings.sampler.most(&decks).max(1))?;
    let [rows, columns, width] = Network::shape_of(encoder, info.size as usize, &shapes(&data.set.embeddings))?;
    if rows * columns != 1 {
        let text = format!(
            "network `{}` gives {rows} x {columns} vectors of {width} values for each patch of {} px, not one",
            encoder.name, info.size
        );
        let hint = "end at a tap behind a global pooling, such as `to=features`";
        return Err(StageError::input("patch-grid", text).hint(hint).field("network"));
    }
    let network = with_projection(encoder, &settings.head);
    let init = ctx.inputs.optional("init").map(|tree| initial(tree, ctx.objects)).transpose()?;
    let task = task(ctx, &PRETRAIN, (&fit_settings, &network), &sets, init.as_ref());
    let mut notes = FitNotes::default();
    let goal = Pretraining::new(&task, &settings, (&decks, width), &mut notes)?;
    let mut fitted = fit(&task, &goal, notes).map_err(in_memory)?;
    let start = before(&task, &goal, |evaluate| goal.retrieval(evaluate)).map_err(in_memory)?;
    fitted.notes.warnings.extend(idle(ctx.params)?);
    fitted.notes.warnings.extend(surroundings(encoder, data));
    let described = PretrainedInfo {
        network: encoder.clone(),
        classes: info.classes.clone(),
        size: info.size,
        scale: info.scale,
        normalisation: fit_settings.normal,
        chosen_epoch: fitted.chosen,
        epochs: fitted.epochs.len() as u64,
        kernel_path: fitted.target.clone(),
    };
    let json = serde_json::to_vec_pretty(&described).map_err(|error| StageError::Bug(error.to_string()))?;
    let weights = Weights::parse(WEIGHTS, &fitted.best)?.save_without(PROJECTION)?;
    let mut tree = Tree::default();
    tree.insert(PRETRAINED, ctx.objects.put(&json)?);
    tree.insert(WEIGHTS, ctx.objects.put(&weights)?);
    tree.insert("epochs.parquet", ctx.objects.put(&table(&fitted.epochs, &info.classes)?)?);
    let summary = summary(&fitted, &start, &settings, &info.classes);
    Ok(Outcome { outputs: BTreeMap::from([("out".to_owned(), tree)]), summary, target: Some(fitted.target) })
}

/// An error about too little GPU memory, with the parameter that a pretraining has for it.
fn in_memory(error: StageError) -> StageError {
    if error.has_code("gpu-memory") {
        return error.hint("lower `each` or `views` of `sampler`, or set `device cpu`").field("sampler.each");
    }
    error
}

fn summary(
    fitted: &Fitted<PretrainMetrics>,
    start: &Retrieval,
    settings: &PretrainSettings,
    classes: &[String],
) -> Summary {
    let chosen = fitted.epochs.iter().find(|epoch| epoch.epoch == fitted.chosen);
    let of = chosen.map_or(String::new(), |epoch| {
        let found = &epoch.retrieval;
        let each = per_class(classes, found.classes.iter().map(|class| class.mean_average_precision));
        let defined = found.classes.iter().filter(|class| class.mean_average_precision.is_some()).count();
        let of = if defined < classes.len() {
            format!(" over {defined} of {} classes", classes.len())
        } else {
            String::new()
        };
        let [mean, at_start, chance] = [found.mean(), start.mean(), found.chance()].map(metric);
        format!("; validation MAP@R {mean}{of} (before training {at_start}, chance {chance}): {each}")
    });
    Summary {
        metrics: chosen.map(|epoch| named_metrics(epoch, classes)).unwrap_or_default(),
        headline: chosen_epoch(fitted, settings.choose.words()) + &of,
        tables: [
            chosen.map(|epoch| retrieval_table(epoch, start, classes)),
            Some(epochs_table(&fitted.epochs, start)),
            starts_table(fitted),
        ]
        .into_iter()
        .flatten()
        .collect(),
        warnings: fitted.notes.warnings.clone(),
        ..Summary::default()
    }
}

/// Metrics of the chosen epoch, by the names of the signature.
fn named_metrics(epoch: &PretrainMetrics, classes: &[String]) -> BTreeMap<String, f64> {
    let training = &epoch.training;
    let over_all = [
        ("epoch", Some(epoch.epoch as f64)),
        ("loss", training.loss),
        ("mean average precision at R", epoch.retrieval.mean()),
        ("positive distance", training.positive_distance),
        ("negative distance", training.negative_distance),
        ("active triplets", training.active_triplets),
    ];
    let named = over_all.map(|(words, value)| (metric_name(words, None), value)).into_iter();
    let each = classes.iter().zip(&epoch.retrieval.classes);
    let each =
        each.map(|(class, found)| (metric_name("average precision at R", Some(class)), found.mean_average_precision));
    named.chain(each).filter_map(|(name, value)| Some((name, value?))).collect()
}

fn retrieval_table(epoch: &PretrainMetrics, start: &Retrieval, classes: &[String]) -> Table {
    let row = |((class, found), before): ((&String, &ClassRetrieval), &ClassRetrieval)| {
        vec![
            Cell::Text(class.clone()),
            real(found.mean_average_precision),
            real(before.mean_average_precision),
            real(found.chance),
            Cell::Int(found.queries as i64),
            Cell::Int(found.references as i64),
        ]
    };
    Table {
        title: format!("nearest training patches of validation patches, after epoch {}", epoch.epoch),
        columns: names(&["class", "MAP@R", "before training", "chance", "queries", "references"]),
        rows: classes.iter().zip(&epoch.retrieval.classes).zip(&start.classes).map(row).collect(),
    }
}

fn epochs_table(epochs: &[PretrainMetrics], start: &Retrieval) -> Table {
    let none = || Cell::Null(());
    let first = vec![Cell::Int(0), none(), none(), real(start.mean()), none(), none(), none()];
    let row = |epoch: &PretrainMetrics| {
        vec![
            Cell::Int(epoch.epoch as i64),
            Cell::Real(epoch.rate),
            real(epoch.training.loss),
            real(epoch.retrieval.mean()),
            real(epoch.training.positive_distance),
            real(epoch.training.negative_distance),
            real(epoch.training.active_triplets),
        ]
    };
    Table {
        title: "epochs".to_owned(),
        columns: names(&[
            "epoch",
            "learning rate",
            "training loss",
            "validation MAP@R",
            "positive distance",
            "negative distance",
            "active triplets",
        ]),
        rows: std::iter::once(first).chain(epochs.iter().map(row)).collect(),
    }
}
