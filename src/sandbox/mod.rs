//! Sandbox for users' commands: limits the files, network and memory they may use. Knows no stages, and never runs in
//! macula's main process: a launcher process starts the command in its sandbox and stays until none of its processes is
//! left.
//!
//! On Linux, a command gets its own namespaces that contain only what it may use, plus Landlock (kernel 6.2 and newer)
//! and seccomp; without user namespaces, Landlock and a longer seccomp list. Elsewhere there is no sandbox, and
//! [`enter`] refuses unless it is disabled.

#[cfg(target_os = "linux")]
mod linux;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

/// A command and its sandbox, as passed to the launcher.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// Its working folder.
    pub folder: PathBuf,
    /// Files and folders that it may read, including their content.
    pub reads: Vec<PathBuf>,
    /// Those that it may read and execute.
    pub runs: Vec<PathBuf>,
    /// Those that it may read and write.
    pub writes: Vec<PathBuf>,
    /// Whether it may use the network.
    pub network: NetworkAccess,
    /// Whether there is a sandbox at all.
    pub mode: SandboxMode,
    /// Memory limit for each process, bytes.
    pub memory: Option<u64>,
}

/// Whether a command is sandboxed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxMode {
    /// It runs in a sandbox, or not at all.
    Enforced,
    /// It runs with all of the user's permissions (`--unconfined`).
    Disabled,
}

/// Whether a command may use the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkAccess {
    /// It may not.
    #[default]
    Denied,
    /// It may.
    Allowed,
}

/// What the launcher reports, one event per line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LauncherEvent {
    /// The sandbox is in force, with its description. The command runs from here on.
    Entered(String),
    /// The system cannot sandbox commands, and why.
    Unavailable(String),
    /// The sandbox is in force, but the command cannot be started, and why.
    NotStarted(String),
    /// The command ended.
    Ended {
        /// The exit code, if it exited.
        code: Option<i32>,
        /// The signal, if it was killed.
        signal: Option<i32>,
    },
    /// All of the command's processes are gone.
    Swept,
    /// So many processes could not be killed.
    Left(usize),
    /// The supervisor was killed, and the command with it.
    Lost,
}

/// What every program needs of a system: libraries, programs, time zones, name services, processor information. No user
/// data is there.
pub const SYSTEM: [&str; 22] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/ssl",
    "/etc/fonts",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/proc",
    "/sys/devices/system",
    "/sys/fs/cgroup",
];

/// Devices without data, which may be read and written.
pub const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Part of the description of a sandbox without namespaces.
pub const NO_NAMESPACES: &str = "no namespaces";

/// Folder for named shared memory; in namespaces, private to the command.
pub const SHARED_MEMORY: &str = "/dev/shm";

/// Runs the command in its sandbox and writes events to `report`. Returns the last one, once none of the command's
/// processes is left.
pub fn enter(spec: &SandboxSpec, report: &mut File) -> LauncherEvent {
    #[cfg(target_os = "linux")]
    {
        linux::keep(spec, report)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let said = match spec.mode {
            SandboxMode::Enforced => LauncherEvent::Unavailable("commands can only be sandboxed on Linux".to_owned()),
            SandboxMode::Disabled => {
                // Written first: after `exec`, this process cannot report.
                write(report, &LauncherEvent::Entered("none (`--unconfined`)".to_owned()));
                LauncherEvent::NotStarted(start(spec).to_string())
            }
        };
        write(report, &said);
        said
    }
}

fn write(report: &mut File, said: &LauncherEvent) {
    let mut line = serde_json::to_vec(said).unwrap_or_default();
    line.push(b'\n');
    // An event that cannot be written counts as not reported.
    let _ = report.write_all(&line);
}

/// All events that a launcher reported.
#[must_use]
pub fn read(report: &[u8]) -> Vec<LauncherEvent> {
    report.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// Becomes the command; returns only on failure.
fn start(spec: &SandboxSpec) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(&spec.program);
    command.args(&spec.arguments).env_clear().envs(&spec.environment).current_dir(&spec.folder);
    command.stdin(Stdio::null());
    limit(spec.memory).err().unwrap_or_else(|| command.exec())
}

/// Limits the memory of this process and of each of its children, and disables core dumps.
fn limit(memory: Option<u64>) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let to = |bytes: u64| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Core, to(0))?;
    // Not the address space: programs reserve far more of it than they use.
    memory.map_or(Ok(()), |bytes| Ok(setrlimit(Resource::Data, to(bytes))?))
}
