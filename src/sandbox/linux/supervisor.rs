//! A command and all that it starts, watched until none of it is left. The keeper is either the first process of a PID namespace, whose
//! end the kernel makes the end of all in it, or it inherits the orphans of all that the command started (a subreaper) and ends
//! them itself.
//!
//! macula holds the other end of the keeper's standard input: a byte asks the command to end, and its end (which comes also where
//! macula is killed) ends all at once.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, pidfd_open, wait,
};

/// How often the keeper looks without being told of anything: what the command's orphans leave is cleared away then.
const POLL_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// How long processes may take to be gone after they were killed.
const GONE: Duration = Duration::from_secs(10);
/// How long is waited between two looks at them.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits for the command's end. [`None`] where macula went away or wants all to end.
pub(super) fn watch(command: Pid) -> Option<WaitStatus> {
    let control = rustix::stdio::stdin();
    let handle = pidfd_open(command, PidfdFlags::empty()).ok();
    loop {
        while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
            if ended == command {
                return Some(status);
            }
        }
        if told(control, handle.as_ref(), POLL_INTERVAL) {
            match rustix::io::read(control, &mut [0; 1]) {
                Ok(1..) => _ = kill_process_group(command, Signal::TERM),
                Err(rustix::io::Errno::INTR) => {}
                Ok(0) | Err(_) => return None,
            }
        }
    }
}

/// Waits for the first process of a namespace, which watches itself; ends it where macula goes away.
pub(super) fn watch_first(first: Pid) -> Option<WaitStatus> {
    let control = rustix::stdio::stdin();
    let handle = pidfd_open(first, PidfdFlags::empty()).ok();
    loop {
        while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
            if ended == first {
                return Some(status);
            }
        }
        if gone(control, handle.as_ref()) {
            let _ = kill_process(first, Signal::KILL);
            std::thread::sleep(PAUSE);
        }
    }
}

/// Whether something is to be read, or nothing ever will be. Ends early where `other` ends.
fn told(control: BorrowedFd<'_>, other: Option<&OwnedFd>, at_most: Timespec) -> bool {
    let mut all = vec![PollFd::new(&control, PollFlags::IN)];
    all.extend(other.map(|other| PollFd::from_borrowed_fd(other.as_fd(), PollFlags::IN)));
    poll(&mut all, Some(&at_most)).is_ok() && !all[0].revents().is_empty()
}

/// Whether the other end is closed. What was written there is left for another to read.
fn gone(control: BorrowedFd<'_>, other: Option<&OwnedFd>) -> bool {
    let mut all = vec![PollFd::new(&control, PollFlags::empty())];
    all.extend(other.map(|other| PollFd::from_borrowed_fd(other.as_fd(), PollFlags::IN)));
    poll(&mut all, Some(&POLL_INTERVAL)).is_ok()
        && all[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// Makes this process the one that inherits all orphans of what it starts.
///
/// # Errors
/// Why it could not find all of them again.
pub(super) fn inherit_orphans() -> Result<(), String> {
    let own = rustix::process::getpid();
    let inherits = rustix::process::set_child_subreaper(Some(own)).map_err(|error| error.to_string());
    inherits.and_then(|()| children().map(drop).map_err(|error| format!("processes cannot be listed: {error}")))
}

/// Kills all children of this process until it has none, and so no descendant either: the orphans of each become its own.
/// Returns how many are left.
pub(super) fn end_all() -> usize {
    let mut waited = Duration::ZERO;
    loop {
        let left = children().unwrap_or_default();
        for child in &left {
            let _ = kill_process(*child, Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Err(rustix::io::Errno::CHILD) => return 0,
                Ok(None) | Err(_) => break,
            }
        }
        if waited > GONE {
            return left.len().max(1);
        }
        std::thread::sleep(PAUSE);
        waited += PAUSE;
    }
}

/// The children of this process, as `/proc` has them.
fn children() -> io::Result<Vec<Pid>> {
    let own = rustix::process::getpid().as_raw_nonzero().get().to_string();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // It may have ended meanwhile.
        let Ok(facts) = fs::read(process.path().join("stat")) else { continue };
        // Its name may hold anything, spaces and parentheses too: what follows the last one is the state, then the parent.
        let facts = String::from_utf8_lossy(&facts).into_owned();
        let parent = facts.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if parent == Some(&own) {
            found.push(id);
        }
    }
    Ok(found)
}
