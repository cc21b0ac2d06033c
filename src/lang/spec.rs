//! What the language hands on: a pipeline as a list of stages, every value checked and every default filled in.

use std::collections::BTreeMap;

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

/// One stage of a pipeline.
#[derive(Clone, Debug)]
pub struct StageSpec {
    /// The stage's own name; dotted within templates.
    pub name: String,
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
    /// Where each parameter that the user wrote stands (in the file or in a `--set`); defaults are absent.
    pub spans: BTreeMap<String, Span>,
    /// Output ports in the signature's order. The unnamed port of a stage with one output is `out`.
    pub outputs: Vec<Output>,
    /// The stage's name where it is declared.
    pub span: Span,
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
