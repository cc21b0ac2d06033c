//! Who watches a run without a terminal: plain lines, or JSON Lines.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::out;
use super::text::{Colours, Detail, Text};
use crate::run::{Event, Watch, World, record};

/// Plain lines on stdout, for pipes and files. Of steps, one line in ten seconds.
pub struct Plain {
    text: Mutex<(Text, BTreeMap<String, Instant>)>,
}

const SELDOM: Duration = Duration::from_secs(10);

impl Plain {
    /// Plain lines.
    #[must_use]
    pub fn new(colours: Colours, detail: Detail) -> Self {
        Self { text: Mutex::new((Text::new(colours, detail), BTreeMap::new())) }
    }
}

impl Watch for Plain {
    fn event(&self, event: &Event) {
        let mut held = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let (text, told) = &mut *held;
        if let Event::Step { stage, done, total, unit, now: words } = event {
            let now = Instant::now();
            if text.detail() == Detail::Full && now - *told.entry(stage.clone()).or_insert(now) >= SELDOM {
                told.insert(stage.clone(), now);
                let line = Event::Line { stage: stage.clone(), text: steps(*done, *total, unit, words) };
                say(text.of(&line).as_deref());
            }
            return;
        }
        say(text.of(event).as_deref());
    }
}

/// JSON Lines on stdout.
pub struct Json<'a> {
    world: &'a World,
}

impl<'a> Json<'a> {
    /// JSON Lines with the world's clock.
    #[must_use]
    pub fn new(world: &'a World) -> Self {
        Self { world }
    }
}

impl Watch for Json<'_> {
    fn event(&self, event: &Event) {
        say(Some(&(record::line(event, self.world.nanoseconds()) + "\n")));
    }
}

/// Output that does not arrive is no reason to stop computing; the command ends with that error.
pub(super) fn say(text: Option<&str>) {
    if let Some(text) = text {
        out::say(text);
    }
}

fn steps(done: u64, total: u64, unit: &str, words: &str) -> String {
    let far = if total == 0 { format!("{done} {unit}") } else { format!("{done} of {total} {unit}") };
    if words.is_empty() { far } else { format!("{far}: {words}") }
}
