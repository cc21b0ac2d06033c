//! Networks that start from, or encode with, a model or pretrained weights of the same pipeline: their tensors are known before they are
//! trained.

use std::collections::BTreeSet;

use super::{DraftGraph, in_bodies};
use crate::base::figure::counted;
use crate::diag::Diag;
use crate::lang::network::{Layer, NetworkSpec};
use crate::lang::port_types::PRETRAINED;
use crate::lang::value::Value;

/// Tensors that a message names.
const MOST_NAMED: usize = 4;

/// Parameter that says what becomes of tensors that weights lack, and its case that initialises them.
const MISSING: &str = "missing";
const INITIALISE: &str = "initialise";

impl DraftGraph<'_> {
    /// Errors for networks with tensors that the model or the weights at another port lack.
    pub(super) fn initial(&self) -> Vec<Diag> {
        let mut diags = Vec::new();
        for (stage, draft) in self.drafts.iter().enumerate() {
            let Some(network) = draft.spec.network().filter(|network| network.prefixes.is_empty()) else { continue };
            let initialises = matches!(draft.spec.value(MISSING), Some(Value::Text(case)) if case == INITIALISE);
            for (_, reference, place, source) in self.reads(stage).filter(|_| !initialises) {
                let trained = &self.drafts[source];
                let given = trained.signature.output(Some(&reference.port)).map(|out| out.ty.as_str());
                let Some(what) = given.filter(|ty| ["model", PRETRAINED].contains(ty)) else { continue };
                let Some(of_model) = trained.spec.network() else { continue };
                let there: BTreeSet<String> = of_model.tensors().into_iter().collect();
                let gives = |ty: &str| draft.signature.outputs.iter().any(|out| out.ty == ty);
                let trains = gives("model");
                // Of a network that is a part of the model's own, tensors may be found behind a prefix.
                let is_there = |name: &String| {
                    there.contains(name) || {
                        let end = format!(".{name}");
                        there.iter().any(|other| other.ends_with(&end))
                    }
                };
                let lacking: Vec<String> = network
                    .tensors()
                    .into_iter()
                    .filter(|name| !is_there(name))
                    .filter(|name| !trains || !is_output(network, name))
                    .collect();
                if lacking.is_empty() {
                    continue;
                }
                let named: Vec<String> = lacking.iter().take(MOST_NAMED).map(|name| format!("`{name}`")).collect();
                let more = lacking.len().saturating_sub(MOST_NAMED);
                let more =
                    if more > 0 { format!(" and {}", counted(more as u64, "other", "others")) } else { String::new() };
                let message = format!(
                    "the {what} of `{} {}` lack{} tensors of network `{}`: {}{more}",
                    trained.spec.stage_type,
                    trained.spec.name,
                    if what == "model" { "s" } else { "" },
                    network.name,
                    named.join(", ")
                );
                let hint = if trains || gives(PRETRAINED) {
                    // Of a network up to a tap, the whole one.
                    let whole = of_model.name.split(" to=").next().unwrap_or(&of_model.name);
                    format!("train on with its network, `{whole}`, or set `{MISSING} {INITIALISE}`")
                } else {
                    format!("use its network, `{}`, up to one of its taps", of_model.name)
                };
                let place_of_network =
                    draft.spec.params.values().find(|param| matches!(param.value, Value::Network(_)));
                let mut found = Diag::error("weights-missing", place.span, message);
                if let Some(span) = place_of_network.and_then(|param| param.span) {
                    found = found.also(span, "the network");
                }
                diags.push(in_bodies(found.hint(hint), draft));
            }
        }
        diags
    }
}

/// Whether a tensor is of the last layer or of an auxiliary output, which a training may initialise.
fn is_output(network: &NetworkSpec, tensor: &str) -> bool {
    let last = match network.layers.last() {
        Some(Layer::Linear(linear)) => {
            tensor.strip_prefix(linear.name.as_str()).is_some_and(|rest| rest.starts_with('.'))
        }
        _ => false,
    };
    let main = NetworkSpec { auxiliary: Vec::new(), ..network.clone() };
    last || !main.tensors().iter().any(|name| name == tensor)
}
