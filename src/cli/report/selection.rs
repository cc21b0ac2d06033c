//! Which outputs are on a page: those that the pipeline's own `report` shows, or else all that have something to show.

use super::ReportedStage;
use crate::cli::Failure;
use crate::data::table::Columns;
use crate::lang::without_numbers;
use crate::report::run::LearningCurve;
use crate::stage::{Named, StageError};
use crate::store::{Objects, Tree};

/// What a page shows.
pub(super) struct Selection {
    /// Title of the pipeline's report.
    pub(super) title: Option<String>,
    /// Outputs, in order.
    pub(super) given: Vec<Named>,
    /// Patch sets for pictures of evaluated patches.
    pub(super) pictured: Vec<Tree>,
    /// Learning curves, if there are several models.
    pub(super) curves: Vec<LearningCurve>,
}

/// Types of outputs that a page shows if the pipeline has no report, in order.
const SHOWN: [&str; 10] =
    ["photographs", "lesions", "patches", "model", "thresholds", "spread", "scores", "maps", "analysis", "predictions"];

/// Chooses what a page of these stages shows.
///
/// # Errors
/// A [`Failure`] if nothing has a result, or the store's.
pub(super) fn choose(stages: &[ReportedStage], objects: &Objects) -> Result<Selection, Failure> {
    let find = |name: &str| stages.iter().find(|stage| stage.name == name);
    let reports: Vec<&ReportedStage> = stages.iter().filter(|stage| stage.kind == "report").collect();
    let mut wanted: Vec<(&ReportedStage, &str)> = Vec::new();
    for (port, from, output) in reports.iter().flat_map(|stage| &stage.inputs) {
        if let Some(stage) = find(from).filter(|_| port == "of")
            && !wanted.iter().any(|(other, port)| other.name == stage.name && *port == output.as_str())
        {
            wanted.push((stage, output));
        }
    }
    if wanted.iter().all(|(stage, port)| stage.tree(port).is_none()) {
        wanted = usual(stages);
    }
    let named = |(stage, port): &(&ReportedStage, &str)| {
        let tree = stage.tree(port)?.clone();
        let name = if stage.outputs.len() > 1 { format!("{}.{port}", stage.name) } else { stage.name.clone() };
        Some(Named { stage: stage.name.clone(), name, tree, summary: stage.summary.clone() })
    };
    let given: Vec<Named> = wanted.iter().filter_map(named).collect();
    if given.is_empty() {
        return Err(
            Failure::user("nothing to report yet: no stage has a result in the store").hint("run `macula run` first")
        );
    }
    // The patches of each evaluation have its pictures, even if the page does not show them.
    let is_evaluation = |stage: &&ReportedStage| stage.outputs.iter().any(|(output, _)| output.ty == "scores");
    let shown = wanted.iter().map(|(stage, _)| *stage).filter(is_evaluation);
    let data = shown.flat_map(|stage| stage.inputs.iter().filter(|(port, ..)| port == "data"));
    let pictured: Vec<Tree> = data.filter_map(|(_, from, port)| find(from)?.tree(port).cloned()).collect();
    let titles = reports.iter().flat_map(|stage| &stage.params).find(|param| param.name == "title");
    let title = titles.map(|param| param.value.clone());
    Ok(Selection { title, given, pictured, curves: curves(stages, objects)? })
}

/// All outputs with something to show. Of the copies of a `repeat`, only what summarises them.
fn usual(stages: &[ReportedStage]) -> Vec<(&ReportedStage, &str)> {
    let has = |ty: &str| {
        stages.iter().any(|stage| stage.outputs.iter().any(|(output, tree)| output.ty == ty && tree.is_some()))
    };
    let summarised = has("spread") || stages.iter().any(|stage| stage.kind == "pool" && stage.tree("out").is_some());
    let is_copy = |stage: &ReportedStage| without_numbers(&stage.base_name) != stage.base_name;
    let mut found = Vec::new();
    for ty in SHOWN {
        for stage in stages.iter().filter(|stage| !(summarised && is_copy(stage))) {
            let ports = stage.outputs.iter().filter(|(output, tree)| output.ty == ty && tree.is_some());
            found.extend(ports.map(|(output, _)| (stage, output.port.as_str())));
        }
    }
    found
}

/// Learning curves of all models, if there are several; copies of a `repeat` have one colour for each of their models.
pub(super) fn curves(stages: &[ReportedStage], objects: &Objects) -> Result<Vec<LearningCurve>, Failure> {
    let mut found = Vec::new();
    for stage in stages {
        for (_, tree) in stage.outputs.iter().filter(|(output, _)| output.ty == "model") {
            let Some(epochs) = tree.as_ref().map(|tree| epochs(tree, objects)).transpose()?.flatten() else { continue };
            found.push(LearningCurve { name: stage.name.clone(), group: found.len(), epochs });
        }
    }
    Ok(if found.len() > 1 { found } else { Vec::new() })
}

/// The epochs of a model, if it has any.
pub(super) fn epochs(tree: &Tree, objects: &Objects) -> Result<Option<Columns>, Failure> {
    let bytes = objects.read_in(tree, "epochs.parquet")?;
    let read =
        |bytes: crate::store::Blob| Columns::from_parquet(&bytes).map_err(|error| StageError::Bug(error.to_string()));
    Ok(bytes.map(read).transpose()?)
}
