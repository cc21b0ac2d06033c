//! `macula job`: computes the stage of an order from the store, without its pipeline, as `store verify --repair` does. Knows
//! no queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::super::context::RunContext;
use super::super::events::{Nobody, Watch};
use super::super::job::{self, Ended};
use super::super::record::Recorder;
use super::super::{Host, Options, ProjectFiles, Trust};
use crate::base::Digest;
use crate::base::budget::Budget;
use crate::base::usage::{Whose, peak_memory};
use crate::plan::{Engine, Graph, StageId, Task, keys, recipe};
use crate::sandbox::SandboxMode;
use crate::stage::{Implementation, StageError};
use crate::store::{Absent, Accept, AttemptOutcome, JobAttempt, Made, Order, Record, Store, StoreError};

/// How often the job looks whether it was asked to stop.
const POLL: Duration = Duration::from_millis(100);

/// A job: an order, and who computes it.
#[derive(Clone)]
pub struct ClusterJob<'a> {
    /// Clock, environment and stop signal.
    pub host: &'a Host,
    /// The store.
    pub store: &'a Store,
    /// The implementations of stages.
    pub implementations: &'a [Implementation],
    /// Key of the order.
    pub key: Digest,
    /// Digest of the order's file: the job computes what was submitted and nothing else.
    pub order: Digest,
}

impl ClusterJob<'_> {
    /// Computes the stage, and records how that ended. Returns the record of the attempt.
    ///
    /// # Errors
    /// A [`StoreError`] if not even that can be recorded.
    pub fn run(&self) -> Result<JobAttempt, StoreError> {
        let clock = Instant::now();
        let folder = self.store.layout().job(&self.key);
        let recorder = Recorder::new(&folder, self.host, &Nobody);
        let variable = |name: &str| self.host.variable(name).map(str::to_owned);
        let job = variable("SLURM_JOB_ID").unwrap_or_else(|| format!("local-{}", std::process::id()));
        // Slurm starts a job again under its id: what the first start said is no news of this one.
        JobAttempt::remove(self.store.layout(), &self.key, &job);
        let (outcome, items) = self.outcome(&recorder);
        let attempt = JobAttempt {
            job,
            node: variable("SLURMD_NODENAME").unwrap_or_default(),
            outcome,
            seconds: clock.elapsed().as_secs_f64(),
            peak_bytes: peak_memory(Whose::Own),
            items,
        };
        attempt.write(self.store.layout(), &self.key)?;
        Ok(attempt)
    }

    fn outcome(&self, watch: &dyn Watch) -> (AttemptOutcome, Option<(u64, u64)>) {
        let mut items = None;
        let ended = self.ended(watch).unwrap_or_else(Ended::Failed);
        let outcome = match ended {
            Ended::Computed(_, computed) => {
                items = computed.map(|items| (items.computed, items.total));
                AttemptOutcome::Computed
            }
            Ended::Reused(..) => AttemptOutcome::Reused,
            Ended::Busy(_) | Ended::NotReceived => AttemptOutcome::Busy,
            Ended::Stopped(resume) => AttemptOutcome::Stopped { resume },
            Ended::Failed(StageError::Stopped) => AttemptOutcome::Stopped { resume: None },
            Ended::Failed(error) => failed(&error),
        };
        (outcome, items)
    }

    fn ended(&self, watch: &dyn Watch) -> Result<Ended, StageError> {
        let (order, digest) = Order::read(self.store.layout(), &self.key)
            .ok_or_else(|| missing(format!("the order of key {} is missing or damaged", self.key.short())))?;
        if digest != self.order {
            return Err(missing(format!("the order of key {} is not the one that was submitted", self.key.short())));
        }
        for (path, entry) in self.store.files.all().into_iter().filter(|(path, _)| path.exists()) {
            self.store.objects.put_external([(&entry, path.as_path())]);
        }
        let options = Options::usual(self.threads());
        let pool = super::super::pool(options.threads)?;
        let record = as_record(&order);
        let pipeline =
            recipe::pipeline(&record).ok_or_else(|| missing("the order has no readable stage".to_owned()))?;
        let files = ProjectFiles::new(self.host, &order.project, self.store);
        let (graph, _) = Graph::new(&pipeline);
        let accept = if order.exact { Accept::OwnTarget } else { Accept::AnyTarget };
        let engine = Engine::new(&pipeline, graph, self.implementations, self.store, &files, accept)?;
        let id = StageId(0);
        let inputs = recipe::inputs(&order.recipe, &self.store.objects).map_err(|error| match error {
            StoreError::Missing { .. } | StoreError::Damaged { .. } => {
                missing(format!("an input of `{}` is no longer in the store", order.stage))
            }
            other => other.into(),
        })?;
        let manifest = keys::manifest(engine.stage(id), engine.implementation(id), &inputs)?;
        if manifest.key() != self.key {
            return Err(missing(format!("`{}` has another key in this version of macula", order.stage)));
        }
        let own = Digest::of(self.key.bytes());
        let code = inputs.0.values().flatten().map(|named| named.tree.digest());
        let trust = Trust { pipeline: Some(own), known: code.chain([own]).collect() };
        let shared = RunContext {
            engine: &engine,
            host: self.host,
            pool: &pool,
            threads: pool.current_num_threads(),
            budget: Budget::new(self.memory().unwrap_or(options.memory)),
            watch,
            run: order.run.clone(),
            file: order.file.clone(),
            project: order.project.clone(),
            results: None,
            sandbox: if order.sandboxed { SandboxMode::Enforced } else { SandboxMode::Disabled },
            // What the driver checked before it wrote the order, whose digest it gave to the queue.
            trust: if order.trusted { trust } else { Trust::default() },
            reported_no_locks: AtomicBool::default(),
        };
        let task = Task { manifest, key: self.key, inputs, absent: Absent::Never, items: None };
        Ok(self.until_stopped(|| job::run(&shared, id, Box::new(task), &self.host.stop)))
    }

    /// Does the work while another thread passes on the signal to stop.
    fn until_stopped<T>(&self, work: impl FnOnce() -> T) -> T {
        let done = Arc::new(AtomicBool::new(false));
        let (host, ended) = (self.host.clone(), Arc::clone(&done));
        let watcher = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            while !ended.load(Ordering::SeqCst) && !host.interrupted() {
                std::thread::sleep(POLL);
            }
        });
        let result = work();
        done.store(true, Ordering::SeqCst);
        if let Ok(watcher) = watcher {
            let _ = watcher.join();
        }
        result
    }

    /// Threads that the job may use.
    fn threads(&self) -> usize {
        let given = self.host.variable("SLURM_CPUS_PER_TASK").and_then(|number| number.parse().ok());
        given.filter(|threads| *threads > 0).unwrap_or(self.host.processors)
    }

    /// Memory for items in flight: a part of what the job asked for, bytes.
    fn memory(&self) -> Option<u64> {
        let given: u64 = self.host.variable("SLURM_MEM_PER_NODE")?.parse().ok()?;
        (given > 0).then_some((given << 20) / 3)
    }
}

/// The order as a record without outputs, from which the stage can be read.
fn as_record(order: &Order) -> Record {
    let made = Made { pipeline: order.pipeline.clone(), stage: order.stage.clone(), ..Made::default() };
    Record {
        key: order.key,
        target: String::new(),
        outputs: std::collections::BTreeMap::new(),
        summary: serde_json::Value::Null,
        manifest: order.manifest.clone(),
        made,
        recipe: Some(order.recipe.clone()),
    }
}

fn missing(text: String) -> StageError {
    StageError::input("job-order", text).hint("run the pipeline again: what is missing is computed again")
}

/// The end of an attempt that failed.
fn failed(error: &StageError) -> AttemptOutcome {
    let (kind, code, hint, field) = match error {
        StageError::Input { code, hint, field, .. } => ("input", Some((*code).to_owned()), hint.clone(), field.clone()),
        // What passes by itself is worth another attempt; what does not would fail again.
        StageError::Store(error) if error.can_pass() => ("store", None, error.hint(), None),
        StageError::Store(error) => ("input", None, error.hint(), None),
        StageError::Bug(_) | StageError::Stopped => ("bug", None, None, None),
    };
    let text = match error {
        StageError::Bug(text) => text.clone(),
        other => other.to_string(),
    };
    AttemptOutcome::Failed { kind: kind.to_owned(), code, text, hint, field }
}
