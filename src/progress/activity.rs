//! What another process is running, in a line.

use super::watchers::steps;
use crate::run::status::{Activity, LiveRun};
use crate::stage::Metrics;

/// What a run is doing: `run R is running: classifier, 1,210 of 3,520 batches, epoch 5/16: valid AP 0.612`.
#[must_use]
pub fn live_run(live: &LiveRun) -> String {
    let stages: Vec<String> = live.stages.iter().map(activity).collect();
    let stages = if stages.is_empty() { String::new() } else { format!(": {}", stages.join("; ")) };
    format!("run {} is running{stages}", live.run)
}

/// Progress of a stage: `classifier, 1,210 of 3,520 batches, epoch 5/16: valid AP 0.612, valid loss 0.2437`.
#[must_use]
pub fn activity(activity: &Activity) -> String {
    match so_far(activity) {
        words if words.is_empty() => activity.stage.clone(),
        words => format!("{}, {words}", activity.stage),
    }
}

/// Progress of a stage without its name; empty if it has reported none.
#[must_use]
pub fn so_far(activity: &Activity) -> String {
    let far = activity.steps.as_ref().map(|far| steps(far.done, far.total, &far.unit, ""));
    let metrics = activity.metrics.as_ref().map(last_epoch);
    far.into_iter().chain(metrics).collect::<Vec<_>>().join(", ")
}

/// Progress of a stage, a few words at a time: `classifier`, `1,210 of 3,520 batches`, `epoch 5/16`, `valid AP 0.612`.
#[must_use]
pub fn working_on(activity: &Activity) -> Vec<String> {
    let far = activity.steps.as_ref().map(|far| steps(far.done, far.total, &far.unit, ""));
    let metrics = activity.metrics.as_ref().map(last_epoch).unwrap_or_default();
    let metrics = metrics.replacen(": ", ", ", 1);
    let metrics = metrics.split(", ").filter(|word| !word.is_empty()).map(str::to_owned);
    std::iter::once(activity.stage.clone()).chain(far).chain(metrics).collect()
}

/// The main metrics of an epoch in words.
fn last_epoch(metrics: &Metrics) -> String {
    const MAIN: usize = 2;
    let words = metrics.columns.iter().take(MAIN).map(|column| {
        let value = metrics.values.get(&column.name).copied().flatten();
        format!("{} {}", column.head, column.style.text(value))
    });
    format!("epoch {}/{}: {}", metrics.epoch, metrics.epochs, words.collect::<Vec<_>>().join(", "))
}
