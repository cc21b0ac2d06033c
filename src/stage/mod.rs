//! The contract between runner and stages. The runner names no stage, and a stage does not know the runner.

mod determinism;
mod item;
mod progress;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

pub use self::determinism::{Determinism, Tolerance, combined_target, is_combined};
pub use self::item::{Item, ItemResult};
pub use self::progress::{MetricColumn, MetricStyle, Metrics, NoProgress, Progress, note_resume, resume_note};
pub use self::settings::StageSettings;
use crate::base::Streams;
use crate::lang::value::Value;
pub use crate::sandbox::NetworkAccess;
use crate::store::{Asked, Entry, Fingerprint, Objects, StoreError, Tree};

/// A stage's implementation; its signature (ports, parameters, docs) is in `stdlib/`.
pub struct Implementation {
    /// The name in the signature's `impl`.
    pub name: &'static str,
    /// Raised with every change of its output; a golden digest per version enforces that.
    pub version: u32,
    /// The version for given parameters, if a fix changed the output only for some: all others keep their cached
    /// results. [`None`] if `version` holds for all. Read it through [`Implementation::version_of`].
    pub revised: Option<Revised>,
    /// Whether it draws from the pipeline's seed; if so, the seed is part of its key.
    pub seeded: bool,
    /// How reproducible its output is.
    pub determinism: Determinism,
    /// Optional cross-parameter validation; runs at check time and must not depend on inputs, but for which ports are connected. Fails
    /// with [`StageError::Input`] that names the field. Returns doubts: why it would fail on this machine, where results may exist already.
    pub check: Option<Check>,
    /// Optional warnings about the inputs that are known before the stage runs.
    pub foresee: Option<Foresee>,
    /// What it does not read of its inputs, if it does not read everything.
    pub narrow: Option<Narrow>,
    /// The work itself.
    pub work: Work,
}

impl Implementation {
    /// The version in the key for these parameters.
    #[must_use]
    pub fn version_of(&self, params: &BTreeMap<String, Value>) -> u32 {
        self.revised.map_or(self.version, |revised| revised(params))
    }
}

/// A version by parameters ([`Implementation::revised`]): at most `version`, and never one that had a different output.
pub type Revised = fn(&BTreeMap<String, Value>) -> u32;

/// Cross-parameter validation.
pub type Check = fn(&Params, &ConnectedPorts) -> Result<Vec<StageError>, StageError>;

/// Names of the input ports of a stage that are connected.
#[derive(Clone, Debug, Default)]
pub struct ConnectedPorts<'a>(pub BTreeSet<&'a str>);

impl ConnectedPorts<'_> {
    /// Whether a port is connected.
    #[must_use]
    pub fn has(&self, port: &str) -> bool {
        self.0.contains(port)
    }
}

/// Checks parameters and those inputs that exist before anything runs ([`Inputs`] has no trees of the others). Must be quick,
/// because every plan waits for it. Returns warnings; fails if the stage is sure to fail.
pub type Foresee = fn(&Params, &Inputs, &Objects) -> Result<Vec<Warning>, StageError>;

/// Inputs of which a stage reads only a part. It gets that part, and its key depends on nothing else.
#[derive(Clone, Copy)]
pub struct Narrow {
    /// Type of the outputs that make the difference. Without one upstream, the inputs are left as they are, so that their
    /// trees need not be read to make a key.
    pub upstream: &'static str,
    /// The part of each input that is read. Inputs that are not listed are read completely.
    pub read: fn(&Params, &Inputs, &Objects) -> Result<Vec<ReadPart>, StageError>,
}

/// Part of an input that is read: port, position at the port, and tree.
pub type ReadPart = (String, usize, Tree);

/// The kinds of work.
#[derive(Clone, Copy)]
pub enum Work {
    /// Describes files outside the store as a tree. Runs for every plan, so it must only list and digest.
    Source(fn(&Params, &dyn Files) -> Result<Outcome, StageError>),
    /// One computation over all inputs.
    Whole(fn(&Ctx) -> Result<Outcome, StageError>),
    /// As [`Work::Whole`], for a report that shows the origin of its inputs: their names and their stages' summaries
    /// ([`Named`]) are part of its key, so the report is rebuilt when one of them changes. All other kinds of work get
    /// names for messages only, and no summaries.
    Report(fn(&Ctx) -> Result<Outcome, StageError>),
    /// Runs a user's command outside of macula: only for a trusted pipeline, and sandboxed if the system can.
    Command {
        /// Prepares the command, runs it through [`CommandRunner`], and stores its outputs.
        run: fn(&Ctx, &dyn CommandRunner) -> Result<Outcome, StageError>,
        /// Where the command's code comes from.
        code: Code,
    },
    /// One computation per item, each with its own key (implementation, parameters, the item's name and tree).
    Map {
        /// The items of the inputs, in the order of the result.
        items: fn(&Ctx) -> Result<Vec<Item>, StageError>,
        /// Computes one item, using only the parameters, the streams and the item. Called from several threads.
        one: fn(&Ctx, &Item) -> Result<ItemResult, StageError>,
        /// Combines all results into one outcome.
        gather: Gather,
        /// Parameters that only select the items and do not affect their results: they are not part of the items' keys,
        /// and not passed to `one`.
        enumeration_params: &'static [&'static str],
    },
}

/// Where a command's code comes from. Trust covers it along with the pipeline's text, and all of it is part of the key.
#[derive(Clone, Copy)]
pub struct Code {
    /// Input ports whose content is always code.
    pub pinned: &'static [&'static str],
    /// Input ports whose content may be code: trust covers what comes from a source; what a stage produces follows from
    /// that.
    pub of_sources: &'static [&'static str],
    /// The input port of the command's program. A program in the project's folder is passed to it and covered by trust
    /// even if the pipeline does not connect the port.
    pub program: &'static str,
    /// The command's first word.
    pub word: fn(&Params) -> Option<String>,
    /// The memory limit for each of its processes, bytes.
    pub memory: fn(&Params) -> Option<u64>,
}

/// Combines the results of all items, in the order of the items.
pub type Gather = fn(&Ctx, &[(Item, Tree)]) -> Result<Outcome, StageError>;

/// Files outside the store, as sources see them. Digests are cached as far as modification times allow.
pub trait Files {
    /// The regular files below `folder`, as relative paths with `/`, sorted. Hidden files and folders are omitted.
    ///
    /// # Errors
    /// A [`StageError`] that names the folder that cannot be listed, the link that cannot be followed, or the special
    /// file.
    fn list(&self, folder: &Path) -> Result<Vec<String>, StageError>;
    /// The entry of one file. From then on, the store reads its bytes from there.
    ///
    /// # Errors
    /// A [`StageError`] that names the unreadable file.
    fn entry(&self, file: &Path) -> Result<Entry, StageError>;
    /// The entries of many files, which is faster than one by one.
    ///
    /// # Errors
    /// That of the first unreadable file.
    fn entries(&self, files: &[std::path::PathBuf]) -> Result<Vec<Entry>, StageError> {
        files.iter().map(|file| self.entry(file)).collect()
    }
    /// Says which file stands at a path of the source's tree, after its entry is known: other files may hold the same
    /// bytes.
    fn placed(&self, _entry: &Entry, _place: &str, _file: &Path) {}
    /// Reports a file that cannot be used although its entry is known: a pointer to content elsewhere. Fails with that error, unless the
    /// caller collects all of them.
    ///
    /// # Errors
    /// The error.
    fn refuse(&self, _file: &Path, error: StageError) -> Result<(), StageError> {
        Err(error)
    }
    /// Stores bytes that the source created (an index).
    ///
    /// # Errors
    /// Those of the store.
    fn put(&self, bytes: &[u8]) -> Result<Entry, StageError>;
    /// A path as the user wrote it, relative to the project's folder.
    fn resolve(&self, path: &str) -> std::path::PathBuf;
    /// The program that a command's first word names: in the user's `PATH`, or, with a `/`, relative to the project's
    /// folder. [`None`] if there is none.
    fn program(&self, _name: &str) -> Option<std::path::PathBuf> {
        None
    }
    /// As [`Files::program`], if the program is a file in the project's folder: it may change with the project.
    fn own_program(&self, _word: &str) -> Option<std::path::PathBuf> {
        None
    }
    /// Fingerprint of everything that was asked for, without reading files; [`None`] if it cannot be computed, or an
    /// answer has changed.
    fn fingerprint(&self, _asked: &[Asked]) -> Option<Fingerprint> {
        None
    }
    /// Number of entries from which on a source's result is cached: for fewer, checking the files is as fast as reading
    /// the cache.
    fn worth_remembering(&self) -> usize {
        1000
    }
    /// Nanoseconds since 1970; 0 without a clock.
    fn now(&self) -> u64 {
        0
    }
}

/// Runs commands for stages. Implemented by the runner, which keeps their output with the run's record.
pub trait CommandRunner: Sync {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// [`StageError::Input`] if it cannot be sandboxed, was not found, failed, exceeded a limit or violated the
    /// sandbox; [`StageError::Stopped`].
    fn run(&self, command: &Command) -> Result<CommandOutput, StageError>;
    /// Whether commands run in a sandbox; only then do they get hard links to files of the store.
    fn is_sandboxed(&self) -> bool;
    /// As [`Files::program`].
    fn program(&self, name: &str) -> Option<std::path::PathBuf>;
}

/// A command and its permissions.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Its working folder, which it may read.
    pub folder: std::path::PathBuf,
    /// Subfolders that it may also write.
    pub writes: Vec<std::path::PathBuf>,
    /// Other paths that it may read.
    pub reads: Vec<std::path::PathBuf>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Names of the user's environment variables that it inherits.
    pub inherited: Vec<String>,
    /// Whether it may use the network.
    pub network: NetworkAccess,
    /// Time limit.
    pub timeout: Option<std::time::Duration>,
    /// Memory limit for each of its processes, bytes.
    pub memory: Option<u64>,
    /// What the stage calls these, for messages.
    pub names: CommandNames,
}

/// Names of a stage's parameters and ports that determine its command, for messages: the runner knows no stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandNames {
    /// Parameter with the program and its arguments.
    pub words: &'static str,
    /// Parameter with the paths that it may read.
    pub reads: &'static str,
    /// Parameter that allows the network.
    pub network: &'static str,
    /// Parameter with the time limit, in seconds.
    pub timeout: &'static str,
    /// Parameter with the memory limit, in MiB.
    pub memory: &'static str,
    /// Port for one script, and port for several files; the command sees the first below `inputs/PORT`.
    pub code: [&'static str; 2],
}

/// Outcome of a successful command.
#[derive(Clone, Debug, Default)]
pub struct CommandOutput {
    /// Description of the sandbox: `Landlock, a network namespace`.
    pub sandbox: String,
    /// Paths that it reported as inaccessible, although it succeeded.
    pub denied_paths: Vec<String>,
}

/// The result of a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// A tree for each output port of the signature.
    pub outputs: BTreeMap<String, Tree>,
    /// Summary for the user; stored with the outputs and shown again when the result is reused.
    pub summary: Summary,
    /// Target that it was computed on, if that may differ from the one that [`Determinism::PathExact`] names: work resumed on another
    /// target, or a device that was chosen after its inputs were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// What a stage reports to the user: counts, metrics, warnings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// One short line: `9,504 patches of 54 photographs, 6,214 healthy`.
    pub headline: String,
    /// Metrics that the signature names, as far as they are defined: `mean-average-precision`, `average-precision.MA`.
    #[serde(rename = "figures", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Tables, the most important first.
    pub tables: Vec<Table>,
    /// Warnings, each with a name in the catalogue.
    pub warnings: Vec<Warning>,
    /// Settings of the stages that led to this result, sources first. Only what a page is given has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<StageSettings>,
}

/// A small table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// A short title.
    pub title: String,
    /// Column headers; the first column names the row.
    pub columns: Vec<String>,
    /// Rows, each as long as `columns`.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a [`Table`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// A count.
    Int(i64),
    /// A figure.
    Real(f64),
    /// Text.
    Text(String),
    /// No value (undefined, unknown): `null` in JSON, `-` on a terminal.
    Null(()),
}

/// A warning for the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Its code in the catalogue.
    pub code: String,
    /// Lower-case, names in backticks, no full stop.
    pub text: String,
}

/// An error of a stage.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A problem with the user's data or parameters: names the file or field, and what to do.
    #[error("{text}")]
    Input {
        /// Its code in the catalogue (`truncated-photograph`, `mask-size`, …).
        code: &'static str,
        /// Lower-case, names in backticks, no full stop.
        text: String,
        /// What the user can do about it.
        hint: Option<String>,
        /// The parameter or port at fault, dotted, if there is one; the runner adds its location.
        field: Option<String>,
    },
    /// An error of the store or the disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user asked to stop; the work can be resumed.
    #[error("stopped")]
    Stopped,
    /// A bug in macula.
    #[error("{0} (this is a bug in macula)")]
    Bug(String),
}

/// Escapes line breaks that are not macula's own, which are followed by four spaces: one in a file name must not start
/// a line.
fn unbroken(text: String) -> String {
    if !text.contains('\n') {
        return text;
    }
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + if line.starts_with("    ") { "\n" } else { "\\n" } + line)
}

impl StageError {
    /// An error in the user's data or parameters.
    #[must_use]
    pub fn input(code: &'static str, text: impl Into<String>) -> Self {
        Self::Input { code, text: unbroken(text.into()), hint: None, field: None }
    }

    /// Whether it has this code.
    #[must_use]
    pub fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Input { code, .. } if *code == wanted)
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, words: impl Into<String>) -> Self {
        if let Self::Input { hint, .. } = &mut self {
            *hint = Some(words.into());
        }
        self
    }

    /// Adds the parameter or port at fault.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>) -> Self {
        if let Self::Input { field, .. } = &mut self {
            *field = Some(name.into());
        }
        self
    }
}

/// Everything that a running stage may use.
pub struct Ctx<'a> {
    /// Its parameters.
    pub params: &'a Params,
    /// Its inputs by port.
    pub inputs: &'a Inputs,
    /// Its random streams.
    pub streams: Streams,
    /// The store's objects.
    pub objects: &'a Objects,
    /// A folder for checkpoints, which survives a kill and is passed to the next attempt at the same key.
    pub partial: &'a Path,
    /// Receives progress.
    pub progress: &'a dyn Progress,
    /// Raised when the user asks to stop.
    pub stop: &'a Stop,
}

/// A flag that the runner raises when the user asks to stop, or when a stage exceeds its time limit.
#[derive(Debug, Default)]
pub struct Stop {
    own: AtomicBool,
    above: Option<Arc<Stop>>,
}

impl Stop {
    /// A flag that is also up when `above` is.
    #[must_use]
    pub fn below(above: &Arc<Self>) -> Self {
        Self { own: AtomicBool::default(), above: Some(Arc::clone(above)) }
    }

    /// Raises the flag.
    pub fn raise(&self) {
        self.own.store(true, Ordering::SeqCst);
    }

    /// Whether the flag is up.
    #[must_use]
    pub fn raised(&self) -> bool {
        self.own.load(Ordering::SeqCst) || self.above.as_ref().is_some_and(|above| above.raised())
    }

    /// For use with `?` wherever stopping is safe.
    ///
    /// # Errors
    /// [`StageError::Stopped`] if the flag is up.
    pub fn check(&self) -> Result<(), StageError> {
        if self.raised() { Err(StageError::Stopped) } else { Ok(()) }
    }
}

/// The inputs of a stage: the trees given to each port.
#[derive(Clone, Debug, Default)]
pub struct Inputs(pub BTreeMap<String, Vec<Named>>);

/// A tree given to a port, with the name of its origin for messages.
#[derive(Clone, Debug)]
pub struct Named {
    /// The stage that produced it: `folds`.
    pub stage: String,
    /// `folds.train`.
    pub name: String,
    /// The tree.
    pub tree: Tree,
    /// The summary of that stage; only for [`Work::Report`].
    pub summary: Option<Summary>,
}

impl Inputs {
    /// The single tree of a required port.
    ///
    /// # Errors
    /// [`StageError::Bug`] if the port is empty, which the checker rules out.
    pub fn one(&self, port: &str) -> Result<&Tree, StageError> {
        self.optional(port).ok_or_else(|| StageError::Bug(format!("no input at port `{port}`")))
    }

    /// The tree of an optional port.
    #[must_use]
    pub fn optional(&self, port: &str) -> Option<&Tree> {
        self.0.get(port).and_then(|given| given.first()).map(|named| &named.tree)
    }

    /// Whether a port is connected, also if its trees are not known yet.
    #[must_use]
    pub fn is_connected(&self, port: &str) -> bool {
        self.0.contains_key(port)
    }

    /// All trees of a port.
    #[must_use]
    pub fn many(&self, port: &str) -> &[Named] {
        self.0.get(port).map_or(&[], Vec::as_slice)
    }
}

/// The parameters of a stage by dotted name, as checked: present, typed and in range.
#[derive(Clone, Debug, Default)]
pub struct Params(pub BTreeMap<String, Value>);

impl Params {
    /// The value of `name`; [`Value::None`] if it is omitted.
    #[must_use]
    pub fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::None)
    }

    /// A whole number.
    ///
    /// # Errors
    /// [`StageError::Bug`] if it is something else.
    pub fn int(&self, name: &str) -> Result<i64, StageError> {
        match self.get(name) {
            Value::Int(value) => Ok(*value),
            other => Err(wrong(name, "a whole number", other)),
        }
    }

    /// A non-negative whole number.
    ///
    /// # Errors
    /// [`StageError::Bug`] if it is something else.
    pub fn count(&self, name: &str) -> Result<usize, StageError> {
        usize::try_from(self.int(name)?).map_err(|_| wrong(name, "a count", self.get(name)))
    }

    /// A real number.
    ///
    /// # Errors
    /// [`StageError::Bug`] if it is something else.
    pub fn real(&self, name: &str) -> Result<f64, StageError> {
        match self.get(name) {
            Value::Real(value) => Ok(*value),
            Value::Int(value) => Ok(*value as f64),
            other => Err(wrong(name, "a number", other)),
        }
    }

    /// An optional real number.
    ///
    /// # Errors
    /// [`StageError::Bug`] if it is something else.
    pub fn real_or_none(&self, name: &str) -> Result<Option<f64>, StageError> {
        if matches!(self.get(name), Value::None) { Ok(None) } else { self.real(name).map(Some) }
    }

    /// An optional whole number.
    ///
    /// # Errors
    /// [`StageError::Bug`] if it is something else.
    pub fn count_or_none(&self, name: &str) -> Result<Option<usize>, StageError> {
        if matches!(self.get(name), Value::None) { Ok(None) } else { self.count(name).map(Some) }
    }

    /// Text, a name, a path as written, or the case of a choice.
    ///
    /// # Errors
    /// [`StageError::Bug`] if it is something else.
    pub fn text(&self, name: &str) -> Result<&str, StageError> {
        match self.get(name) {
            Value::Text(value) | Value::Path(value) => Ok(value),
            other => Err(wrong(name, "text", other)),
        }
    }

    /// `#true` or `#false`.
    ///
    /// # Errors
    /// [`StageError::Bug`] if it is something else.
    pub fn flag(&self, name: &str) -> Result<bool, StageError> {
        match self.get(name) {
            Value::Bool(value) => Ok(*value),
            other => Err(wrong(name, "#true or #false", other)),
        }
    }

    /// The values of a list; empty if it is omitted.
    #[must_use]
    pub fn list(&self, name: &str) -> &[Value] {
        if let Value::List(values) = self.get(name) { values } else { &[] }
    }

    /// The pairs of a map; [`None`] if it is omitted.
    #[must_use]
    pub fn map(&self, name: &str) -> Option<&BTreeMap<String, Value>> {
        if let Value::Map(values) = self.get(name) { Some(values) } else { None }
    }
}

fn wrong(name: &str, expected: &str, found: &Value) -> StageError {
    StageError::Bug(format!("parameter `{name}` should be {expected}, is {found:?}"))
}
