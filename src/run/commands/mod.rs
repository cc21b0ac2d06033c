//! Commands of the user's, as stages run them: a helper process starts the command behind its walls; it is watched, stopped and timed
//! here, and what it says is kept in the run's folder.

pub(super) mod program;
mod stderr;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use stderr::End;

use super::host::Host;
use crate::sandbox::{self, LauncherEvent, SandboxMode, SandboxSpec};
use crate::stage::{Command, CommandOutput, CommandRunner, StageError, Stop};

/// The hidden verb by which macula starts itself as the helper.
pub const LAUNCHER: &str = "confined-command";

/// How often a running command is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How long all that it started may take to be gone after it was killed.
const GONE: Duration = Duration::from_secs(15);

/// The commands of one stage of a run.
pub struct RunCommands<'a> {
    /// The environment.
    pub host: &'a Host,
    /// Raised when the command is to end.
    pub stop: &'a Stop,
    /// Whether commands are walled off.
    pub sandbox: SandboxMode,
    /// The project's folder.
    pub project: &'a Path,
    /// Where what they say is kept.
    pub logs: PathBuf,
    /// The stage's name, which names the files.
    pub stage: String,
}

impl CommandRunner for RunCommands<'_> {
    fn is_sandboxed(&self) -> bool {
        self.sandbox == SandboxMode::Enforced
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        self.host.program(name, self.project)
    }

    fn run(&self, command: &Command) -> Result<CommandOutput, StageError> {
        let spec = self.sandbox_spec(command)?;
        let logs = self.open_logs();
        let scratch = tempfile::tempdir().map_err(|error| cannot_start(&format!("no temporary folder: {error}")))?;
        let report = scratch.path().join("report");
        let handed = scratch.path().join("spec");
        std::fs::write(&handed, serde_json::to_vec(&spec).unwrap_or_default())
            .map_err(|error| cannot_start(&error.to_string()))?;
        let mut launcher = std::process::Command::new(self.host.executable.as_deref().unwrap_or(Path::new("macula")));
        // Its input is how it is told to end; that macula is gone, it learns by the same way.
        launcher.arg(LAUNCHER).arg(&handed).arg(&report).env_clear().stdin(Stdio::piped());
        // A group of its own: Ctrl-C on the terminal is macula's to hand on.
        launcher.process_group(0).stdout(stream(logs.stdout.as_deref())).stderr(stream(logs.stderr.as_deref()));
        let mut child = launcher.spawn().map_err(|error| cannot_start(&error.to_string()))?;
        let status = self.wait(&mut child, command.timeout)?;
        let said = logs.stderr.as_deref().map(stderr::text).unwrap_or_default();
        let events = std::fs::read(&report).map(|bytes| sandbox::read(&bytes)).unwrap_or_default();
        let (sandbox, end) = ended(command, &spec.program, events, status)?;
        let denied_paths =
            if self.is_sandboxed() { stderr::denied_paths(&said, &spec, !end.success()) } else { Vec::new() };
        let output = CommandOutput { sandbox, denied_paths };
        if end.success() { Ok(output) } else { Err(stderr::failed(command, &output, end, &said, &logs)) }
    }
}

/// The walls that stood and how a command ended, by what its helper wrote down.
fn ended(
    command: &Command,
    program: &Path,
    events: Vec<LauncherEvent>,
    status: ExitStatus,
) -> Result<(String, End), StageError> {
    let name = command.words.first().map_or("", String::as_str);
    let (mut sandbox, mut end, mut swept) = (None, None, false);
    for event in events {
        match event {
            LauncherEvent::Entered(made_of) => sandbox = Some(made_of),
            LauncherEvent::Unavailable(why) => return Err(no_sandbox(&why)),
            LauncherEvent::NotStarted(why) => return Err(not_started(program, &why)),
            LauncherEvent::Ended { code, signal } => end = Some(End { code, signal }),
            LauncherEvent::Swept => swept = true,
            LauncherEvent::Lost => {}
            LauncherEvent::Left(left) => return Err(left_behind(name, left)),
        }
    }
    let sandbox = sandbox.ok_or_else(|| cannot_start("the helper said nothing"))?;
    if !cfg!(target_os = "linux") {
        // There the helper became the command.
        return Ok((sandbox, End { code: status.code(), signal: status.signal() }));
    }
    match end.filter(|_| swept) {
        Some(end) => Ok((sandbox, end)),
        None => {
            Err(StageError::input("command-failed", format!("`{name}` was ended together with what watches over it"))
                .hint("is there too little memory? the system's log says what it ended"))
        }
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

    fn sandbox_spec(&self, command: &Command) -> Result<SandboxSpec, StageError> {
        let (name, arguments) =
            command.words.split_first().ok_or_else(|| StageError::Bug("a command without words".into()))?;
        let program = self.find(command, name)?;
        if let Some(word) = arguments.iter().find(|word| self.is_code_of_project(command, word)) {
            let text = format!("`command` names `{word}`, a file of the project that it is not given");
            return Err(StageError::input("command-not-found", text)
                .hint("give it at `script` or `files` and name it as `inputs/script/…`: then it counts, and trust pins it")
                .field("command"));
        }
        let mut environment = self.environment(command);
        environment.extend(command.environment.clone());
        Ok(SandboxSpec {
            runs: program::beside(&program, &self.host.homes(), self.project),
            program,
            arguments: arguments.to_vec(),
            environment,
            folder: command.folder.clone(),
            reads: [command.folder.clone()].into_iter().chain(command.reads.clone()).collect(),
            writes: command.writes.clone(),
            network: command.network,
            mode: self.sandbox,
            memory: command.memory,
        })
    }

    /// What every command is given: where programs lie, and folders of its own; of the user's only what it names.
    fn environment(&self, command: &Command) -> BTreeMap<String, String> {
        let scratch = command.folder.join("tmp").display().to_string();
        let fixed = [("LANG", "C.UTF-8"), ("HOME", &scratch), ("TMPDIR", &scratch)];
        let path = ("PATH", self.host.variable("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin"));
        let passed = command.inherited.iter().filter_map(|name| Some((name.as_str(), self.host.variable(name)?)));
        let all = fixed.into_iter().chain([path]).chain(passed);
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The program: of a word that leads into the inputs one of the command's own, else as the user's shell would find it, from the
    /// project's folder.
    fn find(&self, command: &Command, name: &str) -> Result<PathBuf, StageError> {
        let found = if program::is_input(name) {
            let inside = |own: &PathBuf| own.canonicalize().is_ok_and(|real| real.starts_with(&command.folder));
            Some(command.folder.join(name)).filter(|own| own.is_file() && inside(own))
        } else {
            self.program(name)
        };
        found.ok_or_else(|| {
            StageError::input("command-not-found", format!("there is no program `{name}`"))
                .hint("a bare name is looked for on PATH, `inputs/…` in the command's own folder, any other with `/` in the project's")
                .field("command")
        })
    }

    /// Whether a word leads to a file of the project's that no port gives: it would be in no key, and trust would not pin it.
    fn is_code_of_project(&self, command: &Command, word: &str) -> bool {
        let Ok(real) = command.folder.join(word).canonicalize() else { return false };
        let project = self.project.canonicalize().unwrap_or_else(|_| self.project.to_owned());
        let of_project = project.parent().is_some() && real.starts_with(project);
        real.is_file() && of_project && !real.starts_with(&command.folder)
    }

    fn wait(&self, child: &mut Child, timeout: Option<Duration>) -> Result<ExitStatus, StageError> {
        let mut control = child.stdin.take();
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(|error| cannot_start(&error.to_string()))? {
                if !cfg!(target_os = "linux") {
                    // What it left running in its group ends with it.
                    signal(child, rustix::process::Signal::KILL);
                }
                return Ok(status);
            }
            let late = timeout.filter(|timeout| began.elapsed() > *timeout);
            let stopped = self.stop.raised();
            if stopped || late.is_some() {
                if !end(child, control.take()) {
                    return Err(left_behind(&self.stage, 1));
                }
                return Err(late.map_or(StageError::Stopped, |late| timed_out(late.as_secs_f64())));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Asks a command to end, and ends it and all that it started where it does not. Returns whether all is gone.
fn end(child: &mut Child, control: Option<ChildStdin>) -> bool {
    use rustix::process::Signal;
    let mut control = control;
    if !cfg!(target_os = "linux") {
        signal(child, Signal::TERM);
    } else if let Some(control) = &mut control {
        let _ = control.write_all(b"e");
    }
    let ends_within = |child: &mut Child, time: Duration| {
        let asked = Instant::now();
        while asked.elapsed() < time {
            if !matches!(child.try_wait(), Ok(None)) {
                return true;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        false
    };
    let _ = ends_within(child, GRACE);
    drop(control);
    if !cfg!(target_os = "linux") {
        signal(child, Signal::KILL);
    }
    ends_within(child, GONE)
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

fn timed_out(seconds: f64) -> StageError {
    StageError::input("command-timeout", format!("it took longer than {seconds} s and was ended"))
        .hint("allow it more with `timeout`, in seconds")
        .field("timeout")
}

fn no_sandbox(why: &str) -> StageError {
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

fn left_behind(name: &str, left: usize) -> StageError {
    let left = if left == 1 { "1 process".to_owned() } else { format!("{left} processes") };
    StageError::input("command-left-processes", format!("`{name}` left {left} that could not be ended"))
        .hint("what it made is not taken while they may write to it; end them, then run again")
}
