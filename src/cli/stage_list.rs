//! The stages of a pipeline, with the state and the main number of each: `macula show FILE`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::run_id::RunIds;
use super::{Failure, Loaded};
use crate::base::figure::metric;
use crate::base::shown;
use crate::plan::{Decision, Engine, Explanation, StageId};
use crate::progress::activity::working_on;
use crate::progress::out;
use crate::progress::table::{Grid, GridColumn, counted, paragraph};
use crate::run::{self, Host, Options, status, time};
use crate::stage::Cell;
use crate::store::{Absent, StageOutcome};

/// Maximum number of stages without `--all`.
const LISTED: usize = 20;

/// Narrowest column of results.
const NARROWEST: usize = 24;

/// Name of the metric that tells how good a classifier is.
const MAIN_METRIC: &str = "mean-average-precision";

/// State of a stage with a result; JSON has had `done` for it.
const CACHED: &str = "cached";

/// A stage, what became of it, and its main number.
struct StageLine {
    name: String,
    stage_type: String,
    state: &'static str,
    words: String,
    metrics: BTreeMap<String, f64>,
}

/// The list as text or JSON. Computes nothing.
///
/// # Errors
/// A [`Failure`] if no plan can be made.
pub(super) fn text(host: &Host, loaded: &Loaded, json: bool, all: bool) -> Result<String, Failure> {
    let live: BTreeMap<String, String> = status::live(&loaded.store, &loaded.pipeline.name)
        .into_iter()
        .flat_map(|live| live.stages)
        .map(|activity| {
            // The name stands at the beginning of the line.
            let words = working_on(&activity).into_iter().skip(1).collect::<Vec<_>>();
            (activity.stage, if words.is_empty() { "started".to_owned() } else { words.join(", ") })
        })
        .collect();
    let options = Options::usual(host.processors);
    let lines = run::plan(host, &loaded.project(), &options, |engine, explained| {
        let lines = explained.iter().map(|(id, decision, explanation)| line(engine, *id, decision, explanation, &live));
        lines.collect::<Vec<_>>()
    })?;
    Ok(if json { format!("{:#}\n", as_json(loaded, &lines)) } else { as_text(loaded, &lines, all) })
}

fn line(
    engine: &Engine,
    id: StageId,
    decision: &Decision,
    explanation: &Explanation,
    live: &BTreeMap<String, String>,
) -> StageLine {
    let stage = engine.stage(id);
    let last = explanation.last.as_ref().map(|(_, last)| last);
    let earlier = last.filter(|last| last.became.is_computed() || last.became == StageOutcome::Reused);
    let of_earlier = |state: &'static str| match (earlier, last) {
        (Some(earlier), _) => {
            (state, main_number(&stage.stage_type, &earlier.headline, &earlier.metrics), earlier.metrics.clone())
        }
        (None, Some(last)) if last.became == StageOutcome::Failed => ("failed", String::new(), BTreeMap::new()),
        (None, _) => ("not run", String::new(), BTreeMap::new()),
    };
    let of_known = |state: &'static str, summary: &crate::stage::Summary| {
        (state, main_number(&stage.stage_type, &summary.headline, &summary.metrics), summary.metrics.clone())
    };
    let (state, words, metrics) = match decision {
        _ if live.contains_key(&stage.name) => ("running", live[&stage.name].clone(), BTreeMap::new()),
        Decision::Source(known) => of_known("source", &known.summary),
        Decision::Reuse(known, _) => of_known(CACHED, &known.summary),
        Decision::Run(task) => match (status::resume(engine, task), task.items.filter(|items| items.reused > 0)) {
            (Some(place), _) => ("stopped", format!("resumes {place}"), BTreeMap::new()),
            (None, Some(items)) => {
                let all = counted(items.total, "item", "items");
                ("partial", format!("{} of {all} done", items.reused), BTreeMap::new())
            }
            (None, None) if task.absent == Absent::Lost => of_earlier("damaged"),
            (None, None) => of_earlier("outdated"),
        },
        Decision::Unknown(_) => of_earlier("outdated"),
        Decision::Failed(error) => ("fails", error.to_string(), BTreeMap::new()),
        Decision::Blocked(by) => {
            let names: Vec<String> = by.iter().map(|id| format!("`{}`", engine.stage(*id).name)).collect();
            ("blocked", format!("needs {}", names.join(", ")), BTreeMap::new())
        }
    };
    StageLine { name: stage.name.clone(), stage_type: stage.stage_type.clone(), state, words, metrics }
}

/// The headline of a result; of a training, its metric comes first.
fn main_number(stage_type: &str, headline: &str, metrics: &BTreeMap<String, f64>) -> String {
    match (metrics.get(MAIN_METRIC), metrics.get("epoch")) {
        (Some(value), Some(epoch)) if stage_type == "train" => {
            format!("validation AP {} after epoch {epoch}", metric(Some(*value)))
        }
        _ => headline.to_owned(),
    }
}

fn as_text(loaded: &Loaded, lines: &[StageLine], all: bool) -> String {
    let width = out::stdout_width();
    let mut title = format!("{}: {}", loaded.pipeline.name, counted(lines.len() as u64, "stage", "stages"));
    let last = loaded.store.runs.newest_first(Some(&loaded.pipeline.name)).next();
    match last {
        Some(run) => {
            let ended = match (run.has_ended(), status::of_run(&loaded.store, &run)) {
                (true, _) => run.ended.name(),
                (false, Some(_)) => "running",
                (false, None) => "killed",
            };
            let ids = RunIds::of(&loaded.store);
            let _ = write!(title, "; last run {}, {}, {ended}", ids.short(&run.id), time::minute(run.began));
        }
        None => title.push_str("; not run yet"),
    }
    let mut text = paragraph(&shown::line(&title), width, 2);
    let count = if all { lines.len() } else { lines.len().min(LISTED) };
    let columns = [
        GridColumn::new("stage"),
        GridColumn::new("type").priority(2),
        GridColumn::new("state"),
        GridColumn::new("result").shortest(NARROWEST).priority(1),
    ];
    let rows = lines[..count].iter().map(|line| {
        [&line.name, &line.stage_type, line.state, &line.words].map(|cell| Cell::Text(cell.to_owned())).to_vec()
    });
    text.push_str(&Grid::new(columns).rows(rows).fit(width).0);
    let ask = format!("`macula show {}", loaded.file);
    let last = if count < lines.len() {
        format!("{}: {ask} --all`", counted((lines.len() - count) as u64, "more stage", "more stages"))
    } else {
        let example = lines.iter().rev().find(|line| line.state == CACHED).or(lines.last());
        example.map(|line| format!("one stage: {ask} {}`", line.name)).unwrap_or_default()
    };
    text.push_str(&paragraph(&shown::line(&last), width, 2));
    text
}

fn as_json(loaded: &Loaded, lines: &[StageLine]) -> Value {
    let stage = |line: &StageLine| {
        json!({
            "stage": line.name, "kind": line.stage_type, "state": if line.state == CACHED { "done" } else { line.state }, "result": line.words,
            "figures": line.metrics,
        })
    };
    json!({ "pipeline": loaded.pipeline.name, "stages": lines.iter().map(stage).collect::<Vec<_>>() })
}
