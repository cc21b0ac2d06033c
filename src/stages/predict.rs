//! `predict`: scores of patches with or without known labels, without evaluating them. Counting is in [`crate::learn::evaluation`], the
//! summary in [`crate::report::predictions`].

use super::inference;
use super::threshold_tune::{judged, without_thresholds};
use crate::data::patches::PatchSet;
use crate::engine::gpu::is_approximate;
use crate::learn::evaluation::{HALF, ScoredSet, of_classes, of_photographs, photographs, predictions};
use crate::learn::model::{Classifier, Scoring, predict};
use crate::learn::tuning::Thresholds;
use crate::report::predictions::summary;
use crate::stage::{Ctx, Determinism, Implementation, Outcome, StageError, Tolerance, Warning, Work};
use crate::store::{Objects, Tree};

/// The implementation.
pub const PREDICT: Implementation = Implementation {
    name: "predict",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::PathExact {
        path: inference::target,
        approximate: is_approximate,
        tolerance: Tolerance { metrics: 0.002, exempt: &[] },
    },
    check: Some(|params, _| Ok(inference::doubts(params))),
    foresee: Some(inference::foresee_device),
    narrow: Some(inference::NARROW),
    work: Work::Whole(run),
};

fn run(ctx: &Ctx<'_>) -> Result<Outcome, StageError> {
    let set = PatchSet::read(ctx.inputs.one("data")?, ctx.objects)?;
    let tuned = ctx.inputs.optional("thresholds").map(|tree| Thresholds::read(tree, ctx.objects)).transpose()?;
    without_thresholds(&set.info, tuned.is_some())?;
    let scoring = Scoring::from_params(ctx.params)?;
    let tuned = tuned.map(|tuned| tuned.of_classes(&set.info.classes)).transpose()?;
    let model =
        Classifier::read(ctx.inputs.one("model")?, ctx.objects)?.on(inference::device(ctx.params), ctx.progress)?;
    let scores = predict(&model, &set, ctx.objects, scoring, ctx.progress, ctx.stop)?;
    let scale = model.info.scale_warning(set.info.scale, "patches");
    let outcome = predicted(&judged(&set, scores)?, tuned.as_deref(), scale, ctx.objects)?;
    Ok(Outcome { target: Some(model.target()), ..outcome })
}

/// Outcome of the stage: `predictions.parquet` and `photographs.parquet`.
///
/// # Errors
/// Store errors.
pub fn predicted(
    judged: &ScoredSet<'_>,
    tuned: Option<&[f64]>,
    scale: Option<Warning>,
    objects: &Objects,
) -> Result<Outcome, StageError> {
    let bug = |error: crate::data::table::TableError| StageError::Bug(error.to_string());
    let classes = &judged.set.info.classes;
    let half = vec![HALF; classes.len()];
    let thresholds = tuned.unwrap_or(&half);
    let (by_class, by_photograph) = (of_classes(judged, thresholds), of_photographs(judged, thresholds));
    let mut tree = Tree::default();
    tree.insert("predictions.parquet", objects.put(&predictions(judged, tuned).to_parquet().map_err(bug)?)?);
    let table = photographs(&by_photograph, classes).to_parquet().map_err(bug)?;
    tree.insert("photographs.parquet", objects.put(&table)?);
    let mut warnings: Vec<Warning> = scale.into_iter().collect();
    if judged.set.info.resampled {
        let text = "input patches were resampled: mean scores and prevalence do not reflect the original photographs";
        warnings.push(Warning { code: "resampled-predictions".to_owned(), text: text.to_owned() });
    }
    let found = (by_class.as_slice(), by_photograph.as_slice());
    let summary = summary(classes, thresholds, found, tuned.is_some(), warnings);
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}
