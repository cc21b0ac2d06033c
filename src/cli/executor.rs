//! Where stages run: as the command line says, else as `project.kdl` or the user's own settings say.

use std::path::Path;

use super::failure::{say, wrong};
use super::file::unread;
use super::{Exit, Failure};
use crate::base::Sources;
use crate::lang::executor::{ExecutorKind, ExecutorSpec};
use crate::lang::project;
use crate::run::Host;
use crate::run::slurm::client::SlurmClient;

/// The user's settings for all projects, in macula's folder of settings.
const CONFIG: &str = "config.kdl";

/// The executor with a name.
pub(super) fn kind(name: &str) -> Result<ExecutorKind, String> {
    ExecutorKind::from_name(name).ok_or_else(|| "write `local` or `slurm`".to_owned())
}

/// The cluster that computes the stages of a project; [`None`] if they are computed here.
///
/// # Errors
/// A [`Failure`] if the user's settings have a mistake, or this machine has no Slurm.
pub(super) fn cluster(
    host: &Host,
    project: &Path,
    asked: Option<ExecutorKind>,
) -> Result<Option<(ExecutorSpec, SlurmClient)>, Failure> {
    if asked == Some(ExecutorKind::Local) {
        return Ok(None);
    }
    let said = match of_file(&project.join(project::FILE))? {
        None => match host.config() {
            Some(folder) => of_file(&folder.join(CONFIG))?,
            None => None,
        },
        said => said,
    };
    let kind = asked.or(said.as_ref().map(|spec| spec.kind)).unwrap_or(ExecutorKind::Local);
    if kind == ExecutorKind::Local {
        return Ok(None);
    }
    // The settings of another executor are not for this one.
    let spec = said.filter(|spec| spec.kind == kind).unwrap_or_else(|| ExecutorSpec::new(kind));
    let client = SlurmClient::new(host).map_err(|error| Failure {
        code: Some("no-slurm"),
        ..Failure::user(format!("cannot submit jobs: {error}"))
            .hint("run it where you submit jobs, or with `--executor local`")
    })?;
    Ok(Some((spec, client)))
}

/// The executor that a file names, if there is such a file.
fn of_file(path: &Path) -> Result<Option<ExecutorSpec>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    let mut sources = Sources::default();
    let (said, diags) = project::read(path, &mut sources).map_err(|error| unread(path, &error))?;
    if wrong(&diags) {
        say(&diags, &sources);
        return Err(Failure::said(Exit::User));
    }
    Ok(said.executor)
}
