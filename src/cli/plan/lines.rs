//! The stages of a plan: a line for each, or for a sweep a table with a row for each stage of its pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use textwrap::core::display_width;

use crate::base::shown;
use crate::plan::causes::{Decisions, decisions, waits_for};
use crate::plan::{Decision, Engine, Explanation, Reason, StageId, Task};
use crate::progress::activity::so_far;
use crate::progress::out::{self, Colours, Tint};
use crate::progress::table::{Align, Grid, GridColumn, bytes, clipped, counted, flow, shortened};
use crate::progress::text::duration;
use crate::run::resources::ResourceRequest;
use crate::run::status::{self, Activity, resume};
use crate::stage::Cell;
use crate::store::StageOutcome;

/// Memory needs below this appear only in JSON.
const WORTH_SAYING: u64 = 256 << 20;

/// Fewest columns of a screen that has the times of stages.
const WITH_TIMES: usize = 60;

/// A plan with all that is said of it.
pub(super) struct Planned<'a, 'e> {
    pub(super) engine: &'a Engine<'e>,
    pub(super) explained: &'a [(StageId, &'a Decision, Explanation)],
    decisions: Decisions<'a>,
    /// Stages that other processes are running.
    running: Vec<Activity>,
    /// Stages that the last run began and did not finish.
    unfinished: BTreeMap<String, StageOutcome>,
}

/// What a stage will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PlannedAction {
    /// Another process is computing it.
    Running,
    /// It has never been computed.
    New,
    /// Its parameters or inputs changed.
    Changed,
    /// The last run did not finish it.
    Unfinished,
    /// Its result is damaged, or gone.
    Lost,
    /// Its result is of another target.
    OtherTarget,
    /// Waits for other stages, and has never been computed.
    WaitsNew,
    /// Waits for other stages.
    Waits,
    Reused,
    Source,
    Fails,
    Blocked,
}

/// A line: the state in a word or two, the words after it, and whether they are important enough for several lines.
struct PlanLine {
    state: &'static str,
    tint: Tint,
    words: String,
    whole: bool,
}

impl<'a, 'e> Planned<'a, 'e> {
    pub(super) fn new(engine: &'a Engine<'e>, explained: &'a [(StageId, &'a Decision, Explanation)]) -> Self {
        let pipeline = &engine.pipeline.name;
        let running = status::live(engine.store, pipeline).into_iter().flat_map(|live| live.stages).collect();
        let unfinished = status::unfinished(engine.store, pipeline);
        Self { engine, explained, decisions: decisions(explained), running, unfinished }
    }

    /// What a stage will do, in one word for counts.
    pub(super) fn will(&self, id: StageId, decision: &Decision, explanation: &Explanation) -> PlannedAction {
        match decision {
            Decision::Source(_) => PlannedAction::Source,
            Decision::Reuse(..) => PlannedAction::Reused,
            Decision::Unknown(_) if explanation.last.is_none() => PlannedAction::WaitsNew,
            Decision::Unknown(_) => PlannedAction::Waits,
            Decision::Failed(_) => PlannedAction::Fails,
            Decision::Blocked(_) => PlannedAction::Blocked,
            Decision::Run(task) if self.engine.store.is_claimed(&task.key) => PlannedAction::Running,
            Decision::Run(task) => match &explanation.reason {
                Some(Reason::Lost | Reason::Removed) => PlannedAction::Lost,
                Some(Reason::OtherTarget(_)) => PlannedAction::OtherTarget,
                _ if self.is_unfinished(id, task) => PlannedAction::Unfinished,
                Some(Reason::Changed(_)) => PlannedAction::Changed,
                Some(Reason::New) | None => PlannedAction::New,
            },
        }
    }

    fn is_unfinished(&self, id: StageId, task: &Task) -> bool {
        self.unfinished.contains_key(&self.engine.stage(id).name) || resume(self.engine, task).is_some()
    }

    fn names(&self, ids: &[StageId]) -> String {
        let names: Vec<&str> = ids.iter().map(|id| self.engine.stage(*id).name.as_str()).collect();
        names.join(", ")
    }

    /// A line for each stage.
    pub(super) fn lines(&self, width: usize, colours: Colours) -> String {
        let name = |id: StageId| shown::line(&self.engine.stage(id).name).into_owned();
        let longest = self.explained.iter().map(|(id, ..)| display_width(&name(*id))).max().unwrap_or(0);
        let widest = longest.min(width * 2 / 5);
        let times: Vec<String> = self
            .explained
            .iter()
            .map(|(_, decision, explanation)| {
                explanation.estimate(decision).map(|seconds| format!("~{}", duration(seconds))).unwrap_or_default()
            })
            .collect();
        let time_width =
            times.iter().map(|time| display_width(time)).max().filter(|_| width >= WITH_TIMES).unwrap_or(0);
        let mut text = String::new();
        for ((id, decision, explanation), time) in self.explained.iter().zip(&times) {
            let name = name(*id);
            let time = if time_width > 0 { time.as_str() } else { "" };
            let begin = if display_width(&name) > widest {
                // It has a line of its own.
                let _ = writeln!(text, "  {}", shortened(&name, width.saturating_sub(2)));
                if time.is_empty() { "    ".to_owned() } else { format!("    {time}  ") }
            } else {
                let fill = " ".repeat(widest - display_width(&name));
                let time = if time_width > 0 { format!("{time:>time_width$}  ") } else { String::new() };
                format!("  {name}{fill}  {time}")
            };
            let PlanLine { state, tint, words, whole } = self.line(*id, decision, explanation);
            // `waits for` is read on; other states stand in a column.
            let state_width =
                if state == WAITS { display_width(state) + 1 } else { display_width(state).max(STATES) + 2 };
            let column = display_width(&begin) + state_width;
            let further = if column * 2 > width { display_width(&begin) + 2 } else { column };
            let rooms = [width.saturating_sub(column), width.saturating_sub(further)];
            let words = shown::line(&words);
            let lines = if whole || out::volume() == out::Volume::Verbose {
                flow(&words, rooms[0], rooms[1])
            } else {
                vec![clipped(&words, rooms[0])]
            };
            let first = lines.first().map(String::as_str).unwrap_or_default();
            let gap = " ".repeat(if first.is_empty() { 0 } else { state_width.saturating_sub(display_width(state)) });
            let _ = writeln!(text, "{begin}{}{gap}{first}", colours.tint(state, tint));
            for line in lines.iter().skip(1) {
                let _ = writeln!(text, "{:further$}{line}", "");
            }
        }
        text
    }

    fn line(&self, id: StageId, decision: &Decision, explanation: &Explanation) -> PlanLine {
        let line = |state, tint, words| PlanLine { state, tint, words, whole: true };
        match decision {
            Decision::Source(known) => {
                PlanLine { whole: false, ..line("source", Tint::Dim, known.summary.headline.clone()) }
            }
            Decision::Reuse(known, reused) => {
                let class = reused.other_target.as_ref().map(|class| format!("computed on `{class}`"));
                let from = reused
                    .remote_hit
                    .as_ref()
                    .map(|hit| format!("from remote `{}`, {}", hit.remote(), bytes(hit.bytes())));
                let origin: Vec<String> = class.into_iter().chain(from).collect();
                let whole = !origin.is_empty();
                let origin = if whole { format!(" ({})", origin.join("; ")) } else { String::new() };
                PlanLine { whole, ..line("reused", Tint::Dim, known.summary.headline.clone() + &origin) }
            }
            Decision::Run(task) => {
                let words = self.of_task(id, task, explanation);
                let running = self.will(id, decision, explanation) == PlannedAction::Running;
                line(if running { "running" } else { "will run" }, Tint::Green, words)
            }
            Decision::Unknown(_) => line(WAITS, Tint::None, self.names(&waits_for(self.engine, id, &self.decisions))),
            Decision::Failed(_) => line("fails", Tint::Red, String::new()),
            Decision::Blocked(by) => line("cannot run", Tint::Red, format!("needs {}", self.names(by))),
        }
    }

    /// Why a stage runs, from where, and what it needs.
    fn of_task(&self, id: StageId, task: &Task, explanation: &Explanation) -> String {
        let engine = self.engine;
        let stage = &engine.stage(id).name;
        let claimed = engine.store.is_claimed(&task.key);
        let place = resume(engine, task).filter(|_| !claimed);
        let mut words = match (&explanation.reason, self.unfinished.get(stage)) {
            _ if claimed => "another process is computing it".to_owned(),
            (Some(Reason::New) | None, Some(became)) => format!("{} in the last run", became.name()),
            (Some(Reason::New), None) if place.is_some() => "not finished in an earlier run".to_owned(),
            (reason, _) => reason.as_ref().map(Reason::short).unwrap_or_default(),
        };
        if claimed {
            let activity = self.running.iter().find(|activity| activity.stage == *stage).map(so_far);
            if let Some(activity) = activity.filter(|activity| !activity.is_empty()) {
                let _ = write!(words, ": {activity}");
            }
        } else if let Some(place) = place {
            let _ = write!(words, "; resumes {place}");
        } else if let Some(items) = task.items.filter(|items| items.reused > 0) {
            let resumes = if self.is_unfinished(id, task) { "resumes with " } else { "" };
            let items = format!("{} of {}", items.reused, counted(items.total, "item", "items"));
            let _ = write!(words, "; {resumes}{items} {}", if resumes.is_empty() { "reused" } else { "done" });
        }
        let need = ResourceRequest::of(engine, id);
        if let Some(memory) = need.memory.filter(|memory| *memory >= WORTH_SAYING) {
            let _ = write!(words, "; needs {}", bytes(memory));
        }
        if let Some(device) = need.device {
            let _ = write!(words, "; on `{device}`");
        }
        words
    }

    /// A sweep has too many stages for a line each: a row for each stage of its pipeline.
    pub(super) fn table(&self, width: usize) -> String {
        let mut rows: Vec<SweepRow> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for (id, decision, explanation) in self.explained {
            let own = self.engine.stage(*id).base_name.as_str();
            let at = *places.entry(own).or_insert_with(|| {
                rows.push(SweepRow { name: own.to_owned(), ..SweepRow::default() });
                rows.len() - 1
            });
            let row = &mut rows[at];
            let column = match self.will(*id, decision, explanation) {
                PlannedAction::Waits | PlannedAction::WaitsNew => 2,
                PlannedAction::Reused => 3,
                PlannedAction::Source => 4,
                PlannedAction::Fails | PlannedAction::Blocked => 5,
                _ => 1,
            };
            row.counts[0] += 1;
            row.counts[column] += 1;
            row.seconds += explanation.estimate(decision).unwrap_or(0.0);
            if let Decision::Unknown(_) = decision {
                let near = waits_for(self.engine, *id, &self.decisions);
                row.waits_for.extend(near.iter().map(|id| self.engine.stage(*id).base_name.clone()));
            }
        }
        let mut all = SweepRow { name: "all".to_owned(), ..SweepRow::default() };
        for row in &rows {
            all.counts = std::array::from_fn(|at| all.counts[at] + row.counts[at]);
            all.seconds += row.seconds;
        }
        rows.push(all);
        let timed = rows.iter().any(|row| row.seconds > 0.0);
        // Columns, and which goes first where there is no room.
        let heads = [("stages", 2), ("will run", 0), ("wait", 0), ("reused", 1), ("sources", 3), ("cannot run", 0)];
        let shown: Vec<usize> =
            (0..heads.len()).filter(|&at| at == 1 || rows.iter().any(|row| row.counts[at] > 0)).collect();
        let columns = std::iter::once(GridColumn::new("stage"))
            .chain(shown.iter().map(|&at| GridColumn::new(heads[at].0).priority(heads[at].1)))
            .chain(timed.then(|| GridColumn::new("time").align(Align::Right).priority(4)))
            .chain([GridColumn::new("waits for").priority(5)]);
        let cells = |row: &SweepRow| {
            let count = |&at: &usize| if row.counts[at] == 0 { Cell::Null(()) } else { Cell::Int(row.counts[at]) };
            let time = if row.seconds > 0.0 { format!("~{}", duration(row.seconds)) } else { "-".to_owned() };
            let waits_for: Vec<&str> = row.waits_for.iter().map(String::as_str).collect();
            std::iter::once(Cell::Text(row.name.clone()))
                .chain(shown.iter().map(count))
                .chain(timed.then_some(Cell::Text(time)))
                .chain([Cell::Text(waits_for.join(", "))])
                .collect()
        };
        Grid::new(columns).rows(rows.iter().map(cells)).render(width)
    }
}

/// State of a stage that waits; the names of others follow.
const WAITS: &str = "waits for";

/// Width of the other states.
const STATES: usize = 8;

/// Stages of one name in a sweep.
#[derive(Default)]
struct SweepRow {
    name: String,
    /// All, will run, wait, reused, sources, cannot run.
    counts: [i64; 6],
    seconds: f64,
    waits_for: BTreeSet<String>,
}
