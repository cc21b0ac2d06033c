//! `TensorBoard`'s event files: a folder for each training and evaluation, `PIPELINE/STAGE`. A training with another key (other settings,
//! other data) under the same name gets a folder of its own, `STAGE (2)`, so that both are compared.

pub mod proto;
pub mod records;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use prost::Message as _;
use serde::{Deserialize, Serialize};

use self::proto::{
    HparamsData, HparamsEnd, HparamsKind, HparamsStart, HparamsValue, LoggedContent, LoggedEvent, LoggedMetadata,
    LoggedPlugin, LoggedSummary, LoggedValue,
};
use super::names::{file_name, final_tag, tag};
use super::{ParamText, TimedEpoch, TrackedEnd, TrackedOutcome, TrackedStage, Tracker};
use crate::base::Digest;
use crate::base::flock::{self, LockMode, LockStatus};

/// File in each folder that says what it is of. Its lock is held while a process writes there.
const MARK: &str = "macula.json";

/// Part of an event file's name by which `TensorBoard` finds it, and what macula's own names contain.
const EVENTS: &str = "tfevents";
const OWN: &str = ".macula.";

/// Tags of the table of hyperparameters.
const START: &str = "_hparams_/session_start_info";
const END: &str = "_hparams_/session_end_info";

/// Characters of names that `TensorBoard` shows well.
const ALSO: &str = "-_.@=,+ ";

/// Event files below one folder.
pub(super) struct TensorBoardLogs {
    folder: PathBuf,
    /// Folders of stages; [`None`] for one that another process writes.
    open: BTreeMap<String, Option<RunFolder>>,
    /// Number of event files that this process made.
    made: usize,
}

/// What a folder is of.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FolderMark {
    stage: String,
    key: Digest,
}

/// Folder of one stage.
struct RunFolder {
    folder: PathBuf,
    #[expect(dead_code, reason = "its lock lasts as long as it is open")]
    mark: File,
    written: WrittenValues,
    /// The event file of this process, once it has written something.
    file: Option<File>,
    /// Seconds since 1970 at which the stage began.
    began: f64,
}

/// Values of a folder's event files.
#[derive(Debug, Default)]
struct WrittenValues {
    /// Time and value of each step, by tag.
    scalars: BTreeMap<String, BTreeMap<i64, (f64, f32)>>,
    /// Other tags.
    others: BTreeSet<String>,
}

impl WrittenValues {
    fn has(&self, tag: &str, step: i64) -> bool {
        self.scalars.get(tag).is_some_and(|steps| steps.contains_key(&step))
    }

    fn last(&self, tag: &str) -> Option<i64> {
        Some(*self.scalars.get(tag)?.last_key_value()?.0)
    }
}

impl TensorBoardLogs {
    /// Event files of a pipeline below `folder`, which is created.
    pub(super) fn open(folder: &Path, pipeline: &str) -> io::Result<Self> {
        let folder = folder.join(file_name(pipeline, ALSO));
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, open: BTreeMap::new(), made: 0 })
    }

    /// The folder of a stage: the one that has its key, or a new one.
    fn folder_of(&self, stage: &TrackedStage) -> io::Result<Option<RunFolder>> {
        let name = file_name(&stage.name, ALSO);
        let own = FolderMark { stage: stage.name.clone(), key: stage.key };
        for number in 1.. {
            let folder = self.folder.join(if number == 1 { name.clone() } else { format!("{name} ({number})") });
            let mut new = match fs::create_dir(&folder) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                Err(error) => return Err(error),
            };
            let path = folder.join(MARK);
            if !new {
                match fs::read(&path).ok().and_then(|text| serde_json::from_slice::<FolderMark>(&text).ok()) {
                    Some(mark) if mark == own => {}
                    // A process was killed before it wrote anything.
                    None if is_empty(&folder)? => new = true,
                    _ => continue,
                }
            }
            let mark = flock::open(&path)?;
            if flock::lock(&mark, LockMode::TryExclusive)? == LockStatus::Busy {
                return Ok(None);
            }
            if new {
                fs::write(&path, serde_json::to_vec(&own)?)?;
            }
            let written = written(&folder)?;
            return Ok(Some(RunFolder { folder, mark, written, file: None, began: 0.0 }));
        }
        Ok(None)
    }
}

/// Whether a folder has nothing but a mark.
fn is_empty(folder: &Path) -> io::Result<bool> {
    let mut names = fs::read_dir(folder)?.flatten().map(|entry| entry.file_name());
    Ok(names.all(|name| name == MARK))
}

/// What the event files of a folder hold.
fn written(folder: &Path) -> io::Result<WrittenValues> {
    let mut all = WrittenValues::default();
    for path in event_files(folder)? {
        let bytes = fs::read(path)?;
        for record in records::whole(&bytes) {
            let Ok(LoggedEvent { wall_time, step, content: Some(LoggedContent::Summary(summary)) }) =
                LoggedEvent::decode(record)
            else {
                continue;
            };
            for value in summary.values {
                match value.scalar {
                    Some(scalar) => _ = all.scalars.entry(value.tag).or_default().insert(step, (wall_time, scalar)),
                    None => _ = all.others.insert(value.tag),
                }
            }
        }
    }
    Ok(all)
}

/// The event files that macula wrote into a folder, the oldest first.
fn event_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.contains(EVENTS) && name.contains(OWN)) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

impl RunFolder {
    /// Appends an event, to an event file of this process.
    fn append(&mut self, made: &mut usize, event: LoggedEvent, stage: &TrackedStage) -> io::Result<()> {
        let mut file = if let Some(file) = self.file.take() {
            file
        } else {
            let mut file = self.create(made, event.wall_time, false)?;
            if !self.written.others.contains(START) {
                let start = start(stage, self.began);
                records::append(&mut file, &start.encode_to_vec())?;
                self.written.others.insert(START.to_owned());
            }
            file
        };
        records::append(&mut file, &event.encode_to_vec())?;
        self.file = Some(file);
        if let Some(LoggedContent::Summary(summary)) = event.content {
            for value in summary.values {
                match value.scalar {
                    Some(scalar) => {
                        let steps = self.written.scalars.entry(value.tag).or_default();
                        steps.insert(event.step, (event.wall_time, scalar));
                    }
                    None => _ = self.written.others.insert(value.tag),
                }
            }
        }
        Ok(())
    }

    /// A new event file; `hidden` from `TensorBoard` until it is renamed.
    fn create(&self, made: &mut usize, time: f64, hidden: bool) -> io::Result<File> {
        let path = self.path(made, time);
        let path = if hidden { self.folder.join("rewritten") } else { path };
        let mut options = OpenOptions::new();
        options.append(true);
        let mut file = if hidden {
            fs::remove_file(&path).or_else(|error| match error.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
            options.create_new(true).open(&path)?
        } else {
            options.create_new(true).open(&path)?
        };
        let content = Some(LoggedContent::FileVersion("brain.Event:2".to_owned()));
        records::append(&mut file, &LoggedEvent { wall_time: time, step: 0, content }.encode_to_vec())?;
        Ok(file)
    }

    fn path(&self, made: &mut usize, time: f64) -> PathBuf {
        *made += 1;
        let name = format!("events.out.{EVENTS}.{:010}{OWN}{}.{made}", time as u64, std::process::id());
        self.folder.join(name)
    }

    /// Replaces all event files by one with the same values and `more`, in the order of steps: `TensorBoard` drops later steps when an
    /// earlier one follows.
    fn rewrite(&mut self, made: &mut usize, more: &[TimedEpoch], stage: &TrackedStage) -> io::Result<()> {
        let mut steps: BTreeMap<i64, (f64, BTreeMap<String, f32>)> = BTreeMap::new();
        let mut insert = |step: i64, time: f64, tag: String, value: f32, known: bool| {
            let (at, values) = steps.entry(step).or_insert((time, BTreeMap::new()));
            if known {
                *at = time;
            }
            values.entry(tag).or_insert(value);
        };
        for (tag, values) in &self.written.scalars {
            for (step, (time, value)) in values {
                insert(*step, *time, tag.clone(), *value, true);
            }
        }
        for epoch in more {
            for (name, value) in epoch.defined() {
                insert(epoch.recorded.epoch as i64, seconds(epoch.time), tag(name), value as f32, false);
            }
        }
        let old = event_files(&self.folder)?;
        let began = steps.values().next().map_or(self.began, |(time, _)| *time);
        let mut file = self.create(made, began, true)?;
        records::append(&mut file, &start(stage, self.began).encode_to_vec())?;
        for (step, (wall_time, values)) in &steps {
            let values = values.iter().map(|(tag, value)| scalar(tag.clone(), *value)).collect();
            let content = Some(LoggedContent::Summary(LoggedSummary { values }));
            records::append(&mut file, &LoggedEvent { wall_time: *wall_time, step: *step, content }.encode_to_vec())?;
        }
        fs::rename(self.folder.join("rewritten"), self.path(made, began))?;
        for path in old {
            fs::remove_file(path)?;
        }
        self.file = Some(file);
        self.written = written(&self.folder)?;
        Ok(())
    }

    fn epoch(&mut self, made: &mut usize, stage: &TrackedStage, epoch: &TimedEpoch) -> io::Result<()> {
        let step = epoch.recorded.epoch as i64;
        let new =
            epoch.defined().map(|(name, value)| (tag(name), value)).filter(|(tag, _)| !self.written.has(tag, step));
        let values: Vec<LoggedValue> = new.map(|(tag, value)| scalar(tag, value as f32)).collect();
        if values.is_empty() {
            return Ok(());
        }
        let content = Some(LoggedContent::Summary(LoggedSummary { values }));
        self.append(made, LoggedEvent { wall_time: seconds(epoch.time), step, content }, stage)
    }

    fn finish(&mut self, made: &mut usize, stage: &TrackedStage, end: &TrackedEnd) -> io::Result<()> {
        let missing = |epoch: &&TimedEpoch| {
            let step = epoch.recorded.epoch as i64;
            epoch.defined().any(|(name, _)| !self.written.has(&tag(name), step))
        };
        let missing: Vec<TimedEpoch> = end.epochs.iter().filter(missing).cloned().collect();
        let late = missing.iter().any(|epoch| {
            let step = epoch.recorded.epoch as i64;
            epoch.defined().any(|(name, _)| self.written.last(&tag(name)).is_some_and(|last| last > step))
        });
        if late {
            self.rewrite(made, &missing, stage)?;
        } else {
            for epoch in &missing {
                self.epoch(made, stage, epoch)?;
            }
        }
        let step = end.last_epoch() as i64;
        let wall_time = seconds(end.time);
        let metrics = end.metrics.iter().filter(|(_, value)| value.is_finite());
        let metrics = metrics.map(|(name, value)| (final_tag(&stage.name, name), *value as f32));
        let values: Vec<LoggedValue> =
            metrics.filter(|(tag, _)| !self.written.has(tag, step)).map(|(tag, value)| scalar(tag, value)).collect();
        if !values.is_empty() {
            let content = Some(LoggedContent::Summary(LoggedSummary { values }));
            self.append(made, LoggedEvent { wall_time, step, content }, stage)?;
        }
        if !self.written.others.contains(END) {
            let end = HparamsData { start: None, end: Some(HparamsEnd { status: 1, seconds: wall_time }) };
            self.append(made, hparams(END, &end, wall_time), stage)?;
        }
        Ok(())
    }
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1e3
}

fn scalar(tag: String, value: f32) -> LoggedValue {
    LoggedValue { tag, scalar: Some(value), metadata: None }
}

/// The parameters of a stage, for the table of hyperparameters.
fn start(stage: &TrackedStage, seconds: f64) -> LoggedEvent {
    let value = |param: &ParamText| match param {
        ParamText::Number(number, _) => HparamsKind::Number(*number),
        ParamText::Bool(value) => HparamsKind::Bool(*value),
        ParamText::Text(text) => HparamsKind::Text(text.clone()),
    };
    let params = stage.varied.iter();
    let hparams = params.map(|(name, param)| (name.clone(), HparamsValue { kind: Some(value(param)) })).collect();
    let group = stage.point.clone().unwrap_or_default();
    let start = HparamsStart { hparams, group, seconds };
    self::hparams(START, &HparamsData { start: Some(start), end: None }, seconds)
}

fn hparams(tag: &str, data: &HparamsData, wall_time: f64) -> LoggedEvent {
    let plugin = LoggedPlugin { name: "hparams".to_owned(), content: data.encode_to_vec() };
    let metadata = Some(LoggedMetadata { plugin: Some(plugin) });
    let values = vec![LoggedValue { tag: tag.to_owned(), scalar: None, metadata }];
    LoggedEvent { wall_time, step: 0, content: Some(LoggedContent::Summary(LoggedSummary { values })) }
}

impl Tracker for TensorBoardLogs {
    fn name(&self) -> &'static str {
        "TensorBoard"
    }

    fn begin(&mut self, stage: &TrackedStage, time: u64) -> io::Result<()> {
        let mut folder = self.folder_of(stage)?;
        if let Some(folder) = &mut folder {
            folder.began = seconds(time);
        }
        self.open.insert(stage.name.clone(), folder);
        Ok(())
    }

    fn epoch(&mut self, stage: &TrackedStage, epoch: &TimedEpoch) -> io::Result<()> {
        let Some(Some(folder)) = self.open.get_mut(&stage.name) else { return Ok(()) };
        folder.epoch(&mut self.made, stage, epoch)
    }

    fn end(&mut self, stage: &TrackedStage, end: &TrackedEnd) -> io::Result<()> {
        let Some(Some(mut folder)) = self.open.remove(&stage.name) else { return Ok(()) };
        match end.outcome {
            TrackedOutcome::Finished => folder.finish(&mut self.made, stage, end),
            // Its table of hyperparameters shows it as running until it is resumed.
            TrackedOutcome::Failed | TrackedOutcome::Stopped => Ok(()),
        }
    }
}
