//! `average`: the mean of several predictions of the same patches, such as those of different networks.

use std::collections::BTreeSet;

use super::predict::predicted;
use super::threshold_tune::judged;
use crate::base::Digest;
use crate::base::figure::{counted, noun};
use crate::data::patches::PatchSet;
use crate::data::predictions::Predictions;
use crate::stage::{Ctx, Determinism, Implementation, Named, Outcome, StageError, Warning, Work};

/// The implementation.
pub const AVERAGE: Implementation = Implementation {
    name: "average",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

/// Warning about predictions that are the same: the same training twice, say.
fn identical(given: &[Named]) -> Option<Warning> {
    let different: BTreeSet<Digest> = given.iter().map(|named| named.tree.digest()).collect();
    let same = given.len() - different.len();
    (same > 0).then(|| Warning {
        code: "same-predictions".into(),
        text: format!(
            "{same} of the {} predictions {} same as others, so they count several times; if two training stages have the same settings, write `replicate 1` in the second",
            given.len(),
            noun(same as u64, "is the", "are the")
        ),
    })
}

fn run(ctx: &Ctx<'_>) -> Result<Outcome, StageError> {
    let set = PatchSet::read(ctx.inputs.one("data")?, ctx.objects)?;
    let given = ctx.inputs.many("of");
    if given.len() < 2 {
        return Err(StageError::input("one-prediction", "a mean needs several predictions")
            .hint("connect several: `of guesses-1 guesses-2`")
            .field("of"));
    }
    let mut sums = Vec::new();
    for named in given {
        ctx.stop.check()?;
        let scores = Predictions::find(&named.tree, ctx.objects)?.scores(&set)?;
        if sums.is_empty() {
            sums = scores;
        } else {
            sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
        }
    }
    let means = sums.into_iter().map(|sum| sum / given.len() as f64).collect();
    let mut outcome = predicted(&judged(&set, means)?, None, None, ctx.objects)?;
    let of = counted(given.len() as u64, "prediction", "predictions");
    outcome.summary.headline = format!("means of {of}: {}", outcome.summary.headline);
    outcome.summary.warnings.extend(identical(given));
    Ok(outcome)
}
