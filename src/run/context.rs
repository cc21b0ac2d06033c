//! The context of a run, which all of its jobs share, and the pool in which stages compute.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::events::Watch;
use super::host::Host;
use super::trust::Trust;
use crate::base::budget::Budget;
use crate::plan::Engine;
use crate::sandbox::SandboxMode;
use crate::stage::StageError;

/// What all jobs of a run share.
pub struct RunContext<'a> {
    /// The engine, for keys and items.
    pub engine: &'a Engine<'a>,
    /// Clock and stop signal.
    pub host: &'a Host,
    /// The threads for computations.
    pub pool: &'a rayon::ThreadPool,
    /// Number of threads in the pool.
    pub threads: usize,
    /// Limits the bytes in flight over all map stages.
    pub budget: Budget,
    /// Receives the events.
    pub watch: &'a dyn Watch,
    /// The run's id.
    pub run: String,
    /// The pipeline's file, as given.
    pub file: String,
    /// The project's folder.
    pub project: PathBuf,
    /// Where outputs are linked by name, if they are.
    pub results: Option<PathBuf>,
    /// Whether commands are sandboxed.
    pub sandbox: SandboxMode,
    /// Which commands may run.
    pub trust: Trust,
    /// Whether it was reported that the store's disk has no file locks.
    pub reported_no_locks: AtomicBool,
}

/// Runs a stage's code in the pool; a panic there is a bug of macula, but only fails this stage.
pub(super) fn guarded<T: Send>(
    run: &RunContext,
    work: impl FnOnce() -> Result<T, StageError> + Send,
) -> Result<T, StageError> {
    // The pool's threads know no span.
    let span = tracing::Span::current();
    let work = || run.pool.install(|| span.in_scope(work));
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// The error of a stage that panicked.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> StageError {
    let words = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    StageError::Bug(format!("the stage panicked: {}", words.unwrap_or("no message")))
}
