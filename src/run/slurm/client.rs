//! Slurm's programs, each call with a deadline: they wait for minutes while the controller is away. Knows no stage.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::super::host::Host;

/// Longest time of one call.
const DEADLINE: Duration = Duration::from_secs(20);

/// Prefix of the names of all jobs.
const PREFIX: &str = "macula-";

/// Slurm's programs.
#[derive(Clone, Debug)]
pub struct SlurmClient {
    sbatch: PathBuf,
    squeue: PathBuf,
    scancel: PathBuf,
    scontrol: PathBuf,
    /// Environment variables that are not passed on: inside a job they would describe that job.
    withheld: Vec<String>,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// A program does not exist.
    #[error("`{0}` is not in the PATH")]
    NoProgram(String),
    /// No answer before the deadline, or the controller is away.
    #[error("{0}")]
    Away(String),
    /// The call was refused.
    #[error("{0}")]
    Refused(String),
}

/// A job as the queue shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedJob {
    /// Its id; of an element of an array with its index: `12_3`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: JobState,
    /// The nodes that it runs on.
    pub nodes: String,
    /// Number of processors that it asked for.
    pub processors: String,
    /// Memory that it asked for.
    pub memory: String,
    /// Its time limit.
    pub limit: String,
    /// How long it has been running.
    pub elapsed: String,
    /// Why it waits, or how it ended.
    pub reason: String,
}

/// State of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It waits.
    Pending,
    /// It runs or starts.
    Running,
    /// Its script has ended.
    Ending,
    /// It ended without an error.
    Completed,
    /// It ended with an error.
    Failed,
    /// It used more memory than it had asked for.
    OutOfMemory,
    /// It reached its time limit.
    Timeout,
    /// It was cancelled.
    Cancelled,
    /// Its node failed, or another job took its place.
    Lost,
}

impl JobState {
    fn of(word: &str) -> Self {
        match word {
            "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => Self::Pending,
            "COMPLETING" => Self::Ending,
            "COMPLETED" => Self::Completed,
            "FAILED" => Self::Failed,
            "OUT_OF_MEMORY" => Self::OutOfMemory,
            "TIMEOUT" | "DEADLINE" => Self::Timeout,
            "CANCELLED" => Self::Cancelled,
            "NODE_FAIL" | "PREEMPTED" | "BOOT_FAIL" | "REVOKED" => Self::Lost,
            // RUNNING, CONFIGURING, SUSPENDED, STOPPED, SIGNALING, STAGE_OUT, RESIZING
            _ => Self::Running,
        }
    }

    /// A word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "queued",
            Self::Running => "running",
            Self::Ending => "ending",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::OutOfMemory => "out of memory",
            Self::Timeout => "time limit",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }

    /// Whether the job has not ended.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Pending | Self::Running | Self::Ending)
    }
}

impl SlurmClient {
    /// The programs in the user's `PATH`.
    ///
    /// # Errors
    /// [`ClientError::NoProgram`].
    pub fn new(host: &Host) -> Result<Self, ClientError> {
        let find = |name: &str| host.program(name, &host.folder).ok_or_else(|| ClientError::NoProgram(name.to_owned()));
        let is_of_job = |name: &&String| name.starts_with("SLURM_") && *name != "SLURM_CONF";
        Ok(Self {
            sbatch: find("sbatch")?,
            squeue: find("squeue")?,
            scancel: find("scancel")?,
            scontrol: find("scontrol")?,
            withheld: host.environment.keys().filter(is_of_job).cloned().collect(),
        })
    }

    /// Submits a job. `held` is a locked file that stays open as long as `sbatch` runs, even if this process is killed.
    /// Returns the job's id.
    ///
    /// # Errors
    /// [`ClientError`]. After [`ClientError::Away`] the job may have been submitted nevertheless.
    pub fn submit(&self, arguments: &[String], held: Option<File>) -> Result<String, ClientError> {
        let said = self.call(&self.sbatch, arguments, held)?;
        // `ID` or `ID;CLUSTER`.
        let id = said.trim().lines().last().unwrap_or_default().split(';').next().unwrap_or_default().to_owned();
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_digit()) {
            return Err(ClientError::Refused(format!("`sbatch` answered `{}`", said.trim())));
        }
        Ok(id)
    }

    /// All jobs of macula of this user, those that ended lately too.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn queue(&self) -> Result<Vec<QueuedJob>, ClientError> {
        let arguments = ["--noheader", "--me", "--states=all", "--array", "--format=%i|%j|%T|%N|%C|%m|%l|%M|%r"];
        let said = self.call(&self.squeue, &arguments.map(str::to_owned), None)?;
        Ok(said.lines().filter_map(job).collect())
    }

    /// Cancels jobs.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn cancel(&self, jobs: &[String]) -> Result<(), ClientError> {
        self.call(&self.scancel, jobs, None).map(|_| ())
    }

    /// Lets a job that Slurm put back into the queue start at once. Sites may refuse it, which is ignored.
    pub fn start_now(&self, job: &str) {
        let arguments = ["update".to_owned(), format!("JobId={job}"), "StartTime=now".to_owned()];
        let _ = self.call(&self.scontrol, &arguments, None);
    }

    fn call(&self, program: &PathBuf, arguments: &[String], held: Option<File>) -> Result<String, ClientError> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let _span = tracing::debug_span!(target: "macula::stage", "slurm", program = name).entered();
        let broken = |error: std::io::Error| ClientError::Refused(format!("`{name}` cannot be started: {error}"));
        let mut stdout = tempfile::tempfile().map_err(broken)?;
        let mut stderr = tempfile::tempfile().map_err(broken)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(held.map_or_else(Stdio::null, Stdio::from));
        command.stdout(stdout.try_clone().map_err(broken)?).stderr(stderr.try_clone().map_err(broken)?);
        self.withheld.iter().for_each(|name| _ = command.env_remove(name));
        let mut child = command.spawn().map_err(broken)?;
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(broken)? {
                break status;
            }
            if begun.elapsed() > DEADLINE {
                let _ = child.kill();
                let _ = child.wait();
                return Err(ClientError::Away(format!("`{name}` did not answer within {} s", DEADLINE.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let read = |file: &mut File| {
            let mut bytes = Vec::new();
            let _ = file.rewind();
            let _ = file.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        if status.success() {
            return Ok(read(&mut stdout));
        }
        let said = read(&mut stderr);
        let said = said.trim().lines().last().unwrap_or("no message").to_owned();
        Err(if is_passing(&said) { ClientError::Away(said) } else { ClientError::Refused(said) })
    }
}

/// Whether an error passes by itself.
fn is_passing(text: &str) -> bool {
    let text = text.to_lowercase();
    let passing = [
        "unable to contact slurm controller",
        "socket timed out",
        "connection refused",
        "temporarily unable to accept job",
        "resource temporarily unavailable",
        "communication connection failure",
        "zero bytes were transmitted",
        "maxsubmitjob",
        "job violates accounting/qos policy",
        "job submit limit",
        "backup controller",
    ];
    passing.iter().any(|words| text.contains(words))
}

fn job(line: &str) -> Option<QueuedJob> {
    let mut parts = line.trim().splitn(9, '|');
    let mut next = || parts.next().map(str::to_owned);
    let job = QueuedJob {
        id: next()?,
        name: next()?,
        state: JobState::of(&next()?),
        nodes: next()?,
        processors: next()?,
        memory: next()?,
        limit: next()?,
        elapsed: next()?,
        reason: next().filter(|reason| reason != "None").unwrap_or_default(),
    };
    job.name.starts_with(PREFIX).then_some(job)
}

/// The name of the job of a key.
#[must_use]
pub fn job_name(key: &crate::base::Digest) -> String {
    format!("{PREFIX}{}", &key.to_string()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_queue_is_a_job() {
        let found = job("12_3|macula-0123456789abcdef|RUNNING|n1|4|50M|1:00:00|0:07|None").expect("a job");
        assert_eq!((found.id.as_str(), found.state, found.nodes.as_str()), ("12_3", JobState::Running, "n1"));
        assert_eq!(found.reason, "");
        let waits = job("12|macula-0123456789abcdef|PENDING||4|50M|1:00:00|0:00|Resources").expect("a job");
        assert_eq!((waits.state, waits.reason.as_str()), (JobState::Pending, "Resources"));
        assert_eq!(job("13|bash|RUNNING|n1|1|50M|UNLIMITED|0:07|None"), None);
        assert!(job("14|macula-0|NODE_FAIL||1|50M|UNLIMITED|0:07|None").is_some_and(|job| !job.state.is_alive()));
    }

    #[test]
    fn what_passes_by_itself_is_asked_again() {
        assert!(is_passing("slurm_load_jobs error: Unable to contact slurm controller (connect failure)"));
        assert!(!is_passing("sbatch: error: invalid partition specified: gpuu"));
    }
}
