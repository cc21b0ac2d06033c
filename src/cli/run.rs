//! `macula run`: runs what isn't cached.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::{
    Exit, Failure, Loaded, PipelineArguments, amounts, compare, executor, load, lock, logging, namesake, paths, trust,
};
use crate::base::signals::is_ignored;
use crate::engine::kernels;
use crate::lang::executor::ExecutorKind;
use crate::lang::project::TRACKING;
use crate::progress::out;
use crate::progress::{Detail, Glyphs, Json, Live, Plain, Viewer};
use crate::run::resources::ResourceLimits;
use crate::run::{self, Failures, Host, Limits, Options, Report, Watch};
use crate::sandbox::SandboxMode;
use crate::stage::StageError;
use crate::store::Accept;
use crate::tracking::{Tracking, TrackingFolders};

/// The arguments of `macula run`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Stages to run, with everything they need [default: all]
    stages: Vec<String>,
    /// Stages that run at the same time [default: the number of threads, at most 4]
    #[arg(long, value_name = "N", value_parser = amounts::count)]
    jobs: Option<NonZeroUsize>,
    /// Threads shared by all stages; results do not depend on it [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = amounts::threads)]
    threads: Option<NonZeroUsize>,
    /// Memory shared by all stages, such as `8GiB` [default: four fifths of what is available]
    #[arg(long, value_name = "SIZE", value_parser = amounts::memory)]
    memory: Option<u64>,
    /// Stages that may compute on one GPU at the same time
    #[arg(long, value_name = "N", default_value = "1", value_parser = amounts::count)]
    per_device: NonZeroUsize,
    /// After a failure, continue with every stage that does not need the failed one; sweeps always do
    #[arg(long)]
    keep_going: bool,
    /// Stop a stage after this many seconds; the next run resumes from its checkpoint
    #[arg(long, value_name = "SECONDS", value_parser = amounts::seconds)]
    timeout: Option<Duration>,
    /// Retries after a temporary fault, such as a network file system that does not respond
    #[arg(long, value_name = "N", default_value_t = Limits::default().retries)]
    retries: usize,
    #[command(flatten)]
    sameness: Sameness,
    #[command(flatten)]
    commands: Commands,
    #[command(flatten)]
    tracking: TrackingArguments,
    /// Where stages run: `local` or `slurm` [default: as in `project.kdl`, else local]
    #[arg(long, value_name = "NAME", value_parser = executor::kind)]
    executor: Option<ExecutorKind>,
    /// Print events as JSON Lines
    #[arg(long)]
    json: bool,
}

/// Records of training runs and evaluations for the dashboards of other tools.
#[derive(Clone, Debug, Args)]
struct TrackingArguments {
    #[arg(
        long,
        value_name = "DIR",
        help = "Write TensorBoard event files of training runs and evaluations into a folder"
    )]
    tensorboard: Option<PathBuf>,
    #[arg(long, value_name = "DIR", help = "Write training runs and evaluations into an MLflow file store")]
    mlflow: Option<PathBuf>,
    /// Write training runs and evaluations as offline runs of Weights & Biases
    #[arg(long, value_name = "DIR")]
    wandb: Option<PathBuf>,
    /// Ignore `tensorboard`, `mlflow` and `wandb` of `project.kdl`
    #[arg(long)]
    no_tracking: bool,
}

impl TrackingArguments {
    /// The folders: those of the command line, which start at the working folder, else those of `project.kdl`.
    fn folders(&self, host: &Host, project: &Path) -> TrackingFolders {
        let mut known = if self.no_tracking { BTreeMap::new() } else { host.tracking(project) };
        let mut folder = |given: &Option<PathBuf>, tool: &str| {
            let given = given.as_ref().map(|folder| host.folder.join(folder));
            given.or_else(|| known.remove(tool))
        };
        let [tensorboard, mlflow, wandb] = TRACKING;
        TrackingFolders {
            tensorboard: folder(&self.tensorboard, tensorboard),
            mlflow: folder(&self.mlflow, mlflow),
            wandb: folder(&self.wandb, wandb),
        }
    }
}

/// How strictly results must agree with earlier ones.
#[derive(Clone, Debug, Args)]
struct Sameness {
    /// Do not use results computed on another kind of processor
    #[arg(long)]
    exact: bool,
    /// Compare with `PIPELINE.lock.kdl` next to the file: what is identical, within tolerance or different, and why
    #[arg(long)]
    locked: bool,
}

/// How the user's commands are run.
#[derive(Clone, Debug, Args)]
pub(super) struct Commands {
    /// Allow this pipeline's `exec` commands from now on, pinned to the current file contents (`macula trust`)
    #[arg(long)]
    pub(super) trust: bool,
    /// Run `exec` commands unsandboxed, with your full permissions
    #[arg(long)]
    pub(super) unconfined: bool,
}

impl Commands {
    /// Whether commands are sandboxed.
    pub(super) fn sandbox(&self) -> SandboxMode {
        if self.unconfined { SandboxMode::Disabled } else { SandboxMode::Enforced }
    }
}

/// Stages that run at the same time without `--jobs`: they share all threads, and each may hold gigabytes.
const MOST_JOBS: usize = 4;

/// Runs what isn't cached.
///
/// # Errors
/// A [`Failure`] if nothing could be run; a failed stage is an [`Exit`].
pub fn run(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load_points(host, &arguments.pipeline)?;
    if let Some(failure) = namesake::find(host, &loaded) {
        return Err(failure);
    }
    paths::note_project(host, &arguments.pipeline.file);
    let threads = arguments.threads.map_or(host.processors, NonZeroUsize::get);
    let usual = Options::usual(threads);
    let of_machine = ResourceLimits::of(host.memory);
    let measure = ResourceLimits {
        memory: arguments.memory.unwrap_or(of_machine.memory),
        per_device: arguments.per_device.get(),
    };
    let options = Options {
        jobs: arguments.jobs.map_or(threads.min(MOST_JOBS), NonZeroUsize::get),
        threads,
        failures: if arguments.keep_going || loaded.sweep.is_some() { Failures::KeepGoing } else { Failures::FailFast },
        accept: accept(arguments.sameness.exact),
        targets: arguments.stages.clone(),
        sandbox: arguments.commands.sandbox(),
        limits: Limits { timeout: arguments.timeout, retries: arguments.retries },
        trust: trust::of_run(host, &loaded, arguments.commands.trust)?,
        memory: measure.memory.div_ceil(2).min(usual.memory),
        resources: measure,
        kernels: Some(kernels::target()),
        cluster: executor::cluster(host, &loaded.folder, arguments.executor)?,
        ..usual
    };
    let lock = arguments.sameness.locked.then(|| lock::of_pipeline(host, &loaded)).transpose()?;
    listen(host);
    let detail = Detail::of(out::volume(), loaded.sweep.is_some());
    let watch = tracked(host, &loaded, arguments, watch(host, arguments, detail))?;
    let report = run::execute(host, &loaded.project(), &options, &*watch)?;
    drop(watch);
    if loaded.sweep.is_some() && !arguments.json && out::volume() > out::Volume::Quiet {
        compare::after_run(host, &loaded)?;
    }
    let Some(lock) = lock else { return Ok(exit(&report)) };
    let compared =
        lock::compared(&loaded, &lock, &report, if arguments.json { lock::Form::Json } else { lock::Form::Table });
    Ok(match exit(&report) {
        Exit::Done => compared,
        other => other,
    })
}

/// `--exact` uses results of this machine's class only.
pub(super) fn accept(exact: bool) -> Accept {
    if exact { Accept::OwnTarget } else { Accept::AnyTarget }
}

/// The watcher, behind one that records training runs and evaluations if that is wanted.
fn tracked<'a>(
    host: &'a Host,
    loaded: &'a Loaded,
    arguments: &Arguments,
    watch: Box<dyn Watch + 'a>,
) -> Result<Box<dyn Watch + 'a>, Failure> {
    let folders = arguments.tracking.folders(host, &loaded.folder);
    if folders == TrackingFolders::default() {
        return Ok(watch);
    }
    let sweep = loaded.sweep.as_ref().map(|swept| (&swept.sweep, swept.places.as_slice()));
    let tracking = Tracking::new(host, &loaded.store, (&loaded.pipeline, sweep), &folders, watch);
    let unwritten = |(folder, error): (PathBuf, std::io::Error)| {
        let hint = "name a folder in which macula may write (`--tensorboard`, `--mlflow`, `--wandb`, or the words in `project.kdl`)";
        Failure::unwritten(&host.shown(&folder), &error).hint(hint)
    };
    Ok(Box::new(tracking.map_err(unwritten)?))
}

fn watch<'a>(host: &'a Host, arguments: &Arguments, detail: Detail) -> Box<dyn Watch + 'a> {
    if arguments.json {
        return Box::new(Json::new(host));
    }
    let tinted = out::stdout_colours();
    if can_draw(host, detail) {
        Box::new(Live::new(tinted, detail, glyphs(host), Viewer::Runner))
    } else {
        Box::new(Plain::new(tinted, detail, Viewer::Runner))
    }
}

/// Whether a live display can be drawn.
pub(super) fn can_draw(host: &Host, detail: Detail) -> bool {
    let terminals = out::stdout_is_terminal() && out::stderr_is_terminal();
    let live = terminals && detail != Detail::Quiet && !logging::is_on_stderr(host);
    live && host.variable("TERM") != Some("dumb")
}

/// What the terminal can show, by the user's locale.
pub(super) fn glyphs(host: &Host) -> Glyphs {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| host.variable(name));
    // Terminals of today show UTF-8 where nothing is said of it.
    let other = locale.is_some_and(|locale| !locale.to_ascii_lowercase().replace('-', "").contains("utf8"));
    if other { Glyphs::Ascii } else { Glyphs::Unicode }
}

/// The first Ctrl-C (or TERM, or HUP) asks stages to stop where that is safe; the second ends the process at once, which loses
/// nothing that was finished.
pub(super) fn listen(host: &Host) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::flag;
    // A file past the shell's limit on sizes is an error to be reported, as a full disk is, and not a reason to die.
    let _ = flag::register(libc::SIGXFSZ, Arc::default());
    for signal in [SIGINT, SIGTERM] {
        // Where a handler can't be set, the signal ends the process as it always did.
        let _ =
            flag::register_conditional_shutdown(signal, Exit::Interrupted.code().into(), Arc::clone(&host.signalled));
        let _ = flag::register(signal, Arc::clone(&host.signalled));
    }
    // The terminal is gone. It may be said twice, by the system and by a shell, so the second ends nothing. `nohup` lets go on.
    if !is_ignored(SIGHUP) {
        let _ = flag::register(SIGHUP, Arc::clone(&host.signalled));
    }
}

/// The gravest of what failed fixes the exit code.
pub(super) fn exit(report: &Report) -> Exit {
    let of = |error: &StageError| match error {
        StageError::Bug(_) => Exit::Bug,
        StageError::Store(_) => Exit::Store,
        StageError::Input { .. } | StageError::Stopped => Exit::StageFailed,
    };
    let codes: Vec<Exit> = report.failed.iter().map(|failure| of(&failure.error)).collect();
    let gravest = [Exit::Bug, Exit::Store, Exit::StageFailed].into_iter().find(|exit| codes.contains(exit));
    gravest.unwrap_or(if report.stopped { Exit::Interrupted } else { Exit::Done })
}
