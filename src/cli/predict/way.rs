//! How a classifier's patches came to be, read from the graph: what was done to photographs before they were cut. Knows no store.

use crate::cli::Failure;
use crate::lang::spec::{Pipeline, StageSpec};

/// The stages that lead from photographs to a classifier's patches, as far as they concern a new photograph.
pub(super) struct Way<'a> {
    /// What changes photographs, in its order.
    pub(super) preprocess: Vec<&'a StageSpec>,
    /// What leaves black patches out, where something does.
    pub(super) black: Option<&'a StageSpec>,
}

/// Walks from the data of a stage that trains back to the source of its photographs.
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
                    "`{}` is made by way of `{} {}`, and what that does to a new photograph can't be told",
                    train.own, at.kind, at.own
                );
                return Err(untold(text));
            }
        }
        at = read(pipeline, at, "from")?;
    }
}

/// The one stage that a port reads.
fn read<'a>(pipeline: &'a Pipeline, stage: &StageSpec, port: &str) -> Result<&'a StageSpec, Failure> {
    let given = stage.inputs.iter().find(|input| input.port == port).map_or(&[][..], |input| &input.from);
    let [reference] = given else {
        return Err(untold(format!("`{}` reads {} stages at `{port}`, not one", stage.own, given.len())));
    };
    let found = pipeline.stages.iter().find(|other| other.name == reference.stage);
    found.ok_or_else(|| untold(format!("`{}` reads `{}`, which is no stage", stage.own, reference.stage)))
}

fn untold(text: String) -> Failure {
    Failure::user(text).hint(
        "put the new photographs into the pipeline as a source (`folder`), and give them to `heat-map` or `predict` after the same changes",
    )
}
