//! Repair of a store: quarantines damaged data and recomputes it from the recipes in the records, without the
//! pipelines.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::context::RunContext;
use super::events::Watch;
use super::job::{self, Ended};
use super::{Host, Options, ProjectFiles, Trust};
use crate::base::budget::Budget;
use crate::plan::{Engine, Graph, StageId, Task, keys, recipe};
use crate::stage::{Implementation, StageError};
use crate::store::verify::{self, Finding, Maker, Wrong};
use crate::store::{Absent, Accept, GcLock, Inventory, Record, Store, StoreError, Use};

/// Outcome of a repair.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Results that were recomputed with the same digests, and the seconds that each took.
    pub healed: Vec<(Maker, f64)>,
    /// Number of unreadable records that were removed; the next run recomputes those results.
    pub records: usize,
    /// Number of item segments rewritten without their damaged stretches.
    pub segments: usize,
    /// Number of intact results that can no longer be recomputed from their records, because a source's listing is
    /// lost.
    pub without_recipe: usize,
    /// What could not be repaired, and why.
    pub left: Vec<(Option<Maker>, String)>,
}

/// Repairs the problems in `findings`.
///
/// # Errors
/// [`StageError`] if the store is not writable or no threads can be started; failures of stages are in
/// [`Repaired::left`].
pub fn repair(
    host: &Host,
    store: &Store,
    findings: &[Finding],
    implementations: &[Implementation],
    options: &Options,
    watch: &dyn Watch,
) -> Result<Repaired, StageError> {
    let mut repaired = Repaired::default();
    quarantine_damage(store, findings, &mut repaired)?;
    for (path, entry) in store.files.all().into_iter().filter(|(path, _)| path.exists()) {
        store.objects.put_external([(&entry, path.as_path())]);
    }
    let pool = super::pool(options.threads)?;
    let project = host.project_here();
    let repair = Repair { host, store, implementations, options, watch, pool: &pool, project };
    // Oldest result first: it may be an input of the next one.
    for record in Inventory::of(store)?.whole() {
        if host.interrupted() {
            return Err(StageError::Stopped);
        }
        let found = store.find(&record.key, &record.target, Accept::OwnTarget)?;
        if found.is_ok_and(|found| found.record.target == record.target) {
            continue;
        }
        match repair.again(record) {
            Ok(seconds) => repaired.healed.push((verify::maker(record), seconds)),
            Err(RepairFailure::Stage(StageError::Stopped)) => return Err(StageError::Stopped),
            Err(trouble) => repaired.left.push((Some(verify::maker(record)), trouble.to_string())),
        }
    }
    let inventory = Inventory::of(store)?;
    for record in inventory.whole().filter(|record| inventory.lacks_inputs(record)) {
        store.without_recipe(record)?;
        repaired.without_recipe += 1;
    }
    Ok(repaired)
}

/// Context for recomputing results.
struct Repair<'a> {
    host: &'a Host,
    store: &'a Store,
    implementations: &'a [Implementation],
    options: &'a Options,
    watch: &'a dyn Watch,
    pool: &'a rayon::ThreadPool,
    project: PathBuf,
}

impl Repair<'_> {
    /// Recomputes a record's result from its recipe. Returns the time it took, seconds.
    fn again(&self, record: &Record) -> Result<f64, RepairFailure> {
        let recipe = record.recipe.as_ref().ok_or(RepairFailure::NoRecipe)?;
        let pipeline = recipe::pipeline(record).ok_or(RepairFailure::NoRecipe)?;
        let files = ProjectFiles::new(self.host, &self.project, self.store);
        let (graph, _) = Graph::new(&pipeline);
        let engine = Engine::new(&pipeline, graph, self.implementations, self.store, &files, Accept::OwnTarget)
            .map_err(|_| RepairFailure::OtherVersion)?;
        let id = StageId(0);
        let implementation = engine.implementation(id);
        if keys::target(engine.stage(id), implementation) != record.target {
            return Err(RepairFailure::OtherTarget(record.target.clone()));
        }
        let inputs = recipe::inputs(recipe, &self.store.objects)?;
        let manifest = keys::manifest(engine.stage(id), implementation, &inputs)?;
        let key = manifest.key();
        if key != record.key {
            return Err(RepairFailure::OtherVersion);
        }
        let shared = RunContext {
            engine: &engine,
            host: self.host,
            pool: self.pool,
            threads: self.pool.current_num_threads(),
            budget: Budget::new(self.options.memory),
            watch: self.watch,
            // The same bytes again: the result stays that of the run that `macula runs` lists.
            run: record.made.run.clone(),
            // The record does not say which file its pipeline was in.
            file: "FILE".to_owned(),
            project: self.project.clone(),
            results: None,
            sandbox: self.options.sandbox,
            // A record is not a trusted pipeline: only a command's own pipeline may run it.
            trust: Trust::default(),
            reported_no_locks: AtomicBool::default(),
        };
        let task = Task { manifest, key, inputs, absent: Absent::Lost, items: None };
        let clock = Instant::now();
        match job::run(&shared, id, Box::new(task), &self.host.stop) {
            Ended::Computed(known, _) => {
                let same = known
                    .outputs
                    .iter()
                    .all(|(port, tree)| record.outputs.get(port).is_some_and(|stored| stored.tree == tree.digest()));
                if same { Ok(clock.elapsed().as_secs_f64()) } else { Err(RepairFailure::Differs) }
            }
            Ended::Reused(..) => Ok(clock.elapsed().as_secs_f64()),
            Ended::Busy(_) | Ended::NotReceived => Err(RepairFailure::Busy),
            Ended::Stopped(_) => Err(StageError::Stopped.into()),
            Ended::Failed(error) => Err(error.into()),
        }
    }
}

/// Why a result was not recomputed.
#[derive(Debug, thiserror::Error)]
enum RepairFailure {
    #[error("its record has no recipe; run its pipeline again")]
    NoRecipe,
    #[error("it was computed by a different version of its stage; run its pipeline again")]
    OtherVersion,
    #[error("it was computed on `{0}`, which is not this machine's target; run its pipeline again")]
    OtherTarget(String),
    #[error("another process is computing it")]
    Busy,
    #[error("its inputs are missing; run its pipeline again")]
    NoInputs,
    #[error("recomputing it gave a different result, which was kept")]
    Differs,
    #[error(transparent)]
    Stage(StageError),
}

impl From<StageError> for RepairFailure {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Store(StoreError::Missing { .. } | StoreError::Damaged { .. } | StoreError::Changed { .. }) => {
                Self::NoInputs
            }
            other => Self::Stage(other),
        }
    }
}

impl From<StoreError> for RepairFailure {
    fn from(error: StoreError) -> Self {
        StageError::from(error).into()
    }
}

/// Quarantines damaged objects, removes damaged records, rewrites damaged segments.
fn quarantine_damage(store: &Store, findings: &[Finding], repaired: &mut Repaired) -> Result<(), StageError> {
    // Concurrent readers find them missing from now on, and recompute them.
    for finding in findings {
        match &finding.wrong {
            Wrong::Damaged(digest) => store.objects.quarantine(digest),
            Wrong::Record(path) => {
                std::fs::remove_file(path).map_err(StoreError::disk("delete", path))?;
                repaired.records += 1;
            }
            Wrong::Missing(_) | Wrong::Items { .. } => {}
        }
    }
    let gc_lock = GcLock::acquire(store.layout())?;
    let inventory = Inventory::of(store)?;
    for segment in &inventory.segments {
        let used = gc_lock.uses(Use::Items(segment.stage));
        match segment.repaired(&inventory) {
            None => {}
            Some(_) if used => {
                repaired.left.push((None, "an item segment is in use by another process; repair again later".into()));
            }
            Some(records) => {
                segment.replace(&records)?;
                repaired.segments += 1;
            }
        }
    }
    Ok(())
}
