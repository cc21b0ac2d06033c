//! Cross-parameter validation by the implementations, before any stage runs. Knows no inputs.

use std::collections::BTreeSet;

use crate::diag::{Diag, Severity};
use crate::lang::spec::Contents;
use crate::stage::{ConnectedPorts, Implementation, Params, StageError};

/// Adds the implementations' objections to the parameters of a file to `diags`, in order of position: their doubts as warnings. Does
/// nothing if `diags` already contains an error, because parameters may be missing then.
pub fn validate_params(contents: &Contents, implementations: &[Implementation], diags: &mut Vec<Diag>) {
    if diags.iter().any(|diag| diag.severity == Severity::Error) {
        return;
    }
    let alone = contents.pipelines.iter().map(|pipeline| (pipeline, None));
    let points = contents.sweeps.iter().flat_map(|sweep| sweep.points.iter().map(move |point| (sweep, point)));
    let pipelines = alone.chain(points.map(|(sweep, point)| (&point.pipeline, Some((sweep, point)))));
    let mut reported = BTreeSet::new();
    for (stage, of) in pipelines.flat_map(|(pipeline, of)| pipeline.stages.iter().map(move |stage| (stage, of))) {
        let known = implementations.iter().find(|known| known.name == stage.implementation);
        let Some(check) = known.and_then(|known| known.check) else { continue };
        let ports = ConnectedPorts(stage.inputs.iter().map(|input| input.port.as_str()).collect());
        let found = match check(&Params(stage.values()), &ports) {
            Ok(doubts) => doubts.into_iter().map(|doubt| (doubt, Severity::Warning)).collect(),
            Err(objection) => vec![(objection, Severity::Error)],
        };
        for (objection, severity) in found {
            let StageError::Input { code, text, hint, field } = objection else { continue };
            let span = stage.place(field.as_deref());
            // The points of a sweep, and the uses of a template, share their lines of text.
            if reported.insert((span.file, span.start, text.clone())) {
                let at = of.map(|(sweep, point)| format!(", at {}", sweep.words(point))).unwrap_or_default();
                let found = Diag { severity, ..Diag::error(code, span, text + &at) };
                diags.push(if let Some(hint) = hint { found.hint(hint) } else { found });
            }
        }
    }
    diags.sort_by_key(|diag| diag.labels.first().map(|label| (label.span.file, label.span.start, label.span.end)));
}
