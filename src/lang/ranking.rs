//! Metrics of stages by name: `scores.mean-average-precision`, `scores.average-precision.MA`.

use super::classes;
use super::near;
use super::param_type::Refusal;
use super::signature::{Better, Metric};
use super::signatures;
use super::spec::{Pipeline, Rank, StageSpec};
use super::stdlib::stdlib;

/// The metrics of a stage type.
#[must_use]
pub fn of(kind: &str) -> &'static [Metric] {
    stdlib().signatures.iter().find(|signature| signature.name == kind).map_or(&[], |signature| &signature.metrics)
}

/// The stages of a pipeline with metrics to rank by, in the order of the file: no diagnosis.
pub fn stages(pipeline: &Pipeline) -> impl Iterator<Item = &StageSpec> {
    pipeline.stages.iter().filter(|stage| !of(&stage.stage_type).is_empty() && !is_diagnosis(stage))
}

/// Whether a stage evaluates patches that the model may have seen.
fn is_diagnosis(stage: &StageSpec) -> bool {
    let signature = signatures().iter().find(|signature| signature.name == stage.stage_type);
    signature.is_some_and(|signature| stage.diagnosis(signature).is_some())
}

/// Whether a stage, or one whose metrics it aggregates, reads test patches.
#[must_use]
pub fn sees_test(pipeline: &Pipeline, name: &str) -> bool {
    let find = |name: &str| pipeline.stages.iter().find(|stage| stage.base_name == name);
    let Some(stage) = find(name) else { return false };
    let from = stage.inputs.iter().flat_map(|input| &input.from).filter_map(|reference| find(&reference.stage));
    let gives_metrics = |stage: &&StageSpec| !of(&stage.stage_type).is_empty() && stage.stage_type != "train";
    std::iter::once(stage).chain(from.filter(gives_metrics)).any(|stage| stage.marks.contains("test"))
}

/// The stage (or template output) and the metric that `by` names.
///
/// # Errors
/// A [`Refusal`] if the stage or the metric does not exist.
pub fn find(pipeline: &Pipeline, by: &str) -> Result<Rank, Refusal> {
    let example = "name a stage and a metric: `scores.mean-average-precision`";
    let stage = |name: &str| {
        let name = pipeline.outlet(name).map_or(name, |reference| &reference.stage);
        pipeline.stages.iter().find(|stage| stage.base_name == name)
    };
    let found = by.rmatch_indices('.').find_map(|(at, _)| Some((stage(&by[..at])?, &by[at + 1..])));
    let Some((stage, wanted)) = found else {
        let first = by.split('.').next().unwrap_or_default();
        let hint = match stage(by) {
            Some(stage) => match of(&stage.stage_type).first() {
                Some(metric) => format!("add one of its metrics: `{by}.{}`", metric.name),
                None => stages(pipeline)
                    .next()
                    .map_or(example.to_owned(), |other| format!("`{}` has metrics", other.base_name)),
            },
            None => near::hint(first, stages(pipeline).map(|stage| stage.base_name.as_str()), example),
        };
        let text = match stage(by) {
            Some(_) => format!("`{by}` is a stage, not a metric"),
            None => format!("unknown stage `{first}`"),
        };
        return Err(Refusal { code: "unknown-figure", text, hint });
    };
    if is_diagnosis(stage) {
        let text = format!("`{}` is a diagnosis, which is not ranked", stage.base_name);
        let hint = "rank by an evaluation of patches that the models have not seen".to_owned();
        return Err(Refusal { code: "unknown-figure", text, hint });
    }
    let metrics = of(&stage.stage_type);
    let (name, class) = wanted.split_once('.').map_or((wanted, None), |(name, class)| (name, Some(class.to_owned())));
    let text = format!("`{}` has no metric `{wanted}`", stage.base_name);
    let Some(metric) = metrics.iter().find(|metric| metric.name == name) else {
        let hint = if metrics.is_empty() {
            let names: Vec<&str> = stages(pipeline).map(|stage| stage.base_name.as_str()).collect();
            if names.is_empty() {
                "no stage of this pipeline has metrics".to_owned()
            } else {
                near::names(names) + " have metrics"
            }
        } else {
            near::hint(name, metrics.iter().map(|metric| metric.name.as_str()), "")
        };
        return Err(Refusal { code: "unknown-figure", text, hint });
    };
    match (metric.per_class, &class) {
        (false, Some(class)) => {
            let hint = format!("`{name}` is over all classes: remove `.{class}`");
            Err(Refusal { code: "unknown-figure", text, hint })
        }
        (true, None) => {
            let hint = format!("`{name}` is per class: write e.g. `{by}.MA`");
            Err(Refusal { code: "unknown-figure", text, hint })
        }
        (true, Some(class))
            if let Some(known) = known_classes(pipeline, stage).filter(|known| !known.contains(class)) =>
        {
            let text = format!("the data of `{}` have no class `{class}`", stage.base_name);
            Err(Refusal { code: "unknown-class", text, hint: classes::hint(class, &known) })
        }
        _ => Ok(Rank { stage: stage.base_name.clone(), metric: wanted.to_owned(), better: metric.better }),
    }
}

/// Classes of the data that a stage reads, if their source states them.
fn known_classes(pipeline: &Pipeline, stage: &StageSpec) -> Option<Vec<String>> {
    let find = |name: &str| {
        let stage = pipeline.stages.iter().find(|stage| stage.name == name)?;
        Some((stage, stdlib().signatures.iter().find(|signature| signature.name == stage.stage_type)?))
    };
    classes::classes(stage.inputs.first()?.from.first()?, find)
}

/// The rank of a metric among all, by its name without stage: signatures list them by importance.
#[must_use]
pub fn place(metric: &str) -> usize {
    let name = metric.split('.').next().unwrap_or(metric);
    stdlib()
        .signatures
        .iter()
        .flat_map(|signature| &signature.metrics)
        .position(|known| known.name == name)
        .unwrap_or(usize::MAX)
}

/// Which of two values of a metric is better, by its name without stage.
#[must_use]
pub fn better(metric: &str) -> Better {
    let name = metric.split('.').next().unwrap_or(metric);
    let known = stdlib().signatures.iter().flat_map(|signature| &signature.metrics).find(|known| known.name == name);
    known.map_or(Better::Higher, |known| known.better)
}
