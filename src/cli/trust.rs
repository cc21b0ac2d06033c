//! `macula trust`: allows a pipeline's `exec` commands to run, pinned to the current file contents. Also the launcher that
//! becomes such a command.

use std::fmt::Write as _;
use std::fs::File;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, Failure, Loaded, PipelineArguments, load};
use crate::base::{Digest, shown};
use crate::progress::out;
use crate::run::{self, Host, Options, Trust, trust};
use crate::sandbox::{self, LauncherEvent};

/// The arguments of `macula trust`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// List what would be trusted, and whether it already is, without trusting anything
    #[arg(long)]
    show: bool,
}

/// Trusts a pipeline's files and the code of its commands.
///
/// # Errors
/// A [`Failure`] if the pipeline cannot be read, or the list of trusted digests cannot be written.
pub fn trust(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    let digests = digests(host, &loaded)?;
    let mut text = String::new();
    if arguments.show {
        let known = Trust::read(host.trusted().as_deref(), &loaded.sources).known;
        for (digest, words) in &digests {
            let is = if known.contains(digest) { "trusted" } else { "not trusted" };
            _ = writeln!(text, "{} {is}: {}", digest.short(), shown::line(words));
        }
    } else {
        add(host, &digests)?;
        if trust::has_commands(&loaded.project()) {
            for (digest, words) in &digests {
                _ = writeln!(text, "trusted {}: {}", digest.short(), shown::line(words));
            }
        } else {
            text.push_str("nothing to trust: the pipeline has no `exec` stage\n");
        }
    }
    out::say(&text);
    Ok(Exit::Done)
}

/// Digests that trusting a pipeline pins: of its files together, and of each command's code.
fn digests(host: &Host, loaded: &Loaded) -> Result<Vec<(Digest, String)>, Failure> {
    let mut digests = vec![(trust::of_files(&loaded.sources), loaded.file.clone())];
    let options = Options::usual(1);
    let code = run::with_engine(host, &loaded.project(), &[], options.accept, |engine, wanted| {
        trust::code(engine, &engine.plan(wanted))
    })?;
    digests.extend(code?);
    Ok(digests)
}

fn add(host: &Host, digests: &[(Digest, String)]) -> Result<(), Failure> {
    let file = host.trusted().ok_or_else(|| {
        Failure::user("no place to store trusted digests").hint("set HOME, or set MACULA_TRUST to a file")
    })?;
    Trust::add(&file, digests).map_err(|error| Failure::user(format!("cannot write `{}`: {error}", file.display())))
}

/// Digests a run may execute: those trusted before, and with `--trust` all of this pipeline.
pub(super) fn of_run(host: &Host, loaded: &Loaded, all: bool) -> Result<Trust, Failure> {
    if all && trust::has_commands(&loaded.project()) {
        add(host, &digests(host, loaded)?)?;
    }
    Ok(Trust::read(host.trusted().as_deref(), &loaded.sources))
}

/// The arguments of the launcher.
#[derive(Clone, Debug, Args)]
pub struct Helper {
    /// Command to become, as JSON
    spec: PathBuf,
    /// File for the outcome
    told: PathBuf,
}

/// Becomes a sandboxed command.
///
/// # Errors
/// A [`Failure`] if its specification is missing.
pub fn helper(_: &Host, helper: &Helper) -> Result<Exit, Failure> {
    let broken = |error: std::io::Error| Failure::user(format!("the launcher got no specification: {error}"));
    let bytes = std::fs::read(&helper.spec).map_err(broken)?;
    let spec = serde_json::from_slice(&bytes).map_err(|error| Failure::user(error.to_string()))?;
    let mut told = File::create(&helper.told).map_err(broken)?;
    Ok(match sandbox::enter(&spec, &mut told) {
        LauncherEvent::Entered(_) | LauncherEvent::Ended { .. } | LauncherEvent::Swept => Exit::Done,
        LauncherEvent::Unavailable(_) | LauncherEvent::NotStarted(_) | LauncherEvent::Left(_) | LauncherEvent::Lost => {
            Exit::User
        }
    })
}
