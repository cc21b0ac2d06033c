//! Watchers without a terminal: plain lines, or JSON Lines.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::out;
use super::out::Colours;
use super::table::thousands;
use super::text::{Detail, EventText, Viewer};
use crate::base::sync;
use crate::run::{Event, Host, Watch, record};

/// For each stage, when its progress was printed last and how long to wait for the next time.
type Due = BTreeMap<String, (Instant, Duration)>;

/// Watcher that prints plain lines on stdout, for pipes and files. Progress is a line every 30 seconds, every minute between epochs.
pub struct Plain {
    text: Mutex<(EventText, Due)>,
}

const SELDOM: Duration = Duration::from_secs(30);

/// Like [`SELDOM`], for stages that report epochs.
const BETWEEN_EPOCHS: Duration = Duration::from_mins(1);

impl Plain {
    /// Starts a watcher.
    #[must_use]
    pub fn new(colours: Colours, detail: Detail, viewer: Viewer) -> Self {
        let mut text = EventText::new(colours, detail, out::stdout_width());
        text.unbroken = !out::stdout_is_terminal();
        text.viewer = viewer;
        Self { text: Mutex::new((text, BTreeMap::new())) }
    }
}

impl Watch for Plain {
    fn event(&self, event: &Event) {
        let mut held = sync::lock(&self.text);
        let (text, due) = &mut *held;
        if let Event::Step { stage, done, total, unit, now: words } = event {
            let now = Instant::now();
            let (last, pause) = due.entry(stage.clone()).or_insert((now, SELDOM));
            if matches!(text.detail(), Detail::Full | Detail::Verbose) && now - *last >= *pause {
                *last = now;
                let line = Event::Line { stage: stage.clone(), text: steps(*done, *total, unit, words) };
                say(text.of(&line).as_deref());
            }
            return;
        }
        if let Event::Metrics { stage, .. } = event {
            due.insert(stage.clone(), (Instant::now(), BETWEEN_EPOCHS));
        }
        say(text.of(event).as_deref());
    }
}

/// Watcher that prints events as JSON Lines on stdout.
pub struct Json<'a> {
    host: &'a Host,
}

impl<'a> Json<'a> {
    /// JSON Lines with the host's clock.
    #[must_use]
    pub fn new(host: &'a Host) -> Self {
        Self { host }
    }
}

impl Watch for Json<'_> {
    fn event(&self, event: &Event) {
        say(Some(&(record::line(event, self.host.nanoseconds()) + "\n")));
    }
}

/// Prints text. A failed write does not stop the run; the command ends with that error.
pub(super) fn say(text: Option<&str>) {
    if let Some(text) = text {
        out::say(text);
    }
}

/// Progress of a stage: `1,210 of 3,520 batches: epoch 6/16`.
pub(super) fn steps(done: u64, total: u64, unit: &str, words: &str) -> String {
    let count = |value: u64| thousands(i64::try_from(value).unwrap_or(i64::MAX));
    let far = if total == 0 { count(done) } else { format!("{} of {}", count(done), count(total)) };
    if words.is_empty() { format!("{far} {unit}") } else { format!("{far} {unit}: {words}") }
}
