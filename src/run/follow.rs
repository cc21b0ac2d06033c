//! A run of another process, followed through its folder: its events as they are written, the progress of its stages, and whether it is
//! still alive. Writes nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::events::Event;
use super::status::{EVENTS, PROGRESS, Steps};
use crate::base::flock::{self, LockMode, LockStatus};

/// Longest line that is believed, bytes; a longer one is not an event.
const LONGEST: usize = 64 << 20;

/// An event as the run's folder holds it.
#[derive(Clone, Debug)]
pub struct FollowedEvent {
    /// The line, without its line break.
    pub line: String,
    /// What it says; [`None`] if only a newer macula knows.
    pub event: Option<Event>,
    /// When it happened, milliseconds since 1970; [`None`] if it does not say.
    pub time: Option<u64>,
}

/// A run that is followed.
#[derive(Debug)]
pub struct FollowedRun {
    folder: PathBuf,
    events: File,
    /// How far the events have been read, bytes.
    read: u64,
    /// A line that is not complete yet.
    partial: Vec<u8>,
    /// The last progress of each stage.
    steps: BTreeMap<String, Steps>,
}

impl FollowedRun {
    /// Follows the run of a folder, from its first event.
    ///
    /// # Errors
    /// If its events cannot be opened.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let events = File::open(folder.join(EVENTS))?;
        Ok(Self { folder: folder.to_owned(), events, read: 0, partial: Vec::new(), steps: BTreeMap::new() })
    }

    /// Whether the process that executes it is alive. Ask before [`FollowedRun::events`]: of a dead one these are the last.
    ///
    /// # Errors
    /// If the lock cannot be examined.
    pub fn is_alive(&self) -> io::Result<bool> {
        // Opened again: the lock of `events` would last as long as the file is open.
        let Ok(file) = File::open(self.folder.join(EVENTS)) else { return Ok(false) };
        Ok(matches!(flock::lock(&file, LockMode::TryShared)?, LockStatus::Busy))
    }

    /// The events since the last call.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn events(&mut self) -> io::Result<Vec<FollowedEvent>> {
        let mut bytes = Vec::new();
        self.events.seek(SeekFrom::Start(self.read))?;
        self.events.read_to_end(&mut bytes)?;
        self.read += bytes.len() as u64;
        self.partial.append(&mut bytes);
        let mut found = Vec::new();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]).into_owned();
            let Ok(value) = serde_json::from_str::<Value>(&line) else { continue };
            let time = value["time"].as_u64();
            found.push(FollowedEvent { line, event: serde_json::from_value(value).ok(), time });
        }
        if self.partial.len() > LONGEST {
            self.partial.clear();
        }
        Ok(found)
    }

    /// Progress of stages since the last call; the run writes it about once a second.
    pub fn steps(&mut self) -> Vec<Event> {
        let progress = std::fs::read(self.folder.join(PROGRESS)).unwrap_or_default();
        let now: BTreeMap<String, Steps> = serde_json::from_slice(&progress).unwrap_or_default();
        let changed = now.iter().filter(|(stage, steps)| self.steps.get(*stage) != Some(*steps));
        let event = |(stage, steps): (&String, &Steps)| Event::Step {
            stage: stage.clone(),
            done: steps.done,
            total: steps.total,
            unit: steps.unit.clone(),
            now: steps.now.clone(),
        };
        let events = changed.map(event).collect();
        self.steps = now;
        events
    }
}
