//! Offline runs of Weights & Biases, as its client writes them without a network: `wandb sync` uploads them. A run's id follows from its
//! key, so that a run that is uploaded again is the same run.

pub mod log;
pub mod proto;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use prost::Message as _;
use serde_json::json;

use self::log::LogWriter;
use self::proto::{
    WandbContent, WandbExit, WandbHeader, WandbHistory, WandbItem, WandbItems, WandbRecord, WandbRun, WandbStep,
    WandbTime, WandbVersion,
};
use super::names::{file_name, final_tag, tag};
use super::{ParamText, TimedEpoch, TrackedEnd, TrackedOutcome, TrackedStage, Tracker};
use crate::base::flock::{self, LockMode, LockStatus};
use crate::run::time;

/// File whose lock is held while a process writes a run.
const LOCK: &str = "macula.lock";

/// Start of the folder names of offline runs.
const OFFLINE: &str = "offline-run-";

/// Name of the time of a step, and that of its number.
const TIMESTAMP: &str = "_timestamp";
const STEP: &str = "_step";

/// Client whose format this is, and the oldest that reads it.
const PRODUCER: &str = "0.19.0";
const MIN_CONSUMER: &str = "0.10.0";

/// Offline runs in one folder.
pub(super) struct WandbRuns {
    folder: PathBuf,
    project: String,
    /// Runs of stages; [`None`] for one that another process writes.
    open: BTreeMap<String, Option<OfflineRun>>,
}

/// Offline run of one stage.
struct OfflineRun {
    id: String,
    folder: PathBuf,
    #[expect(dead_code, reason = "its lock lasts as long as it is open")]
    lock: File,
    /// Milliseconds since 1970.
    began: u64,
    /// Values of each step: time in milliseconds, and JSON by name.
    steps: BTreeMap<i64, (u64, BTreeMap<String, String>)>,
    /// Whether the file says how the run ended.
    complete: bool,
    file: Option<RunFile>,
}

/// Run file that is being written.
struct RunFile {
    log: LogWriter<File>,
    records: i64,
}

impl RunFile {
    fn append(&mut self, content: WandbContent) -> io::Result<()> {
        self.records += 1;
        self.log.append(&WandbRecord { number: self.records, content: Some(content) }.encode_to_vec())
    }
}

impl WandbRuns {
    /// Offline runs of a pipeline in `folder`, which is created.
    pub(super) fn open(folder: &Path, pipeline: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), project: file_name(pipeline, "-_."), open: BTreeMap::new() })
    }

    fn run(&self, stage: &TrackedStage, began: u64) -> io::Result<Option<OfflineRun>> {
        let id = stage.identity().to_string()[..16].to_owned();
        let ending = format!("-{id}");
        let mut known = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let own = name.to_str().filter(|name| name.starts_with(OFFLINE) && name.ends_with(&ending));
            known.extend(own.map(str::to_owned));
        }
        known.sort();
        let new = || format!("{OFFLINE}{}{ending}", time::compact(began * 1_000_000).replace('-', "_"));
        let folder = self.folder.join(known.into_iter().next().unwrap_or_else(new));
        fs::create_dir_all(folder.join("files"))?;
        let lock = flock::open(&folder.join(LOCK))?;
        if flock::lock(&lock, LockMode::TryExclusive)? == LockStatus::Busy {
            return Ok(None);
        }
        let mut run = OfflineRun { id, folder, lock, began, steps: BTreeMap::new(), complete: false, file: None };
        run.read()?;
        Ok(Some(run))
    }
}

impl OfflineRun {
    fn path(&self) -> PathBuf {
        self.folder.join(format!("run-{}.wandb", self.id))
    }

    /// Reads what the run's file holds.
    fn read(&mut self) -> io::Result<()> {
        let bytes = match fs::read(self.path()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for record in log::whole(&bytes) {
            match WandbRecord::decode(record.as_slice()).ok().and_then(|record| record.content) {
                Some(WandbContent::History(WandbHistory { items, step: Some(step) })) => {
                    let mut values: BTreeMap<String, String> =
                        items.into_iter().map(|item| (item.key, item.json)).collect();
                    let time = values.remove(TIMESTAMP).and_then(|time| time.parse::<f64>().ok()).unwrap_or(0.0);
                    values.remove(STEP);
                    self.steps.insert(step.number, ((time * 1e3).max(0.0).round() as u64, values));
                }
                Some(WandbContent::Exit(WandbExit { code: 0, .. })) => self.complete = true,
                Some(WandbContent::Run(WandbRun { began: Some(began), .. })) => {
                    self.began =
                        (began.seconds.max(0) as u64) * 1000 + u64::from(began.nanoseconds.max(0) as u32) / 1_000_000;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the run's file from what is known, to be appended to.
    fn write(&mut self, stage: &TrackedStage, project: &str) -> io::Result<RunFile> {
        let new = self.path().with_extension("new");
        let mut file = RunFile { log: LogWriter::new(File::create(&new)?)?, records: 0 };
        let version = WandbVersion { producer: PRODUCER.to_owned(), min_consumer: MIN_CONSUMER.to_owned() };
        file.append(WandbContent::Header(WandbHeader { version: Some(version) }))?;
        let (seconds, rest) = (self.began / 1000, self.began % 1000);
        let mut config: Vec<WandbItem> =
            stage.params.iter().map(|(name, param)| WandbItem { key: name.clone(), json: json_of(param) }).collect();
        let facts = [("macula.key", stage.key.to_string()), ("macula.run", stage.run.clone())];
        config.extend(facts.map(|(key, text)| WandbItem { key: key.to_owned(), json: json!(text).to_string() }));
        file.append(WandbContent::Run(WandbRun {
            id: self.id.clone(),
            project: project.to_owned(),
            config: Some(WandbItems { update: config }),
            group: stage.point.clone().unwrap_or_default(),
            job_type: stage.stage_type.clone(),
            name: stage.name.clone(),
            tags: vec!["macula".to_owned()],
            began: Some(WandbTime { seconds: seconds as i64, nanoseconds: rest as i32 * 1_000_000 }),
        }))?;
        for (step, (time, values)) in &self.steps {
            file.append(history(*step, *time, values))?;
        }
        fs::rename(&new, self.path())?;
        // The mark of an upload, which has to be repeated now.
        let mut mark = self.path().into_os_string();
        mark.push(".synced");
        fs::remove_file(mark).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        self.complete = false;
        Ok(file)
    }

    /// The values of an epoch that are new, by name.
    fn new_values(&self, epoch: &TimedEpoch) -> BTreeMap<String, String> {
        let known = self.steps.get(&(epoch.recorded.epoch as i64));
        let values = epoch.defined().map(|(name, value)| (tag(name), json!(value).to_string()));
        values.filter(|(name, _)| known.is_none_or(|(_, known)| !known.contains_key(name))).collect()
    }

    fn epoch(&mut self, stage: &TrackedStage, project: &str, epoch: &TimedEpoch) -> io::Result<()> {
        let step = epoch.recorded.epoch as i64;
        let values = self.new_values(epoch);
        if values.is_empty() || self.steps.last_key_value().is_some_and(|(last, _)| *last >= step) {
            return Ok(());
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.write(stage, project)?,
        };
        file.append(history(step, epoch.time, &values))?;
        self.file = Some(file);
        self.steps.insert(step, (epoch.time, values));
        Ok(())
    }

    fn end(&mut self, stage: &TrackedStage, project: &str, end: &TrackedEnd) -> io::Result<()> {
        let mut missing = false;
        for epoch in &end.epochs {
            let values = self.new_values(epoch);
            if !values.is_empty() {
                missing = true;
                let known = self.steps.entry(epoch.recorded.epoch as i64).or_insert((epoch.time, BTreeMap::new()));
                known.1.extend(values);
            }
        }
        if self.complete && !missing {
            return Ok(());
        }
        let mut file = match self.file.take().filter(|_| !missing) {
            Some(file) => file,
            None => self.write(stage, project)?,
        };
        let metrics = end.metrics.iter().filter(|(_, value)| value.is_finite());
        let update = metrics
            .map(|(name, value)| WandbItem { key: final_tag(&stage.name, name), json: json!(value).to_string() });
        file.append(WandbContent::Summary(WandbItems { update: update.collect() }))?;
        let code = match end.outcome {
            TrackedOutcome::Finished => 0,
            TrackedOutcome::Failed => 1,
            TrackedOutcome::Stopped => 130,
        };
        let seconds = (end.time.saturating_sub(self.began) / 1000) as i32;
        file.append(WandbContent::Exit(WandbExit { code, seconds }))
    }
}

/// Values of a step as a record's content.
fn history(step: i64, time: u64, values: &BTreeMap<String, String>) -> WandbContent {
    let mut items: Vec<WandbItem> =
        values.iter().map(|(key, json)| WandbItem { key: key.clone(), json: json.clone() }).collect();
    items.push(WandbItem { key: TIMESTAMP.to_owned(), json: json!(time as f64 / 1e3).to_string() });
    items.push(WandbItem { key: STEP.to_owned(), json: step.to_string() });
    WandbContent::History(WandbHistory { items, step: Some(WandbStep { number: step }) })
}

fn json_of(param: &ParamText) -> String {
    match param {
        ParamText::Number(number, _) => json!(number),
        ParamText::Bool(value) => json!(value),
        ParamText::Text(text) => json!(text),
    }
    .to_string()
}

impl Tracker for WandbRuns {
    fn name(&self) -> &'static str {
        "Weights & Biases"
    }

    fn begin(&mut self, stage: &TrackedStage, time: u64) -> io::Result<()> {
        let run = self.run(stage, time)?;
        self.open.insert(stage.name.clone(), run);
        Ok(())
    }

    fn epoch(&mut self, stage: &TrackedStage, epoch: &TimedEpoch) -> io::Result<()> {
        let Some(Some(run)) = self.open.get_mut(&stage.name) else { return Ok(()) };
        run.epoch(stage, &self.project, epoch)
    }

    fn end(&mut self, stage: &TrackedStage, end: &TrackedEnd) -> io::Result<()> {
        let Some(Some(mut run)) = self.open.remove(&stage.name) else { return Ok(()) };
        run.end(stage, &self.project, end)
    }
}
