//! `combine`: embeddings by several encoders as one set.

use crate::base::figure::counted;
use crate::data::combined::combine;
use crate::data::embeddings::Embeddings;
use crate::stage::{Ctx, Determinism, Implementation, Named, Outcome, StageError, Summary, Work};

/// The implementation of `combine`.
pub const COMBINE: Implementation = Implementation {
    name: "combine",
    version: 1,
    revised: None,
    seeded: false,
    determinism: Determinism::BitExact,
    check: None,
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

fn run(ctx: &Ctx) -> Result<Outcome, StageError> {
    let read = |named: &Named| Ok((named.name.clone(), Embeddings::read(&named.tree, ctx.objects)?));
    let sets: Vec<(String, Embeddings)> = ctx.inputs.many("of").iter().map(read).collect::<Result<_, StageError>>()?;
    let sets: Vec<(&str, Embeddings)> = sets.iter().map(|(name, set)| (name.as_str(), set.clone())).collect();
    let found = combine(&sets, ctx.objects)?;
    let all = found.embeddings.photographs.len();
    let headline = format!(
        "{} by {}: {}; {} by several, as means",
        counted(all as u64, "photograph", "photographs"),
        counted(found.encoders as u64, "encoder", "encoders"),
        found.embeddings.info.shape(),
        found.means
    );
    let summary = Summary { headline, ..Summary::default() };
    Ok(Outcome { outputs: [("out".to_owned(), found.embeddings.write(ctx.objects)?)].into(), summary, target: None })
}
