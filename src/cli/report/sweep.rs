//! The page of a sweep: mean and spread of its points, differences from the best, learning curves of all points.

use std::collections::BTreeMap;

use super::planned::{self, PlannedStages};
use super::selection::epochs;
use super::{Arguments, ReportedStage, drawing, facts, missing};
use crate::cli::compare::{SweptComparison, of_sweep};
use crate::cli::load::Swept;
use crate::cli::run_id::RunIds;
use crate::cli::{Failure, Loaded};
use crate::plan::drawings;
use crate::report::comparison::Comparison;
use crate::report::run::{ComparisonPage, LearningCurve, ParamFacts, RunFacts, group_name};
use crate::run::Host;

/// The page as HTML.
///
/// # Errors
/// A [`Failure`] if the sweep cannot be planned or nothing has a result.
pub(super) fn html(host: &Host, loaded: &Loaded, arguments: &Arguments) -> Result<String, Failure> {
    let Some(swept) = &loaded.sweep else { return Err(Failure::user("the file has no sweep")) };
    let SweptComparison { comparison, title, names, paired, unpaired } = of_sweep(host, loaded, swept)?;
    let PlannedStages { stages, data, lock: _ } = planned::planned(host, loaded)?;
    let curves = curves(loaded, swept, &comparison, &names, &stages)?;
    let sweep = &swept.sweep;
    let record = loaded.store.runs.newest_first(Some(&sweep.name)).find(|run| !run.stages.is_empty());
    let ids = RunIds::of(&loaded.store);
    let axes: Vec<String> = sweep
        .axes
        .iter()
        .map(|axis| {
            format!(
                "`{}` {}",
                axis.path,
                axis.values.iter().map(|value| facts::private_path(value)).collect::<Vec<_>>().join(", ")
            )
        })
        .collect();
    let mut rows = vec![
        (
            "sweep".to_owned(),
            format!("`{}` of `{}` (`{}`)", sweep.name, sweep.base.name, facts::private_file(&loaded.file)),
        ),
        ("varied".to_owned(), axes.join("; ")),
    ];
    match &record {
        Some(record) => rows.extend(facts::of_record(record, ids.short(&record.id))),
        None => rows.push(("last run".to_owned(), "not recorded in this store".to_owned())),
    }
    // All points together would be too wide to read, and are alike.
    let of_first = swept.places.first().map(|places| places.values().collect::<Vec<_>>()).unwrap_or_default();
    let drawn = stages.iter().filter(|stage| of_first.contains(&&stage.name));
    let graph = drawings::svg(&drawing(&format!("first point of {}", sweep.name), drawn));
    let facts = RunFacts {
        pipeline: sweep.name.clone(),
        doc: sweep.doc.clone().or_else(|| sweep.base.doc.clone()),
        rows,
        graph: Some(graph),
        base: facts::base_difference(loaded),
        params: once(stages.iter().flat_map(|stage| stage.params.clone())),
        commands: facts::commands(&loaded.file, arguments),
        lock: String::new(),
        data,
        notes: missing(&stages).into_iter().collect(),
        stages: stages.iter().map(facts::of_stage).collect(),
    };
    let page = ComparisonPage {
        title: sweep.name.clone(),
        lead: title,
        comparison: Some(&comparison),
        names: &names,
        paired,
        unpaired,
        curves,
        facts: Some(facts),
    };
    Ok(page.html())
}

/// Each parameter once, if all stages of one name agree on it.
fn once(params: impl Iterator<Item = ParamFacts>) -> Vec<ParamFacts> {
    let mut found: BTreeMap<(String, String), (ParamFacts, Vec<String>)> = BTreeMap::new();
    for param in params {
        let stage = crate::lang::spec::base_name(&param.stage).to_owned();
        let own = ParamFacts { stage: stage.clone(), ..param };
        let (_, values) = found.entry((stage, own.name.clone())).or_insert_with(|| (own.clone(), Vec::new()));
        if !values.contains(&own.value) {
            values.push(own.value);
        }
    }
    found.into_values().map(|(param, values)| ParamFacts { value: values.join(" | "), ..param }).collect()
}

/// Learning curves of the models of all points, those of one group in one colour. A model that points share is drawn once.
fn curves(
    loaded: &Loaded,
    swept: &Swept,
    comparison: &Comparison,
    names: &BTreeMap<String, String>,
    stages: &[ReportedStage],
) -> Result<Vec<LearningCurve>, Failure> {
    let mut found = Vec::new();
    let mut met = Vec::new();
    for (group, of_group) in comparison.groups.iter().enumerate() {
        for place in of_group.rows.iter().filter_map(|row| swept.places.get(*row)) {
            for name in place.values() {
                let Some(stage) = stages.iter().find(|stage| stage.name == *name) else { continue };
                let models = stage.outputs.iter().filter(|(output, _)| output.ty == "model");
                for tree in models.filter_map(|(_, tree)| tree.as_ref()) {
                    if met.contains(&name) {
                        continue;
                    }
                    met.push(name);
                    let Some(epochs) = epochs(tree, &loaded.store.objects)? else { continue };
                    found.push(LearningCurve { name: group_name(comparison, group, names), group, epochs });
                }
            }
        }
    }
    Ok(found)
}
