//! Executes what must run. Names no stage; the clock and the environment come in through its [`Host`].

pub mod commands;
pub mod context;
pub mod data_check;
pub mod events;
pub mod executor;
pub mod files;
mod fingerprint;
pub mod follow;
pub mod host;
pub mod job;
mod links;
mod listing;
pub mod lockfile;
mod look_recorder;
pub mod looks;
mod map;
pub mod missing;
mod near;
pub mod pack;
pub mod provenance;
pub mod record;
pub mod remotes;
pub mod repair;
pub mod resources;
pub mod results;
mod seen;
pub mod slurm;
pub mod state;
pub mod status;
pub mod time;
pub mod transfer;
pub mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

pub use events::{Event, Nobody, Watch};
pub use executor::{Failures, StageFailure};
pub use files::ProjectFiles;
pub use host::Host;
use near::NearDuplicates;
use seen::SeenCheck;
pub use trust::Trust;

use crate::base::budget::Budget;
use crate::base::usage::{Whose, peak_memory};
use crate::base::{Digest, Sources, threads};
use crate::diag::Diag;
use crate::lang::executor::ExecutorSpec;
use crate::lang::near::near;
use crate::lang::spec::Pipeline;
use crate::plan::{self, Decision, Engine, Explanation, Graph, StageId, StageResults};
use crate::sandbox::SandboxMode;
use crate::stage::{Implementation, StageError};
use crate::store::{Accept, RunOutcome, RunRecord, StageOutcome, Store, StoreError};

/// What to run, and where.
#[derive(Clone)]
pub struct Project<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The source texts that its spans point into; may be empty.
    pub sources: &'a Sources,
    /// Its file, for the record.
    pub file: String,
    /// The project's folder: paths start from it, and `results/` lies in it.
    pub folder: PathBuf,
    /// The implementations of stages.
    pub implementations: &'a [Implementation],
    /// The store.
    pub store: &'a Store,
}

/// Run options.
#[derive(Clone, Debug)]
pub struct Options {
    /// Maximum number of stages at the same time.
    pub jobs: usize,
    /// Number of threads, shared by all stages. Results do not depend on it.
    pub threads: usize,
    /// Memory for the items of map stages in flight, bytes.
    pub memory: u64,
    /// Memory and devices that stages share.
    pub resources: resources::ResourceLimits,
    /// What happens when a stage fails.
    pub failures: Failures,
    /// Whether results of another target are accepted.
    pub accept: Accept,
    /// The stages to run, with their dependencies; all if empty.
    pub targets: Vec<String>,
    /// Whether users' commands are sandboxed.
    pub sandbox: SandboxMode,
    /// Which commands are trusted.
    pub trust: Trust,
    /// Whether outputs are linked by name.
    pub links: Links,
    /// Time limit and retries of stages.
    pub limits: Limits,
    /// The target of this machine's kernels, for the record.
    pub kernels: Option<String>,
    /// The cluster that computes stages, if they are not computed here.
    pub cluster: Option<(ExecutorSpec, slurm::client::SlurmClient)>,
}

/// Time limit and retries of stages.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum run time of a stage; [`None`] means no limit. The stage ends at the next safe point.
    pub timeout: Option<Duration>,
    /// How often a stage is retried after a transient error ([`StoreError::can_pass`]).
    pub retries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: None, retries: 2 }
    }
}

/// Whether a run's outputs are linked below `results/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Linked.
    Results,
    /// Not linked: a trial run.
    None,
}

impl Options {
    /// The defaults, on `processors`.
    #[must_use]
    pub fn usual(processors: usize) -> Self {
        Self {
            jobs: processors,
            threads: processors,
            memory: 2 << 30,
            resources: resources::ResourceLimits::of(None),
            failures: Failures::FailFast,
            accept: Accept::AnyTarget,
            targets: Vec::new(),
            sandbox: SandboxMode::Enforced,
            trust: Trust::default(),
            links: Links::Results,
            limits: Limits::default(),
            kernels: None,
            cluster: None,
        }
    }
}

/// Why a plan cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Errors in the pipeline.
    #[error("the pipeline cannot be run")]
    Pipeline(Vec<Diag>),
    /// A target that is not a stage.
    #[error("unknown stage `{name}`")]
    NoStage {
        /// The target.
        name: String,
        /// The stage with the most similar name.
        near: Option<String>,
        /// All stages, each once.
        known: Vec<String>,
    },
    /// An error of the store, or a bug.
    #[error(transparent)]
    Stage(#[from] StageError),
}

impl From<StoreError> for PlanError {
    fn from(error: StoreError) -> Self {
        Self::Stage(error.into())
    }
}

/// Result of a run.
#[derive(Debug)]
pub struct Report {
    /// Its record.
    pub record: RunRecord,
    /// What failed.
    pub failed: Vec<StageFailure>,
    /// Stages with known outputs.
    pub known: StageResults,
    /// Whether the user stopped it.
    pub stopped: bool,
}

/// Builds an engine and passes it, with the wanted stages, to `work`.
///
/// # Errors
/// [`PlanError`] if no plan is possible.
pub fn with_engine<T>(
    host: &Host,
    project: &Project,
    targets: &[String],
    accept: Accept,
    work: impl FnOnce(&Engine, &BTreeSet<StageId>) -> T,
) -> Result<T, PlanError> {
    let (graph, diags) = Graph::new(project.pipeline);
    if !diags.is_empty() {
        return Err(PlanError::Pipeline(diags));
    }
    let mut wanted: BTreeSet<StageId> = graph.order().iter().copied().collect();
    if !targets.is_empty() {
        let mut ids = Vec::new();
        for name in targets {
            ids.extend(target(project, &graph, name)?);
        }
        wanted = graph.with_needs(&ids);
    }
    let files = ProjectFiles::new(host, &project.folder, project.store);
    let check = SeenCheck::new(near_duplicates(host, project));
    let engine = Engine::new(project.pipeline, graph, project.implementations, project.store, &files, accept)?;
    Ok(work(&engine.checking(&check), &wanted))
}

/// The comparison of a project's photographs, unless `project.kdl` turns it off.
fn near_duplicates<'a>(host: &Host, project: &Project<'a>) -> NearDuplicates<'a> {
    let wanted = host.compares_photographs(&project.folder);
    NearDuplicates::new(if wanted { project.implementations } else { &[] })
}

/// The stages that a target names: a stage, all outputs of a stage with a body, those of all copies of a `repeat`, or in a sweep those of
/// all points.
fn target(project: &Project, graph: &Graph, name: &str) -> Result<Vec<StageId>, PlanError> {
    let Pipeline { stages, instances, .. } = project.pipeline;
    let means = |base: &str, name: &str, wanted: &str| crate::lang::addresses(wanted, base) || name == wanted;
    let is_asked = |asked: Option<&str>, port: &str| asked.is_none_or(|asked| asked == port);
    let of_instance = |wanted: &str, asked: Option<&str>| -> Vec<StageId> {
        let of = instances.iter().filter(|one| means(crate::lang::spec::base_name(&one.name), &one.name, wanted));
        let outputs = of.flat_map(|one| &one.outputs).filter(|(port, _)| is_asked(asked, port));
        outputs.filter_map(|(_, from)| graph.find(&from.stage)).collect()
    };
    let of_stage = |wanted: &str, asked: Option<&str>| -> Vec<StageId> {
        let of = stages.iter().enumerate().filter(|(_, stage)| means(&stage.base_name, &stage.name, wanted));
        let of = of.filter(|(_, stage)| asked.is_none() || stage.outputs.iter().any(|out| is_asked(asked, &out.port)));
        of.map(|(at, _)| StageId(at)).collect()
    };
    // One output of a stage with a body; the name alone means all of them.
    if instances.iter().all(|instance| instance.name != name) {
        let outlets = project.pipeline.outlets(name).into_iter();
        let ids: Vec<StageId> = outlets.filter_map(|reference| graph.find(&reference.stage)).collect();
        if !ids.is_empty() {
            return Ok(ids);
        }
    }
    // `folds.train` means the stage `folds`.
    let names = [Some((name, None)), name.rsplit_once('.').map(|(stage, port)| (stage, Some(port)))];
    let found = names.into_iter().flatten().find_map(|(name, asked)| {
        let ids = [of_instance(name, asked), of_stage(name, asked)].concat();
        (!ids.is_empty()).then_some(ids)
    });
    found.ok_or_else(|| {
        let names = stages.iter().map(|stage| stage.base_name.as_str());
        let near = near(name, names.clone()).map(str::to_owned);
        let mut known: Vec<String> = Vec::new();
        names.for_each(|name| known.extend((!known.iter().any(|one| one == name)).then(|| name.to_owned())));
        PlanError::NoStage { name: name.to_owned(), near, known }
    })
}

/// Decides and explains every stage, for `plan` and `why`.
///
/// # Errors
/// As [`with_engine`].
pub fn plan<T>(
    host: &Host,
    project: &Project,
    options: &Options,
    show: impl FnOnce(&Engine, Vec<(StageId, &Decision, Explanation)>) -> T,
) -> Result<T, PlanError> {
    with_engine(host, project, &options.targets, options.accept, |engine, wanted| {
        let decisions = engine.plan(wanted);
        project.store.files.save();
        show(engine, explained(engine, &decisions))
    })
}

fn explained<'a>(
    engine: &Engine,
    decisions: &'a BTreeMap<StageId, Decision>,
) -> Vec<(StageId, &'a Decision, Explanation)> {
    let order = engine.graph.order().iter().filter_map(|id| decisions.get_key_value(id));
    order.map(|(id, decision)| (*id, decision, Explanation::of(engine, *id, decision))).collect()
}

/// Runs everything that is not up to date.
///
/// # Errors
/// As [`with_engine`]; failed stages are not an error but part of the [`Report`].
pub fn execute(host: &Host, project: &Project, options: &Options, watch: &dyn Watch) -> Result<Report, PlanError> {
    let clock = Instant::now();
    let began = host.nanoseconds();
    let mut record = RunRecord {
        id: id_at(began),
        pipeline: project.pipeline.name.clone(),
        file: project.file.clone(),
        began,
        ended: RunOutcome::Running,
        macula: env!("CARGO_PKG_VERSION").to_owned(),
        machine: machine(host, options),
        ..RunRecord::default()
    };
    let pool = pool(options.threads)?;
    with_engine(host, project, &options.targets, options.accept, |engine, wanted| {
        let folder = project.store.runs.folder(&record.id);
        let recorder = record::Recorder::new(&folder, host, watch);
        // A killed run stays on record as one that did not end.
        project.store.runs.write(&record);
        let decisions = engine.plan(wanted);
        let explained = explained(engine, &decisions);
        let _ = std::fs::write(folder.join("plan.json"), record::plan(engine, &explained).to_string());
        let upgrades = plan::upgrades(engine, &explained);
        drop(explained);
        let count = |of: fn(&Decision) -> bool| decisions.values().filter(|decision| of(decision)).count();
        recorder.event(&Event::RunBegan {
            run: record.id.clone(),
            pipeline: record.pipeline.clone(),
            file: project.file.clone(),
            stages: wanted.len(),
            to_run: count(|decision| matches!(decision, Decision::Run(_))),
            unknown: count(|decision| matches!(decision, Decision::Unknown(_))),
            widest: wanted.iter().map(|id| engine.stage(*id).name.chars().count()).max().unwrap_or(0),
        });
        for upgrade in upgrades {
            recorder.event(&Event::Upgraded { upgrade });
        }
        let shared = context::RunContext {
            engine,
            host,
            pool: &pool,
            threads: pool.current_num_threads(),
            budget: Budget::new(options.memory),
            watch: &recorder,
            run: record.id.clone(),
            file: project.file.clone(),
            project: project.folder.clone(),
            results: match options.links {
                Links::Results => Some(results::folder(&project.folder, &project.pipeline.name)),
                Links::None => None,
            },
            sandbox: options.sandbox,
            trust: options.trust.clone(),
            reported_no_locks: AtomicBool::default(),
        };
        let near = near_duplicates(host, project);
        near.compute(&shared, &decisions, options.memory);
        for (id, warning) in engine.foreseen(decisions.iter().map(|(id, decision)| (*id, decision))) {
            recorder.event(&Event::Warned { stage: engine.stage(id).name.clone(), warning });
        }
        let mut executor = executor::Executor::new(&shared, project.sources, options.jobs, options.failures, decisions);
        executor.limits = options.limits;
        executor.share(options.resources);
        executor.cluster = options.cluster.clone().map(executor::ClusterLink::new);
        executor.run();
        project.store.files.save();
        let stopped = executor.stopped();
        record.compared = near.keys(engine, executor.known());
        let results = match options.links {
            Links::Results => {
                look_recorder::record(host, project, engine, executor.known(), &recorder);
                near.link((host, project), engine, executor.known(), &recorder);
                links::link(host, project, engine, executor.known(), &recorder)
            }
            Links::None => None,
        };
        record.ended = match (executor.failed.is_empty(), stopped) {
            (false, _) => RunOutcome::Failed,
            (true, true) => RunOutcome::Stopped,
            (true, false) => RunOutcome::Done,
        };
        record.seconds = clock.elapsed().as_secs_f64();
        record.peak_bytes = peak_memory(Whose::Own);
        record.commands_peak_bytes = peak_memory(Whose::Children);
        let computed = executor.ended(StageOutcome::Computed) + executor.ended(StageOutcome::Repaired);
        recorder.event(&Event::RunEnded {
            ended: record.ended,
            computed,
            reused: executor.ended(StageOutcome::Reused),
            seconds: record.seconds,
            results,
        });
        let known = executor.known().clone();
        record.stages = std::mem::take(&mut executor.stages);
        let failed = std::mem::take(&mut executor.failed);
        drop(executor);
        project.store.runs.write(&record);
        Report { record, failed, known, stopped }
    })
}

/// The id of a run that starts at a time.
fn id_at(began: u64) -> String {
    let salt = Digest::of(format!("{began} {}", std::process::id()).as_bytes()).to_string();
    // Milliseconds come first, so that runs of the same second sort in order.
    format!("{}-{:03}{}", time::compact(began), began / 1_000_000 % 1_000, &salt[..3])
}

/// The thread pool that all stages share.
fn pool(threads: usize) -> Result<rayon::ThreadPool, StageError> {
    threads::pool(threads).map_err(|error| no_thread(&error))
}

/// The error if the system does not even start one thread.
fn no_thread(error: &std::io::Error) -> StageError {
    StageError::input("no-thread", format!("cannot start a thread: {error}"))
        .hint("the limit on processes (`ulimit -u`) or address space (`ulimit -v`) is reached; raise it, or lower `--threads` and `--jobs`")
}

fn machine(host: &Host, options: &Options) -> BTreeMap<String, String> {
    let facts = [
        ("os", std::env::consts::OS.to_owned()),
        ("arch", std::env::consts::ARCH.to_owned()),
        ("processors", host.processors.to_string()),
        ("threads", options.threads.to_string()),
        ("jobs", options.jobs.to_string()),
    ];
    let kernels = options.kernels.iter().map(|kernels| ("kernels", kernels.clone()));
    facts.into_iter().chain(kernels).map(|(name, value)| (name.to_owned(), value)).collect()
}
