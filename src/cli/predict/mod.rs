//! `macula predict`: scores new photographs with a pipeline's classifier or the average of several, using the stages `preprocess` and `heat-map`. Nothing is
//! stored: results go to the terminal and to `--out`.

mod bench;
mod said;
mod scorer;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::{Exit, Failure, PipelineArguments, amounts, load, provenance};
use crate::base::threads;
use crate::data::provenance::Provenance;
use crate::lang::signature::Signature;
use crate::lang::signatures;
use crate::lang::value::Value;
use crate::learn::model::ModelInfo;
use crate::learn::model_inputs::control_warning;
use crate::learn::tta::Tta;
use crate::run::Host;
use crate::stage::Stop;
use crate::stages::heat_map::{HEAT_MAP, combined};
use crate::store::{Objects, StoreError, Tree};
use bench::Bench;
use scorer::Scorer;
use way::Way;

/// The arguments of `macula predict`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Stage that trained the classifier, or the `average` of several
    stage: String,
    /// Photographs: JPEG, PNG or TIFF
    #[arg(required = true)]
    photographs: Vec<PathBuf>,
    /// Write each photograph's heat map into a subfolder of this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Distance between patches [default: half a patch]
    #[arg(long, value_name = "PX", value_parser = amounts::pixels)]
    stride: Option<NonZeroU16>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Scores new photographs.
///
/// # Errors
/// A [`Failure`] if a classifier is unknown, its preprocessing cannot be reproduced, or a photograph cannot be read.
pub fn predict(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    let Scorer { name, run, members, tta, tuned } = Scorer::find(host, &loaded, &arguments.stage)?;
    let info = combined(members.iter().map(|member| member.info.clone()).collect())?;
    let way = Way::common(&loaded.pipeline, &members)?;
    let names = names(&arguments.photographs)?;
    let folder = tempfile::tempdir().map_err(StoreError::disk("create", Path::new("a temporary folder")))?;
    let bench = Bench::new(folder.path(), &loaded, info, &members, tuned.as_ref().map(|tuned| &tuned.tree))?;
    super::run::listen(host);
    let mut scored = watched(host, &bench.stop, || {
        let photographs = names.iter().zip(&arguments.photographs);
        let sets = photographs.clone().map(|(name, file)| bench.photograph(name, &host.folder.join(file)));
        let sets: Vec<Tree> = sets.collect::<Result<_, _>>()?;
        let mut embeddings = vec![Vec::new(); sets.len()];
        // Encoder by encoder: only one is in memory.
        for encoding in &way.encodings {
            let weights = bench.weights(host, &loaded, encoding)?;
            for (set, own) in sets.iter().zip(&mut embeddings) {
                own.push(bench.encode(encoding, &weights, set)?);
            }
        }
        let mut scored = Vec::new();
        for (((name, file), set), embeddings) in photographs.zip(&sets).zip(&embeddings) {
            let tree = bench.map(set, heat_map(&way, arguments.stride, tta), &way, embeddings)?;
            if let Some(out) = &arguments.out {
                write(&tree, &bench.objects, &host.folder.join(out).join(name))?;
            }
            scored.push(said::Scored::read(name, &file.display().to_string(), &tree, &bench.objects)?);
        }
        Ok::<_, Failure>(scored)
    })?;
    let provenance = members.iter().try_fold(Provenance::default(), |all, member| {
        Ok::<_, Failure>(all.and(provenance::of_model(host, &loaded, &member.stage.name)?))
    });
    for (one, file) in scored.iter_mut().zip(&arguments.photographs) {
        one.seen = provenance.as_ref().ok().and_then(|known| provenance::purpose(known, &host.folder.join(file)));
    }
    let seen: Vec<_> = scored.iter().map(|one| (one.name.as_str(), one.seen)).collect();
    provenance::say(&name, provenance.as_ref().err(), &seen);
    let told = said::ScoreOrigin {
        file: &loaded.file,
        stage: &name,
        members: members.iter().map(|member| member.stage.base_name.as_str()).collect(),
        run: run.as_deref(),
        size: bench.info.size,
        classes: &bench.info.classes,
        tuned: tuned.as_ref().map(|tuned| (tuned.stage.as_str(), tuned.values.as_slice())),
        tta,
        preprocess: way.preprocess.iter().map(|step| step.stage.base_name.as_str()).collect(),
        embeddings: said_embeddings(&way, &bench.info),
        note: control_warning(&bench.info).map(|warning| warning.text),
        provenance: provenance.as_ref().map_err(|failure| failure.text.as_str()),
        out: arguments.out.as_deref(),
    };
    said::say(&told, &scored, arguments.json);
    Ok(Exit::Done)
}

/// What is printed about the embeddings that a classifier reads.
fn said_embeddings<'a>(way: &'a Way, info: &'a ModelInfo) -> Vec<said::SaidEmbeddings<'a>> {
    let of = |encoding: &'a way::InputEncoding| {
        let joined = info.embeddings.iter().find(|joined| joined.name == encoding.input)?;
        let (input, stage) = (&encoding.input, &encoding.encode.base_name);
        Some(said::SaidEmbeddings { input, stage, encoder: &joined.info.description })
    };
    way.encodings.iter().filter_map(of).collect()
}

/// Names of the photographs: file names without extension.
fn names(photographs: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut seen = BTreeSet::new();
    let name = |file: &PathBuf| {
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if seen.insert(name.clone()) {
            return Ok(name);
        }
        Err(Failure::user(format!("two photographs are named `{name}`"))
            .hint("score them one at a time, or rename one"))
    };
    photographs.iter().map(name).collect()
}

/// Runs `work` while another thread waits for Ctrl-C to set the stop flag.
fn watched<T>(host: &Host, stop: &Stop, work: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Where the system gives no thread for that, Ctrl-C is heard at the end.
        let _ = threads::spawn(scope, || {
            while !done.load(Ordering::SeqCst) {
                if host.interrupted() {
                    stop.raise();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let result = work();
        done.store(true, Ordering::SeqCst);
        result
    })
}

/// Parameters of `heat-map`: defaults, the pipeline's rule for black patches, and its test-time augmentation.
fn heat_map(way: &Way, stride: Option<NonZeroU16>, tta: Tta) -> BTreeMap<String, Value> {
    let signature = signatures().iter().find(|signature| signature.name == HEAT_MAP.name);
    let mut params = signature.map(Signature::defaults).unwrap_or_default();
    let stride = stride.map(|stride| ("stride".to_owned(), Value::Int(i64::from(stride.get()))));
    let rule = |name: &&str| Some((format!("black.{name}"), way.black?.value(name)?.clone()));
    params.extend(stride.into_iter().chain(["below", "share"].iter().filter_map(rule)));
    params.insert("tta".to_owned(), Value::Text(tta.name().to_owned()));
    let inputs = way.encodings.iter().map(|encoding| Value::Text(encoding.input.clone()));
    params.insert("as".to_owned(), Value::List(inputs.collect()));
    params
}

/// Writes the files of a result to a folder.
fn write(tree: &Tree, objects: &Objects, folder: &Path) -> Result<(), Failure> {
    for (name, entry) in &tree.entries {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(StoreError::disk("create", parent))?;
        crate::base::disk::write_lightly(&path, &objects.read(entry)?).map_err(StoreError::disk("write", &path))?;
    }
    Ok(())
}
