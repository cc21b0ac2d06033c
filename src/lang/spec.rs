//! What the language hands on: pipelines as lists of stages, every value checked and every default filled in; and sweeps.

use std::collections::{BTreeMap, BTreeSet};

use super::signature::Better;
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
    /// Its `doc`, where it has one.
    pub doc: Option<String>,
    /// The pipeline as it stands, without the sweep.
    pub base: Pipeline,
    /// What is varied, in order; repeats are the last, their values the seeds.
    pub axes: Vec<Axis>,
    /// Its points, the first axis the slowest but for repeats, which are slower still. Empty where only the values were
    /// checked ([`Points::OneByOne`]).
    pub points: Vec<Point>,
    /// How many points there are.
    pub count: usize,
    /// By which figure points are ranked.
    pub rank: Option<Rank>,
    /// Where it stands.
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

/// One of the things that a sweep varies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// What is set: `classifier.optimizer.lr`, `size`, or `seed`.
    pub path: String,
    /// The shortest end of the path that no other axis has: `lr`.
    pub name: String,
    /// Its values as they were written.
    pub values: Vec<String>,
    /// Whether it repeats the experiment rather than change it.
    pub repeats: bool,
}

/// A pipeline of a sweep.
#[derive(Clone, Debug)]
pub struct Point {
    /// For each axis, which of its values.
    pub at: Vec<usize>,
    /// The pipeline with these values.
    pub pipeline: Pipeline,
}

/// By which figure points are ranked: `scores.mean-average-precision`, or of one class `scores.average-precision.MA`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rank {
    /// The stage.
    pub stage: String,
    /// The figure, of all classes or with a class behind a dot.
    pub figure: String,
    /// Which of two values is better.
    pub better: Better,
}

/// How far the points of sweeps are worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Points<'a> {
    /// Each value is checked alone, beside the pipeline's own; no points are made. For an editor.
    OneByOne,
    /// Every point is made and checked.
    All,
    /// Every point of the sweep of this name; the values of others.
    Of(&'a str),
}

impl Points<'_> {
    /// Whether the points of a sweep are made.
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
    /// The stage's name; dotted within templates. Where the points of a sweep are one graph, it also says of which points:
    /// `classifier@lr=1e-4`.
    pub name: String,
    /// Its name in its own pipeline: `classifier`.
    pub own: String,
    /// The seed that it draws from: the pipeline's, but for repeats in a sweep.
    pub seed: u64,
    /// The signature it is an instance of (`extract`).
    pub kind: String,
    /// The name of the Rust implementation, from the signature's `impl`.
    pub implementation: String,
    /// The references given to each input port, in the signature's order of ports. Ports not given are absent.
    pub inputs: Vec<Input>,
    /// Every parameter by its dotted name (`size`, `loss`, `loss.gamma`), defaults filled in. A choice holds its case as text,
    /// and only the parameters of that case are present.
    pub params: BTreeMap<String, Value>,
    /// Parameters whose signature says `since=` and whose value is that default: left out of the key.
    pub unkeyed: Vec<String>,
    /// Marks of what its inputs are given (`test`, `resampled`).
    pub marks: BTreeSet<String>,
    /// Where each parameter that the user wrote stands (in the file or in a `--set`); defaults are absent.
    pub spans: BTreeMap<String, Span>,
    /// Output ports in the signature's order. The unnamed port of a stage with one output is `out`.
    pub outputs: Vec<Output>,
    /// The stage's name where it is declared.
    pub span: Span,
}

impl StageSpec {
    /// Where a parameter, dotted, or an input port was written, or that which holds it; else the stage.
    #[must_use]
    pub fn place(&self, field: Option<&str>) -> Span {
        let mut field = field;
        while let Some(name) = field {
            let given = || self.inputs.iter().find(|input| input.port == name).map(|input| input.span);
            if let Some(span) = self.spans.get(name).copied().or_else(given) {
                return span;
            }
            field = name.rsplit_once('.').map(|(outer, _)| outer);
        }
        self.span
    }
}

/// A stage with a body where it is used: its stages are among the pipeline's, named `NAME.STAGE`.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its dotted name.
    pub name: String,
    /// The stage that it is an instance of.
    pub kind: String,
    /// Its outputs and the stages that give them.
    pub outputs: Vec<(String, Reference)>,
    /// The output that its name alone means.
    pub main: Option<String>,
    /// Its name where it is used.
    pub span: Span,
}

/// The name of a stage in its own pipeline, of its name in a sweep: `classifier` of `classifier@lr=1e-4`.
#[must_use]
pub fn own(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

impl Pipeline {
    /// The output that `name` means: `folds.train`, or `patches.train` where `patches` is a stage with a body. [`None`] where it
    /// is a stage, or nothing of the pipeline's.
    #[must_use]
    pub fn outlet(&self, name: &str) -> Option<&Reference> {
        let of = |instance: &str| self.instances.iter().find(|one| one.name == instance);
        let (instance, port) = match of(name) {
            Some(instance) => (instance, instance.main.as_deref()?),
            None => name.rsplit_once('.').and_then(|(instance, port)| Some((of(instance)?, port)))?,
        };
        instance.outputs.iter().find(|(own, _)| own == port).map(|(_, reference)| reference)
    }
}

/// What one input port is given.
#[derive(Clone, Debug)]
pub struct Input {
    /// The port.
    pub port: String,
    /// One reference, or several for a port that says `many`.
    pub from: Vec<Reference>,
    /// Where it is given.
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
