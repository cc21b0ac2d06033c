//! `slice`: recall and ranking metrics of the positives of each stratum of a measure. The metrics are in
//! [`crate::learn::evaluation`], the summary in [`crate::report::slices`].

use std::collections::{BTreeMap, BTreeSet};

use super::given_scores::{GivenScores, given_scores};
use super::threshold_tune::without_thresholds;
use crate::base::figure::{counted, noun};
use crate::data::patches::{Label, Part, PatchRow, PatchSet};
use crate::data::photograph_table::PhotographFact;
use crate::lang::value::Value;
use crate::learn::evaluation::{HALF, SliceCuts, SliceValues, SlicedSet};
use crate::learn::tuning::Thresholds;
use crate::report::slices::summary;
use crate::stage::{
    ConnectedPorts, Ctx, Determinism, Implementation, Inputs, Outcome, Params, StageError, Warning, Work,
};
use crate::stages::spread::diagnosis;
use crate::store::{Objects, Tree};

/// The implementation.
pub const SLICE: Implementation = Implementation {
    name: "slice",
    version: 2,
    revised: Some(|params| if matches!(params.get("by"), Some(Value::Text(by)) if by == COLUMN) { 2 } else { 1 }),
    seeded: true,
    determinism: Determinism::BitExact,
    check: Some(check),
    foresee: Some(foresee),
    narrow: None,
    work: Work::Whole(run),
};

/// Case of `by` for a column of the user's table.
const COLUMN: &str = "column";

fn check(params: &Params, ports: &ConnectedPorts) -> Result<Vec<StageError>, StageError> {
    let by = params.text("by")?;
    match (by == COLUMN, ports.has("table")) {
        (true, false) => {
            return Err(StageError::input("missing-port", "`by column` needs `table`")
                .hint("connect a table of facts about photographs: `table facts`, with `files facts { path \"facts.csv\" }`")
                .field("by"));
        }
        (false, true) => {
            return Err(StageError::input("missing-port", format!("`table` is not used with `by {by}`"))
                .hint("write `by column name=…` with a column of the table, or leave `table` out")
                .field("table"));
        }
        _ => {}
    }
    let limits = limits(params)?;
    if !limits.is_sorted_by(|one, next| one < next) {
        return Err(StageError::input("slice-limits", "`limits` must ascend")
            .hint("write each limit once, the lowest first: `limits 100 500 2000`")
            .field("limits"));
    }
    if !limits.is_empty() && ["photograph", "patient"].contains(&by) {
        return Err(StageError::input("slice-limits", format!("`limits` divide numbers, but `{by}` is text"))
            .hint("leave `limits` out: each text is a stratum")
            .field("limits"));
    }
    Ok(Vec::new())
}

fn limits(params: &Params) -> Result<Vec<f64>, StageError> {
    let limit = |value: &Value| match value {
        Value::Real(limit) => Ok(*limit),
        Value::Int(limit) => Ok(*limit as f64),
        other => Err(StageError::Bug(format!("a limit is {other:?}"))),
    };
    params.list("limits").iter().map(limit).collect()
}

/// Reads the table before anything runs, if it is known by then.
fn foresee(params: &Params, inputs: &Inputs, objects: &Objects) -> Result<Vec<Warning>, StageError> {
    if let Some(table) = inputs.optional("table") {
        PhotographFact::find(table, params.text("by.name")?, objects)?;
    }
    Ok(Vec::new())
}

fn run(ctx: &Ctx<'_>) -> Result<Outcome, StageError> {
    let set = PatchSet::read(ctx.inputs.one("data")?, ctx.objects)?;
    let given = given_scores(ctx, &set)?;
    if given.diagnosis {
        let name = ctx.inputs.many("predictions").first().map_or("", |named| named.name.as_str());
        return Err(diagnosis(name).field("predictions"));
    }
    let (sliced, tuned) = decided(ctx, given)?;
    let limits = limits(ctx.params)?;
    let cuts = match limits.as_slice() {
        [] => SliceCuts::Quantiles(ctx.params.count("quantiles")?),
        _ => SliceCuts::Limits(limits),
    };
    let by = ctx.params.text("by")?;
    let name = if by == COLUMN { ctx.params.text("by.name")? } else { by };
    let mut warnings = Vec::new();
    let fact = match ctx.inputs.optional("table") {
        Some(table) => {
            let fact = PhotographFact::find(table, name, ctx.objects)?;
            warnings = doubts(&fact, name, &set);
            Some(joined(fact, &set)?)
        }
        None => None,
    };
    if let (Some(SliceValues::Texts(_)), SliceCuts::Limits(_)) = (&fact, &cuts) {
        return Err(StageError::input("slice-limits", format!("`limits` divide numbers, but column `{name}` is text"))
            .hint("leave `limits` out: each text is a stratum")
            .field("limits"));
    }
    let values = |class: usize| fact.clone().unwrap_or_else(|| measured(by, &set, class));
    let slices = sliced.slices(name, &values, &cuts, tuned, &ctx.streams);
    let bug = |error: &dyn std::fmt::Display| StageError::Bug(error.to_string());
    let mut tree = Tree::default();
    tree.insert("slices.json", ctx.objects.put(&serde_json::to_vec_pretty(&slices).map_err(|error| bug(&error))?)?);
    let table = slices.table().to_parquet().map_err(|error| bug(&error))?;
    tree.insert("slices.parquet", ctx.objects.put(&table)?);
    let mut summary = summary(&slices);
    summary.warnings.splice(0..0, warnings);
    Ok(Outcome { outputs: [("out".to_owned(), tree)].into(), summary, target: None })
}

/// What the user's table may lack, or mistake.
fn doubts(fact: &PhotographFact, column: &str, set: &PatchSet) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn = |text: String| found.push(Warning { code: "photograph-table".to_owned(), text });
    if let Some((photograph, cell)) = fact.odd_cell() {
        warn(format!(
            "most of column `{column}` are numbers, but `{photograph}` has `{cell}`: so all are text, and each text is a stratum"
        ));
    }
    let photographs: BTreeSet<&str> = set.parts.iter().map(|part| part.photograph.as_str()).collect();
    let without: Vec<&str> = photographs.iter().copied().filter(|name| !fact.has(name)).collect();
    if let Some(first) = without.first() {
        let all = counted(photographs.len() as u64, "photograph", "photographs");
        let verb = noun(without.len() as u64, "has", "have");
        warn(format!(
            "{} of {all} {verb} no row in the table, such as `{first}`: their positives are in the stratum `unknown`",
            without.len()
        ));
    }
    found
}

/// What is predicted at the connected thresholds, or as the predictions say at theirs, or at 0.5; and whether thresholds were tuned.
fn decided<'a>(ctx: &Ctx<'_>, given: GivenScores<'a>) -> Result<(SlicedSet<'a>, bool), StageError> {
    let GivenScores { judged, fold, tuned, .. } = given;
    let classes = &judged.set.info.classes;
    let connected = ctx.inputs.optional("thresholds");
    without_thresholds(&judged.set.info, connected.is_some())?;
    let connected = connected.map(|tree| Thresholds::read(tree, ctx.objects)?.of_classes(classes)).transpose()?;
    let rule = judged.scored.decision();
    let at = |thresholds: &[f64]| -> Vec<bool> {
        let of_patch = |(scores, _): (&[f64], &[Label])| -> Vec<bool> {
            (0..scores.len()).map(|class| rule.predicts(scores, class, thresholds[class])).collect()
        };
        judged.scored.iter().flat_map(of_patch).collect()
    };
    let (decided, tuned) = match (connected, tuned) {
        (Some(thresholds), _) => (at(&thresholds), true),
        (None, Some(decided)) => (decided, true),
        (None, None) => (at(&vec![HALF; classes.len()]), false),
    };
    Ok((SlicedSet { judged, fold, decided }, tuned))
}

fn patches(set: &PatchSet) -> impl Iterator<Item = (&Part, &PatchRow)> {
    set.parts.iter().flat_map(|part| part.rows.iter().map(move |row| (part, row)))
}

/// The values of each patch's photograph.
fn joined(fact: PhotographFact, set: &PatchSet) -> Result<SliceValues, StageError> {
    if let Some((part, _)) = patches(set).next()
        && !patches(set).any(|(part, _)| fact.has(&part.photograph))
    {
        let text = format!("the table has no row for a photograph of `data`, such as `{}`", part.photograph);
        return Err(StageError::input("photograph-table", text)
            .hint("the column `photograph` has names without their extensions, as in the data")
            .field("table"));
    }
    Ok(match fact {
        PhotographFact::Numbers(values) => SliceValues::Numbers(of_photographs(&values, set)),
        PhotographFact::Texts(values) => SliceValues::Texts(of_photographs(&values, set)),
    })
}

fn of_photographs<T: Clone>(values: &BTreeMap<String, Option<T>>, set: &PatchSet) -> Vec<Option<T>> {
    patches(set).map(|(part, _)| values.get(&part.photograph).cloned().flatten()).collect()
}

/// The values of a built-in measure for a class.
fn measured(by: &str, set: &PatchSet, class: usize) -> SliceValues {
    let mean = |values: [f32; 3]| Some(values.iter().map(|value| f64::from(*value)).sum::<f64>() / 3.0);
    let numbers =
        |of: &dyn Fn(&PatchRow) -> Option<f64>| SliceValues::Numbers(patches(set).map(|(_, row)| of(row)).collect());
    match by {
        "photograph" => SliceValues::Texts(patches(set).map(|(part, _)| Some(part.photograph.clone())).collect()),
        "patient" => SliceValues::Texts(patches(set).map(|(part, _)| part.patient.clone()).collect()),
        "lesion-distance" => numbers(&|row| Some(f64::from(row.mask_distance[class])).filter(|px| !px.is_nan())),
        "brightness" => numbers(&|row| mean(row.mean)),
        "contrast" => numbers(&|row| mean(row.deviation)),
        "x" => numbers(&|row| Some(f64::from(row.x))),
        "y" => numbers(&|row| Some(f64::from(row.y))),
        _ => numbers(&|row| Some(f64::from(row.mask_pixels[class])).filter(|_| !row.is_placeless(class))),
    }
}
