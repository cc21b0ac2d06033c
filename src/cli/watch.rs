//! `macula watch`: the display of a run that goes on in another process.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::run::{can_draw, glyphs, listen};
use super::run_id::{RunIds, recorded_or_file};
use super::{Exit, Failure, Loaded, PipelineArguments, compare, file, load, open_store};
use crate::base::shown;
use crate::progress::out;
use crate::progress::{Detail, Live, Plain, Viewer};
use crate::run::events::FailureFault;
use crate::run::follow::{FollowedEvent, FollowedRun};
use crate::run::{Event, Host, Watch as _, record, status, time};
use crate::store::{RunOutcome, RunRecord, Store};

/// The arguments of `macula watch`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The KDL file whose run is watched, or the id of a run
    #[arg(value_name = "FILE|RUN")]
    what: String,
    /// Name of the pipeline, if the file has several
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// The run of a sweep of the file
    #[arg(long, value_name = "NAME", conflicts_with = "pipeline")]
    sweep: Option<String>,
    /// If nothing is running, wait for the next run of the file
    #[arg(long)]
    wait: bool,
    /// Print events as JSON Lines, as `macula run --json` does
    #[arg(long)]
    json: bool,
}

/// How often the events of a run are read.
const POLL: Duration = Duration::from_millis(100);

/// How often the runs of a pipeline are listed while waiting for one.
const WAIT: Duration = Duration::from_millis(400);

/// How the watching of a run ended.
enum WatchEnd {
    /// The run ended like this.
    Ended(Exit),
    /// Its process is gone, and did not say how the run ended.
    Killed,
    /// The user asked to end the watching.
    Left,
}

/// Shows a run of another process until it ends. The exit code is that of the run.
///
/// # Errors
/// A [`Failure`] if there is no such file or run, or the run was killed.
pub fn watch(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let Some(path) = file::meant(host, &arguments.what) else {
        let store = open_store::open(host, &host.project_here())?;
        let run = recorded_or_file(&store, &arguments.what)?;
        if arguments.wait || arguments.pipeline.is_some() || arguments.sweep.is_some() {
            let text = format!("`{}` is a run; `--wait`, `--pipeline` and `--sweep` need a file", arguments.what);
            return Err(Failure::user(text));
        }
        return if status::of_run(&store, &run).is_some() {
            listen(host);
            follow(host, arguments, &store, &run)
        } else {
            Ok(ended(host, arguments, (&store, &run), None))
        };
    };
    let loaded = load::load_alone(host, &of_file(arguments, path))?;
    let name = &loaded.pipeline.name;
    let last = loaded.store.runs.newest_first(Some(name)).next();
    let live = status::live(&loaded.store, name);
    let run = live.first().and_then(|live| loaded.store.runs.record(&live.run));
    let run = match (run, last) {
        (Some(run), _) => run,
        (None, last) if arguments.wait => {
            listen(host);
            out::note(&format!("waiting for a run of `{}`; Ctrl-C ends the wait\n", shown::line(name)));
            match wait(host, &loaded, last.as_ref()) {
                Some(run) => run,
                None => return Ok(Exit::Interrupted),
            }
        }
        (None, Some(last)) => return Ok(ended(host, arguments, (&loaded.store, &last), Some(&loaded))),
        (None, None) => {
            let text = format!("`{name}` has not been run yet");
            return Err(Failure::user(text)
                .hint(format!("`macula watch {} --wait` waits for `macula run` in another terminal", loaded.file)));
        }
    };
    listen(host);
    let ids = RunIds::of(&loaded.store);
    for other in live.iter().filter(|live| live.run != run.id) {
        let words = format!("note: run {} is running, too: `macula watch {}`", ids.short(&other.run), other.run);
        out::note(&format!("{}\n", shown::line(&words)));
    }
    let exit = follow(host, arguments, &loaded.store, &run)?;
    if loaded.sweep.is_some() && !arguments.json && out::volume() > out::Volume::Quiet && exit != Exit::Interrupted {
        compare::after_run(host, &loaded)?;
    }
    Ok(exit)
}

fn of_file(arguments: &Arguments, file: PathBuf) -> PipelineArguments {
    let Arguments { pipeline, sweep, .. } = arguments;
    PipelineArguments { file, pipeline: pipeline.clone(), sweep: sweep.clone(), set: Vec::new() }
}

/// The next run of a pipeline, however short; `last` is the newest so far. [`None`] if the user did not wait for it.
fn wait(host: &Host, loaded: &Loaded, last: Option<&RunRecord>) -> Option<RunRecord> {
    let root = loaded.store.layout().root();
    loop {
        // Opened again each time: a store knows the runs that were there when it was asked first.
        let runs = Store::open_read_only(root).map(|store| store.runs.newest_first(Some(&loaded.pipeline.name)).next());
        let newest = runs.flatten().filter(|run| last.is_none_or(|last| last.id != run.id));
        if newest.is_some() {
            return newest;
        }
        if host.interrupted() {
            return None;
        }
        std::thread::sleep(WAIT);
    }
}

/// Says that a run is over, and how it ended.
fn ended(host: &Host, arguments: &Arguments, (store, run): (&Store, &RunRecord), loaded: Option<&Loaded>) -> Exit {
    let ids = RunIds::of(store);
    let (id, began) = (ids.short(&run.id), time::minute(run.began));
    let mut seen = SeenRun::default();
    if let Ok(mut followed) = FollowedRun::open(&store.runs.folder(&run.id)) {
        for event in followed.events().unwrap_or_default() {
            seen.take(&event);
            if arguments.json {
                Screen::Json(host).show(&event, Instant::now());
            }
        }
    }
    let which = if loaded.is_some() { "the last run of" } else { "a run of" };
    let words = format!("nothing is running: run {id}, {which} `{}`, began {began} and ", run.pipeline);
    let how = match run.ended {
        RunOutcome::Done => "is done",
        RunOutcome::Failed => "failed",
        RunOutcome::Stopped => "was stopped",
        RunOutcome::Running => "was killed",
    };
    let said = format!("{}\n", shown::line(&format!("{words}{how}")));
    if arguments.json {
        out::note(&said);
    } else {
        out::say(&out::stdout_message(&said));
    }
    if let Some(loaded) = loaded {
        let again = if run.ended == RunOutcome::Done { "" } else { "`macula run FILE` continues it; " };
        let words =
            format!("note: {again}`macula watch FILE --wait` waits for the next run").replace("FILE", &loaded.file);
        out::note(&format!("{}\n", shown::line(&words)));
    }
    if run.ended == RunOutcome::Running {
        Exit::StageFailed
    } else {
        seen.exit.unwrap_or_else(|| of_outcome(run.ended, None))
    }
}

/// What the events of a run have said so far.
#[derive(Debug, Default)]
struct SeenRun {
    fault: Option<FailureFault>,
    running: BTreeSet<String>,
    exit: Option<Exit>,
}

impl SeenRun {
    fn take(&mut self, event: &FollowedEvent) {
        match &event.event {
            Some(
                Event::StageBegan { stage, .. } | Event::StageFetched { stage, .. } | Event::ComparisonBegan { stage },
            ) => {
                self.running.insert(stage.clone());
            }
            Some(Event::StageFailed { stage, fault, .. }) => {
                self.running.remove(stage);
                self.fault = self.fault.max(*fault);
            }
            Some(Event::StageEnded { stage, .. } | Event::ComparisonEnded { stage }) => _ = self.running.remove(stage),
            Some(Event::RunEnded { ended, .. }) => self.exit = Some(of_outcome(*ended, self.fault)),
            _ => {}
        }
    }
}

/// The exit code that a run of this outcome had, as `macula run` computes it from the run's report.
fn of_outcome(outcome: RunOutcome, fault: Option<FailureFault>) -> Exit {
    match (outcome, fault) {
        (RunOutcome::Done, _) => Exit::Done,
        (RunOutcome::Stopped, _) => Exit::Interrupted,
        (RunOutcome::Failed | RunOutcome::Running, Some(FailureFault::Bug)) => Exit::Bug,
        (RunOutcome::Failed | RunOutcome::Running, Some(FailureFault::Store)) => Exit::Store,
        (RunOutcome::Failed | RunOutcome::Running, None) => Exit::StageFailed,
    }
}

/// Where events are shown.
enum Screen<'a> {
    Live(Live),
    Plain(Plain),
    Json(&'a Host),
}

impl Screen<'_> {
    fn show(&self, event: &FollowedEvent, when: Instant) {
        match (self, &event.event) {
            (Self::Json(_), _) => out::say(&format!("{}\n", event.line)),
            (Self::Live(live), Some(event)) => live.event_at(event, when),
            (Self::Plain(plain), Some(event)) => plain.event(event),
            (Self::Live(_) | Self::Plain(_), None) => {}
        }
    }

    fn step(&self, event: &Event) {
        match self {
            Self::Json(host) => out::say(&(record::line(event, host.nanoseconds()) + "\n")),
            Self::Live(live) => live.event_at(event, Instant::now()),
            Self::Plain(plain) => plain.event(event),
        }
    }
}

/// Shows a run until it ends.
fn follow(host: &Host, arguments: &Arguments, store: &Store, run: &RunRecord) -> Result<Exit, Failure> {
    let folder = store.runs.folder(&run.id);
    // Only a sweep's stages are named with `@`.
    let plan = std::fs::read_to_string(folder.join("plan.json")).unwrap_or_default();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap_or_default();
    let mut names = plan["stages"].as_array().into_iter().flatten().filter_map(|stage| stage["stage"].as_str());
    let detail = Detail::of(out::volume(), names.any(|name| name.contains('@')));
    let short = RunIds::of(store).short(&run.id).to_owned();
    let unread = |error: &std::io::Error| Failure {
        exit: Exit::Store,
        ..Failure::user(format!("cannot read the events of run {short}: {error}"))
    };
    let mut followed = FollowedRun::open(&folder).map_err(|error| unread(&error))?;
    let words = format!("watching run {short} of `{}`, begun {}", run.pipeline, time::minute(run.began));
    out::note(&format!("{}; Ctrl-C leaves it running\n", shown::line(&words)));
    let screen = if arguments.json {
        Screen::Json(host)
    } else if can_draw(host, detail) {
        Screen::Live(Live::new(out::stdout_colours(), detail, glyphs(host), Viewer::Watcher))
    } else {
        Screen::Plain(Plain::new(out::stdout_colours(), detail, Viewer::Watcher))
    };
    let watched = shown_until_its_end(host, &mut followed, &screen).map_err(|error| unread(&error))?;
    drop(screen);
    match watched {
        WatchEnd::Ended(exit) => Ok(exit),
        WatchEnd::Left => {
            out::note(&format!("run {short} goes on; `macula watch {short}` shows it again\n"));
            Ok(Exit::Interrupted)
        }
        WatchEnd::Killed => {
            let text = format!("run {short} was killed: its process is gone, and did not end the run");
            let again = format!("`macula run {}` continues it: finished results and checkpoints are kept", run.file);
            Err(Failure { exit: Exit::StageFailed, ..Failure::user(text).hint(again) })
        }
    }
}

fn shown_until_its_end(host: &Host, run: &mut FollowedRun, screen: &Screen) -> std::io::Result<WatchEnd> {
    let mut seen = SeenRun::default();
    loop {
        let alive = run.is_alive()?;
        let (now, clock) = (host.nanoseconds() / 1_000_000, Instant::now());
        for event in run.events()? {
            let ago = event.time.map_or(0, |time| now.saturating_sub(time));
            screen.show(&event, clock.checked_sub(Duration::from_millis(ago)).unwrap_or(clock));
            seen.take(&event);
        }
        if let Some(exit) = seen.exit {
            return Ok(WatchEnd::Ended(exit));
        }
        if !alive {
            return Ok(WatchEnd::Killed);
        }
        for step in run.steps() {
            if matches!(&step, Event::Step { stage, .. } if seen.running.contains(stage)) {
                screen.step(&step);
            }
        }
        if host.interrupted() {
            return Ok(WatchEnd::Left);
        }
        std::thread::sleep(POLL);
    }
}
