//! `macula store stats`: shows what the store contains.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::super::{Exit, Failure};
use super::{look, print};
use crate::base::disk::free_bytes;
use crate::progress::out;
use crate::progress::table::{Align, Grid, GridColumn, bytes, counted, paragraph};
use crate::progress::text::duration;
use crate::run::Host;
use crate::stage::Cell;
use crate::store::{Inventory, Leases, Store, collect};

/// The arguments of `macula store stats`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Print every stage instead of the largest fifteen
    #[arg(long)]
    all: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Maximum number of stages without `--all`.
const LISTED: usize = 15;

/// The results of one stage.
#[derive(Default)]
struct Of {
    results: u64,
    bytes: u64,
    seconds: f64,
}

pub(super) fn stats(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let store = look(host)?;
    let inventory = Inventory::of(&store)?;
    let stages = by_stage(&inventory);
    let unreferenced = collect::unreferenced(&inventory, &Leases::now(store.layout())?);
    print(&if arguments.json {
        as_json(&store, &inventory, &stages, unreferenced)
    } else {
        let lines = if arguments.all { usize::MAX } else { LISTED };
        as_text(&store, &inventory, &stages, unreferenced, lines)
    });
    Ok(Exit::Done)
}

/// Results and bytes of each stage of each pipeline; shared objects count for the first stage that made them.
fn by_stage(inventory: &Inventory) -> BTreeMap<(String, String), Of> {
    let mut counted = BTreeSet::new();
    let mut found: BTreeMap<(String, String), Of> = BTreeMap::new();
    for record in inventory.whole() {
        let of = found.entry((record.made.pipeline.clone(), record.made.stage.clone())).or_default();
        of.results += 1;
        of.seconds += record.made.seconds;
        let own = inventory.outputs(record).into_iter().filter(|entry| counted.insert(entry.digest));
        of.bytes += own.map(|entry| inventory.objects.get(&entry.digest).map_or(0, |placed| placed.size)).sum::<u64>();
    }
    found
}

/// `unreferenced` is what `gc` without flags frees, bytes.
fn as_text(
    store: &Store,
    inventory: &Inventory,
    stages: &BTreeMap<(String, String), Of>,
    unreferenced: u64,
    lines: usize,
) -> String {
    let width = out::stdout_width();
    let mut rows: Vec<(&(String, String), &Of)> = stages.iter().collect();
    rows.sort_by_key(|(name, of)| (std::cmp::Reverse(of.bytes), *name));
    let cells = rows.iter().take(lines).map(|((pipeline, stage), of)| {
        vec![
            Cell::Text(pipeline.clone()),
            Cell::Text(stage.clone()),
            Cell::Int(of.results as i64),
            Cell::Text(bytes(of.bytes)),
            Cell::Text(duration(of.seconds)),
        ]
    });
    let columns = [
        GridColumn::new("pipeline").shortest(12),
        GridColumn::new("stage").shortest(24),
        GridColumn::new("results").priority(2),
        GridColumn::new("size").align(Align::Right),
        GridColumn::new("took").align(Align::Right).priority(1),
    ];
    let mut text = Grid::new(columns).rows(cells).fit(width).0;
    let rest: Vec<&Of> = rows.iter().skip(lines).map(|(_, of)| *of).collect();
    if !rest.is_empty() {
        let size = bytes(rest.iter().map(|of| of.bytes).sum());
        let _ = writeln!(text, "and {} with {size}: `--all`", counted(rest.len() as u64, "more stage", "more stages"));
    }
    let of_results: u64 = stages.values().map(|of| of.bytes).sum();
    let inputs = inventory.bytes().saturating_sub(of_results).saturating_sub(unreferenced);
    let free = free_bytes(store.layout().root()).map_or_else(|| "an unknown amount".to_owned(), bytes);
    text.push('\n');
    let counts = format!(
        "{} ({}), {}, {}, {}, {}",
        counted(inventory.objects.len() as u64, "object", "objects"),
        bytes(inventory.bytes()),
        counted(inventory.records.len() as u64, "record", "records"),
        counted(inventory.items() as u64, "item", "items"),
        counted(store.runs.ids().len() as u64, "run", "runs"),
        counted(store.pins().len() as u64, "pin", "pins"),
    );
    let sizes = format!(
        "{} in results, {} in their inputs and in unfinished work, {} unreferenced (`macula store gc` frees it); {free} free on \
         the disk",
        bytes(of_results),
        bytes(inputs),
        bytes(unreferenced),
    );
    for line in [counts, sizes] {
        text.push_str(&paragraph(&line, width, 2));
    }
    text
}

fn as_json(store: &Store, inventory: &Inventory, stages: &BTreeMap<(String, String), Of>, unreferenced: u64) -> String {
    let stages: Vec<_> = stages
        .iter()
        .map(|((pipeline, stage), of)| {
            json!({"pipeline": pipeline, "stage": stage, "results": of.results, "bytes": of.bytes, "seconds": of.seconds})
        })
        .collect();
    let all = json!({
        "objects": inventory.objects.len(), "bytes": inventory.bytes(), "records": inventory.records.len(),
        "unreferenced": unreferenced, "items": inventory.items(), "pins": store.pins(), "stages": stages,
    });
    all.to_string() + "\n"
}
