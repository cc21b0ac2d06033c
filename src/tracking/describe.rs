//! What dashboards show of a stage besides its metrics: its parameters and those of the stages it rests on, and which point of a
//! sweep it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Digest;
use crate::lang::spec::{Pipeline, StageSpec, Sweep};
use crate::lang::value::Value;

/// Points of a sweep: the sweep, and for each point the names of its stages in the merged pipeline.
pub type SweepPoints<'a> = (&'a Sweep, &'a [BTreeMap<String, String>]);

/// A stage as dashboards show it.
#[derive(Clone, Debug)]
pub struct TrackedStage {
    /// Its name: `classifier@lr=1e-4`.
    pub name: String,
    /// Its type: `train`.
    pub stage_type: String,
    /// The pipeline.
    pub pipeline: String,
    /// The key of its result, which identifies its record: a stage with other settings or data gets another one.
    pub key: Digest,
    /// The run that computes it, or computed it.
    pub run: String,
    /// Its parameters and those of the stages that it rests on: `classifier.epochs`.
    pub params: BTreeMap<String, ParamText>,
    /// The parameters by which it is compared: what its sweep varies, or else its own and those of its model.
    pub varied: BTreeMap<String, ParamText>,
    /// The point of the sweep that it belongs to: `lr=1e-4,seed=8`.
    pub point: Option<String>,
}

impl TrackedStage {
    /// Digest that identifies its record among those of all pipelines.
    pub(crate) fn identity(&self) -> Digest {
        let mut hasher = crate::base::Hasher::new("macula tracked stage 1");
        hasher.text(&self.pipeline).text(&self.name).digest(&self.key);
        hasher.finish()
    }
}

/// Value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum ParamText {
    /// A number.
    Number(f64, String),
    /// A truth value.
    Bool(bool),
    /// Anything else.
    Text(String),
}

impl ParamText {
    /// The value as text, numbers as they are written in KDL.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Number(_, text) | Self::Text(text) => text.clone(),
            Self::Bool(value) => value.to_string(),
        }
    }

    /// A value as it is written in a sweep.
    fn written(text: &str) -> Self {
        match (text, text.parse::<f64>()) {
            ("#true", _) => Self::Bool(true),
            ("#false", _) => Self::Bool(false),
            (_, Ok(number)) if number.is_finite() => Self::Number(number, text.to_owned()),
            _ => Self::Text(text.to_owned()),
        }
    }

    fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::None => return None,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(number) => Self::Number(*number as f64, value.to_string()),
            Value::Real(number) if number.is_finite() => Self::Number(*number, value.to_string()),
            other => Self::Text(other.to_string()),
        })
    }
}

/// Describes the stages of a pipeline.
pub(super) struct Describer<'a> {
    pipeline: &'a Pipeline,
    stages: BTreeMap<&'a str, &'a StageSpec>,
    sweep: Option<SweepPoints<'a>>,
}

impl<'a> Describer<'a> {
    pub(super) fn new(pipeline: &'a Pipeline, sweep: Option<SweepPoints<'a>>) -> Self {
        let stages = pipeline.stages.iter().map(|stage| (stage.name.as_str(), stage)).collect();
        Self { pipeline, stages, sweep }
    }

    /// The description of a stage with this key; [`None`] if the pipeline has no such stage.
    pub(super) fn describe(&self, name: &str, key: Digest, run: &str) -> Option<TrackedStage> {
        let stage = *self.stages.get(name)?;
        let rests_on = self.rests_on(stage);
        let mut params: BTreeMap<String, ParamText> = rests_on.iter().flat_map(|stage| params(stage)).collect();
        params.insert("seed".to_owned(), ParamText::Number(stage.seed as f64, stage.seed.to_string()));
        let trains = |stage: &StageSpec| stage.outputs.iter().any(|output| output.ty == "model");
        let (varied, point) = if let Some(values) = self.values(name) {
            let words: Vec<String> = values.iter().map(|(_, short, value)| format!("{short}={value}")).collect();
            let varied = values.iter().map(|(path, _, value)| (path.clone(), ParamText::written(value)));
            (varied.collect(), (!words.is_empty()).then(|| words.join(",")))
        } else {
            let compared = rests_on.iter().filter(|other| other.name == name || trains(other));
            (compared.flat_map(|stage| self::params(stage)).collect(), None)
        };
        Some(TrackedStage {
            name: name.to_owned(),
            stage_type: stage.stage_type.clone(),
            pipeline: self.pipeline.name.clone(),
            key,
            run: run.to_owned(),
            params,
            varied,
            point,
        })
    }

    /// The stage and all that it depends on.
    fn rests_on(&self, stage: &'a StageSpec) -> Vec<&'a StageSpec> {
        let mut seen = BTreeSet::from([stage.name.as_str()]);
        let mut all = vec![stage];
        let mut at = 0;
        while let Some(stage) = all.get(at).copied() {
            for reference in stage.inputs.iter().flat_map(|input| &input.from) {
                if let Some(other) = self.stages.get(reference.stage.as_str()).filter(|_| seen.insert(&reference.stage))
                {
                    all.push(*other);
                }
            }
            at += 1;
        }
        all
    }

    /// In a sweep, the values that all points with this stage have: path, short name, value.
    fn values(&self, name: &str) -> Option<Vec<(String, String, String)>> {
        let (sweep, places) = self.sweep?;
        let points: Vec<_> = sweep
            .points
            .iter()
            .zip(places)
            .filter(|(_, stages)| stages.values().any(|stage| stage == name))
            .map(|(point, _)| &point.at)
            .collect();
        let first = points.first()?;
        let axes = sweep.axes.iter().enumerate().filter(|(axis, _)| points.iter().all(|at| at[*axis] == first[*axis]));
        Some(axes.map(|(at, axis)| (axis.path.clone(), axis.name.clone(), axis.values[first[at]].clone())).collect())
    }
}

fn params(stage: &StageSpec) -> impl Iterator<Item = (String, ParamText)> {
    let name = &stage.base_name;
    stage.params.iter().filter_map(move |(param, set)| Some((format!("{name}.{param}"), ParamText::of(&set.value)?)))
}
