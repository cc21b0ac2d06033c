//! What scores new photographs: a classifier, or the members of an average, with their thresholds and test-time augmentation.

use crate::base::Digest;
use crate::cli::artifact::{self, StageArtifact};
use crate::cli::{Exit, Failure, Loaded};
use crate::lang::spec::{Pipeline, StageSpec};
use crate::learn::model::{Classifier, ModelInfo};
use crate::learn::tta::Tta;
use crate::learn::tuning::Thresholds;
use crate::run::Host;
use crate::stage::{Params, StageError};
use crate::store::Tree;

/// The classifiers of the current pipeline whose mean scores are asked for.
pub(in crate::cli) struct Scorer {
    /// Name of the stage that was asked for.
    pub(in crate::cli) name: String,
    /// Run that trained the classifier; of several, none.
    pub(in crate::cli) run: Option<String>,
    pub(in crate::cli) members: Vec<Member>,
    pub(in crate::cli) tta: Tta,
    pub(in crate::cli) tuned: Option<AppliedThresholds>,
}

/// A classifier.
pub(in crate::cli) struct Member {
    /// Stage that trained it.
    pub(in crate::cli) stage: StageSpec,
    pub(in crate::cli) key: Option<Digest>,
    pub(in crate::cli) info: ModelInfo,
    pub(in crate::cli) tree: Tree,
}

/// Tuned thresholds.
pub(in crate::cli) struct AppliedThresholds {
    /// Name of the stage that tuned them.
    pub(in crate::cli) stage: String,
    /// Its result.
    pub(in crate::cli) tree: Tree,
    pub(in crate::cli) values: Vec<f64>,
    tta: Tta,
}

impl Scorer {
    /// The classifier of a `train` stage, or those behind an `average`.
    ///
    /// # Errors
    /// A [`Failure`] if the stage is neither, or if a classifier was not trained by the current file.
    pub(in crate::cli) fn find(host: &Host, loaded: &Loaded, wanted: &str) -> Result<Self, Failure> {
        let name = loaded.pipeline.outlet(wanted).map_or(wanted, |reference| reference.stage.as_str());
        let stage = loaded.pipeline.stages.iter().find(|stage| stage.name == name);
        let Some(average) = stage.filter(|stage| stage.implementation == "average") else {
            let artifact = classifier(host, loaded, wanted)?;
            let run = artifact.run.clone();
            let member = Member::new(loaded, artifact)?;
            let name = member.stage.name.clone();
            let tuned = tuned(host, loaded, |stage| reads(stage, "model", &name))?;
            let tta = match &member.info.calibration {
                Some(calibration) => calibration.tta,
                None => orientations(&loaded.pipeline, &name, tuned.as_ref()),
            };
            return Ok(Self { name: member.stage.base_name.clone(), run, members: vec![member], tta, tuned });
        };
        let scored = scored(&loaded.pipeline, average)?;
        let members = scored.iter().map(|(model, _)| Member::new(loaded, classifier(host, loaded, model)?));
        let members = members.collect::<Result<Vec<_>, _>>()?;
        let tta = scored.first().map_or(Tta::None, |(_, tta)| *tta);
        if scored.iter().any(|(_, other)| *other != tta) {
            let text = format!("the predictions that `{}` averages have different `tta`", average.base_name);
            return Err(Failure::user(text).hint("give all of them the same `tta`"));
        }
        // Thresholds belong to a set of models, whichever patches their means were tuned on.
        let same = |stage: &StageSpec| {
            let averages = loaded.pipeline.stages.iter().filter(|other| other.implementation == "average");
            let mut read = averages.filter(|other| reads(stage, "predictions", &other.name));
            read.any(|other| self::scored(&loaded.pipeline, other).is_ok_and(|other| other == scored))
        };
        let tuned = tuned(host, loaded, same)?;
        Ok(Self { name: average.base_name.clone(), run: None, members, tta, tuned })
    }
}

impl Member {
    fn new(loaded: &Loaded, artifact: StageArtifact) -> Result<Self, Failure> {
        let missing = || StageError::Bug("a classifier without a model".to_owned());
        let key = artifact.key;
        let tree = artifact.outputs.into_values().next().ok_or_else(missing)?;
        let info = Classifier::info(&tree, &loaded.store.objects)?;
        Ok(Self { stage: artifact.stage, key, info, tree })
    }
}

/// Whether a stage reads another one at a port.
fn reads(stage: &StageSpec, port: &str, other: &str) -> bool {
    let mut references = stage.inputs.iter().filter(|input| input.port == port).flat_map(|input| &input.from);
    references.any(|reference| reference.stage == other)
}

/// The models behind the predictions that an `average` reads, and how they were applied.
fn scored<'a>(pipeline: &'a Pipeline, average: &'a StageSpec) -> Result<Vec<(&'a str, Tta)>, Failure> {
    let references = average.inputs.iter().filter(|input| input.port == "of").flat_map(|input| &input.from);
    let of = |name: &str| {
        let stage = pipeline.stages.iter().find(|stage| stage.name == name);
        let scoring = stage.filter(|stage| matches!(stage.implementation.as_str(), "predict" | "eval"));
        let models = scoring.map(|stage| stage.inputs.iter().filter(|input| input.port == "model"));
        let model = models.and_then(|mut models| models.next()?.from.first());
        if let (Some(stage), Some(model)) = (scoring, model) {
            return Ok((model.stage.as_str(), Tta::from_params(&Params(stage.values()))));
        }
        let what = stage.map_or_else(String::new, |stage| format!("{} ", stage.stage_type));
        let text = format!(
            "`{}` averages the predictions of `{what}{name}`, which cannot be repeated on new photographs",
            average.base_name
        );
        Err(Failure::user(text).hint("average the predictions of `predict` stages"))
    };
    references.map(|reference| of(&reference.stage)).collect()
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
            "`{}` is {article} `{}` stage; `macula predict` takes a classifier, a `train` stage, or the `average` of several",
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

/// Test-time augmentation: that of the thresholds, or else of the first stage of the pipeline that scores patches with the classifier.
fn orientations(pipeline: &Pipeline, classifier: &str, tuned: Option<&AppliedThresholds>) -> Tta {
    let scores = |stage: &&StageSpec| stage.value("tta").is_some() && reads(stage, "model", classifier);
    match tuned {
        Some(tuned) => tuned.tta,
        None => {
            pipeline.stages.iter().find(scores).map_or(Tta::None, |stage| Tta::from_params(&Params(stage.values())))
        }
    }
}

/// The thresholds of the first `threshold-tune` with a result that tunes those asked for.
fn tuned(
    host: &Host,
    loaded: &Loaded,
    tunes: impl Fn(&StageSpec) -> bool,
) -> Result<Option<AppliedThresholds>, Failure> {
    let tuning = loaded.pipeline.stages.iter().filter(|stage| stage.implementation == "threshold-tune");
    for stage in tuning.filter(|stage| tunes(stage)) {
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
