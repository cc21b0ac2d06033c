//! `calibrate`: a classifier whose scores are probabilities, as far as validation patches show. The fit itself is in
//! [`crate::learn::calibration`].

use super::inference;
use super::threshold_tune::{judged, natural, several_labels};
use crate::base::figure::{counted, metric};
use crate::data::patches::PatchSet;
use crate::data::predictions::Predictions;
use crate::engine::gpu::is_approximate;
use crate::learn::calibration::{
    Calibration, CalibrationMethod, LogOddsLine, Prevalence, ScoreFit, log_odds, platt, prior, score_fit, temperature,
};
use crate::learn::evaluation::ScoredSet;
use crate::learn::fit::settings::{drawn, label_counts};
use crate::learn::model::{Classifier, DESCRIPTION, LabelCounts, ModelInfo, Scoring, predict};
use crate::learn::sampler::Sampler;
use crate::stage::{
    Cell, ConnectedPorts, Ctx, Determinism, Implementation, Inputs, Outcome, Params, StageError, Summary, Table,
    Tolerance, Warning, Work,
};
use crate::store::Objects;

/// The implementation.
pub const CALIBRATE: Implementation = Implementation {
    name: "calibrate",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::PathExact {
        path: inference::target,
        approximate: is_approximate,
        tolerance: Tolerance { metrics: 0.002, exempt: &[] },
    },
    check: Some(check),
    foresee: Some(foresee_device),
    narrow: Some(inference::NARROW),
    work: Work::Whole(run),
};

/// Positive patches, and photographs with one, below which a line is uncertain.
const FEWEST: (u64, u64) = (30, 5);

/// Difference of log odds of mean score and prevalence from which a prior is called wrong: a factor of 2 in the odds.
const MOST_OFF: f64 = std::f64::consts::LN_2;

fn method(params: &Params) -> Result<CalibrationMethod, StageError> {
    Ok(match params.text("method")? {
        "prior" => CalibrationMethod::Prior,
        "temperature" => CalibrationMethod::Temperature,
        _ => CalibrationMethod::Platt,
    })
}

/// Whether the training drew other patches than it was given.
fn sampled(params: &Params) -> Result<bool, StageError> {
    Ok(params.text("sampler")? != "natural" || params.map("take").is_some())
}

/// As [`inference::foresee_device`], unless scores are given.
fn foresee_device(params: &Params, inputs: &Inputs, objects: &Objects) -> Result<Vec<Warning>, StageError> {
    if inputs.is_connected("predictions") { Ok(Vec::new()) } else { inference::foresee_device(params, inputs, objects) }
}

fn check(params: &Params, ports: &ConnectedPorts) -> Result<Vec<StageError>, StageError> {
    let weighted = params.text("positive-weights")? != "none"
        || (params.real("positive")?, params.real("negative")?) != (1.0, 1.0);
    if method(params)? != CalibrationMethod::Prior && (sampled(params)? || weighted) {
        let text = "sampling and weights of the training matter only to `method prior`";
        let hint = "remove them: `temperature` and `platt` learn the shift from the validation patches";
        return Err(StageError::input("not-of-method", text).hint(hint).field("method"));
    }
    if sampled(params)? && !ports.has("trained") {
        return Err(missing_draws());
    }
    // Given scores need no device.
    Ok(if ports.has("predictions") { Vec::new() } else { inference::doubts(params) })
}

fn run(ctx: &Ctx<'_>) -> Result<Outcome, StageError> {
    let set = PatchSet::read(ctx.inputs.one("data")?, ctx.objects)?;
    natural(&set.info)?;
    several_labels(&set.info, "scores of single classes to calibrate", "use the scores as they are")?;
    let tree = ctx.inputs.one("model")?;
    let (method, scoring) = (method(ctx.params)?, Scoring::from_params(ctx.params)?);
    let model = Classifier::read(tree, ctx.objects)?;
    model.accepts(&set)?;
    let info = model.info.clone();
    if let Some(first) = &info.calibration {
        first.fits(scoring.tta)?;
        if method == CalibrationMethod::Prior {
            let text = "the model is calibrated already, so its scores no longer show the prevalence in training";
            return Err(StageError::input("calibrated", text).hint("use `method prior` first").field("model"));
        }
    }
    let trained = (method == CalibrationMethod::Prior).then(|| trained(ctx, &info)).transpose()?;
    let (judged, target) = if let Some(made) = ctx.inputs.optional("predictions") {
        (judged(&set, Predictions::find(made, ctx.objects)?.scores(&set)?)?, None)
    } else {
        let model = model.on(inference::device(ctx.params), ctx.progress)?;
        (judged(&set, predict(&model, &set, ctx.objects, scoring, ctx.progress, ctx.stop)?)?, Some(model.target()))
    };
    let mut warnings: Vec<Warning> = info.scale_warning(set.info.scale, "patches").into_iter().collect();
    let lines = match trained {
        Some(trained) => shifts(&judged, &trained, &mut warnings),
        None => fitted(&judged, method, &mut warnings)?,
    };
    let summary = summary(&judged, &lines, method, warnings);
    let first = info.calibration.as_ref();
    let after = |(class, line): (usize, &LogOddsLine)| first.map_or(*line, |first| line.after(first.lines[class]));
    let calibration = Calibration {
        methods: first.map_or(&[][..], |first| &first.methods).iter().copied().chain([method]).collect(),
        tta: scoring.tta,
        lines: lines.iter().enumerate().map(after).collect(),
    };
    let info = ModelInfo { calibration: Some(calibration), ..info };
    let json = serde_json::to_vec_pretty(&info).map_err(|error| StageError::Bug(error.to_string()))?;
    let mut tree = tree.clone();
    tree.insert(DESCRIPTION, ctx.objects.put(&json)?);
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target })
}

fn missing_draws() -> StageError {
    let text = "`sampler` and `take` need the patches that they drew from";
    StageError::input("missing-port", text).hint("connect `trained` to the stage at `data` of `train`").field("trained")
}

/// Labels of an epoch of the training, and how much more a positive weighed than a negative, per class.
fn trained(ctx: &Ctx<'_>, info: &ModelInfo) -> Result<Vec<(Prevalence, f64)>, StageError> {
    let sampler = Sampler::from_params(ctx.params, &info.classes)?;
    let labels = match ctx.inputs.optional("trained") {
        Some(trained) => {
            let set = PatchSet::read(trained, ctx.objects)?;
            if set.info.classes != info.classes || label_counts(&set) != info.labels {
                let text = "`trained` has other labels than the patches that the model was trained on";
                let hint = "connect the stage at `data` of `train`";
                return Err(StageError::input("other-training-data", text).hint(hint).field("trained"));
            }
            drawn(&set, &sampler, &ctx.streams)
        }
        None if sampled(ctx.params)? => return Err(missing_draws()),
        None => info.labels.clone(),
    };
    let (positive, negative) = (ctx.params.real("positive")?, ctx.params.real("negative")?);
    let balanced = ctx.params.text("positive-weights")? == "balanced";
    let of = |LabelCounts { present, absent, .. }: LabelCounts| {
        let own = if balanced { absent as f64 / present as f64 } else { 1.0 };
        (Prevalence { present, absent }, positive * own / negative)
    };
    Ok(labels.into_iter().map(of).collect())
}

/// Lines of prior shifts, checked against the mean scores of the validation patches.
fn shifts(judged: &ScoredSet<'_>, trained: &[(Prevalence, f64)], warnings: &mut Vec<Warning>) -> Vec<LogOddsLine> {
    let mut lines = Vec::new();
    for (class, (name, (trained, weight))) in judged.set.info.classes.iter().zip(trained).enumerate() {
        let positives = judged.scored.known(class).filter(|row| row.1).count() as u64;
        let natural = Prevalence { present: positives, absent: judged.scored.known(class).count() as u64 - positives };
        let Some(line) = prior(*trained, *weight, natural) else {
            let text = format!("`{name}` is left as it is: the prior shift needs positive and negative patches of it");
            warnings.push(Warning { code: "not-calibrated".to_owned(), text });
            lines.push(LogOddsLine::IDENTITY);
            continue;
        };
        let fit = score_fit(&judged.scored, class, line);
        if let Some(ScoreFit { mean, prevalence, .. }) = fit
            && (log_odds(mean) - log_odds(prevalence)).abs() > MOST_OFF
        {
            let (mean, prevalence) = (metric(Some(mean)), metric(Some(prevalence)));
            let text = format!(
                "the mean score of `{name}` is still {mean} at a prevalence of {prevalence}: check `sampler`, `take` and the weights, or use `platt`"
            );
            warnings.push(Warning { code: "prior-differs".to_owned(), text });
        }
        lines.push(line);
    }
    lines
}

/// Lines fitted on the validation patches.
fn fitted(
    judged: &ScoredSet<'_>,
    method: CalibrationMethod,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<LogOddsLine>, StageError> {
    let classes = &judged.set.info.classes;
    let mut warn = |code: &str, text: String| warnings.push(Warning { code: code.to_owned(), text });
    if method == CalibrationMethod::Temperature {
        let Some(slope) = temperature(&judged.scored) else {
            let text = "no temperature fits: the scores of all validation patches are on one side of 0.5 as labelled, or no label is known";
            let hint = "calibrate on more patches";
            return Err(StageError::input("not-calibrated", text).hint(hint).field("data"));
        };
        return Ok(vec![LogOddsLine { slope, intercept: 0.0 }; classes.len()]);
    }
    let photographs = judged.positive_photographs();
    let mut lines = Vec::new();
    for (class, name) in classes.iter().enumerate() {
        let positives = judged.scored.known(class).filter(|row| row.1).count() as u64;
        let Some(line) = platt(&judged.scored, class) else {
            let text = format!("`{name}` is left as it is: its positives do not score higher, or there are none");
            warn("not-calibrated", text);
            lines.push(LogOddsLine::IDENTITY);
            continue;
        };
        if positives < FEWEST.0 || photographs[class] < FEWEST.1 {
            let patches = counted(positives, "positive patch", "positive patches");
            let photographs = counted(photographs[class], "photograph", "photographs");
            let (fewest, of) = FEWEST;
            let text = format!(
                "the calibration of `{name}` rests on only {patches} of {photographs}; {fewest} of {of} are the least"
            );
            warn("few-positives", text);
        }
        lines.push(line);
    }
    Ok(lines)
}

fn summary(
    judged: &ScoredSet<'_>,
    lines: &[LogOddsLine],
    method: CalibrationMethod,
    warnings: Vec<Warning>,
) -> Summary {
    let real = |value: Option<f64>| value.map_or(Cell::Null(()), Cell::Real);
    let (mut rows, mut briers) = (Vec::new(), Vec::new());
    for (class, (name, line)) in judged.set.info.classes.iter().zip(lines).enumerate() {
        let [before, after] = [LogOddsLine::IDENTITY, *line].map(|line| score_fit(&judged.scored, class, line));
        briers.extend(before.zip(after).map(|(before, after)| (before.brier, after.brier)));
        let both = |value: fn(&ScoreFit) -> f64| [real(before.as_ref().map(value)), real(after.as_ref().map(value))];
        let mut row = vec![Cell::Text(name.clone()), Cell::Real(line.slope), Cell::Real(line.intercept)];
        row.push(real(before.map(|fit| fit.prevalence)));
        row.extend(both(|fit| fit.mean).into_iter().chain(both(|fit| fit.brier)).chain(both(|fit| fit.log_loss)));
        rows.push(row);
    }
    let (before, after): (Vec<f64>, Vec<f64>) = briers.into_iter().unzip();
    let mean = |of: &[f64]| metric((!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64));
    let columns = [
        "class",
        "slope",
        "intercept",
        "prevalence",
        "mean score before",
        "mean score after",
        "Brier before",
        "Brier after",
        "log loss before",
        "log loss after",
    ];
    Summary {
        headline: format!(
            "{} on {} of {}: Brier score {}, before {} (mean of classes)",
            method.name(),
            counted(judged.scored.rows() as u64, "patch", "patches"),
            counted(
                judged.set.parts.iter().filter(|part| !part.rows.is_empty()).count() as u64,
                "photograph",
                "photographs"
            ),
            mean(&after),
            mean(&before),
        ),
        tables: vec![Table {
            title: "calibration, on the patches that it was fitted on".to_owned(),
            columns: columns.map(str::to_owned).to_vec(),
            rows,
        }],
        warnings,
        ..Summary::default()
    }
}
