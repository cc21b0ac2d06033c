//! What a job writes while it runs: its events and progress, passed on as if the stage ran here, and its log.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::events::{Event, Watch};
use super::super::status::{EVENTS, steps_in};
use crate::base::Digest;
use crate::store::Store;

/// Lines of a log that are shown.
const LINES: usize = 6;

/// Bytes at the end of a log that are read.
const TAIL: u64 = 8 << 10;

/// Reader of the events of a job.
#[derive(Debug)]
pub(super) struct Follower {
    folder: PathBuf,
    /// Bytes of the events that were passed on.
    read: u64,
}

impl Follower {
    /// A reader of the events in the folder of a job.
    pub(super) fn new(folder: &Path) -> Self {
        let there = folder.join(EVENTS).metadata().map_or(0, |facts| facts.len());
        Self { folder: folder.to_owned(), read: there }
    }

    /// Passes on what is new.
    pub(super) fn follow(&mut self, stage: &str, watch: &dyn Watch) {
        for line in self.new_lines() {
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            let passed = match event["event"].as_str() {
                Some("metrics") => serde_json::from_value(event)
                    .ok()
                    .map(|metrics| Event::Metrics { stage: stage.to_owned(), metrics }),
                Some("line") => {
                    event["text"].as_str().map(|text| Event::Line { stage: stage.to_owned(), text: text.to_owned() })
                }
                Some("warned") => serde_json::from_value(event["warning"].clone())
                    .ok()
                    .map(|warning| Event::Warned { stage: stage.to_owned(), warning }),
                _ => None,
            };
            if let Some(event) = passed {
                watch.event(&event);
            }
        }
        if let Some(steps) = steps_in(&self.folder).remove(stage) {
            let (stage, done, total) = (stage.to_owned(), steps.done, steps.total);
            watch.event(&Event::Step { stage, done, total, unit: steps.unit, now: steps.now });
        }
    }

    /// The complete lines that were written since the last call.
    fn new_lines(&mut self) -> Vec<String> {
        let Ok(mut file) = std::fs::File::open(self.folder.join(EVENTS)) else { return Vec::new() };
        if file.metadata().is_ok_and(|facts| facts.len() < self.read) {
            // Another attempt began.
            self.read = 0;
        }
        let mut bytes = Vec::new();
        if file.seek(SeekFrom::Start(self.read)).and_then(|_| file.read_to_end(&mut bytes)).is_err() {
            return Vec::new();
        }
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.read += end as u64;
        String::from_utf8_lossy(&bytes[..end]).lines().map(str::to_owned).collect()
    }
}

/// The last lines of a job's log; empty if there are none.
pub(super) fn log_tail(store: &Store, key: &Digest, job: &str) -> String {
    let path = store.layout().job(key).join(format!("{job}.log"));
    let Ok(mut file) = std::fs::File::open(path) else { return String::new() };
    let length = file.metadata().map_or(0, |facts| facts.len());
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).and_then(|_| file.read_to_end(&mut bytes));
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
