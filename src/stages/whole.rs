//! Evaluation of whole photographs or patients by the stages that evaluate patches. Knows no stage.

use crate::data::table::Columns;
use crate::learn::evaluation::{
    PatchesToScore, ScoredSet, WholeRule, WholeScores, WholeUnit, scored_wholes, whole_scores, whole_table,
};
use crate::stage::{Ctx, Params, StageError};

/// File of the scores of photographs or patients.
pub(super) const FILE: &str = "whole.parquet";

/// Parameter of the stages.
const PARAM: &str = "whole";

fn rule(params: &Params) -> Result<Option<WholeRule>, StageError> {
    let score = match params.text(PARAM)? {
        "maximum" => PatchesToScore::Maximum,
        "top-mean" => PatchesToScore::TopMean { k: params.count("whole.k")? },
        _ => return Ok(None),
    };
    let unit = if params.text("whole.of")? == "patient" { WholeUnit::Patient } else { WholeUnit::Photograph };
    Ok(Some(WholeRule { score, unit }))
}

/// Evaluation of photographs or patients and the table of their scores, if asked for. `fold` is the fold of each patch.
///
/// # Errors
/// Parameters that do not exist: a defect of the caller.
pub(super) fn whole(
    ctx: &Ctx<'_>,
    judged: &ScoredSet<'_>,
    fold: &[u32],
) -> Result<Option<(WholeScores, Columns)>, StageError> {
    let Some(rule) = rule(ctx.params)? else { return Ok(None) };
    let found = scored_wholes(judged, fold, rule);
    let scores = whole_scores(&found, judged.scored.classes(), rule, &ctx.streams);
    Ok(Some((scores, whole_table(&found, &judged.set.info.classes, rule))))
}
