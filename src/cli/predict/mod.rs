//! `macula predict`: scores new photographs with a pipeline's classifier, using the stages `preprocess` and `heat-map`. Nothing is
//! stored: results go to the terminal and to `--out`.

mod bench;
mod said;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::artifact::{self, StageArtifact};
use super::{Exit, Failure, Loaded, PipelineArguments, amounts, load, provenance};
use crate::base::threads;
use crate::lang::signature::Signature;
use crate::lang::signatures;
use crate::lang::spec::{Pipeline, StageSpec};
use crate::lang::value::Value;
use crate::learn::model::{Classifier, ModelInfo};
use crate::learn::model_inputs::control_warning;
use crate::learn::tta::Tta;
use crate::learn::tuning::Thresholds;
use crate::run::Host;
use crate::stage::{Params, StageError, Stop};
use crate::stages::heat_map::HEAT_MAP;
use crate::store::{Objects, StoreError, Tree};
use bench::Bench;
use way::{Way, way};

/// The arguments of `macula predict`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Stage that trained the classifier
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
/// A [`Failure`] if the classifier is unknown, its preprocessing cannot be reproduced, or a photograph cannot be read.
pub fn predict(host: &Host, arguments: &Arguments) -> Result<Exit, Failure> {
    let loaded = load::load(host, &arguments.pipeline)?;
    let classifier = classifier(host, &loaded, &arguments.stage)?;
    let missing = || StageError::Bug("a classifier without a model".to_owned());
    let model = classifier.outputs.values().next().ok_or_else(missing)?;
    let info = Classifier::info(model, &loaded.store.objects)?;
    let way = way(&loaded.pipeline, &classifier.stage, &info.network.embeddings())?;
    let tuned = tuned(host, &loaded, &classifier)?;
    let tta = orientations(&loaded.pipeline, &classifier.stage.name, tuned.as_ref());
    let names = names(&arguments.photographs)?;
    let folder = tempfile::tempdir().map_err(StoreError::disk("create", Path::new("a temporary folder")))?;
    let bench = Bench::new(folder.path(), &loaded, info, model, tuned.as_ref().map(|tuned| &tuned.tree))?;
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
    let provenance = provenance::of_model(host, &loaded, &classifier.stage.name);
    for (one, file) in scored.iter_mut().zip(&arguments.photographs) {
        one.seen = provenance.as_ref().ok().and_then(|known| provenance::purpose(known, &host.folder.join(file)));
    }
    let seen: Vec<_> = scored.iter().map(|one| (one.name.as_str(), one.seen)).collect();
    provenance::say(&classifier.stage.base_name, provenance.as_ref().err(), &seen);
    let told = said::ScoreOrigin {
        file: &loaded.file,
        stage: &classifier.stage.base_name,
        run: classifier.run.as_deref(),
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

/// The classifier of the current pipeline.
fn classifier(host: &Host, loaded: &Loaded, wanted: &str) -> Result<StageArtifact, Failure> {
    let artifact = artifact::find(host, loaded, wanted)?;
    let stage = &artifact.stage;
    if !stage.outputs.iter().any(|output| output.ty == "model") {
        let models = loaded.pipeline.stages.iter().filter(|stage| stage.outputs.iter().any(|out| out.ty == "model"));
        let models: Vec<String> = models.map(|stage| format!("`{}`", stage.name)).collect();
        let hint =
            if models.is_empty() { "the pipeline has none".to_owned() } else { format!("use {}", models.join(", ")) };
        let article = if stage.stage_type.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        return Err(Failure::user(format!(
            "`{}` is {article} `{}` stage; `macula predict` takes one classifier, a `train` stage",
            stage.name, stage.stage_type
        ))
        .hint(hint));
    }
    if artifact.outdated {
        let text =
            format!("the pipeline has changed since `{}` was trained, so its preprocessing is not known", stage.name);
        return Err(Failure::user(text)
            .hint(format!("run `macula run {} {}` to train it with the current file", loaded.file, stage.name)));
    }
    Ok(artifact)
}

/// Thresholds tuned for the classifier.
struct AppliedThresholds {
    /// Name of the stage that tuned them.
    stage: String,
    /// Its result.
    tree: Tree,
    values: Vec<f64>,
    tta: Tta,
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

/// Test-time augmentation: that of the thresholds, or else of the first stage of the pipeline that scores patches with the classifier.
fn orientations(pipeline: &Pipeline, classifier: &str, tuned: Option<&AppliedThresholds>) -> Tta {
    let reads = |stage: &&StageSpec| {
        let models = stage.inputs.iter().filter(|input| input.port == "model").flat_map(|input| &input.from);
        stage.value("tta").is_some() && models.into_iter().any(|reference| reference.stage == classifier)
    };
    match tuned {
        Some(tuned) => tuned.tta,
        None => pipeline.stages.iter().find(reads).map_or(Tta::None, |stage| Tta::from_params(&Params(stage.values()))),
    }
}

/// Thresholds tuned for the classifier by the first such stage with a result.
fn tuned(host: &Host, loaded: &Loaded, classifier: &StageArtifact) -> Result<Option<AppliedThresholds>, Failure> {
    let reads = |stage: &&StageSpec| {
        let models = stage.inputs.iter().filter(|input| input.port == "model").flat_map(|input| &input.from);
        stage.implementation == "threshold-tune"
            && models.into_iter().any(|reference| reference.stage == classifier.stage.name)
    };
    for stage in loaded.pipeline.stages.iter().filter(reads) {
        let found = match artifact::find(host, loaded, &stage.name) {
            Ok(found) if !found.outdated => found,
            // It was not computed, or it changed.
            Ok(_) => continue,
            Err(failure) if failure.exit == Exit::User => continue,
            Err(failure) => return Err(failure),
        };
        let Some(tree) = found.outputs.values().next() else { continue };
        let thresholds = Thresholds::read(tree, &loaded.store.objects)?;
        let values = thresholds.classes.iter().map(|class| class.threshold).collect();
        let (stage, tree) = (stage.base_name.clone(), tree.clone());
        return Ok(Some(AppliedThresholds { stage, tree, values, tta: thresholds.tta }));
    }
    Ok(None)
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
