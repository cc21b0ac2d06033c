//! Embeddings of whole photographs: networks that read some get them, by `join` or by a port.

use super::{DraftGraph, in_bodies};
use crate::base::Span;
use crate::base::figure::counted;
use crate::diag::Diag;
use crate::lang::near;
use crate::lang::network::NetworkSpec;
use crate::lang::signature::{InPort, OutPort};
use crate::lang::value::Value;

impl DraftGraph<'_> {
    /// Errors for trained networks that read embeddings in stages which do not get them.
    pub(super) fn embeddings_of_models(&self) -> Vec<Diag> {
        let mut diags = Vec::new();
        for (stage, draft) in self.drafts.iter().enumerate() {
            for (trained, network, place) in self.trained_networks(stage) {
                match draft.signature.inputs.iter().find_map(|port| Some((port, port.names.as_ref()?))) {
                    Some((port, names)) => {
                        diags.extend(self.given_by_port(stage, trained, network, place, (port, names)));
                    }
                    None => self.joined(stage, network, place, &mut diags),
                }
            }
        }
        diags
    }

    /// For each model that a stage uses, the stage that trained it, its network, and the reference to it.
    pub(super) fn trained_networks(&self, stage: usize) -> impl Iterator<Item = (usize, &NetworkSpec, Span)> {
        let port = self.drafts[stage].signature.inputs.iter().find(|port| port.types == ["model"]);
        let models = self.reads(stage).filter(move |(name, ..)| port.is_some_and(|port| port.name == *name));
        models.filter_map(|(_, _, place, trained)| Some((trained, self.drafts[trained].spec.network()?, place.span)))
    }

    /// An error if a stage with a port for embeddings lacks some that a model reads.
    fn given_by_port(
        &self,
        stage: usize,
        trained: usize,
        network: &NetworkSpec,
        model: Span,
        (port, param): (&InPort, &str),
    ) -> Option<Diag> {
        let spec = &self.drafts[stage].spec;
        let title = format!("{} {}", spec.stage_type, spec.name);
        let reads: Vec<String> = network.embeddings().into_iter().collect();
        if reads.is_empty() {
            return None;
        }
        let input = spec.inputs.iter().find(|input| input.port == port.name);
        let count = input.map_or(0, |input| input.from.len());
        let param_span = spec.params.get(param).and_then(|value| value.span);
        let named: Vec<String> = match spec.value(param) {
            Some(Value::List(values)) => values.iter().map(Value::to_string).collect(),
            _ => Vec::new(),
        };
        let all = near::names(reads.iter().map(String::as_str));
        let network_of = format!("network `{}` of `{}`", network.name, self.drafts[trained].spec.name);
        let found = if count == 0 {
            let inputs = if reads.len() == 1 { "an input" } else { "inputs" };
            let message = format!("{network_of} has {inputs} {all}, but `{title}` gets no embeddings");
            let stages = vec!["STAGE"; reads.len()].join(" ");
            let which = if reads.len() == 1 { String::new() } else { format!("; {param} {}", reads.join(" ")) };
            let hint = format!("give it those of its photographs: `{title} {{ …; {} {stages}{which} }}`", port.name);
            Diag::error("missing-input", model, message).hint(hint)
        } else if named.is_empty() && (count, reads.len()) == (1, 1) {
            return None;
        } else if named.is_empty() {
            let place = input.map_or(spec.span, |input| input.span);
            let stages = counted(count as u64, "stage", "stages");
            let message = format!("`{title}` gets embeddings of {stages} for {network_of}, which reads {all}");
            let hint = if count == reads.len() {
                format!("say which are which, in their order: `{param} {}`", reads.join(" "))
            } else {
                format!("write one name for each stage after `{param}`, in their order")
            };
            Diag::error("input-name", place, message).hint(hint)
        } else if named.len() != count {
            let names = counted(named.len() as u64, "name", "names");
            let stages = counted(count as u64, "stage", "stages");
            let message = format!("`{param}` has {names}, but `{}` has {stages}", port.name);
            let found = Diag::error("input-name", param_span.unwrap_or(spec.span), message);
            found.hint("write one name for each stage, in order")
        } else {
            let lacking = reads.iter().find(|name| !named.contains(name))?;
            let message =
                format!("{network_of} has an input `{lacking}`, but `{title}` gets no embeddings under that name");
            let hint = near::near(lacking, named.iter().map(String::as_str)).map_or_else(
                || format!("add them, and their name to `{param}`"),
                |near| format!("write `{param} {lacking}` instead of `{near}`"),
            );
            Diag::error("missing-input", param_span.unwrap_or(model), message).hint(hint)
        };
        Some(in_bodies(found.also(self.drafts[trained].spec.span, "trained here"), &self.drafts[stage]))
    }

    /// Errors for embeddings that a network reads and the patches of a stage do not have.
    pub(super) fn joined(&self, stage: usize, network: &NetworkSpec, place: Span, diags: &mut Vec<Diag>) {
        for name in network.embeddings() {
            let lacking = self.patches(stage).find(|(source, out)| !self.embeddings(*source, out).contains(&name));
            let Some((source, out)) = lacking else { continue };
            let given = self.embeddings(source, out);
            let reads = &self.drafts[source].spec;
            let message = format!(
                "network `{}` has an input `{name}`, but the patches of `{}` have no embeddings under that name",
                network.name, reads.name
            );
            let read = network.embeddings();
            let near = near::near(&name, given.iter().map(String::as_str).filter(|given| !read.contains(*given)));
            // Where the name is given, which is more often misspelt than the network.
            let join = near.and_then(|near| match self.joins_of([near.to_owned()].into(), source)[..] {
                [join] => Some((near, &self.drafts[join.stage])),
                _ => None,
            });
            let Some((near, join)) = join else {
                let diag = Diag::error("missing-input", place, message).also(reads.span, "these patches");
                let hint = format!("join them first: `join NAME {{ patches …; embeddings …; as {name} }}`");
                diags.push(in_bodies(diag.hint(hint), &self.drafts[stage]));
                continue;
            };
            let message = format!("{message}, only `{near}`");
            let param = join.signature.outputs.iter().find_map(|out| out.embeddings.as_deref()).unwrap_or_default();
            let entry = join.entries.get(&(param.to_owned(), near.to_owned()));
            let span = entry.copied().unwrap_or_else(|| join.spec.place(Some(param)));
            let diag = Diag::error("missing-input", span, message).also(place, "the network");
            let hint = format!("did you mean `{name}`? or `input {near}` in the network");
            if diags.iter().all(|other| other.labels.first().map(|label| label.span) != Some(span)) {
                diags.push(in_bodies(diag.hint(hint), join));
            }
        }
    }

    /// The names of the embeddings that the patches of an output have.
    fn embeddings<'s>(&'s self, mut source: usize, mut out: &'s OutPort) -> Vec<String> {
        let mut found = Vec::new();
        for _ in 0..self.drafts.len() {
            let name = out.embeddings.as_ref().and_then(|name| self.drafts[source].spec.value(name));
            found.extend(name.and_then(|name| if let Value::Text(name) = name { Some(name.clone()) } else { None }));
            let Some(next) = self.patches(source).next() else { break };
            (source, out) = next;
        }
        found
    }
}
