//! What stages that drop patches of the background have in common. Knows no criterion.

use crate::base::figure::{counted, thousands};
use crate::data::counts::{PatchCounts, table};
use crate::data::patches::PatchSet;
use crate::stage::{Ctx, Outcome, StageError, Summary, Warning};

/// The patches of `set` that were kept and dropped as outputs. `colour` is what the dropped ones are, `rule` the parameters that decided it.
pub(super) fn outcome(
    ctx: &Ctx,
    set: &PatchSet,
    (kept, dropped): (&PatchSet, &PatchSet),
    colour: &str,
    rule: &str,
) -> Result<Outcome, StageError> {
    let (before, after, gone) = (PatchCounts::of(set), PatchCounts::of(kept), PatchCounts::of(dropped));
    let mut warnings = Vec::new();
    if after.patches == 0 && before.patches > 0 {
        let text = format!("every patch is {colour} with {rule}");
        warnings.push(Warning { code: "nothing-left".into(), text });
    }
    let summary = Summary {
        headline: format!(
            "{} kept, {} {colour} dropped ({} healthy, {} with a lesion{})",
            counted(after.patches, "patch", "patches"),
            thousands(gone.patches),
            thousands(gone.healthy),
            thousands(gone.lesion),
            if gone.undetermined > 0 { format!(", {} unknown", thousands(gone.undetermined)) } else { String::new() }
        ),
        tables: vec![table("patches", &set.info.classes, &[("before", &before), ("kept", &after), ("dropped", &gone)])],
        warnings,
        ..Summary::default()
    };
    let outputs = [("kept", kept), ("dropped", dropped)];
    let outputs = outputs.map(|(port, set)| Ok((port.to_owned(), set.write(ctx.objects)?)));
    Ok(Outcome { outputs: outputs.into_iter().collect::<Result<_, StageError>>()?, summary, target: None })
}
