//! Cache states of a pipeline's stages: whether each is cached, why it would run, what it made last. Computed in a separate
//! thread with the engine of `plan`, without writing to the store.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::base::sync;
use crate::lang::spec::Pipeline;
use crate::lang::{addresses, ranking};
use crate::plan::{Decision, Engine, Explanation, Graph, Reason, StageId};
use crate::run::{Host, ProjectFiles};
use crate::stage::{Cell, Files, Implementation, StageError, Summary};
use crate::store::{Accept, Entry, Store};

/// Time without changes before a text is examined.
const QUIET: Duration = Duration::from_millis(150);
/// Bytes of files hashed per examination; `macula plan` and `macula run` hash and cache the rest.
const MOST_HASHED: u64 = 256 << 20;
/// Maximum number of table rows shown.
const ROWS: usize = 8;

/// Request for the states of a text's pipelines.
pub(super) struct Question {
    /// URI of the text.
    pub(super) uri: String,
    /// The text's version.
    pub(super) version: i32,
    /// Valid pipelines.
    pub(super) pipelines: Vec<Pipeline>,
    /// The project's folder.
    pub(super) project: PathBuf,
}

/// Cache states of the stages of a text.
#[derive(Debug, Default, PartialEq)]
pub(super) struct CacheStates {
    /// URI of the text.
    pub(super) uri: String,
    /// Version of the text when requested.
    pub(super) version: i32,
    stages: BTreeMap<(String, String), StageCacheState>,
}

/// Cache state of one stage.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StageCacheState {
    /// What a run would do.
    pub(super) will: Will,
    /// Short reason.
    pub(super) why: String,
    /// Headline of its result; for a stage that will run, of its last result.
    pub(super) made: String,
    /// Tables of its result, as Markdown.
    pub(super) tables: String,
    /// Most important metric of its result; for a stage that will run, of its last result.
    pub(super) metric: Option<(String, f64)>,
}

impl StageCacheState {
    /// What a run would do and why, in words.
    pub(super) fn verdict(&self) -> String {
        let why = if self.why.is_empty() { String::new() } else { format!(": {}", self.why) };
        format!("{}{why}", self.will.words())
    }
}

/// What a run would do with a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Will {
    /// Check it: it is a source.
    Source,
    /// Reuse its result from the store.
    Reuse,
    /// Run it.
    Run,
    /// Unknown until a run.
    Unknown,
    /// Fail.
    Fail,
}

impl Will {
    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Source => "source, checked in every run",
            Self::Reuse => "cached: will not run",
            Self::Run => "will run",
            Self::Unknown => "not known yet",
            Self::Fail => "cannot run",
        }
    }

    /// Whether its result is missing.
    pub(super) fn is_open(self) -> bool {
        !matches!(self, Self::Source | Self::Reuse)
    }
}

impl CacheStates {
    /// All of them: pipeline, dotted name of the stage, state.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str, &StageCacheState)> {
        self.stages.iter().map(|((pipeline, stage), state)| (pipeline.as_str(), stage.as_str(), state))
    }

    /// Stages of a pipeline, by their dotted names.
    pub(super) fn of(&self, pipeline: &str) -> impl Iterator<Item = (&str, &StageCacheState)> {
        let of_pipeline = self.stages.iter().filter(move |((name, _), _)| name == pipeline);
        of_pipeline.map(|((_, stage), state)| (stage.as_str(), state))
    }

    /// A stage, all copies of one in a `repeat`, or the stages of a template's instance.
    pub(super) fn of_name(&self, pipeline: &str, name: &str) -> impl Iterator<Item = (&str, &StageCacheState)> {
        self.of(pipeline).filter(move |(stage, _)| is_about(name, stage))
    }

    /// One stage.
    pub(super) fn get(&self, pipeline: &str, stage: &str) -> Option<&StageCacheState> {
        self.stages.get(&(pipeline.to_owned(), stage.to_owned()))
    }
}

/// Whether a stage is the one with that name, a copy of it in a `repeat`, or part of a template's instance with that name.
pub(super) fn is_about(name: &str, stage: &str) -> bool {
    addresses(name, stage) || stage.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
}

/// Starts the thread that answers questions; it calls `answer` for each, and ends when the sender is dropped.
pub(super) fn begin(
    host: Host,
    implementations: &'static [Implementation],
    answer: impl Fn(CacheStates) + Send + 'static,
) -> Sender<Question> {
    let (ask, questions) = channel();
    // If the system refuses a thread, questions are not answered.
    let _ = std::thread::Builder::new().spawn(move || answers(&host, implementations, &questions, &answer));
    ask
}

fn answers(
    host: &Host,
    implementations: &'static [Implementation],
    questions: &Receiver<Question>,
    answer: &(impl Fn(CacheStates) + Send),
) {
    let seen = Mutex::new(DigestsByFile::new());
    let mut waiting: BTreeMap<String, Question> = BTreeMap::new();
    loop {
        let next = if waiting.is_empty() { questions.recv().ok() } else { None };
        if let Some(question) = next {
            waiting.insert(question.uri.clone(), question);
        } else if waiting.is_empty() {
            return;
        }
        // Newer questions replace older ones until no text has changed for a while. Repeating a question is not a change.
        let mut end = Instant::now() + QUIET;
        loop {
            match questions.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(question) => {
                    if waiting.get(&question.uri).is_none_or(|old| old.version != question.version) {
                        end = Instant::now() + QUIET;
                    }
                    waiting.insert(question.uri.clone(), question);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        for question in std::mem::take(&mut waiting).into_values() {
            let looked = || look(host, implementations, &question, &seen);
            // A panic there costs the states, not the session.
            if let Ok(stages) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(looked)) {
                // Without a store, nothing is known.
                let stages = stages.unwrap_or_default();
                answer(CacheStates { uri: question.uri, version: question.version, stages });
            }
        }
    }
}

/// Cache states of the stages; [`None`] without a store.
fn look(
    host: &Host,
    implementations: &'static [Implementation],
    question: &Question,
    seen: &Mutex<DigestsByFile>,
) -> Option<BTreeMap<(String, String), StageCacheState>> {
    let store = Store::open_read_only(&host.store(&question.project))?;
    let files = Looking {
        files: ProjectFiles::new(host, &question.project, &store),
        store: &store,
        host,
        seen,
        left: Mutex::new(MOST_HASHED),
    };
    let mut stages = BTreeMap::new();
    for pipeline in &question.pipelines {
        let (graph, diags) = Graph::new(pipeline);
        if !diags.is_empty() {
            continue;
        }
        let wanted = graph.order().iter().copied().collect();
        let Ok(engine) = Engine::new(pipeline, graph, implementations, &store, &files, Accept::AnyTarget) else {
            continue;
        };
        for (id, decision) in engine.plan(&wanted) {
            let state = state(&engine, id, &decision);
            stages.insert((pipeline.name.clone(), engine.stage(id).name.clone()), state);
        }
    }
    Some(stages)
}

fn state(engine: &Engine, id: StageId, decision: &Decision) -> StageCacheState {
    let explanation = Explanation::of(engine, id, decision);
    let names = |ids: &[StageId]| {
        let names: Vec<String> = ids.iter().map(|id| format!("`{}`", engine.stage(*id).name)).collect();
        names.join(", ")
    };
    let last = explanation.last.as_ref().map(|(_, stage)| stage.headline.clone()).filter(|line| !line.is_empty());
    let last = last.map(|line| format!("Last time: {line}")).unwrap_or_default();
    let kind = &engine.stage(id).stage_type;
    let metric = explanation.last.as_ref().and_then(|(_, stage)| main_metric(kind, &stage.metrics));
    let plain = |will, why: String| {
        let (made, metric) = (last.clone(), metric.clone());
        StageCacheState { will, why, made, tables: String::new(), metric }
    };
    match decision {
        Decision::Source(known) => made(Will::Source, String::new(), &known.summary, kind),
        Decision::Reuse(known, reused) => {
            let why = reused.other_target.as_ref().map(|target| format!("computed on `{target}`")).unwrap_or_default();
            made(Will::Reuse, why, &known.summary, kind)
        }
        Decision::Run(task) => {
            let mut why = explanation.reason.as_ref().map(Reason::short).unwrap_or_default();
            if let Some(items) = task.items.filter(|items| items.reused > 0) {
                let _ = write!(
                    why,
                    "; {} of {} reused",
                    items.reused,
                    crate::base::figure::counted(items.total, "item", "items")
                );
            }
            if let Some((_, stage)) = explanation.last.as_ref().filter(|(_, stage)| stage.last_seconds >= 1.0) {
                let _ = write!(why, "; took {:.0} s last time", stage.last_seconds);
            }
            plain(Will::Run, why)
        }
        Decision::Unknown(until) => plain(Will::Unknown, format!("until {} has run", names(until))),
        Decision::Failed(StageError::Input { code, text, .. }) if *code == NOT_READ => {
            plain(Will::Unknown, text.clone())
        }
        Decision::Failed(error) => plain(Will::Fail, error.to_string()),
        Decision::Blocked(by) => plain(Will::Unknown, format!("needs {}", names(by))),
    }
}

/// The first metric of a stage type that a result has, with its value.
fn main_metric(kind: &str, metrics: &BTreeMap<String, f64>) -> Option<(String, f64)> {
    let known = ranking::of(kind).iter().find_map(|metric| metrics.get_key_value(&metric.name));
    known.map(|(name, value)| (name.clone(), *value)).filter(|(_, value)| value.is_finite())
}

fn made(will: Will, why: String, summary: &Summary, kind: &str) -> StageCacheState {
    let mut tables = String::new();
    for table in summary.tables.iter().take(2).filter(|table| !table.rows.is_empty()) {
        let _ = write!(
            tables,
            "\n\n{}\n\n| {} |\n|{}",
            table.title,
            table.columns.join(" | "),
            "---|".repeat(table.columns.len())
        );
        for row in table.rows.iter().take(ROWS) {
            let cells: Vec<String> = row.iter().map(cell).collect();
            let _ = write!(tables, "\n| {} |", cells.join(" | "));
        }
        if table.rows.len() > ROWS {
            let _ = write!(tables, "\n\n{} more rows: `macula show`", table.rows.len() - ROWS);
        }
    }
    let metric = main_metric(kind, &summary.metrics);
    StageCacheState { will, why, made: summary.headline.clone(), tables, metric }
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Int(value) => value.to_string(),
        Cell::Real(value) => format!("{value:.4}"),
        Cell::Text(text) => text.replace('|', "\\|"),
        Cell::Null(()) => "-".to_owned(),
    }
}

/// Code of the error for a file that has not been hashed yet.
const NOT_READ: &str = "not-read";

/// Digests computed here, by the file's state at that time: path, size, time and inode.
type DigestsByFile = BTreeMap<(PathBuf, u64, i64, i64, u64), Entry>;

/// Files of a project, with a limit on hashed bytes.
struct Looking<'a> {
    files: ProjectFiles<'a>,
    store: &'a Store,
    host: &'a Host,
    seen: &'a Mutex<DigestsByFile>,
    left: Mutex<u64>,
}

impl Files for Looking<'_> {
    fn list(&self, folder: &Path) -> Result<Vec<String>, StageError> {
        self.files.list(folder)
    }

    fn entry(&self, file: &Path) -> Result<Entry, StageError> {
        let remembered = self.store.files.remembered(file);
        if let Some(entry) = remembered {
            self.store.objects.put_external([(&entry, file)]);
            return Ok(entry);
        }
        let Ok(facts) = fs::metadata(file) else { return self.files.entry(file) };
        let key = (file.to_owned(), facts.len(), facts.mtime(), facts.mtime_nsec(), facts.ino());
        let lock = |error: std::sync::PoisonError<_>| error.into_inner();
        if let Some(entry) = self.seen.lock().unwrap_or_else(lock).get(&key).copied() {
            self.store.objects.put_external([(&entry, file)]);
            return Ok(entry);
        }
        {
            let mut left = sync::lock(&self.left);
            if *left < facts.len() {
                let text = "its files have not been read yet; run `macula plan`";
                return Err(StageError::input(NOT_READ, text));
            }
            *left -= facts.len();
        }
        let entry = self.files.entry(file)?;
        // A file changed just now may change again without a new timestamp.
        let age = self.host.nanoseconds() / 1_000_000_000;
        if facts.mtime().cast_unsigned() + 2 < age {
            self.seen.lock().unwrap_or_else(lock).insert(key, entry);
        }
        Ok(entry)
    }

    fn put(&self, bytes: &[u8]) -> Result<Entry, StageError> {
        self.files.put(bytes)
    }

    fn resolve(&self, path: &str) -> PathBuf {
        self.files.resolve(path)
    }
}
