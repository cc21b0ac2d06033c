//! What the language hands on: pipelines as lists of stages, every value checked and every default filled in; and sweeps.

use std::collections::{BTreeMap, BTreeSet};

use super::network::NetworkSpec;
use super::param_role::ParamRole;
use super::signature::{Better, Param, Signature};
use super::value::Value;
use crate::base::Span;

/// A checked pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// Its `doc`, where it has one.
    pub doc: Option<String>,
    /// Its stages, in the order of the file (any order is allowed there).
    pub stages: Vec<StageSpec>,
    /// The stages with bodies that it uses, in no longer any stage but in what they stand for.
    pub instances: Vec<Instance>,
    /// Where it stands.
    pub span: Span,
}

/// What the top level of a file holds that can be run.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Its pipelines, in order.
    pub pipelines: Vec<Pipeline>,
    /// Its sweeps, in order.
    pub sweeps: Vec<Sweep>,
}

/// A pipeline with several values of some of its parameters.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Its name.
    pub name: String,
    /// Its `doc`, if it has one.
    pub doc: Option<String>,
    /// The pipeline itself, without the sweep.
    pub base: Pipeline,
    /// Its axes, in order; repeats come last, with the seeds as values.
    pub axes: Vec<Axis>,
    /// Its points; the first axis varies slowest, except that repeats vary even more slowly. Empty if only the values were
    /// checked ([`Points::OneByOne`]).
    pub points: Vec<Point>,
    /// Number of points.
    pub count: usize,
    /// The metric by which points are ranked.
    pub rank: Option<Rank>,
    /// Position of its name.
    pub span: Span,
}

impl Sweep {
    /// The values of a point, for people: `lr 1e-4, seed 8`.
    #[must_use]
    pub fn words(&self, point: &Point) -> String {
        let values = self.axes.iter().zip(&point.at);
        values.map(|(axis, at)| format!("{} {}", axis.name, axis.values[*at])).collect::<Vec<_>>().join(", ")
    }
}

/// An axis of a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The parameter that is set: `classifier.optimizer.lr`, `size`, or `seed`.
    pub path: String,
    /// The shortest suffix of the path that no other axis has: `lr`.
    pub name: String,
    /// Its values as written.
    pub values: Vec<String>,
    /// Whether it repeats the experiment with other seeds instead of changing it.
    pub repeats: bool,
}

/// One point of a sweep.
#[derive(Clone, Debug)]
pub struct Point {
    /// For each axis, the index of its value.
    pub at: Vec<usize>,
    /// The pipeline with these values.
    pub pipeline: Pipeline,
}

/// The metric by which points are ranked: `scores.mean-average-precision`, or for one class `scores.average-precision.MA`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// The stage.
    pub stage: String,
    /// The metric, of all classes or with a class after a dot.
    pub metric: String,
    /// Which of two values is better.
    pub better: Better,
}

/// Which points of sweeps are generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Points<'a> {
    /// None: each value is checked alone, with the pipeline's own other values. For editors.
    OneByOne,
    /// All points.
    All,
    /// All points of the sweep with this name; only the values of others are checked.
    Of(&'a str),
}

impl Points<'_> {
    /// Whether the points of a sweep are generated.
    #[must_use]
    pub fn made_of(self, sweep: &str) -> bool {
        match self {
            Self::OneByOne => false,
            Self::All => true,
            Self::Of(name) => name == sweep,
        }
    }
}

/// One stage of a pipeline.
#[derive(Clone, Debug)]
pub struct StageSpec {
    /// The stage's name; dotted within templates. If the points of a sweep share one graph, with the points it belongs to:
    /// `classifier@lr=1e-4`.
    pub name: String,
    /// Its name in its own pipeline: `classifier`.
    pub base_name: String,
    /// The seed that it draws from: the pipeline's, except for repeats in a sweep.
    pub seed: u64,
    /// The signature it is an instance of (`extract`).
    pub stage_type: String,
    /// The name of the Rust implementation, from the signature's `impl`.
    pub implementation: String,
    /// The references of each input port, in the signature's order of ports. Unconnected ports are absent.
    pub inputs: Vec<Input>,
    /// Every parameter by its dotted name (`size`, `loss`, `loss.gamma`), defaults filled in. A choice holds its case as text,
    /// and only the parameters of that case are present.
    pub params: BTreeMap<String, ParamValue>,
    /// Marks of its inputs (`test`, `resampled`).
    pub marks: BTreeSet<String>,
    /// Output ports in the signature's order. The unnamed port of a stage with one output is `out`.
    pub outputs: Vec<Output>,
    /// The stage's name in its declaration.
    pub span: Span,
}

/// The value of one parameter of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamValue {
    /// The value.
    pub value: Value,
    /// Whether it is part of the key: not if the signature says so (`keyed=#false`), nor if the parameter was added later
    /// (`since=`) and has its default.
    pub keyed: bool,
    /// Its position, if the user set it (in the file or in a `--set`); [`None`] for a default.
    pub span: Option<Span>,
}

impl From<Value> for ParamValue {
    /// A value that is part of the key and set by no text.
    fn from(value: Value) -> Self {
        Self { value, keyed: true, span: None }
    }
}

impl StageSpec {
    /// The value of a parameter by its dotted name. [`None`] if the stage has no such parameter.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.params.get(name).map(|param| &param.value)
    }

    /// The network that it trains, or encodes with.
    #[must_use]
    pub fn network(&self) -> Option<&NetworkSpec> {
        self.params.values().find_map(|param| match &param.value {
            Value::Network(network) => Some(&**network),
            _ => None,
        })
    }

    /// The values of all parameters, by dotted name.
    #[must_use]
    pub fn values(&self) -> BTreeMap<String, Value> {
        self.params.iter().map(|(name, param)| (name.clone(), param.value.clone())).collect()
    }

    /// The parameters that are part of the key, with their values.
    pub fn keyed(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.params.iter().filter(|(_, param)| param.keyed).map(|(name, param)| (name, &param.value))
    }

    /// The parameter that makes it a diagnosis, an evaluation of patches that the model may have seen on purpose; `signature` is its own.
    /// [`None`] if it is none.
    #[must_use]
    pub fn diagnosis<'a>(&self, signature: &'a Signature) -> Option<&'a Param> {
        let is_set = |param: &&Param| self.value(&param.name) == Some(&Value::Bool(true));
        signature.params.iter().filter(|param| param.role == ParamRole::Diagnoses).find(is_set)
    }

    /// Position of a parameter (dotted) or an input port, or of the parameter that contains it; otherwise of the stage.
    #[must_use]
    pub fn place(&self, field: Option<&str>) -> Span {
        let mut field = field;
        while let Some(name) = field {
            let given = || self.inputs.iter().find(|input| input.port == name).map(|input| input.span);
            if let Some(span) = self.params.get(name).and_then(|param| param.span).or_else(given) {
                return span;
            }
            field = name.rsplit_once('.').map(|(outer, _)| outer);
        }
        self.span
    }
}

/// A use of a template, a `repeat`, or a copy of one: its stages are among the pipeline's, named `NAME.STAGE`.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its dotted name.
    pub name: String,
    /// The stage type that it is an instance of.
    pub stage_type: String,
    /// Its outputs and the stages that provide them; of a `repeat`, its stages.
    pub outputs: Vec<(String, Reference)>,
    /// The output that its name alone refers to.
    pub main: Option<String>,
    /// Its name where it is used.
    pub span: Span,
}

/// The name of a stage in its own pipeline, from its name in a sweep: `classifier` for `classifier@lr=1e-4`.
#[must_use]
pub fn base_name(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

impl Pipeline {
    /// The output that `name` refers to: `folds.train`, or `patches.train` if `patches` is a template use. [`None`] for a
    /// stage, an unknown name, or one that stands for the copies of a `repeat`.
    #[must_use]
    pub fn outlet(&self, name: &str) -> Option<&Reference> {
        match self.outlets(name).as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// As [`Pipeline::outlet`]; several for a name that stands for the copies of a `repeat`.
    #[must_use]
    pub fn outlets(&self, name: &str) -> Vec<&Reference> {
        let of = |instance: &str| self.instances.iter().find(|one| one.name == instance);
        let found = match of(name) {
            Some(instance) => instance.main.as_deref().map(|port| (instance, port)),
            None => name.rsplit_once('.').and_then(|(instance, port)| Some((of(instance)?, port))),
        };
        let Some((instance, port)) = found else { return Vec::new() };
        instance.outputs.iter().filter(|(own, _)| own == port).map(|(_, reference)| reference).collect()
    }
}

/// The input of one port.
#[derive(Clone, Debug)]
pub struct Input {
    /// The port.
    pub port: String,
    /// One reference, or several for a port with `many`.
    pub from: Vec<Reference>,
    /// Its position.
    pub span: Span,
}

/// One output of another stage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The stage's name.
    pub stage: String,
    /// Its output port.
    pub port: String,
}

/// One output port of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name; `out` for an unnamed one.
    pub port: String,
    /// Its type's name (`patches`, `model`, …).
    pub ty: String,
}
