//! `join`: gives patches the embeddings of their photographs.

use crate::base::figure::counted;
use crate::data::embeddings::{Control, Embeddings};
use crate::data::join::join;
use crate::data::patches::PatchSet;
use crate::lang::network::InputKind;
use crate::stage::{Ctx, Determinism, Implementation, Outcome, Params, StageError, Summary, Work};

/// The implementation of `join`.
pub const JOIN: Implementation = Implementation {
    name: "join",
    version: 1,
    revised: None,
    seeded: true,
    determinism: Determinism::BitExact,
    check: Some(|params, _| check(params).map(|()| Vec::new())),
    foresee: None,
    narrow: None,
    work: Work::Whole(run),
};

/// Longest name of an input.
const LONGEST: usize = 64;

fn check(params: &Params) -> Result<(), StageError> {
    let name = params.text("as")?;
    if InputKind::named(name).is_some() {
        let text = format!("`{name}` is an input that every network can have; embeddings need another name");
        return Err(StageError::input("input-name", text).hint("use e.g. `as whole`").field("as"));
    }
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(allowed) {
        let text = format!("`{name}` cannot name an input of a network");
        let hint = format!("use at most {LONGEST} letters, digits, `-` and `_`");
        return Err(StageError::input("input-name", text).hint(hint).field("as"));
    }
    Ok(())
}

fn run(ctx: &Ctx) -> Result<Outcome, StageError> {
    check(ctx.params)?;
    let set = PatchSet::read(ctx.inputs.one("patches")?, ctx.objects)?;
    let embeddings = Embeddings::read(ctx.inputs.one("embeddings")?, ctx.objects)?;
    let name = ctx.params.text("as")?;
    let (control, given) = match ctx.params.text("control")? {
        "other" => (Control::Other, "embeddings of photographs of other patients"),
        "zero" => (Control::Zero, "zeros instead of embeddings"),
        _ => (Control::None, "embeddings"),
    };
    let joined = join(&set, &embeddings, name, control, &ctx.streams, ctx.objects)?;
    let summary = Summary {
        headline: format!(
            "{} with {given} as `{name}`: {}",
            counted(set.len(), "patch", "patches"),
            embeddings.info.shape()
        ),
        ..Summary::default()
    };
    Ok(Outcome { outputs: [("out".to_owned(), joined.write(ctx.objects)?)].into(), summary, target: None })
}
