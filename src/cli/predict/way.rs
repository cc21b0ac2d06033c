//! Preprocessing of a classifier's patches, from the graph: what was done to photographs before they were cut. Knows no store.

use crate::cli::Failure;
use crate::lang::spec::{Pipeline, StageSpec};

/// Stages between photographs and a classifier's patches that matter for a new photograph.
pub(super) struct Way<'a> {
    /// Preprocessing stages, in order.
    pub(super) preprocess: Vec<&'a StageSpec>,
    /// Stage that removes black patches, if any.
    pub(super) black: Option<&'a StageSpec>,
}

/// Follows the data of a training back to the source of its photographs.
pub(super) fn way<'a>(pipeline: &'a Pipeline, train: &'a StageSpec) -> Result<Way<'a>, Failure> {
    let mut way = Way { preprocess: Vec::new(), black: None };
    let mut at = read(pipeline, train, "data")?;
    loop {
        match at.implementation.as_str() {
            "augment" | "split" | "rebalance" | "relabel" | "extract" => {}
            "filter-black" => way.black = Some(at),
            "preprocess" => way.preprocess.insert(0, at),
            _ if at.inputs.is_empty() => return Ok(way),
            _ => {
                let text = format!(
                    "`{}`: cannot reproduce `{} {}` on new photographs",
                    train.base_name, at.stage_type, at.base_name
                );
                return Err(untold(text));
            }
        }
        at = read(pipeline, at, "from")?;
    }
}

/// The only stage that a port reads.
fn read<'a>(pipeline: &'a Pipeline, stage: &StageSpec, port: &str) -> Result<&'a StageSpec, Failure> {
    let given = stage.inputs.iter().find(|input| input.port == port).map_or(&[][..], |input| &input.from);
    let [reference] = given else {
        return Err(untold(format!("`{}` reads {} stages at `{port}`; expected one", stage.base_name, given.len())));
    };
    let found = pipeline.stages.iter().find(|other| other.name == reference.stage);
    found.ok_or_else(|| untold(format!("`{}` reads the unknown stage `{}`", stage.base_name, reference.stage)))
}

fn untold(text: String) -> Failure {
    Failure::user(text).hint(
        "put the new photographs into the pipeline as a source (`folder`), and give them to `heat-map` or `predict` after the same changes",
    )
}
