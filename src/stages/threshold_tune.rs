//! `threshold-tune`: one threshold per class, chosen on validation patches. The choice itself is in [`crate::learn::thresholds`].

use super::inference;
use crate::base::figure;
use crate::data::patches::{PatchSet, SetInfo};
use crate::data::predictions::Predictions;
use crate::engine::gpu::is_approximate;
use crate::learn::evaluation::{ScoredSet, curves};
use crate::learn::model::{Classifier, Scoring, predict};
use crate::learn::thresholds::Criterion;
use crate::learn::tta::Tta;
use crate::learn::tuning::Thresholds;
use crate::stage::{
    Cell, ConnectedPorts, Ctx, Determinism, Implementation, Outcome, Params, StageError, Summary, Table, Tolerance,
    Warning, Work,
};
use crate::store::{Objects, Tree};

/// The implementation.
pub const THRESHOLD_TUNE: Implementation = Implementation {
    name: "threshold-tune",
    version: 2,
    revised: None,
    seeded: false,
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

fn run(ctx: &Ctx<'_>) -> Result<Outcome, StageError> {
    let set = PatchSet::read(ctx.inputs.one("data")?, ctx.objects)?;
    natural(&set.info)?;
    several_labels(&set.info, "thresholds", "remove this stage")?;
    let criterion = criterion(ctx.params)?;
    let scoring = Scoring::from_params(ctx.params)?;
    let (judged, target) = scored(ctx, &set, scoring)?;
    let mut outcome = tuned(&judged, criterion, scoring.tta, ctx.objects)?;
    outcome.summary.warnings.extend(inference::other_scale(ctx, &set)?);
    Ok(Outcome { target, ..outcome })
}

/// Patches with the scores of the connected model and the target that computed them, or with those of the connected predictions.
///
/// # Errors
/// [`StageError::Input`] if both are connected or none is, or as [`predict`] and [`judged`].
pub fn scored<'a>(
    ctx: &Ctx<'_>,
    set: &'a PatchSet,
    scoring: Scoring,
) -> Result<(ScoredSet<'a>, Option<String>), StageError> {
    let ports = ConnectedPorts(ctx.inputs.0.keys().map(String::as_str).collect());
    one_scorer(&ports, scoring.tta)?;
    match (ctx.inputs.optional("model"), ctx.inputs.optional("predictions")) {
        (Some(model), _) => {
            let model = Classifier::read(model, ctx.objects)?.on(inference::device(ctx.params), ctx.progress)?;
            let scores = predict(&model, set, ctx.objects, scoring, ctx.progress, ctx.stop)?;
            Ok((judged(set, scores)?, Some(model.target())))
        }
        (None, Some(made)) => {
            not_empty(set)?;
            Ok((ScoredSet::of_scores(set, Predictions::find(made, ctx.objects)?.scores(set)?), None))
        }
        (None, None) => Err(StageError::Bug("neither a model nor predictions".to_owned())),
    }
}

/// Refuses a stage with a model and predictions, with neither, or with test-time augmentation of predictions.
fn one_scorer(ports: &ConnectedPorts, tta: Tta) -> Result<(), StageError> {
    let refused = |text: &str| {
        let hint = "connect exactly one of `model` and `predictions`";
        Err(StageError::input("missing-port", text).hint(hint))
    };
    match (ports.has("model"), ports.has("predictions")) {
        (true, true) => {
            refused("`model` and `predictions` are mutually exclusive").map_err(|error| error.field("predictions"))
        }
        (false, false) => refused("`model` or `predictions` is required"),
        (false, true) if !tta.is_none() => {
            let text = "`tta` needs `model`: predictions are taken as they are";
            let hint = "set `tta` in `predict`, which makes them";
            Err(StageError::input("missing-port", text).hint(hint).field("tta"))
        }
        _ => Ok(()),
    }
}

/// Check of a stage that scores patches with a model or takes predictions.
pub(super) fn check_scored(params: &Params, ports: &ConnectedPorts) -> Result<Vec<StageError>, StageError> {
    one_scorer(ports, Tta::from_params(params))?;
    Ok(inference::without_gpu(params).filter(|_| ports.has("model")).into_iter().collect())
}

/// Rejects a resampled set.
///
/// # Errors
/// [`StageError::Input`] with the code `resampled-evaluation`.
pub fn natural(info: &SetInfo) -> Result<(), StageError> {
    if info.resampled {
        let text = "input patches were resampled: thresholds and metrics at their prevalence would be misleading";
        let hint = "split before `rebalance`, and connect a split that was not resampled";
        return Err(StageError::input("resampled-evaluation", text).hint(hint).field("data"));
    }
    Ok(())
}

/// Rejects a set in which a patch has exactly one class, for what is of each class by itself.
///
/// # Errors
/// `single-label`.
pub(super) fn several_labels(info: &SetInfo, what: &str, hint: &str) -> Result<(), StageError> {
    if info.labels.is_multi_label() {
        return Ok(());
    }
    let text =
        format!("these patches have exactly one class each, the one with the highest score: there are no {what}");
    Err(StageError::input("single-label", text).hint(hint).field("data"))
}

/// Rejects thresholds for a set in which a patch has exactly one class.
///
/// # Errors
/// `single-label`.
pub(super) fn without_thresholds(info: &SetInfo, are_connected: bool) -> Result<(), StageError> {
    if !are_connected {
        return Ok(());
    }
    several_labels(info, "thresholds", "remove `thresholds`").map_err(|error| error.field("thresholds"))
}

/// Rejects an empty set.
///
/// # Errors
/// `no-patches`.
pub fn not_empty(set: &PatchSet) -> Result<(), StageError> {
    if set.is_empty() {
        let hint = "`macula show` of the previous stage shows where patches were dropped";
        return Err(StageError::input("no-patches", "no patches to evaluate").hint(hint).field("data"));
    }
    Ok(())
}

/// Patches with their scores, checked.
///
/// # Errors
/// [`StageError::Input`] if there is no patch, or a score is NaN.
pub fn judged(set: &PatchSet, scores: Vec<f64>) -> Result<ScoredSet<'_>, StageError> {
    not_empty(set)?;
    if let Some(at) = scores.iter().position(|score| score.is_nan()) {
        let row = at / set.info.classes.len();
        let text = format!("the model's output for patch {row} is NaN: its weights are damaged");
        return Err(StageError::input("nan-output", text).hint("retrain with a lower learning rate").field("model"));
    }
    Ok(ScoredSet::of_scores(set, scores))
}

fn criterion(params: &Params) -> Result<Criterion, StageError> {
    Ok(match params.text("maximize")? {
        "f-beta" => Criterion::FBeta { beta: params.real("maximize.beta")? },
        "precision" => Criterion::Precision { recall: params.real("maximize.recall")? },
        "recall" => Criterion::Recall { precision: params.real("maximize.precision")? },
        "cost" => Criterion::Cost {
            false_negative: params.real("maximize.false-negative")?,
            false_positive: params.real("maximize.false-positive")?,
        },
        _ => Criterion::F1,
    })
}

/// Outcome of the stage: `thresholds.json` and `curves.parquet`.
///
/// # Errors
/// Store errors.
pub fn tuned(judged: &ScoredSet<'_>, criterion: Criterion, tta: Tta, objects: &Objects) -> Result<Outcome, StageError> {
    let thresholds = Thresholds::choose(judged, criterion, tta);
    let mut tree = Tree::default();
    let json = serde_json::to_vec_pretty(&thresholds).map_err(|error| StageError::Bug(error.to_string()))?;
    tree.insert("thresholds.json", objects.put(&json)?);
    let table = curves(&judged.scored, &judged.set.info.classes);
    let table = table.to_parquet().map_err(|error| StageError::Bug(error.to_string()))?;
    tree.insert("curves.parquet", objects.put(&table)?);
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary: summary(&thresholds), target: None })
}

fn summary(thresholds: &Thresholds) -> Summary {
    let Thresholds { criterion, classes, patches, tta: _ } = thresholds;
    let values =
        figure::per_class(classes.iter().map(|class| &class.class), classes.iter().map(|class| Some(class.threshold)));
    let patches = figure::counted(*patches, "patch", "patches");
    let real = |value: Option<f64>| value.map_or(Cell::Null(()), Cell::Real);
    let name = criterion.name();
    let columns = [
        "class",
        "threshold",
        &name,
        &format!("{name} at 0.5"),
        "all-positive F1",
        "positives",
        "photographs",
        "as good from",
        "as good to",
    ];
    let rows = classes.iter().map(|class| {
        vec![
            Cell::Text(class.class.clone()),
            Cell::Real(class.threshold),
            real(class.figure),
            real(class.figure_at_half),
            real(class.always_yes_f1),
            Cell::Int(class.positives as i64),
            Cell::Int(class.positive_photographs as i64),
            real(class.low),
            real(class.high),
        ]
    });
    Summary {
        headline: format!("thresholds {values} for the {} on {patches}", criterion.goal()),
        tables: vec![Table {
            title: "thresholds, on the patches used for tuning".to_owned(),
            columns: columns.map(str::to_owned).to_vec(),
            rows: rows.collect(),
        }],
        warnings: warnings(thresholds),
        ..Summary::default()
    }
}

/// Number of positive patches below which a threshold is uncertain.
const FEW_POSITIVES: u64 = 30;

/// Number of photographs with a positive patch below which a threshold is uncertain.
const FEW_PHOTOGRAPHS: u64 = 5;

fn warnings(thresholds: &Thresholds) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |code: &str, text: String| warnings.push(Warning { code: code.to_owned(), text });
    for class in &thresholds.classes {
        let name = &class.class;
        if class.positives == 0 {
            warn("few-positives", format!("no positive patch of `{name}`: its threshold stays 0.5"));
            continue;
        }
        if class.positives < FEW_POSITIVES || class.positive_photographs < FEW_PHOTOGRAPHS {
            let patches = figure::counted(class.positives, "positive patch", "positive patches");
            let photographs = figure::counted(class.positive_photographs, "photograph", "photographs");
            let text = format!(
                "the threshold of `{name}` rests on only {patches} of {photographs}; {FEW_POSITIVES} of \
                 {FEW_PHOTOGRAPHS} are the least"
            );
            warn("few-positives", text);
        }
        if !class.met {
            let wanted = thresholds.criterion.name();
            let text = format!("no threshold reaches {wanted} for `{name}`; the most precise one is used");
            warn("condition-not-met", text);
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::tuning::ClassThreshold;

    /// Warnings about a class tuned on so many positive patches of so many photographs.
    fn of(positives: u64, positive_photographs: u64) -> Vec<Warning> {
        let class = ClassThreshold {
            class: "SE".to_owned(),
            threshold: 0.4,
            low: None,
            high: None,
            figure: Some(0.7),
            figure_at_half: Some(0.6),
            met: true,
            always_yes_f1: Some(0.2),
            known: 1000,
            positives,
            positive_photographs,
        };
        let thresholds = Thresholds { criterion: Criterion::F1, patches: 1000, tta: Tta::None, classes: vec![class] };
        warnings(&thresholds)
    }

    fn codes(positives: u64, positive_photographs: u64) -> Vec<String> {
        of(positives, positive_photographs).into_iter().map(|warning| warning.code).collect()
    }

    #[test]
    fn thresholds_on_few_patches_or_few_photographs_are_uncertain() {
        assert!(codes(119, 6).is_empty() && codes(30, 5).is_empty());
        assert_eq!([codes(29, 20), codes(119, 4), codes(0, 0)].map(|codes| codes.join(" ")), ["few-positives"; 3]);
        let text = &of(29, 20)[0].text;
        assert!(text.ends_with("rests on only 29 positive patches of 20 photographs; 30 of 5 are the least"), "{text}");
    }
}
