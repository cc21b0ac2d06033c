//! The contract between the runner and the stages. The runner names no stage; a stage knows no runner.

mod progress;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

pub use self::progress::{MetricColumn, MetricStyle, Metrics, Progress, note_resume, resume_note};
use crate::base::Streams;
use crate::lang::value::Value;
pub use crate::sandbox::Network;
use crate::store::{Asked, Entry, Fingerprint, Objects, StoreError, Tree};

/// What a stage does, as Rust knows it; its signature (ports, parameters, docs) is in `stdlib/`.
pub struct Implementation {
    /// The name that a signature's `impl` gives.
    pub name: &'static str,
    /// Raised with every change of its output. A golden digest per version keeps it honest.
    pub version: u32,
    /// The version for given parameters, when a fix changed the output only for some of them: nobody else computes again.
    /// [`None`] when `version` holds for all. Read it through [`Implementation::version_of`].
    pub revised: Option<Revised>,
    /// Whether it draws from the pipeline's seed (then the seed is in its key).
    pub seeded: bool,
    /// How far its output is the same elsewhere.
    pub determinism: Determinism,
    /// What its parameters can't be whatever it is given ([`StageError::Input`] with the field): asked when a pipeline is checked,
    /// before anything runs. [`None`] where each parameter's own type and range say all.
    pub check: Option<Check>,
    /// What can be said before it runs of the inputs that are known by then. [`None`] where that is nothing.
    pub foresee: Option<Foresee>,
    /// What it does.
    pub work: Work,
}

impl Implementation {
    /// The version that keys hold for these parameters.
    #[must_use]
    pub fn version_of(&self, params: &BTreeMap<String, Value>) -> u32 {
        self.revised.map_or(self.version, |revised| revised(params))
    }
}

/// A version by parameters ([`Implementation::revised`]): at most `version`, and never one that another output had.
pub type Revised = fn(&BTreeMap<String, Value>) -> u32;

/// Looks at parameters alone.
pub type Check = fn(&Params) -> Result<(), StageError>;

/// Looks at parameters and at the inputs that are there before anything runs (`Inputs` lacks all others), and must be quick: a plan waits
/// for it. What it gives is warned of; where it fails, the stage will not run.
pub type Foresee = fn(&Params, &Inputs, &Objects) -> Result<Vec<Warning>, StageError>;

/// How far an implementation's output is the same elsewhere.
#[derive(Clone, Copy)]
pub enum Determinism {
    /// The same bytes on any machine.
    BitExact,
    /// The same bytes on the same kernel path, whatever the threads; from path to path within a tolerance.
    PathExact {
        /// Names the path that this machine computes on (`cpu-avx512`), from the stage's parameters: they may ask for a device.
        path: fn(&BTreeMap<String, Value>) -> String,
        /// How far results of two paths lie apart.
        tolerance: Tolerance,
    },
    /// Nobody can promise it: a command of the user's. Its results are kept and reused as those of [`Determinism::BitExact`].
    Unknown,
}

/// How far two results of one key that were computed on different kernel paths lie apart at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Each figure of the summary, by its difference.
    pub figures: f64,
    /// Figures that it does not hold for: those that are no measure of how good a result is (`epoch`).
    pub free: &'static [&'static str],
}

impl Determinism {
    /// Its name, as the lock and `macula rebuild` have it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BitExact => "bit-exact",
            Self::PathExact { .. } => "path-exact",
            Self::Unknown => "unknown",
        }
    }
}

/// The three shapes of work.
#[derive(Clone, Copy)]
pub enum Work {
    /// Describes files outside the store as a tree. Runs whenever a plan is made, so it must only list and digest.
    Source(fn(&Params, &dyn Files) -> Result<Outcome, StageError>),
    /// One computation over all inputs.
    Whole(fn(&Ctx) -> Result<Outcome, StageError>),
    /// As [`Work::Whole`], for a page that shows where its inputs came from: their human names and the summaries of their stages
    /// ([`Named`]) are in its key too, so that the page is made again when a figure or a name on it changes. All other kinds
    /// of work are given names for texts only, and no summaries.
    Report(fn(&Ctx) -> Result<Outcome, StageError>),
    /// A command of the user's, run outside of macula: only of a pipeline that was trusted, and confined where the system can.
    Command {
        /// Prepares the command, runs it through [`CommandRunner`], takes in what it made.
        run: fn(&Ctx, &dyn CommandRunner) -> Result<Outcome, StageError>,
        /// Where the command's code comes from.
        code: Code,
    },
    /// One computation per item, each with a key of its own (the implementation, the parameters, the item's name and tree).
    Map {
        /// The items that the inputs hold, in the order of the result.
        items: fn(&Ctx) -> Result<Vec<Item>, StageError>,
        /// The result of one item; it may use nothing but the parameters, the streams and the item. Called from several threads.
        one: fn(&Ctx, &Item) -> Result<Tree, StageError>,
        /// All results into one outcome.
        gather: Gather,
        /// Parameters that say which items there are and nothing of what is made of each: they are not in the items' keys,
        /// and `one` is not given them.
        enumeration_params: &'static [&'static str],
    },
}

/// Where a command's code comes from: trust pins it beside the pipeline's text, and all of it is in the key.
#[derive(Clone, Copy)]
pub struct Code {
    /// Input ports that hold code, wherever it was made.
    pub pinned: &'static [&'static str],
    /// Input ports that may hold code: pinned is what a source gives there, for what a stage makes follows from what is pinned.
    pub of_sources: &'static [&'static str],
    /// The input port of the program that the command begins with. A program of the project's own folder is given there even if
    /// the pipeline does not say so, and pinned.
    pub program: &'static str,
    /// The command's first word.
    pub word: fn(&Params) -> Option<String>,
}

/// Joins the results of all items, in the order of the items.
pub type Gather = fn(&Ctx, &[(Item, Tree)]) -> Result<Outcome, StageError>;

/// One item of a map stage: a name and what it is computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name (`IDRiD_01`).
    pub name: String,
    /// All that its result depends on.
    pub tree: Tree,
    /// Its size for the scheduler, in any unit: bytes in flight are bounded by it. 0 where it does not matter.
    pub bytes_in_flight: u64,
}

/// Files outside the store, as sources see them. Digests come from a cache that is trusted only where the clock allows.
pub trait Files {
    /// The regular files below `folder`, relative with `/`, sorted. Hidden files and folders are left out.
    ///
    /// # Errors
    /// A [`StageError`] naming the folder that can't be listed, the link that can't be followed, or what is neither a file nor a folder.
    fn list(&self, folder: &Path) -> Result<Vec<String>, StageError>;
    /// The entry of one file. Afterwards the store reads its bytes from there.
    ///
    /// # Errors
    /// A [`StageError`] naming the file where it can't be read.
    fn entry(&self, file: &Path) -> Result<Entry, StageError>;
    /// As [`Files::entry`] of many files, which is faster.
    ///
    /// # Errors
    /// That of the first file that can't be read.
    fn entries(&self, files: &[std::path::PathBuf]) -> Result<Vec<Entry>, StageError> {
        files.iter().map(|file| self.entry(file)).collect()
    }
    /// Says which file stands at a place of the source's tree, once its entry is known: others may hold the same bytes.
    fn placed(&self, _entry: &Entry, _place: &str, _file: &Path) {}
    /// Puts bytes that the source made (an index) into the store.
    ///
    /// # Errors
    /// As the store's.
    fn put(&self, bytes: &[u8]) -> Result<Entry, StageError>;
    /// A path as the user wrote it, against the project's folder.
    fn resolve(&self, path: &str) -> std::path::PathBuf;
    /// The program that a command's first word means: of that name on the user's `PATH`, or where a path with `/` leads to from
    /// the project's folder. [`None`] where there is none.
    fn program(&self, _name: &str) -> Option<std::path::PathBuf> {
        None
    }
    /// As [`Files::program`], where that is a file of the project's own folder: it may change with the project.
    fn own_program(&self, _word: &str) -> Option<std::path::PathBuf> {
        None
    }
    /// How all that was asked for looks now, without reading a file; [`None`] where that can't be said, or something is not as the
    /// question has it.
    fn fingerprint(&self, _asked: &[Asked]) -> Option<Fingerprint> {
        None
    }
    /// From how many entries on what a source found is remembered: fewer files are looked at as fast as their memory is read.
    fn worth_remembering(&self) -> usize {
        1000
    }
    /// Nanoseconds since 1970; 0 where there is no clock.
    fn now(&self) -> u64 {
        0
    }
}

/// Runs commands for stages. The runner implements it; it keeps what a command says beside the run's record.
pub trait CommandRunner: Sync {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// [`StageError::Input`] where it can't be confined, was not found, failed, took too long or too much memory, or did what it
    /// may not; [`StageError::Stopped`].
    fn run(&self, command: &Command) -> Result<CommandOutput, StageError>;
    /// Whether the command will be confined; files of the store are lent to those alone.
    fn is_sandboxed(&self) -> bool;
    /// As [`Files::program`].
    fn program(&self, name: &str) -> Option<std::path::PathBuf>;
}

/// A command, and all it may do.
#[derive(Clone, Debug, Default)]
pub struct Command {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// The folder that it starts in and may read.
    pub folder: std::path::PathBuf,
    /// Folders below it that it may write, too.
    pub writes: Vec<std::path::PathBuf>,
    /// Places elsewhere that it may read.
    pub reads: Vec<std::path::PathBuf>,
    /// Its environment's variables.
    pub environment: BTreeMap<String, String>,
    /// Names of variables of the user's that it is given too.
    pub inherited: Vec<String>,
    /// Whether it may reach the network.
    pub network: Network,
    /// How long it may take.
    pub timeout: Option<std::time::Duration>,
    /// Bytes that each of its processes may hold.
    pub memory: Option<u64>,
}

/// A command that ended well.
#[derive(Clone, Debug, Default)]
pub struct CommandOutput {
    /// What kept it where it belongs, for people: `Landlock, a network namespace`.
    pub sandbox: String,
    /// Paths that it said it was kept from, though it ended well.
    pub denied_paths: Vec<String>,
}

/// What a stage returns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// A tree for each output port that the signature names.
    pub outputs: BTreeMap<String, Tree>,
    /// What people are told; stored beside the outputs, and shown again whenever the result is reused.
    pub summary: Summary,
}

/// What a stage tells people: counts before and after, figures, warnings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// One short line: `9,504 patches of 54 photographs, 6,214 healthy`.
    pub headline: String,
    /// Figures that the signature names, those that are defined: `mean-average-precision`, `average-precision.MA`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
    /// Tables, the most important first.
    pub tables: Vec<Table>,
    /// Warnings, each with a name in the catalogue.
    pub warnings: Vec<Warning>,
}

/// A small table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// A few words.
    pub title: String,
    /// Column heads; the first column names the row.
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

/// Something that the user should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Its name in the catalogue.
    pub code: String,
    /// Lower-case, names in backticks, no full stop.
    pub text: String,
}

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The user's data or parameters: says which file or field, and what to do.
    #[error("{text}")]
    Input {
        /// Its name in the catalogue (`truncated-photograph`, `mask-size`, …).
        code: &'static str,
        /// Lower-case, names in backticks, no full stop.
        text: String,
        /// What to do about it.
        hint: Option<String>,
        /// The parameter or port at fault, dotted, where there is one; the runner shows where it stands in the file.
        field: Option<String>,
    },
    /// The store or the disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user asked to stop; what was begun can be taken up again.
    #[error("stopped")]
    Stopped,
    /// A defect of macula.
    #[error("{0} (this is a defect of macula)")]
    Bug(String),
}

/// A text whose line breaks are macula's own, which are followed by four spaces: one in a file's name begins no line.
fn unbroken(text: String) -> String {
    if !text.contains('\n') {
        return text;
    }
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |text, line| text + if line.starts_with("    ") { "\n" } else { "\\n" } + line)
}

impl StageError {
    /// An error of the user's data or parameters.
    #[must_use]
    pub fn input(code: &'static str, text: impl Into<String>) -> Self {
        Self::Input { code, text: unbroken(text.into()), hint: None, field: None }
    }

    /// Whether it has that name in the catalogue.
    #[must_use]
    pub fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Input { code, .. } if *code == wanted)
    }

    /// Adds what to do about it.
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

/// Everything a running stage may use.
pub struct Ctx<'a> {
    /// Its parameters.
    pub params: &'a Params,
    /// What its input ports were given.
    pub inputs: &'a Inputs,
    /// Its random streams.
    pub streams: Streams,
    /// The store's objects.
    pub objects: &'a Objects,
    /// A folder of its own for checkpoints, kept when it is killed and handed to the next attempt at the same key.
    pub partial: &'a Path,
    /// Told of progress.
    pub progress: &'a dyn Progress,
    /// Raised when the user asks to stop.
    pub stop: &'a Stop,
}

/// A flag that the runner raises when the user asks to stop, or when a stage has run too long.
#[derive(Debug, Default)]
pub struct Stop {
    own: AtomicBool,
    above: Option<Arc<Stop>>,
}

impl Stop {
    /// A flag that is up when `above` is, too.
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

    /// For use with `?` at places where stopping is safe.
    ///
    /// # Errors
    /// [`StageError::Stopped`] where the flag is up.
    pub fn check(&self) -> Result<(), StageError> {
        if self.raised() { Err(StageError::Stopped) } else { Ok(()) }
    }
}

/// The inputs of a stage: for each port the trees given to it.
#[derive(Clone, Debug, Default)]
pub struct Inputs(pub BTreeMap<String, Vec<Named>>);

/// A tree given to a port and the human name of where it came from, for texts only.
#[derive(Clone, Debug)]
pub struct Named {
    /// The stage that made it: `folds`.
    pub stage: String,
    /// `folds.train`.
    pub name: String,
    /// The tree.
    pub tree: Tree,
    /// The summary of the stage it came from; given to [`Work::Report`] alone.
    pub summary: Option<Summary>,
}

impl Inputs {
    /// The one tree of a port that must be given.
    ///
    /// # Errors
    /// [`StageError::Bug`] where the port is empty: the checker lets no such pipeline through.
    pub fn one(&self, port: &str) -> Result<&Tree, StageError> {
        self.optional(port).ok_or_else(|| StageError::Bug(format!("no input at port `{port}`")))
    }

    /// The tree of a port that may be absent.
    #[must_use]
    pub fn optional(&self, port: &str) -> Option<&Tree> {
        self.0.get(port).and_then(|given| given.first()).map(|named| &named.tree)
    }

    /// All that a port was given.
    #[must_use]
    pub fn many(&self, port: &str) -> &[Named] {
        self.0.get(port).map_or(&[], Vec::as_slice)
    }
}

/// The parameters of a stage, by dotted name, as the checker left them: present, typed and in range.
#[derive(Clone, Debug, Default)]
pub struct Params(pub BTreeMap<String, Value>);

impl Params {
    /// The value of `name`; [`Value::None`] where a choice left it out.
    #[must_use]
    pub fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or(&Value::None)
    }

    /// A whole number.
    ///
    /// # Errors
    /// [`StageError::Bug`] where it is none.
    pub fn int(&self, name: &str) -> Result<i64, StageError> {
        match self.get(name) {
            Value::Int(value) => Ok(*value),
            other => Err(wrong(name, "a whole number", other)),
        }
    }

    /// A whole number that can't be negative.
    ///
    /// # Errors
    /// [`StageError::Bug`] where it is none.
    pub fn count(&self, name: &str) -> Result<usize, StageError> {
        usize::try_from(self.int(name)?).map_err(|_| wrong(name, "a count", self.get(name)))
    }

    /// A real number.
    ///
    /// # Errors
    /// [`StageError::Bug`] where it is none.
    pub fn real(&self, name: &str) -> Result<f64, StageError> {
        match self.get(name) {
            Value::Real(value) => Ok(*value),
            Value::Int(value) => Ok(*value as f64),
            other => Err(wrong(name, "a number", other)),
        }
    }

    /// A real number that may be absent.
    ///
    /// # Errors
    /// [`StageError::Bug`] where it is something else.
    pub fn real_or_none(&self, name: &str) -> Result<Option<f64>, StageError> {
        if matches!(self.get(name), Value::None) { Ok(None) } else { self.real(name).map(Some) }
    }

    /// A whole number that may be absent.
    ///
    /// # Errors
    /// [`StageError::Bug`] where it is something else.
    pub fn count_or_none(&self, name: &str) -> Result<Option<usize>, StageError> {
        if matches!(self.get(name), Value::None) { Ok(None) } else { self.count(name).map(Some) }
    }

    /// Text, a name, a path as written, or the case of a choice.
    ///
    /// # Errors
    /// [`StageError::Bug`] where it is none.
    pub fn text(&self, name: &str) -> Result<&str, StageError> {
        match self.get(name) {
            Value::Text(value) | Value::Path(value) => Ok(value),
            other => Err(wrong(name, "text", other)),
        }
    }

    /// `#true` or `#false`.
    ///
    /// # Errors
    /// [`StageError::Bug`] where it is neither.
    pub fn flag(&self, name: &str) -> Result<bool, StageError> {
        match self.get(name) {
            Value::Bool(value) => Ok(*value),
            other => Err(wrong(name, "#true or #false", other)),
        }
    }

    /// The values of a list; empty where it is absent.
    #[must_use]
    pub fn list(&self, name: &str) -> &[Value] {
        if let Value::List(values) = self.get(name) { values } else { &[] }
    }

    /// The pairs of a map; [`None`] where it is absent.
    #[must_use]
    pub fn map(&self, name: &str) -> Option<&BTreeMap<String, Value>> {
        if let Value::Map(values) = self.get(name) { Some(values) } else { None }
    }
}

fn wrong(name: &str, expected: &str, found: &Value) -> StageError {
    StageError::Bug(format!("parameter `{name}` should be {expected}, is {found:?}"))
}
