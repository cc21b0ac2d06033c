//! `macula unpack`: unpacks a pack, and runs it again to compare.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::pack::ENDING;
use super::run::listen;
use super::{Exit, Failure, Loaded, PipelineArguments, amounts, load, lock, rebuild, trust};
use crate::base::regular;
use crate::base::shell::quoted;
use crate::plan::Graph;
use crate::progress::out;
use crate::progress::table::{counted, paragraph};
use crate::progress::{Colours, Detail, Plain, Transfers, Viewer};
use crate::run::lockfile::{self, Judged, Lockfile, Verdict, Why};
use crate::run::pack::{self, Unpacked};
use crate::run::{self, Host, Nobody, Options, Project, Report, Watch};
use crate::store::Store;

/// The arguments of `macula unpack`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The file that `macula pack` wrote
    file: PathBuf,
    /// Folder to unpack into, which must not exist yet [default: named after the file]
    folder: Option<PathBuf>,
    /// Run everything again, without its results, and compare with them
    #[arg(long)]
    verify: bool,
    /// Threads of `--verify`; results do not depend on it [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = amounts::threads)]
    threads: Option<NonZeroUsize>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

/// Unpacks a pack.
///
/// # Errors
/// A [`Failure`] if it is refused or cannot be written. Other results than those inside are an [`Exit`].
pub fn unpack(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let shown = arguments.folder.clone().unwrap_or_else(|| folder_of(&arguments.file));
    if shown == arguments.file {
        return Err(Failure::user("no folder to unpack into").hint("name one: `macula unpack FILE FOLDER`"));
    }
    listen(host);
    let transfers = Transfers::new(arguments.json || out::volume() == out::Volume::Quiet);
    let on_progress = |done: u64, all: u64| {
        transfers.copied("unpacked", done, all);
        !host.interrupted()
    };
    let file = host.folder.join(&arguments.file);
    let unpacked = pack::unpack(&file, &host.folder.join(&shown), &on_progress)?;
    drop(transfers);
    if !arguments.json {
        out::say(&said(host, &shown, &unpacked));
    }
    let compared = if arguments.verify { Some(verify(host, arguments, &shown, &unpacked)?) } else { None };
    if arguments.json {
        let contents = &unpacked.contents;
        let stages = compared.as_ref().map(|compared| &compared.judged);
        let value = json!({
            "folder": shown, "pipeline": shown.join(&contents.pipeline.file), "files": unpacked.files,
            "results": unpacked.results, "data": contents.data, "verified": stages,
        });
        out::say(&format!("{value:#}\n"));
    }
    Ok(compared.map_or(Exit::Done, |compared| compared.exit))
}

/// The folder named after a pack: `small` for `small.macula.zip`.
fn folder_of(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(ENDING).or_else(|| name.rsplit_once('.').map(|(stem, _)| stem));
    PathBuf::from(stem.unwrap_or(&name))
}

fn said(host: &Host, folder: &Path, unpacked: &Unpacked) -> String {
    let contents = &unpacked.contents;
    let width = out::stdout_width();
    let mut text = String::new();
    let mut line = |words: String| {
        let _ = writeln!(text, "{}", paragraph(&words, width, 2).trim_end());
    };
    let files = counted(unpacked.files as u64, "file", "files");
    let results = counted(unpacked.results as u64, "result", "results");
    line(format!("unpacked into {}: {files}, {results}; all match their digests", folder.display()));
    for (stage, paths) in &contents.data {
        let project = folder.join(&contents.pipeline.project);
        let paths: Vec<String> = paths.iter().map(|path| format!("`{}`", project.join(path).display())).collect();
        line(format!("the files of `{stage}` are not inside: put them at {}", paths.join(", ")));
    }
    if host.variable("MACULA_STORE").is_some() {
        line("MACULA_STORE is set: unset it to use the results, which are in the project's own store".to_owned());
    }
    let mut command = format!("macula plan {}", folder.join(&contents.pipeline.file).display());
    let flags = [("--pipeline", &contents.pipeline.pipeline), ("--sweep", &contents.pipeline.sweep)];
    for (flag, value) in flags {
        if let Some(value) = value {
            let _ = write!(command, " {flag} {value}");
        }
    }
    for set in &contents.pipeline.set {
        let _ = write!(command, " --set {}", quoted(set));
    }
    line(format!("see what is inside: {}; then: {command}", folder.join("README.md").display()));
    text
}

/// A run that was compared with a pack.
struct VerifiedRun {
    judged: Vec<Judged>,
    exit: Exit,
}

fn verify(host: &Host, arguments: &Arguments, folder: &Path, unpacked: &Unpacked) -> Result<VerifiedRun, Failure> {
    let contents = &unpacked.contents;
    let pipeline = PipelineArguments {
        file: folder.join(&contents.pipeline.file),
        pipeline: contents.pipeline.pipeline.clone(),
        sweep: contents.pipeline.sweep.clone(),
        set: contents.pipeline.set.clone(),
    };
    let lock = host.folder.join(folder).join(&contents.lock);
    let text =
        regular::read_to_string(&lock).map_err(|error| Failure::user(format!("the pack's lock file: {error}")))?;
    let locked = lockfile::read(&text).map_err(|error| Failure::user(format!("the pack's lock file, {error}")))?;
    let loaded = load::load_alone(host, &pipeline)?;
    // Nothing is run that was not trusted before.
    let trust = trust::of_run(host, &loaded, false)?;
    let options = Options { trust, ..rebuild::again(host, arguments.threads) };
    let scratch = tempfile::Builder::new().prefix("verify-").tempdir_in(loaded.store.layout().root());
    let scratch = scratch.map_err(|error| Failure::user(format!("cannot create a scratch store: {error}")))?;
    let store = Store::open(scratch.path())?;
    let plain = Plain::new(Colours::Off, Detail::Brief, Viewer::Runner);
    let watch: &dyn Watch = if arguments.json { &Nobody } else { &plain };
    let report = run::execute(host, &Project { store: &store, ..loaded.project() }, &options, watch)?;
    if report.stopped {
        return Err(Failure::said(Exit::Interrupted));
    }
    let project = loaded.project();
    let now = Lockfile::of(&Project { store: &store, ..loaded.project() }, &report.known);
    let wanted: Vec<&str> = loaded.pipeline.stages.iter().map(|stage| stage.name.as_str()).collect();
    let mut judged = lockfile::judge(&locked, &now, &project, &wanted);
    let why = not_run(&loaded, &report);
    for stage in judged.iter_mut().filter(|stage| stage.verdict == Verdict::Missing) {
        stage.why.extend(why.get(stage.stage.as_str()).map(|text| Why {
            kind: "not-run",
            text: text.clone(),
            at: None,
        }));
    }
    if !arguments.json {
        out::say(&lock::told(&locked, &now, &judged));
    }
    let as_packed = judged.iter().all(|stage| stage.verdict.as_locked());
    Ok(VerifiedRun { judged, exit: if as_packed { Exit::Done } else { Exit::Differs } })
}

/// Why stages have no result.
fn not_run<'a>(loaded: &'a Loaded, report: &Report) -> BTreeMap<&'a str, String> {
    let (graph, _) = Graph::new(&loaded.pipeline);
    let mut why: BTreeMap<&str, String> = BTreeMap::new();
    for id in graph.order() {
        let stage = &loaded.pipeline.stages[id.0];
        if report.known.contains_key(id) {
            continue;
        }
        let failed = report.failed.iter().find(|failed| failed.stage == stage.name);
        let text = if let Some(failed) = failed {
            failed.error.to_string()
        } else {
            let needs = stage.inputs.iter().flat_map(|input| &input.from);
            let missing = needs.map(|from| from.stage.as_str()).find(|need| why.contains_key(need));
            missing.map_or_else(|| "not run".to_owned(), |need| format!("needs `{need}`, which has no result"))
        };
        why.insert(&stage.name, text);
    }
    why
}
