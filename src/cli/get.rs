//! `macula get`: copies a stage's output as files, or writes a network as ONNX.

mod onnx;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use clap::Args;

use super::artifact::{self, StageArtifact};
use super::provenance::of_models;
use super::{Exit, Failure, Loaded, PipelineArguments, load};
use crate::base::disk;
use crate::data::provenance::Provenance;
use crate::learn::model::{Classifier, DESCRIPTION, ModelInfo};
use crate::progress::out;
use crate::progress::table::{bytes, counted};
use crate::run::Host;
use crate::stage::StageError;
use crate::store::{Entry, Location, Objects, StoreError, as_path};

/// The arguments of `macula get`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// The stage, or one of its outputs (`folds.train`)
    stage: String,
    /// The folder to write to
    #[arg(required_unless_present = "onnx", conflicts_with = "onnx")]
    folder: Option<PathBuf>,
    /// Write into a folder that is not empty, replacing files of the same name; with `--onnx`, replace the file
    #[arg(long)]
    force: bool,
    /// Write the network of a `train`, `calibrate`, `average` or `pretrain` stage to this file in the ONNX format instead
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// Pixels that the ONNX file takes: `float` (0 to 1, N x 3 x H x W) or `bytes` (N x H x W x 3)
    #[arg(long, value_name = "FORM", value_enum, default_value_t, requires = "onnx")]
    input: onnx::InputForm,
    /// Hard-link to the store if possible: copies nothing, but the files must not be changed
    #[arg(long, conflicts_with = "onnx")]
    link: bool,
    /// Add to a model the digests of the photographs and patients that it was trained on, which tell who took part
    #[arg(long, conflicts_with = "onnx")]
    with_provenance: bool,
}

/// Writes a stage's output as files.
///
/// # Errors
/// A [`Failure`] if the output is unknown, the folder is not empty, or writing fails.
pub fn get(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    if let Some(file) = &arguments.onnx {
        return onnx::write(host, &loaded, &arguments.stage, file, arguments.input.into(), arguments.force);
    }
    let artifact = artifact::find(host, &loaded, &arguments.stage)?;
    let given = arguments.folder.as_deref().unwrap_or(Path::new(""));
    let folder = host.folder.join(given);
    let shown = given.display();
    if folder.exists() && !folder.is_dir() {
        return Err(Failure::user(format!("`{shown}` is a file")).hint("name a folder"));
    }
    if !arguments.force && fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::user(format!("`{shown}` is not empty"))
            .hint("name another folder, or use `--force` to write into it"));
    }
    let provenance = if arguments.with_provenance { Some(provenance(host, &loaded, &artifact)?) } else { None };
    let files = files(&artifact, &folder)?;
    let way = if arguments.link { FileMode::Link } else { FileMode::Copy };
    let mut names = BTreeMap::new();
    disk::sweep(&folder);
    for (path, entry) in &files {
        // Where the folder tells no upper from lower case, one would take the other's place.
        if let Some(other) = names.insert(path.to_string_lossy().to_lowercase(), path)
            && path.ancestors().take_while(|part| *part != folder).any(disk::is_other_name)
        {
            let [one, other] = [path, other].map(|path| path.strip_prefix(&folder).unwrap_or(path).display());
            return Err(Failure::user(format!(
                "`{other}` and `{one}` collide in the case-insensitive folder `{shown}`"
            ))
            .hint("name a folder on a case-sensitive file system"));
        }
        place(&loaded.store.objects, entry, path, way)?;
    }
    if let Some(provenance) = provenance {
        describe(&artifact, &loaded.store.objects, &folder, provenance)?;
    }
    let size = bytes(files.iter().map(|(_, entry)| entry.size).sum());
    let said = format!("{}, {size}, in {shown}\n", counted(files.len() as u64, "file", "files"));
    out::say(&said);
    Ok(Exit::Done)
}

/// What a model has seen.
fn provenance(host: &Host, loaded: &Loaded, artifact: &StageArtifact) -> Result<Provenance, Failure> {
    let stage = &artifact.stage;
    if !artifact.typed().any(|(output, _)| output.ty == MODEL) {
        let text = format!("`{}` is not a model, so it has no provenance", stage.name);
        return Err(Failure::user(text).hint("omit `--with-provenance`, or name a `train` stage"));
    }
    if artifact.outdated {
        let text = format!(
            "the pipeline has changed since `{}` was trained, so what it was trained on is not known",
            stage.name
        );
        return Err(Failure::user(text)
            .hint(format!("run `macula run {} {}` to train it with the current file", loaded.file, stage.name)));
    }
    of_models(host, loaded, &[&stage.name])
}

/// Writes the description of a model again, with its provenance.
fn describe(artifact: &StageArtifact, objects: &Objects, folder: &Path, provenance: Provenance) -> Result<(), Failure> {
    let Some((output, tree)) = artifact.typed().find(|(output, _)| output.ty == MODEL) else { return Ok(()) };
    let below = artifact.folder_of(&output.port).map_or_else(|| folder.to_owned(), |port| folder.join(port));
    let info = ModelInfo { provenance: Some(provenance), ..Classifier::info(tree, objects)? };
    let json = serde_json::to_vec_pretty(&info).map_err(|error| StageError::Bug(error.to_string()))?;
    let path = below.join(DESCRIPTION);
    Ok(disk::write_lightly(&path, &json).map_err(StoreError::disk("write", &path))?)
}

/// Type of a trained model.
const MODEL: &str = "model";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileMode {
    Copy,
    Link,
}

/// Every file of the artifact, with its destination.
fn files(artifact: &StageArtifact, folder: &Path) -> Result<Vec<(PathBuf, Entry)>, Failure> {
    let mut files = Vec::new();
    for (output, tree) in artifact.typed() {
        let below = artifact.folder_of(&output.port).map_or_else(|| folder.to_owned(), |port| folder.join(port));
        for (name, entry) in &tree.entries {
            // Names come from a store that others may have written to.
            let is_below = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            if !is_below {
                let text = format!("the store names a file `{name}` outside of the folder");
                return Err(Failure { exit: Exit::Store, code: None, text, hint: None });
            }
            files.push((below.join(&*as_path(name)), *entry));
        }
    }
    Ok(files)
}

/// Writes one file, completely or not at all.
fn place(objects: &Objects, entry: &Entry, path: &Path, way: FileMode) -> Result<(), Failure> {
    let failed = |doing| {
        move |error| {
            let failure = Failure::from(StoreError::Disk { doing, path: path.to_owned(), error });
            failure.hint("every file written is complete; free some space or name another folder, and use `--force`")
        }
    };
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed("create the folder of"))?;
    if way == FileMode::Link {
        let object = match objects.verified_path(entry)? {
            Location::Stored(object) => object,
            Location::Outside(object) => objects.read(entry).map(|_| object)?,
        };
        if path.exists() {
            fs::remove_file(path).map_err(failed("replace"))?;
        }
        // Another disk, or a system without links: copied instead.
        if fs::hard_link(object, path).is_ok() {
            return Ok(());
        }
    }
    let blob = objects.read(entry)?;
    disk::write_lightly(path, &blob).map_err(failed("write"))
}
