//! Network before its first step: random or pretrained, calibrated, with the requested rates and frozen tensors.

use std::collections::BTreeMap;

use super::FitNotes;
use super::goal::Goal;
use super::settings::FitSettings;
use super::task::{FitTask, InitialWeights};
use crate::base::figure::counted;
use crate::engine::network::{JoinedPixels, LoadReport, Network, NetworkWork, Weights};
use crate::engine::optimizer::{Optimizer, groups};
use crate::lang::network::parts::{is_part, part_hint};
use crate::learn::loader::OpenPatchSet;
use crate::learn::model::{on_tape, shapes};
use crate::learn::placement::place;
use crate::learn::sampler::{PatchDraw, by_rank};
use crate::stage::StageError;

/// Network and optimizer, ready for training.
pub(super) struct PreparedNetwork {
    pub(super) network: Network,
    pub(super) optimizer: Optimizer,
    /// Whether each parameter is frozen.
    pub(super) frozen: Vec<bool>,
}

/// The network of a task, randomly initialised.
pub(super) fn fresh(task: &FitTask<'_>, goal: &impl Goal) -> Result<Network, StageError> {
    let set = &task.data.set;
    let (size, shapes) = (set.info.size as usize, shapes(&set.embeddings));
    Network::joined(task.network, size, &shapes, goal.outputs(), task.streams)
}

/// Prepares the network of a task for its first step. The result is a function of task and goal only.
pub(super) fn ready(task: &FitTask<'_>, goal: &impl Goal, notes: &mut FitNotes) -> Result<PreparedNetwork, StageError> {
    let settings = task.settings;
    let mut network = fresh(task, goal)?;
    let random = match task.init {
        None => None,
        Some(InitialWeights { weights, trained }) => {
            let fresh = network.tensors();
            let new = goal.new_layers(&network, trained.as_ref());
            let mut report = network.load_part(weights, settings.missing, &new)?;
            if let Some(trained) = trained {
                notes.warnings.extend(trained.other_scale(task.data.set.info.scale));
                notes.warnings.extend(trained.other_normalisation(&settings.normal));
                if trained.classes.as_deref().is_some_and(|classes| classes != goal.classes()) {
                    replace_head(&mut network, &fresh, &mut report)?;
                }
            }
            if !report.folded.is_empty() {
                network.calibrate(&calibration(task)?)?;
            }
            tell(&report, notes);
            task.progress.line(&taken(weights, &report));
            notes.warnings.extend(report.doubt(&weights.name(), &task.network.name, &new));
            Some(report.missing)
        }
    };
    if settings.zero_gamma {
        network.zero_gamma(random.as_deref());
    }
    goal.prepare(&mut network)?;
    let ranges = network.parameters().iter().map(|parameter| (parameter.name.as_str(), parameter.range.clone()));
    let (groups, unmatched) = groups(ranges, settings.rate, &settings.rates, &settings.frozen, &task.network.prefixes);
    if let Some(prefix) = unmatched.first() {
        return Err(unknown_tensors(prefix, settings, &network));
    }
    let is_frozen = |name: &str| settings.frozen.iter().any(|part| is_part(name, part, &task.network.prefixes));
    let frozen = network.parameters().iter().map(|parameter| is_frozen(&parameter.name)).collect();
    let optimizer = Optimizer::new(settings.rule, settings.weight_decay, groups, network.flat().len());
    let say = &mut |text: &str| task.progress.line(text);
    let network = place(network, settings.device, settings.precision, NetworkWork::Training, say)?;
    Ok(PreparedNetwork { network, optimizer, frozen })
}

/// Puts the values in `fresh` back into the layers that give logits: as many outputs, but of other classes.
fn replace_head(
    network: &mut Network,
    fresh: &BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    report: &mut LoadReport,
) -> Result<(), StageError> {
    for name in network.heads().into_iter().flat_map(|(weight, bias)| std::iter::once(weight).chain(bias)) {
        let Some((_, values)) = fresh.get(&name) else { continue };
        let Some(at) = report.loaded.iter().position(|loaded| *loaded == name) else { continue };
        network.set(&name, values)?;
        let name = report.loaded.remove(at);
        report.replaced.push(name);
    }
    report.replaced.sort_unstable();
    Ok(())
}

/// Notes what was loaded, for the summary.
fn tell(report: &LoadReport, notes: &mut FitNotes) {
    let mut say = |what: &str, names: &[String]| {
        if !names.is_empty() {
            notes.starts.push((what.to_owned(), names.len(), names.join(", ")));
        }
    };
    say("loaded from the weights", &report.loaded);
    say("batch norms calibrated", &report.folded);
    say("initialised: not in the weights", &report.missing);
    say("initialised: other classes", &report.replaced);
    say("unused tensors of the weights", &report.unexpected);
}

/// What was loaded, as one progress line.
fn taken(weights: &Weights, report: &LoadReport) -> String {
    let rest = [
        (report.missing.len(), "initialised"),
        (report.replaced.len(), "initialised for other classes"),
        (report.unexpected.len(), "unused"),
    ];
    let rest = rest.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
    let without =
        if report.prefix.is_empty() { String::new() } else { format!("; prefix `{}` removed", report.prefix) };
    let bare = report.bare.iter().map(|below| format!("; `{below}` from the same tensors without that prefix"));
    let taken = counted(report.loaded.len() as u64, "tensor", "tensors");
    format!("{}: {taken} loaded{}{without}{}", weights.name(), rest.collect::<String>(), bare.collect::<String>())
}

/// Batches of training patches for calibration, independent of all other settings.
fn calibration(task: &FitTask<'_>) -> Result<Vec<JoinedPixels>, StageError> {
    let draws = fixed(task, "calibration", task.settings.calibration);
    draws.chunks(task.settings.batch).map(|draws| on_tape(&task.data.plain(draws))).collect()
}

/// Fixed random subset of the training patches, by seeded rank.
#[must_use]
pub fn fixed(task: &FitTask<'_>, purpose: &str, count: usize) -> Vec<PatchDraw> {
    let OpenPatchSet { set, .. } = task.data;
    let mut draws = task.data.all();
    by_rank(&mut draws, |draw| task.streams.rank(purpose, 0, &draw.id(set)));
    draws.truncate(count);
    draws
}

fn unknown_tensors(prefix: &str, settings: &FitSettings, network: &Network) -> StageError {
    let field = if settings.frozen.iter().any(|name| name == prefix) { "freeze" } else { "rate" };
    let text = format!("no tensor of the network is called `{prefix}` or is below it");
    let hint = part_hint(prefix, network.parameters().iter().map(|parameter| parameter.name.as_str()));
    StageError::input("unknown-tensor", text).hint(hint).field(field)
}
