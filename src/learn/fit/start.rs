//! The network before its first step: random or pretrained, calibrated, with the rates and the frozen tensors that were asked for.

use super::settings::{Settings, drawn};
use super::{Task, Told};
use crate::base::figure::counted;
use crate::lang::near::near;
use crate::learn::gpu;
use crate::learn::loader::Samples;
use crate::learn::model::{LabelCounts, on_tape};
use crate::learn::network::{LoadReport, Network, Weights};
use crate::learn::optimizer::{Optimizer, groups, is_below};
use crate::learn::sampler::{Draw, by_rank};
use crate::stage::StageError;

/// A network ready to be trained.
pub(super) struct Ready {
    pub(super) network: Network,
    pub(super) optimizer: Optimizer,
    /// For each parameter, whether it stays as it is.
    pub(super) frozen: Vec<bool>,
}

/// The network of a task before its first step. All of it is a function of the task alone.
pub(super) fn ready(task: &Task<'_>, told: &mut Told) -> Result<Ready, StageError> {
    let (settings, info) = (task.settings, &task.data.set.info);
    let mut network = Network::new(task.network, info.size as usize, info.classes.len(), task.streams)?;
    let random = match task.init {
        None => None,
        Some(weights) => {
            let report = network.load(weights, settings.missing)?;
            if !report.folded.is_empty() {
                network.calibrate(&calibration(task)?)?;
            }
            tell(&report, told);
            task.progress.line(&taken(weights, &report));
            told.warnings.extend(report.doubt(&weights.name(), &task.network.name));
            Some(report.missing)
        }
    };
    if settings.start.zero_gamma {
        network.zero_gamma(random.as_deref());
    }
    if settings.start.prior_bias {
        prior_bias(task, &mut network)?;
    }
    let ranges = network.parameters().iter().map(|parameter| (parameter.name.as_str(), parameter.range.clone()));
    let (groups, unmatched) = groups(ranges, settings.rate, &settings.rates, &settings.frozen);
    if let Some(prefix) = unmatched.first() {
        return Err(unknown_tensors(prefix, settings, &network));
    }
    let is_frozen = |name: &str| settings.frozen.iter().any(|part| is_below(name, part));
    let frozen = network.parameters().iter().map(|parameter| is_frozen(&parameter.name)).collect();
    let optimizer = Optimizer::new(settings.rule, settings.weight_decay, groups, network.flat().len());
    let opened = gpu::open(settings.device, settings.precision)?;
    if let Some(said) = opened.said {
        task.progress.line(&said);
    }
    let network = match opened.gpu {
        Some(gpu) => network.on(gpu),
        None => network,
    };
    Ok(Ready { network, optimizer, frozen })
}

/// What a load did, for the summary.
fn tell(report: &LoadReport, told: &mut Told) {
    let mut say = |what: &str, names: &[String]| {
        if !names.is_empty() {
            told.starts.push((what.to_owned(), names.len(), names.join(", ")));
        }
    };
    say("taken from the weights", &report.loaded);
    say("batch norms calibrated", &report.folded);
    say("new: not in the weights", &report.missing);
    say("new: other classes", &report.replaced);
    say("not used", &report.unexpected);
}

/// What a load did, in one line for whoever watches.
fn taken(weights: &Weights, report: &LoadReport) -> String {
    let rest = [
        (report.missing.len(), "new"),
        (report.replaced.len(), "new for other classes"),
        (report.unexpected.len(), "not used"),
    ];
    let rest = rest.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    let without = if report.prefix.is_empty() { String::new() } else { format!("; names without `{}`", report.prefix) };
    let taken = counted(report.loaded.len() as u64, "tensor", "tensors");
    format!("{}: {taken} taken{}{without}", weights.name(), rest.collect::<String>())
}

/// Training patches for calibration, the same whatever else changes.
fn calibration(task: &Task<'_>) -> Result<Vec<candle_core::Tensor>, StageError> {
    let draws = fixed(task, "calibration", task.settings.start.calibration);
    draws.chunks(task.settings.batch).map(|draws| on_tape(&task.data.plain(draws))).collect()
}

/// A fixed choice of training patches by seeded rank.
pub(super) fn fixed(task: &Task<'_>, purpose: &str, count: usize) -> Vec<Draw> {
    let Samples { set, .. } = task.data;
    let mut draws = task.data.all();
    by_rank(&mut draws, |draw| task.streams.rank(purpose, 0, &draw.id(set)));
    draws.truncate(count);
    draws
}

/// The head's bias at the log odds of each class among the patches of the first epoch. Half a patch is added to both counts, so
/// that a class without positives has a value.
fn prior_bias(task: &Task<'_>, network: &mut Network) -> Result<(), StageError> {
    let set = &task.data.set;
    let odds = |count: &LabelCounts| libm::log((count.present as f64 + 0.5) / (count.absent as f64 + 0.5)) as f32;
    let bias: Vec<f32> = drawn(set, &task.settings.sampler, task.streams).iter().map(odds).collect();
    let Some(name) = network.head()?.1 else {
        let text = "the network's last layer has no bias to start at the log odds";
        return Err(StageError::input("no-bias", text).hint("drop `prior-bias`").field("start.prior-bias"));
    };
    network.set(&name, &bias)
}

fn unknown_tensors(prefix: &str, settings: &Settings, network: &Network) -> StageError {
    let field = if settings.frozen.iter().any(|name| name == prefix) { "freeze" } else { "rate" };
    let mut groups: Vec<&str> =
        network.parameters().iter().filter_map(|parameter| parameter.name.split('.').next()).collect();
    groups.dedup();
    let text = format!("the network has no tensor `{prefix}` and none below it");
    let all = groups.join(", ");
    let begun: Vec<String> =
        groups.iter().filter(|group| group.starts_with(prefix)).map(|group| format!("`{group}`")).collect();
    let hint = match near(prefix, groups.iter().copied()) {
        _ if !begun.is_empty() => format!("name whole parts: {}", begun.join(", ")),
        Some(near) => format!("did you mean `{near}`? its parts are {all}"),
        None => format!("its parts are {all}"),
    };
    StageError::input("unknown-tensor", text).hint(hint).field(field)
}
