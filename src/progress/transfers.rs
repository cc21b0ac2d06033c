//! Progress of transfers to and from remotes, and of packs: a line on stderr now and then, more often on a terminal.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::out;
use super::table::bytes;
use crate::base::shown;
use crate::base::sync;
use crate::run::transfer::Hear;

/// Watcher of transfers.
pub struct Transfers {
    /// Time of the last line and the pause after it; [`None`] prints nothing.
    state: Option<Mutex<(Instant, Duration)>>,
    terminal: bool,
}

impl Transfers {
    /// Watcher that prints on stderr, unless `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        let terminal = out::stderr_is_terminal();
        let pause = if terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        Self { state: (!quiet).then(|| Mutex::new((Instant::now(), pause))), terminal }
    }
}

impl Transfers {
    /// Shows what is written or read now, if it is time for a line.
    pub fn copied(&self, what: &str, done: u64, all: u64) {
        self.show(|| format!("  {what}  {} of {}", bytes(done), bytes(all)));
    }

    fn show(&self, words: impl FnOnce() -> String) {
        let Some(state) = &self.state else { return };
        let mut state = sync::lock(state);
        if state.0.elapsed() < state.1 {
            return;
        }
        state.0 = Instant::now();
        let (say, begin, end): (fn(&str), _, _) =
            if self.terminal { (out::draw, "\r\u{1b}[K", "") } else { (out::talk, "", "\n") };
        say(&format!("{begin}{}{end}", shown::line(&words())));
    }
}

impl Hear for Transfers {
    fn bytes(&self, stage: &str, remote: &str, come: u64) {
        self.show(|| format!("  {stage}  {} (remote `{remote}`)", bytes(come)));
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        if self.terminal && self.state.is_some() {
            out::draw("\r\u{1b}[K");
        }
    }
}
