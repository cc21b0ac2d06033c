//! Names within parameters that refer to what is known before anything runs: parts of a network, lesion classes.

use super::{DraftGraph, in_bodies};
use crate::base::Span;
use crate::diag::Diag;
use crate::lang::classes;
use crate::lang::draft::Draft;
use crate::lang::network::parts::{is_below, part_hint};
use crate::lang::signature::{Param, ParamNames};
use crate::lang::value::Value;

impl DraftGraph<'_> {
    /// Errors for such names that do not exist.
    pub(super) fn names(&self) -> Vec<Diag> {
        let mut diags = Vec::new();
        for draft in self.drafts {
            let added = draft.signature.params.iter().find_map(|param| param.also.as_ref());
            diags.extend(added.and_then(|also| taken(draft, also)).map(|diag| in_bodies(diag, draft)));
            for param in &draft.signature.params {
                let Some(names) = param.names else { continue };
                let given = given(draft, &param.name);
                if given.is_empty() {
                    continue;
                }
                let found = match names {
                    ParamNames::Layers => unknown_parts(draft, param, &given),
                    ParamNames::Classes => self.unknown_classes(draft, &param.name, &given),
                };
                diags.extend(found.into_iter().map(|diag| in_bodies(diag, draft)));
            }
        }
        diags
    }

    /// Errors for classes that the data of a stage do not have.
    fn unknown_classes(&self, draft: &Draft, param: &str, given: &[(String, Span)]) -> Vec<Diag> {
        let from = draft.spec.inputs.first().and_then(|input| input.from.first());
        let find = |name: &str| {
            let draft = &self.drafts[*self.by_name.get(name)?];
            Some((&draft.spec, draft.signature))
        };
        let Some(known) = from.and_then(|from| classes::classes(from, find)) else { return Vec::new() };
        let unknown = given.iter().filter(|(name, _)| !known.contains(name));
        let diag = |(name, span): &(String, Span)| {
            let title = format!("`{} {}`", draft.spec.stage_type, draft.spec.name);
            let message = format!("`{param}`: the data of {title} have no class `{name}`");
            Diag::error("unknown-class", *span, message).hint(classes::hint(name, &known))
        };
        unknown.map(diag).collect()
    }
}

/// An error if the network of a stage has a part called `also`, as the one that the stage adds.
fn taken(draft: &Draft, also: &str) -> Option<Diag> {
    let network = draft.spec.network()?;
    let tensor = network.tensors().into_iter().find(|tensor| is_below(tensor, also))?;
    let span = draft
        .spec
        .params
        .values()
        .find_map(|param| if matches!(param.value, Value::Network(_)) { param.span } else { None });
    let message = format!(
        "network `{}` has a tensor `{tensor}`, but `{also}` is what `{}` adds to it",
        network.name, draft.spec.stage_type
    );
    Some(Diag::error("name-taken", span.unwrap_or(draft.spec.span), message).hint("give the layer another name"))
}

/// Errors for parts that the network of a stage does not have.
fn unknown_parts(draft: &Draft, param: &Param, given: &[(String, Span)]) -> Vec<Diag> {
    let Some(network) = draft.spec.network() else { return Vec::new() };
    let tensors = network.trained_tensors();
    let diag = |(name, span): &(String, Span)| {
        let message =
            format!("`{}`: no tensor of network `{}` is called `{name}` or is below it", param.name, network.name);
        let hint = part_hint(name, tensors.iter().chain(&param.also).map(String::as_str));
        Diag::error("unknown-tensor", *span, message).hint(hint)
    };
    let is_known = |name: &str| network.has_part(name) || param.also.as_ref().is_some_and(|also| is_below(name, also));
    given.iter().filter(|(name, _)| !is_known(name)).map(diag).collect()
}

/// The keys of a map or the values of a list, and where each stands.
fn given(draft: &Draft, param: &str) -> Vec<(String, Span)> {
    let names: Vec<String> = match draft.spec.value(param) {
        Some(Value::Map(pairs)) => pairs.keys().cloned().collect(),
        Some(Value::List(values)) => values.iter().map(Value::to_string).collect(),
        _ => Vec::new(),
    };
    let whole = draft.spec.place(Some(param));
    let place = |name: String| {
        let span = draft.entries.get(&(param.to_owned(), name.clone())).copied();
        (name, span.unwrap_or(whole))
    };
    // Anything else is a mistake of form, which was reported.
    let is_name = |name: &String| name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    names.into_iter().filter(is_name).map(place).collect()
}
