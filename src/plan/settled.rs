//! What parameters can't be whatever their stage is given, found before anything runs. Asks the implementations; knows no inputs.

use std::collections::BTreeSet;

use crate::diag::{Diag, Severity};
use crate::lang::spec::Contents;
use crate::stage::{Implementation, Params, StageError};

/// Adds what the stages of a file say against their parameters to `diags`, in order of place. Where an error is among these already
/// nothing is asked, for parameters may be missing.
pub fn settle(contents: &Contents, implementations: &[Implementation], diags: &mut Vec<Diag>) {
    if diags.iter().any(|diag| diag.severity == Severity::Error) {
        return;
    }
    let alone = contents.pipelines.iter().map(|pipeline| (pipeline, None));
    let points = contents.sweeps.iter().flat_map(|sweep| sweep.points.iter().map(move |point| (sweep, point)));
    let pipelines = alone.chain(points.map(|(sweep, point)| (&point.pipeline, Some((sweep, point)))));
    let mut told = BTreeSet::new();
    for (stage, of) in pipelines.flat_map(|(pipeline, of)| pipeline.stages.iter().map(move |stage| (stage, of))) {
        let known = implementations.iter().find(|known| known.name == stage.implementation);
        let Some(check) = known.and_then(|known| known.check) else { continue };
        let Err(StageError::Input { code, text, hint, field }) = check(&Params(stage.params.clone())) else { continue };
        let span = stage.place(field.as_deref());
        // The points of a sweep, and the uses of a template, share their lines.
        if told.insert((span.file, span.start, text.clone())) {
            let at = of.map(|(sweep, point)| format!(", at {}", sweep.words(point))).unwrap_or_default();
            let found = Diag::error(code, span, text + &at);
            diags.push(if let Some(hint) = hint { found.hint(hint) } else { found });
        }
    }
    diags.sort_by_key(|diag| diag.labels.first().map(|label| (label.span.file, label.span.start, label.span.end)));
}
