//! The items of a map stage: missing ones are computed in parallel and recorded in groups.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tracing::field::Empty;

use super::context::{RunContext, guarded};
use super::no_thread;
use crate::base::{Digest, threads};
use crate::plan::{StageId, Task, decision, keys};
use crate::stage::{Ctx, Item, ItemResult, StageError, combined_target};
use crate::store::{ItemHit, ItemRecord, Segment, Tree};

/// Results are flushed to disk together, after at most this time and this many.
const GROUP_TIME: Duration = Duration::from_secs(1);
const GROUP_SIZE: usize = 64;

/// After this many item errors no further items are started.
const MOST_FAILURES: usize = 50;

/// How many of them are reported.
const MOST_REPORTED: usize = 10;

type One = fn(&Ctx, &Item) -> Result<ItemResult, StageError>;

/// Results of all items.
pub(super) struct MapResults {
    /// Items and their files, in the items' order.
    pub(super) items: Vec<(Item, Tree)>,
    /// Number of items computed here.
    pub(super) computed: u64,
    /// Targets that the items were computed on, here or earlier; [`None`] without items.
    pub(super) target: Option<String>,
}

/// Computes the missing items. An item with an error of its own (a damaged photograph) does not stop the others: all such
/// errors are reported together.
pub(super) fn run(
    shared: &RunContext,
    id: StageId,
    task: &Task,
    ctx: &Ctx,
    one: One,
) -> Result<MapResults, StageError> {
    let engine = shared.engine;
    let mut items = engine.items(id, task)?;
    let target = keys::target(engine.stage(id), engine.implementation(id));
    let params = decision::item_params(engine.stage(id), engine.implementation(id));
    let of_item = Ctx { params: &params, streams: engine.streams(id), ..*ctx };
    let mut segment = engine.store.segment(&engine.of_items(id)?)?;
    let mut results: Vec<Option<ItemHit>> = items.iter_mut().map(|(_, _, hit)| hit.take()).collect();
    let open: Vec<usize> = (0..items.len()).filter(|&at| results[at].is_none()).collect();
    let total = items.len() as u64;
    let mut failures = Vec::new();
    let next = AtomicUsize::new(0);
    let halt = AtomicBool::new(false);
    let (sender, receiver) = channel();
    let mut refused = None;
    let stage = &tracing::Span::current();
    std::thread::scope(|scope| {
        for begun in 0..shared.threads.min(open.len()) {
            let sender = sender.clone();
            let (items, open, next, halt, of_item) = (&items, &open, &next, &halt, &of_item);
            let work = move || {
                while !halt.load(Ordering::SeqCst) && !ctx.stop.raised() {
                    let Some(&at) = open.get(next.fetch_add(1, Ordering::SeqCst)) else { return };
                    let item = &items[at].0;
                    let span = tracing::debug_span!(
                        target: "macula::item", parent: stage, "item", name = item.name, bytes = Empty
                    );
                    let _span = span.clone().entered();
                    let share = shared.budget.take(item.bytes_in_flight);
                    let result = guarded(shared, || one(of_item, item));
                    drop(share);
                    if let (Ok(result), false) = (&result, span.is_disabled()) {
                        span.record("bytes", result.tree.size());
                    }
                    if result.as_ref().is_err_and(|error| !is_of_item(error)) {
                        halt.store(true, Ordering::SeqCst);
                    }
                    if sender.send((at, result)).is_err() {
                        return;
                    }
                }
            };
            // With fewer threads it works too; without any it does not.
            if let Err(error) = threads::spawn(scope, work) {
                refused = Some(error).filter(|_| begun == 0);
                break;
            }
        }
        drop(sender);
        let mut done = total - open.len() as u64;
        let mut commit = |group: Vec<(usize, ItemResult)>| {
            let hit = |(at, result): (usize, ItemResult)| {
                (at, ItemHit { tree: result.tree, target: result.target.unwrap_or_else(|| target.clone()) })
            };
            let group: Vec<(usize, ItemHit)> = group.into_iter().map(hit).collect();
            let records = group.iter().map(|(at, hit)| {
                let (item, key, _) = &items[*at];
                record(item, key, hit)
            });
            let records: Vec<ItemRecord> = records.collect();
            for (at, hit) in group {
                results[at] = Some(hit);
            }
            store(shared, &mut segment, &records)
        };
        let tell = || {
            done += 1;
            ctx.progress.step(done, total, "items");
        };
        failures = collect(&receiver, &halt, tell, &mut commit);
    });
    if let Some(error) = refused {
        return Err(no_thread(&error));
    }
    if let Some(error) = together(failures, |at| &items[at].0.name) {
        return Err(error);
    }
    ctx.stop.check()?;
    let computed = open.len() as u64;
    let results: Option<Vec<ItemHit>> = results.into_iter().collect();
    let results = results.ok_or_else(|| StageError::Bug("an item has no result".into()))?;
    let target = combined_target(results.iter().map(|hit| hit.target.as_str()));
    let target = (!results.is_empty()).then_some(target);
    let items = items.into_iter().zip(results).map(|((item, ..), hit)| (item, hit.tree)).collect();
    Ok(MapResults { items, computed, target })
}

/// Whether the error is that of a single item.
fn is_of_item(error: &StageError) -> bool {
    matches!(error, StageError::Input { .. })
}

/// Combines the errors of items: the first one that is not an item's own, else all items' own errors, each text once (weights that
/// do not fit are one mistake, however many photographs they encode); a stop only if there is nothing else.
fn together<'n>(mut failures: Vec<(usize, StageError)>, name: impl Fn(usize) -> &'n str) -> Option<StageError> {
    failures.sort_by_key(|(at, error)| (matches!(error, StageError::Stopped), is_of_item(error), *at));
    let count = failures.iter().filter(|(_, error)| is_of_item(error)).count();
    let mut seen = BTreeSet::new();
    // All items before the last one in order were started, so the report does not depend on threads.
    let own = failures.iter().filter(|(_, error)| is_of_item(error)).take(MOST_FAILURES);
    let own: Vec<String> = own.map(|(_, error)| error.to_string()).filter(|text| seen.insert(text.clone())).collect();
    let (at, first) = failures.into_iter().next()?;
    Some(match first {
        StageError::Bug(text) => StageError::Bug(format!("`{}`: {text}", name(at))),
        StageError::Input { code, text, hint, field } if own.len() > 1 => {
            let mut lines = vec![text];
            lines.extend(own.iter().take(MOST_REPORTED).skip(1).cloned());
            let more = own.len().saturating_sub(MOST_REPORTED);
            if count >= MOST_FAILURES && more > 0 {
                lines.push(format!("and at least {more} more"));
            } else if more > 0 {
                lines.push(format!("and {more} more"));
            }
            StageError::Input { code, text: lines.join("\n"), hint, field }
        }
        other => other,
    })
}

/// Receives results and commits them in groups. Returns the errors; finished results are committed in any case.
fn collect(
    receiver: &Receiver<(usize, Result<ItemResult, StageError>)>,
    halt: &AtomicBool,
    mut tell: impl FnMut(),
    commit: &mut dyn FnMut(Vec<(usize, ItemResult)>) -> Result<(), StageError>,
) -> Vec<(usize, StageError)> {
    let mut failures = Vec::new();
    let mut group = Vec::new();
    let mut since = Instant::now();
    loop {
        let message = receiver.recv_timeout(GROUP_TIME);
        let ended = matches!(message, Err(RecvTimeoutError::Disconnected));
        if let Ok((at, result)) = message {
            match result {
                Ok(result) => {
                    group.push((at, result));
                    tell();
                }
                Err(error) => {
                    failures.push((at, error));
                    if failures.len() >= MOST_FAILURES {
                        halt.store(true, Ordering::SeqCst);
                    }
                }
            }
        }
        if ended || group.len() >= GROUP_SIZE || since.elapsed() >= GROUP_TIME {
            since = Instant::now();
            let first = group.first().map_or(0, |(at, _)| *at);
            if let Err(error) = commit(std::mem::take(&mut group)) {
                halt.store(true, Ordering::SeqCst);
                failures.push((first, error));
            }
        }
        if ended {
            return failures;
        }
    }
}

fn record(item: &Item, key: &Digest, hit: &ItemHit) -> ItemRecord {
    ItemRecord { key: *key, name: item.name.clone(), target: hit.target.clone(), tree: hit.tree.clone() }
}

fn store(shared: &RunContext, segment: &mut Segment, records: &[ItemRecord]) -> Result<(), StageError> {
    if records.is_empty() {
        return Ok(());
    }
    shared.engine.store.objects.publish()?;
    Ok(segment.append(records)?)
}
