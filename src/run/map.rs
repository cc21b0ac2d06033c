//! The items of a map stage: those that are not there are computed in parallel and recorded in groups.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::job::{Shared, guarded};
use crate::base::Digest;
use crate::plan::{StageId, Task, decision, keys};
use crate::stage::{Ctx, Item, StageError};
use crate::store::{ItemRecord, Segment, Tree};

/// Results wait at most this long, and at most so many, before they are brought to the disk together.
const GROUP_TIME: Duration = Duration::from_secs(1);
const GROUP_SIZE: usize = 64;

type One = fn(&Ctx, &Item) -> Result<Tree, StageError>;

/// Computes the items that are not there. Returns all results in the items' order, and how many were computed.
pub(super) fn run(
    shared: &Shared,
    id: StageId,
    task: &Task,
    ctx: &Ctx,
    one: One,
) -> Result<(Vec<(Item, Tree)>, u64), StageError> {
    let engine = shared.engine;
    let mut items = engine.items(id, task)?;
    let class = keys::class(engine.stage(id), engine.implementation(id));
    let params = decision::item_params(engine.stage(id), engine.implementation(id));
    let of_item = Ctx { params: &params, streams: engine.streams(id), ..*ctx };
    let mut segment = engine.store.segment(&engine.of_items(id)?)?;
    let mut results: Vec<Option<Tree>> = items.iter_mut().map(|(_, _, tree)| tree.take()).collect();
    let open: Vec<usize> = (0..items.len()).filter(|&at| results[at].is_none()).collect();
    let total = items.len() as u64;
    let mut failure: Option<(usize, StageError)> = None;
    let next = AtomicUsize::new(0);
    let halt = AtomicBool::new(false);
    let (sender, receiver) = channel();
    std::thread::scope(|scope| {
        for _ in 0..shared.threads.min(open.len()) {
            let sender = sender.clone();
            let (items, open, next, halt, of_item) = (&items, &open, &next, &halt, &of_item);
            scope.spawn(move || {
                while !halt.load(Ordering::SeqCst) && !ctx.stop.raised() {
                    let Some(&at) = open.get(next.fetch_add(1, Ordering::SeqCst)) else { return };
                    let item = &items[at].0;
                    let share = shared.budget.take(item.bytes_in_flight);
                    let result = guarded(shared, || one(of_item, item));
                    drop(share);
                    if result.is_err() {
                        halt.store(true, Ordering::SeqCst);
                    }
                    if sender.send((at, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut done = total - open.len() as u64;
        let mut commit = |group: Vec<(usize, Tree)>| {
            let records = group.iter().map(|(at, tree)| {
                let (item, key, _) = &items[*at];
                record(item, key, &class, tree)
            });
            let records: Vec<ItemRecord> = records.collect();
            for (at, tree) in group {
                results[at] = Some(tree);
            }
            store(shared, &mut segment, &records)
        };
        let tell = || {
            done += 1;
            ctx.progress.step(done, total, "items");
        };
        failure = collect(&receiver, &halt, tell, &mut commit);
    });
    if let Some((at, error)) = failure {
        return Err(match error {
            StageError::Bug(text) => StageError::Bug(format!("`{}`: {text}", items[at].0.name)),
            other => other,
        });
    }
    ctx.stop.check()?;
    let computed = open.len() as u64;
    let results: Option<Vec<(Item, Tree)>> =
        items.into_iter().zip(results).map(|((item, ..), tree)| Some((item, tree?))).collect();
    let results = results.ok_or_else(|| StageError::Bug("an item has no result".into()))?;
    Ok((results, computed))
}

/// Takes results as they come and commits them in groups. Returns the failure of the first item in order, where one failed;
/// what was finished beside it is committed all the same.
fn collect(
    receiver: &Receiver<(usize, Result<Tree, StageError>)>,
    halt: &AtomicBool,
    mut tell: impl FnMut(),
    commit: &mut dyn FnMut(Vec<(usize, Tree)>) -> Result<(), StageError>,
) -> Option<(usize, StageError)> {
    let mut failure: Option<(usize, StageError)> = None;
    let mut group = Vec::new();
    let mut since = Instant::now();
    loop {
        let message = receiver.recv_timeout(GROUP_TIME);
        let ended = matches!(message, Err(RecvTimeoutError::Disconnected));
        if let Ok((at, result)) = message {
            match result {
                Ok(tree) => {
                    group.push((at, tree));
                    tell();
                }
                // A stop is no failure of an item; a real failure is worth more.
                Err(error) if failure.as_ref().is_none_or(|(first, _)| at < *first) => failure = Some((at, error)),
                Err(_) => {}
            }
        }
        if ended || group.len() >= GROUP_SIZE || since.elapsed() >= GROUP_TIME {
            since = Instant::now();
            let first = group.first().map_or(0, |(at, _)| *at);
            if let Err(error) = commit(std::mem::take(&mut group)) {
                halt.store(true, Ordering::SeqCst);
                failure.get_or_insert((first, error));
            }
        }
        if ended {
            return failure;
        }
    }
}

fn record(item: &Item, key: &Digest, class: &str, tree: &Tree) -> ItemRecord {
    ItemRecord { key: *key, name: item.name.clone(), class: class.to_owned(), tree: tree.clone() }
}

fn store(shared: &Shared, segment: &mut Segment, records: &[ItemRecord]) -> Result<(), StageError> {
    if records.is_empty() {
        return Ok(());
    }
    shared.engine.store.objects.publish()?;
    Ok(segment.append(records)?)
}
