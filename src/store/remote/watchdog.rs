//! Requests to a remote with limits on rate, time and bytes; all are cancelled when the user asks to stop. Knows no
//! protocol.
//!
//! A hanging disk or a stalling socket cannot be interrupted from outside. So each request runs on its own thread,
//! which is abandoned when a limit is reached; whatever it still reads is dropped.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::field::Empty;

use super::bundle;
use super::lock;
use super::site::{Fault, Site};

/// Target of the log for requests.
pub(super) const REMOTE: &str = "macula::remote";

/// Minimum transfer rate in bytes per second, averaged over twice the timeout.
const LEAST_RATE: f64 = 8192.0;

/// Interval for checking whether the user asked to stop.
const TICK: Duration = Duration::from_millis(100);

/// Number of received pieces that may wait to be stored.
const WAITING: usize = 4;

/// How long an upload may take to finish or abort after the user asked to stop.
const FINISHING: Duration = Duration::from_secs(5);

/// Extra time for the response to an upload: it arrives only after all concurrent parts went through a slow connection.
pub(super) const WRITING: Duration = Duration::from_mins(5);

/// Total waiting time for all responses of a remote, in units of the timeout, beyond what the responses earn.
const ALL: u32 = 20;

/// Time earned by each response.
const ANSWER: Duration = Duration::from_secs(1);

/// Time limits of a remote, and the user's wish to stop.
#[derive(Clone)]
pub struct Watchdog {
    patience: Duration,
    now: Arc<dyn Fn() -> Instant + Send + Sync>,
    stopped: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watchdog").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Watchdog {
    /// A watchdog with the timeout `patience`, the clock `now`, and the stop signal `stopped`.
    pub fn new(
        patience: Duration,
        now: impl Fn() -> Instant + Send + Sync + 'static,
        stopped: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { patience, now: Arc::new(now), stopped: Arc::new(stopped) }
    }

    /// Whether the user asked to stop.
    pub(super) fn stopped(&self) -> bool {
        (self.stopped)()
    }

    /// Waits before a retry. Returns false if the user asked to stop meanwhile.
    pub(super) fn pause(&self, pause: Duration) -> bool {
        let mut left = pause;
        while !left.is_zero() && !self.stopped() {
            let step = left.min(TICK);
            std::thread::sleep(step);
            left -= step;
        }
        !self.stopped()
    }
}

/// What is known about a file's size before fetching it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    /// A bundle, which is small.
    Bundle,
    /// A known number of bytes.
    Bytes(u64),
}

/// Limits of one request.
struct RequestLimits {
    /// Time without data, and initial allowance for a slow start.
    credit: Duration,
    /// Total time.
    within: Option<Duration>,
    /// Maximum number of bytes.
    most: u64,
    /// Grace period after the user asked to stop.
    finishing: Duration,
}

/// Time that a request has left. Waiting spends it, received bytes earn it.
struct Credit {
    left: Duration,
    most: Duration,
}

impl Credit {
    fn earn(&mut self, bytes: usize) {
        self.left = (self.left + worth(bytes as u64)).min(self.most);
    }

    /// Returns whether any is left.
    fn spend(&mut self, waited: Duration) -> bool {
        self.left = self.left.saturating_sub(waited);
        !self.left.is_zero()
    }
}

/// The time that bytes earn.
fn worth(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / LEAST_RATE)
}

/// Total time spent waiting for the responses of a remote, and how much is allowed.
#[derive(Debug, Default)]
pub(super) struct Waited {
    /// Number of open requests, and since when there are any.
    open: usize,
    since: Option<Instant>,
    total: Duration,
    earned: Duration,
}

/// A remote's storage behind its watchdog.
pub(super) struct Watched<'a> {
    pub(super) name: &'a str,
    pub(super) site: &'a Arc<dyn Site>,
    pub(super) watch: &'a Watchdog,
    pub(super) waited: &'a Mutex<Waited>,
}

impl Watched<'_> {
    /// Passes the bytes of a file to `take` as they arrive and returns their number; [`None`] if the file does not
    /// exist. While nothing arrives, `take` is called with an empty slice; its error cancels the request.
    pub(super) fn fetch(
        &self,
        name: &str,
        expected: Expected,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<Option<u64>, Fault> {
        let (most, within) = match expected {
            Expected::Bundle => (bundle::LARGEST, Some(4 * self.watch.patience)),
            Expected::Bytes(size) => (size, None),
        };
        let limits = RequestLimits { within, most, ..self.reading() };
        let _span = tracing::debug_span!(target: REMOTE, "fetch", remote = self.name, name, bytes = Empty).entered();
        let asked = name.to_owned();
        self.ask(&limits, move |site, pipe| site.fetch(&asked, most, pipe), take)
    }

    /// As [`Site::size`].
    pub(super) fn size(&self, name: &str) -> Result<Option<u64>, Fault> {
        let _span = tracing::debug_span!(target: REMOTE, "size", remote = self.name, name).entered();
        let name = name.to_owned();
        self.ask(&self.reading(), move |site, _| site.size(&name), &mut |_| Ok(()))
    }

    /// As [`Site::put`].
    pub(super) fn put(&self, name: &str, bytes: Bytes) -> Result<(), Fault> {
        let _span =
            tracing::debug_span!(target: REMOTE, "put", remote = self.name, name, bytes = bytes.len()).entered();
        let (name, limits) = (name.to_owned(), self.writing(&bytes));
        self.ask(&limits, move |site, pipe| site.put(&name, bytes, &|| pipe.is_open()), &mut |_| Ok(()))
    }

    /// As [`Site::create`].
    pub(super) fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Fault> {
        let _span =
            tracing::debug_span!(target: REMOTE, "create", remote = self.name, name, bytes = bytes.len()).entered();
        let (name, limits) = (name.to_owned(), self.writing(&bytes));
        self.ask(&limits, move |site, _| site.create(&name, bytes), &mut |_| Ok(()))
    }

    /// Twice the timeout: the storage's own timeout error is more specific.
    fn reading(&self) -> RequestLimits {
        RequestLimits { credit: 2 * self.watch.patience, within: None, most: 0, finishing: Duration::ZERO }
    }

    /// Upload progress is not visible, so the whole upload gets its time in advance.
    fn writing(&self, bytes: &Bytes) -> RequestLimits {
        let credit = 2 * self.watch.patience + WRITING + worth(bytes.len() as u64);
        RequestLimits { credit, within: None, most: 0, finishing: FINISHING }
    }

    fn ask<T: Send + 'static>(
        &self,
        limits: &RequestLimits,
        work: impl FnOnce(&dyn Site, &mut Pipe<T>) -> Result<T, Fault> + Send + 'static,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<T, Fault> {
        let (sender, receiver) = sync_channel(WAITING);
        let closed = Arc::new(AtomicBool::new(false));
        let mut pipe = Pipe { sender, closed: Arc::clone(&closed) };
        let site = Arc::clone(self.site);
        let thread = std::thread::Builder::new().name("macula-remote".to_owned()).spawn(move || {
            let ended = work(&*site, &mut pipe);
            // Nobody receives it after a limit was reached.
            let _ = pipe.sender.send(WatchdogMessage::Ended(ended));
        });
        let none = |error| Fault::Passing(format!("remote `{}` cannot be used: no thread: {error}", self.name));
        thread.map_err(none)?;
        self.begin();
        let (mut came, mut waited) = (0, Duration::ZERO);
        let ended = self.receive(limits, &receiver, &closed, take, &mut came, &mut waited);
        closed.store(true, Ordering::Relaxed);
        self.end(came, ended.is_ok());
        if came > 0 {
            tracing::Span::current().record("bytes", came);
        }
        ended
    }

    fn receive<T>(
        &self,
        limits: &RequestLimits,
        receiver: &Receiver<WatchdogMessage<T>>,
        closed: &AtomicBool,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
        came: &mut u64,
        waited: &mut Duration,
    ) -> Result<T, Fault> {
        let mut credit = Credit { left: limits.credit, most: limits.credit };
        let mut silent = Duration::ZERO;
        let mut finishing = limits.finishing;
        loop {
            let before = (self.watch.now)();
            let message = receiver.recv_timeout(TICK);
            let step = (self.watch.now)().saturating_duration_since(before);
            *waited += step;
            let in_credit = credit.spend(step);
            match message {
                Ok(WatchdogMessage::Ended(ended)) => return ended,
                Ok(WatchdogMessage::Piece(piece)) => {
                    silent = Duration::ZERO;
                    *came += piece.len() as u64;
                    if *came > limits.most {
                        return Err(Fault::Wrong(format!(
                            "a file on remote `{}` is larger than the expected {} bytes",
                            self.name, limits.most
                        )));
                    }
                    credit.earn(piece.len());
                    take(&piece)?;
                }
                Err(RecvTimeoutError::Timeout) => {
                    silent += step;
                    take(&[])?;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Fault::lasting(format!("remote `{}` cannot be read: its thread ended", self.name)));
                }
            }
            if self.watch.stopped() {
                closed.store(true, Ordering::Relaxed);
                finishing = finishing.saturating_sub(step);
                if finishing.is_zero() {
                    return Err(Fault::Stopped);
                }
            }
            if !in_credit || limits.within.is_some_and(|within| *waited > within) {
                return Err(self.too_slow(*came, silent, *waited));
            }
        }
    }

    fn too_slow(&self, came: u64, silent: Duration, waited: Duration) -> Fault {
        let seconds = |time: Duration| (time.as_secs_f64() * 10.0).round() / 10.0;
        let text = if silent >= self.watch.patience {
            format!("remote `{}` did not respond for {} s", self.name, seconds(silent))
        } else {
            let came = crate::base::figure::counted(came, "byte", "bytes");
            format!("remote `{}` is too slow: {came} in {} s", self.name, seconds(waited))
        };
        Fault::hinted(text, "raise `timeout=` in `project.kdl`, or disable remotes with `MACULA_REMOTE=none`")
    }

    fn begin(&self) {
        let now = (self.watch.now)();
        let mut all = lock(self.waited);
        all.open += 1;
        all.since.get_or_insert(now);
    }

    fn end(&self, bytes: u64, answered: bool) {
        let now = (self.watch.now)();
        let mut all = lock(self.waited);
        all.open -= 1;
        if answered {
            all.earned += worth(bytes) + ANSWER;
        }
        if let Some(since) = all.since {
            all.total += now.saturating_duration_since(since);
            all.since = (all.open > 0).then_some(now);
        }
    }

    /// The error if all responses together took too long.
    pub(super) fn overdrawn(&self) -> Option<Fault> {
        let all = lock(self.waited);
        let over = all.total > all.earned + ALL * self.watch.patience;
        over.then(|| {
            let text =
                format!("remote `{}` is too slow: its responses took {:.0} s", self.name, all.total.as_secs_f64());
            Fault::hinted(text, "raise `timeout=` in `project.kdl`, or disable remotes with `MACULA_REMOTE=none`")
        })
    }
}

enum WatchdogMessage<T> {
    Piece(Vec<u8>),
    Ended(Result<T, Fault>),
}

/// Where a request's thread writes received bytes.
struct Pipe<T> {
    sender: SyncSender<WatchdogMessage<T>>,
    closed: Arc<AtomicBool>,
}

impl<T> Pipe<T> {
    /// Whether the receiver is still waiting.
    fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }
}

impl<T> Write for Pipe<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let open = self.is_open() && self.sender.send(WatchdogMessage::Piece(bytes.to_vec())).is_ok();
        if open { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
