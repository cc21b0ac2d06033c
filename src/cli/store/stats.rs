//! `macula store stats`: shows what the store contains.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::json;

use super::super::{Exit, Failure};
use super::{look, print};
use crate::base::disk::free_bytes;
use crate::progress::out;
use crate::progress::table::{bytes, counted, render};
use crate::progress::text::duration;
use crate::run::Host;
use crate::stage::{Cell, Table};
use crate::store::{Inventory, Store};

/// The arguments of `macula store stats`.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

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
    print(&if arguments.json { as_json(&store, &inventory, &stages) } else { as_text(&store, &inventory, &stages) });
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

fn as_text(store: &Store, inventory: &Inventory, stages: &BTreeMap<(String, String), Of>) -> String {
    let mut rows: Vec<(&(String, String), &Of)> = stages.iter().collect();
    rows.sort_by_key(|(name, of)| (std::cmp::Reverse(of.bytes), *name));
    let rows = rows.into_iter().map(|((pipeline, stage), of)| {
        vec![
            Cell::Text(pipeline.clone()),
            Cell::Text(stage.clone()),
            Cell::Int(of.results as i64),
            Cell::Text(bytes(of.bytes)),
            Cell::Text(duration(of.seconds)),
        ]
    });
    let columns = ["pipeline", "stage", "results", "bytes", "took"].map(str::to_owned).to_vec();
    let table = render(&Table { title: String::new(), columns, rows: rows.collect() }, out::stdout_width());
    let of_results: u64 = stages.values().map(|of| of.bytes).sum();
    let free = free_bytes(store.layout().root()).map_or_else(|| "an unknown amount".to_owned(), bytes);
    format!(
        "{table}\n{} ({}), {}, {}, {}, {}\n{} unreferenced; {free} free on the disk\n",
        counted(inventory.objects.len() as u64, "object", "objects"),
        bytes(inventory.bytes()),
        counted(inventory.records.len() as u64, "record", "records"),
        counted(inventory.items() as u64, "item", "items"),
        counted(store.runs.ids().len() as u64, "run", "runs"),
        counted(store.pins().len() as u64, "pin", "pins"),
        bytes(inventory.bytes().saturating_sub(of_results)),
    )
}

fn as_json(store: &Store, inventory: &Inventory, stages: &BTreeMap<(String, String), Of>) -> String {
    let stages: Vec<_> = stages
        .iter()
        .map(|((pipeline, stage), of)| {
            json!({"pipeline": pipeline, "stage": stage, "results": of.results, "bytes": of.bytes, "seconds": of.seconds})
        })
        .collect();
    let all = json!({
        "objects": inventory.objects.len(), "bytes": inventory.bytes(), "records": inventory.records.len(),
        "items": inventory.items(), "pins": store.pins(), "stages": stages,
    });
    all.to_string() + "\n"
}
