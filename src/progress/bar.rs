//! Progress bar of a command that reads many files: on a terminal one line that is redrawn, elsewhere a line now and then. It is on stderr, and
//! leaves nothing behind on a terminal.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::board::Glyphs;
use super::out;
use super::table::shortened;
use super::watchers::steps;
use crate::base::{shown, sync};
use crate::run::{Event, Watch};

/// Pause between two lines, on a terminal and elsewhere.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(30)];

/// Width of the bar, columns.
const WIDTH: usize = 24;

/// Watcher that shows the progress of whatever is being done, and nothing else.
pub struct ProgressBar {
    /// When the last line was printed; [`None`] prints nothing.
    last: Option<Mutex<Instant>>,
    terminal: bool,
    glyphs: Glyphs,
}

impl ProgressBar {
    /// A bar on stderr, unless `--quiet` was given.
    #[must_use]
    pub fn new(glyphs: Glyphs) -> Self {
        let last = (out::volume() > out::Volume::Quiet).then(|| Mutex::new(Instant::now()));
        Self { last, terminal: out::stderr_is_terminal(), glyphs }
    }

    /// Removes the bar, so that other output can follow.
    pub fn clear(&self) {
        if self.terminal && self.last.is_some() {
            out::draw("\r\u{1b}[K");
        }
    }
}

impl Watch for ProgressBar {
    fn event(&self, event: &Event) {
        let (Some(last), Event::Step { stage, done, total, unit, now }) = (&self.last, event) else { return };
        let mut last = sync::lock(last);
        let [on_terminal, elsewhere] = PAUSES;
        let ends = self.terminal && done == total;
        if !ends && last.elapsed() < if self.terminal { on_terminal } else { elsewhere } {
            return;
        }
        *last = Instant::now();
        let words = steps(*done, *total, unit, now);
        let words = if stage.is_empty() { words } else { format!("{stage}: {words}") };
        let words = shown::line(&words);
        if self.terminal {
            let line = format!("{}  {words}", drawn(*done, *total, self.glyphs));
            out::draw(&format!("\r\u{1b}[K{}", shortened(&line, out::stderr_width().saturating_sub(1))));
        } else {
            out::talk(&format!("{words}\n"));
        }
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The bar itself; empty if the total is unknown.
fn drawn(done: u64, total: u64, glyphs: Glyphs) -> String {
    if total == 0 {
        return String::new();
    }
    let full = (u128::from(done.min(total)) * WIDTH as u128 / u128::from(total)) as usize;
    let (there, open) = match glyphs {
        Glyphs::Unicode => ("━", "╌"),
        Glyphs::Ascii => ("#", "."),
    };
    there.repeat(full) + &open.repeat(WIDTH - full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_full_at_the_end_and_never_longer() {
        assert_eq!(drawn(0, 54, Glyphs::Ascii), ".".repeat(24));
        assert_eq!(drawn(27, 54, Glyphs::Ascii), format!("{}{}", "#".repeat(12), ".".repeat(12)));
        assert_eq!(drawn(54, 54, Glyphs::Unicode), "━".repeat(24));
        assert_eq!(drawn(60, 54, Glyphs::Ascii), "#".repeat(24));
        assert_eq!(drawn(3, 0, Glyphs::Ascii), "");
    }
}
