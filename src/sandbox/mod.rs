//! Walls around a command of the user's: what it may read and write, whether it reaches the network, how much memory it may
//! hold. Knows no stage and no pipeline, and never runs in the process that computes: a helper process puts the walls around
//! itself and becomes the command, so that nothing happens between `fork` and `exec` that is not safe there.
//!
//! Under Linux files are walled off by Landlock (kernel 6.2 and newer), the network by a namespace of its own, or, where the
//! system gives none, by Landlock's rules for TCP (6.7 and newer), which leave UDP open. Elsewhere there are no walls, and
//! [`enter`] refuses unless it is told to do without.

#[cfg(target_os = "linux")]
mod linux;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// A command and its walls, as they are handed to the helper.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Confined {
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
    pub network: Wall,
    /// Whether there are walls at all.
    pub walls: Wall,
    /// Bytes of data that each process may hold.
    pub memory: Option<u64>,
}

/// Whether something is walled off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wall {
    /// It is.
    Closed,
    /// It is not.
    Open,
}

/// What the helper writes down before it becomes the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// The walls stand: what they are made of, for people. The command runs from here on.
    Entered(String),
    /// The system gives no walls: why.
    NoWalls(String),
    /// The walls stand, but the command can't be started: why.
    NotStarted(String),
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
pub const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm"];

/// Puts the walls around this process and becomes the command. What happened is written into `told`; it returns only where the
/// command was not started.
pub fn enter(confined: &Confined, told: &mut File) -> Told {
    let walls = match confined.walls {
        Wall::Open => Ok("none (`--unconfined`)".to_owned()),
        Wall::Closed => close(confined),
    };
    let said = match walls {
        Err(why) => Told::NoWalls(why),
        Ok(walls) => {
            // Written before: a process that became another can't tell.
            write(told, &Told::Entered(walls));
            Told::NotStarted(start(confined).to_string())
        }
    };
    write(told, &said);
    said
}

fn write(told: &mut File, said: &Told) {
    let text = serde_json::to_vec(said).unwrap_or_default();
    // What can't be told counts as not entered: whoever reads it finds no text that can be read.
    let _ = told.set_len(0).and_then(|()| told.seek(SeekFrom::Start(0))).and_then(|_| told.write_all(&text));
}

#[cfg(target_os = "linux")]
fn close(confined: &Confined) -> Result<String, String> {
    linux::close(confined)
}

#[cfg(not(target_os = "linux"))]
fn close(_: &Confined) -> Result<String, String> {
    Err("walls around commands are made under Linux alone".to_owned())
}

/// Becomes the command; returns where that fails.
fn start(confined: &Confined) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(&confined.program);
    command.args(&confined.arguments).env_clear().envs(&confined.environment).current_dir(&confined.folder);
    limit(confined.memory).err().unwrap_or_else(|| command.exec())
}

/// Limits what this process and those that it starts may hold, each for itself, and lets it leave no memory image behind.
fn limit(memory: Option<u64>) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let to = |bytes: u64| Rlimit { current: Some(bytes), maximum: Some(bytes) };
    setrlimit(Resource::Core, to(0))?;
    // Not the address space: programs reserve far more of that than they use.
    memory.map_or(Ok(()), |bytes| Ok(setrlimit(Resource::Data, to(bytes))?))
}
