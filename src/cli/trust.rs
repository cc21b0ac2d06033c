//! `macula trust`: lets the commands of a pipeline's `exec` stages run, as its files stand now. And the helper that becomes such
//! a command.

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
    /// Only say what would be trusted, and whether it is
    #[arg(long)]
    show: bool,
}

/// Trusts a pipeline's files and the code of its commands.
///
/// # Errors
/// A [`Failure`] where the pipeline can't be read or what is trusted can't be written down.
pub fn trust(world: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(world, &arguments.pipeline)?;
    let digests = digests(world, &loaded)?;
    let mut text = String::new();
    if arguments.show {
        let known = Trust::read(world.trusted().as_deref(), &loaded.sources).known;
        for (digest, words) in &digests {
            let is = if known.contains(digest) { "trusted" } else { "not trusted" };
            _ = writeln!(text, "{} {is}: {}", digest.short(), shown::line(words));
        }
    } else {
        add(world, &digests)?;
        let project = loaded.project();
        for (digest, words) in &digests {
            _ = writeln!(text, "trusted {}: {}", digest.short(), shown::line(words));
        }
        if !trust::has_commands(&project) {
            text.push_str("there was no need: it has no stage that runs a command\n");
        }
    }
    out::say(&text);
    Ok(Exit::Done)
}

/// What trusting a pipeline pins: its files together, and the code of each command.
fn digests(world: &Host, loaded: &Loaded) -> Result<Vec<(Digest, String)>, Failure> {
    let mut digests = vec![(trust::of_files(&loaded.sources), loaded.file.clone())];
    let options = Options::usual(1);
    let code = run::with_engine(world, &loaded.project(), &[], options.accept, |engine, wanted| {
        trust::code(engine, &engine.plan(wanted))
    })?;
    digests.extend(code?);
    Ok(digests)
}

fn add(world: &Host, digests: &[(Digest, String)]) -> Result<(), Failure> {
    let file = world.trusted().ok_or_else(|| {
        Failure::user("there is no place for what is trusted").hint("set HOME, or MACULA_TRUST to a file of yours")
    })?;
    Trust::add(&file, digests).map_err(|error| Failure::user(format!("`{}` can't be written: {error}", file.display())))
}

/// What a run may execute: what was trusted before, and with `--trust` all of this pipeline.
pub(super) fn of_run(world: &Host, loaded: &Loaded, all: bool) -> Result<Trust, Failure> {
    if all && trust::has_commands(&loaded.project()) {
        add(world, &digests(world, loaded)?)?;
    }
    Ok(Trust::read(world.trusted().as_deref(), &loaded.sources))
}

/// The arguments of the helper.
#[derive(Clone, Debug, Args)]
pub struct Helper {
    /// What to become, as JSON
    spec: PathBuf,
    /// Where to say how it went
    told: PathBuf,
}

/// Becomes a command behind its walls.
///
/// # Errors
/// A [`Failure`] where it was not handed what it needs.
pub fn helper(_: &Host, helper: &Helper) -> Result<Exit, Failure> {
    let broken = |error: std::io::Error| Failure::user(format!("the helper was handed nothing: {error}"));
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
