//! Board of running stages, as lines for a terminal of a given size: a head, then each stage. Knows no terminal.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthStr;

use super::out::Colours;
use super::table::{counted, shortened as fit, thousands};
use super::text::{Viewer, duration};
use crate::base::shown;
use crate::run::Event;
use crate::store::StageOutcome;

/// Period over which rates are measured.
const WINDOW: Duration = Duration::from_secs(20);

/// Shortest and longest bar.
const BAR: std::ops::RangeInclusive<usize> = 8..=24;

/// Characters for bars and spinners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// Box drawing and Braille.
    Unicode,
    /// ASCII, for terminals without UTF-8.
    Ascii,
}

/// Progress of a run and of its running stages.
#[derive(Debug)]
pub struct Board {
    colours: Colours,
    glyphs: Glyphs,
    viewer: Viewer,
    pipeline: String,
    stages: usize,
    /// Outcome of each stage that ended; a repaired stage ends twice.
    ended: BTreeMap<String, StageOutcome>,
    /// When the run started; [`None`] before and after.
    since: Option<Instant>,
    stopping: bool,
    running: Vec<RunningStage>,
}

/// Running stage.
#[derive(Debug)]
struct RunningStage {
    stage: String,
    since: Instant,
    /// Why it runs, shown until it reports progress.
    words: String,
    /// Last line it reported.
    line: String,
    /// Current state in a few words.
    now: String,
    done: u64,
    total: u64,
    unit: String,
    seen: VecDeque<(Instant, u64)>,
}

impl Board {
    /// Empty board.
    #[must_use]
    pub fn new(colours: Colours, glyphs: Glyphs, viewer: Viewer) -> Self {
        Self {
            colours,
            glyphs,
            viewer,
            pipeline: String::new(),
            stages: 0,
            ended: BTreeMap::new(),
            since: None,
            stopping: false,
            running: Vec::new(),
        }
    }

    /// Updates the board with an event that happened at `now`.
    pub fn take(&mut self, event: &Event, now: Instant) {
        match event {
            Event::RunBegan { pipeline, stages, .. } => {
                *self = Self::new(self.colours, self.glyphs, self.viewer);
                (self.pipeline, self.stages, self.since) = (shown::line(pipeline).into_owned(), *stages, Some(now));
            }
            Event::StageBegan { stage, reason, .. } => self.begin(stage, reason, now),
            Event::ComparisonBegan { stage } => self.begin(stage, "", now),
            Event::ComparisonEnded { stage } => self.running.retain(|running| running.stage != *stage),
            Event::StageFetched { stage, remote, .. } => self.begin(stage, &format!("from remote `{remote}`"), now),
            Event::StageWaits { stage } => self.begin(stage, "the same result is being computed", now),
            Event::Job { stage, job, phase, node, reason } => {
                let place = [node, reason].into_iter().find(|word| !word.is_empty());
                let place = place.map_or_else(String::new, |word| format!(" ({word})"));
                self.begin(stage, &format!("job {job} {}{place}", phase.word()), now);
            }
            Event::Step { stage, done, total, unit, now: words } => {
                if let Some(running) = self.find(stage) {
                    running.step(*done, *total, &shown::line(unit), now);
                    running.now = shown::line(words).into_owned();
                }
            }
            Event::Line { stage, text } => {
                if let Some(running) = self.find(stage) {
                    running.line = shown::line(text.trim()).into_owned();
                }
            }
            Event::StageEnded { stage, became, .. } => self.end(stage, *became),
            Event::StageFailed { stage, stopped, .. } => {
                self.end(stage, if *stopped { StageOutcome::Stopped } else { StageOutcome::Failed });
            }
            Event::Repairing { stage, found_by, .. } => {
                self.ended.remove(stage);
                self.running.retain(|running| running.stage != *found_by);
            }
            Event::Stopping => self.stopping = true,
            Event::RunEnded { .. } => (self.since, self.running) = (None, Vec::new()),
            Event::Upgraded { .. }
            | Event::Warned { .. }
            | Event::Metrics { .. }
            | Event::StageLeft { .. }
            | Event::Compared { .. }
            | Event::Looked { .. }
            | Event::Remote { .. } => {}
        }
    }

    fn begin(&mut self, stage: &str, words: &str, now: Instant) {
        self.running.retain(|running| running.stage != stage);
        self.running.push(RunningStage {
            stage: stage.to_owned(),
            since: now,
            words: shown::line(words).into_owned(),
            line: String::new(),
            now: String::new(),
            done: 0,
            total: 0,
            unit: String::new(),
            seen: VecDeque::new(),
        });
    }

    fn end(&mut self, stage: &str, outcome: StageOutcome) {
        self.ended.insert(stage.to_owned(), outcome);
        self.running.retain(|running| running.stage != stage);
    }

    fn find(&mut self, stage: &str) -> Option<&mut RunningStage> {
        self.running.iter_mut().find(|running| running.stage == stage)
    }

    /// Lines of the board, at most `rows` of at most `width` columns; none if nothing runs.
    #[must_use]
    pub fn lines(&self, width: usize, rows: usize, now: Instant) -> Vec<String> {
        let Some(since) = self.since else { return Vec::new() };
        let mut lines = vec![self.head(width, now - since)];
        let room = rows.saturating_sub(1);
        let shown = if self.running.len() > room { room.saturating_sub(1) } else { self.running.len() };
        let names = self.running.iter().map(|running| running.stage.width()).max().unwrap_or(0);
        let names = names.min((width / 3).max(8));
        // Second lines only if there is room for all of them.
        let spoken = self.running.iter().filter(|running| !running.says().is_empty()).count();
        let speak = self.running.len() + spoken <= room;
        for running in &self.running[..shown] {
            lines.push(self.row(running, names, width, now));
            if speak && !running.says().is_empty() {
                lines.push(self.dim(&format!("    {}", fit(running.says(), width.saturating_sub(4)))));
            }
        }
        if shown < self.running.len() {
            lines.push(fit(&format!("  and {} more", self.running.len() - shown), width));
        }
        lines.truncate(rows);
        if self.glyphs == Glyphs::Ascii {
            for line in &mut lines {
                *line = line.replace('…', "~");
            }
        }
        lines
    }

    fn head(&self, width: usize, time: Duration) -> String {
        let count = |wanted: StageOutcome| self.ended.values().filter(|outcome| **outcome == wanted).count();
        let (reused, failed) = (count(StageOutcome::Reused), count(StageOutcome::Failed));
        let far = format!("{}/{}", self.ended.len(), counted(self.stages as u64, "stage", "stages"));
        let mut parts = vec![(9, far), (5, whole(time))];
        if self.stopping {
            parts.push((8, "stopping".to_owned()));
            if self.viewer == Viewer::Runner {
                parts.push((7, "Ctrl-C again quits now".to_owned()));
            }
        } else {
            parts.push((4, format!("{} running", self.running.len())));
            parts.push((3, format!("{reused} reused")));
        }
        if failed > 0 {
            parts.push((7, format!("{failed} failed")));
        }
        let name = fit(&self.pipeline, (width / 3).max(8));
        let used = name.width();
        let parts = fitting(parts, width.saturating_sub(used));
        std::iter::once(name).chain(parts).collect::<Vec<_>>().join("  ")
    }

    fn row(&self, running: &RunningStage, names: usize, width: usize, now: Instant) -> String {
        let name = fit(&running.stage, names);
        let fill = " ".repeat(names - name.width());
        let begins = format!("{} {name}{fill}", self.spinner(running, now));
        let time = whole(now - running.since);
        let parts = match running.steps(now) {
            Some([count, unit, rate, left]) => vec![(9, count), (2, unit), (4, rate), (6, left), (3, time)],
            None => vec![(9, time), (5, running.words.clone())],
        };
        let parts: Vec<(u8, String)> = parts.into_iter().filter(|(_, part)| !part.is_empty()).collect();
        let room = width.saturating_sub(begins.width());
        let parts = if running.total == 0 { squeezed(parts, room) } else { fitting(parts, room) };
        let used: usize = parts.iter().map(|part| part.width() + 2).sum();
        let bar = room.saturating_sub(used + 2).min(*BAR.end());
        let mut line = begins;
        if running.total > 0 && bar >= *BAR.start() {
            line.push_str("  ");
            line.push_str(&self.bar(running.done, running.total, bar));
        }
        for part in parts {
            line.push_str(if part == running.unit { " " } else { "  " });
            line.push_str(&part);
        }
        fit_coloured(line, width)
    }

    fn spinner(&self, running: &RunningStage, now: Instant) -> char {
        let turns: &[char] = match self.glyphs {
            Glyphs::Unicode => &['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'],
            Glyphs::Ascii => &['-', '\\', '|', '/'],
        };
        turns[((now - running.since).as_millis() / 120) as usize % turns.len()]
    }

    fn bar(&self, done: u64, total: u64, width: usize) -> String {
        let full = (u128::from(done.min(total)) * width as u128 / u128::from(total.max(1))) as usize;
        let (there, open) = match (self.glyphs, self.colours) {
            (Glyphs::Unicode, Colours::Ansi) => ('━', '━'),
            (Glyphs::Unicode, Colours::Off) => ('━', '╌'),
            (Glyphs::Ascii, _) => ('#', '.'),
        };
        let [there, open] = [there.to_string().repeat(full), open.to_string().repeat(width - full)];
        match self.colours {
            Colours::Ansi => format!("\u{1b}[32m{there}\u{1b}[0m\u{1b}[2m{open}\u{1b}[0m"),
            Colours::Off => there + &open,
        }
    }

    fn dim(&self, text: &str) -> String {
        match self.colours {
            Colours::Ansi => format!("\u{1b}[2m{text}\u{1b}[0m"),
            Colours::Off => text.to_owned(),
        }
    }
}

impl RunningStage {
    fn step(&mut self, done: u64, total: u64, unit: &str, now: Instant) {
        (self.done, self.total) = (done, total);
        unit.clone_into(&mut self.unit);
        self.seen.push_back((now, done));
        while self.seen.len() > 2 && self.seen.front().is_some_and(|(then, _)| now - *then > WINDOW) {
            self.seen.pop_front();
        }
    }

    fn says(&self) -> &str {
        if self.now.is_empty() { &self.line } else { &self.now }
    }

    /// Progress, unit, rate and estimated time left; [`None`] if it has not reported any.
    fn steps(&self, now: Instant) -> Option<[String; 4]> {
        let (first, from) = *self.seen.front()?;
        let far =
            if self.total == 0 { count(self.done) } else { format!("{}/{}", count(self.done), count(self.total)) };
        let seconds = (now - first).as_secs_f64();
        let rate = self.done.saturating_sub(from) as f64 / seconds;
        if self.seen.len() < 2 || rate <= 0.0 || seconds < 0.3 {
            return Some([far, self.unit.clone(), String::new(), String::new()]);
        }
        let speed = if rate >= 1.0 { format!("{}/s", figure(rate)) } else { format!("{}/min", figure(rate * 60.0)) };
        let left = match self.total.saturating_sub(self.done) {
            0 => String::new(),
            left => format!("{} left", whole(Duration::from_secs_f64((left as f64 / rate).min(1e9)))),
        };
        Some([far, self.unit.clone(), speed, left])
    }
}

fn figure(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { count(value.round() as u64) }
}

fn count(value: u64) -> String {
    thousands(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Duration in whole seconds, so that it does not flicker.
fn whole(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { duration(seconds as f64) }
}

/// Parts that fit into `room`, each with two spaces before it; those of the lowest rank are dropped first.
fn fitting(mut parts: Vec<(u8, String)>, room: usize) -> Vec<String> {
    while parts.iter().map(|(_, part)| part.width() + 2).sum::<usize>() > room {
        let Some(least) = (0..parts.len()).min_by_key(|&at| parts[at].0) else { break };
        parts.remove(least);
    }
    parts.into_iter().map(|(_, part)| part).collect()
}

/// Like [`fitting`], but the last part is shortened first.
fn squeezed(mut parts: Vec<(u8, String)>, room: usize) -> Vec<String> {
    let others: usize = parts.iter().rev().skip(1).map(|(_, part)| part.width() + 2).sum();
    if let Some((_, last)) = parts.last_mut() {
        *last = fit(last, room.saturating_sub(others + 2));
    }
    fitting(parts, room)
}

/// A line that fits; a terminal narrower than a name and a count gets no colours.
fn fit_coloured(line: String, width: usize) -> String {
    if line.contains('\u{1b}') { line } else { fit(&line, width) }
}
