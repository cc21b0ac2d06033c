//! The jobs of a store's orders, for people: what was ordered, what the queue says, how the last attempt ended.

use std::path::PathBuf;

use super::super::status::{Steps, steps_in};
use super::client::{QueuedJob, job_name};
use crate::lang::addresses;
use crate::lang::spec::base_name;
use crate::store::{JobAttempt, Order, Store};

/// A stage that was ordered, and its job.
#[derive(Clone, Debug)]
pub struct OrderedStage {
    /// The order.
    pub order: Order,
    /// Its job that has not ended, if there is one.
    pub queued: Option<QueuedJob>,
    /// The last attempt that has ended.
    pub attempt: Option<JobAttempt>,
    /// Progress of the running attempt.
    pub steps: Option<Steps>,
    /// Whether its result is recorded.
    pub is_recorded: bool,
}

/// The stages that were ordered for a pipeline, the oldest first; all if `pipeline` is [`None`].
#[must_use]
pub fn ordered(store: &Store, pipeline: Option<&str>, queue: &[QueuedJob]) -> Vec<OrderedStage> {
    let orders = Order::all(store.layout()).into_iter();
    let mut found: Vec<OrderedStage> = orders
        .filter(|order| pipeline.is_none_or(|name| order.pipeline == name))
        .map(|order| {
            let name = job_name(&order.key);
            let queued = queue.iter().find(|job| job.name == name && job.state.is_alive()).cloned();
            let steps = queued.as_ref().and_then(|_| steps_in(&store.layout().job(&order.key)).remove(&order.stage));
            OrderedStage {
                queued,
                attempt: last_attempt(store, &order),
                steps,
                is_recorded: store.is_recorded(&order.key),
                order,
            }
        })
        .collect();
    found.sort_by(|one, other| (&one.order.run, &one.order.stage).cmp(&(&other.order.run, &other.order.stage)));
    found
}

impl OrderedStage {
    /// Whether a name means its stage: its own name, or that of all copies or points.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.order.stage == name || addresses(name, base_name(&self.order.stage))
    }

    /// The log of its last job, if there is one.
    #[must_use]
    pub fn log(&self, store: &Store) -> Option<PathBuf> {
        newest(store.layout().job(&self.order.key), |name| name.rsplit_once('.').is_some_and(|(_, kind)| kind == "log"))
    }
}

fn last_attempt(store: &Store, order: &Order) -> Option<JobAttempt> {
    let path = newest(store.layout().job(&order.key).join("attempts"), |name| !name.starts_with('.'))?;
    JobAttempt::read(store.layout(), &order.key, path.file_name()?.to_str()?)
}

/// The newest file of a folder whose name is wanted.
fn newest(folder: PathBuf, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let files = std::fs::read_dir(folder).ok()?.flatten();
    let files = files.filter(|file| file.file_name().to_str().is_some_and(&wanted));
    files.max_by_key(|file| file.metadata().and_then(|facts| facts.modified()).ok()).map(|file| file.path())
}
