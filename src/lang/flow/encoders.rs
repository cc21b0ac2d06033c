//! Embeddings of patches: by one encoder wherever a network reads them, and of the own patient where patches are split.

use std::collections::BTreeSet;

use super::lineage::EmbeddingJoin;
use super::{DraftGraph, in_bodies};
use crate::base::{Digest, Hasher, Span};
use crate::diag::Diag;
use crate::lang::draft::Draft;
use crate::lang::network::NetworkSpec;
use crate::lang::port_types::PRETRAINED;
use crate::lang::signature::OutPort;
use crate::lang::value::Value;

/// The domain of digests that identify encoders.
const ENCODER: &str = "macula 1 encoder of a graph";

/// Parameter of encoders that changes no value, and the one that is not used for patches.
const STORE: &str = "store";
const SIDE: &str = "side";

/// Parameter of joins, and its case with embeddings of other patients.
const CONTROL: &str = "control";
const OTHER: &str = "other";

const SAME: &str = "use the embeddings of one `encode` stage for all sets";

/// An encoder, as far as it is known before anything runs.
#[derive(PartialEq, Eq)]
struct EncoderIdentity {
    exact: Digest,
    /// The same without the weights.
    settings: Digest,
    /// Whether its weights are a file, which may hold the same as another one, or as a model.
    is_file: bool,
}

impl DraftGraph<'_> {
    /// Errors for networks that read embeddings by several encoders under one name; warnings if these may be the same.
    pub(super) fn other_encoders(&self, order: &[usize]) -> Vec<Diag> {
        let mut diags = Vec::new();
        let reads = |network: &NetworkSpec| !network.embeddings().is_empty();
        if !self.drafts.iter().any(|draft| network_of(draft).is_some_and(reads)) {
            return diags;
        }
        let same = self.same(order, &vec![true; self.drafts.len()]);
        let mut reported: BTreeSet<Span> = BTreeSet::new();
        let of_stage =
            |&stage: &usize| self.trainings(stage).into_iter().map(move |(trained, network)| (stage, trained, network));
        for (stage, trained, network) in order.iter().flat_map(of_stage) {
            let fitted = self.given(trained).find(|(port, ..)| self.fits(trained, port)).map(|(.., data)| data.0);
            let Some(fitted) = fitted else { continue };
            for name in network.embeddings() {
                let [of_training] = self.joins_of(BTreeSet::from([name.clone()]), fitted)[..] else { continue };
                for (port, here) in self.embeddings_given(stage, network, &name) {
                    let certain = self.differ(of_training, here, &same);
                    let Some(certain) = certain.filter(|_| reported.insert(here.place.span)) else { continue };
                    let title =
                        |at: usize| format!("`{} {}`", self.drafts[at].spec.stage_type, self.drafts[at].spec.name);
                    let (ours, theirs) = (title(of_training.embeddings), title(here.embeddings));
                    let message = if stage == trained {
                        format!("{} gets `{name}` by {theirs} at `{port}`, but by {ours} for training", title(stage))
                    } else {
                        format!(
                            "{} gets `{name}` by {theirs}, but {} is trained with {ours}",
                            title(stage),
                            title(trained)
                        )
                    };
                    let span = here.place.span;
                    let found = if certain {
                        Diag::error("other-embeddings", span, message)
                    } else {
                        Diag::warning("other-embeddings", span, message)
                    };
                    let found = found.also(of_training.place.span, "the embeddings of the training patches");
                    diags.push(in_bodies(found.hint(SAME), &self.drafts[here.stage]));
                }
            }
        }
        diags
    }

    /// What gives a stage the embeddings of this name: joins of the patches at its ports, and embeddings at a port of their own.
    fn embeddings_given(&self, stage: usize, network: &NetworkSpec, name: &str) -> Vec<(&str, EmbeddingJoin<'_>)> {
        let draft = &self.drafts[stage];
        let passes = |port: &str| draft.signature.input(port).is_none_or(|port| !port.excludes() && !port.informs());
        let mut found = Vec::new();
        for (port, _, data) in self.given(stage).filter(|(port, ..)| passes(port)) {
            if let [join] = self.joins_of(BTreeSet::from([name.to_owned()]), data.0)[..] {
                found.push((port, join));
            }
        }
        for (input, sites) in draft.spec.inputs.iter().zip(&draft.sites) {
            let param = draft.signature.input(&input.port).and_then(|port| port.names.as_ref());
            let Some(param) = param else { continue };
            let all: Vec<String> = match draft.spec.value(param) {
                Some(Value::List(names)) => names.iter().map(Value::to_string).collect(),
                _ => network.embeddings().into_iter().collect(),
            };
            // A name that is given twice is reported elsewhere.
            let once = all.iter().filter(|own| *own == name).count() == 1;
            let at = all.iter().position(|own| own == name).filter(|_| once && all.len() == input.from.len());
            let Some((from, place)) = at.and_then(|at| Some((input.from.get(at)?, sites.get(at)?))) else { continue };
            let source = self.by_name.get(from.stage.as_str());
            let join = source.map(|&embeddings| EmbeddingJoin { stage, place, embeddings });
            found.extend(join.map(|join| (input.port.as_str(), join)));
        }
        found
    }

    /// Of a stage that trains, itself and its network; of one that uses models, the trainings of these and their networks.
    fn trainings(&self, stage: usize) -> Vec<(usize, &NetworkSpec)> {
        let draft = &self.drafts[stage];
        if let Some(network) = network_of(draft) {
            return vec![(stage, network)];
        }
        self.trained_networks(stage).map(|(trained, network, _)| (trained, network)).collect()
    }

    /// Whether two joins give embeddings by different encoders: for certain, or unless two files of weights are the same.
    fn differ(&self, one: EmbeddingJoin, other: EmbeddingJoin, same: &[usize]) -> Option<bool> {
        if one.embeddings == other.embeddings {
            return None;
        }
        let (one, other) = (self.identities(one.embeddings, same)?, self.identities(other.embeddings, same)?);
        if one == other {
            return None;
        }
        let settings = |all: &[EncoderIdentity]| all.iter().map(|one| one.settings).collect::<Vec<_>>();
        let apart = |(one, other): (&EncoderIdentity, &EncoderIdentity)| {
            one.exact != other.exact && !one.is_file && !other.is_file
        };
        Some(settings(&one) != settings(&other) || one.iter().zip(&other).any(apart))
    }

    /// The encoders of embeddings, in the order in which they are combined, each once; [`None`] if one is not known.
    fn identities(&self, embeddings: usize, same: &[usize]) -> Option<Vec<EncoderIdentity>> {
        let (mut found, mut todo): (Vec<EncoderIdentity>, _) = (Vec::new(), vec![embeddings]);
        while let Some(at) = todo.pop() {
            let combined: Vec<usize> = self
                .references(at)
                .filter(|(reference, _, source)| {
                    let out = self.drafts[*source].signature.output(Some(&reference.port));
                    out.is_some_and(|out| out.ty == "embeddings")
                })
                .map(|(.., source)| source)
                .collect();
            if combined.is_empty() {
                let identity = self.identity(at, same)?;
                if !found.contains(&identity) {
                    found.push(identity);
                }
            }
            todo.extend(combined.into_iter().rev());
        }
        Some(found)
    }

    fn identity(&self, encoder: usize, same: &[usize]) -> Option<EncoderIdentity> {
        let spec = &self.drafts[encoder].spec;
        let weights = self.reads(encoder).find(|(_, reference, ..)| {
            let source = self.by_name.get(reference.stage.as_str());
            let out = source.and_then(|source| self.drafts[*source].signature.output(Some(&reference.port)));
            out.is_some_and(|out| matches!(out.ty.as_str(), "model" | "weights"))
        });
        let (_, reference, _, source) = weights?;
        let of_patches = self.patches(encoder).next().is_some();
        let digest = |with_weights: bool| {
            let mut key = Hasher::new(ENCODER);
            key.text(&spec.implementation).text(if of_patches { "patches" } else { "photographs" });
            for (name, value) in spec.keyed().filter(|(name, _)| *name != STORE && !(of_patches && *name == SIDE)) {
                value.hash(key.text(name));
            }
            if with_weights {
                key.int(same[source] as u64).text(&reference.port);
            }
            key.finish()
        };
        let is_file = self.drafts[source].signature.inputs.is_empty();
        Some(EncoderIdentity { exact: digest(true), settings: digest(false), is_file })
    }

    /// Errors for splits of patches that have embeddings of other patients.
    pub(super) fn crossed(&self) -> Vec<Diag> {
        let mut diags = Vec::new();
        for (stage, draft) in self.drafts.iter().enumerate().filter(|(_, draft)| draft.signature.divides()) {
            let Some((join, name)) = self.crossed_join(stage) else { continue };
            let from = self.given(stage).find(|(port, ..)| !self.takes_sides(stage, port));
            let Some((_, place, _)) = from else { continue };
            let (spec, join) = (&draft.spec, &self.drafts[join].spec);
            let message = format!(
                "`{} {}` divides patches with embeddings of other patients as `{name}`, which may be in another set",
                spec.stage_type, spec.name
            );
            let there = format!("`{} {}` gives them", join.stage_type, join.name);
            let found = Diag::error("crossed-embeddings", place.span, message).also(join.place(Some(CONTROL)), there);
            let hint = format!("split first, then use `{} … {{ {CONTROL} {OTHER} }}` for each set", join.stage_type);
            diags.push(in_bodies(found.hint(hint), draft));
        }
        diags
    }

    /// The join of embeddings of other patients that the patches of a stage have, and their name.
    fn crossed_join(&self, stage: usize) -> Option<(usize, String)> {
        let mut replaced = BTreeSet::new();
        let mut next: Option<(usize, &OutPort)> = self.patches(stage).next();
        for _ in 0..self.drafts.len() {
            let (source, out) = next?;
            let spec = &self.drafts[source].spec;
            if let Some(Value::Text(name)) = out.embeddings.as_ref().and_then(|name| spec.value(name)) {
                let is_other = matches!(spec.value(CONTROL), Some(Value::Text(case)) if case == OTHER);
                if replaced.insert(name.clone()) && is_other {
                    return Some((source, name.clone()));
                }
            }
            next = self.patches(source).next();
        }
        None
    }
}

/// The network that a stage trains.
fn network_of<'d>(draft: &'d Draft) -> Option<&'d NetworkSpec> {
    // An encoder's network reads photographs.
    let trains = draft.signature.outputs.iter().any(|out| ["model", PRETRAINED].contains(&out.ty.as_str()));
    draft.spec.network().filter(|_| trains)
}
