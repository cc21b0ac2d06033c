//! `macula show`: a stage's result: metrics, files, images. Or a network: layers, shapes, parameters. Without either, the stages.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::artifact::{self, StageArtifact};
use super::network::{self, NetworkOptions};
use super::run_id::RunIds;
use super::{Exit, Failure, Loaded, PipelineArguments, activity, brief, load, pictures, result_file, stage_list};
use crate::base::shown;
use crate::lang::addresses;
use crate::lang::spec::StageSpec;
use crate::progress::out;
use crate::progress::table::{bytes, counted, render, render_summary, thousands};
use crate::run::looks::{self, LookPosition, TestLooks};
use crate::run::{Host, results, time};
use crate::stage::{Cell, Table};
use crate::store::Tree;

/// The arguments of `macula show`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The stage, one of its outputs (`folds.train`), or a network (`resnet18`) [default: list the stages]
    name: Option<String>,
    /// Print all tables, warnings and files instead of the first screen
    #[arg(long, conflicts_with = "json")]
    all: bool,
    /// Print everything as JSON: every file, every layer
    #[arg(long)]
    json: bool,
    /// Folder for images [default: results/PIPELINE/STAGE/pictures]
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    /// Write no images
    #[arg(long, conflicts_with = "pictures")]
    no_pictures: bool,
    /// Side of the patches for which a network is shown, px [default: the pipeline's]
    #[arg(long, value_name = "PX", value_parser = clap::value_parser!(u16).range(1..=4096))]
    size: Option<u16>,
    /// Number of classes for which a network is shown
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    classes: u16,
}

/// Maximum number of files listed; `--json` has all.
const FILES_LISTED: usize = 8;

/// Shows a stage's result, a network, or the list of stages.
///
/// # Errors
/// A [`Failure`] if the name is unknown, or the stage has no result.
pub fn show(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let Some(name) = &arguments.name else { return list(host, arguments) };
    let look = NetworkOptions { size: arguments.size, classes: arguments.classes, json: arguments.json };
    // A file of networks alone has no pipeline to load.
    if let Some(text) = network::alone(&arguments.pipeline.file, name, look)? {
        out::say(&text);
        return Ok(Exit::Done);
    }
    let loaded = load::load(host, &arguments.pipeline)?;
    let is_stage = |stage: &str| {
        loaded.pipeline.stages.iter().any(|known| known.name == stage || addresses(stage, &known.base_name))
    };
    let stage_of = name.rsplit_once('.').map_or(name.as_str(), |(stage, _)| stage);
    let instance = loaded.pipeline.instances.iter().any(|known| known.name == *name || known.name == stage_of);
    let network = !(instance || is_stage(name) || is_stage(stage_of));
    let gives = |stage: &StageSpec| stage.outputs.iter().any(|output| name.ends_with(&format!(".{}", output.port)));
    let of_stage_of = |stage: &&StageSpec| stage.name == stage_of || addresses(stage_of, &stage.base_name);
    let mut meant = loaded.pipeline.stages.iter().filter(of_stage_of);
    if !(instance || is_stage(name))
        && meant.next().is_none_or(|stage| !gives(stage))
        && let Some(failure) = result_file::named(&loaded, name)
    {
        return Err(failure);
    }
    let described = if network { network::find(&loaded.pipeline, &arguments.pipeline.file, name) } else { None };
    let text = match described {
        Some(spec) => network::text(&spec, network::side(&loaded.pipeline), look)?,
        None if network => {
            let stages = loaded.pipeline.stages.iter().map(|stage| stage.base_name.as_str());
            return Err(match network::meant(&arguments.pipeline.file, name, stages) {
                Some(near) => {
                    Failure::user(format!("unknown stage or network `{name}`")).hint(format!("did you mean `{near}`?"))
                }
                None => Failure::user(format!("unknown stage or network `{name}`")),
            });
        }
        None => of_stage(host, &loaded, name, arguments)?,
    };
    out::say(&text);
    Ok(Exit::Done)
}

/// Lists the stages.
fn list(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    network::without_stages(&arguments.pipeline.file)?;
    let loaded = load::load(host, &arguments.pipeline)?;
    out::say(&stage_list::text(host, &loaded, arguments.json, arguments.all)?);
    Ok(Exit::Done)
}

fn of_stage(host: &Host, loaded: &Loaded, name: &str, arguments: &Arguments) -> Result<String, Failure> {
    activity::note_stage(host, loaded, name);
    let artifact = artifact::find(host, loaded, name)?;
    let ids = RunIds::of(&loaded.store);
    // A result of another machine or of a deleted record names a run that `macula runs` does not list.
    let run = artifact.run.as_deref().filter(|run| ids.lists(run)).map(|run| ids.short(run));
    if artifact.outdated {
        let began = artifact.run.as_deref().and_then(|run| loaded.store.runs.record(run)).map(|run| run.began);
        let run = match (run, began) {
            (Some(run), Some(began)) => format!("run {run}, from {}", time::minute(began)),
            _ => "an earlier run".to_owned(),
        };
        let ask = format!("`macula why {} {}`", loaded.file, artifact.stage.name);
        let note = format!("note: the pipeline has changed; this is the result of {run} ({ask} shows what changed)");
        out::note(&format!("{note}\n"));
    }
    let mut pictures = Vec::new();
    if !arguments.no_pictures {
        let stage = results::folder(&loaded.folder, &loaded.pipeline.name).join(&artifact.stage.name);
        let folder = arguments
            .pictures
            .as_ref()
            .map_or_else(|| stage.join(results::PICTURES), |folder| host.folder.join(folder));
        match pictures::write(&artifact, &loaded.store.objects, &folder) {
            Ok(written) => pictures.extend(written.iter().map(|path| near(host, path))),
            // Who did not ask for them may well lack the right to write there, and wants the figures.
            Err(failure) if arguments.pictures.is_none() && failure.exit == Exit::Store => {
                out::note(&format!("note: no images: {}\n", shown::line(&failure.text)));
            }
            Err(failure) => return Err(failure),
        }
    }
    let looks = TestLooks::read(&loaded.folder).unwrap_or_default();
    let look = artifact.typed().find_map(|(output, tree)| looks.position(&looks::predictions(&output.ty, tree)?));
    if arguments.json {
        return Ok(format!("{:#}\n", as_json(&artifact, &pictures, look)));
    }
    let of_run = match (run, &artifact.run) {
        (Some(run), _) => format!(", computed in run {run}"),
        (None, Some(_)) => ", computed in a run that is not recorded here".to_owned(),
        (None, None) => String::new(),
    };
    let look = look.map(|look| format!(": {}", look.words())).unwrap_or_default();
    let head = format!("{}, {}{of_run}{look}", artifact.stage.name, artifact.stage.stage_type);
    if !arguments.all {
        let folder = results::folder(&loaded.folder, &loaded.pipeline.name).join(&artifact.stage.name);
        let folder = folder.is_dir().then(|| near(host, &folder));
        let ask = format!("`macula show {} {name} --all`", loaded.file);
        let screen = (out::stdout_width(), ask.as_str());
        return Ok(brief::text(&artifact, &loaded.store.objects, &head, folder.as_deref(), &pictures, screen));
    }
    let mut text = head + "\n\n";
    text.push_str(&render_summary(&artifact.own_summary(), out::stdout_width()));
    for (output, tree) in artifact.typed() {
        let name = if output.port == "out" { String::new() } else { format!("{}: ", output.port) };
        _ = writeln!(text, "\n{name}{}", headline(&output.ty, tree));
        text.push_str(&files(tree));
    }
    for path in pictures {
        _ = writeln!(text, "\nimage: {}", shown::line(&path));
    }
    Ok(text)
}

/// `patches, 111 files, 1.4 MiB, digest 01234567`.
fn headline(ty: &str, tree: &Tree) -> String {
    let count = counted(tree.entries.len() as u64, "file", "files");
    format!("{ty}, {count}, {}, digest {}", bytes(tree.size()), tree.digest().short())
}

/// The first files, aligned, and how many more there are.
fn files(tree: &Tree) -> String {
    let rows = tree.entries.iter().take(FILES_LISTED).map(|(name, entry)| {
        vec![Cell::Text(name.clone()), Cell::Int(entry.size as i64), Cell::Text(entry.digest.short())]
    });
    let columns = ["file", "bytes", "digest"].map(str::to_owned).to_vec();
    let table = render(&Table { title: String::new(), columns, rows: rows.collect() }, out::stdout_width() - 2);
    let mut text = String::new();
    for line in table.lines() {
        _ = writeln!(text, "  {line}");
    }
    let more = tree.entries.len().saturating_sub(FILES_LISTED);
    if more > 0 {
        _ = writeln!(text, "  and {} more", thousands(more as i64));
    }
    text
}

fn as_json(artifact: &StageArtifact, pictures: &[String], look: Option<LookPosition>) -> Value {
    let outputs = artifact.typed().map(|(output, tree)| {
        let files: Vec<Value> = tree
            .entries
            .iter()
            .map(|(name, entry)| json!({ "name": name, "bytes": entry.size, "digest": entry.digest }))
            .collect();
        let facts = json!({ "type": output.ty, "digest": tree.digest(), "bytes": tree.size(), "files": files });
        (output.port.clone(), facts)
    });
    let mut json = json!({
        "stage": artifact.stage.name,
        "kind": artifact.stage.stage_type,
        "key": artifact.key,
        "run": artifact.run,
        "outdated": artifact.outdated,
        "summary": artifact.summary,
        "outputs": outputs.collect::<serde_json::Map<String, Value>>(),
        "pictures": pictures,
    });
    if let Some(look) = look {
        json["test-look"] = json!(look);
    }
    json
}

/// The shortest form of a path for the reader.
fn near(host: &Host, path: &Path) -> String {
    host.shown(path).to_string()
}
