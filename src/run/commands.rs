//! Commands of the user's, as stages run them: a helper process puts walls around itself and becomes the command; it is
//! watched, stopped and timed here, and what it says is kept in the run's folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::world::World;
use crate::sandbox::{Confined, Told, Wall};
use crate::stage::{Command, Commands, Network, Ran, StageError, Stop};

/// The hidden verb by which macula starts itself as the helper.
pub const HELPER: &str = "confined-command";

/// How often a running command is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How long a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);
/// Lines of a failed command's stderr that are shown.
const SHOWN: usize = 12;

/// The commands of one stage of a run.
pub struct RunCommands<'a> {
    /// The environment.
    pub world: &'a World,
    /// Raised when the command is to end.
    pub stop: &'a Stop,
    /// Whether commands are walled off.
    pub walls: Wall,
    /// The project's folder.
    pub project: &'a Path,
    /// Where what they say is kept.
    pub logs: PathBuf,
    /// The stage's name, which names the files.
    pub stage: String,
}

impl Commands for RunCommands<'_> {
    fn confined(&self) -> bool {
        self.walls == Wall::Closed
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        self.world.program(name, self.project)
    }

    fn run(&self, command: &Command) -> Result<Ran, StageError> {
        let confined = self.confine(command)?;
        let logs = self.open_logs();
        let scratch = tempfile::tempdir().map_err(|error| cannot_start(&format!("no temporary folder: {error}")))?;
        let report = scratch.path().join("told");
        let spec = scratch.path().join("spec");
        std::fs::write(&spec, serde_json::to_vec(&confined).unwrap_or_default())
            .map_err(|error| cannot_start(&error.to_string()))?;
        let mut helper = std::process::Command::new(self.world.executable.as_deref().unwrap_or(Path::new("macula")));
        helper.arg(HELPER).arg(&spec).arg(&report).env_clear().stdin(Stdio::null());
        // A group of its own: Ctrl-C on the terminal is macula's to hand on, and ending the group ends what it started.
        helper.process_group(0).stdout(stream(logs.stdout.as_deref())).stderr(stream(logs.stderr.as_deref()));
        let mut child = helper.spawn().map_err(|error| cannot_start(&error.to_string()))?;
        let ended = self.wait(&mut child, command.timeout)?;
        let said = std::fs::read_to_string(logs.stderr.as_deref().unwrap_or(Path::new(""))).unwrap_or_default();
        let told = std::fs::read(&report).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let walls = match told {
            Some(Told::Entered(walls)) => walls,
            Some(Told::NoWalls(why)) => return Err(no_walls(&why)),
            Some(Told::NotStarted(why)) => return Err(not_started(&confined.program, &why)),
            None => return Err(cannot_start("the helper said nothing")),
        };
        let kept_from = if self.confined() { kept_from(&said, &confined) } else { Vec::new() };
        if ended.success() {
            return Ok(Ran { walls, kept_from });
        }
        Err(failed(command, ended, &said, &kept_from, &logs))
    }
}

/// Where a command's stdout and stderr go; none where the run's folder can't be written.
#[derive(Default)]
struct Logs {
    stdout: Option<PathBuf>,
    stderr: Option<PathBuf>,
}

fn stream(path: Option<&Path>) -> Stdio {
    path.and_then(|path| File::create(path).ok()).map_or_else(Stdio::null, Stdio::from)
}

impl RunCommands<'_> {
    fn open_logs(&self) -> Logs {
        if std::fs::create_dir_all(&self.logs).is_err() {
            return Logs::default();
        }
        let file = |ending: &str| Some(self.logs.join(format!("{}.{ending}", self.stage.replace('/', "_"))));
        Logs { stdout: file("stdout"), stderr: file("stderr") }
    }

    fn confine(&self, command: &Command) -> Result<Confined, StageError> {
        let (name, arguments) =
            command.words.split_first().ok_or_else(|| StageError::Bug("a command without words".into()))?;
        // A path of several parts is one in the command's own folder, else in the project's.
        let own = Some(command.folder.join(name)).filter(|own| name.contains('/') && own.is_file());
        let program = own.or_else(|| self.program(name)).ok_or_else(|| {
            StageError::input("command-not-found", format!("there is no program `{name}`"))
                .hint("a bare name is looked for on PATH, one with `/` in the command's own folder, then in the project's")
                .field("command")
        })?;
        let mut environment = self.environment(command);
        environment.extend(command.environment.clone());
        let closed = |open: bool| if open { Wall::Open } else { Wall::Closed };
        Ok(Confined {
            runs: beside(&program),
            program,
            arguments: arguments.to_vec(),
            environment,
            folder: command.folder.clone(),
            reads: [command.folder.clone()].into_iter().chain(command.reads.clone()).collect(),
            writes: command.writes.clone(),
            network: closed(command.network == Network::Allowed),
            walls: self.walls,
            memory: command.memory,
        })
    }

    /// What every command is given: where programs lie, and folders of its own; of the user's only what it names.
    fn environment(&self, command: &Command) -> BTreeMap<String, String> {
        let scratch = command.folder.join("tmp").display().to_string();
        let fixed = [("LANG", "C.UTF-8"), ("HOME", &scratch), ("TMPDIR", &scratch)];
        let path = ("PATH", self.world.variable("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin"));
        let passed = command.passes.iter().filter_map(|name| Some((name.as_str(), self.world.variable(name)?)));
        let all = fixed.into_iter().chain([path]).chain(passed);
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn wait(&self, child: &mut Child, timeout: Option<Duration>) -> Result<ExitStatus, StageError> {
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(|error| cannot_start(&error.to_string()))? {
                // What it left running ends with it.
                signal(child, rustix::process::Signal::KILL);
                return Ok(status);
            }
            let late = timeout.filter(|timeout| began.elapsed() > *timeout);
            let stopped = self.stop.raised();
            if stopped || late.is_some() {
                end(child);
                return Err(late.map_or(StageError::Stopped, |late| timed_out(late.as_secs_f64())));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Asks a command and all that it started to end, and ends them where they do not.
fn end(child: &mut Child) {
    signal(child, rustix::process::Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
        std::thread::sleep(LOOK);
    }
    signal(child, rustix::process::Signal::KILL);
    let _ = child.wait();
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// Where a program's own files lie: a program in `DIR/bin` may use all of `DIR` (an environment of Python's, say) but not where
/// that is a whole home or the root; and where its links lead.
fn beside(program: &Path) -> Vec<PathBuf> {
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    // A virtual environment names the installation that it was made from.
    let home = program.parent().and_then(Path::parent).map(|root| root.join("pyvenv.cfg"));
    let base = home.and_then(|file| std::fs::read_to_string(file).ok()).and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("home")?.trim_start().strip_prefix('='))?;
        Some(PathBuf::from(line.trim()).join("python"))
    });
    let all = [Some(program.to_owned()), Some(real), base];
    all.into_iter().flatten().flat_map(|program| own_files(&program)).collect()
}

fn own_files(program: &Path) -> Vec<PathBuf> {
    let folder = program.parent();
    let root = folder.filter(|folder| folder.ends_with("bin")).and_then(Path::parent);
    let deep = root.filter(|root| root.components().count() > 3);
    deep.map(Path::to_owned).into_iter().chain([program.to_owned()]).collect()
}

/// Paths that a command said it was refused and that lie outside of what it may use. macula sees only what the command says;
/// the walls hold whether it says so or not.
fn kept_from(said: &str, confined: &Confined) -> Vec<String> {
    let mut found = Vec::new();
    for line in said.lines().filter(|line| line.to_lowercase().contains("permission denied")) {
        let Some(start) = line.find(" /").map(|at| at + 1).or_else(|| line.find("'/").map(|at| at + 1)) else {
            continue;
        };
        let end = |c: char| c == '\'' || c == '"' || c == ':' || c.is_whitespace();
        let path: &str = line[start..].split(end).next().unwrap_or_default();
        let inside = |allowed: &Vec<PathBuf>| allowed.iter().any(|allowed| Path::new(path).starts_with(allowed));
        if path.len() > 1 && !inside(&confined.writes) && !found.iter().any(|known| known == path) {
            found.push(path.to_owned());
        }
    }
    found
}

fn failed(command: &Command, ended: ExitStatus, said: &str, kept_from: &[String], logs: &Logs) -> StageError {
    let how = match (ended.code(), ended.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "did not end well".to_owned(),
    };
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(SHOWN)..].iter().map(|line| format!("\n    {line}"));
    let last: String = last.collect();
    let name = command.words.first().map_or("", String::as_str);
    if let Some(path) = kept_from.first() {
        return StageError::input("undeclared-path", format!("`{name}` {how}: it was kept from `{path}`{last}"))
            .hint("what it reads comes in by a port (then its content counts) or by `reads`; what it writes goes below `outputs/`");
    }
    let log = logs.stderr.as_deref().map_or_else(String::new, |log| format!("all that it said: `{}`", log.display()));
    let hint = match (command.memory, command.network) {
        _ if unreachable(said) && command.network == Network::Denied => {
            format!("the network is denied: `network #true` allows it; {log}")
        }
        (Some(bytes), _) if said.contains("emory") => {
            format!("it may hold {} MiB (`memory`); {log}", bytes >> 20)
        }
        _ => log,
    };
    StageError::input("command-failed", format!("`{name}` {how}{last}")).hint(hint)
}

fn unreachable(said: &str) -> bool {
    let words = ["etwork is unreachable", "ame resolution", "Name or service not known", "Could not resolve"];
    words.iter().any(|words| said.contains(words))
}

fn timed_out(seconds: f64) -> StageError {
    StageError::input("command-timeout", format!("it took longer than {seconds} s and was ended"))
        .hint("allow it more with `timeout`, in seconds")
        .field("timeout")
}

fn no_walls(why: &str) -> StageError {
    StageError::input("no-sandbox", format!("this system can't confine commands: {why}")).hint(
        "`macula run --unconfined` runs it without walls: only where you trust the command with all that you may do",
    )
}

fn not_started(program: &Path, why: &str) -> StageError {
    StageError::input("command-not-found", format!("`{}` can't be started: {why}", program.display()))
        .hint("it must be a program that this system runs; a script needs its interpreter first: `command \"sh\" \"inputs/script/run.sh\"`")
        .field("command")
}

fn cannot_start(why: &str) -> StageError {
    StageError::input("command-not-found", format!("the command can't be started: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_path_is_read_from_what_programs_say() {
        let confined = Confined {
            program: PathBuf::new(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            folder: "/w".into(),
            reads: vec!["/w".into()],
            runs: Vec::new(),
            writes: vec!["/w/outputs".into()],
            network: Wall::Closed,
            walls: Wall::Closed,
            memory: None,
        };
        let of = |said: &str| kept_from(said, &confined);
        assert_eq!(of("PermissionError: [Errno 13] Permission denied: '/data/u/a b.csv'"), ["/data/u/a"]);
        assert_eq!(of("cat: /data/u/x: Permission denied"), ["/data/u/x"]);
        assert_eq!(of("sh: 1: cannot create /tmp/x: Permission denied"), ["/tmp/x"]);
        assert!(of("cat: /data/u/x: No such file or directory").is_empty());
        assert!(of("cat: /w/outputs/x: Permission denied").is_empty(), "a file of its own that it closed itself");
    }
}
