//! Repair of a store: what is damaged goes out of the way, and what made it is computed again from the record's recipe, without
//! the pipeline that it came from.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use super::events::Watch;
use super::job::{self, Ended, Shared};
use super::{Host, Options, ProjectFiles, Trust};
use crate::base::budget::Budget;
use crate::plan::{Engine, Graph, StageId, Task, keys, recipe};
use crate::stage::{Implementation, StageError};
use crate::store::verify::{self, Finding, Maker, Wrong};
use crate::store::{Absent, Accept, GcLock, Inventory, Record, Store, StoreError, Use};

/// What came of a repair.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Results that were computed again and came out as they were, with the seconds that it took.
    pub healed: Vec<(Maker, f64)>,
    /// Records that could not be read and were put out of the way; what they said is computed by the next run that wants it.
    pub records: usize,
    /// Segments of items that were written anew without their damaged stretches.
    pub segments: usize,
    /// Results that are whole but can't be computed again from their records: what a source found for them is lost.
    pub without_recipe: usize,
    /// What could not be healed here, and why.
    pub left: Vec<(Option<Maker>, String)>,
}

/// Repairs what `findings` name.
///
/// # Errors
/// [`StageError`] where the store can't be written, or no threads can be had; that a stage fails is told in what is left.
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
    let repair = Repair { host, store, implementations, options, watch, pool: &pool, run: super::new_id(host) };
    // The oldest result first: what it made may be what the next one is made from.
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
            Err(Trouble::Stage(StageError::Stopped)) => return Err(StageError::Stopped),
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

/// What computing results again takes.
struct Repair<'a> {
    host: &'a Host,
    store: &'a Store,
    implementations: &'a [Implementation],
    options: &'a Options,
    watch: &'a dyn Watch,
    pool: &'a rayon::ThreadPool,
    run: String,
}

impl Repair<'_> {
    /// Computes a record's result again from its recipe. Returns how long it took, seconds.
    fn again(&self, record: &Record) -> Result<f64, Trouble> {
        let recipe = record.recipe.as_ref().ok_or(Trouble::NoRecipe)?;
        let pipeline = recipe::pipeline(record).ok_or(Trouble::NoRecipe)?;
        let files = ProjectFiles::new(self.host, &self.host.folder, self.store);
        let (graph, _) = Graph::new(&pipeline);
        let engine = Engine::new(&pipeline, graph, self.implementations, self.store, &files, Accept::OwnTarget)
            .map_err(|_| Trouble::OtherVersion)?;
        let id = StageId(0);
        let implementation = engine.implementation(id);
        if keys::target(engine.stage(id), implementation) != record.target {
            return Err(Trouble::OtherTarget(record.target.clone()));
        }
        let inputs = recipe::inputs(recipe, &self.store.objects)?;
        let manifest = keys::manifest(engine.stage(id), implementation, &inputs)?;
        let key = manifest.key();
        if key != record.key {
            return Err(Trouble::OtherVersion);
        }
        let shared = Shared {
            engine: &engine,
            host: self.host,
            pool: self.pool,
            threads: self.pool.current_num_threads(),
            budget: Budget::new(self.options.memory),
            watch: self.watch,
            run: self.run.clone(),
            project: self.host.folder.clone(),
            results: None,
            sandbox: self.options.sandbox,
            // A record is no pipeline that the user trusted: commands are run by their own pipeline alone.
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
                if same { Ok(clock.elapsed().as_secs_f64()) } else { Err(Trouble::Differs) }
            }
            Ended::Reused(..) => Ok(clock.elapsed().as_secs_f64()),
            Ended::Busy(_) | Ended::NotReceived => Err(Trouble::Busy),
            Ended::Stopped(_) => Err(StageError::Stopped.into()),
            Ended::Failed(error) => Err(error.into()),
        }
    }
}

/// Why a result could not be computed again.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("its record has no recipe; run its pipeline again")]
    NoRecipe,
    #[error("it was computed by another version of its stage; run its pipeline again")]
    OtherVersion,
    #[error("it was computed on `{0}`, which is not this machine's target; run its pipeline again")]
    OtherTarget(String),
    #[error("another process computes it now")]
    Busy,
    #[error("what it is made from is gone; run its pipeline again")]
    NoInputs,
    #[error("computed again it came out otherwise; the new result stands")]
    Differs,
    #[error(transparent)]
    Stage(StageError),
}

impl From<StageError> for Trouble {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Store(StoreError::Missing { .. } | StoreError::Damaged { .. } | StoreError::Changed { .. }) => {
                Self::NoInputs
            }
            other => Self::Stage(other),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        StageError::from(error).into()
    }
}

/// Damaged objects and records go into quarantine or away; segments are written anew.
fn quarantine_damage(store: &Store, findings: &[Finding], repaired: &mut Repaired) -> Result<(), StageError> {
    // Those who read them now find them missing, and compute them again.
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
                repaired
                    .left
                    .push((None, "a segment of items is in use by another process; repair again later".into()));
            }
            Some(records) => {
                segment.replace(&records)?;
                repaired.segments += 1;
            }
        }
    }
    Ok(())
}
