//! `macula show`: what a stage made: figures, files, pictures. Or a network: layers, shapes, parameters.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::artifact::{self, Artifact};
use super::{Exit, Failure, Loaded, PipelineArguments, load, pictures};
use crate::lang::network::NetworkSpec;
use crate::lang::shapes::{self, LayerShape};
use crate::lang::spec::Pipeline;
use crate::lang::{builtin_network, value};
use crate::progress::table::{bytes, counted, render, render_summary, thousands};
use crate::run::{World, results};
use crate::stage::{Cell, Table};
use crate::store::Tree;

/// The arguments of `macula show`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The stage, one of its outputs (`folds.train`), or a network (`resnet18`)
    name: String,
    /// Print all of it as JSON: every file, every layer
    #[arg(long)]
    json: bool,
    /// Where pictures are written [default: results/PIPELINE/STAGE/pictures]
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    /// Write no pictures
    #[arg(long, conflicts_with = "pictures")]
    no_pictures: bool,
}

/// Files listed on a terminal; `--json` has all.
const FILES_LISTED: usize = 8;

/// Shows what a stage made, or a network.
///
/// # Errors
/// A [`Failure`] where there is nothing of that name, or nothing was computed yet.
pub fn show(world: &World, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(world, &arguments.pipeline)?;
    let name = &arguments.name;
    let is_stage = |stage: &str| loaded.pipeline.stages.iter().any(|known| known.name == stage);
    let stage_of = name.rsplit_once('.').map_or(name.as_str(), |(stage, _)| stage);
    let instance = loaded.pipeline.instances.iter().any(|known| known.name == *name || known.name == stage_of);
    let network = if instance || is_stage(name) || is_stage(stage_of) { None } else { network(&loaded.pipeline, name) };
    let text = match network {
        Some((network, side, classes)) => of_network(&network, side, classes, arguments.json)?,
        None => of_stage(world, &loaded, arguments)?,
    };
    // A reader that went away (`| head`) is no failure.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(Exit::Done)
}

fn of_stage(world: &World, loaded: &Loaded, arguments: &Arguments) -> Result<String, Failure> {
    let artifact = artifact::find(world, loaded, &arguments.name)?;
    if artifact.outdated {
        let run = artifact.run.as_deref().unwrap_or("an earlier run");
        let ask = format!("`macula why {} {}`", loaded.file, artifact.stage.name);
        let note = format!("note: the pipeline changed since; this is what run {run} made ({ask} says what changed)");
        let _ = writeln!(std::io::stderr().lock(), "{note}");
    }
    let mut pictures = Vec::new();
    if !arguments.no_pictures {
        let stage = results::folder(&loaded.folder, &loaded.pipeline.name).join(&artifact.stage.name);
        let folder =
            arguments.pictures.as_ref().map_or_else(|| stage.join("pictures"), |folder| world.folder.join(folder));
        match pictures::write(&artifact, &loaded.store.objects, &folder) {
            Ok(written) => pictures.extend(written.iter().map(|path| near(world, path))),
            // Who did not ask for them may well lack the right to write there, and wants the figures.
            Err(failure) if arguments.pictures.is_none() && failure.exit == Exit::Store => {
                let _ = writeln!(std::io::stderr().lock(), "note: no pictures: {}", failure.text);
            }
            Err(failure) => return Err(failure),
        }
    }
    if arguments.json {
        return Ok(format!("{:#}\n", as_json(&artifact, &pictures)));
    }
    let mut text = format!("{}, {}", artifact.stage.name, artifact.stage.kind);
    if let Some(run) = &artifact.run {
        _ = write!(text, ", computed in run {run}");
    }
    text.push_str("\n\n");
    text.push_str(&render_summary(&artifact.summary));
    for (output, tree) in artifact.typed() {
        let name = if output.port == "out" { String::new() } else { format!("{}: ", output.port) };
        _ = writeln!(text, "\n{name}{}", headline(&output.ty, tree));
        text.push_str(&files(tree));
    }
    for path in pictures {
        _ = writeln!(text, "\npicture: {path}");
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
    let table = render(&Table { title: String::new(), columns, rows: rows.collect() });
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

fn as_json(artifact: &Artifact, pictures: &[String]) -> Value {
    let outputs = artifact.typed().map(|(output, tree)| {
        let files: Vec<Value> = tree
            .entries
            .iter()
            .map(|(name, entry)| json!({ "name": name, "bytes": entry.size, "digest": entry.digest }))
            .collect();
        let facts = json!({ "type": output.ty, "digest": tree.digest(), "bytes": tree.size(), "files": files });
        (output.port.clone(), facts)
    });
    json!({
        "stage": artifact.stage.name,
        "kind": artifact.stage.kind,
        "key": artifact.key,
        "run": artifact.run,
        "outdated": artifact.outdated,
        "summary": artifact.summary,
        "outputs": outputs.collect::<serde_json::Map<String, Value>>(),
        "pictures": pictures,
    })
}

/// A path as it is shortest for the reader.
fn near(world: &World, path: &Path) -> String {
    path.strip_prefix(&world.folder).unwrap_or(path).display().to_string()
}

/// The network of that name, with the patch size and the number of classes that the pipeline gives it: one that a stage of
/// the pipeline uses, else one of the standard library.
fn network(pipeline: &Pipeline, name: &str) -> Option<(NetworkSpec, usize, usize)> {
    let mut values = pipeline.stages.iter().flat_map(|stage| stage.params.values());
    let used = values.find_map(|value| match value {
        value::Value::Network(network) if network.name == name => Some((**network).clone()),
        _ => None,
    });
    let extract = pipeline.stages.iter().find(|stage| stage.implementation == "extract");
    let size = extract.and_then(|stage| match stage.params.get("size") {
        Some(value::Value::Int(size)) => usize::try_from(*size).ok(),
        _ => None,
    });
    // Without an extract stage, patches of the usual size; every data set that is built in has four classes.
    Some((used.or_else(|| builtin_network(name))?, size.unwrap_or(128), 4))
}

fn of_network(network: &NetworkSpec, side: usize, classes: usize, in_json: bool) -> Result<String, Failure> {
    let layers = shapes::shapes(network, side, classes)
        .map_err(|misfit| Failure::user(format!("`{}`: {}", network.name, misfit.message)).hint(misfit.hint))?;
    let parameters: u64 = layers.iter().map(|layer| layer.parameters).sum();
    let multiply_adds: u64 = layers.iter().map(|layer| layer.multiply_adds).sum();
    if in_json {
        let facts = json!({
            "network": network.name,
            "digest": network.digest(),
            "side": side,
            "classes": classes,
            "parameters": parameters,
            "multiply-adds": multiply_adds,
            "layers": layers.iter().map(layer_json).collect::<Vec<Value>>(),
        });
        return Ok(format!("{facts:#}\n"));
    }
    let columns = ["layer", "tensors", "gives", "parameters", "multiply-adds"].map(str::to_owned).to_vec();
    let rows = layers.iter().map(row).collect();
    let (parameters, multiply_adds) = (thousands(parameters as i64), thousands(multiply_adds as i64));
    Ok(format!(
        "{} on 3 x {side} x {side}, {classes} classes: {parameters} parameters, {multiply_adds} multiply-adds a patch\n\n{}",
        network.name,
        render(&Table { title: String::new(), columns, rows }),
    ))
}

fn layer_json(layer: &LayerShape) -> Value {
    json!({
        "kind": layer.kind,
        "name": layer.name,
        "depth": layer.depth,
        "out": layer.out.to_string(),
        "parameters": layer.parameters,
        "multiply-adds": layer.multiply_adds,
    })
}

fn row(layer: &LayerShape) -> Vec<Cell> {
    let count = |count: u64| if count == 0 { Cell::Null(()) } else { Cell::Int(count as i64) };
    vec![
        Cell::Text(format!("{}{}", "  ".repeat(layer.depth), layer.kind)),
        Cell::Text(layer.name.clone()),
        Cell::Text(layer.out.to_string()),
        count(layer.parameters),
        count(layer.multiply_adds),
    ]
}
