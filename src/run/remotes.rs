//! Opens the remotes that `project.kdl` and the environment configure.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Host;
use crate::base::Sources;
use crate::lang::project;
use crate::lang::remote::{NoLocation, RemoteLocation, RemoteSpec};
use crate::store::Remotes;
use crate::store::remote::{Folder, Remote, Site, Watchdog, Web};

/// An unusable remote.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct NoRemote {
    /// The problem.
    pub text: String,
    /// What the user can do about it.
    pub hint: Option<String>,
}

/// The remotes of a project: those of `project.kdl`, or only the one in `MACULA_REMOTE` (`none` for none).
///
/// # Errors
/// [`NoRemote`].
pub fn open(host: &Host, project: &Path) -> Result<Remotes, NoRemote> {
    let mut sources = Sources::default();
    let (said, folder) = match host.variable("MACULA_REMOTE") {
        Some("none") => return Ok(Remotes::default()),
        Some(at) => {
            let may = host.variable("MACULA_REMOTE_MAY").unwrap_or_default();
            let wrong =
                |NoLocation { message, hint }| NoRemote { text: format!("MACULA_REMOTE: {message}"), hint: Some(hint) };
            (vec![RemoteSpec::of_environment(at, may).map_err(wrong)?], host.folder.as_path())
        }
        None => {
            // Errors in it are reported when a pipeline is read.
            let said = project::read(&project.join(project::FILE), &mut sources).ok();
            (said.map(|(said, _)| said.remotes).unwrap_or_default(), project)
        }
    };
    let patience = patience(host)?;
    let opened = said.iter().map(|said| {
        let patience = patience.unwrap_or(Duration::from_secs_f64(said.timeout));
        let asked = host.clone();
        let watch = Watchdog::new(patience, Instant::now, move || asked.interrupted());
        let placed = |wrong: NoRemote| match said.span {
            Some(span) => NoRemote { text: format!("{}: {}", sources.cite(span), wrong.text), ..wrong },
            None => wrong,
        };
        let mut remote = Remote::new(&said.name, site(host, said, folder, patience).map_err(placed)?, watch);
        (remote.write, remote.photographs) = (said.may.write, said.may.photographs);
        Ok(remote)
    });
    Ok(Remotes::new(opened.collect::<Result<_, NoRemote>>()?))
}

fn patience(host: &Host) -> Result<Option<Duration>, NoRemote> {
    let Some(text) = host.variable("MACULA_REMOTE_TIMEOUT") else { return Ok(None) };
    let seconds = text.parse().ok().filter(|seconds| (0.1..=86_400.0).contains(seconds));
    let wrong = || NoRemote {
        text: format!("invalid MACULA_REMOTE_TIMEOUT `{text}`"),
        hint: Some("set it to a number of seconds from 0.1 to 86400".to_owned()),
    };
    Ok(Some(Duration::from_secs_f64(seconds.ok_or_else(wrong)?)))
}

fn site(host: &Host, said: &RemoteSpec, folder: &Path, patience: Duration) -> Result<Box<dyn Site>, NoRemote> {
    Ok(match &said.location {
        RemoteLocation::Folder(path) if said.may.write => Box::new(Folder::to_write(folder.join(path))),
        RemoteLocation::Folder(path) => Box::new(Folder::new(folder.join(path))),
        RemoteLocation::Web(address) => Box::new(Web::new(address, patience)),
        RemoteLocation::Bucket { service, bucket, prefix } => {
            #[cfg(feature = "cloud")]
            {
                use crate::lang::remote::Service;
                use crate::store::remote::{Bucket, Cloud};
                let kind = match service {
                    Service::S3 => Cloud::S3,
                    Service::Gcs => Cloud::Gcs,
                    Service::Azure => Cloud::Azure,
                };
                let opened = Bucket::open(kind, bucket, prefix, &host.environment, patience);
                Box::new(opened.map_err(|fault| NoRemote { text: fault.to_string(), hint: fault.hint() })?)
            }
            #[cfg(not(feature = "cloud"))]
            {
                let _ = (host, service, bucket, prefix);
                let text =
                    format!("remote `{}` is a bucket, but this macula was built without cloud support", said.name);
                let hint = "build macula with `--features cloud`, or disable remotes with `MACULA_REMOTE=none`";
                return Err(NoRemote { text, hint: Some(hint.to_owned()) });
            }
        }
    })
}
