//! Runs users' commands for stages: a launcher process starts the command in its sandbox; this module watches, stops
//! and times it, and keeps its output in the run's folder.

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
use crate::base::figure::counted;
use crate::sandbox::{self, LauncherEvent, SandboxMode, SandboxSpec};
use crate::stage::{Command, CommandNames, CommandOutput, CommandRunner, StageError, Stop};

/// The hidden subcommand by which macula starts itself as the launcher.
pub const LAUNCHER: &str = "confined-command";

/// Interval for checking on a running command.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How long its processes may take to disappear after they were killed.
const GONE: Duration = Duration::from_secs(15);

/// The command runner for one stage of a run.
pub struct RunCommands<'a> {
    /// The host's environment.
    pub host: &'a Host,
    /// Raised when the command must end.
    pub stop: &'a Stop,
    /// Whether commands are sandboxed.
    pub sandbox: SandboxMode,
    /// The project's folder.
    pub project: &'a Path,
    /// Folder for the command's stdout and stderr.
    pub logs: PathBuf,
    /// The stage's name, used for file names.
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
        // A byte on the launcher's stdin asks it to end; a closed stdin tells it that macula is gone.
        launcher.arg(LAUNCHER).arg(&handed).arg(&report).env_clear().stdin(Stdio::piped());
        // A process group of its own: macula itself handles Ctrl-C on the terminal.
        launcher.process_group(0).stdout(stream(logs.stdout.as_deref())).stderr(stream(logs.stderr.as_deref()));
        let mut child = launcher.spawn().map_err(|error| cannot_start(&error.to_string()))?;
        let status = self.wait(&mut child, command)?;
        let said = logs.stderr.as_deref().map(stderr::text).unwrap_or_default();
        let events = std::fs::read(&report).map(|bytes| sandbox::read(&bytes)).unwrap_or_default();
        let (sandbox, end) = ended(command, &spec.program, events, status)?;
        let denied_paths =
            if self.is_sandboxed() { stderr::denied_paths(&said, &spec, !end.success()) } else { Vec::new() };
        let output = CommandOutput { sandbox, denied_paths };
        if end.success() {
            Ok(output)
        } else {
            Err(stderr::failed(command, &spec.program, &output, end, (&said, &logs)))
        }
    }
}

/// The sandbox that was in force and how the command ended, from the launcher's report.
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
            LauncherEvent::NotStarted(why) => return Err(not_started(program, &why, command.names)),
            LauncherEvent::Ended { code, signal } => end = Some(End { code, signal }),
            LauncherEvent::Swept => swept = true,
            LauncherEvent::Lost => {}
            LauncherEvent::Left(left) => return Err(left_behind(name, left)),
        }
    }
    let sandbox = sandbox.ok_or_else(|| cannot_start("the launcher reported nothing"))?;
    if !cfg!(target_os = "linux") {
        // Without a sandbox, the launcher became the command.
        return Ok((sandbox, End { code: status.code(), signal: status.signal() }));
    }
    match end.filter(|_| swept) {
        Some(end) => Ok((sandbox, end)),
        None => Err(StageError::input("command-failed", format!("`{name}` and its supervising process were killed"))
            .hint("the system may be out of memory; see the system log")),
    }
}

/// Files for a command's stdout and stderr; [`None`] if the run's folder is not writable.
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
            let words = command.names.words;
            let [script, files] = command.names.code;
            let text = format!("`{words}` names `{word}`, a project file that is not among its inputs");
            let hint = format!(
                "pass it to `{script}` or `{files}` and refer to it as `inputs/{script}/…`, so that changes to it are noticed"
            );
            return Err(StageError::input("command-not-found", text).hint(hint).field(words));
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

    /// Environment of a command: the search path, its own folders, and the user's variables that it names.
    fn environment(&self, command: &Command) -> BTreeMap<String, String> {
        let scratch = command.folder.join("tmp").display().to_string();
        let fixed = [("LANG", "C.UTF-8"), ("HOME", &scratch), ("TMPDIR", &scratch)];
        let path = ("PATH", self.host.variable("PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin"));
        let passed = command.inherited.iter().filter_map(|name| Some((name.as_str(), self.host.variable(name)?)));
        let all = fixed.into_iter().chain([path]).chain(passed);
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The program of a command: a path into its inputs, or found as the user's shell would find it from the project's
    /// folder.
    fn find(&self, command: &Command, name: &str) -> Result<PathBuf, StageError> {
        let found = if program::is_input(name) {
            let inside = |own: &PathBuf| own.canonicalize().is_ok_and(|real| real.starts_with(&command.folder));
            Some(command.folder.join(name)).filter(|own| own.is_file() && inside(own))
        } else {
            self.program(name)
        };
        found.ok_or_else(|| {
            StageError::input("command-not-found", format!("program `{name}` not found"))
                .hint("a bare name is looked up in PATH, `inputs/…` in the command's folder, any other path in the project's folder")
                .field(command.names.words)
        })
    }

    /// Whether an argument names a project file that no port provides: it would not be part of any key, and not covered
    /// by trust.
    fn is_code_of_project(&self, command: &Command, word: &str) -> bool {
        let Ok(real) = command.folder.join(word).canonicalize() else { return false };
        let project = self.project.canonicalize().unwrap_or_else(|_| self.project.to_owned());
        let of_project = project.parent().is_some() && real.starts_with(project);
        real.is_file() && of_project && !real.starts_with(&command.folder)
    }

    fn wait(&self, child: &mut Child, command: &Command) -> Result<ExitStatus, StageError> {
        let mut control = child.stdin.take();
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(|error| cannot_start(&error.to_string()))? {
                if !cfg!(target_os = "linux") {
                    // Processes left in its group end with it.
                    signal(child, rustix::process::Signal::KILL);
                }
                return Ok(status);
            }
            let late = command.timeout.filter(|timeout| began.elapsed() > *timeout);
            let stopped = self.stop.raised();
            if stopped || late.is_some() {
                if !end(child, control.take()) {
                    return Err(left_behind(&self.stage, 1));
                }
                return Err(late.map_or(StageError::Stopped, |late| timed_out(late.as_secs_f64(), command.names)));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Asks a command to end, and kills it and its processes if it does not. Returns whether all are gone.
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

fn timed_out(seconds: f64, names: CommandNames) -> StageError {
    StageError::input("command-timeout", format!("timed out after {seconds} s"))
        .hint(format!("raise `{}` (seconds)", names.timeout))
        .field(names.timeout)
}

fn no_sandbox(why: &str) -> StageError {
    StageError::input("no-sandbox", format!("this system cannot sandbox commands: {why}")).hint(
        "`macula run --unconfined` runs it without a sandbox, with all of your permissions: only do so if you trust the command",
    )
}

fn not_started(program: &Path, why: &str, names: CommandNames) -> StageError {
    let CommandNames { words, code: [script, _], .. } = names;
    let hint = format!(
        "it must be executable on this system; start scripts with their interpreter: `{words} \"sh\" \"inputs/{script}/run.sh\"`"
    );
    StageError::input("command-not-found", format!("cannot start `{}`: {why}", program.display()))
        .hint(hint)
        .field(words)
}

fn cannot_start(why: &str) -> StageError {
    StageError::input("command-not-found", format!("cannot start the command: {why}"))
}

fn left_behind(name: &str, left: usize) -> StageError {
    let left = counted(left as u64, "process", "processes");
    StageError::input("command-left-processes", format!("`{name}` left {left} that could not be killed"))
        .hint("its outputs are not used while a process may write to them; end the processes, then run again")
}
