//! The walls as Linux makes them. The helper becomes a keeper ([`supervisor`]) that starts the command and outlives all that comes of it.
//! The command runs in namespaces of its own ([`namespaces`]) behind Landlock ([`landlock`]); where the system has no namespaces for
//! this user, seccomp ([`seccomp`]) stands in for them.

mod landlock;
mod namespaces;
mod seccomp;
mod supervisor;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use namespaces::Users;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, set_dumpable_behavior, wait};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::{LauncherEvent, Network, SandboxMode, SandboxSpec, start, write};

/// Where a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    /// In namespaces of its own.
    Own,
    /// Among all other processes.
    Shared,
}

/// Starts the command behind its walls and keeps it until nothing of it is left. Returns what was written last.
pub(super) fn keep(spec: &SandboxSpec, report: &mut File) -> LauncherEvent {
    if fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return tell(report, LauncherEvent::Unavailable("the helper has several threads".to_owned()));
    }
    // Whoever ends macula ends the keeper by closing its input; a signal to all would leave what the command started.
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let _ = signal_hook::flag::register(signal, Arc::default());
    }
    close_others();
    let mut why = String::new();
    if spec.mode == SandboxMode::Enforced {
        let root = rustix::process::geteuid().is_root().then_some(Users::Shared);
        for users in [Some(Users::Own), root].into_iter().flatten() {
            match in_namespaces(spec, users, report) {
                Ok(last) => return last,
                Err(error) => why = error,
            }
        }
    }
    among_others(spec, report, &why)
}

fn tell(report: &mut File, said: LauncherEvent) -> LauncherEvent {
    write(report, &said);
    said
}

/// What macula's own parent left open is no business of a command's.
fn close_others() {
    const FROM: libc::c_uint = 3;
    #[expect(unsafe_code, reason = "a system call that neither std nor rustix offers")]
    // SAFETY: nothing is closed now; all descriptors but the three standard ones are marked to be closed where the command begins. Where
    // the kernel does not know the call, nothing happens.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, FROM, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Runs the command in namespaces.
///
/// # Errors
/// Why there are none; then nothing was started.
fn in_namespaces(spec: &SandboxSpec, users: Users, report: &mut File) -> Result<LauncherEvent, String> {
    let base = report_folder(report)?;
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (ready, status) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| error.to_string())?;
    let first = namespaces::fork(users, spec.network).map_err(|error| format!("no namespaces: {error}"))?;
    let Some(first) = Pid::from_raw(first) else {
        drop(ready);
        first_process(spec, users, (user, group), &base, status, report);
    };
    drop(status);
    let mut said = String::new();
    let _ = File::from(ready).read_to_string(&mut said);
    let undumped = said == READY && set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok();
    if !undumped {
        let _ = rustix::process::kill_process(first, Signal::KILL);
        let _ = wait(WaitOptions::empty());
        return Err(if said.is_empty() { "its first process ended".to_owned() } else { said });
    }
    // Once the first process is gone, all of the namespace are: the kernel lets it go last.
    let last = match supervisor::watch_first(first).and_then(WaitStatus::exit_status) {
        Some(0) => LauncherEvent::Swept,
        _ => LauncherEvent::Lost,
    };
    Ok(tell(report, last))
}

/// What the first process says when all is as it should be.
const READY: &str = "ready";

/// The first process of the namespaces: builds the root, starts the command, waits for it.
fn first_process(
    spec: &SandboxSpec,
    users: Users,
    (user, group): (u32, u32),
    base: &Path,
    status: OwnedFd,
    report: &mut File,
) -> ! {
    let die =
        || rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| error.to_string());
    let names = || match users {
        Users::Own => namespaces::keep_names(user, group).map_err(|error| format!("no names for users: {error}")),
        Users::Shared => Ok(()),
    };
    let built = die().and_then(|()| names()).and_then(|()| namespaces::enter_root(spec, base));
    let built = built.and_then(|short| {
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| error.to_string()).map(|()| short)
    });
    let mut status = File::from(status);
    let _ = status.write_all(built.as_ref().map_or_else(String::as_str, |_| READY).as_bytes());
    drop(status);
    let Ok(short) = built else { std::process::exit(1) };
    let ended = match begin(spec, Space::Own, short, report) {
        Ok(command) => supervisor::watch(command),
        Err(error) => {
            write(report, &LauncherEvent::NotStarted(error.to_string()));
            None
        }
    };
    if let Some(ended) = ended {
        tell_end(report, ended);
    }
    // What is still there ends with this process.
    std::process::exit(i32::from(ended.is_none()))
}

/// Runs the command without namespaces; `why` says why there are none.
fn among_others(spec: &SandboxSpec, report: &mut File, why: &str) -> LauncherEvent {
    if let Err(error) = supervisor::inherit_orphans() {
        let why = format!("no namespaces ({why}), and what a command starts could outlive it: {error}");
        return tell(report, LauncherEvent::Unavailable(why));
    }
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let ended = match begin(spec, Space::Shared, false, report) {
        Ok(command) => supervisor::watch(command),
        Err(error) => return tell(report, LauncherEvent::NotStarted(error.to_string())),
    };
    if let Some(ended) = ended {
        tell_end(report, ended);
    }
    match supervisor::end_all() {
        0 => tell(report, LauncherEvent::Swept),
        left => tell(report, LauncherEvent::Left(left)),
    }
}

fn tell_end(report: &mut File, ended: WaitStatus) {
    write(report, &LauncherEvent::Ended { code: ended.exit_status(), signal: ended.terminating_signal() });
}

/// The folder in which the helper says how it goes: of no use to anybody else, so a root can be built over it.
fn report_folder(report: &File) -> Result<std::path::PathBuf, String> {
    let path = fs::read_link(format!("/proc/self/fd/{}", report.as_raw_fd())).map_err(|error| error.to_string())?;
    path.parent().filter(|folder| folder.is_dir()).map(Path::to_owned).ok_or_else(|| "no place for a root".to_owned())
}

/// Starts the process that becomes the command.
fn begin(spec: &SandboxSpec, space: Space, short: bool, report: &mut File) -> std::io::Result<Pid> {
    #[expect(unsafe_code, reason = "the keeper must go on beside the command with what it is in")]
    // SAFETY: this process has one thread, so its copy is whole.
    let started = unsafe { libc::fork() };
    match started {
        ..0 => Err(std::io::Error::last_os_error()),
        0 => become_command(spec, space, short, report),
        _ => Pid::from_raw(started).ok_or_else(|| std::io::Error::other("a process without a number")),
    }
}

fn become_command(spec: &SandboxSpec, space: Space, short: bool, report: &mut File) -> ! {
    let said = match close(spec, space) {
        Err(why) => LauncherEvent::Unavailable(why),
        Ok(walls) => {
            // Written before: a process that became another can't tell.
            write(report, &LauncherEvent::Entered(walls.to_owned()));
            let mut spec = spec.clone();
            let own = spec.folder.join("tmp").display().to_string();
            if let Some(scratch) = spec.environment.get_mut("TMPDIR").filter(|scratch| short && **scratch == own) {
                *scratch = format!("{}/tmp", namespaces::SHORT);
            }
            LauncherEvent::NotStarted(start(&spec).to_string())
        }
    };
    write(report, &said);
    std::process::exit(1)
}

/// Puts the walls around this process, for good. Returns what they are made of.
fn close(spec: &SandboxSpec, space: Space) -> Result<&'static str, String> {
    // A session of its own: what it sends to its group reaches no keeper.
    let _ = rustix::process::setsid();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("it could outlive macula: {error}"))?;
    if spec.mode == SandboxMode::Disabled {
        return Ok("none (`--unconfined`)");
    }
    lose_capabilities();
    landlock::close(spec).map_err(|error| format!("no Landlock of Linux 6.2 or newer ({error})"))?;
    seccomp::close(space, spec.network).map_err(|error| format!("no seccomp: {error}"))?;
    Ok(match (space, spec.network) {
        (Space::Own, Network::Denied) => "namespaces of files, processes and network; Landlock; seccomp",
        (Space::Own, Network::Allowed) => {
            "namespaces of files and processes; Landlock; seccomp; network open, as declared"
        }
        (Space::Shared, Network::Denied) => "Landlock for files, seccomp for network, sockets and modes; no namespaces",
        (Space::Shared, Network::Allowed) => {
            "Landlock for files, seccomp for sockets and modes; no namespaces; network open, as declared"
        }
    })
}

/// A command of root's gets none of root's powers but to use its own files whatever their modes say. Where there are none to lose,
/// that fails, and it can't get any.
fn lose_capabilities() {
    for capability in CapabilitySet::all().iter().filter(|one| *one != CapabilitySet::DAC_OVERRIDE) {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    let Ok(held) = rustix::thread::capabilities(None) else { return };
    let kept = held.permitted & CapabilitySet::DAC_OVERRIDE;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    let _ = rustix::thread::set_capabilities(None, sets);
}
