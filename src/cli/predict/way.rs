//! The way from a photograph to what a classifier reads, from the graph: what was done to photographs before patches were cut, and how
//! whole photographs were encoded. Knows no store.

use std::collections::BTreeSet;

use super::scorer::Member;
use crate::cli::Failure;
use crate::lang::spec::{Pipeline, Reference, StageSpec};
use crate::lang::value::Value;

/// Stages between photographs and a classifier that matter for a new photograph.
pub(super) struct Way<'a> {
    /// Preprocessing stages, in order.
    pub(super) preprocess: Vec<RepeatedStage<'a>>,
    /// Stage that removes black patches, if any.
    pub(super) black: Option<&'a StageSpec>,
    /// Encodings of the whole photograph.
    pub(super) encodings: Vec<InputEncoding<'a>>,
}

/// A stage, and the output that the next one reads.
#[derive(Clone, Copy)]
pub(super) struct RepeatedStage<'a> {
    pub(super) stage: &'a StageSpec,
    pub(super) port: &'a str,
}

/// How the embedding of a photograph is computed for an input of the network.
pub(super) struct InputEncoding<'a> {
    /// Name of the input.
    pub(super) input: String,
    /// The `encode` stage.
    pub(super) encode: &'a StageSpec,
    /// Stages between the photograph and what is encoded, in order.
    pub(super) steps: Vec<RepeatedStage<'a>>,
    /// The encoder's weights.
    pub(super) weights: &'a Reference,
}

impl<'a> Way<'a> {
    /// The way to what all these classifiers read.
    ///
    /// # Errors
    /// A [`Failure`] if it cannot be repeated, or if photographs were prepared differently for two of them.
    pub(super) fn common(pipeline: &'a Pipeline, members: &'a [Member]) -> Result<Self, Failure> {
        let of =
            |member: &'a Member| way(pipeline, training(pipeline, &member.stage)?, &member.info.network.embeddings());
        let mut all: Option<(&str, Self)> = None;
        for member in members {
            let (name, own) = (member.stage.base_name.as_str(), of(member)?);
            let Some((first, common)) = &mut all else {
                all = Some((name, own));
                continue;
            };
            let different = |what: &str| not_known(format!("`{first}` and `{name}` {what}"));
            let names = |way: &Self| -> Vec<(String, String)> {
                way.preprocess.iter().map(|step| (step.stage.name.clone(), step.port.to_owned())).collect()
            };
            let black = |way: &Self| way.black.map(StageSpec::values);
            if names(common) != names(&own) || black(common) != black(&own) {
                return Err(different("were trained on photographs that were prepared differently"));
            }
            for encoding in own.encodings {
                match common.encodings.iter().find(|known| known.input == encoding.input) {
                    Some(known) if known.encode.name == encoding.encode.name => {}
                    Some(_) => {
                        return Err(different(&format!("read embeddings of two stages as `{}`", encoding.input)));
                    }
                    None => common.encodings.push(encoding),
                }
            }
        }
        let mut way = all.map(|(_, way)| way).ok_or_else(|| not_known("no classifier".to_owned()))?;
        way.encodings.sort_by(|one, other| one.input.cmp(&other.input));
        Ok(way)
    }
}

/// The stage that trained the classifier of a stage, which may only have calibrated it.
fn training<'a>(pipeline: &'a Pipeline, mut stage: &'a StageSpec) -> Result<&'a StageSpec, Failure> {
    while stage.implementation == "calibrate" {
        stage = read(pipeline, stage, "model")?.stage;
    }
    Ok(stage)
}

/// Follows the data of a training back to the source of its photographs. `inputs` are those of the network that read embeddings.
fn way<'a>(pipeline: &'a Pipeline, train: &'a StageSpec, inputs: &BTreeSet<String>) -> Result<Way<'a>, Failure> {
    let (mut preprocess, mut black, mut joins) = (Vec::new(), None, Vec::new());
    let mut step = read(pipeline, train, "data")?;
    let source = loop {
        let stage = step.stage;
        let mut port = "from";
        match stage.implementation.as_str() {
            // White patches are scored like others.
            "augment" | "split" | "rebalance" | "relabel" | "extract" | "filter-white" => {}
            "filter-black" => black = Some(stage),
            "preprocess" => preprocess.insert(0, step),
            "join" => {
                joins.push(stage);
                port = "patches";
            }
            _ if stage.inputs.is_empty() => break stage,
            _ => return Err(not_repeatable(train, stage)),
        }
        step = read(pipeline, stage, port)?;
    };
    if source.value("regions.size").is_some_and(|size| *size != Value::None) {
        let text = format!("`{}` reads slides in regions, and `predict` reads whole files", source.base_name);
        return Err(not_known(text).hint("list the slide in the source, and use a `predict` or `heat-map` stage"));
    }
    let mut encodings: Vec<InputEncoding> = Vec::new();
    for join in joins {
        let Some(Value::Text(input)) = join.value("as") else { continue };
        // Of two joins under one name, the later one counts: it comes first here.
        if inputs.contains(input) && encodings.iter().all(|encoding| encoding.input != *input) {
            encodings.push(encoding(pipeline, train, join, input, source)?);
        }
    }
    encodings.sort_by(|one, other| one.input.cmp(&other.input));
    Ok(Way { preprocess, black, encodings })
}

/// Follows the embeddings that `join` gives as `input` back to photographs of `source`.
fn encoding<'a>(
    pipeline: &'a Pipeline,
    train: &StageSpec,
    join: &'a StageSpec,
    input: &str,
    source: &StageSpec,
) -> Result<InputEncoding<'a>, Failure> {
    let encode = read(pipeline, join, "embeddings")?.stage;
    if encode.implementation != "encode" {
        return Err(not_repeatable(train, encode));
    }
    let mut steps = Vec::new();
    let mut step = read(pipeline, encode, "from")?;
    loop {
        let stage = step.stage;
        let mut port = "from";
        match stage.implementation.as_str() {
            "preprocess" | "extract" | "filter-black" | "filter-white" => steps.insert(0, step),
            // These keep the patches of a photograph as they are.
            "split" => {}
            "relabel" if !drops_by_labels(stage) => {}
            "join" => port = "patches",
            _ if stage.name == source.name => break,
            _ if stage.inputs.is_empty() => {
                let text = format!(
                    "`{}` encodes photographs of `{}`, but the patches of `{}` are cut from those of `{}`",
                    encode.base_name, stage.base_name, train.base_name, source.base_name
                );
                return Err(not_known(text));
            }
            _ => return Err(not_repeatable(train, stage)),
        }
        step = read(pipeline, stage, port)?;
    }
    let weights = reference(encode, "init")?;
    Ok(InputEncoding { input: input.to_owned(), encode, steps, weights })
}

/// Whether a `relabel` stage drops patches, by labels that new photographs do not have.
fn drops_by_labels(relabel: &StageSpec) -> bool {
    matches!(relabel.value("less"), Some(Value::Text(less)) if less == "drop")
}

/// The only output that a port reads.
fn reference<'a>(stage: &'a StageSpec, port: &str) -> Result<&'a Reference, Failure> {
    let given = stage.inputs.iter().find(|input| input.port == port).map_or(&[][..], |input| &input.from);
    let [reference] = given else {
        return Err(not_known(format!("`{}` reads {} stages at `{port}`; expected one", stage.base_name, given.len())));
    };
    Ok(reference)
}

/// The only stage that a port reads.
fn read<'a>(pipeline: &'a Pipeline, stage: &'a StageSpec, port: &str) -> Result<RepeatedStage<'a>, Failure> {
    let reference = reference(stage, port)?;
    let found = pipeline.stages.iter().find(|other| other.name == reference.stage);
    let unknown = || not_known(format!("`{}` reads the unknown stage `{}`", stage.base_name, reference.stage));
    Ok(RepeatedStage { stage: found.ok_or_else(unknown)?, port: &reference.port })
}

fn not_repeatable(train: &StageSpec, stage: &StageSpec) -> Failure {
    not_known(format!(
        "`{}`: cannot reproduce `{} {}` on new photographs",
        train.base_name, stage.stage_type, stage.base_name
    ))
}

fn not_known(text: String) -> Failure {
    Failure::user(text).hint(
        "put the new photographs into the pipeline as a source (`folder`), and give them to `heat-map` or `predict` after the same changes",
    )
}
