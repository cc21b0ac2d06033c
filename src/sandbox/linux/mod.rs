//! The sandbox on Linux. The launcher becomes a supervisor ([`supervisor`]) that starts the command and outlives all of
//! its processes. The command runs in its own namespaces ([`namespaces`]) with Landlock rules ([`landlock`]); without
//! user namespaces, seccomp ([`seccomp`]) takes their place.

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

use super::{LauncherEvent, NetworkAccess, SandboxMode, SandboxSpec, start, write};

/// Where a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    /// In its own namespaces.
    Own,
    /// In the system's namespaces.
    Shared,
}

/// Starts the command in its sandbox and waits until none of its processes is left. Returns the last event.
pub(super) fn keep(spec: &SandboxSpec, report: &mut File) -> LauncherEvent {
    if fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() > 1) {
        return tell(report, LauncherEvent::Unavailable("the launcher has several threads".to_owned()));
    }
    // macula ends the supervisor by closing its stdin; a signal to the group would leave the command's processes
    // behind.
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

/// Descriptors inherited from macula's parent must not leak into the command.
fn close_others() {
    const FROM: libc::c_uint = 3;
    #[expect(unsafe_code, reason = "a system call that neither std nor rustix offers")]
    // SAFETY: nothing is closed now; all descriptors but the three standard ones are marked to be closed where the command begins. Where
    // the kernel does not know the call, nothing happens.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, FROM, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Runs the command in its own namespaces.
///
/// # Errors
/// Why namespaces are unavailable; then nothing was started.
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
        return Err(if said.is_empty() { "its first process died".to_owned() } else { said });
    }
    // When the first process is gone, so are all processes of the namespace.
    let last = match supervisor::watch_first(first).and_then(WaitStatus::exit_status) {
        Some(0) => LauncherEvent::Swept,
        _ => LauncherEvent::Lost,
    };
    Ok(tell(report, last))
}

/// What the first process reports on success.
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
        Users::Own => namespaces::keep_names(user, group).map_err(|error| format!("cannot map users: {error}")),
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
    // The remaining processes end with this one.
    std::process::exit(i32::from(ended.is_none()))
}

/// Runs the command without namespaces; `why` says why they are unavailable.
fn among_others(spec: &SandboxSpec, report: &mut File, why: &str) -> LauncherEvent {
    if let Err(error) = supervisor::inherit_orphans() {
        let why = format!("no namespaces ({why}), and leftover processes cannot be found: {error}");
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

/// The folder of the report file: useless to anybody else, so a root can be mounted over it.
fn report_folder(report: &File) -> Result<std::path::PathBuf, String> {
    let path = fs::read_link(format!("/proc/self/fd/{}", report.as_raw_fd())).map_err(|error| error.to_string())?;
    path.parent().filter(|folder| folder.is_dir()).map(Path::to_owned).ok_or_else(|| "no folder for a root".to_owned())
}

/// Starts the process that becomes the command.
fn begin(spec: &SandboxSpec, space: Space, short: bool, report: &mut File) -> std::io::Result<Pid> {
    #[expect(unsafe_code, reason = "the keeper must go on beside the command with what it is in")]
    // SAFETY: this process has one thread, so its copy is whole.
    let started = unsafe { libc::fork() };
    match started {
        ..0 => Err(std::io::Error::last_os_error()),
        0 => become_command(spec, space, short, report),
        _ => Pid::from_raw(started).ok_or_else(|| std::io::Error::other("a process without an id")),
    }
}

fn become_command(spec: &SandboxSpec, space: Space, short: bool, report: &mut File) -> ! {
    let said = match close(spec, space) {
        Err(why) => LauncherEvent::Unavailable(why),
        Ok(walls) => {
            // Written first: after `exec`, this process cannot report.
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

/// Enters the sandbox, irrevocably. Returns a description of it.
fn close(spec: &SandboxSpec, space: Space) -> Result<&'static str, String> {
    // A session of its own, so that signals to its group do not reach the supervisor.
    let _ = rustix::process::setsid();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("cannot tie it to macula's lifetime: {error}"))?;
    if spec.mode == SandboxMode::Disabled {
        return Ok("none (`--unconfined`)");
    }
    lose_capabilities();
    landlock::close(spec).map_err(|error| format!("Landlock of Linux 6.2 or newer is required ({error})"))?;
    seccomp::close(space, spec.network).map_err(|error| format!("seccomp is unavailable: {error}"))?;
    Ok(match (space, spec.network) {
        (Space::Own, NetworkAccess::Denied) => "mount, process and network namespaces; Landlock; seccomp",
        (Space::Own, NetworkAccess::Allowed) => "mount and process namespaces; Landlock; seccomp; network allowed",
        (Space::Shared, NetworkAccess::Denied) => {
            "Landlock for files, seccomp for network, sockets and permissions; no namespaces"
        }
        (Space::Shared, NetworkAccess::Allowed) => {
            "Landlock for files, seccomp for sockets and permissions; no namespaces; network allowed"
        }
    })
}

/// Drops root's capabilities except `CAP_DAC_OVERRIDE`, for the command's own files. Without capabilities to drop, this
/// fails and none can be gained.
fn lose_capabilities() {
    for capability in CapabilitySet::all().iter().filter(|one| *one != CapabilitySet::DAC_OVERRIDE) {
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    let Ok(held) = rustix::thread::capabilities(None) else { return };
    let kept = held.permitted & CapabilitySet::DAC_OVERRIDE;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    let _ = rustix::thread::set_capabilities(None, sets);
}
