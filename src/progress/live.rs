//! Live display on a terminal: finished stages scroll up, running stages are redrawn below. It changes no terminal setting and leaves
//! the cursor below what it drew, so nothing has to be restored however the process ends.

use std::panic;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::board::{Board, Glyphs};
use super::out::{self, Colours};
use super::text::{Detail, EventText, Viewer};
use super::watchers::say;
use crate::base::sync;
use crate::run::{Event, Watch};

/// How often it is redrawn between events.
const TICK: Duration = Duration::from_millis(120);

/// Watcher that prints lines on stdout and draws the running stages below them on stderr.
pub struct Live {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<LiveState>,
    ended: Condvar,
}

struct LiveState {
    text: EventText,
    board: Board,
    drawn: Vec<String>,
    ended: bool,
}

impl Live {
    /// Starts a live display.
    #[must_use]
    pub fn new(colours: Colours, detail: Detail, glyphs: Glyphs, viewer: Viewer) -> Self {
        let mut text = EventText::new(colours, detail, size().0);
        text.viewer = viewer;
        let board = Board::new(colours, glyphs, viewer);
        let state = LiveState { text, board, drawn: Vec::new(), ended: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), ended: Condvar::new() });
        make_way_for_panics(Arc::downgrade(&shared));
        let drawn = Arc::clone(&shared);
        // Without a thread of its own it is only redrawn at events.
        let ticker = std::thread::Builder::new().name("macula-live".into()).spawn(move || drawn.tick()).ok();
        Self { shared, ticker }
    }
}

impl Watch for Live {
    fn event(&self, event: &Event) {
        self.event_at(event, Instant::now());
    }
}

impl Live {
    /// Shows an event that happened at `when`.
    pub fn event_at(&self, event: &Event, when: Instant) {
        let mut state = self.shared.lock();
        state.board.take(event, when);
        // The board below shows that it runs.
        let said = if matches!(event, Event::StageBegan { .. } | Event::StageFetched { .. }) {
            None
        } else {
            // The last column stays empty, as below.
            state.text.width = size().0.saturating_sub(1);
            state.text.of(event)
        };
        if let Some(said) = said {
            state.clear();
            say(Some(&said));
            state.draw();
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.ended = true;
            if !std::thread::panicking() {
                state.clear();
            }
        }
        self.shared.ended.notify_all();
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, LiveState> {
        sync::lock(&self.state)
    }

    fn tick(&self) {
        let mut state = self.lock();
        while !state.ended {
            state.draw();
            state = self.ended.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl LiveState {
    /// Redraws the board.
    fn draw(&mut self) {
        let (width, rows) = size();
        // The last column stays empty, since some terminals go on to the next line there; so does a line for the cursor.
        let lines = self.board.lines(width.saturating_sub(1), rows.saturating_sub(1), Instant::now());
        if lines == self.drawn {
            return;
        }
        let mut text = self.back(rows);
        for line in &lines {
            text.push_str(line);
            text.push_str("\u{1b}[K\n");
        }
        text.push_str("\u{1b}[J");
        self.drawn = lines;
        out::draw(&text);
    }

    /// Erases the board.
    fn clear(&mut self) {
        if !self.drawn.is_empty() {
            out::draw(&format!("{}\u{1b}[J", self.back(size().1)));
            self.drawn.clear();
        }
    }

    /// Control sequence to the start of the board.
    fn back(&self, rows: usize) -> String {
        match self.drawn.len().min(rows.saturating_sub(1)) {
            0 => "\r".to_owned(),
            up => format!("\r\u{1b}[{up}A"),
        }
    }
}

/// Columns and rows of the terminal; they may change at any time.
fn size() -> (usize, usize) {
    out::stderr_size().unwrap_or((80, 24))
}

/// Lets the message of a panic scroll above the board like everything else.
fn make_way_for_panics(shared: Weak<Shared>) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let shared = shared.upgrade();
        // The thread that panics may hold the lock itself.
        let mut held = shared.as_ref().and_then(|shared| shared.state.try_lock().ok());
        if let Some(state) = &mut held {
            state.clear();
        }
        before(info);
    }));
}
