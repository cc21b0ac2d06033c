//! What the end of a job without a result means: from its own record of the attempt, else from the queue, else from its log.
//! Submits nothing.

use std::time::Duration;

use super::client::JobState;
use crate::diag::catalogue;
use crate::stage::StageError;
use crate::store::{AttemptOutcome, JobAttempt};

/// Time in which a job that failed may show its record of the attempt on the shared disk.
const RECORD: Duration = Duration::from_secs(10);

/// What to do about a job that ended.
#[derive(Debug)]
pub(super) enum JobEnd {
    /// Nothing yet: its result may not be visible here yet.
    Wait,
    /// The stage failed.
    Fail(StageError),
    /// Another process computes the same result.
    Elsewhere,
    /// It stopped when it was asked to: submitted again, it resumes at this place.
    Resume(Option<String>),
    /// It was lost: submitted again.
    Lost(String),
    /// It ran out of memory.
    Memory,
    /// It reached its time limit.
    Time,
}

/// The verdict on a job. `state` is what the queue says, [`None`] if it has forgotten the job; `since` is the time since the
/// job was first seen to have ended.
pub(super) fn verdict(
    job: &str,
    state: Option<JobState>,
    attempt: Option<&JobAttempt>,
    log: &str,
    since: Duration,
    wait: Duration,
) -> JobEnd {
    match attempt.map(|attempt| &attempt.outcome) {
        Some(AttemptOutcome::Failed { kind, text, .. }) if kind == "store" => {
            return JobEnd::Lost(format!("could not use the store ({text})"));
        }
        Some(AttemptOutcome::Failed { kind, code, text, hint, field }) => {
            return JobEnd::Fail(error(kind, code.as_deref(), text, hint.as_ref(), field.as_ref()));
        }
        Some(AttemptOutcome::Stopped { .. }) if state == Some(JobState::Cancelled) => {
            return JobEnd::Fail(cancelled(job));
        }
        Some(AttemptOutcome::Stopped { resume }) => return JobEnd::Resume(resume.clone()),
        Some(AttemptOutcome::Busy) => return JobEnd::Elsewhere,
        Some(AttemptOutcome::Computed | AttemptOutcome::Reused) => {
            let lost = || JobEnd::Lost("ended, but its result cannot be found in the store".to_owned());
            return if since < wait { JobEnd::Wait } else { lost() };
        }
        None => {}
    }
    match state {
        Some(JobState::OutOfMemory) => JobEnd::Memory,
        Some(JobState::Timeout) => JobEnd::Time,
        Some(JobState::Cancelled) => JobEnd::Fail(cancelled(job)),
        Some(JobState::Lost) => JobEnd::Lost("was lost with its node, or another job took its place".to_owned()),
        Some(JobState::Failed) if since < wait.min(RECORD) => JobEnd::Wait,
        Some(JobState::Failed) if is_memory(log) => JobEnd::Memory,
        Some(JobState::Failed) if log.contains("DUE TO TIME LIMIT") => JobEnd::Time,
        Some(JobState::Failed) if log.contains("DUE TO NODE FAILURE") || log.contains("DUE TO PREEMPTION") => {
            JobEnd::Lost("was lost with its node, or another job took its place".to_owned())
        }
        Some(JobState::Failed) => JobEnd::Fail(unexplained(job, log)),
        Some(JobState::Completed) | None if since < wait => JobEnd::Wait,
        Some(JobState::Completed) => JobEnd::Lost("ended without a result".to_owned()),
        None => JobEnd::Lost("is no longer in the queue".to_owned()),
        Some(JobState::Pending | JobState::Running | JobState::Ending) => JobEnd::Wait,
    }
}

/// Whether a log says that a job used too much memory; without cgroups, nothing else does.
fn is_memory(log: &str) -> bool {
    let log = log.to_lowercase();
    ["exceeded memory limit", "oom-kill", "oom_kill", "out of memory"].iter().any(|words| log.contains(words))
}

/// The error of a job as a run here would have reported it.
fn error(kind: &str, code: Option<&str>, text: &str, hint: Option<&String>, field: Option<&String>) -> StageError {
    if kind == "bug" {
        return StageError::Bug(text.to_owned());
    }
    let code = code.and_then(catalogue::find).map_or("job-failed", |page| page.code);
    StageError::Input { code, text: text.to_owned(), hint: hint.cloned(), field: field.cloned() }
}

fn cancelled(job: &str) -> StageError {
    StageError::input("job-cancelled", format!("job {job} was cancelled"))
        .hint("run the same command again to submit the stage again")
}

fn unexplained(job: &str, log: &str) -> StageError {
    let last = if log.is_empty() {
        "its log is empty".to_owned()
    } else {
        format!("its log ends with:\n    {}", log.replace('\n', "\n    "))
    };
    StageError::input("job-failed", format!("job {job} failed without saying why; {last}"))
}

/// The error of a stage that needs more memory than was asked for.
pub(super) fn memory(job: &str, asked: u64) -> StageError {
    StageError::input("job-memory", format!("job {job} ran out of memory again, with {} MiB", asked >> 20))
        .hint("ask for more: `resources STAGE memory=\"32GiB\"` in `executor` of `project.kdl`")
}

/// The error of a stage that needs more time than was asked for.
pub(super) fn time(job: &str) -> StageError {
    StageError::input("job-time", format!("job {job} reached its time limit again"))
        .hint("ask for more: `resources STAGE time=\"24h\"` in `executor` of `project.kdl`")
}

/// The error of a stage whose jobs were lost too often.
pub(super) fn lost(times: usize) -> StageError {
    StageError::input("job-lost", format!("{times} jobs of this stage ended without a result"))
        .hint("run the same command again, or use another partition")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_mins(1);

    fn attempt(outcome: AttemptOutcome) -> JobAttempt {
        JobAttempt { job: "7".to_owned(), node: "n1".to_owned(), outcome, seconds: 1.0, peak_bytes: None, items: None }
    }

    #[test]
    fn the_job_s_own_record_counts_before_the_queue() {
        let failed = attempt(AttemptOutcome::Failed {
            kind: "input".to_owned(),
            code: Some("truncated-photograph".to_owned()),
            text: "`a.jpg` ends early".to_owned(),
            hint: Some("copy it again".to_owned()),
            field: None,
        });
        let found = verdict("7", Some(JobState::Failed), Some(&failed), "", Duration::ZERO, WAIT);
        let JobEnd::Fail(StageError::Input { code, text, hint, .. }) = found else { panic!("{found:?}") };
        assert_eq!(
            (code, text.as_str(), hint.as_deref()),
            ("truncated-photograph", "`a.jpg` ends early", Some("copy it again"))
        );
        let stopped = attempt(AttemptOutcome::Stopped { resume: Some("at epoch 3".to_owned()) });
        let found = verdict("7", Some(JobState::Failed), Some(&stopped), "", Duration::ZERO, WAIT);
        assert!(matches!(found, JobEnd::Resume(Some(place)) if place == "at epoch 3"));
    }

    #[test]
    fn without_a_record_the_queue_and_the_log_say_what_happened() {
        let of = |state, log: &str, seconds| verdict("7", state, None, log, Duration::from_secs(seconds), WAIT);
        assert!(matches!(of(Some(JobState::Lost), "", 0), JobEnd::Lost(_)));
        assert!(matches!(of(Some(JobState::Failed), "", 0), JobEnd::Wait));
        let memory = "slurmstepd: error: Job 7 exceeded memory limit (61440 > 51200), being killed";
        assert!(matches!(of(Some(JobState::Failed), memory, 11), JobEnd::Memory));
        assert!(matches!(of(Some(JobState::Failed), "sh: no such file", 11), JobEnd::Fail(_)));
        assert!(matches!(of(None, "", 59), JobEnd::Wait));
        assert!(matches!(of(None, "", 61), JobEnd::Lost(_)));
        assert!(matches!(of(Some(JobState::Completed), "", 0), JobEnd::Wait));
        assert!(matches!(of(Some(JobState::Timeout), "", 0), JobEnd::Time));
    }
}
