//! `macula job`: computes one stage as a job of a cluster. Hidden: `run --executor slurm` writes the call into the job's script.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Exit, Failure};
use crate::base::Digest;
use crate::progress::out;
use crate::run::Host;
use crate::run::slurm::compute::ClusterJob;
use crate::store::{AttemptOutcome, Store};

/// The arguments of `macula job`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Folder of the store
    store: PathBuf,
    /// Key of the order
    key: String,
    /// Digest of the order
    order: String,
}

/// Computes the stage of an order.
///
/// # Errors
/// A [`Failure`] if the store cannot be used.
pub fn job(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let digest = |text: &str| text.parse::<Digest>().map_err(|_| Failure::user(format!("`{text}` is not a digest")));
    let (key, order) = (digest(&arguments.key)?, digest(&arguments.order)?);
    listen(host);
    let store = Store::open(&arguments.store)?;
    let job = ClusterJob { host, store: &store, implementations: crate::stages::registry(), key, order };
    let attempt = job.run()?;
    let (exit, words) = match &attempt.outcome {
        AttemptOutcome::Computed => (Exit::Done, "computed".to_owned()),
        AttemptOutcome::Reused => (Exit::Done, "the result was there already".to_owned()),
        AttemptOutcome::Busy => (Exit::Interrupted, "another process computes the same result".to_owned()),
        AttemptOutcome::Stopped { resume } => {
            let place = resume.as_ref().map_or_else(String::new, |place| format!("; the next attempt resumes {place}"));
            (Exit::Interrupted, format!("stopped{place}"))
        }
        AttemptOutcome::Failed { code, text, hint, .. } => {
            let code = code.as_ref().map_or_else(String::new, |code| format!("[{code}]"));
            let hint = hint.as_ref().map_or_else(String::new, |hint| format!("\n  hint: {hint}"));
            (Exit::StageFailed, format!("error{code}: {text}{hint}"))
        }
    };
    out::talk(&format!("job {}: {words} ({:.1} s)\n", attempt.job, attempt.seconds));
    Ok(exit)
}

/// Signals of Slurm ask the stage to stop where that is safe: `USR1` before the time limit, `TERM` before the job is removed.
fn listen(host: &Host) {
    use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        // Without a handler, the signal ends the process, and the next attempt resumes from the last checkpoint.
        let _ = signal_hook::flag::register(signal, Arc::clone(&host.signalled));
    }
}
