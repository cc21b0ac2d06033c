//! Supervises a command until none of its processes is left. The supervisor is either the first process of a PID
//! namespace, whose end kills everything in it, or a subreaper, which inherits the command's orphans and kills them
//! itself.
//!
//! macula holds the other end of the supervisor's stdin: a byte asks the command to end, and closing it (also if macula
//! is killed) kills everything at once.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, pidfd_open, wait,
};

/// Poll interval, for reaping orphans.
const POLL_INTERVAL: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// How long processes may take to disappear after they were killed.
const GONE: Duration = Duration::from_secs(10);
/// Pause between checks for them.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits for the command to end. [`None`] if macula is gone or wants everything to end.
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

/// Waits for the first process of a namespace, which supervises itself; kills it if macula is gone.
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

/// Whether `control` is readable or closed. Returns early if `other` ends.
fn told(control: BorrowedFd<'_>, other: Option<&OwnedFd>, at_most: Timespec) -> bool {
    let mut all = vec![PollFd::new(&control, PollFlags::IN)];
    all.extend(other.map(|other| PollFd::from_borrowed_fd(other.as_fd(), PollFlags::IN)));
    poll(&mut all, Some(&at_most)).is_ok() && !all[0].revents().is_empty()
}

/// Whether the other end is closed. Leaves written bytes for another reader.
fn gone(control: BorrowedFd<'_>, other: Option<&OwnedFd>) -> bool {
    let mut all = vec![PollFd::new(&control, PollFlags::empty())];
    all.extend(other.map(|other| PollFd::from_borrowed_fd(other.as_fd(), PollFlags::IN)));
    poll(&mut all, Some(&POLL_INTERVAL)).is_ok()
        && all[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// Makes this process the subreaper of all its descendants.
///
/// # Errors
/// Why it could not find all of them again.
pub(super) fn inherit_orphans() -> Result<(), String> {
    let own = rustix::process::getpid();
    let inherits = rustix::process::set_child_subreaper(Some(own)).map_err(|error| error.to_string());
    inherits.and_then(|()| children().map(drop).map_err(|error| format!("cannot list processes: {error}")))
}

/// Kills all children of this process until there are none, and so no descendants: their orphans become its children.
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

/// The children of this process, from `/proc`.
fn children() -> io::Result<Vec<Pid>> {
    let own = rustix::process::getpid().as_raw_nonzero().get().to_string();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc")?.flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // It may have ended meanwhile.
        let Ok(facts) = fs::read(process.path().join("stat")) else { continue };
        // The name may contain spaces and parentheses: after the last `)` come the state and the parent.
        let facts = String::from_utf8_lossy(&facts).into_owned();
        let parent = facts.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        if parent == Some(&own) {
            found.push(id);
        }
    }
    Ok(found)
}
