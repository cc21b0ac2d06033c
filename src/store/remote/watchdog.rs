//! Requests to a remote, each with limits on its rate, time and bytes, and all of them ended when the user asks to stop. Knows no protocol.
//!
//! A disk that hangs and a socket that drips can't be called back from outside. So each request runs on a thread of its own, which is left
//! behind when a limit is reached; what it still reads is dropped.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::bundle;
use super::lock;
use super::site::{Fault, Site};

/// Bytes that must come or go in a second, on average over twice the time that a remote may be silent.
const LEAST_RATE: f64 = 8192.0;

/// How often the wish to stop is looked at while nothing comes.
const TICK: Duration = Duration::from_millis(100);

/// Pieces that have come and wait to be stored.
const WAITING: usize = 4;

/// How long a file that is being written may take to be finished or taken back after the user asked to stop.
const FINISHING: Duration = Duration::from_secs(5);

/// How much longer an answer to what is written may take: it comes when all pieces that go at the same time have gone through a narrow line.
pub(super) const WRITING: Duration = Duration::from_mins(5);

/// All answers of a remote together may take so many times as long as it may be silent, beyond what they earn.
const ALL: u32 = 20;

/// Earned by each answer.
const ANSWER: Duration = Duration::from_secs(1);

/// How long a remote may take, and how to notice that the user asks to stop.
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
    /// For a remote that may be silent for `patience`, by the clock `now`, until `stopped`.
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

    /// Waits before a request is repeated. Returns whether the user did not ask to stop meanwhile.
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

/// What is known of a file's size before it is fetched.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expected {
    /// A bundle: small.
    Bundle,
    /// So many bytes.
    Bytes(u64),
}

/// What one request may take.
struct Limits {
    /// How long it may bring nothing, and at first how long it may be slow.
    credit: Duration,
    /// How long it may take in all.
    within: Option<Duration>,
    /// How many bytes may come.
    most: u64,
    /// How long it is still waited for after the user asked to stop.
    finishing: Duration,
}

/// Time that a request has left. Waiting spends it, bytes earn it.
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

/// The time that bytes may take.
fn worth(bytes: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / LEAST_RATE)
}

/// How long all answers of a remote were waited for, and how long they may take.
#[derive(Debug, Default)]
pub(super) struct Waited {
    /// Requests that are waited for now, and since when there are any.
    open: usize,
    since: Option<Instant>,
    total: Duration,
    earned: Duration,
}

/// A remote's place, asked under watch.
pub(super) struct Watched<'a> {
    pub(super) name: &'a str,
    pub(super) site: &'a Arc<dyn Site>,
    pub(super) watch: &'a Watchdog,
    pub(super) waited: &'a Mutex<Waited>,
}

impl Watched<'_> {
    /// Hands the bytes of a file to `take` as they come, and returns how many; [`None`] where there is no such file. `take` is called without
    /// any, too, while nothing comes: what it says ends the request.
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
        let limits = Limits { within, most, ..self.reading() };
        let asked = name.to_owned();
        self.ask(&limits, move |site, pipe| site.fetch(&asked, most, pipe), take)
    }

    /// As [`Site::size`].
    pub(super) fn size(&self, name: &str) -> Result<Option<u64>, Fault> {
        let name = name.to_owned();
        self.ask(&self.reading(), move |site, _| site.size(&name), &mut |_| Ok(()))
    }

    /// As [`Site::put`].
    pub(super) fn put(&self, name: &str, bytes: Bytes) -> Result<(), Fault> {
        let (name, limits) = (name.to_owned(), self.writing(&bytes));
        self.ask(&limits, move |site, pipe| site.put(&name, bytes, &|| pipe.is_open()), &mut |_| Ok(()))
    }

    /// As [`Site::create`].
    pub(super) fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Fault> {
        let (name, limits) = (name.to_owned(), self.writing(&bytes));
        self.ask(&limits, move |site, _| site.create(&name, bytes), &mut |_| Ok(()))
    }

    /// Twice the patience: what a place itself says of its silence says more.
    fn reading(&self) -> Limits {
        Limits { credit: 2 * self.watch.patience, within: None, most: 0, finishing: Duration::ZERO }
    }

    /// How far bytes have gone can't be seen: they have the time that they may take.
    fn writing(&self, bytes: &Bytes) -> Limits {
        let credit = 2 * self.watch.patience + WRITING + worth(bytes.len() as u64);
        Limits { credit, within: None, most: 0, finishing: FINISHING }
    }

    fn ask<T: Send + 'static>(
        &self,
        limits: &Limits,
        work: impl FnOnce(&dyn Site, &mut Pipe<T>) -> Result<T, Fault> + Send + 'static,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<T, Fault> {
        let (sender, receiver) = sync_channel(WAITING);
        let closed = Arc::new(AtomicBool::new(false));
        let mut pipe = Pipe { sender, closed: Arc::clone(&closed) };
        let site = Arc::clone(self.site);
        let thread = std::thread::Builder::new().name("macula-remote".to_owned()).spawn(move || {
            let ended = work(&*site, &mut pipe);
            // Nobody listens any more where a limit was reached.
            let _ = pipe.sender.send(Message::Ended(ended));
        });
        let none = |error| Fault::Passing(format!("remote `{}` can't be asked: no thread: {error}", self.name));
        thread.map_err(none)?;
        self.begin();
        let (mut came, mut waited) = (0, Duration::ZERO);
        let ended = self.receive(limits, &receiver, &closed, take, &mut came, &mut waited);
        closed.store(true, Ordering::Relaxed);
        self.end(came, ended.is_ok());
        ended
    }

    fn receive<T>(
        &self,
        limits: &Limits,
        receiver: &Receiver<Message<T>>,
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
                Ok(Message::Ended(ended)) => return ended,
                Ok(Message::Piece(piece)) => {
                    silent = Duration::ZERO;
                    *came += piece.len() as u64;
                    if *came > limits.most {
                        return Err(Fault::Wrong(format!(
                            "a file of remote `{}` has more than its {} bytes",
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
                    return Err(Fault::lasting(format!("remote `{}` can't be read: its thread ended", self.name)));
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
            format!("remote `{}` was silent for {} s", self.name, seconds(silent))
        } else {
            let came = crate::base::figure::counted(came, "byte", "bytes");
            format!("remote `{}` is too slow: {came} in {} s", self.name, seconds(waited))
        };
        Fault::hinted(text, "raise `timeout=` in `project.kdl`, or set `MACULA_REMOTE=none` to go without remotes")
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

    /// That all answers together took too long, where they did.
    pub(super) fn overdrawn(&self) -> Option<Fault> {
        let all = lock(self.waited);
        let over = all.total > all.earned + ALL * self.watch.patience;
        over.then(|| {
            let text = format!("remote `{}` is too slow: its answers took {:.0} s", self.name, all.total.as_secs_f64());
            Fault::hinted(text, "raise `timeout=` in `project.kdl`, or set `MACULA_REMOTE=none` to go without remotes")
        })
    }
}

enum Message<T> {
    Piece(Vec<u8>),
    Ended(Result<T, Fault>),
}

/// Where a request's thread writes what comes.
struct Pipe<T> {
    sender: SyncSender<Message<T>>,
    closed: Arc<AtomicBool>,
}

impl<T> Pipe<T> {
    /// Whether anybody still waits for what comes.
    fn is_open(&self) -> bool {
        !self.closed.load(Ordering::Relaxed)
    }
}

impl<T> Write for Pipe<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let open = self.is_open() && self.sender.send(Message::Piece(bytes.to_vec())).is_ok();
        if open { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
