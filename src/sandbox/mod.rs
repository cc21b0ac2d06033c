//! Walls around a command of the user's: what it may read and write, whether it reaches the network, how much memory it may
//! hold. Knows no stage and no pipeline, and never runs in the process that computes: a helper process starts the command behind its
//! walls and stays until nothing that came of it is left.
//!
//! Under Linux the command is given namespaces of its own, in which there is nothing but what it may use, and Landlock (kernel 6.2 and
//! newer) and seccomp on top; where the system gives this user no namespaces, Landlock and a longer list for seccomp. Elsewhere there
//! are no walls, and [`enter`] refuses unless it is told to do without.

#[cfg(target_os = "linux")]
mod linux;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

/// A command and its walls, as they are handed to the helper.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// The folder that it starts in.
    pub folder: PathBuf,
    /// Files and folders that it may read; what lies below counts.
    pub reads: Vec<PathBuf>,
    /// Those that it may read and execute.
    pub runs: Vec<PathBuf>,
    /// Those that it may read and write.
    pub writes: Vec<PathBuf>,
    /// Whether the network is walled off too.
    pub network: Network,
    /// Whether there are walls at all.
    pub mode: SandboxMode,
    /// Bytes of data that each process may hold.
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
pub enum Network {
    /// It may not.
    #[default]
    Denied,
    /// It may.
    Allowed,
}

/// What the helper writes down, each on a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LauncherEvent {
    /// The walls stand: what they are made of, for people. The command runs from here on.
    Entered(String),
    /// The system gives no walls: why.
    Unavailable(String),
    /// The walls stand, but the command can't be started: why.
    NotStarted(String),
    /// The command ended: with an exit code, or by a signal.
    Ended {
        /// The exit code.
        code: Option<i32>,
        /// The signal's number.
        signal: Option<i32>,
    },
    /// All that the command started is gone.
    Swept,
    /// So many processes could not be ended.
    Left(usize),
    /// What watched over the command was ended, and the command with it.
    Lost,
}

/// What every program needs of a system: libraries, programs, time zones, name services, what processors there are. Nothing of a
/// user's lies there.
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

/// Devices that hold nothing: they may be read and written.
pub const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// What is said of walls that stand without namespaces.
pub const NO_NAMESPACES: &str = "no namespaces";

/// Where processes share memory by name; in namespaces, a folder of the command's own.
pub const SHARED_MEMORY: &str = "/dev/shm";

/// Runs the command behind its walls. What happens is written into `told`; it returns what was written last, once nothing that the
/// command started is left.
pub fn enter(spec: &SandboxSpec, report: &mut File) -> LauncherEvent {
    #[cfg(target_os = "linux")]
    {
        linux::keep(spec, report)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let said = match spec.mode {
            SandboxMode::Enforced => {
                LauncherEvent::Unavailable("walls around commands are made under Linux only".to_owned())
            }
            SandboxMode::Disabled => {
                // Written before: a process that became another can't tell.
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
    // What can't be told counts as not said.
    let _ = report.write_all(&line);
}

/// All that a helper wrote down.
#[must_use]
pub fn read(report: &[u8]) -> Vec<LauncherEvent> {
    report.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

/// Becomes the command; returns where that fails.
fn start(spec: &SandboxSpec) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(&spec.program);
    command.args(&spec.arguments).env_clear().envs(&spec.environment).current_dir(&spec.folder);
    command.stdin(Stdio::null());
    limit(spec.memory).err().unwrap_or_else(|| command.exec())
}

/// Limits what this process and those that it starts may hold, each for itself, and lets it leave no memory image behind.
fn limit(memory: Option<u64>) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let to = |bytes: u64| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Core, to(0))?;
    // Not the address space: programs reserve far more of that than they use.
    memory.map_or(Ok(()), |bytes| Ok(setrlimit(Resource::Data, to(bytes))?))
}
