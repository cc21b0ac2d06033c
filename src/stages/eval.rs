//! `eval`: metrics, curves and all predictions of a classifier on held-out patches. The evaluation itself is in
//! [`crate::learn::evaluation`], its summary in [`crate::report::scores`].

use super::inference;
use super::threshold_tune::{check_scored, natural, scored, without_thresholds};
use super::whole::{FILE, whole};
use crate::base::figure::metric;
use crate::data::patches::{PatchSet, SetInfo, Shard};
use crate::data::png_image::{PixelFormat, png};
use crate::data::table::{Column, Columns};
use crate::engine::gpu::is_approximate;
use crate::lang::value::Value;
use crate::learn::evaluation::{
    ExamplePatch, ScoredSet, Scores, curves, evaluate, examples, predictions, reliability_bins,
};
use crate::learn::metrics::ZeroDivision;
use crate::learn::model::Scoring;
use crate::learn::thresholds::Criterion;
use crate::learn::tuning::Thresholds;
use crate::report::scores::{DIAGNOSIS, summary};
use crate::stage::{Ctx, Determinism, Implementation, Outcome, Params, StageError, Tolerance, Warning, Work};
use crate::store::{Entry, Objects, Tree};

/// The implementation.
pub const EVAL: Implementation = Implementation {
    name: "eval",
    version: 5,
    // Only evaluations of calibration, which has intervals since.
    revised: Some(|params| if matches!(params.get("calibration"), Some(Value::Bool(true))) { 5 } else { 4 }),
    seeded: true,
    determinism: Determinism::PathExact {
        path: inference::target,
        approximate: is_approximate,
        tolerance: Tolerance { metrics: 0.002, exempt: &[] },
    },
    check: Some(check_scored),
    foresee: Some(inference::foresee_device),
    narrow: Some(inference::NARROW),
    work: Work::Whole(run),
};

/// Examples are shrunk by an integer factor so that their side is at most this, px.
const EXAMPLE_SIDE: usize = 160;

fn run(ctx: &Ctx<'_>) -> Result<Outcome, StageError> {
    let set = PatchSet::read(ctx.inputs.one("data")?, ctx.objects)?;
    natural(&set.info)?;
    let tuned = ctx.inputs.optional("thresholds").map(|tree| Thresholds::read(tree, ctx.objects)).transpose()?;
    without_thresholds(&set.info, tuned.is_some())?;
    let criterion = tuned.as_ref().map(|tuned| tuned.criterion);
    let scoring = Scoring::from_params(ctx.params)?;
    let tuned = tuned.map(|tuned| tuned.of_classes(&set.info.classes)).transpose()?;
    let zero = zero_division(ctx.params)?;
    let (judged, target) = scored(ctx, &set, scoring)?;
    let tuned = tuned.as_deref().zip(criterion);
    let mut scores = evaluate(&judged, tuned.map(|(thresholds, _)| thresholds), zero, &ctx.streams);
    if ctx.params.flag("within-photograph")? {
        scores.within_photograph = Some(judged.within_photograph());
    }
    if ctx.params.flag("calibration")? {
        scores.calibration = Some(judged.reliability(&ctx.streams));
    }
    scores.diagnosis = ctx.params.flag("diagnosis")?;
    let whole = whole(ctx, &judged, &vec![0; judged.scored.rows()])?;
    let (whole, table) = whole.unzip();
    scores.whole = whole;
    let mut outcome = evaluated(&judged, &scores, tuned, ctx.objects)?;
    if let (Some(table), Some(tree)) = (table, outcome.outputs.get_mut("out")) {
        tree.insert(FILE, put(table, scores.diagnosis, ctx.objects)?);
    }
    outcome.summary.warnings.extend(inference::other_scale(ctx, &set)?);
    Ok(Outcome { target, ..outcome })
}

/// Value of undefined precision, recall and F1.
///
/// # Errors
/// A parameter that does not exist: a defect of the caller.
pub(super) fn zero_division(params: &Params) -> Result<ZeroDivision, StageError> {
    Ok(match params.text("zero-division")? {
        "0" => ZeroDivision::Zero,
        "1" => ZeroDivision::One,
        _ => ZeroDivision::Undefined,
    })
}

/// Outcome of the stage: `scores.json`, `predictions.parquet`, `curves.parquet`, `reliability.parquet` if calibration was asked for,
/// `examples.json` and the examples as PNG. `tuned` are tuned thresholds and what they maximise.
/// A diagnosis is marked: in `scores.json`, by a column of each table, and by `DIAGNOSIS.txt`.
///
/// # Errors
/// Store errors.
pub fn evaluated(
    judged: &ScoredSet<'_>,
    scores: &Scores,
    tuned: Option<(&[f64], Criterion)>,
    objects: &Objects,
) -> Result<Outcome, StageError> {
    let (tuned, criterion) = tuned.unzip();
    let bug = |error: &dyn std::fmt::Display| StageError::Bug(error.to_string());
    let mut tree = Tree::default();
    let json = serde_json::to_vec_pretty(scores).map_err(|error| bug(&error))?;
    tree.insert("scores.json", objects.put(&json)?);
    let put = |table: Columns| put(table, scores.diagnosis, objects);
    tree.insert("predictions.parquet", put(predictions(judged, tuned))?);
    tree.insert("curves.parquet", put(curves(&judged.scored, &judged.set.info.classes))?);
    if let Some(found) = &scores.calibration {
        tree.insert("reliability.parquet", put(reliability_bins(found, &scores.classes))?);
    }
    if scores.diagnosis {
        tree.insert("DIAGNOSIS.txt", objects.put(format!("{DIAGNOSIS}\n").as_bytes())?);
    }
    let chosen = examples(judged, &scores.operating().figures.thresholds);
    show(judged, &chosen, &mut tree, objects)?;
    let json = serde_json::to_vec_pretty(&chosen).map_err(|error| bug(&error))?;
    tree.insert("examples.json", objects.put(&json)?);
    let mut summary = summary(scores);
    summary.warnings.extend(criterion.and_then(|criterion| lowered(scores, criterion)));
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// Stores a table, with a column that marks a diagnosis.
fn put(mut table: Columns, is_diagnosis: bool, objects: &Objects) -> Result<Entry, StageError> {
    if is_diagnosis {
        table.push("diagnosis", Column::Bool(vec![Some(true); table.rows()]));
    }
    Ok(objects.put(&table.to_parquet().map_err(|error| StageError::Bug(error.to_string()))?)?)
}

/// Decrease of a mean metric by tuned thresholds below which nothing is reported.
const LOWERED: f64 = 0.005;

/// Warning about tuned thresholds that lower the metric they maximise, in the mean over classes. A criterion with a condition compares
/// different operating points and is not checked.
fn lowered(scores: &Scores, criterion: Criterion) -> Option<Warning> {
    if !matches!(criterion, Criterion::F1 | Criterion::FBeta { .. }) {
        return None;
    }
    let classes = scores.at_half.figures.classes.iter().zip(&scores.at_tuned.as_ref()?.figures.classes);
    let both =
        classes.filter_map(|(half, tuned)| Some((criterion.figure(&half.counts)?, criterion.figure(&tuned.counts)?)));
    let (half, tuned): (Vec<f64>, Vec<f64>) = both.unzip();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (half, tuned) = (mean(&half), mean(&tuned));
    (tuned < half - LOWERED).then(|| Warning {
        code: "tuning-lowers".to_owned(),
        text: format!(
            "the tuned thresholds lower the mean {} on these patches: {} instead of {} at threshold 0.5",
            criterion.name(),
            metric(Some(tuned)),
            metric(Some(half))
        ),
    })
}

/// Adds images of the examples to the tree, grouped by photograph so that each shard is opened once.
pub(super) fn show(
    judged: &ScoredSet<'_>,
    chosen: &[ExamplePatch],
    tree: &mut Tree,
    objects: &Objects,
) -> Result<(), StageError> {
    let facts: Vec<_> = judged.rows().collect();
    let mut order: Vec<&ExamplePatch> = chosen.iter().collect();
    order.sort_by_key(|example| example.row);
    for of_photograph in order.chunk_by(|a, b| facts[a.row].0.photograph == facts[b.row].0.photograph) {
        let shard = Shard::open(facts[of_photograph[0].row].0, &judged.set.info, objects)?;
        for example in of_photograph {
            let (side, pixels) = thumbnail(&judged.set.info, shard.pixels(facts[example.row].1.index));
            tree.insert(example.file.clone(), objects.put(&png(&pixels, side, side, PixelFormat::Rgb))?);
        }
    }
    Ok(())
}

/// The patch without its margin, shrunk by box means.
fn thumbnail(info: &SetInfo, pixels: &[u8]) -> (u32, Vec<u8>) {
    let (size, margin) = (info.size as usize, info.margin as usize);
    let stored = size + 2 * margin;
    let factor = size.div_ceil(EXAMPLE_SIDE);
    let side = size / factor;
    let mut out = Vec::with_capacity(side * side * 3);
    for y in 0..side {
        for x in 0..side {
            for channel in 0..3 {
                let mut sum = 0;
                for dy in 0..factor {
                    for dx in 0..factor {
                        let at = (margin + y * factor + dy) * stored + margin + x * factor + dx;
                        sum += usize::from(pixels[at * 3 + channel]);
                    }
                }
                let area = factor * factor;
                out.push(((sum + area / 2) / area) as u8);
            }
        }
    }
    (side as u32, out)
}
