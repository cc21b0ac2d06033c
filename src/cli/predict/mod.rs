//! `macula predict`: scores new photographs with a pipeline's classifier, using the stages `preprocess` and `heat-map`. Nothing is
//! stored: results go to the terminal and to `--out`.

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
use super::{Exit, Failure, Loaded, PipelineArguments, amounts, load};
use crate::base::{Digest, Streams, regular, threads};
use crate::data::photographs::{PhotographFacts, WithoutMask};
use crate::data::source_tree::extension;
use crate::lang::signature::Signature;
use crate::lang::signatures;
use crate::lang::spec::{Pipeline, StageSpec};
use crate::lang::value::Value;
use crate::learn::model::{Classifier, ModelInfo};
use crate::learn::tta::Tta;
use crate::learn::tuning::Thresholds;
use crate::run::Host;
use crate::stage::{Ctx, Inputs, Item, Params, Progress, StageError, Stop, Warning, Work};
use crate::stages::heat_map::{HEAT_MAP, MODEL, THRESHOLDS};
use crate::stages::preprocess::PREPROCESS;
use crate::store::{Entry, Objects, StoreError, Tree};
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
    let way = way(&loaded.pipeline, &classifier.stage)?;
    let tuned = tuned(host, &loaded, &classifier)?;
    let tta = orientations(&loaded.pipeline, &classifier.stage.name, tuned.as_ref());
    let names = names(&arguments.photographs)?;
    let folder = tempfile::tempdir().map_err(StoreError::disk("create", Path::new("a temporary folder")))?;
    let bench = Bench::new(folder.path(), &loaded, &classifier, tuned.as_ref().map(|tuned| &tuned.values))?;
    super::run::listen(host);
    let scored = watched(host, &bench.stop, || {
        let mut scored = Vec::new();
        for (name, file) in names.iter().zip(&arguments.photographs) {
            let tree = bench.map(name, &host.folder.join(file), &heat_map(&way, arguments.stride, tta), &way)?;
            if let Some(out) = &arguments.out {
                write(&tree, &bench.objects, &host.folder.join(out).join(name))?;
            }
            scored.push(said::Scored::read(name, &file.display().to_string(), &tree, &bench.objects)?);
        }
        Ok::<_, Failure>(scored)
    })?;
    let told = said::ScoreOrigin {
        file: &loaded.file,
        stage: &classifier.stage.base_name,
        run: classifier.run.as_deref(),
        size: bench.info.size,
        classes: &bench.info.classes,
        tuned: tuned.as_ref().map(|tuned| (tuned.stage.as_str(), tuned.values.as_slice())),
        tta,
        preprocess: way.preprocess.iter().map(|stage| stage.base_name.as_str()).collect(),
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
            "`{}` is {article} `{}` stage; expected a `train` stage",
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
    values: Vec<f64>,
    tta: Tta,
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
        return Ok(Some(AppliedThresholds { stage: stage.base_name.clone(), values, tta: thresholds.tta }));
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

/// Context for the stages: a temporary store that contains the classifier.
struct Bench {
    folder: PathBuf,
    objects: Objects,
    info: ModelInfo,
    /// The classifier and its thresholds, as in an item of `heat-map`.
    model: Tree,
    classes: Entry,
    stop: Stop,
}

impl Bench {
    fn new(
        folder: &Path,
        loaded: &Loaded,
        classifier: &StageArtifact,
        tuned: Option<&Vec<f64>>,
    ) -> Result<Self, Failure> {
        let objects = Objects::open(&folder.join("objects"))?;
        let missing = || StageError::Bug("a classifier without a model".to_owned());
        let tree = classifier.outputs.values().next().ok_or_else(missing)?;
        let info = Classifier::info(tree, &loaded.store.objects)?;
        let mut model = Tree::default();
        for name in MODEL {
            let bytes = loaded.store.objects.read_in(tree, name)?.ok_or_else(missing)?;
            model.insert(format!("model/{name}"), objects.put(&bytes)?);
        }
        if let Some(tuned) = tuned {
            model.insert(THRESHOLDS, objects.put(&json(tuned)?)?);
        }
        let classes = objects.put(&json(&info.classes)?)?;
        Ok(Self { folder: folder.to_owned(), objects, info, model, classes, stop: Stop::default() })
    }

    /// Heat map of a file, after the pipeline's preprocessing.
    fn map(&self, name: &str, file: &Path, params: &BTreeMap<String, Value>, way: &Way) -> Result<Tree, Failure> {
        let mut tree = self.photograph(file)?;
        for stage in &way.preprocess {
            tree = self.one(&PREPROCESS.work, name, tree, stage.values())?;
        }
        tree.entries.extend(self.model.entries.iter().map(|(name, entry)| (name.clone(), *entry)));
        Ok(self.one(&HEAT_MAP.work, name, tree, params.clone())?)
    }

    /// A photograph with unknown labels; its bytes are not copied.
    fn photograph(&self, file: &Path) -> Result<Tree, Failure> {
        let bytes = regular::read(file).map_err(|error| {
            Failure::user(format!("cannot read `{}`: {error}", file.display()))
                .hint("give the path of a photograph: JPEG, PNG or TIFF")
        })?;
        let entry = Entry { digest: Digest::of(&bytes), size: bytes.len() as u64 };
        self.objects.put_external([(&entry, file)]);
        let facts = PhotographFacts {
            patient: None,
            official: None,
            without_mask: vec![WithoutMask::Unknown; self.info.classes.len()],
            scale: 1,
            mask_from: 1,
            counted: false,
        };
        let mut tree = Tree::default();
        tree.insert(format!("photograph.{}", extension(&file.to_string_lossy())), entry);
        tree.insert("facts.json", self.objects.put(&json(&facts)?)?);
        Ok(tree)
    }

    /// The result of one item of a map stage.
    fn one(
        &self,
        work: &Work,
        name: &str,
        mut tree: Tree,
        params: BTreeMap<String, Value>,
    ) -> Result<Tree, StageError> {
        let Work::Map { one, .. } = work else { return Err(StageError::Bug("no map stage".to_owned())) };
        tree.insert("classes.json", self.classes);
        let (params, inputs) = (Params(params), Inputs::default());
        let ctx = Ctx {
            params: &params,
            inputs: &inputs,
            streams: Streams::new(0, "predict"),
            objects: &self.objects,
            partial: &self.folder,
            progress: &Quiet,
            stop: &self.stop,
        };
        one(&ctx, &Item { name: name.to_owned(), tree, bytes_in_flight: 0 })
    }
}

/// Parameters of `heat-map`: defaults, the pipeline's rule for black patches, and its test-time augmentation.
fn heat_map(way: &Way, stride: Option<NonZeroU16>, tta: Tta) -> BTreeMap<String, Value> {
    let signature = signatures().iter().find(|signature| signature.name == HEAT_MAP.name);
    let mut params = signature.map(Signature::defaults).unwrap_or_default();
    let stride = stride.map(|stride| ("stride".to_owned(), Value::Int(i64::from(stride.get()))));
    let rule = |name: &&str| Some((format!("black.{name}"), way.black?.value(name)?.clone()));
    params.extend(stride.into_iter().chain(["below", "share"].iter().filter_map(rule)));
    params.insert("tta".to_owned(), Value::Text(tta.name().to_owned()));
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

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, StageError> {
    serde_json::to_vec(value).map_err(|error| StageError::Bug(error.to_string()))
}

/// Notes about a photograph are printed with the table.
struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: u64, _: u64, _: &str) {}
    fn line(&self, _: &str) {}
    fn warn(&self, _: &Warning) {}
}
